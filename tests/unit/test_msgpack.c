// msgpack read and written by hand, with msgpack-c as the oracle: every spelling, every boundary, every truncation, random bytes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/msgpack.h"
#include "proto/utf8.h"

static uint64_t random_state = 20261121;

static uint64_t random_next(void) {
  random_state += 0x9E3779B97F4A7C15u;
  uint64_t z = random_state;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

// A value of ours against the oracle's object: same kind, same content, nested ones too.
static void check_same(const uint8_t **at, const uint8_t *end, const msgpack_object *o);

static void check_ext(const struct msgpack_value *v, const msgpack_object *o) {
  if (v->type == MSGPACK_TIMESTAMP) {
    msgpack_timestamp t = {0};
    assert_true(msgpack_object_to_timestamp(o, &t));
    assert_int_equal(v->micros, t.tv_sec * 1000000 + t.tv_nsec / 1000);
    return;
  }
  assert_int_equal(v->type, MSGPACK_EXT);
  assert_int_equal(v->ext, o->via.ext.type);
  assert_int_equal(v->length, o->via.ext.size);
  assert_memory_equal(v->bytes, o->via.ext.ptr, v->length);
}

static void check_bytes(const struct msgpack_value *v, enum msgpack_type type, const char *bytes, uint32_t length) {
  assert_int_equal(v->type, type);
  assert_int_equal(v->length, length);
  assert_memory_equal(v->bytes, bytes, length);
}

static void check_number(const struct msgpack_value *v, const msgpack_object *o) {
  if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) {
    assert_int_equal(v->type, MSGPACK_INT);
    assert_int_equal(v->i, o->via.i64);
  } else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
    assert_int_equal(v->type, o->via.u64 > INT64_MAX ? MSGPACK_UINT : MSGPACK_INT);
    assert_int_equal(v->u, o->via.u64);
  } else {
    assert_int_equal(v->type, MSGPACK_DOUBLE);
    assert_true(v->d == o->via.f64 || (isnan(v->d) && isnan(o->via.f64)));
  }
}

static void check_elements(const uint8_t **at, const uint8_t *end, const struct msgpack_value *v, const msgpack_object *o) {
  if (o->type == MSGPACK_OBJECT_ARRAY) {
    assert_int_equal(v->type, MSGPACK_ARRAY);
    assert_int_equal(v->length, o->via.array.size);
    for (uint32_t i = 0; i < v->length; i++) check_same(at, end, &o->via.array.ptr[i]);
    return;
  }
  assert_int_equal(v->type, MSGPACK_MAP);
  assert_int_equal(v->length, o->via.map.size);
  for (uint32_t i = 0; i < v->length; i++) {
    check_same(at, end, &o->via.map.ptr[i].key);
    check_same(at, end, &o->via.map.ptr[i].val);
  }
}

static void check_same(const uint8_t **at, const uint8_t *end, const msgpack_object *o) {
  struct msgpack_value v;
  assert_true(msgpack_read(at, end, &v));
  switch (o->type) {
  case MSGPACK_OBJECT_NIL: assert_int_equal(v.type, MSGPACK_NIL); break;
  case MSGPACK_OBJECT_BOOLEAN:
    assert_int_equal(v.type, MSGPACK_BOOL);
    assert_int_equal(v.boolean, o->via.boolean);
    break;
  case MSGPACK_OBJECT_POSITIVE_INTEGER:
  case MSGPACK_OBJECT_NEGATIVE_INTEGER:
  case MSGPACK_OBJECT_FLOAT32:
  case MSGPACK_OBJECT_FLOAT64: check_number(&v, o); break;
  case MSGPACK_OBJECT_STR: check_bytes(&v, MSGPACK_TEXT, o->via.str.ptr, o->via.str.size); break;
  case MSGPACK_OBJECT_BIN: check_bytes(&v, MSGPACK_BYTES, o->via.bin.ptr, o->via.bin.size); break;
  case MSGPACK_OBJECT_EXT: check_ext(&v, o); break;
  case MSGPACK_OBJECT_ARRAY:
  case MSGPACK_OBJECT_MAP: check_elements(at, end, &v, o); break;
  }
}

// Reads `bytes` with both; returns whether they are one value (perhaps with more behind it) and how long it is.
static bool check_against_oracle(const uint8_t *bytes, size_t length, size_t *used) {
  msgpack_unpacked unpacked;
  msgpack_unpacked_init(&unpacked);
  size_t offset = 0;
  msgpack_unpack_return result = msgpack_unpack_next(&unpacked, (const char *)bytes, length, &offset);
  bool expected = result == MSGPACK_UNPACK_SUCCESS || result == MSGPACK_UNPACK_EXTRA_BYTES;
  const uint8_t *at = bytes;
  bool skipped = msgpack_skip(&at, bytes + length);
  assert_int_equal(skipped, expected);
  if (skipped) {
    assert_int_equal(at - bytes, offset);
    const uint8_t *again = bytes;
    check_same(&again, bytes + length, &unpacked.data);
    assert_ptr_equal(again, at);
    *used = offset;
  } else {
    assert_ptr_equal(at, bytes);
  }
  msgpack_unpacked_destroy(&unpacked);
  return skipped;
}

// Of a good value every shorter piece is refused, in a copy that ends where the piece ends.
static void check_truncations(const uint8_t *bytes, size_t length) {
  for (size_t cut = 0; cut<length; cut += length> 600 ? length / 300 : 1) {
    uint8_t *copy = malloc(cut ? cut : 1);
    memcpy(copy, bytes, cut);
    const uint8_t *at = copy;
    assert_false(msgpack_skip(&at, copy + cut));
    assert_ptr_equal(at, copy);
    assert_false(msgpack_valid(copy, copy + cut));
    free(copy);
  }
}

// The same number or text in every spelling that the format has for it.
static void every_spelling_is_read(void **state) {
  (void)state;
#define BYTES(text)                                                                                                                        \
  { (const uint8_t *)(text), sizeof(text) - 1 }
  static const struct {
    const uint8_t *bytes;
    size_t length;
  } cases[] = {
      BYTES("\x05"),
      BYTES("\xcc\x05"),
      BYTES("\xcd\0\x05"),
      BYTES("\xce\0\0\0\x05"),
      BYTES("\xcf\0\0\0\0\0\0\0\x05"),
      BYTES("\xd0\x05"),
      BYTES("\xd1\0\x05"),
      BYTES("\xd2\0\0\0\x05"),
      BYTES("\xd3\0\0\0\0\0\0\0\x05"),
      BYTES("\xff"),
      BYTES("\xd0\xff"),
      BYTES("\xd1\xff\xff"),
      BYTES("\xd2\xff\xff\xff\xff"),
      BYTES("\xd3\xff\xff\xff\xff\xff\xff\xff\xff"),
      BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
      BYTES("\xcf\x80\0\0\0\0\0\0\0"),
      BYTES("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"),
      BYTES("\xd3\x80\0\0\0\0\0\0\0"),
      BYTES("\xca\x3f\x80\0\0"),
      BYTES("\xca\x7f\xc0\0\0"),
      BYTES("\xcb\x3f\xf0\0\0\0\0\0\0"),
      BYTES("\xcb\x7f\xf0\0\0\0\0\0\0"),
      BYTES("\xc0"),
      BYTES("\xc2"),
      BYTES("\xc3"),
      BYTES("\xa0"),
      BYTES("\xa1x"),
      BYTES("\xd9\x01x"),
      BYTES("\xda\0\x01x"),
      BYTES("\xdb\0\0\0\x01x"),
      BYTES("\xd9\0"),
      BYTES("\xc4\0"),
      BYTES("\xc4\x01x"),
      BYTES("\xc5\0\x01x"),
      BYTES("\xc6\0\0\0\x01x"),
      BYTES("\x90"),
      BYTES("\x91\xc0"),
      BYTES("\xdc\0\x01\xc0"),
      BYTES("\xdd\0\0\0\x01\xc0"),
      BYTES("\xdd\0\0\0\0"),
      BYTES("\x80"),
      BYTES("\x81\xa1k\xc0"),
      BYTES("\xde\0\x01\xa1k\xc0"),
      BYTES("\xdf\0\0\0\x01\xa1k\xc0"),
      BYTES("\xd4\x07z"),
      BYTES("\xd5\x07zz"),
      BYTES("\xd6\x07zzzz"),
      BYTES("\xd7\x07zzzzzzzz"),
      BYTES("\xd8\x07zzzzzzzzzzzzzzzz"),
      BYTES("\xc7\x03\x07zzz"),
      BYTES("\xc8\0\x03\x07zzz"),
      BYTES("\xc9\0\0\0\x03\x07zzz"),
      BYTES("\xc7\0\x07"),
      BYTES("\xd6\xff\0\0\0\x01"),
      BYTES("\xd7\xff\0\0\0\x04\0\0\0\x01"),
      BYTES("\xc7\x0c\xff\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff"),
      BYTES("\xd4\xffz"),
      BYTES("\x81\x01\x02"),
      BYTES("\x81\xc0\xc0"),
      BYTES("\x81\x91\x01\x02"),
  };
#undef BYTES
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t used;
    assert_true(check_against_oracle(cases[i].bytes, cases[i].length, &used));
    assert_int_equal(used, cases[i].length);
    check_truncations(cases[i].bytes, cases[i].length);
  }
}

static void first_bytes_all(void **state) {
  (void)state;
  for (unsigned first = 0; first < 256; first++) {
    uint8_t bytes[300];
    memset(bytes, 0, sizeof bytes);
    bytes[0] = (uint8_t)first;
    size_t used = 0;
    assert_int_equal(check_against_oracle(bytes, sizeof bytes, &used), first != 0xc1);
    if (first != 0xc1) check_truncations(bytes, used);
  }
}

// Timestamps that no count of microseconds holds, or that are none, stay extensions.
static void timestamps_out_of_range(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t length;
    enum msgpack_type type;
    int64_t micros;
  } cases[] = {
      {"\xc7\x0c\xff\0\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 15, MSGPACK_EXT, 0},
      {"\xc7\x0c\xff\0\0\0\0\x80\0\0\0\0\0\0\0", 15, MSGPACK_EXT, 0},
      {"\xc7\x0c\xff\x3b\x9a\xca\0\0\0\0\0\0\0\0\0", 15, MSGPACK_EXT, 0}, // 1,000,000,000 nanoseconds
      {"\xc7\x0c\xff\x3b\x9a\xc9\xff\0\0\0\0\0\0\0\0", 15, MSGPACK_TIMESTAMP, 999999},
      {"\xd7\xff\xff\xff\xff\xff\0\0\0\x01", 10, MSGPACK_EXT, 0},
      {"\xc7\x04\xff\0\0\0\x02", 7, MSGPACK_TIMESTAMP, 2000000}, // the short form spelled as ext8
      {"\xc7\x05\xff\0\0\0\x02\0", 8, MSGPACK_EXT, 0},
      {"\xd6\xfe\0\0\0\x02", 6, MSGPACK_EXT, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const uint8_t *at = (const uint8_t *)cases[i].bytes;
    struct msgpack_value v;
    assert_true(msgpack_read(&at, at + cases[i].length, &v));
    assert_int_equal(v.type, cases[i].type);
    if (v.type == MSGPACK_TIMESTAMP) assert_int_equal(v.micros, cases[i].micros);
  }
}

static void random_bytes_agree_with_the_oracle(void **state) {
  (void)state;
  unsigned good = 0;
  for (int turn = 0; turn < 60000; turn++) {
    size_t length = random_next() % 40;
    uint8_t *bytes = malloc(length ? length : 1);
    unsigned zeros = 0;
    for (size_t i = 0; i < length; i++) {
      static const uint8_t heads[] = {0x81, 0x92, 0xa2, 0xc4, 0xc7, 0xca, 0xcc, 0xd0, 0xd4, 0xd9, 0xdc, 0xde, 0xdf, 0xdd, 0x00, 0x01};
      uint64_t r = random_next();
      bytes[i] = r >> 62 ? heads[r % sizeof heads] : (uint8_t)(r >> 8);
      // The oracle believes a container's count and asks for the memory: counts of 32 bits stay small.
      if (zeros > 0) bytes[i] = 0;
      zeros = bytes[i] == 0xdd || bytes[i] == 0xdf ? 3 : zeros - (zeros > 0);
    }
    size_t used;
    good += check_against_oracle(bytes, length, &used);
    free(bytes);
  }
  assert_true(good > 10000);
}

// What our writer makes must be byte for byte what the oracle's packer makes: the shortest spelling.
static void writer_agrees_with_the_packer(void **state) {
  (void)state;
  uint8_t memory[256];
  msgpack_sbuffer expected;
  msgpack_packer packer;
  msgpack_sbuffer_init(&expected);
  msgpack_packer_init(&packer, &expected, msgpack_sbuffer_write);
  for (int turn = 0; turn < 20000; turn++) {
    // Numbers around each power of two meet every boundary; others in between.
    uint64_t r = random_next(), u = ((uint64_t)1 << (r & 63)) + (r >> 8 & 3) - 1;
    if (turn % 4 == 0) u = random_next() >> (r & 63);
    int64_t i = (int64_t)(turn % 2 ? u : 0 - u);
    double d;
    memcpy(&d, &u, sizeof d);
    struct msgpack_writer w = {memory, memory + sizeof memory, false};
    msgpack_sbuffer_clear(&expected);
    msgpack_write_int(&w, i), msgpack_pack_int64(&packer, i);
    msgpack_write_uint(&w, u), msgpack_pack_uint64(&packer, u);
    msgpack_write_double(&w, d), msgpack_pack_double(&packer, d);
    msgpack_write_bool(&w, u & 1), (u & 1 ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer));
    msgpack_write_nil(&w), msgpack_pack_nil(&packer);
    msgpack_write_array(&w, (uint32_t)u), msgpack_pack_array(&packer, (uint32_t)u);
    msgpack_write_map(&w, (uint32_t)u), msgpack_pack_map(&packer, (uint32_t)u);
    int64_t micros = i % ((int64_t)1 << 56);
    if (turn % 3 == 0) micros -= micros % 1000000;
    msgpack_timestamp t = {.tv_sec = micros / 1000000 - (micros % 1000000 < 0)};
    t.tv_nsec = (uint32_t)(micros - t.tv_sec * 1000000) * 1000;
    msgpack_write_timestamp(&w, micros), msgpack_pack_timestamp(&packer, &t);
    assert_false(w.overflow);
    assert_int_equal(w.at - memory, expected.size);
    assert_memory_equal(memory, expected.data, expected.size);
  }
  msgpack_sbuffer_destroy(&expected);
}

static void writer_agrees_on_lengths(void **state) {
  (void)state;
  static const uint32_t lengths[] = {0, 1, 31, 32, 33, 255, 256, 65535, 65536, 100000};
  uint8_t *memory = malloc(300000), *body = calloc(1, 100000);
  memset(body, 'b', 100000);
  for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
    msgpack_sbuffer expected;
    msgpack_packer packer;
    msgpack_sbuffer_init(&expected);
    msgpack_packer_init(&packer, &expected, msgpack_sbuffer_write);
    struct msgpack_writer w = {memory, memory + 300000, false};
    msgpack_write_text(&w, (char *)body, lengths[n]);
    msgpack_pack_str(&packer, lengths[n]), msgpack_pack_str_body(&packer, body, lengths[n]);
    msgpack_write_bytes(&w, body, lengths[n]);
    msgpack_pack_bin(&packer, lengths[n]), msgpack_pack_bin_body(&packer, body, lengths[n]);
    assert_false(w.overflow);
    assert_int_equal(w.at - memory, expected.size);
    assert_memory_equal(memory, expected.data, expected.size);
    msgpack_sbuffer_destroy(&expected);
  }
  free(memory);
  free(body);
}

static void write_everything(struct msgpack_writer *w) {
  uint8_t *map = msgpack_map_open(w);
  msgpack_write_cstring(w, "int"), msgpack_write_int(w, -70000);
  msgpack_write_cstring(w, "uint"), msgpack_write_uint(w, UINT64_MAX);
  msgpack_write_cstring(w, "double"), msgpack_write_double(w, 0.1);
  msgpack_write_cstring(w, "time"), msgpack_write_timestamp(w, -1);
  msgpack_write_cstring(w, "bytes"), msgpack_write_bytes(w, "\0\1", 2);
  msgpack_write_cstring(w, "list");
  uint8_t *array = msgpack_array_open(w);
  msgpack_write_bool(w, true), msgpack_write_nil(w), msgpack_write_raw(w, "\xa1x", 2);
  msgpack_array_close(array, 3);
  msgpack_map_close(map, 6);
}

// With any amount of memory the writer stays inside it, says so, and what it did write begins like the whole.
static void overflow_is_said_and_never_written_over(void **state) {
  (void)state;
  uint8_t whole[256];
  struct msgpack_writer w = {whole, whole + sizeof whole, false};
  write_everything(&w);
  assert_false(w.overflow);
  size_t length = (size_t)(w.at - whole);
  assert_true(msgpack_valid(whole, whole + length));
  for (size_t room = 0; room <= length; room++) {
    uint8_t *memory = malloc(room + 8);
    memset(memory, 0xee, room + 8);
    w = (struct msgpack_writer){memory, memory + room, false};
    write_everything(&w);
    assert_int_equal(w.overflow, room < length);
    assert_true(w.at <= memory + room);
    for (size_t i = room; i < room + 8; i++) assert_int_equal(memory[i], 0xee);
    if (room == length) assert_memory_equal(memory, whole, length);
    free(memory);
  }
}

static void finds_by_key(void **state) {
  (void)state;
  uint8_t memory[256] = {0};
  struct msgpack_writer w = {memory, memory + sizeof memory, false};
  msgpack_write_map(&w, 5);
  msgpack_write_cstring(&w, "a"), msgpack_write_int(&w, 1);
  msgpack_write_int(&w, 5), msgpack_write_int(&w, 2);
  msgpack_write_array(&w, 1), msgpack_write_cstring(&w, "a"), msgpack_write_int(&w, 3);
  msgpack_write_cstring(&w, "a"), msgpack_write_int(&w, 4);
  msgpack_write_raw(&w, "\xda\0\1b", 4), msgpack_write_int(&w, 5);
  const uint8_t *at, *end;
  assert_true(msgpack_find(memory, w.at, "a", 1, &at, &end));
  assert_int_equal(end - at, 1);
  assert_int_equal(*at, 4);
  assert_true(msgpack_find(memory, w.at, "b", 1, &at, &end));
  assert_int_equal(*at, 5);
  assert_false(msgpack_find(memory, w.at, "c", 1, &at, &end));
  assert_false(msgpack_find(memory, w.at, "", 0, &at, &end));
  assert_false(msgpack_find(memory, w.at - 1, "a", 1, &at, &end));
  assert_false(msgpack_find((const uint8_t *)"\x90", (const uint8_t *)"\x90" + 1, "a", 1, &at, &end));
}

// The value at a path in {"a":{"b":[{"c":7}]},"x.y":8,"q\"[":9,"":10}, or -1.
static int64_t value_at(const char *text) {
  uint8_t memory[256] = {0};
  struct msgpack_writer w = {memory, memory + sizeof memory, false};
  msgpack_write_map(&w, 4);
  msgpack_write_cstring(&w, "a"), msgpack_write_map(&w, 1), msgpack_write_cstring(&w, "b"), msgpack_write_array(&w, 2);
  msgpack_write_map(&w, 1), msgpack_write_cstring(&w, "c"), msgpack_write_int(&w, 7), msgpack_write_int(&w, 6);
  msgpack_write_cstring(&w, "x.y"), msgpack_write_int(&w, 8);
  msgpack_write_cstring(&w, "q\"["), msgpack_write_int(&w, 9);
  msgpack_write_cstring(&w, ""), msgpack_write_int(&w, 10);
  struct error e = {0};
  struct msgpack_path *path = msgpack_path_new(text, &e);
  if (!path) fail_msg("%s", e.text);
  const uint8_t *at, *end;
  struct msgpack_value v = {.i = -1};
  if (msgpack_path_find(path, memory, w.at, &at, &end)) {
    assert_true(msgpack_read(&at, end, &v));
    if (v.type != MSGPACK_INT) v.i = -2;
  }
  msgpack_path_free(path);
  return v.i;
}

static void paths_lead_there(void **state) {
  (void)state;
  assert_int_equal(value_at("a.b[0].c"), 7);
  assert_int_equal(value_at("a.b[1]"), 6);
  assert_int_equal(value_at("[\"a\"][\"b\"][0][\"c\"]"), 7);
  assert_int_equal(value_at("x\\.y"), 8);
  assert_int_equal(value_at("[\"x.y\"]"), 8);
  assert_int_equal(value_at("q\"\\["), 9);
  assert_int_equal(value_at("[\"q\\\"[\"]"), 9);
  assert_int_equal(value_at("[\"\"]"), 10);
  assert_int_equal(value_at("a.b"), -2);
  static const char *const absent[] = {"b", "a.c", "a.b[2]", "a.b[4294967295]", "a[0]", "a.b.c", "a.b[0].c.d", "a.b[0].c[0]", "x.y"};
  for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) assert_int_equal(value_at(absent[i]), -1);
}

static void broken_paths_are_refused(void **state) {
  (void)state;
  static const char *const broken[] = {"",    ".",     "a.",     ".a",      "a..b",   "a[",
                                       "a[]", "a[x]",  "a[-1]",  "a[1",     "a[1]b",  "a[4294967296]",
                                       "a\\", "[\"a]", "[\"a\"", "[\"a\"b", "[\"a\\", "a.[0]"};
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    struct error e = {0};
    assert_null(msgpack_path_new(broken[i], &e));
    assert_int_equal(e.class, ERROR_CONFIG);
  }
  char large[2 * LIMIT_PATH];
  memset(large, 'a', sizeof large - 1);
  large[sizeof large - 1] = '\0';
  struct error e = {0};
  assert_null(msgpack_path_new(large, &e));
  memset(large, '\0', sizeof large);
  for (size_t i = 0; i < LIMIT_DEPTH + 1; i++) memcpy(large + 3 * i, "[0]", 3);
  assert_null(msgpack_path_new(large, &e));
  large[3 * LIMIT_DEPTH] = '\0';
  struct msgpack_path *longest = msgpack_path_new(large, &e);
  assert_non_null(longest);
  msgpack_path_free(longest);
}

static void depth_is_bounded(void **state) {
  (void)state;
  for (unsigned depth = 0; depth <= MSGPACK_DEPTH_MOST + 2; depth++) {
    uint8_t bytes[MSGPACK_DEPTH_MOST + 3];
    memset(bytes, 0x91, depth);
    bytes[depth] = 0xc0;
    const uint8_t *at = bytes, *end = bytes + depth + 1;
    assert_int_equal(msgpack_valid(bytes, end), depth <= LIMIT_DEPTH);
    assert_int_equal(msgpack_skip(&at, end), depth <= LIMIT_DEPTH);
    at = bytes;
    assert_int_equal(msgpack_skip_deep(&at, end, 100000), depth <= MSGPACK_DEPTH_MOST);
    at = bytes;
    struct buffer json = {0};
    assert_int_equal(msgpack_to_json(&at, end, &json), depth <= LIMIT_DEPTH);
    buffer_free(&json);
  }
}

static void validity_looks_at_keys_and_texts(void **state) {
  (void)state;
#define BYTES(text)                                                                                                                        \
  { (const uint8_t *)(text), sizeof(text) - 1 }
  static const struct {
    const uint8_t *bytes;
    size_t length;
  } good[] = {BYTES("\x81\xa1k\x91\x80"), BYTES("\x82\xa1k\x80\xa1l\x81\xa0\xc0"), BYTES("\xa2\xc3\xa9"), BYTES("\xc4\x01\xff")},
    bad[] = {BYTES("\x81\x01\x02"),
             BYTES("\x82\xa1k\x80\x05\xc0"),
             BYTES("\x81\x80\xc0"),
             BYTES("\xa1\xff"),
             BYTES("\x81\xa1\xff\xc0"),
             BYTES("\xc0\xc0"),
             BYTES(""),
             BYTES("\x91\x81\xa1k\xa2\xed\xa0"),
             BYTES("\x81\xc4\x01k\xc0")};
#undef BYTES
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_true(msgpack_valid(good[i].bytes, good[i].bytes + good[i].length));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(msgpack_valid(bad[i].bytes, bad[i].bytes + bad[i].length));
}

static void check_json(const char *bytes, size_t length, const char *expected) {
  struct buffer json = {0};
  const uint8_t *at = (const uint8_t *)bytes, *end = at + length;
  bool printed = msgpack_to_json(&at, end, &json);
  if (!expected) {
    assert_false(printed);
    assert_int_equal(json.length, 0);
    assert_ptr_equal(at, bytes);
  } else {
    assert_true(printed);
    assert_string_equal(buffer_cstring(&json), expected);
    assert_ptr_equal(at, end);
  }
  buffer_free(&json);
}

static void json_says_everything(void **state) {
  (void)state;
#define JSON(bytes, expected) check_json(bytes, sizeof(bytes) - 1, expected)
  JSON("\xc0", "null");
  JSON("\xc3", "true");
  JSON("\xd3\x80\0\0\0\0\0\0\0", "-9223372036854775808");
  JSON("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615");
  JSON("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", "0.1");
  JSON("\xcb\x40\x14\0\0\0\0\0\0", "5.0");
  JSON("\xcb\x80\0\0\0\0\0\0\0", "-0.0");
  JSON("\xca\x3f\x80\0\0", "1.0");
  JSON("\xcb\x7f\xf8\0\0\0\0\0\0", "null");
  JSON("\xcb\x7f\xf0\0\0\0\0\0\0", "null");
  JSON("\xcb\xff\xf0\0\0\0\0\0\0", "null");
  JSON("\xa9"
       "a\"\\\b\f\n\r\t\x7f",
       "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u007f\"");
  JSON("\xa4\0\x1f/z", "\"\\u0000\\u001f/z\"");
  JSON("\xa2\xc3\xa9", "\"\xc3\xa9\"");
  JSON("\xa3\xff"
       "a\xc3",
       "\"\\ufffda\\ufffd\"");
  JSON("\xc4\0", "\"\"");
  JSON("\xc4\1f", "\"Zg==\"");
  JSON("\xc4\2fo", "\"Zm8=\"");
  JSON("\xc4\3foo", "\"Zm9v\"");
  JSON("\xc4\4\xff\xfe\xfd\xfc", "\"//79/A==\"");
  JSON("\xd4\7f", "\"Zg==\"");
  JSON("\xd6\xff\0\0\0\0", "\"1970-01-01T00:00:00Z\"");
  JSON("\x93\1\x90\x80", "[1,[],{}]");
  JSON("\x82\xa1"
       "a\1\xa1"
       "b\x81\xa0\xc0",
       "{\"a\":1,\"b\":{\"\":null}}");
  JSON("\x84\5\1\xc3\2\xc4\1f\3\xc0\4", "{\"5\":1,\"true\":2,\"Zg==\":3,\"null\":4}");
  JSON("\x81\x91\1\2", NULL);
  JSON("\x92\1", NULL);
  JSON("\xc1", NULL);
  JSON("", NULL);
#undef JSON
}

static void doubles_read_back_the_same(void **state) {
  (void)state;
  for (int turn = 0; turn < 50000; turn++) {
    uint64_t bits = random_next();
    double d = 0, back;
    if (turn % 3 == 0)
      memcpy(&d, &bits, sizeof d);
    else
      d = (double)(int64_t)(bits >> 20) / (turn % 3 == 1 ? 100000.0 : 1e-3);
    if (!isfinite(d)) continue;
    uint8_t memory[9];
    struct msgpack_writer w = {memory, memory + sizeof memory, false};
    msgpack_write_double(&w, d);
    const uint8_t *at = memory;
    struct buffer json = {0};
    assert_true(msgpack_to_json(&at, w.at, &json));
    const char *text = buffer_cstring(&json);
    back = strtod(text, NULL);
    assert_memory_equal(&back, &d, sizeof d);
    assert_true(strpbrk(text, ".e") != NULL);
    // Shortest: with one significant digit less it reads back as another number.
    char shorter[64];
    int digits = 17;
    for (; digits > 1; digits--) {
      snprintf(shorter, sizeof shorter, "%.*e", digits - 2, d);
      if (strtod(shorter, NULL) != d) break;
    }
    int printed = 0;
    bool leading = true;
    for (const char *c = text; *c != '\0' && *c != 'e'; c++) {
      if (*c < '0' || *c > '9' || (leading && *c == '0')) continue;
      leading = false;
      printed++;
    }
    // Plain digits may end in zeros that are needed ("1200000.0"); with an exponent there are none.
    if (strchr(text, 'e')) assert_int_equal(printed, digits);
    buffer_free(&json);
  }
}

static void utf8_agrees_with_the_rules(void **state) {
  (void)state;
  // Every code point, encoded; and every pair of bytes.
  for (uint32_t code = 0; code <= 0x110000; code++) {
    uint8_t text[4];
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    uint32_t rest = code;
    for (size_t i = length - 1; i > 0; i--, rest >>= 6) text[i] = (uint8_t)(0x80 | (rest & 0x3f));
    text[0] = (uint8_t)(first[length] | rest);
    bool right = code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    assert_int_equal(utf8_step(text, length), right ? length : 0);
    for (size_t cut = 1; cut < length; cut++) assert_int_equal(utf8_step(text, cut), 0);
  }
  static const char *const broken[] = {
      "\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
      "\xfe", "\xff",     "\xc3\x28", "\xe2\x28\xa1", "\xe2\x82\x28", "\xf0\x9f\x98\x28"};
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    char text[64];
    for (size_t before = 0; before < 20; before++) {
      memset(text, 'a', before);
      strcpy(text + before, broken[i]);
      for (size_t behind = 0; behind < 20; behind++) {
        assert_int_equal(utf8_check((uint8_t *)text, strlen(text)), before);
        strcat(text, "b");
      }
    }
  }
}

// Texts are looked at eight bytes at a time: what must not stand as it is, at every place of every length.
static void special_bytes_at_every_place(void **state) {
  (void)state;
  static const uint8_t bytes[] = {'"', '\\', 0x00, 0x1f, 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7e, 0x7f, 0x80, 0xff};
  struct json_parser *parser = json_parser_new();
  for (size_t length = 1; length <= 26; length++)
    for (size_t at = 0; at < length; at++)
      for (size_t i = 0; i < sizeof bytes; i++) {
        uint8_t text[32], packed[64];
        memset(text, 'a', sizeof text);
        text[at] = bytes[i];
        struct msgpack_writer w = {.at = packed, .end = packed + sizeof packed};
        msgpack_write_text(&w, (const char *)text, (uint32_t)length);
        struct buffer json = {0}, back = {0};
        struct error e = {0};
        const uint8_t *from = packed;
        assert_true(msgpack_to_json(&from, w.at, &json));
        size_t json_length = json.length;
        buffer_reserve(&json, JSON_PADDING);
        assert_true(json_to_msgpack(parser, (const char *)json.at, json_length, &back, &e));
        struct msgpack_value value;
        from = back.at;
        assert_true(msgpack_read(&from, back.at + back.length, &value));
        bool broken = bytes[i] >= 0x80;
        assert_int_equal(value.length, broken ? length + 2 : length); // U+FFFD has three bytes
        assert_memory_equal(value.bytes, text, at);
        if (!broken) assert_memory_equal(value.bytes, text, length);
        buffer_free(&json);
        buffer_free(&back);
      }
  json_parser_free(parser);
}

static void integers_as_digits(void **state) {
  (void)state;
  static const int64_t values[] = {0, 9, 10, 99, 100, 101, 12345, -1, -10, -100, INT64_MAX, INT64_MIN};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    uint8_t packed[16];
    char expected[32];
    struct msgpack_writer w = {.at = packed, .end = packed + sizeof packed};
    struct buffer json = {0};
    const uint8_t *from = packed;
    msgpack_write_int(&w, values[i]);
    assert_true(msgpack_to_json(&from, w.at, &json));
    snprintf(expected, sizeof expected, "%lld", (long long)values[i]);
    assert_string_equal(buffer_cstring(&json), expected);
    buffer_free(&json);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(special_bytes_at_every_place),
      cmocka_unit_test(integers_as_digits),
      cmocka_unit_test(every_spelling_is_read),
      cmocka_unit_test(first_bytes_all),
      cmocka_unit_test(timestamps_out_of_range),
      cmocka_unit_test(random_bytes_agree_with_the_oracle),
      cmocka_unit_test(writer_agrees_with_the_packer),
      cmocka_unit_test(writer_agrees_on_lengths),
      cmocka_unit_test(overflow_is_said_and_never_written_over),
      cmocka_unit_test(finds_by_key),
      cmocka_unit_test(paths_lead_there),
      cmocka_unit_test(broken_paths_are_refused),
      cmocka_unit_test(depth_is_bounded),
      cmocka_unit_test(validity_looks_at_keys_and_texts),
      cmocka_unit_test(json_says_everything),
      cmocka_unit_test(doubles_read_back_the_same),
      cmocka_unit_test(utf8_agrees_with_the_rules),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
