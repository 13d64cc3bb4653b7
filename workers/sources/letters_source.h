// The source of copies: dead letters that a sink has stored, as records for a topic.
#pragma once
#include "workers/workers.h"

int letters_source_run(struct worker *w);
