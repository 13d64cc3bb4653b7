// Records as messages of a topic.
//
// A key that is missing or null is a dead letter: without it the message would go to any partition, and its order and its deletes with it.
// A value of one column that is null is one too: a message without a value deletes, and nobody has asked for that.
#include "workers/sinks/kafka_rows.h"

#include <string.h>

#include "proto/clock.h"
#include "proto/msgpack.h"

static bool fail(struct kafka_fault *fault, const char *reason, const char *code, const char *column) {
  fault->reason = reason;
  fault->code = code;
  fault->column = column;
  return false;
}

// What a source sends as it came has its key below a field ("login.uuid"). Stages give plain columns, which never come here.
static bool find_below(const struct batch_row *record, const char *path, const uint8_t **at, const uint8_t **end) {
  struct error e = {0};
  if (!strpbrk(path, ".[")) return false;
  struct msgpack_path *steps = msgpack_path_new(path, &e);
  bool found = steps && msgpack_path_find(steps, record->body, record->end, at, end);
  msgpack_path_free(steps);
  return found;
}

// A field with a value that is not null. False: none.
static bool find(const struct batch_row *record, const char *column, const uint8_t **at, const uint8_t **end) {
  const uint8_t *look;
  struct msgpack_value value;
  if (!msgpack_find(record->body, record->end, column, strlen(column), at, end) && !find_below(record, column, at, end)) return false;
  look = *at;
  return msgpack_read(&look, *end, &value) && value.type != MSGPACK_NIL;
}

// ---- one value

static bool put_text(const uint8_t *at, const uint8_t *end, struct buffer *out) {
  const uint8_t *look = at;
  struct msgpack_value value;
  char time[CLOCK_TEXT];
  if (!msgpack_read(&look, end, &value)) return false;
  if (value.type == MSGPACK_TEXT || value.type == MSGPACK_BYTES)
    buffer_add(out, value.bytes, value.length);
  else if (value.type == MSGPACK_TIMESTAMP)
    buffer_add(out, time, clock_print(value.micros, time));
  else
    return msgpack_to_json(&at, end, out);
  return true;
}

bool kafka_column_text(const struct batch_row *record, const char *column, struct buffer *out, struct kafka_place *place) {
  const uint8_t *at, *end;
  *place = (struct kafka_place){.at = out->length};
  place->is_there = find(record, column, &at, &end) && put_text(at, end, out);
  place->length = out->length - place->at;
  return place->is_there;
}

// ---- several columns as one object or list

static void put_head(struct buffer *out, uint32_t count, bool map) {
  uint8_t head[8];
  struct msgpack_writer w = {.at = head, .end = head + sizeof head};
  if (map)
    msgpack_write_map(&w, count);
  else
    msgpack_write_array(&w, count);
  buffer_add(out, head, (size_t)(w.at - head));
}

static void put_name(struct buffer *out, const char *name) {
  size_t length = strlen(name);
  uint8_t head[8];
  struct msgpack_writer w = {.at = head, .end = head + sizeof head};
  // Only the head of the text: its bytes go behind it.
  w.at = msgpack_put_text_head(w.at, (uint32_t)length);
  buffer_add(out, head, (size_t)(w.at - head));
  buffer_add(out, name, length);
}

static bool put_json_name(struct buffer *out, const char *name) {
  struct buffer typed = {0};
  put_name(&typed, name);
  const uint8_t *at = typed.at;
  bool good = msgpack_to_json(&at, typed.at + typed.length, out);
  buffer_free(&typed);
  return good;
}

// {"a": .., "b": ..} of the columns that the record has. `all`: each must be there and not null.
static bool put_object(const struct topic_names *names, const struct batch_row *record, bool json, bool all, struct buffer *out,
                       struct kafka_fault *fault) {
  const uint8_t *at, *end;
  uint32_t count = 0;
  for (size_t i = 0; i < names->count; i++) {
    size_t length = strlen(names->at[i]);
    bool present = all ? find(record, names->at[i], &at, &end) : msgpack_find(record->body, record->end, names->at[i], length, &at, &end);
    if (!present && all) return fail(fault, "a column of the key is missing or null", "null-key", names->at[i]);
    count += present;
  }
  if (json)
    buffer_byte(out, '{');
  else
    put_head(out, count, true);
  count = 0;
  for (size_t i = 0; i < names->count; i++) {
    if (!msgpack_find(record->body, record->end, names->at[i], strlen(names->at[i]), &at, &end)) continue;
    if (json) {
      if (count++ > 0) buffer_byte(out, ',');
      if (!put_json_name(out, names->at[i])) return fail(fault, "the record is broken", "msgpack", NULL);
      buffer_byte(out, ':');
      if (!msgpack_to_json(&at, end, out)) return fail(fault, "the record is broken", "msgpack", names->at[i]);
    } else {
      put_name(out, names->at[i]);
      buffer_add(out, at, (size_t)(end - at));
    }
  }
  if (json) buffer_byte(out, '}');
  return true;
}

// A key of text made of several columns: a JSON array, which nothing in the columns can make ambiguous.
static bool put_list(const struct topic_names *names, const struct batch_row *record, struct buffer *out, struct kafka_fault *fault) {
  buffer_byte(out, '[');
  for (size_t i = 0; i < names->count; i++) {
    const uint8_t *at, *end;
    if (!find(record, names->at[i], &at, &end)) return fail(fault, "a column of the key is missing or null", "null-key", names->at[i]);
    if (i > 0) buffer_byte(out, ',');
    if (!msgpack_to_json(&at, end, out)) return fail(fault, "the record is broken", "msgpack", names->at[i]);
  }
  buffer_byte(out, ']');
  return true;
}

// ---- keys

static bool put_key_column(const char *column, const struct batch_row *record, struct buffer *out, struct kafka_fault *fault) {
  struct kafka_place place;
  if (kafka_column_text(record, column, out, &place)) return true;
  return fail(fault, "a column of the key is missing or null", "null-key", column);
}

// A tombstone brings the fields of its key, or `_key` alone when the key was no object.
static bool put_tombstone_key(const struct topic_settings *s, const struct batch_row *record, struct buffer *out,
                              struct kafka_fault *fault) {
  const uint8_t *at, *end;
  bool bare = find(record, "_key", &at, &end);
  if (bare && (s->key.count == 0 || (s->key.count == 1 && !find(record, s->key.at[0], &at, &end)))) {
    if (s->key.count == 0 || s->key_format == TOPIC_STRING || s->key_format == TOPIC_BYTES)
      return put_key_column("_key", record, out, fault);
    // An object of one column whose name the settings know.
    const uint8_t *value = NULL, *value_end = NULL;
    find(record, "_key", &value, &value_end);
    bool json = s->key_format == TOPIC_JSON;
    if (!json) {
      put_head(out, 1, true);
      put_name(out, s->key.at[0]);
      buffer_add(out, value, (size_t)(value_end - value));
      return true;
    }
    buffer_byte(out, '{');
    bool good = put_json_name(out, s->key.at[0]);
    buffer_byte(out, ':');
    good = good && msgpack_to_json(&value, value_end, out);
    buffer_byte(out, '}');
    return good || fail(fault, "the record is broken", "msgpack", "_key");
  }
  if (s->key.count > 0) return true; // by the columns, as for any other record
  return fail(fault, "a tombstone without a key deletes nothing", "null-key", NULL);
}

static bool put_key_sql(const struct topic_settings *s, struct kafka_key *key, const struct batch_row *record, struct buffer *out,
                        struct kafka_fault *fault) {
  error_clear(&fault->e);
  return kafka_key_make(key, s->key_format, record->body, record->end, out, &fault->e) || fail(fault, fault->e.text, fault->e.code, NULL);
}

static bool put_key(const struct topic_settings *s, struct kafka_key *key, const struct batch_row *record, struct buffer *out,
                    struct kafka_place *place, struct kafka_fault *fault) {
  *place = (struct kafka_place){.at = out->length};
  if (key && !record->is_delete) {
    if (!put_key_sql(s, key, record, out, fault)) return false;
    place->is_there = true;
    place->length = out->length - place->at;
    return true;
  }
  if (record->is_delete && !put_tombstone_key(s, record, out, fault)) return false;
  bool by_columns = s->key.count > 0 && out->length == place->at;
  bool good = true;
  if (by_columns) switch (s->key_format) {
    case TOPIC_JSON: good = put_object(&s->key, record, true, true, out, fault); break;
    case TOPIC_MSGPACK: good = put_object(&s->key, record, false, true, out, fault); break;
    case TOPIC_STRING:
    case TOPIC_BYTES:
      good = s->key.count == 1 ? put_key_column(s->key.at[0], record, out, fault) : put_list(&s->key, record, out, fault);
      break;
    }
  place->is_there = by_columns || record->is_delete;
  place->length = out->length - place->at;
  return good;
}

// ---- values

static bool put_whole(const struct batch_row *record, bool json, struct buffer *out, struct kafka_fault *fault) {
  const uint8_t *at = record->body;
  if (!json) {
    buffer_add(out, record->body, (size_t)(record->end - record->body));
    return msgpack_skip(&at, record->end) && at == record->end ? true : fail(fault, "the record is broken", "msgpack", NULL);
  }
  return msgpack_to_json(&at, record->end, out) && at == record->end ? true : fail(fault, "the record is broken", "msgpack", NULL);
}

static bool put_value(const struct topic_settings *s, const struct batch_row *record, struct buffer *out, struct kafka_fault *fault) {
  const char *column = s->value.count > 0 ? s->value.at[0] : "value";
  struct kafka_place place;
  switch (s->format) {
  case TOPIC_JSON:
  case TOPIC_MSGPACK:
    if (s->value.count == 0) return put_whole(record, s->format == TOPIC_JSON, out, fault);
    return put_object(&s->value, record, s->format == TOPIC_JSON, false, out, fault);
  case TOPIC_STRING:
  case TOPIC_BYTES:
    if (kafka_column_text(record, column, out, &place)) return true;
    return fail(fault, "the column that is the value is missing or null", "null-value", column);
  }
  return false;
}

bool kafka_row_make(const struct topic_settings *s, struct kafka_key *key, const struct batch_row *record, struct buffer *out,
                    struct kafka_row *row, struct kafka_fault *fault) {
  size_t before = out->length;
  *row = (struct kafka_row){0};
  bool good = put_key(s, key, record, out, &row->key, fault);
  if (good && !record->is_delete) {
    row->value.at = out->length;
    good = put_value(s, record, out, fault);
    row->value.is_there = true;
    row->value.length = out->length - row->value.at;
  }
  if (!good) out->length = before;
  return good;
}
