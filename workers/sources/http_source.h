// The source "http": polls an API and keeps what it answered in a journal until every sink has it. Listed in workers/workers.c; the work is
// described in http_source.c.
#pragma once
#include "workers/workers.h"

int http_source_run(struct worker *w);
void http_source_check(struct check *c);
