// `weir check` for a SQL stage: which input it reads, what it gives, how it runs, and every mistake in its settings.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "workers/common/lookup_shape.h"
#include "workers/sql/engine.h"
#include "workers/sql/sql_stage.h"
#include "workers/workers.h"

static bool is_absence_of(const struct sql_problem *p, const char *name) {
  char *text = memory_print("there is no source, topic, transform or lookup \"%s\"", name);
  bool same = strcasecmp(text, p->text) == 0;
  free(text);
  return same;
}

// There is a lookup of that name: it was left out because its settings are wrong, which is told elsewhere.
static bool is_of_broken(const struct check *c, const struct sql_problem *p) {
  for (size_t i = 0; i < c->lookup_count; i++)
    if (is_absence_of(p, c->lookups[i].name)) return true;
  return false;
}

static void take_problems(struct check *c, const struct sql_problems *problems) {
  for (size_t i = 0; i < problems->count; i++) {
    const struct sql_problem *p = &problems->list[i];
    if (is_of_broken(c, p)) {
      check_find(c, CHECK_ERROR, p->setting, p->offset, NULL, "the lookup that it joins has mistakes of its own");
      continue;
    }
    if (is_absence_of(p, c->node)) {
      check_find(c, CHECK_ERROR, p->setting, p->offset, NULL, "it reads itself, \"%s\": a transform reads another node", c->node);
      continue;
    }
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

// ---- lookups

struct shapes {
  struct lookup_shape *list;
  struct sql_lookup *spec;
  size_t count;
};

// Lookups whose settings are wrong are told as such; here they are as if they were not there.
static void shapes_open(struct shapes *shapes, const struct check *c, size_t *index) {
  shapes->list = memory_get((c->lookup_count + 1) * sizeof *shapes->list);
  shapes->spec = memory_get((c->lookup_count + 1) * sizeof *shapes->spec);
  for (size_t i = 0; i < c->lookup_count; i++) {
    struct error e = {0};
    struct lookup_shape *shape = &shapes->list[shapes->count];
    if (!lookup_shape_load(shape, c->lookups[i].name, c->lookups[i].settings, &e)) {
      lookup_shape_free(shape);
      continue;
    }
    shapes->spec[shapes->count] = (struct sql_lookup){.shape = shape};
    index[shapes->count++] = i;
  }
}

static void shapes_close(struct shapes *shapes) {
  for (size_t i = 0; i < shapes->count; i++) lookup_shape_free(&shapes->list[i]);
  free(shapes->list);
  free(shapes->spec);
}

static void index_ask(struct check *c, size_t lookup, const char *const *names, size_t count) {
  c->indexes = memory_resize(c->indexes, (c->index_count + 1) * sizeof *c->indexes);
  struct check_index *index = &c->indexes[c->index_count++];
  *index = (struct check_index){.lookup = lookup, .columns = memory_get(count * sizeof *index->columns), .count = count};
  for (size_t i = 0; i < count; i++) index->columns[i] = memory_text(names[i]);
}

// What the plan would index by itself becomes an index of the lookup: of the shape at once, and of the file by the lookup's worker. False:
// nothing is wanted.
static bool indexes_take(struct check *c, const struct sql_engine *engine, struct shapes *shapes, const size_t *index) {
  bool any = false;
  for (size_t i = 0; i < shapes->count; i++) {
    struct lookup_shape *shape = &shapes->list[i];
    const char *const *names;
    size_t count;
    for (size_t set = 0; sql_engine_lookup_wants(engine, i, set, &names, &count) && shape->index_count <= LOOKUP_INDEXES_MOST; set++) {
      struct lookup_index *new = &shape->indexes[shape->index_count++];
      *new = (struct lookup_index){.columns = memory_get(count * sizeof *new->columns), .count = count};
      for (size_t k = 0; k < count; k++) new->columns[k] = lookup_column_find(shape, names[k]);
      index_ask(c, index[i], names, count);
      any = true;
    }
  }
  return any;
}

static void tell_lookup(struct check *c, const struct sql_engine *engine, size_t lookup, const struct lookup_shape *shape) {
  struct buffer names = {0};
  for (size_t i = 0; i < shape->column_count; i++)
    if (sql_engine_reads_lookup_column(engine, lookup, i)) buffer_print(&names, "%s%s", names.length ? ", " : "", shape->columns[i].name);
  check_find(c, CHECK_NOTE, "sql", -1, NULL, "joins lookup %s, of which it reads: %s", shape->name,
             names.length ? buffer_cstring(&names) : "no column");
  buffer_free(&names);
}

static void tell_lookups(struct check *c, const struct sql_engine *engine, const struct shapes *shapes, const size_t *index) {
  for (size_t i = 0; i < shapes->count; i++) {
    if (!sql_engine_reads_lookup(engine, i)) continue;
    c->joins[index[i]] = true;
    tell_lookup(c, engine, i, &shapes->list[i]);
  }
  for (size_t i = 0; i < c->index_count; i++) {
    struct buffer names = {0};
    for (size_t k = 0; k < c->indexes[i].count; k++) buffer_print(&names, "%s%s", k ? ", " : "", c->indexes[i].columns[k]);
    check_find(c, CHECK_NOTE, "sql", -1, NULL, "lookup %s gets an index on %s", c->lookups[c->indexes[i].lookup].name,
               buffer_cstring(&names));
    buffer_free(&names);
  }
  if (sql_engine_scans_lookup(engine))
    check_find(c, CHECK_WARNING, "sql", -1, NULL,
               "a lookup is read from its first to its last row for each record: join it with = on columns of its own");
}

// ---- the whole

static struct sql_engine *engine_open(const struct check *c, const char *sql, const struct shapes *shapes, struct sql_problems *problems) {
  struct sql_spec spec = {
      .sql = sql,
      .inputs = c->inputs,
      .input_count = c->input_count,
      .lookups = shapes->spec,
      .lookup_count = shapes->count,
      .columns = job_get(c->settings, "columns"),
      .checks = job_get(c->settings, "checks"),
  };
  return sql_engine_open(&spec, problems);
}

void sql_stage_check(struct check *c) {
  struct sql_problems problems = {0};
  struct shapes shapes = {0};
  char *sql = job_text(c->settings, "sql", "");
  size_t *index = memory_get((c->lookup_count + 1) * sizeof *index);
  c->reads = memory_get((c->input_count + 1) * sizeof *c->reads);
  c->joins = memory_get((c->lookup_count + 1) * sizeof *c->joins);
  shapes_open(&shapes, c, index);
  struct sql_engine *engine = engine_open(c, sql, &shapes, &problems);
  if (engine && indexes_take(c, engine, &shapes, index)) {
    sql_engine_free(engine);
    sql_problems_free(&problems);
    engine = engine_open(c, sql, &shapes, &problems);
  }
  if (engine) {
    take_answers(c, engine);
    tell_lookups(c, engine, &shapes, index);
  }
  take_problems(c, &problems);
  sql_problems_free(&problems);
  sql_engine_free(engine);
  shapes_close(&shapes);
  free(index);
  free(sql);
}
