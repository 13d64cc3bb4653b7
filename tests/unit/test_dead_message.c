// Key and headers in a dead letter: bytes of every kind come back as they were, in order; what is no message of ours is refused; the
// metadata of a record makes the same.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "proto/dead_message.h"
#include "proto/msgpack.h"

static struct dead_bytes text(const char *bytes) {
  return (struct dead_bytes){.bytes = (const uint8_t *)bytes, .length = strlen(bytes)};
}

static void check_bytes(struct dead_bytes found, const void *bytes, size_t length) {
  assert_non_null(found.bytes);
  assert_int_equal(found.length, length);
  assert_memory_equal(found.bytes, bytes, length);
}

static void everything_comes_back(void **state) {
  (void)state;
  static const uint8_t binary[] = {0xff, 0, 0x7f}, zero[] = {'a', 0};
  struct buffer out = {0};
  struct dead_message m;
  dead_message_head(&out, (struct dead_bytes){.bytes = binary, .length = sizeof binary});
  dead_message_header(&out, "same", text("one \"quoted\" \xc3\xa9"));
  dead_message_header(&out, "same", (struct dead_bytes){.bytes = zero, .length = sizeof zero});
  dead_message_header(&out, "null", (struct dead_bytes){0});
  dead_message_header(&out, "", text(""));
  dead_message_header(&out, "bad\xff", text("]"));
  dead_message_place(&out, "a \"topic\"", 7, 1234567890123);
  dead_message_tail(&out, 1700000000123, true);
  assert_true(dead_message_read(&m, (const char *)out.at, out.length));
  check_bytes(m.key, binary, sizeof binary);
  assert_int_equal(m.header_count, 5);
  assert_string_equal(m.headers[0].name, "same");
  check_bytes(m.headers[0].value, "one \"quoted\" \xc3\xa9", 14 + 1);
  assert_string_equal(m.headers[1].name, "same");
  check_bytes(m.headers[1].value, zero, sizeof zero);
  assert_string_equal(m.headers[2].name, "null");
  assert_null(m.headers[2].value.bytes);
  assert_string_equal(m.headers[3].name, "");
  check_bytes(m.headers[3].value, "", 0);
  assert_string_equal(m.headers[4].name, "bad?");
  check_bytes(m.headers[4].value, "]", 1);
  assert_int_equal(m.millis, 1700000000123);
  assert_true(m.tombstone);
  assert_string_equal(m.topic, "a \"topic\"");
  assert_int_equal(m.partition, 7);
  assert_int_equal(m.offset, 1234567890123);
  dead_message_free(&m);
  buffer_free(&out);
}

static void little_is_enough(void **state) {
  (void)state;
  struct buffer out = {0};
  struct dead_message m;
  dead_message_head(&out, (struct dead_bytes){0});
  dead_message_tail(&out, -1, false);
  assert_string_equal(buffer_cstring(&out), "{\"key\":null}");
  assert_true(dead_message_read(&m, (const char *)out.at, out.length));
  assert_null(m.key.bytes);
  assert_int_equal(m.header_count, 0);
  assert_int_equal(m.millis, -1);
  assert_false(m.tombstone);
  assert_null(m.topic);
  dead_message_free(&m);
  buffer_free(&out);
}

static void what_is_none_is_refused(void **state) {
  (void)state;
  static const char *const none[] = {"",
                                     "null",
                                     "[]",
                                     "{}",
                                     "{\"key\":1}",
                                     "{\"key\":{\"hex\":\"0\"}}",
                                     "{\"key\":{\"hex\":\"zz\"}}",
                                     "{\"key\":{\"hex\":\"00\",\"b\":1}}",
                                     "{\"key\":null,\"headers\":1}",
                                     "{\"key\":null,\"headers\":[[\"a\"]]}",
                                     "{\"key\":null,\"headers\":[[1,null]]}",
                                     "{\"key\":null"};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    struct dead_message m;
    assert_false(dead_message_read(&m, none[i], strlen(none[i])));
    assert_null(m.key.bytes);
    assert_int_equal(m.header_count, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(everything_comes_back), cmocka_unit_test(little_is_enough),
                                     cmocka_unit_test(what_is_none_is_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
