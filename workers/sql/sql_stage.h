// The transformer of kind "sql": a SELECT run over the records of its input ring, its rows written into its output ring. Named in
// workers/workers.h only.
#pragma once

struct check;
struct worker;

int sql_stage_run(struct worker *w);
void sql_stage_check(struct check *c);
