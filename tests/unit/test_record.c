// The record's header: written and read back at any alignment; what is short or unknown is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "proto/record.h"

static const struct record_header sample = {.kind = RECORD_DATA,
                                            .flags = RECORD_LAST,
                                            .message = 3,
                                            .stream = 7,
                                            .position = UINT64_MAX - 1,
                                            .part = 2,
                                            .code = 9,
                                            .witness = 0x1122334455667788u,
                                            .time = -5};

// The sample's three bytes of a message lie behind the body.
static void comes_back_as_written(void **state) {
  (void)state;
  uint8_t payload[64] = {0};
  for (size_t shift = 0; shift < 8; shift++) {
    struct record_header header;
    const uint8_t *body, *end;
    record_write(payload + shift, &sample);
    memcpy(payload + shift + sizeof sample, "\xc0", 1);
    assert_true(record_read(payload + shift, sizeof sample + 1 + 3, &header, &body, &end));
    assert_memory_equal(&header, &sample, sizeof sample);
    assert_ptr_equal(body, payload + shift + sizeof sample);
    assert_int_equal(end - body, 1);
  }
}

static void every_kind_and_flag(void **state) {
  (void)state;
  for (unsigned kind = 0; kind < 256; kind++) {
    for (unsigned flags = 0; flags < 256; flags++) {
      uint8_t payload[sizeof sample];
      struct record_header header = sample;
      const uint8_t *body, *end;
      header.kind = (uint8_t)kind;
      header.flags = (uint8_t)flags;
      header.message = 0;
      record_write(payload, &header);
      assert_int_equal(record_read(payload, sizeof payload, &header, &body, &end), kind >= 1 && kind <= 6 && flags <= 7);
    }
  }
}

static void too_short_is_refused(void **state) {
  (void)state;
  uint8_t payload[sizeof sample + 3] = {0};
  record_write(payload, &sample);
  for (uint32_t length = 0; length <= sizeof payload; length++) {
    struct record_header header;
    const uint8_t *body, *end;
    assert_int_equal(record_read(payload, length, &header, &body, &end), length == sizeof payload);
  }
}

// The layout lies in rings that outlive a worker: it must not move by accident.
static void layout_is_pinned(void **state) {
  (void)state;
  assert_int_equal(offsetof(struct record_header, kind), 0);
  assert_int_equal(offsetof(struct record_header, flags), 1);
  assert_int_equal(offsetof(struct record_header, node), 2);
  assert_int_equal(offsetof(struct record_header, message), 2);
  assert_int_equal(offsetof(struct record_header, stream), 4);
  assert_int_equal(offsetof(struct record_header, position), 8);
  assert_int_equal(offsetof(struct record_header, part), 16);
  assert_int_equal(offsetof(struct record_header, code), 20);
  assert_int_equal(offsetof(struct record_header, witness), 24);
  assert_int_equal(offsetof(struct record_header, time), 32);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(comes_back_as_written),
      cmocka_unit_test(every_kind_and_flag),
      cmocka_unit_test(too_short_is_refused),
      cmocka_unit_test(layout_is_pinned),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
