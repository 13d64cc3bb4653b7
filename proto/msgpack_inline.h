// The hot half of msgpack.h: reading one head and writing one value, inline, because a call would cost as much as the work.
// Included by msgpack.h alone. Compiles as C++ too, for the JSON shim.
#pragma once
#include <endian.h>
#include <string.h>

// First bytes of the MessagePack specification.
enum {
  MSGPACK_B_FIXMAP = 0x80,
  MSGPACK_B_FIXARRAY = 0x90,
  MSGPACK_B_FIXTEXT = 0xa0,
  MSGPACK_B_NIL = 0xc0,
  MSGPACK_B_NEVER = 0xc1,
  MSGPACK_B_FALSE = 0xc2,
  MSGPACK_B_TRUE = 0xc3,
  MSGPACK_B_BIN8 = 0xc4,
  MSGPACK_B_BIN16 = 0xc5,
  MSGPACK_B_BIN32 = 0xc6,
  MSGPACK_B_EXT8 = 0xc7,
  MSGPACK_B_FLOAT32 = 0xca,
  MSGPACK_B_FLOAT64 = 0xcb,
  MSGPACK_B_UINT8 = 0xcc,
  MSGPACK_B_UINT16 = 0xcd,
  MSGPACK_B_UINT32 = 0xce,
  MSGPACK_B_UINT64 = 0xcf,
  MSGPACK_B_INT8 = 0xd0,
  MSGPACK_B_INT16 = 0xd1,
  MSGPACK_B_INT32 = 0xd2,
  MSGPACK_B_INT64 = 0xd3,
  MSGPACK_B_FIXEXT1 = 0xd4,
  MSGPACK_B_FIXEXT4 = 0xd6,
  MSGPACK_B_FIXEXT8 = 0xd7,
  MSGPACK_B_TEXT8 = 0xd9,
  MSGPACK_B_TEXT16 = 0xda,
  MSGPACK_B_TEXT32 = 0xdb,
  MSGPACK_B_ARRAY16 = 0xdc,
  MSGPACK_B_ARRAY32 = 0xdd,
  MSGPACK_B_MAP16 = 0xde,
  MSGPACK_B_MAP32 = 0xdf,
  MSGPACK_B_FIXNEGATIVE = 0xe0,
};

static inline uint16_t msgpack_load16(const uint8_t *at) {
  uint16_t v;
  memcpy(&v, at, sizeof v);
  return be16toh(v);
}

static inline uint32_t msgpack_load32(const uint8_t *at) {
  uint32_t v;
  memcpy(&v, at, sizeof v);
  return be32toh(v);
}

static inline uint64_t msgpack_load64(const uint8_t *at) {
  uint64_t v;
  memcpy(&v, at, sizeof v);
  return be64toh(v);
}

static inline void msgpack_store16(uint8_t *at, uint16_t v) {
  v = htobe16(v);
  memcpy(at, &v, sizeof v);
}

static inline void msgpack_store32(uint8_t *at, uint32_t v) {
  v = htobe32(v);
  memcpy(at, &v, sizeof v);
}

static inline void msgpack_store64(uint8_t *at, uint64_t v) {
  v = htobe64(v);
  memcpy(at, &v, sizeof v);
}

// The spellings that are met seldom: out of line, msgpack.c.
bool msgpack_read_other(const uint8_t **at, const uint8_t *end, struct msgpack_value *value);

// `length` bytes of text behind a head of `head` bytes.
static inline bool msgpack_read_text_at(const uint8_t **at, const uint8_t *end, struct msgpack_value *value, size_t head, uint32_t length) {
  const uint8_t *p = *at;
  if ((size_t)(end - p) < head + length) return false;
  value->type = MSGPACK_TEXT;
  value->length = length;
  value->bytes = p + head;
  *at = p + head + length;
  return true;
}

static inline bool msgpack_read(const uint8_t **at, const uint8_t *end, struct msgpack_value *value) {
  const uint8_t *p = *at;
  if (p >= end) return false;
  uint8_t first = *p;
  size_t left = (size_t)(end - p);
  if (first < MSGPACK_B_FIXMAP || first >= MSGPACK_B_FIXNEGATIVE) {
    value->type = MSGPACK_INT;
    value->i = (int8_t)first;
    *at = p + 1;
    return true;
  }
  if (first >= MSGPACK_B_FIXTEXT && first < MSGPACK_B_NIL)
    return msgpack_read_text_at(at, end, value, 1, (uint32_t)(first - MSGPACK_B_FIXTEXT));
  if (first == MSGPACK_B_TEXT8 && left >= 2) return msgpack_read_text_at(at, end, value, 2, p[1]);
  if (first == MSGPACK_B_FLOAT64 && left >= 9) {
    uint64_t bits = msgpack_load64(p + 1);
    value->type = MSGPACK_DOUBLE;
    memcpy(&value->d, &bits, sizeof bits);
    *at = p + 9;
    return true;
  }
  return msgpack_read_other(at, end, value);
}

// Bytes of a value by its first byte; 0: it depends on what follows.
extern const uint8_t msgpack_sizes[256];

// Steps over one value as msgpack_skip does; the spellings that records are mostly made of need no call.
static inline bool msgpack_skip_plain(const uint8_t **at, const uint8_t *end) {
  const uint8_t *p = *at;
  if (p >= end) return false;
  size_t size = msgpack_sizes[*p];
  if (size == 0) {
    if (*p != MSGPACK_B_TEXT8 || end - p < 2) return msgpack_skip(at, end);
    size = 2 + (size_t)p[1];
  }
  if ((size_t)(end - p) < size) return false;
  *at = p + size;
  return true;
}

// Where `size` bytes go, or NULL (and `overflow`) when they do not fit. An overflow is final: nothing shorter may slip in behind it.
static inline uint8_t *msgpack_room(struct msgpack_writer *w, size_t size) {
  if (w->overflow || (size_t)(w->end - w->at) < size) {
    w->overflow = true;
    return NULL;
  }
  uint8_t *at = w->at;
  w->at += size;
  return at;
}

static inline void msgpack_write_byte(struct msgpack_writer *w, uint8_t byte) {
  uint8_t *at = msgpack_room(w, 1);
  if (at) *at = byte;
}

static inline void msgpack_write_nil(struct msgpack_writer *w) {
  msgpack_write_byte(w, MSGPACK_B_NIL);
}

static inline void msgpack_write_bool(struct msgpack_writer *w, bool value) {
  msgpack_write_byte(w, value ? MSGPACK_B_TRUE : MSGPACK_B_FALSE);
}

// A head byte and a big-endian number of 1, 2, 4 or 8 bytes.
static inline uint8_t *msgpack_put8(uint8_t *at, uint8_t first, uint8_t v) {
  at[0] = first;
  at[1] = v;
  return at + 2;
}

static inline uint8_t *msgpack_put16(uint8_t *at, uint8_t first, uint16_t v) {
  at[0] = first;
  msgpack_store16(at + 1, v);
  return at + 3;
}

static inline uint8_t *msgpack_put32(uint8_t *at, uint8_t first, uint32_t v) {
  at[0] = first;
  msgpack_store32(at + 1, v);
  return at + 5;
}

static inline uint8_t *msgpack_put64(uint8_t *at, uint8_t first, uint64_t v) {
  at[0] = first;
  msgpack_store64(at + 1, v);
  return at + 9;
}

// The shortest spelling of a number at `at`, which has 9 bytes of room; returns where it ends.
static inline uint8_t *msgpack_put_uint(uint8_t *at, uint64_t v) {
  if (v < 0x80) {
    *at = (uint8_t)v;
    return at + 1;
  }
  if (v <= UINT8_MAX) return msgpack_put8(at, MSGPACK_B_UINT8, (uint8_t)v);
  if (v <= UINT16_MAX) return msgpack_put16(at, MSGPACK_B_UINT16, (uint16_t)v);
  if (v <= UINT32_MAX) return msgpack_put32(at, MSGPACK_B_UINT32, (uint32_t)v);
  return msgpack_put64(at, MSGPACK_B_UINT64, v);
}

static inline uint8_t *msgpack_put_int(uint8_t *at, int64_t v) {
  if (v >= 0) return msgpack_put_uint(at, (uint64_t)v);
  if (v >= -32) {
    *at = (uint8_t)v;
    return at + 1;
  }
  if (v >= INT8_MIN) return msgpack_put8(at, MSGPACK_B_INT8, (uint8_t)v);
  if (v >= INT16_MIN) return msgpack_put16(at, MSGPACK_B_INT16, (uint16_t)v);
  if (v >= INT32_MIN) return msgpack_put32(at, MSGPACK_B_INT32, (uint32_t)v);
  return msgpack_put64(at, MSGPACK_B_INT64, (uint64_t)v);
}

static inline uint8_t *msgpack_put_double(uint8_t *at, double v) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  return msgpack_put64(at, MSGPACK_B_FLOAT64, bits);
}

// The head of a text, at most 5 bytes.
static inline uint8_t *msgpack_put_text_head(uint8_t *at, uint32_t length) {
  if (length < 32) {
    *at = (uint8_t)(MSGPACK_B_FIXTEXT | length);
    return at + 1;
  }
  if (length <= UINT8_MAX) return msgpack_put8(at, MSGPACK_B_TEXT8, (uint8_t)length);
  if (length <= UINT16_MAX) return msgpack_put16(at, MSGPACK_B_TEXT16, (uint16_t)length);
  return msgpack_put32(at, MSGPACK_B_TEXT32, length);
}

static inline uint8_t *msgpack_put_count(uint8_t *at, uint32_t count, uint8_t fix, uint8_t first16) {
  if (count < 16) {
    *at = (uint8_t)(fix | count);
    return at + 1;
  }
  if (count <= UINT16_MAX) return msgpack_put16(at, first16, (uint16_t)count);
  return msgpack_put32(at, (uint8_t)(first16 + 1), count);
}

// With 9 bytes of room the value goes straight to its place; at the very end it is measured first.
static inline void msgpack_write_small(struct msgpack_writer *w, const uint8_t *value, size_t size) {
  uint8_t *at = msgpack_room(w, size);
  if (at) memcpy(at, value, size);
}

static inline bool msgpack_is_roomy(const struct msgpack_writer *w) {
  return !w->overflow && w->end - w->at >= 9;
}

static inline void msgpack_write_int(struct msgpack_writer *w, int64_t value) {
  if (__builtin_expect(msgpack_is_roomy(w), 1)) {
    w->at = msgpack_put_int(w->at, value);
    return;
  }
  uint8_t small[9];
  msgpack_write_small(w, small, (size_t)(msgpack_put_int(small, value) - small));
}

static inline void msgpack_write_uint(struct msgpack_writer *w, uint64_t value) {
  if (__builtin_expect(msgpack_is_roomy(w), 1)) {
    w->at = msgpack_put_uint(w->at, value);
    return;
  }
  uint8_t small[9];
  msgpack_write_small(w, small, (size_t)(msgpack_put_uint(small, value) - small));
}

static inline void msgpack_write_double(struct msgpack_writer *w, double value) {
  uint8_t *at = msgpack_room(w, 9);
  if (at) msgpack_put_double(at, value);
}

static inline void msgpack_write_text(struct msgpack_writer *w, const char *text, uint32_t length) {
  uint8_t head[5];
  if (__builtin_expect(!w->overflow && (size_t)(w->end - w->at) >= sizeof head + (size_t)length, 1)) {
    uint8_t *to = msgpack_put_text_head(w->at, length);
    if (length > 0) memcpy(to, text, length);
    w->at = to + length;
    return;
  }
  size_t head_size = (size_t)(msgpack_put_text_head(head, length) - head);
  uint8_t *at = msgpack_room(w, head_size + length);
  if (!at) return;
  memcpy(at, head, head_size);
  if (length > 0) memcpy(at + head_size, text, length);
}

static inline void msgpack_write_cstring(struct msgpack_writer *w, const char *text) {
  msgpack_write_text(w, text, (uint32_t)strlen(text));
}

static inline void msgpack_write_bytes(struct msgpack_writer *w, const void *bytes, uint32_t length) {
  uint8_t head[5];
  uint8_t *behind = length <= UINT8_MAX    ? msgpack_put8(head, MSGPACK_B_BIN8, (uint8_t)length)
                    : length <= UINT16_MAX ? msgpack_put16(head, MSGPACK_B_BIN16, (uint16_t)length)
                                           : msgpack_put32(head, MSGPACK_B_BIN32, length);
  size_t head_size = (size_t)(behind - head);
  uint8_t *at = msgpack_room(w, head_size + length);
  if (!at) return;
  memcpy(at, head, head_size);
  if (length > 0) memcpy(at + head_size, bytes, length);
}

static inline void msgpack_write_array(struct msgpack_writer *w, uint32_t count) {
  uint8_t small[5];
  msgpack_write_small(w, small, (size_t)(msgpack_put_count(small, count, MSGPACK_B_FIXARRAY, MSGPACK_B_ARRAY16) - small));
}

static inline void msgpack_write_map(struct msgpack_writer *w, uint32_t count) {
  uint8_t small[5];
  msgpack_write_small(w, small, (size_t)(msgpack_put_count(small, count, MSGPACK_B_FIXMAP, MSGPACK_B_MAP16) - small));
}

static inline void msgpack_write_raw(struct msgpack_writer *w, const void *value, size_t length) {
  uint8_t *at = msgpack_room(w, length);
  if (at && length > 0) memcpy(at, value, length);
}

// Timestamp extension: 32 bits of seconds where that is enough, else 34 bits of seconds and 30 of nanoseconds, else 64 and 32.
static inline void msgpack_write_timestamp(struct msgpack_writer *w, int64_t micros) {
  int64_t seconds = micros / 1000000;
  int64_t rest = micros % 1000000;
  if (rest < 0) {
    rest += 1000000;
    seconds--;
  }
  uint32_t nanos = (uint32_t)rest * 1000;
  uint8_t small[15];
  size_t size;
  small[1] = 0xff; // type -1
  if (seconds >= 0 && seconds <= (int64_t)UINT32_MAX && nanos == 0) {
    small[0] = MSGPACK_B_FIXEXT4;
    msgpack_store32(small + 2, (uint32_t)seconds);
    size = 6;
  } else if (seconds >= 0 && seconds < (int64_t)1 << 34) {
    small[0] = MSGPACK_B_FIXEXT8;
    msgpack_store64(small + 2, (uint64_t)nanos << 34 | (uint64_t)seconds);
    size = 10;
  } else {
    small[0] = MSGPACK_B_EXT8;
    small[1] = 12;
    small[2] = 0xff;
    msgpack_store32(small + 3, nanos);
    msgpack_store64(small + 7, (uint64_t)seconds);
    size = 15;
  }
  msgpack_write_small(w, small, size);
}

static inline uint8_t *msgpack_open(struct msgpack_writer *w, uint8_t first) {
  uint8_t *at = msgpack_room(w, 5);
  if (at) msgpack_put32(at, first, 0);
  return at;
}

static inline uint8_t *msgpack_map_open(struct msgpack_writer *w) {
  return msgpack_open(w, MSGPACK_B_MAP32);
}

static inline void msgpack_map_close(uint8_t *opened, uint32_t count) {
  if (opened) msgpack_store32(opened + 1, count);
}

static inline uint8_t *msgpack_array_open(struct msgpack_writer *w) {
  return msgpack_open(w, MSGPACK_B_ARRAY32);
}

static inline void msgpack_array_close(uint8_t *opened, uint32_t count) {
  if (opened) msgpack_store32(opened + 1, count);
}
