// Dead letters: every field comes back, long originals are cut and say so, hostile texts become UTF-8, damaged bodies are refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "proto/dead.h"
#include "proto/error.h"
#include "proto/limits.h"

static uint32_t encode(const struct dead_letter *d, uint32_t data_room, uint8_t **memory) {
  uint32_t room = dead_size(d);
  *memory = memory_get(room);
  struct msgpack_writer w = {*memory, *memory + room, false};
  dead_write(&w, d, data_room);
  assert_false(w.overflow);
  return (uint32_t)(w.at - *memory);
}

static void check_text(const char *expected, const char *text, uint32_t length) {
  assert_int_equal(length, strlen(expected));
  assert_memory_equal(text, expected, length);
}

static void every_field_comes_back(void **state) {
  (void)state;
  static const uint8_t data[] = {0, 1, 0xff, 0xc1};
  struct dead_letter d = {.node = "events_table",
                          .reason = "null value",
                          .code = "23502",
                          .format = "msgpack",
                          .column = "id",
                          .constraint = "events_pkey",
                          .message = "{\"key\":null}",
                          .data = data,
                          .data_length = sizeof data},
                     read;
  uint8_t *memory;
  uint32_t length = encode(&d, UINT32_MAX, &memory);
  assert_true(msgpack_valid(memory, memory + length));
  assert_true(dead_read(memory, memory + length, &read));
  check_text("events_table", read.node, read.node_length);
  check_text("null value", read.reason, read.reason_length);
  check_text("23502", read.code, read.code_length);
  check_text("msgpack", read.format, read.format_length);
  check_text("id", read.column, read.column_length);
  check_text("events_pkey", read.constraint, read.constraint_length);
  check_text("{\"key\":null}", read.message, read.message_length);
  assert_int_equal(read.data_length, sizeof data);
  assert_memory_equal(read.data, data, sizeof data);
  assert_false(read.cut);
  // Cut off anywhere, it is refused.
  for (uint32_t cut = 0; cut < length; cut++) assert_false(dead_read(memory, memory + cut, &read));
  free(memory);
}

static void absent_texts_are_empty(void **state) {
  (void)state;
  struct dead_letter d = {.cut = true}, read;
  uint8_t *memory;
  uint32_t length = encode(&d, UINT32_MAX, &memory);
  assert_true(dead_read(memory, memory + length, &read));
  assert_int_equal(
      read.node_length + read.reason_length + read.code_length + read.format_length + read.column_length + read.constraint_length, 0);
  assert_int_equal(read.data_length, 0);
  assert_true(read.cut);
  free(memory);
}

static void long_originals_are_cut(void **state) {
  (void)state;
  uint32_t long_length = LIMIT_DEAD_DATA + 100;
  uint8_t *data = memory_get(long_length), *memory;
  memset(data, 'd', long_length);
  const struct {
    uint32_t length, room, kept;
  } cases[] = {{LIMIT_DEAD_DATA, UINT32_MAX, LIMIT_DEAD_DATA},
               {long_length, UINT32_MAX, LIMIT_DEAD_DATA},
               {1000, 1000, 1000},
               {1000, 999, 999},
               {1000, 0, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct dead_letter d = {.node = "n", .data = data, .data_length = cases[i].length}, read;
    uint32_t length = encode(&d, cases[i].room, &memory);
    assert_true(dead_read(memory, memory + length, &read));
    assert_int_equal(read.data_length, cases[i].kept);
    assert_int_equal(read.cut, cases[i].kept < cases[i].length);
    free(memory);
  }
  free(data);
}

static void texts_become_utf8(void **state) {
  (void)state;
  struct dead_letter d = {.node = "n", .reason = "caf\xe9 \xc3\xa9\xff"}, read;
  uint8_t *memory;
  uint32_t length = encode(&d, 0, &memory);
  assert_true(msgpack_valid(memory, memory + length));
  assert_true(dead_read(memory, memory + length, &read));
  check_text("caf? \xc3\xa9?", read.reason, read.reason_length);
  free(memory);
}

// The bound holds with every text at every length class of its head.
static void size_is_an_upper_bound(void **state) {
  (void)state;
  static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 70000};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    char *text = memory_get(lengths[i] + 1);
    memset(text, 't', lengths[i]);
    struct dead_letter d = {.node = text,
                            .reason = text,
                            .code = text,
                            .format = text,
                            .column = text,
                            .constraint = text,
                            .data = (const uint8_t *)text,
                            .data_length = (uint32_t)lengths[i]};
    uint8_t *memory;
    uint32_t length = encode(&d, UINT32_MAX, &memory);
    assert_true(length <= dead_size(&d));
    free(memory);
    free(text);
  }
}

static void wrong_shapes_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t length;
  } cases[] = {{"\xc0", 1},
               {"\x90", 1},
               {"\x81\xa4node\x05", 7},
               {"\x81\xa4"
                "data\xa1x",
                8},
               {"\x81\xa3"
                "cut\x01",
                6},
               {"\x81\xa6"
                "detail\x81\xa6"
                "column\x01",
                17},
               {"\x80\xc0", 2}};
  struct dead_letter read;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_false(dead_read((const uint8_t *)cases[i].bytes, (const uint8_t *)cases[i].bytes + cases[i].length, &read));
  // Fields that nobody knows yet do not disturb, and none of the known ones is a must.
  static const uint8_t later[] = "\x81\xa5"
                                 "later\x01";
  assert_true(dead_read(later, later + sizeof later - 1, &read));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_field_comes_back), cmocka_unit_test(absent_texts_are_empty), cmocka_unit_test(long_originals_are_cut),
      cmocka_unit_test(texts_become_utf8),      cmocka_unit_test(size_is_an_upper_bound), cmocka_unit_test(wrong_shapes_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
