// Values between msgpack and SQLite: see values.h and the subtypes in engine_parts.h.
//
// What SQLite cannot hold: an integer above 2^63-1 is the text of its digits, NaN is null.
#include "workers/sql/values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/msgpack.h"

static void give_subtype(struct sql_engine *engine, sqlite3_context *context, unsigned subtype) {
  sqlite3_result_subtype(context, subtype);
  engine->subtypes = true;
}

static void give_json(struct sql_engine *engine, sqlite3_context *context, const struct field_span *span, struct json_text *cache) {
  struct buffer *text = cache ? &cache->text : &engine->scratch;
  bool made = cache && cache->record == engine->record_number;
  if (!made) {
    const uint8_t *at = span->at;
    buffer_clear(text);
    if (!msgpack_to_json(&at, span->end, text)) {
      sqlite3_result_error(context, "a nested value is too deep", -1);
      return;
    }
    if (cache) {
      cache->record = engine->record_number;
      cache->span = *span;
    }
  }
  // The text of a cache stays until the next record.
  sqlite3_result_text64(context, (const char *)text->at, text->length, cache ? SQLITE_STATIC : SQLITE_TRANSIENT, SQLITE_UTF8);
  give_subtype(engine, context, SUBTYPE_JSON);
}

static void give_uint(struct sql_engine *engine, sqlite3_context *context, uint64_t value) {
  char digits[24];
  int length = snprintf(digits, sizeof digits, "%" PRIu64, value);
  sqlite3_result_text(context, digits, length, SQLITE_TRANSIENT);
  give_subtype(engine, context, SUBTYPE_UINT);
}

void sql_value_give(struct sql_engine *engine, sqlite3_context *context, const struct field_span *span, struct json_text *cache,
                    bool lasting) {
  sqlite3_destructor_type keep = lasting ? SQLITE_STATIC : SQLITE_TRANSIENT;
  struct msgpack_value v;
  if (!span) return; // a result that is not set is null
  const uint8_t *at = span->at;
  if (!msgpack_read(&at, span->end, &v)) {
    sqlite3_result_error(context, "the record is broken", -1);
    return;
  }
  switch (v.type) {
  case MSGPACK_NIL: return;
  case MSGPACK_BOOL:
    sqlite3_result_int(context, v.boolean);
    give_subtype(engine, context, SUBTYPE_BOOL);
    return;
  case MSGPACK_INT: sqlite3_result_int64(context, v.i); return;
  case MSGPACK_UINT: give_uint(engine, context, v.u); return;
  case MSGPACK_DOUBLE: sqlite3_result_double(context, v.d); return;
  case MSGPACK_TEXT: sqlite3_result_text64(context, (const char *)v.bytes, v.length, keep, SQLITE_UTF8); return;
  case MSGPACK_BYTES:
  case MSGPACK_EXT:
    engine->gave_bytes = true;
    sqlite3_result_blob64(context, v.bytes, v.length, keep);
    return;
  case MSGPACK_ARRAY:
  case MSGPACK_MAP: give_json(engine, context, span, cache); return;
  case MSGPACK_TIMESTAMP:
    sqlite3_result_int64(context, v.micros);
    give_subtype(engine, context, SUBTYPE_TIME);
    return;
  }
}

static void take_int(sqlite3_value *value, struct cell *cell) {
  int64_t i = sqlite3_value_int64(value);
  switch (sqlite3_value_subtype(value)) {
  case SUBTYPE_BOOL: cell->value = (struct msgpack_value){.type = MSGPACK_BOOL, .boolean = i != 0}; return;
  case SUBTYPE_TIME: cell->value = (struct msgpack_value){.type = MSGPACK_TIMESTAMP, .micros = i}; return;
  default: cell->value = (struct msgpack_value){.type = MSGPACK_INT, .i = i}; return;
  }
}

// Digits that were given by give_uint.
static bool take_uint(const uint8_t *digits, size_t length, struct cell *cell) {
  uint64_t u = 0;
  for (size_t i = 0; i < length; i++) {
    if (digits[i] < '0' || digits[i] > '9' || __builtin_mul_overflow(u, 10, &u) || __builtin_add_overflow(u, digits[i] - '0', &u))
      return false;
  }
  cell->value = (struct msgpack_value){.type = MSGPACK_UINT, .u = u};
  return true;
}

static void take_text(struct cell_tools *tools, sqlite3_value *value, struct cell *cell) {
  // value_blob does not copy text that is not terminated, value_text would.
  const uint8_t *text = sqlite3_value_blob(value);
  size_t length = (size_t)sqlite3_value_bytes(value);
  unsigned subtype = sqlite3_value_subtype(value);
  const uint8_t *at, *end;
  if (subtype == SUBTYPE_JSON && cell_parse_json(tools, text, length, &at, &end) && cell_of(at, end, cell)) return;
  if (subtype == SUBTYPE_UINT && take_uint(text, length, cell)) return;
  cell->value = (struct msgpack_value){.type = MSGPACK_TEXT, .length = (uint32_t)length, .bytes = length ? text : (const uint8_t *)""};
}

void sql_value_take(struct cell_tools *tools, sqlite3_value *value, struct cell *cell) {
  cell->raw = cell->raw_end = NULL;
  switch (sqlite3_value_type(value)) {
  case SQLITE_INTEGER: take_int(value, cell); return;
  case SQLITE_FLOAT: cell->value = (struct msgpack_value){.type = MSGPACK_DOUBLE, .d = sqlite3_value_double(value)}; return;
  case SQLITE_TEXT: take_text(tools, value, cell); return;
  case SQLITE_BLOB: {
    const uint8_t *bytes = sqlite3_value_blob(value);
    uint32_t length = (uint32_t)sqlite3_value_bytes(value);
    cell->value = (struct msgpack_value){.type = MSGPACK_BYTES, .length = length, .bytes = length ? bytes : (const uint8_t *)""};
    return;
  }
  default: cell->value = (struct msgpack_value){.type = MSGPACK_NIL}; return;
  }
}

static void bind_json(sqlite3_stmt *statement, int parameter, const uint8_t *at, const uint8_t *end) {
  struct buffer text = {0};
  if (msgpack_to_json(&at, end, &text))
    sqlite3_bind_text64(statement, parameter, (const char *)text.at, text.length, SQLITE_TRANSIENT, SQLITE_UTF8);
  else
    sqlite3_bind_null(statement, parameter);
  buffer_free(&text);
}

void sql_value_bind(sqlite3_stmt *statement, int parameter, const uint8_t *at, const uint8_t *end) {
  struct msgpack_value v;
  const uint8_t *first = at;
  char digits[24];
  if (!msgpack_read(&at, end, &v)) v.type = MSGPACK_NIL;
  switch (v.type) {
  case MSGPACK_NIL: sqlite3_bind_null(statement, parameter); return;
  case MSGPACK_BOOL: sqlite3_bind_int(statement, parameter, v.boolean); return;
  case MSGPACK_INT: sqlite3_bind_int64(statement, parameter, v.i); return;
  case MSGPACK_UINT:
    sqlite3_bind_text(statement, parameter, digits, snprintf(digits, sizeof digits, "%" PRIu64, v.u), SQLITE_TRANSIENT);
    return;
  case MSGPACK_DOUBLE: sqlite3_bind_double(statement, parameter, v.d); return;
  case MSGPACK_TEXT: sqlite3_bind_text64(statement, parameter, (const char *)v.bytes, v.length, SQLITE_STATIC, SQLITE_UTF8); return;
  case MSGPACK_BYTES:
  case MSGPACK_EXT: sqlite3_bind_blob64(statement, parameter, v.bytes, v.length, SQLITE_STATIC); return;
  case MSGPACK_ARRAY:
  case MSGPACK_MAP: bind_json(statement, parameter, first, end); return;
  case MSGPACK_TIMESTAMP: sqlite3_bind_int64(statement, parameter, v.micros); return;
  }
}
