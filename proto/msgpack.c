// msgpack reading: the spellings met seldom, stepping over values, checking them, finding a key.
//
// Called by everybody who reads records. Invariants: nothing is read at or behind `end`; *at moves only when the whole head (for
// skipping: the whole value) was right; no recursion, so depth costs a bounded piece of the stack.
#include "proto/msgpack.h"

#include "proto/limits.h"
#include "proto/utf8.h"

static bool read_int(const uint8_t **at, struct msgpack_value *value, size_t size, int64_t i) {
  value->type = MSGPACK_INT;
  value->i = i;
  *at += size;
  return true;
}

static bool read_uint64(const uint8_t **at, struct msgpack_value *value, uint64_t u) {
  if (u <= INT64_MAX) return read_int(at, value, 9, (int64_t)u);
  value->type = MSGPACK_UINT;
  value->u = u;
  *at += 9;
  return true;
}

static bool read_number(const uint8_t **at, size_t left, struct msgpack_value *value) {
  const uint8_t *p = *at;
  static const uint8_t sizes[] = {[MSGPACK_B_FLOAT32 - MSGPACK_B_FLOAT32] = 5, [MSGPACK_B_FLOAT64 - MSGPACK_B_FLOAT32] = 9,
                                  [MSGPACK_B_UINT8 - MSGPACK_B_FLOAT32] = 2,   [MSGPACK_B_UINT16 - MSGPACK_B_FLOAT32] = 3,
                                  [MSGPACK_B_UINT32 - MSGPACK_B_FLOAT32] = 5,  [MSGPACK_B_UINT64 - MSGPACK_B_FLOAT32] = 9,
                                  [MSGPACK_B_INT8 - MSGPACK_B_FLOAT32] = 2,    [MSGPACK_B_INT16 - MSGPACK_B_FLOAT32] = 3,
                                  [MSGPACK_B_INT32 - MSGPACK_B_FLOAT32] = 5,   [MSGPACK_B_INT64 - MSGPACK_B_FLOAT32] = 9};
  if (left < sizes[p[0] - MSGPACK_B_FLOAT32]) return false;
  switch (p[0]) {
  case MSGPACK_B_UINT8: return read_int(at, value, 2, p[1]);
  case MSGPACK_B_UINT16: return read_int(at, value, 3, msgpack_load16(p + 1));
  case MSGPACK_B_UINT32: return read_int(at, value, 5, msgpack_load32(p + 1));
  case MSGPACK_B_UINT64: return read_uint64(at, value, msgpack_load64(p + 1));
  case MSGPACK_B_INT8: return read_int(at, value, 2, (int8_t)p[1]);
  case MSGPACK_B_INT16: return read_int(at, value, 3, (int16_t)msgpack_load16(p + 1));
  case MSGPACK_B_INT32: return read_int(at, value, 5, (int32_t)msgpack_load32(p + 1));
  case MSGPACK_B_INT64: return read_int(at, value, 9, (int64_t)msgpack_load64(p + 1));
  default: break;
  }
  // float32; float64 has been read by msgpack_read, which comes here with one only when it is cut off.
  uint32_t bits = msgpack_load32(p + 1);
  float narrow;
  memcpy(&narrow, &bits, sizeof narrow);
  value->type = MSGPACK_DOUBLE;
  value->d = (double)narrow;
  *at = p + 5;
  return true;
}

// Seconds and nanoseconds to microseconds. False when they mean no time that int64 microseconds can hold.
static bool timestamp_micros(int64_t seconds, uint32_t nanos, int64_t *micros) {
  return nanos < 1000000000 && !__builtin_mul_overflow(seconds, (int64_t)1000000, micros) &&
         !__builtin_add_overflow(*micros, (int64_t)(nanos / 1000), micros);
}

// Type and body of an extension. Timestamps in any of their three forms become one kind; all else stays an opaque extension.
static void read_ext_body(const uint8_t *body, int8_t type, uint32_t length, struct msgpack_value *value) {
  int64_t micros;
  bool known = false;
  if (type == -1 && length == 4) {
    known = timestamp_micros(msgpack_load32(body), 0, &micros);
  } else if (type == -1 && length == 8) {
    uint64_t both = msgpack_load64(body);
    known = timestamp_micros((int64_t)(both & 0x3ffffffffu), (uint32_t)(both >> 34), &micros);
  } else if (type == -1 && length == 12) {
    known = timestamp_micros((int64_t)msgpack_load64(body + 4), msgpack_load32(body), &micros);
  }
  value->ext = type;
  value->length = length;
  if (known) {
    value->type = MSGPACK_TIMESTAMP;
    value->micros = micros;
  } else {
    value->type = MSGPACK_EXT;
    value->bytes = body;
  }
}

static bool read_ext(const uint8_t **at, size_t left, struct msgpack_value *value) {
  const uint8_t *p = *at;
  size_t head;
  uint32_t length;
  if (p[0] >= MSGPACK_B_FIXEXT1) {
    head = 2;
    length = 1u << (p[0] - MSGPACK_B_FIXEXT1);
  } else {
    unsigned bytes = 1u << (p[0] - MSGPACK_B_EXT8);
    head = 2 + bytes;
    if (left < head) return false;
    length = bytes == 1 ? p[1] : bytes == 2 ? msgpack_load16(p + 1) : msgpack_load32(p + 1);
  }
  if (left < head || left - head < length) return false;
  read_ext_body(p + head, (int8_t)p[head - 1], length, value);
  *at = p + head + length;
  return true;
}

// Text and bytes with a length of 1, 2 or 4 bytes.
static bool read_bytes(const uint8_t **at, size_t left, struct msgpack_value *value, enum msgpack_type type, unsigned bytes) {
  const uint8_t *p = *at;
  size_t head = 1 + (size_t)bytes;
  if (left < head) return false;
  uint32_t length = bytes == 1 ? p[1] : bytes == 2 ? msgpack_load16(p + 1) : msgpack_load32(p + 1);
  if (left - head < length) return false;
  value->type = type;
  value->length = length;
  value->bytes = p + head;
  *at = p + head + length;
  return true;
}

// A container's head; `bytes` of count, 0 when the count stands in the first byte.
static bool read_container(const uint8_t **at, size_t left, struct msgpack_value *value, enum msgpack_type type, unsigned bytes) {
  const uint8_t *p = *at;
  size_t head = 1 + (size_t)bytes;
  if (left < head) return false;
  uint32_t count = bytes == 0 ? p[0] & 0x0fu : bytes == 2 ? msgpack_load16(p + 1) : msgpack_load32(p + 1);
  // Each element takes a byte at least: a count that cannot be true is caught before anybody believes it.
  if ((uint64_t)count * (type == MSGPACK_MAP ? 2 : 1) > left - head) return false;
  value->type = type;
  value->length = count;
  value->bytes = p + head;
  *at = p + head;
  return true;
}

bool msgpack_read_other(const uint8_t **at, const uint8_t *end, struct msgpack_value *value) {
  const uint8_t *p = *at;
  size_t left = (size_t)(end - p);
  uint8_t first = p[0];
  if (first < MSGPACK_B_FIXARRAY) return read_container(at, left, value, MSGPACK_MAP, 0);
  if (first < MSGPACK_B_FIXTEXT) return read_container(at, left, value, MSGPACK_ARRAY, 0);
  if (first >= MSGPACK_B_FLOAT32 && first <= MSGPACK_B_INT64) return read_number(at, left, value);
  switch (first) {
  case MSGPACK_B_NIL: value->type = MSGPACK_NIL; break;
  case MSGPACK_B_FALSE:
  case MSGPACK_B_TRUE:
    value->type = MSGPACK_BOOL;
    value->boolean = first == MSGPACK_B_TRUE;
    break;
  case MSGPACK_B_BIN8: return read_bytes(at, left, value, MSGPACK_BYTES, 1);
  case MSGPACK_B_BIN16: return read_bytes(at, left, value, MSGPACK_BYTES, 2);
  case MSGPACK_B_BIN32: return read_bytes(at, left, value, MSGPACK_BYTES, 4);
  case MSGPACK_B_TEXT8: return read_bytes(at, left, value, MSGPACK_TEXT, 1);
  case MSGPACK_B_TEXT16: return read_bytes(at, left, value, MSGPACK_TEXT, 2);
  case MSGPACK_B_TEXT32: return read_bytes(at, left, value, MSGPACK_TEXT, 4);
  case MSGPACK_B_ARRAY16: return read_container(at, left, value, MSGPACK_ARRAY, 2);
  case MSGPACK_B_ARRAY32: return read_container(at, left, value, MSGPACK_ARRAY, 4);
  case MSGPACK_B_MAP16: return read_container(at, left, value, MSGPACK_MAP, 2);
  case MSGPACK_B_MAP32: return read_container(at, left, value, MSGPACK_MAP, 4);
  case MSGPACK_B_NEVER: return false;
  default: return read_ext(at, left, value);
  }
  *at = p + 1;
  return true;
}

// One step of a walk over a value: `left[level]` counts what is still to come on each open level.
struct walk {
  uint64_t left[MSGPACK_DEPTH_MOST + 1];
  bool map[MSGPACK_DEPTH_MOST + 1];
  unsigned level;
};

// Opens a container or closes what is finished. False: too deep.
static bool walk_step(struct walk *walk, const struct msgpack_value *value, unsigned depth) {
  bool container = value->type == MSGPACK_ARRAY || value->type == MSGPACK_MAP;
  if (container) {
    if (walk->level >= depth) return false;
    walk->level++;
    walk->map[walk->level] = value->type == MSGPACK_MAP;
    walk->left[walk->level] = (uint64_t)value->length * (value->type == MSGPACK_MAP ? 2 : 1);
  }
  while (walk->level > 0 && walk->left[walk->level] == 0) walk->level--;
  return true;
}

static void walk_start(struct walk *walk) {
  walk->level = 0;
  walk->left[0] = 1;
  walk->map[0] = false;
}

// Bytes of a value whose first byte says all about its size; 0 where more has to be looked at.
#define EIGHT(n) n, n, n, n, n, n, n, n
#define TEXTS(n) n, (n) + 1, (n) + 2, (n) + 3, (n) + 4, (n) + 5, (n) + 6, (n) + 7
static const uint8_t plain_sizes[256] = {
    // 0x00: small numbers
    EIGHT(1), EIGHT(1), EIGHT(1), EIGHT(1), EIGHT(1), EIGHT(1), EIGHT(1), EIGHT(1), EIGHT(1), EIGHT(1), EIGHT(1), EIGHT(1), EIGHT(1),
    EIGHT(1), EIGHT(1), EIGHT(1),
    // 0x80: small maps and arrays
    EIGHT(0), EIGHT(0), EIGHT(0), EIGHT(0),
    // 0xa0: short texts
    TEXTS(1), TEXTS(9), TEXTS(17), TEXTS(25),
    // 0xc0: nil, never, false, true, bin, ext
    1, 0, 1, 1, 0, 0, 0, 0, 0, 0,
    // 0xca: float32, float64, uint8 to uint64, int8 to int64
    5, 9, 2, 3, 5, 9, 2, 3, 5, 9,
    // 0xd4: fixext, texts, arrays, maps
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    // 0xe0: small negative numbers
    EIGHT(1), EIGHT(1), EIGHT(1), EIGHT(1)};
#undef EIGHT
#undef TEXTS

// No container has that many elements.
static const uint64_t SCALAR = UINT64_MAX;

// Steps over one scalar, or over a container's head: then *elements is what it holds, keys and values of a map both counted.
static inline bool skip_head(const uint8_t **at, const uint8_t *end, uint64_t *elements) {
  uint8_t first = **at;
  if (first < MSGPACK_B_FIXTEXT) {
    *elements = first < MSGPACK_B_FIXARRAY ? (first & 0x0fu) * 2 : first & 0x0fu;
    (*at)++;
    return true;
  }
  struct msgpack_value value;
  if (!msgpack_read(at, end, &value)) return false;
  bool container = value.type == MSGPACK_ARRAY || value.type == MSGPACK_MAP;
  *elements = container ? (uint64_t)value.length * (value.type == MSGPACK_MAP ? 2 : 1) : SCALAR;
  return true;
}

bool msgpack_skip_deep(const uint8_t **at, const uint8_t *end, unsigned depth) {
  // What is still to come on each open level; the innermost one is kept in `left`.
  uint64_t outer[MSGPACK_DEPTH_MOST], left = 1;
  unsigned level = 0;
  const uint8_t *p = *at;
  if (depth > MSGPACK_DEPTH_MOST) depth = MSGPACK_DEPTH_MOST;
  for (;;) {
    for (; left > 0; left--) {
      if (p >= end) return false;
      size_t size = plain_sizes[*p];
      if (size == 0) break;
      if ((size_t)(end - p) < size) return false;
      p += size;
    }
    if (left == 0) {
      if (level == 0) break;
      left = outer[--level];
      continue;
    }
    left--;
    uint64_t elements;
    if (!skip_head(&p, end, &elements)) return false;
    if (elements == SCALAR) continue;
    if (level == depth) return false;
    outer[level++] = left;
    left = elements;
  }
  *at = p;
  return true;
}

bool msgpack_skip(const uint8_t **at, const uint8_t *end) {
  return msgpack_skip_deep(at, end, LIMIT_DEPTH);
}

bool msgpack_valid(const uint8_t *at, const uint8_t *end) {
  struct walk walk;
  struct msgpack_value value;
  walk_start(&walk);
  do {
    // In a map an even number of values to come means that the next one is a key.
    bool key = walk.map[walk.level] && walk.left[walk.level] % 2 == 0;
    walk.left[walk.level]--;
    if (!msgpack_read(&at, end, &value)) return false;
    if (key && value.type != MSGPACK_TEXT) return false;
    if (value.type == MSGPACK_TEXT && utf8_check(value.bytes, value.length) != value.length) return false;
    if (!walk_step(&walk, &value, LIMIT_DEPTH)) return false;
  } while (walk.level > 0);
  return at == end;
}

// Steps over a key. In msgpack by others it may be a container: then over the whole of it.
static bool skip_key(const uint8_t **at, const uint8_t *end, struct msgpack_value *key) {
  const uint8_t *start = *at;
  if (!msgpack_read(at, end, key)) return false;
  if (key->type != MSGPACK_ARRAY && key->type != MSGPACK_MAP) return true;
  *at = start;
  return msgpack_skip_deep(at, end, MSGPACK_DEPTH_MOST);
}

// Bytes of a value by its first byte; 0: it depends on what follows.
const uint8_t msgpack_sizes[256] = {
    [0x00 ... 0x7f] = 1,
    [MSGPACK_B_FIXMAP] = 1,
    [MSGPACK_B_FIXARRAY] = 1,
    [0xa0] = 1,
    [0xa1] = 2,
    [0xa2] = 3,
    [0xa3] = 4,
    [0xa4] = 5,
    [0xa5] = 6,
    [0xa6] = 7,
    [0xa7] = 8,
    [0xa8] = 9,
    [0xa9] = 10,
    [0xaa] = 11,
    [0xab] = 12,
    [0xac] = 13,
    [0xad] = 14,
    [0xae] = 15,
    [0xaf] = 16,
    [0xb0] = 17,
    [0xb1] = 18,
    [0xb2] = 19,
    [0xb3] = 20,
    [0xb4] = 21,
    [0xb5] = 22,
    [0xb6] = 23,
    [0xb7] = 24,
    [0xb8] = 25,
    [0xb9] = 26,
    [0xba] = 27,
    [0xbb] = 28,
    [0xbc] = 29,
    [0xbd] = 30,
    [0xbe] = 31,
    [0xbf] = 32,
    [MSGPACK_B_NIL] = 1,
    [MSGPACK_B_FALSE] = 1,
    [MSGPACK_B_TRUE] = 1,
    [MSGPACK_B_FLOAT32] = 5,
    [MSGPACK_B_FLOAT64] = 9,
    [MSGPACK_B_UINT8] = 2,
    [MSGPACK_B_UINT16] = 3,
    [MSGPACK_B_UINT32] = 5,
    [MSGPACK_B_UINT64] = 9,
    [MSGPACK_B_INT8] = 2,
    [MSGPACK_B_INT16] = 3,
    [MSGPACK_B_INT32] = 5,
    [MSGPACK_B_INT64] = 9,
    [MSGPACK_B_FIXNEGATIVE... 0xff] = 1,
};

bool msgpack_find(const uint8_t *map, const uint8_t *end, const char *key, size_t key_length, const uint8_t **found,
                  const uint8_t **found_end) {
  const uint8_t *at = map;
  struct msgpack_value head, name;
  bool seen = false;
  if (!msgpack_read(&at, end, &head) || head.type != MSGPACK_MAP) return false;
  for (uint32_t i = 0; i < head.length; i++) {
    if (!skip_key(&at, end, &name)) return false;
    const uint8_t *value = at;
    if (!msgpack_skip_deep(&at, end, MSGPACK_DEPTH_MOST)) return false;
    if (name.type == MSGPACK_TEXT && name.length == key_length && memcmp(name.bytes, key, key_length) == 0) {
      seen = true;
      *found = value;
      *found_end = at;
    }
  }
  return seen;
}
