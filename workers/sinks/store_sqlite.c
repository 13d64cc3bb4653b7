// Stores in SQLite files: the database of a SQLite table, or sinks.db and dead.db of the state folder.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/clients/sqlite.h"
#include "workers/sinks/store.h"

enum { BUSY_MS = 10000, COLUMNS_MOST = 32 };

struct sqlite_store {
  struct store base;
  struct sqlite *db[2]; // by enum store_table; NULL: the file is absent
};

static struct sqlite_store *own(struct store *s) {
  return (struct sqlite_store *)s;
}

bool store_sqlite_has(struct sqlite *db, enum store_table table, struct error *e) {
  int64_t count = 0;
  error_clear(e);
  if (!db) return false;
  const char *sql = table == STORE_POSITIONS ? "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'weir_positions'"
                                             : "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'weir_dead'";
  return sqlite_one_int(db, sql, 0, &count, e) && count > 0;
}

static bool store_has(struct store *base, enum store_table table, struct error *e) {
  return store_sqlite_has(own(base)->db[table], table, e);
}

bool store_sqlite_run(struct sqlite *db, const char *sql, const char *const *params, size_t count, store_row *row, void *context,
                      uint64_t *changed, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, sql, e);
  if (!q) return false;
  // "$1" is a name to SQLite: it numbers them in the order in which they appear, which is theirs.
  for (size_t i = 0; i < count; i++) sqlite_bind_cstring(q, (int)i + 1, params[i]);
  enum sqlite_outcome outcome;
  bool wanted = true;
  while (wanted && (outcome = sqlite_step(q, e)) == SQLITE_GOT_ROW) {
    const char *columns[COLUMNS_MOST] = {NULL};
    for (int c = 0; c < sqlite_columns(q) && c < COLUMNS_MOST; c++)
      if (sqlite_column_kind(q, c) != SQLITE_IS_NULL) columns[c] = sqlite_column_text(q, c, NULL);
    wanted = !row || row(context, columns);
  }
  if (!wanted) sqlite_reset(q);
  if (changed) *changed = (uint64_t)sqlite_changes(db);
  return !wanted || outcome == SQLITE_END;
}

static bool store_run(struct store *base, enum store_table table, const char *sql, const char *const *params, size_t count, store_row *row,
                      void *context, uint64_t *changed, struct error *e) {
  return store_sqlite_run(own(base)->db[table], sql, params, count, row, context, changed, e);
}

static bool store_begin_all(struct store *base, struct error *e) {
  struct sqlite_store *s = own(base);
  if (s->db[0] && !sqlite_begin(s->db[0], e)) return false;
  return !s->db[1] || s->db[1] == s->db[0] || sqlite_begin(s->db[1], e);
}

static bool store_commit_all(struct store *base, struct error *e) {
  struct sqlite_store *s = own(base);
  if (s->db[0] && !sqlite_commit(s->db[0], e)) return false;
  return !s->db[1] || s->db[1] == s->db[0] || sqlite_commit(s->db[1], e);
}

static void store_close_all(struct store *base) {
  struct sqlite_store *s = own(base);
  if (s->db[1] != s->db[0]) sqlite_close(s->db[1]);
  sqlite_close(s->db[0]);
}

static const struct store_database database = {
    .run = store_run,
    .has = store_has,
    .begin = store_begin_all,
    .commit = store_commit_all,
    .close = store_close_all,
    .hex = "hex(data)",
    .message_sql = "SELECT 1 FROM pragma_table_info($1) WHERE name = 'message'",
    .time_open = "",
    .time_close = "",
};

static bool open_file(const char *path, struct sqlite **db, struct error *e) {
  *db = NULL;
  if (access(path, F_OK) != 0) return true; // nothing has been stored yet
  *db = sqlite_open(path, SQLITE_FOR_WRITING, BUSY_MS, e);
  return *db != NULL;
}

struct store *store_sqlite_open(const struct store_place *place, const char *positions, const char *letters, struct error *e) {
  struct sqlite_store *s = memory_get(sizeof *s);
  s->base = (struct store){.database = &database, .pipeline = memory_text(place->pipeline), .sink = memory_text(place->sink)};
  s->base.tables[STORE_POSITIONS] = memory_text("weir_positions");
  s->base.tables[STORE_LETTERS] = memory_text("weir_dead");
  bool good = open_file(positions, &s->db[0], e);
  if (good && strcmp(positions, letters) == 0)
    s->db[1] = s->db[0];
  else
    good = good && open_file(letters, &s->db[1], e);
  if (good) return &s->base;
  store_close(&s->base);
  return NULL;
}
