// Values straight out of a record, by the type of their column.
#include "workers/sinks/postgres_plain.h"

#include <string.h>

#include "proto/clock.h"
#include "proto/msgpack.h"

static const int64_t from_1970_to_2000 = 946684800000000; // microseconds

static uint8_t *put_null(uint8_t *to) {
  msgpack_store32(to, UINT32_MAX);
  return to + 4;
}

static bool read_int(const uint8_t *at, int64_t *value) {
  uint8_t head = *at++;
  if (head < MSGPACK_B_FIXMAP || head >= MSGPACK_B_FIXNEGATIVE) {
    *value = (int8_t)head;
    return true;
  }
  switch (head) {
  case MSGPACK_B_UINT8: *value = *at; return true;
  case MSGPACK_B_UINT16: *value = msgpack_load16(at); return true;
  case MSGPACK_B_UINT32: *value = msgpack_load32(at); return true;
  case MSGPACK_B_INT8: *value = (int8_t)*at; return true;
  case MSGPACK_B_INT16: *value = (int16_t)msgpack_load16(at); return true;
  case MSGPACK_B_INT32: *value = (int32_t)msgpack_load32(at); return true;
  case MSGPACK_B_INT64: *value = (int64_t)msgpack_load64(at); return true;
  default: return false;
  }
}

static uint8_t *put_int(uint8_t *to, enum column_type type, const uint8_t *at) {
  int64_t value;
  if (!read_int(at, &value)) return NULL;
  if (type == COLUMN_BIGINT) {
    msgpack_store32(to, 8);
    msgpack_store64(to + 4, (uint64_t)value);
    return to + 12;
  }
  if (type == COLUMN_INT) {
    if (value != (int32_t)value) return NULL;
    msgpack_store32(to, 4);
    msgpack_store32(to + 4, (uint32_t)value);
    return to + 8;
  }
  if (value != (int16_t)value) return NULL;
  msgpack_store32(to, 2);
  msgpack_store16(to + 4, (uint16_t)value);
  return to + 6;
}

// Both sides write a double with its first byte first.
static uint8_t *put_double(uint8_t *to, const uint8_t *at) {
  if (*at != MSGPACK_B_FLOAT64) return NULL;
  msgpack_store32(to, 8);
  memcpy(to + 4, at + 1, 8);
  return to + 12;
}

// The bytes of a text; NULL: it is none.
static const uint8_t *text_of(const uint8_t *at, const uint8_t *end, uint32_t *length) {
  uint8_t head = *at;
  const uint8_t *text = NULL;
  if (head >= MSGPACK_B_FIXTEXT && head < MSGPACK_B_NIL)
    text = at + 1;
  else if (head == MSGPACK_B_TEXT8)
    text = at + 2;
  else if (head == MSGPACK_B_TEXT16)
    text = at + 3;
  else if (head == MSGPACK_B_TEXT32)
    text = at + 5;
  if (text) *length = (uint32_t)(end - text);
  return text;
}

// True when one of the eight bytes is 0.
static bool has_zero(uint64_t word) {
  return ((word - 0x0101010101010101u) & ~word & 0x8080808080808080u) != 0;
}

// Copies a text and looks for a NUL, which PostgreSQL does not take, in one go. False: there is one.
static bool copy_text(uint8_t *to, const uint8_t *from, uint32_t length) {
  uint64_t word;
  uint32_t i = 0;
  if (length < sizeof word) {
    bool zero = false;
    for (; i < length; i++) {
      to[i] = from[i];
      zero |= from[i] == 0;
    }
    return !zero;
  }
  bool zero = false;
  for (; i + sizeof word <= length; i += sizeof word) {
    memcpy(&word, from + i, sizeof word);
    memcpy(to + i, &word, sizeof word);
    zero |= has_zero(word);
  }
  memcpy(&word, from + length - sizeof word, sizeof word);
  memcpy(to + length - sizeof word, &word, sizeof word);
  return !(zero || has_zero(word));
}

static uint8_t *put_text(uint8_t *to, const uint8_t *at, const uint8_t *end) {
  uint32_t length;
  const uint8_t *text = text_of(at, end, &length);
  if (!text || !copy_text(to + 4, text, length)) return NULL;
  msgpack_store32(to, length);
  return to + 4 + length;
}

static uint8_t *put_time(uint8_t *to, const uint8_t *at, const uint8_t *end) {
  uint32_t length;
  int64_t micros;
  const uint8_t *text = text_of(at, end, &length);
  if (text) {
    if (!clock_parse((const char *)text, length, &micros)) return NULL;
  } else {
    struct msgpack_value v;
    if (!msgpack_read(&at, end, &v) || v.type != MSGPACK_TIMESTAMP) return NULL;
    micros = v.micros;
  }
  msgpack_store32(to, 8);
  msgpack_store64(to + 4, (uint64_t)(micros - from_1970_to_2000));
  return to + 12;
}

uint8_t *postgres_put_plain(uint8_t *to, const struct column *c, const uint8_t *at, const uint8_t *end) {
  if (!at || *at == MSGPACK_B_NIL) return put_null(to);
  switch (c->type) {
  case COLUMN_SMALLINT:
  case COLUMN_INT:
  case COLUMN_BIGINT: return put_int(to, c->type, at);
  case COLUMN_DOUBLE: return put_double(to, at);
  case COLUMN_TEXT: return put_text(to, at, end);
  case COLUMN_TIMESTAMP: return put_time(to, at, end);
  case COLUMN_REAL:
  case COLUMN_NUMERIC:
  case COLUMN_BOOLEAN:
  case COLUMN_DATE:
  case COLUMN_JSON:
  case COLUMN_BYTES:
  case COLUMN_UUID:
  case COLUMN_ANY:
  case COLUMN_OTHER: return NULL;
  }
  return NULL;
}
