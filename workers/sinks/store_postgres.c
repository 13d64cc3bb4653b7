// Stores in PostgreSQL: weir's tables beside the target's table.
#include <stdlib.h>
#include <string.h>

#include "workers/clients/postgres.h"
#include "workers/sinks/postgres_table.h"
#include "workers/sinks/store.h"

enum { CONNECT_MS = 10000, STATEMENT_MS = 60000, COLUMNS_MOST = 32, PARAMS_MOST = 16 };

struct postgres_store {
  struct store base;
  struct postgres *p;
};

static struct postgres_store *own(struct store *s) {
  return (struct postgres_store *)s;
}

static bool store_has(struct store *base, enum store_table table, struct error *e) {
  bool exists;
  error_clear(e);
  return postgres_table_exists(own(base)->p, base->tables[table], &exists, e) && exists;
}

static bool store_run(struct store *base, enum store_table table, const char *sql, const char *const *params, size_t count, store_row *row,
                      void *context, uint64_t *changed, struct error *e) {
  (void)table; // the name stands in the statement
  struct postgres_param values[PARAMS_MOST];
  for (size_t i = 0; i < count; i++) values[i] = (struct postgres_param){.bytes = params[i]};
  struct postgres_result *r = postgres_call(own(base)->p, sql, values, count, e);
  if (!r) return false;
  for (size_t i = 0; row && i < postgres_rows(r); i++) {
    const char *columns[COLUMNS_MOST] = {NULL};
    for (int c = 0; c < postgres_columns(r) && c < COLUMNS_MOST; c++)
      if (!postgres_is_null(r, i, c)) columns[c] = postgres_text(r, i, c);
    if (!row(context, columns)) break;
  }
  if (changed) *changed = postgres_changed(r);
  postgres_result_free(r);
  return true;
}

static bool store_begin_all(struct store *base, struct error *e) {
  return postgres_exec(own(base)->p, "BEGIN", e);
}

static bool store_commit_all(struct store *base, struct error *e) {
  return postgres_exec(own(base)->p, "COMMIT", e);
}

static void store_close_all(struct store *base) {
  postgres_close(own(base)->p);
}

static const struct store_database database = {
    .run = store_run,
    .has = store_has,
    .begin = store_begin_all,
    .commit = store_commit_all,
    .close = store_close_all,
    .hex = "encode(data, 'hex')",
    .message_sql = "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'message' AND NOT attisdropped",
    .time_open = "to_char(",
    .time_close = " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
};

struct store *store_postgres_open(const struct store_place *place, struct error *e) {
  struct postgres_store *s = memory_get(sizeof *s);
  struct postgres_names names;
  char *url = job_text(place->settings, "url", ""), *table = job_text(place->settings, "table", "");
  s->base = (struct store){.database = &database, .pipeline = memory_text(place->pipeline), .sink = memory_text(place->sink)};
  postgres_names_make(&names, table);
  s->base.tables[STORE_POSITIONS] = memory_text(names.positions);
  s->base.tables[STORE_LETTERS] = memory_text(names.dead);
  postgres_names_free(&names);
  struct postgres_options options = {.url = url, .application = "weir", .connect_ms = CONNECT_MS, .statement_ms = STATEMENT_MS};
  s->p = postgres_open(&options, e);
  free(url);
  free(table);
  if (s->p) return &s->base;
  store_close(&s->base);
  return NULL;
}
