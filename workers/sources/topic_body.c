// The body of a record: see topic_body.h. A value that is no object is the one field `value`. A metadata field of our own always wins over
// one of the same name in the payload: what `_offset` says must be the broker's word.
#include "workers/sources/topic_body.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/utf8.h"

enum { MAP_HEAD = 5, HEADERS_MOST = 1000 };

static const char *const meta_names[TOPIC_METAS] = {
    [TOPIC_KEY] = "_key",       [TOPIC_TOPIC] = "_topic",         [TOPIC_PARTITION] = "_partition",
    [TOPIC_OFFSET] = "_offset", [TOPIC_TIMESTAMP] = "_timestamp", [TOPIC_HEADERS] = "_headers"};

static bool format_find(struct job_value settings, const char *setting, const char *otherwise, enum topic_format *format, struct error *e) {
  static const char *const names[] = {
      [TOPIC_JSON] = "json", [TOPIC_MSGPACK] = "msgpack", [TOPIC_STRING] = "string", [TOPIC_BYTES] = "bytes"};
  char *name = job_text(settings, setting, otherwise);
  size_t i = 0, count = sizeof names / sizeof *names;
  while (i < count && strcmp(names[i], name) != 0) i++;
  if (i == count) error_set(e, ERROR_CONFIG, "format", "%s is json, msgpack, string or bytes, not \"%s\"", setting, name);
  free(name);
  *format = (enum topic_format)i;
  return i < count;
}

static bool wanted_load(struct topic_body *b, struct job_value settings, struct error *e) {
  struct job_walk walk = job_walk_start(job_get(settings, "metadata"));
  struct job_value one;
  bool good = true;
  while (good && !walk.map && job_walk_next(&walk, NULL, &one)) {
    char *name = job_value_text(one);
    size_t i = 0;
    while (i < TOPIC_METAS && name && strcmp(meta_names[i], name) != 0) i++;
    good = name && i < TOPIC_METAS;
    if (good) b->wanted[i] = true;
    if (!good)
      error_set(e, ERROR_CONFIG, "metadata", "metadata is of _key, _topic, _partition, _offset, _timestamp, _headers, not \"%s\"",
                name ? name : "");
    free(name);
  }
  return good;
}

bool topic_body_open(struct topic_body *b, struct job_value settings, struct error *e) {
  *b = (struct topic_body){.headers = kafka_record_headers};
  if (!format_find(settings, "format", "json", &b->value_format, e) || !format_find(settings, "key_format", "string", &b->key_format, e) ||
      !wanted_load(b, settings, e))
    return false;
  b->plain = b->value_format == TOPIC_JSON;
  for (size_t i = 0; i < TOPIC_METAS; i++) b->plain = b->plain && !b->wanted[i];
  b->json = json_parser_new();
  return true;
}

void topic_body_close(struct topic_body *b) {
  json_parser_free(b->json);
  buffer_free(&b->text);
  buffer_free(&b->key);
  buffer_free(&b->value);
  buffer_free(&b->body);
}

void topic_body_trim(struct topic_body *b) {
  buffer_free(&b->text);
  buffer_free(&b->key);
  buffer_free(&b->value);
  buffer_free(&b->body);
  json_parser_trim(b->json);
}

size_t topic_body_room(uint32_t length) {
  // What json_to_msgpack_at asks for at most, so that it need not go through memory of its own.
  return (size_t)length / 4 * 9 + 160;
}

// The parser reads beyond the end of a document, and behind a record there may be nothing.
static const char *padded(struct topic_body *b, const uint8_t *bytes, uint32_t length) {
  buffer_clear(&b->text);
  buffer_reserve(&b->text, (size_t)length + JSON_PADDING);
  memcpy(b->text.at, bytes, length);
  return (const char *)b->text.at;
}

bool topic_body_plain(struct topic_body *b, const struct kafka_record *r, struct msgpack_writer *out) {
  struct error ignored;
  if (r->value_length == 0 || r->value[0] != '{') return false;
  ignored.class = ERROR_NONE;
  return json_to_msgpack_at(b->json, padded(b, r->value, r->value_length), r->value_length, out, &ignored);
}

// ---- one key or value

static void put_value(struct buffer *out, bool text, const uint8_t *bytes, uint32_t length) {
  buffer_reserve(out, (size_t)length + MAP_HEAD);
  struct msgpack_writer w = {.at = out->at + out->length, .end = out->at + out->room};
  if (!bytes)
    msgpack_write_nil(&w);
  else if (text)
    msgpack_write_text(&w, (const char *)bytes, length);
  else
    msgpack_write_bytes(&w, bytes, length);
  out->length = (size_t)(w.at - out->at);
}

static bool is_text(const uint8_t *bytes, size_t length) {
  return utf8_check(bytes, length) == length;
}

// A key or a value as one msgpack value behind what `out` holds. `bytes` NULL: null.
static bool decode(struct topic_body *b, enum topic_format format, const char *what, const uint8_t *bytes, uint32_t length,
                   struct buffer *out, struct error *why) {
  if (!bytes) {
    put_value(out, false, NULL, 0);
    return true;
  }
  switch (format) {
  case TOPIC_JSON:
    if (!json_to_msgpack(b->json, padded(b, bytes, length), length, out, why)) return false;
    return true;
  case TOPIC_MSGPACK:
    if (!msgpack_valid(bytes, bytes + length)) {
      error_set(why, ERROR_DATA, "msgpack", "the %s is not one well-formed msgpack value", what);
      return false;
    }
    buffer_add(out, bytes, length);
    return true;
  case TOPIC_STRING:
    if (!is_text(bytes, length)) {
      error_set(why, ERROR_DATA, "utf8", "the %s is not UTF-8: format bytes takes it", what);
      return false;
    }
    put_value(out, true, bytes, length);
    return true;
  case TOPIC_BYTES: put_value(out, false, bytes, length); return true;
  }
  error_set(why, ERROR_FAULT, "format", "there is no such format");
  return false;
}

static bool key_decode(struct topic_body *b, const struct kafka_record *r, struct error *why) {
  buffer_clear(&b->key);
  if (decode(b, b->key_format, "key", r->key, r->key_length, &b->key, why)) return true;
  struct error of_key = *why;
  error_set(why, ERROR_DATA, "key", "the key cannot be read (%s)", of_key.text);
  return false;
}

// ---- the whole

static void put_name(struct buffer *out, const char *name) {
  put_value(out, true, (const uint8_t *)name, (uint32_t)strlen(name));
}

struct headers {
  struct buffer *out;
  size_t at[HEADERS_MOST]; // where each pair begins
  uint32_t count;
};

// Of headers with the same name the last one counts, as it does in JSON.
static void header_drop(struct headers *h, const char *name, size_t length) {
  for (uint32_t i = 0; i < h->count; i++) {
    const uint8_t *at = h->out->at + h->at[i], *end = h->out->at + h->out->length;
    struct msgpack_value key;
    if (!msgpack_read(&at, end, &key) || key.length != length || memcmp(key.bytes, name, length) != 0) continue;
    msgpack_skip(&at, end);
    size_t pair = (size_t)(at - h->out->at) - h->at[i];
    memmove(h->out->at + h->at[i], at, (size_t)(end - at));
    h->out->length -= pair;
    for (uint32_t j = i + 1; j < h->count; j++) h->at[j - 1] = h->at[j] - pair;
    h->count--;
    return;
  }
}

static bool header_put(void *context, const char *name, const void *value, size_t length) {
  struct headers *h = context;
  size_t name_length = strlen(name);
  if (h->count == HEADERS_MOST || length > LIMIT_RECORD) return false;
  // A name that is no text cannot be the key of a map.
  if (!is_text((const uint8_t *)name, name_length)) return true;
  header_drop(h, name, name_length);
  h->at[h->count++] = h->out->length;
  put_name(h->out, name);
  put_value(h->out, value && is_text(value, length), value, (uint32_t)length);
  return true;
}

static void headers_put(struct topic_body *b, const struct kafka_record *r) {
  struct buffer *out = &b->body;
  struct headers h = {.out = out};
  size_t head = out->length;
  buffer_reserve(out, MAP_HEAD);
  out->length += MAP_HEAD;
  b->headers(r, header_put, &h);
  struct msgpack_writer w = {.at = out->at + head, .end = out->at + head + MAP_HEAD};
  msgpack_map_close(msgpack_map_open(&w), h.count);
}

static void scalar_put(struct buffer *out, enum topic_meta which, const struct kafka_record *r) {
  buffer_reserve(out, 32);
  struct msgpack_writer w = {.at = out->at + out->length, .end = out->at + out->room};
  if (which == TOPIC_PARTITION)
    msgpack_write_int(&w, r->partition);
  else if (which == TOPIC_OFFSET)
    msgpack_write_int(&w, r->offset);
  else if (r->millis >= 0 && r->millis <= INT64_MAX / 1000)
    msgpack_write_timestamp(&w, r->millis * 1000);
  else
    msgpack_write_nil(&w);
  out->length = (size_t)(w.at - out->at);
}

static void meta_put(struct topic_body *b, enum topic_meta which, const struct kafka_record *r, const char *topic) {
  put_name(&b->body, meta_names[which]);
  switch (which) {
  case TOPIC_KEY: buffer_add(&b->body, b->key.at, b->key.length); return;
  case TOPIC_TOPIC: put_name(&b->body, topic); return;
  case TOPIC_PARTITION:
  case TOPIC_OFFSET:
  case TOPIC_TIMESTAMP: scalar_put(&b->body, which, r); return;
  case TOPIC_HEADERS: headers_put(b, r); return;
  case TOPIC_METAS: return;
  }
}

static bool is_meta(const struct topic_body *b, const bool *wanted, const struct msgpack_value *name) {
  (void)b;
  if (name->type != MSGPACK_TEXT || name->length == 0 || name->bytes[0] != '_') return false;
  for (size_t i = 0; i < TOPIC_METAS; i++)
    if (wanted[i] && name->length == strlen(meta_names[i]) && memcmp(name->bytes, meta_names[i], name->length) == 0) return true;
  return false;
}

// The pairs of the map at `at`, but those that metadata takes the place of. Returns how many.
static uint32_t pairs_put(struct topic_body *b, const bool *wanted, const uint8_t *at, const uint8_t *end, uint32_t count) {
  uint32_t put = 0;
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t *from = at;
    struct msgpack_value name;
    if (!msgpack_read(&at, end, &name) || !msgpack_skip(&at, end)) break;
    if (is_meta(b, wanted, &name)) continue;
    buffer_add(&b->body, from, (size_t)(at - from));
    put++;
  }
  return put;
}

bool topic_body_make(struct topic_body *b, const struct kafka_record *r, const char *topic, struct error *why) {
  bool wanted[TOPIC_METAS];
  memcpy(wanted, b->wanted, sizeof wanted);
  if ((!r->value || wanted[TOPIC_KEY]) && !key_decode(b, r, why)) return false;
  buffer_clear(&b->value);
  if (r->value && !decode(b, b->value_format, "value", r->value, r->value_length, &b->value, why)) return false;
  const struct buffer *from = r->value ? &b->value : &b->key;
  const uint8_t *at = from->at, *end = from->at + from->length;
  struct msgpack_value head = {.type = MSGPACK_NIL};
  bool fields = msgpack_read(&at, end, &head) && head.type == MSGPACK_MAP;
  // A tombstone says at least what its key is.
  if (!r->value && !fields) wanted[TOPIC_KEY] = true;
  buffer_clear(&b->body);
  buffer_reserve(&b->body, MAP_HEAD);
  b->body.length = MAP_HEAD;
  uint32_t count = 0;
  if (fields) {
    count = pairs_put(b, wanted, at, end, head.length);
  } else if (r->value) {
    put_name(&b->body, "value");
    buffer_add(&b->body, from->at, from->length);
    count = 1;
  }
  for (size_t i = 0; i < TOPIC_METAS; i++) {
    if (!wanted[i]) continue;
    meta_put(b, (enum topic_meta)i, r, topic);
    count++;
  }
  struct msgpack_writer w = {.at = b->body.at, .end = b->body.at + MAP_HEAD};
  msgpack_map_close(msgpack_map_open(&w), count);
  return true;
}
