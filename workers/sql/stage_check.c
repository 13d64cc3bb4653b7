// `weir check` for a SQL stage: which input it reads, what it gives, how it runs, and every mistake in its settings.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/sql/engine.h"
#include "workers/sql/sql_stage.h"
#include "workers/workers.h"

static void take_problems(struct check *c, const struct sql_problems *problems) {
  for (size_t i = 0; i < problems->count; i++) {
    const struct sql_problem *p = &problems->list[i];
    check_find(c, p->warning ? CHECK_WARNING : CHECK_ERROR, p->setting, p->offset, p->suggestion, "%s", p->text);
  }
}

static void take_answers(struct check *c, const struct sql_engine *engine) {
  c->reads[sql_engine_input(engine)] = true;
  c->form = memory_text(sql_engine_form(engine));
  c->output_count = sql_engine_columns(engine);
  c->output = memory_get(c->output_count * sizeof *c->output);
  c->output_known = true;
  for (size_t i = 0; i < c->output_count; i++) {
    c->output[i].name = memory_text(sql_engine_column_name(engine, i));
    c->output[i].type = memory_text(sql_engine_column_type(engine, i));
    c->output[i].not_null = sql_engine_column_not_null(engine, i);
    const char *origin = sql_engine_column_origin(engine, i);
    c->output[i].origin = origin ? memory_text(origin) : NULL;
  }
}

void sql_stage_check(struct check *c) {
  struct sql_problems problems = {0};
  char *sql = job_text(c->settings, "sql", "");
  struct sql_spec spec = {
      .sql = sql,
      .inputs = c->inputs,
      .input_count = c->input_count,
      .columns = job_get(c->settings, "columns"),
      .checks = job_get(c->settings, "checks"),
  };
  c->reads = memory_get(c->input_count * sizeof *c->reads);
  struct sql_engine *engine = sql_engine_open(&spec, &problems);
  if (engine) take_answers(c, engine);
  take_problems(c, &problems);
  sql_problems_free(&problems);
  sql_engine_free(engine);
  free(sql);
}
