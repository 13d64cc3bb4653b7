// Writing and reading what a record carries of its message: see message_tail.h.
#include "proto/message_tail.h"

#include <string.h>

#include "proto/limits.h"
#include "proto/msgpack.h"

enum { HEAD = 9 }; // of any value, at most

static void put_bytes(struct msgpack_writer *w, struct dead_bytes b) {
  if (b.bytes)
    msgpack_write_bytes(w, b.bytes, (uint32_t)b.length);
  else
    msgpack_write_nil(w);
}

// Room for values of `length` bytes in all. False: no tail is that long, and it is marked so by its own length.
static bool room_make(struct buffer *out, size_t length, struct msgpack_writer *w) {
  if (length > MESSAGE_TAIL_MOST || out->length > MESSAGE_TAIL_MOST) {
    buffer_reserve(out, MESSAGE_TAIL_MOST + 1);
    out->length = MESSAGE_TAIL_MOST + 1;
    return false;
  }
  buffer_reserve(out, length + (size_t)6 * HEAD);
  *w = (struct msgpack_writer){.at = out->at + out->length, .end = out->at + out->room};
  return true;
}

void message_tail_begin(struct buffer *out, const struct dead_message *m) {
  struct msgpack_writer w;
  const char *topic = m->topic ? m->topic : "";
  size_t topic_length = strlen(topic);
  out->length = 0;
  if (!room_make(out, m->key.length + topic_length, &w)) return;
  put_bytes(&w, m->key);
  msgpack_write_text(&w, topic, (uint32_t)topic_length);
  msgpack_write_int(&w, m->partition);
  msgpack_write_int(&w, m->offset);
  msgpack_write_int(&w, m->millis);
  msgpack_write_bool(&w, m->tombstone);
  out->length = (size_t)(w.at - out->at);
  for (size_t i = 0; i < m->header_count; i++) message_tail_header(out, m->headers[i].name, m->headers[i].value);
}

bool message_tail_header(struct buffer *out, const char *name, struct dead_bytes value) {
  struct msgpack_writer w;
  size_t name_length = strlen(name);
  if (!room_make(out, name_length + value.length, &w)) return false;
  msgpack_write_text(&w, name, (uint32_t)name_length);
  put_bytes(&w, value);
  out->length = (size_t)(w.at - out->at);
  return true;
}

void message_tail_end(struct buffer *out, size_t most) {
  if (out->length > most || out->length > MESSAGE_TAIL_MOST) out->length = 0;
}

// ---- reading

static bool take_bytes(const uint8_t **at, const uint8_t *end, struct dead_bytes *b) {
  struct msgpack_value value;
  if (!msgpack_read(at, end, &value) || (value.type != MSGPACK_BYTES && value.type != MSGPACK_NIL)) return false;
  *b = (struct dead_bytes){.bytes = value.type == MSGPACK_NIL ? NULL : value.bytes, .length = value.type == MSGPACK_NIL ? 0 : value.length};
  return true;
}

// A text, terminated, in the place of what `name` held.
static bool take_text(const uint8_t **at, const uint8_t *end, struct buffer *name) {
  struct msgpack_value value;
  if (!msgpack_read(at, end, &value) || value.type != MSGPACK_TEXT || memchr(value.bytes, 0, value.length)) return false;
  buffer_clear(name);
  buffer_add(name, value.bytes, value.length);
  buffer_byte(name, 0);
  return true;
}

static bool take_int(const uint8_t **at, const uint8_t *end, int64_t least, int64_t most, int64_t *number) {
  struct msgpack_value value;
  if (!msgpack_read(at, end, &value) || value.type != MSGPACK_INT || value.i < least || value.i > most) return false;
  *number = value.i;
  return true;
}

static bool text_make(const uint8_t *at, const uint8_t *end, struct buffer *topic, struct buffer *name, struct buffer *out) {
  struct dead_bytes key, value;
  struct msgpack_value tombstone;
  int64_t partition, offset, millis;
  if (!take_bytes(&at, end, &key) || !take_text(&at, end, topic) || !take_int(&at, end, 0, INT32_MAX, &partition) ||
      !take_int(&at, end, INT64_MIN, INT64_MAX, &offset) || !take_int(&at, end, INT64_MIN, INT64_MAX, &millis) ||
      !msgpack_read(&at, end, &tombstone) || tombstone.type != MSGPACK_BOOL)
    return false;
  dead_message_head(out, key);
  while (at < end) {
    if (!take_text(&at, end, name) || !take_bytes(&at, end, &value)) return false;
    dead_message_header(out, (const char *)name->at, value);
  }
  if (topic->length > 1) dead_message_place(out, (const char *)topic->at, (int32_t)partition, offset);
  dead_message_tail(out, millis, tombstone.boolean);
  return out->length <= LIMIT_DEAD_MESSAGE;
}

void message_tail_text(const uint8_t *at, size_t length, struct buffer *out) {
  struct buffer topic = {0}, name = {0};
  buffer_clear(out);
  if (length > 0 && !text_make(at, at + length, &topic, &name, out)) buffer_clear(out);
  buffer_free(&topic);
  buffer_free(&name);
}
