// How the plan reads the lookups: where SQLite would build an index for each run ("AUTOMATIC INDEX" in EXPLAIN QUERY PLAN), the lookup's
// worker can build it once, into the file.
//
// The line names columns, and the table by its alias, which is not told elsewhere: every lookup that is read and has all the columns gets
// the index.
#include <stdlib.h>
#include <string.h>

#include "workers/sql/lookups.h"

static void want_add(struct attached_lookup *l, const struct lookup_index *index) {
  for (size_t i = 0; i < l->shape->index_count; i++) {
    const struct lookup_index *has = &l->shape->indexes[i];
    if (has->count == index->count && memcmp(has->columns, index->columns, index->count * sizeof *index->columns) == 0) return;
  }
  l->wants = memory_resize(l->wants, (l->want_count + 1) * sizeof *l->wants);
  struct wanted_index *want = &l->wants[l->want_count++];
  *want = (struct wanted_index){.names = memory_get(index->count * sizeof *want->names), .count = index->count};
  for (size_t i = 0; i < index->count; i++) want->names[i] = l->shape->columns[index->columns[i]].name;
}

// "(a=? AND b=?)" as numbers of the lookup's columns. False: it has not all of them.
static bool columns_read(const struct attached_lookup *l, const char *list, struct lookup_index *index) {
  static const char separator[] = "=?";
  const char *end = strrchr(list, ')');
  for (const char *at = list + 1; end && at < end && index->count < l->shape->column_count;) {
    const char *equals = strstr(at, separator);
    if (!equals || equals > end) return false;
    char *name = memory_text_n(at, (size_t)(equals - at));
    size_t column = lookup_column_find(l->shape, name);
    free(name);
    if (column == l->shape->column_count) return false;
    index->columns[index->count++] = column;
    at = equals + strlen(separator);
    if (strncmp(at, " AND ", 5) == 0) at += 5;
  }
  return index->count > 0;
}

static void line_read(struct sql_engine *engine, const char *detail) {
  const char *list = strstr(detail, "AUTOMATIC") ? strchr(strstr(detail, "AUTOMATIC"), '(') : NULL;
  for (size_t i = 0; list && i < engine->lookup_count; i++) {
    struct attached_lookup *l = &engine->lookups[i];
    struct lookup_index index = {.columns = memory_get((l->shape->column_count + 1) * sizeof *index.columns)};
    if (l->attached && columns_read(l, list, &index) && lookup_index_possible(l->shape, &index)) want_add(l, &index);
    free(index.columns);
  }
}

void sql_lookups_plan(struct sql_engine *engine) {
  sqlite3_stmt *row = NULL;
  sql_lookups_forget_wants(engine);
  if (!sql_lookups_attached(engine)) return;
  char *explain = memory_print("EXPLAIN QUERY PLAN %s", engine->sql);
  // What was prepared without EXPLAIN a moment ago is prepared with it too; if not, there are no lines to look at.
  (void)sqlite3_prepare_v2(engine->db, explain, -1, &row, NULL);
  free(explain);
  while (row && sqlite3_step(row) == SQLITE_ROW) {
    const char *detail = (const char *)sqlite3_column_text(row, 3);
    if (detail) line_read(engine, detail);
  }
  sqlite3_finalize(row);
}

bool sql_engine_lookup_wants(const struct sql_engine *engine, size_t lookup, size_t set, const char *const **names, size_t *count) {
  const struct attached_lookup *l = &engine->lookups[lookup];
  if (set >= l->want_count) return false;
  *names = l->wants[set].names;
  *count = l->wants[set].count;
  return true;
}
