// The register: entries come back as they went in, in order, through other mappings; a full one says so; garbage is reported.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shm/register.h"

struct pair {
  int fd;
  struct shared_register writer, reader;
};

static struct pair pair_open(uint64_t bytes) {
  struct pair p;
  p.fd = register_create(bytes);
  assert_true(p.fd >= 0);
  assert_int_equal(register_attach(&p.writer, p.fd, true), 0);
  assert_int_equal(register_attach(&p.reader, p.fd, false), 0);
  return p;
}

static void pair_close(struct pair *p) {
  register_detach(&p->writer);
  register_detach(&p->reader);
  close(p->fd);
}

static void expect_entry(struct shared_register *r, uint64_t index) {
  char want[64];
  int want_length = snprintf(want, sizeof want, "%.*s", (int)(index % 40), "abcdefghijklmnopqrstuvwxyz0123456789ABCDEF");
  const uint8_t *bytes = NULL;
  uint32_t length = 0;
  assert_int_equal(register_at(r, index, &bytes, &length), 0);
  assert_int_equal(length, want_length);
  assert_memory_equal(bytes, want, length);
}

static int64_t append_entry(struct shared_register *r, uint64_t index) {
  return register_append(r, "abcdefghijklmnopqrstuvwxyz0123456789ABCDEF", (uint32_t)(index % 40));
}

static void entries_come_back_in_order(void **state) {
  (void)state;
  struct pair p = pair_open(64 * 1024);
  for (uint64_t i = 0; i < 1000; i++) {
    assert_int_equal(append_entry(&p.writer, i), i);
    assert_int_equal(register_count(&p.reader), i + 1);
    expect_entry(&p.reader, i);
  }
  for (uint64_t i = 1000; i-- > 0;) expect_entry(&p.reader, i);
  const uint8_t *bytes = NULL;
  uint32_t length = 0;
  assert_int_equal(register_at(&p.reader, 1000, &bytes, &length), -ENOENT);
  pair_close(&p);
}

static void a_successor_goes_on_behind_the_last_entry(void **state) {
  (void)state;
  struct pair p = pair_open(4096);
  for (uint64_t i = 0; i < 20; i++) append_entry(&p.writer, i);
  // Killed in the middle of the next entry: bytes lie there, the count does not show them.
  memset(p.writer.data + p.writer.next, 0xff, 64);
  register_detach(&p.writer);
  assert_int_equal(register_attach(&p.writer, p.fd, true), 0);
  for (uint64_t i = 20; i < 40; i++) assert_int_equal(append_entry(&p.writer, i), i);
  for (uint64_t i = 0; i < 40; i++) expect_entry(&p.reader, i);
  pair_close(&p);
}

static void a_full_register_says_so_and_stays_whole(void **state) {
  (void)state;
  struct pair p = pair_open(1);
  uint8_t big[4096] = {1};
  assert_int_equal(register_append(&p.writer, big, 4092), 0);
  assert_int_equal(register_append(&p.writer, big, 0), -ENOSPC);
  assert_int_equal(register_append(&p.writer, big, UINT32_MAX), -ENOSPC);
  assert_int_equal(register_count(&p.reader), 1);
  const uint8_t *bytes = NULL;
  uint32_t length = 0;
  assert_int_equal(register_at(&p.reader, 0, &bytes, &length), 0);
  assert_int_equal(length, 4092);
  pair_close(&p);
}

static void garbage_is_reported(void **state) {
  (void)state;
  struct pair p = pair_open(4096);
  for (uint64_t i = 0; i < 3; i++) append_entry(&p.writer, i);
  const uint8_t *bytes = NULL;
  uint32_t length = 0, wrong = 4096;
  memcpy(p.writer.data + p.writer.offsets[1], &wrong, sizeof wrong);
  assert_int_equal(register_at(&p.reader, 0, &bytes, &length), 0);
  assert_int_equal(register_at(&p.reader, 2, &bytes, &length), -EBADMSG);
  pair_close(&p);

  p = pair_open(4096);
  append_entry(&p.writer, 1);
  atomic_store(&p.writer.head->count, UINT64_MAX);
  assert_int_equal(register_at(&p.reader, UINT64_MAX - 1, &bytes, &length), -EBADMSG);
  assert_int_equal(append_entry(&p.writer, 1), -EBADMSG);
  pair_close(&p);
}

static void a_length_that_changes_after_the_walk_is_checked_again(void **state) {
  (void)state;
  struct pair p = pair_open(4096);
  append_entry(&p.writer, 0);
  expect_entry(&p.reader, 0);
  uint32_t wrong = 4093;
  memcpy(p.writer.data, &wrong, sizeof wrong);
  const uint8_t *bytes = NULL;
  uint32_t length = 0;
  assert_int_equal(register_at(&p.reader, 0, &bytes, &length), -EBADMSG);
  pair_close(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(entries_come_back_in_order),
      cmocka_unit_test(a_successor_goes_on_behind_the_last_entry),
      cmocka_unit_test(a_full_register_says_so_and_stays_whole),
      cmocka_unit_test(garbage_is_reported),
      cmocka_unit_test(a_length_that_changes_after_the_walk_is_checked_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
