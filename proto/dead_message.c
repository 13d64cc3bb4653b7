// Key and headers of the message that a dead letter was. See dead_message.h.
//
// Invariant: while a message is read `memory` has the room that it got before, so that pointers into it stay; what does not fit is not
// read.
#include "proto/dead_message.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/json.h"
#include "proto/memory.h"
#include "proto/msgpack.h"
#include "proto/utf8.h"

static const char hex_name[] = "hex", digits[] = "0123456789abcdef";

// ---- writing

static bool is_text(struct dead_bytes b) {
  return !memchr(b.bytes, 0, b.length) && utf8_check(b.bytes, b.length) == b.length;
}

static void put_json_text(struct buffer *out, const uint8_t *bytes, size_t length) {
  struct buffer packed = {0};
  buffer_reserve(&packed, length + 8);
  struct msgpack_writer w = {.at = packed.at, .end = packed.at + packed.room};
  msgpack_write_text(&w, (const char *)bytes, (uint32_t)length);
  const uint8_t *at = packed.at;
  msgpack_to_json(&at, w.at, out);
  buffer_free(&packed);
}

static void put_bytes(struct buffer *out, struct dead_bytes b) {
  if (!b.bytes) {
    buffer_text(out, "null");
    return;
  }
  if (is_text(b)) {
    put_json_text(out, b.bytes, b.length);
    return;
  }
  buffer_print(out, "{\"%s\":\"", hex_name);
  for (size_t i = 0; i < b.length; i++) {
    buffer_byte(out, (uint8_t)digits[b.bytes[i] >> 4]);
    buffer_byte(out, (uint8_t)digits[b.bytes[i] & 15]);
  }
  buffer_text(out, "\"}");
}

void dead_message_head(struct buffer *out, struct dead_bytes key) {
  buffer_clear(out);
  buffer_text(out, "{\"key\":");
  put_bytes(out, key);
}

void dead_message_header(struct buffer *out, const char *name, struct dead_bytes value) {
  bool first = out->at[out->length - 1] != ']';
  if (!first) out->length--;
  buffer_text(out, first ? ",\"headers\":[[" : ",[");
  // A name that is no text cannot stand in one: its bytes become '?', as in every text of a letter.
  struct buffer whole = {0};
  buffer_text(&whole, name);
  utf8_mend(whole.at, whole.length);
  put_json_text(out, whole.at, whole.length);
  buffer_free(&whole);
  buffer_byte(out, ',');
  put_bytes(out, value);
  buffer_text(out, "]]");
}

void dead_message_place(struct buffer *out, const char *topic, int32_t partition, int64_t offset) {
  buffer_text(out, ",\"topic\":");
  put_json_text(out, (const uint8_t *)topic, strlen(topic));
  buffer_print(out, ",\"partition\":%d,\"offset\":%lld", (int)partition, (long long)offset);
}

void dead_message_tail(struct buffer *out, int64_t millis, bool tombstone) {
  if (millis >= 0) buffer_print(out, ",\"timestamp\":%lld", (long long)millis);
  if (tombstone) buffer_text(out, ",\"tombstone\":true");
  buffer_byte(out, '}');
}

// ---- reading

// Room for a message out of `length` bytes: each value gets a terminator, and none is shorter than the two bytes around it there.
static void memory_prepare(struct dead_message *m, size_t length) {
  *m = (struct dead_message){.millis = -1};
  buffer_reserve(&m->memory, 2 * length + 1);
}

// With a terminator behind it, which counts for names alone. False: no room.
static bool keep(struct dead_message *m, const void *bytes, size_t length, struct dead_bytes *out) {
  if (length >= m->memory.room - m->memory.length) return false;
  *out = (struct dead_bytes){.bytes = m->memory.at + m->memory.length, .length = length};
  buffer_add(&m->memory, bytes, length);
  buffer_byte(&m->memory, 0);
  return true;
}

static int digit(uint8_t c) {
  const char *at = c ? strchr(digits, c) : NULL;
  return at ? (int)(at - digits) : -1;
}

static bool keep_hex(struct dead_message *m, const struct msgpack_value *text, struct dead_bytes *out) {
  if (text->length % 2 != 0 || text->length / 2 > m->memory.room - m->memory.length) return false;
  *out = (struct dead_bytes){.bytes = m->memory.at + m->memory.length, .length = text->length / 2};
  for (uint32_t i = 0; i < text->length; i += 2) {
    int high = digit(text->bytes[i]), low = digit(text->bytes[i + 1]);
    if (high < 0 || low < 0) return false;
    buffer_byte(&m->memory, (uint8_t)(high << 4 | low));
  }
  return true;
}

// null, a text, or {"hex": digits}.
static bool read_bytes(struct dead_message *m, const uint8_t **at, const uint8_t *end, struct dead_bytes *out) {
  struct msgpack_value value, name;
  *out = (struct dead_bytes){0};
  if (!msgpack_read(at, end, &value)) return false;
  if (value.type == MSGPACK_NIL) return true;
  if (value.type == MSGPACK_TEXT) return keep(m, value.bytes, value.length, out);
  return value.type == MSGPACK_MAP && value.length == 1 && msgpack_read(at, end, &name) && name.type == MSGPACK_TEXT &&
         name.length == strlen(hex_name) && memcmp(name.bytes, hex_name, name.length) == 0 && msgpack_read(at, end, &value) &&
         value.type == MSGPACK_TEXT && keep_hex(m, &value, out);
}

// The place of the value of a new header; NULL: no room.
static struct dead_bytes *header_add(struct dead_message *m, const struct msgpack_value *name) {
  struct dead_bytes kept;
  if (name->type != MSGPACK_TEXT || !keep(m, name->bytes, name->length, &kept)) return NULL;
  m->headers = memory_resize(m->headers, (m->header_count + 1) * sizeof *m->headers);
  struct dead_header *h = &m->headers[m->header_count++];
  *h = (struct dead_header){.name = (const char *)kept.bytes};
  return &h->value;
}

static bool read_headers(struct dead_message *m, const uint8_t *at, const uint8_t *end) {
  struct msgpack_value list, pair, name;
  if (!msgpack_read(&at, end, &list) || list.type != MSGPACK_ARRAY) return false;
  for (uint32_t i = 0; i < list.length; i++) {
    if (!msgpack_read(&at, end, &pair) || pair.type != MSGPACK_ARRAY || pair.length != 2) return false;
    if (!msgpack_read(&at, end, &name)) return false;
    struct dead_bytes *place = header_add(m, &name);
    if (!place || !read_bytes(m, &at, end, place)) return false;
  }
  return true;
}

// A whole number; false: there is none.
static bool read_number(const uint8_t *at, const uint8_t *end, const char *name, int64_t *number) {
  const uint8_t *found, *found_end;
  struct msgpack_value value;
  bool there =
      msgpack_find(at, end, name, strlen(name), &found, &found_end) && msgpack_read(&found, found_end, &value) && value.type == MSGPACK_INT;
  if (there) *number = value.i;
  return there;
}

// Where it lay: all of it, or nothing.
static void read_place(struct dead_message *m, const uint8_t *at, const uint8_t *end) {
  const uint8_t *found, *found_end;
  struct msgpack_value name;
  struct dead_bytes topic;
  int64_t partition, offset;
  if (!read_number(at, end, "partition", &partition) || !read_number(at, end, "offset", &offset) || partition < 0 ||
      partition > INT32_MAX || !msgpack_find(at, end, "topic", 5, &found, &found_end) || !msgpack_read(&found, found_end, &name) ||
      name.type != MSGPACK_TEXT || !keep(m, name.bytes, name.length, &topic))
    return;
  m->topic = (const char *)topic.bytes;
  m->partition = (int32_t)partition;
  m->offset = offset;
}

static bool read_packed(struct dead_message *m, const uint8_t *at, const uint8_t *end) {
  const uint8_t *found, *found_end;
  if (!msgpack_find(at, end, "key", 3, &found, &found_end) || !read_bytes(m, &found, found_end, &m->key)) return false;
  if (msgpack_find(at, end, "headers", 7, &found, &found_end) && !read_headers(m, found, found_end)) return false;
  read_number(at, end, "timestamp", &m->millis);
  read_place(m, at, end);
  m->tombstone = msgpack_find(at, end, "tombstone", 9, &found, &found_end);
  return true;
}

bool dead_message_read(struct dead_message *m, const char *text, size_t length) {
  struct buffer padded = {0}, packed = {0};
  struct error ignored = {0};
  *m = (struct dead_message){.millis = -1};
  if (length == 0) return false;
  memory_prepare(m, length);
  buffer_add(&padded, text, length);
  buffer_reserve(&padded, JSON_PADDING);
  struct json_parser *json = json_parser_new();
  bool good =
      json_to_msgpack(json, (const char *)padded.at, length, &packed, &ignored) && read_packed(m, packed.at, packed.at + packed.length);
  json_parser_free(json);
  buffer_free(&padded);
  buffer_free(&packed);
  if (good) return true;
  dead_message_free(m);
  return false;
}

size_t dead_message_size(const struct dead_message *m) {
  enum { HEADER_OVERHEAD = 8 };
  size_t size = m->key.length;
  for (size_t i = 0; i < m->header_count; i++) size += strlen(m->headers[i].name) + m->headers[i].value.length + HEADER_OVERHEAD;
  return size;
}

void dead_message_free(struct dead_message *m) {
  free(m->headers);
  buffer_free(&m->memory);
  *m = (struct dead_message){.millis = -1};
}
