// Rows into the file of a new table. Each value is cast by the rules of `columns:` (workers/common/cells.h); one that does not fit makes
// the whole load fail, because a table with holes would be joined without a word.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hash.h"
#include "proto/limits.h"
#include "proto/utf8.h"
#include "workers/lookups/lookup.h"

enum { PAGE_BYTES = 4096, ROWS_PER_TURN = 256, WHY = 512 };

static bool paths_open(struct lookup_build *b, struct error *e) {
  b->paths = memory_get(b->shape->column_count * sizeof *b->paths);
  b->tools = memory_get(b->shape->column_count * sizeof *b->tools);
  b->texts = memory_get(b->shape->column_count * sizeof *b->texts);
  for (size_t i = 0; i < b->shape->column_count; i++) {
    if ((b->paths[i] = msgpack_path_new(b->shape->columns[i].name, e))) continue;
    error_add(e, "column %s", b->shape->columns[i].name);
    return false;
  }
  return true;
}

bool lookup_functions_declare(struct sqlite *db, struct error *e) {
  static const enum column_type types[] = {COLUMN_BOOLEAN, COLUMN_TIMESTAMP, COLUMN_JSON};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (!sqlite_declare_function(db, lookup_function(types[i]), e)) return false;
  return true;
}

static bool schema_make(struct lookup_build *b, struct error *e) {
  struct buffer sql = {0};
  uint64_t pages = b->max_bytes / PAGE_BYTES;
  bool good = lookup_functions_declare(b->db, e);
  buffer_print(&sql, "PRAGMA page_size=%d; PRAGMA max_page_count=%llu; BEGIN;", PAGE_BYTES, (unsigned long long)(pages > 0 ? pages : 1));
  lookup_table_sql(b->shape, NULL, &sql);
  good = good && sqlite_exec(b->db, buffer_cstring(&sql), e);
  buffer_clear(&sql);
  lookup_insert_sql(b->shape, &sql);
  good = good && (b->insert = sqlite_prepare(b->db, buffer_cstring(&sql), e));
  buffer_free(&sql);
  return good;
}

bool lookup_build_open(struct lookup_build *b, const struct lookup_shape *shape, const char *path, uint64_t max_bytes, struct error *e) {
  *b = (struct lookup_build){.shape = shape, .max_bytes = max_bytes};
  if (!paths_open(b, e)) return false;
  b->db = sqlite_open(path, SQLITE_TO_BUILD, 0, e);
  return b->db && schema_make(b, e);
}

void lookup_build_free(struct lookup_build *b) {
  sqlite_close(b->db);
  for (size_t i = 0; b->paths && i < b->shape->column_count; i++) {
    msgpack_path_free(b->paths[i]);
    cell_tools_free(&b->tools[i]);
    buffer_free(&b->texts[i]);
  }
  free(b->paths);
  free(b->tools);
  free(b->texts);
  *b = (struct lookup_build){0};
}

// SQLite has one word for a table that has reached max_bytes and for a disk without room.
static bool store_failed(const struct lookup_build *b, struct error *e) {
  if (strcmp(e->code, "full") == 0)
    error_set(e, ERROR_OUTAGE, "too-large",
              "row %llu does not fit: the table is larger than %llu bytes (setting max_bytes), or the disk is full",
              (unsigned long long)b->rows + 1, (unsigned long long)b->max_bytes);
  else
    error_add(e, "storing row %llu", (unsigned long long)b->rows + 1);
  return false;
}

// The transformers take no longer values.
static bool is_short(size_t length, char *why) {
  if (length <= LIMIT_RECORD) return true;
  snprintf(why, WHY, "%zu bytes are more than %d", length, LIMIT_RECORD);
  return false;
}

static bool text_bind(struct lookup_build *b, int parameter, const uint8_t *bytes, size_t length, char *why) {
  if (!is_short(length, why)) return false;
  if (utf8_check(bytes, length) != length) {
    strcpy(why, "the text is not UTF-8");
    return false;
  }
  sqlite_bind_text(b->insert, parameter, (const char *)bytes, length);
  return true;
}

static bool json_bind(struct lookup_build *b, size_t column, const struct cell *cell, char *why) {
  struct buffer *text = &b->texts[column];
  uint8_t small[16];
  struct msgpack_writer w = {.at = small, .end = small + sizeof small};
  const uint8_t *at = cell->raw, *end = cell->raw_end;
  if (!at) {
    cell_write(cell, &w);
    at = small;
    end = w.at;
  }
  buffer_clear(text);
  if (!msgpack_to_json(&at, end, text)) {
    strcpy(why, "the value is nested too deep");
    return false;
  }
  return text_bind(b, (int)column + 1, text->at, text->length, why);
}

// The value as its column holds it.
static bool cell_bind(struct lookup_build *b, size_t column, const struct cell *cell, char *why) {
  const struct msgpack_value *v = &cell->value;
  int parameter = (int)column + 1;
  bool json = b->shape->columns[column].rule.type == COLUMN_JSON && v->type != MSGPACK_NIL;
  if (json) return json_bind(b, column, cell, why);
  switch (v->type) {
  case MSGPACK_NIL: sqlite_bind_null(b->insert, parameter); return true;
  case MSGPACK_BOOL: sqlite_bind_int(b->insert, parameter, v->boolean); return true;
  case MSGPACK_INT: sqlite_bind_int(b->insert, parameter, v->i); return true;
  case MSGPACK_DOUBLE: sqlite_bind_double(b->insert, parameter, v->d); return true;
  case MSGPACK_TIMESTAMP: sqlite_bind_int(b->insert, parameter, v->micros); return true;
  case MSGPACK_TEXT: return text_bind(b, parameter, v->bytes, v->length, why);
  case MSGPACK_BYTES:
    if (!is_short(v->length, why)) return false;
    sqlite_bind_blob(b->insert, parameter, v->bytes, v->length);
    return true;
  // No cast of a typed column gives these.
  case MSGPACK_UINT:
  case MSGPACK_ARRAY:
  case MSGPACK_MAP:
  case MSGPACK_EXT: strcpy(why, "the value has no place in SQLite"); return false;
  }
  return false;
}

static bool value_bind(struct lookup_build *b, size_t column, const uint8_t *at, const uint8_t *end, struct error *e) {
  const struct lookup_column *c = &b->shape->columns[column];
  struct cell cell = {.value = {.type = MSGPACK_NIL}};
  const uint8_t *found, *found_end;
  char why[WHY] = "the value is broken";
  bool there = msgpack_path_find(b->paths[column], at, end, &found, &found_end);
  b->content = there ? hash_bytes(found, (size_t)(found_end - found), b->content) : hash_bytes("", 0, b->content);
  if ((!there || cell_of(found, found_end, &cell)) && cell_cast(&b->tools[column], &c->rule, &cell, why, sizeof why) &&
      cell_bind(b, column, &cell, why))
    return true;
  error_set(e, ERROR_DATA, "cast", "row %llu: column %s: %s", (unsigned long long)b->rows + 1, c->name, why);
  return false;
}

bool lookup_columns_there(const struct lookup_shape *shape, const void *query, int columns,
                          const char *(*name_of)(const void *query, int column), struct error *e) {
  for (size_t c = 0; c < shape->column_count; c++) {
    const char *name = shape->columns[c].name;
    bool there = false;
    for (int i = 0; i < columns; i++) there |= strcmp(name_of(query, i), name) == 0;
    if (there) continue;
    error_set(e, ERROR_DATA, "columns", "the SELECT gives no column \"%s\"", name);
    return false;
  }
  return true;
}

static bool is_map(const uint8_t *at, const uint8_t *end) {
  struct msgpack_value v;
  return msgpack_read(&at, end, &v) && v.type == MSGPACK_MAP;
}

bool lookup_build_row(struct lookup_build *b, const uint8_t *at, const uint8_t *end, struct error *e) {
  if (!is_map(at, end)) {
    error_set(e, ERROR_DATA, "not-a-map", "row %llu: a row is an object; this is another value", (unsigned long long)b->rows + 1);
    return false;
  }
  for (size_t i = 0; i < b->shape->column_count; i++)
    if (!value_bind(b, i, at, end, e)) return false;
  if (!sqlite_run(b->insert, e)) return store_failed(b, e);
  b->rows++;
  return b->rows % ROWS_PER_TURN != 0 || !b->turn || b->turn(b->context);
}

bool lookup_build_end(struct lookup_build *b, uint64_t *bytes, struct error *e) {
  struct buffer sql = {0};
  lookup_indexes_sql(b->shape, NULL, &sql);
  buffer_text(&sql, ";COMMIT");
  bool good = sqlite_exec(b->db, buffer_cstring(&sql), e);
  buffer_free(&sql);
  if (!good) return store_failed(b, e);
  return sqlite_bytes_used(b->db, bytes, e);
}
