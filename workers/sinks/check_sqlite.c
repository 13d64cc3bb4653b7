// `weir check --connect` of a table in SQLite. Opens for reading only and makes nothing.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/clients/sqlite.h"
#include "workers/sinks/sqlite_table.h"
#include "workers/sinks/table_check.h"
#include "workers/sinks/url.h"

enum { BUSY_MS = 2000 };

void check_sqlite_create(struct check *c, const struct table_settings *s, const struct table *input) {
  char *sql = sqlite_table_create_sql(input, s->table);
  check_find(c, CHECK_NOTE, "table", -1, NULL, "where it is absent a run makes it: %s", sql);
  free(sql);
}

static void check_absent(struct check *c, const char *path) {
  char *folder = memory_text(path), *slash = strrchr(folder, '/');
  if (slash) *(slash == folder ? slash + 1 : slash) = '\0';
  const char *where = slash ? folder : ".";
  if (access(where, W_OK | X_OK) == 0)
    check_find(c, CHECK_NOTE, "url", -1, NULL, "a run would make the file %s", path);
  else
    check_find(c, CHECK_ERROR, "url", -1, NULL, "the file %s cannot be made: folder %s: %s", path, where, strerror(errno));
  free(folder);
}

static void check_there(struct check *c, const struct table_settings *s, struct sqlite *db, struct table *input) {
  struct table there = {0};
  struct error e = {0};
  bool exists;
  if (!sqlite_table_read(db, s->table, &there, &exists, &e))
    check_find(c, CHECK_ERROR, "table", -1, NULL, "%s", e.text);
  else if (!exists && !s->create)
    check_find(c, CHECK_ERROR, "table", -1, NULL, "table %s does not exist, and `create: false`", s->table);
  else if (!exists)
    check_find(c, CHECK_NOTE, "table", -1, NULL, "table %s does not exist: a run would make it", s->table);
  else {
    check_columns(c, s, input, &there);
    if (!table_mark_key(&there, s->key, &e) || (s->upsert && !sqlite_table_check_key(db, s->table, &there, &e)))
      check_find(c, CHECK_ERROR, "key", -1, NULL, "%s", e.text);
  }
  table_free(&there);
}

void check_sqlite(struct check *c, const struct table_settings *s, struct table *input) {
  struct error e = {0};
  char *path = url_sqlite_path(s->url);
  if (access(path, F_OK) != 0)
    check_absent(c, path);
  else if (access(path, W_OK) != 0)
    check_find(c, CHECK_ERROR, "url", -1, NULL, "the file %s cannot be written: %s", path, strerror(errno));
  else {
    struct sqlite *db = sqlite_open(path, SQLITE_FOR_READING, BUSY_MS, &e);
    if (db)
      check_there(c, s, db, input);
    else
      check_find(c, CHECK_ERROR, "url", -1, NULL, "%s", e.text);
    sqlite_close(db);
    check_find(c, CHECK_NOTE, "url", -1, NULL, "%s is a local file: nothing goes over a line", path);
  }
  free(path);
}
