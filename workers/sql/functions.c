// The functions that weir adds to SQL:
//
//     unescape_html(text)  HTML character references resolved          parse_time(text)  a timestamp; null when the text is no time
//     hash(a, b, ...)      64 bits, the same in every release; null for one null
//     now()                the record's time                           uuid()            a UUID that is the same again on replay
//
// None of them reads a clock or a random source: the same record gives the same rows, however often it is replayed.
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/hash.h"
#include "workers/sql/connection.h"
#include "workers/sql/html_entities.h"
#include "workers/sql/values.h"

enum { UTF8_MOST = 4, CHARACTER_MOST = 0x10ffff, REPLACEMENT = 0xfffd };

static size_t put_utf8(char *out, uint32_t c) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  if (c < 0x800) {
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
  }
  if (c < 0x10000) {
    out[0] = (char)(0xe0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3f));
    out[2] = (char)(0x80 | (c & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | c >> 18);
  out[1] = (char)(0x80 | (c >> 12 & 0x3f));
  out[2] = (char)(0x80 | (c >> 6 & 0x3f));
  out[3] = (char)(0x80 | (c & 0x3f));
  return 4;
}

// What HTML makes of a number: 128 to 159 are windows-1252, because that is what old pages mean; what is no character is U+FFFD.
static uint32_t number_character(uint64_t number) {
  static const uint16_t windows[32] = {
      0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d, 0x017d, 0x8f,
      0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
  };
  if (number >= 0x80 && number < 0xa0) return windows[number - 0x80];
  if (number == 0 || number > CHARACTER_MOST || (number >= 0xd800 && number < 0xe000)) return REPLACEMENT;
  return (uint32_t)number;
}

static int digit_of(char c, unsigned base) {
  int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  return digit < (int)base ? digit : -1;
}

// "#8217;" or "#x2019;" behind the "&". 0: it is not a number.
static uint32_t number_find(const char *text, size_t length, size_t *used) {
  unsigned base = length > 1 && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;
  size_t first = base == 16 ? 2 : 1, at = first;
  uint64_t number = 0;
  for (; at < length && digit_of(text[at], base) >= 0; at++)
    if (number <= CHARACTER_MOST) number = number * base + (uint64_t)digit_of(text[at], base);
  if (at == first) return 0;
  *used = at + (at < length && text[at] == ';');
  return number_character(number);
}

static void put_unescaped(struct buffer *out, const char *text, size_t length) {
  const char *end = text + length;
  while (text < end) {
    const char *mark = memchr(text, '&', (size_t)(end - text));
    if (!mark) mark = end;
    buffer_add(out, text, (size_t)(mark - text));
    text = mark;
    if (text == end) return;
    size_t used, left = (size_t)(end - text) - 1;
    uint32_t c = left > 0 && text[1] == '#' ? number_find(text + 1, left, &used) : html_entity_find(text + 1, left, &used);
    char character[UTF8_MOST] = {'&'};
    buffer_add(out, character, c ? put_utf8(character, c) : 1);
    text += 1 + (c ? used : 0);
  }
}

static void unescape_html(sqlite3_context *context, int count, sqlite3_value **values) {
  (void)count;
  if (sqlite3_value_type(values[0]) != SQLITE_TEXT) {
    sqlite3_result_value(context, values[0]);
    return;
  }
  const char *text = sqlite3_value_blob(values[0]);
  size_t length = (size_t)sqlite3_value_bytes(values[0]);
  if (length == 0 || !memchr(text, '&', length)) {
    sqlite3_result_value(context, values[0]);
    return;
  }
  struct sql_engine *engine = sqlite3_user_data(context);
  buffer_clear(&engine->scratch);
  put_unescaped(&engine->scratch, text, length);
  sqlite3_result_text64(context, (const char *)engine->scratch.at, engine->scratch.length, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static void result_time(sqlite3_context *context, int64_t micros) {
  sqlite3_result_int64(context, micros);
  sqlite3_result_subtype(context, SUBTYPE_TIME);
}

static void parse_time(sqlite3_context *context, int count, sqlite3_value **values) {
  int64_t micros;
  (void)count;
  if (sqlite3_value_type(values[0]) == SQLITE_TEXT) {
    const char *text = sqlite3_value_blob(values[0]);
    if (clock_parse(text ? text : "", (size_t)sqlite3_value_bytes(values[0]), &micros)) result_time(context, micros);
  } else if (sqlite3_value_subtype(values[0]) == SUBTYPE_TIME) {
    result_time(context, sqlite3_value_int64(values[0]));
  }
}

// A value of a lookup's column is given its kind back (lookup_shape.h).
static void kind_boolean(sqlite3_context *context, int count, sqlite3_value **values) {
  (void)count;
  sqlite3_result_value(context, values[0]);
  if (sqlite3_value_type(values[0]) == SQLITE_INTEGER) sqlite3_result_subtype(context, SUBTYPE_BOOL);
}

static void kind_timestamp(sqlite3_context *context, int count, sqlite3_value **values) {
  (void)count;
  sqlite3_result_value(context, values[0]);
  if (sqlite3_value_type(values[0]) == SQLITE_INTEGER) sqlite3_result_subtype(context, SUBTYPE_TIME);
}

static void kind_json(sqlite3_context *context, int count, sqlite3_value **values) {
  (void)count;
  sqlite3_result_value(context, values[0]);
  if (sqlite3_value_type(values[0]) == SQLITE_TEXT) sqlite3_result_subtype(context, SUBTYPE_JSON);
}

static void now(sqlite3_context *context, int count, sqlite3_value **values) {
  struct sql_engine *engine = sqlite3_user_data(context);
  (void)count, (void)values;
  result_time(context, engine->record.time);
}

// Version 8 of RFC 9562: the bits are ours to choose.
static void uuid(sqlite3_context *context, int count, sqlite3_value **values) {
  struct sql_engine *engine = sqlite3_user_data(context);
  (void)count, (void)values;
  const struct sql_record *r = &engine->record;
  uint64_t origin[4] = {htole64(r->stream), htole64(r->position), htole64(r->part), htole64(engine->uuid_calls++)};
  uint64_t high = hash_bytes(origin, sizeof origin, 0x75756964), low = hash_bytes(origin, sizeof origin, 0x76386964);
  high = (high & 0xffffffffffff0fff) | 0x8000;
  low = (low & 0x3fffffffffffffff) | 0x8000000000000000;
  char text[37];
  snprintf(text, sizeof text, "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%012" PRIx64, high >> 32, high >> 16 & 0xffff,
           high & 0xffff, low >> 48, low & 0xffffffffffff);
  sqlite3_result_text(context, text, 36, SQLITE_TRANSIENT);
}

static void write_plain(struct msgpack_writer *w, sqlite3_value *value) {
  switch (sqlite3_value_type(value)) {
  case SQLITE_INTEGER: msgpack_write_int(w, sqlite3_value_int64(value)); return;
  case SQLITE_FLOAT: msgpack_write_double(w, sqlite3_value_double(value)); return;
  case SQLITE_TEXT: msgpack_write_text(w, sqlite3_value_blob(value), (uint32_t)sqlite3_value_bytes(value)); return;
  case SQLITE_BLOB: msgpack_write_bytes(w, sqlite3_value_blob(value), (uint32_t)sqlite3_value_bytes(value)); return;
  default: msgpack_write_nil(w); return;
  }
}

// Each value is hashed as msgpack, seeded with the hash of those before it: ("ab", "c") and ("a", "bc") differ, 1 and '1' too. Subtypes do
// not count, because a sorter loses them.
static void hash(sqlite3_context *context, int count, sqlite3_value **values) {
  struct sql_engine *engine = sqlite3_user_data(context);
  uint64_t hash = 0;
  if (count == 0) sqlite3_result_error(context, "hash() needs a value", -1);
  if (count == 0 || (count == 1 && sqlite3_value_type(values[0]) == SQLITE_NULL)) return;
  for (int i = 0; i < count; i++) {
    buffer_clear(&engine->scratch);
    buffer_reserve(&engine->scratch, (size_t)sqlite3_value_bytes(values[i]) + 16);
    struct msgpack_writer w = {.at = engine->scratch.at, .end = engine->scratch.at + engine->scratch.room};
    write_plain(&w, values[i]);
    hash = hash_bytes(engine->scratch.at, (size_t)(w.at - engine->scratch.at), hash);
  }
  sqlite3_result_int64(context, (sqlite3_int64)hash);
}

int sql_functions_register(struct sql_engine *engine) {
  static const struct {
    const char *name;
    int arguments, flags;
    void (*call)(sqlite3_context *, int, sqlite3_value **);
  } functions[] = {
      {"unescape_html", 1, SQLITE_DETERMINISTIC, unescape_html},
      {"parse_time", 1, SQLITE_DETERMINISTIC, parse_time},
      {"hash", -1, SQLITE_DETERMINISTIC, hash},
      {"weir_boolean", 1, SQLITE_DETERMINISTIC, kind_boolean},
      {"weir_timestamp", 1, SQLITE_DETERMINISTIC, kind_timestamp},
      {"weir_json", 1, SQLITE_DETERMINISTIC, kind_json},
      // Not deterministic in SQLite's sense: one value for each call of each record, never kept for a run.
      {"now", 0, 0, now},
      {"uuid", 0, 0, uuid},
  };
  int code = SQLITE_OK;
  for (size_t i = 0; i < sizeof functions / sizeof *functions && code == SQLITE_OK; i++) {
    int flags = SQLITE_UTF8 | SQLITE_INNOCUOUS | SQLITE_SUBTYPE | functions[i].flags;
    code = sqlite3_create_function_v2(engine->db, functions[i].name, functions[i].arguments, flags, engine, functions[i].call, NULL, NULL,
                                      NULL);
  }
  return code;
}
