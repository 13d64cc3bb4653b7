// The topic source. See topic_source.c.
#pragma once
#include "workers/workers.h"

int topic_source_run(struct worker *w);
void topic_source_check(struct check *c);
bool topic_position_look(const struct position_ask *ask, struct position_answer *answer, struct error *e);
