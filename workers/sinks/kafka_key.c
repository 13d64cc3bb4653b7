// The key of a message by an SQL expression.
//
// Which fields it names nobody has to say: SQLite names the column that it misses, one by one, until it misses none.
#include "workers/sinks/kafka_key.h"

#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/msgpack.h"
#include "workers/clients/sqlite.h"

enum { COLUMNS_MOST = 64 };

struct kafka_key {
  struct sqlite *db;
  char *sql;
  struct topic_names columns;
  struct msgpack_path *paths[COLUMNS_MOST];
  struct buffer texts[COLUMNS_MOST]; // of values that are no scalars
  struct json_parser *json;
};

static char *statement(const struct kafka_key *k, const char *expression) {
  struct buffer sql = {0};
  buffer_print(&sql, "SELECT (%s\n) FROM (SELECT 0 AS \"weir:none\"", expression);
  for (size_t i = 0; i < k->columns.count; i++) {
    char *name = sqlite_quote_name(k->columns.at[i]);
    buffer_print(&sql, ", ?%zu AS %s", i + 1, name);
    free(name);
  }
  buffer_byte(&sql, ')');
  char *text = memory_text(buffer_cstring(&sql));
  buffer_free(&sql);
  return text;
}

// The column that an error of SQLite says is missing; NULL: it says something else. Owned by the caller.
static char *missing_column(const char *text) {
  static const char words[] = "no such column: ";
  const char *found = strstr(text, words);
  if (!found) return NULL;
  found += strlen(words);
  return memory_text_n(found, strcspn(found, "\n"));
}

static bool add_column(struct kafka_key *k, char *name) {
  struct error e = {0};
  bool fits = k->columns.count < COLUMNS_MOST && strlen(name) <= LIMIT_PATH;
  for (size_t i = 0; i < k->columns.count; i++) fits = fits && strcmp(k->columns.at[i], name) != 0;
  struct msgpack_path *path = fits ? msgpack_path_new(name, &e) : NULL;
  if (!path) {
    free(name);
    return false;
  }
  k->paths[k->columns.count] = path;
  k->columns.at = memory_resize(k->columns.at, (k->columns.count + 1) * sizeof *k->columns.at);
  k->columns.at[k->columns.count++] = name;
  return true;
}

static bool find_columns(struct kafka_key *k, const char *expression, struct error *e) {
  for (;;) {
    free(k->sql);
    k->sql = statement(k, expression);
    if (sqlite_prepare(k->db, k->sql, e)) return true;
    char *name = missing_column(e->text);
    if (!name || !add_column(k, name)) break;
    error_clear(e);
  }
  char *why = memory_text(e->text);
  error_set(e, ERROR_CONFIG, "key_sql", "`key_sql` is no expression over the record's fields: %s", why);
  free(why);
  return false;
}

struct kafka_key *kafka_key_open(const char *expression, struct error *e) {
  struct kafka_key *k = memory_get(sizeof *k);
  k->json = json_parser_new();
  k->db = sqlite_open(":memory:", SQLITE_MAKE, 0, e);
  if (k->db && find_columns(k, expression, e)) return k;
  kafka_key_close(k);
  return NULL;
}

void kafka_key_close(struct kafka_key *k) {
  if (!k) return;
  sqlite_close(k->db);
  for (size_t i = 0; i < k->columns.count; i++) {
    free(k->columns.at[i]);
    msgpack_path_free(k->paths[i]);
    buffer_free(&k->texts[i]);
  }
  free(k->columns.at);
  free(k->sql);
  json_parser_free(k->json);
  free(k);
}

const struct topic_names *kafka_key_columns(const struct kafka_key *k) {
  return &k->columns;
}

// ---- one record

static bool bind_value(struct kafka_key *k, struct sqlite_query *q, size_t i, const uint8_t *at, const uint8_t *end) {
  const uint8_t *look = at;
  struct msgpack_value value;
  char time[CLOCK_TEXT];
  int index = (int)i + 1;
  struct buffer *text = &k->texts[i];
  if (!msgpack_read(&look, end, &value)) return false;
  buffer_clear(text);
  switch (value.type) {
  case MSGPACK_NIL: sqlite_bind_null(q, index); return true;
  case MSGPACK_BOOL: sqlite_bind_int(q, index, value.boolean); return true;
  case MSGPACK_INT: sqlite_bind_int(q, index, value.i); return true;
  case MSGPACK_DOUBLE: sqlite_bind_double(q, index, value.d); return true;
  case MSGPACK_TEXT: sqlite_bind_text(q, index, (const char *)value.bytes, value.length); return true;
  case MSGPACK_BYTES: sqlite_bind_blob(q, index, value.bytes, value.length); return true;
  case MSGPACK_TIMESTAMP: buffer_add(text, time, clock_print(value.micros, time)); break;
  case MSGPACK_UINT: // its digits: SQLite has no such integers
  case MSGPACK_ARRAY:
  case MSGPACK_MAP:
  case MSGPACK_EXT:
    if (!msgpack_to_json(&at, end, text)) return false;
    break;
  }
  sqlite_bind_text(q, index, (const char *)text->at, text->length);
  return true;
}

// A text that is a JSON object or array stands as it is (json_object and the like), any other is a JSON string.
static bool put_json_text(struct kafka_key *k, const char *text, size_t length, struct buffer *out) {
  struct buffer typed = {0};
  struct error ignored = {0};
  bool good = false;
  if (length > 0 && (text[0] == '{' || text[0] == '[')) {
    char *padded = memory_get(length + JSON_PADDING);
    memcpy(padded, text, length);
    good = json_to_msgpack(k->json, padded, length, &typed, &ignored);
    free(padded);
  }
  if (!good) {
    uint8_t head[8];
    uint8_t *behind = msgpack_put_text_head(head, (uint32_t)length);
    buffer_clear(&typed);
    buffer_add(&typed, head, (size_t)(behind - head));
    buffer_add(&typed, text, length);
  }
  const uint8_t *at = typed.at;
  good = msgpack_to_json(&at, typed.at + typed.length, out);
  buffer_free(&typed);
  return good;
}

static bool put_typed(struct kafka_key *k, struct sqlite_query *q, struct buffer *out) {
  size_t length;
  const char *text = sqlite_column_text(q, 0, &length);
  if (sqlite_column_kind(q, 0) == SQLITE_IS_TEXT) return put_json_text(k, text, length, out);
  buffer_add(out, text, length); // numbers
  return true;
}

static bool put_result(struct kafka_key *k, enum topic_format format, struct sqlite_query *q, struct buffer *out) {
  size_t length;
  if (format == TOPIC_STRING || format == TOPIC_BYTES) {
    const void *bytes = sqlite_column_kind(q, 0) == SQLITE_IS_BLOB ? sqlite_column_blob(q, 0, &length) : sqlite_column_text(q, 0, &length);
    buffer_add(out, bytes, length);
    return true;
  }
  if (format == TOPIC_JSON) return put_typed(k, q, out);
  struct buffer json = {0};
  struct error ignored = {0};
  bool good = put_typed(k, q, &json);
  size_t json_length = json.length;
  buffer_reserve(&json, JSON_PADDING);
  good = good && json_to_msgpack(k->json, (const char *)json.at, json_length, out, &ignored);
  buffer_free(&json);
  return good;
}

bool kafka_key_make(struct kafka_key *k, enum topic_format format, const uint8_t *body, const uint8_t *end, struct buffer *out,
                    struct error *e) {
  struct sqlite_query *q = sqlite_prepare(k->db, k->sql, e);
  if (!q) return false;
  for (size_t i = 0; i < k->columns.count; i++) {
    const uint8_t *at, *behind;
    bool found = msgpack_path_find(k->paths[i], body, end, &at, &behind);
    if (!found) sqlite_bind_null(q, (int)i + 1);
    if (!found || bind_value(k, q, i, at, behind)) continue;
    error_set(e, ERROR_DATA, "msgpack", "the record is broken");
    return false;
  }
  if (sqlite_step(q, e) != SQLITE_GOT_ROW) {
    if (!error_is_set(e)) error_set(e, ERROR_DATA, "null-key", "the expression of the key gives nothing");
    e->class = ERROR_DATA;
    return false;
  }
  bool null = sqlite_column_kind(q, 0) == SQLITE_IS_NULL, good = !null && put_result(k, format, q, out);
  sqlite_reset(q);
  if (null) error_set(e, ERROR_DATA, "null-key", "the expression of the key gives null");
  if (!null && !good) error_set(e, ERROR_DATA, "key", "the expression of the key gives nothing that can be a key");
  return good;
}
