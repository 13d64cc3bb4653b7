// A table out of a SQLite database: the rows of one SELECT, read only.
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"
#include "workers/lookups/lookup.h"

enum { BUSY_MS = 5000, SELECT_SECONDS = 600 };

static bool value_put(struct sqlite_query *q, int column, struct msgpack_writer *w, struct error *e) {
  size_t length;
  const void *bytes;
  switch (sqlite_column_kind(q, column)) {
  case SQLITE_IS_NULL: msgpack_write_nil(w); return true;
  case SQLITE_IS_INT: msgpack_write_int(w, sqlite_column_int(q, column)); return true;
  case SQLITE_IS_DOUBLE: msgpack_write_double(w, sqlite_column_double(q, column)); return true;
  case SQLITE_IS_BLOB:
    bytes = sqlite_column_blob(q, column, &length);
    msgpack_write_bytes(w, bytes, (uint32_t)length);
    return true;
  case SQLITE_IS_TEXT:
    bytes = sqlite_column_text(q, column, &length);
    msgpack_write_text(w, bytes, (uint32_t)length);
    return true;
  }
  error_set(e, ERROR_FAULT, "sqlite", "a value of an unknown kind");
  return false;
}

static size_t row_room(struct sqlite_query *q, int columns) {
  size_t room = 16;
  for (int i = 0; i < columns; i++) {
    size_t length = 0;
    enum sqlite_kind kind = sqlite_column_kind(q, i);
    if (kind == SQLITE_IS_TEXT) (void)sqlite_column_text(q, i, &length);
    if (kind == SQLITE_IS_BLOB) (void)sqlite_column_blob(q, i, &length);
    room += strlen(sqlite_column_name(q, i)) + length + 32;
  }
  return room;
}

// The present row as a record, into the build.
static bool row_take(struct lookup_load *l, struct sqlite_query *q, struct buffer *record, struct error *e) {
  int columns = sqlite_columns(q);
  buffer_clear(record);
  buffer_reserve(record, row_room(q, columns));
  struct msgpack_writer w = {.at = record->at, .end = record->at + record->room};
  msgpack_write_map(&w, (uint32_t)columns);
  for (int i = 0; i < columns; i++) {
    msgpack_write_cstring(&w, sqlite_column_name(q, i));
    if (!value_put(q, i, &w, e)) return false;
  }
  return lookup_build_row(l->build, record->at, w.at, e);
}

static enum lookup_outcome rows_take(struct lookup_load *l, struct sqlite_query *q, struct error *e) {
  struct buffer record = {0};
  enum lookup_outcome outcome = LOOKUP_LOAD_DONE;
  enum sqlite_outcome step;
  while (outcome == LOOKUP_LOAD_DONE && (step = sqlite_step(q, e)) != SQLITE_END) {
    bool taken = step == SQLITE_GOT_ROW && row_take(l, q, &record, e);
    if (!taken) outcome = error_is_set(e) ? LOOKUP_LOAD_FAILED : LOOKUP_LOAD_STOPPED;
  }
  buffer_free(&record);
  return outcome;
}

static const char *name_of(const void *q, int column) {
  return sqlite_column_name(q, column);
}

static const char *path_of(const char *url) {
  const char *path = strncmp(url, "sqlite:", 7) == 0 ? url + 7 : url;
  return strncmp(path, "//", 2) == 0 ? path + 2 : path; // sqlite:///var/x.db is /var/x.db
}

enum lookup_outcome lookup_sqlite_load(struct lookup_load *l, struct error *e) {
  char *url = job_text(l->settings, "url", ""), *sql = job_text(l->settings, "sql", "");
  enum lookup_outcome outcome = LOOKUP_LOAD_FAILED;
  l->busy(l->context, SELECT_SECONDS, "reading the SQLite database");
  struct sqlite *db = sqlite_open(path_of(url), SQLITE_FOR_READING, BUSY_MS, e);
  struct sqlite_query *q = db ? sqlite_prepare(db, sql, e) : NULL;
  if (q && !sqlite_is_query(sql, q))
    error_set(e, ERROR_DATA, "sql", "sql must be one SELECT");
  else if (q && lookup_columns_there(l->build->shape, q, sqlite_columns(q), name_of, e))
    outcome = rows_take(l, q, e);
  sqlite_close(db);
  free(sql);
  free(url);
  return outcome;
}
