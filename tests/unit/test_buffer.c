// The growing buffer: adding in any piece size gives the bytes in order; room is kept when cleared.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/error.h"

static void grows_and_keeps_order(void **state) {
  (void)state;
  struct buffer b = {0};
  uint8_t expected[20000];
  size_t length = 0;
  for (size_t piece = 0; length + piece <= sizeof expected; piece = (piece * 7 + 1) % 997) {
    for (size_t i = 0; i < piece; i++) expected[length + i] = (uint8_t)(length * 31 + i);
    buffer_add(&b, expected + length, piece);
    length += piece;
  }
  buffer_byte(&b, 'x');
  assert_int_equal(b.length, length + 1);
  assert_memory_equal(b.at, expected, length);
  assert_int_equal(b.at[length], 'x');
  size_t room = b.room;
  buffer_clear(&b);
  assert_int_equal(b.length, 0);
  assert_int_equal(b.room, room);
  buffer_free(&b);
  assert_null(b.at);
  assert_int_equal(b.room, 0);
}

static void prints_texts_of_any_length(void **state) {
  (void)state;
  struct buffer b = {0};
  char *word = memory_get(5001);
  memset(word, 'w', 5000);
  buffer_text(&b, "a");
  buffer_print(&b, "%d;", -5);
  buffer_print(&b, "%s", "");
  buffer_print(&b, "%s.", word);
  assert_int_equal(b.length, 1 + 3 + 5001);
  assert_memory_equal(b.at, "a-5;www", 7);
  assert_int_equal(b.at[b.length - 1], '.');
  free(word);
  buffer_free(&b);
}

static void terminates_without_counting(void **state) {
  (void)state;
  struct buffer b = {0};
  assert_string_equal(buffer_cstring(&b), "");
  for (int i = 0; i < 200; i++) {
    buffer_byte(&b, 'y');
    assert_int_equal(strlen(buffer_cstring(&b)), i + 1);
    assert_int_equal(b.length, i + 1);
  }
  buffer_free(&b);
}

static void reserves_behind_the_length(void **state) {
  (void)state;
  struct buffer b = {0};
  buffer_text(&b, "kept");
  buffer_reserve(&b, 100000);
  assert_true(b.room - b.length >= 100000);
  assert_memory_equal(b.at, "kept", 4);
  buffer_add(&b, NULL, 0);
  assert_int_equal(b.length, 4);
  buffer_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(grows_and_keeps_order),
      cmocka_unit_test(prints_texts_of_any_length),
      cmocka_unit_test(terminates_without_counting),
      cmocka_unit_test(reserves_behind_the_length),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
