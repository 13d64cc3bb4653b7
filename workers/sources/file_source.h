// The source "file": lines of JSON, a JSON document, or a stream of msgpack values, out of files or standard input. Each file is a
// partition. Listed in workers/workers.c; the work is described in file_source.c.
#pragma once
#include "workers/workers.h"

int file_source_run(struct worker *w);
void file_source_check(struct check *c);
bool file_position_look(const struct position_ask *ask, struct position_answer *answer, struct error *e);
