// What a record carries of its message: it becomes the text of a dead letter with everything in it; what is too long or broken becomes
// none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/message_tail.h"

static struct dead_bytes text(const char *t) {
  return (struct dead_bytes){.bytes = (const uint8_t *)t, .length = strlen(t)};
}

static struct dead_message sample(void) {
  return (struct dead_message){
      .key = text("k\xff"), .topic = "orders", .partition = 7, .offset = INT64_MAX - 1, .millis = 1700000000123, .tombstone = true};
}

static void check_text(const struct buffer *tail, const char *expected) {
  struct buffer out = {0};
  message_tail_text(tail->at, tail->length, &out);
  assert_string_equal(buffer_cstring(&out), expected);
  buffer_free(&out);
}

static void everything_stands_in_the_text(void **state) {
  (void)state;
  struct dead_message m = sample();
  struct dead_header first = {.name = "same", .value = text("1")};
  struct buffer tail = {0};
  m.headers = &first;
  m.header_count = 1;
  message_tail_begin(&tail, &m);
  assert_true(message_tail_header(&tail, "same", text("\xfe")));
  assert_true(message_tail_header(&tail, "null", (struct dead_bytes){0}));
  assert_true(message_tail_header(&tail, "", text("")));
  message_tail_end(&tail, MESSAGE_TAIL_MOST);
  check_text(&tail, "{\"key\":{\"hex\":\"6bff\"},\"headers\":[[\"same\",\"1\"],[\"same\",{\"hex\":\"fe\"}],[\"null\",null],[\"\",\"\"]],"
                    "\"topic\":\"orders\",\"partition\":7,\"offset\":9223372036854775806,\"timestamp\":1700000000123,\"tombstone\":true}");
  buffer_free(&tail);
}

static void null_and_empty_keys_differ_and_little_is_enough(void **state) {
  (void)state;
  struct dead_message m = {.millis = -1};
  struct buffer tail = {0};
  message_tail_begin(&tail, &m);
  check_text(&tail, "{\"key\":null}");
  m.key = text("");
  message_tail_begin(&tail, &m);
  check_text(&tail, "{\"key\":\"\"}");
  tail.length = 0;
  check_text(&tail, "");
  buffer_free(&tail);
}

static void what_is_too_long_is_left_out(void **state) {
  (void)state;
  static uint8_t large[MESSAGE_TAIL_MOST];
  struct dead_message m = sample();
  struct buffer tail = {0};
  message_tail_begin(&tail, &m);
  assert_true(message_tail_header(&tail, "h", (struct dead_bytes){.bytes = large, .length = MESSAGE_TAIL_MOST - 100}));
  size_t whole = tail.length;
  message_tail_end(&tail, whole);
  assert_int_equal(tail.length, whole);
  // As a text each NUL is two digits: more than a letter keeps.
  assert_true(whole * 2 > LIMIT_DEAD_MESSAGE);
  check_text(&tail, "");
  message_tail_end(&tail, whole - 1);
  assert_int_equal(tail.length, 0);
  message_tail_begin(&tail, &m);
  message_tail_header(&tail, "h", (struct dead_bytes){.bytes = large, .length = sizeof large});
  assert_false(message_tail_header(&tail, "h", text("more")));
  message_tail_end(&tail, SIZE_MAX);
  assert_int_equal(tail.length, 0);
  m.key = (struct dead_bytes){.bytes = large, .length = sizeof large + 1};
  message_tail_begin(&tail, &m);
  message_tail_end(&tail, SIZE_MAX);
  assert_int_equal(tail.length, 0);
  buffer_free(&tail);
}

static void what_is_cut_short_is_none(void **state) {
  (void)state;
  struct dead_message m = sample();
  struct buffer tail = {0}, out = {0};
  message_tail_begin(&tail, &m);
  size_t fixed = tail.length;
  message_tail_header(&tail, "name", text("value"));
  for (size_t length = 1; length < tail.length; length++) {
    message_tail_text(tail.at, length, &out);
    assert_int_equal(out.length > 0, length == fixed);
  }
  buffer_free(&tail);
  buffer_free(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(everything_stands_in_the_text),
      cmocka_unit_test(null_and_empty_keys_differ_and_little_is_enough),
      cmocka_unit_test(what_is_too_long_is_left_out),
      cmocka_unit_test(what_is_cut_short_is_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
