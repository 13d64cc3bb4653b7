// The source "generate": rows out of an SQL expression, the same ones at every run. Listed in workers/workers.c; the work is described in
// generate_source.c.
#pragma once
#include "workers/workers.h"

int generate_source_run(struct worker *w);
void generate_source_check(struct check *c);
bool generate_position_look(const struct position_ask *ask, struct position_answer *answer, struct error *e);
