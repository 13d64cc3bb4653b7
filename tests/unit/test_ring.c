// The ring between two handles in one process: what goes in comes out, groups are all or nothing, notes and positions survive, space and
// bells follow their rules. Threads, kills and garbage have test programs of their own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shm/ring.h"

enum { CAPACITY = 4096 };

struct fixture {
  int fd;
  int writer_bell;
  int reader_bell[RING_READERS_MAX];
  struct ring_writer w;
  struct ring_reader r[RING_READERS_MAX];
  unsigned readers;
};

static bool bell_rang(int bell) {
  uint64_t count = 0;
  return read(bell, &count, sizeof count) == sizeof count;
}

static void fixture_silence(struct fixture *f) {
  (void)bell_rang(f->writer_bell);
  for (unsigned i = 0; i < f->readers; i++) (void)bell_rang(f->reader_bell[i]);
}

static void fixture_open(struct fixture *f, unsigned readers, uint32_t words) {
  *f = (struct fixture){.readers = readers};
  struct ring_spec spec = {.capacity = CAPACITY, .readers = readers, .writer_words = words, .reader_words = words};
  f->fd = ring_create(&spec);
  assert_true(f->fd >= 0);
  f->writer_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  for (unsigned i = 0; i < readers; i++) f->reader_bell[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  assert_int_equal(ring_writer_attach(&f->w, f->fd, f->reader_bell), 0);
  for (unsigned i = 0; i < readers; i++) assert_int_equal(ring_reader_attach(&f->r[i], f->fd, i, f->writer_bell), 0);
  fixture_silence(f);
}

static void fixture_close(struct fixture *f) {
  ring_writer_detach(&f->w);
  for (unsigned i = 0; i < f->readers; i++) {
    ring_reader_detach(&f->r[i]);
    close(f->reader_bell[i]);
  }
  close(f->writer_bell);
  close(f->fd);
}

// One record of `size` bytes, all of them `fill`. False: no room.
static bool put(struct ring_writer *w, uint32_t size, int fill) {
  void *at = ring_reserve(w, size);
  if (at == NULL) return false;
  assert_int_equal((uintptr_t)at % 8, 0);
  memset(at, fill, size);
  ring_commit(w, size);
  return true;
}

static void expect(struct ring_reader *r, uint32_t size, int fill) {
  struct ring_view v = {0};
  assert_true(ring_next(r, &v));
  assert_int_equal(v.length, size);
  assert_int_equal(v.end, v.position + ring_footprint(size));
  for (uint32_t i = 0; i < size; i++) assert_int_equal(v.payload[i], fill & 0xff);
}

static void expect_nothing(struct ring_reader *r) {
  struct ring_view v = {0};
  assert_false(ring_next(r, &v));
  assert_int_equal(r->fault, RING_OK);
}

static void specs_out_of_range_are_refused(void **state) {
  (void)state;
  const struct ring_spec good = {.capacity = CAPACITY, .readers = 1};
  struct ring_spec bad[] = {good, good, good, good, good, good, good};
  bad[0].capacity = 0;
  bad[1].capacity = CAPACITY / 2;
  bad[2].capacity = CAPACITY + 8;
  bad[3].capacity = RING_CAPACITY_MAX * 2;
  bad[4].readers = 0;
  bad[5].readers = RING_READERS_MAX + 1;
  bad[6].writer_words = RING_NOTE_WORDS_MAX + 1;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(ring_create(&bad[i]), -EINVAL);
}

static void memory_is_sealed_and_wrong_memory_refused(void **state) {
  (void)state;
  struct ring_spec spec = {.capacity = CAPACITY, .readers = 1};
  int fd = ring_create(&spec);
  assert_int_equal(ftruncate(fd, 0), -1);
  assert_int_equal(ftruncate(fd, 1 << 20), -1);
  assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  struct ring_reader r;
  assert_int_equal(ring_reader_attach(&r, fd, 1, -1), -EINVAL);
  close(fd);
  int bell[RING_READERS_MAX] = {-1};
  struct ring_writer w;
  assert_int_equal(ring_writer_attach(&w, fd, bell), -EBADF);
  assert_int_equal(ring_reader_attach(&r, STDIN_FILENO, 0, -1) < 0, 1);
}

static void records_come_out_as_they_went_in(void **state) {
  (void)state;
  struct fixture f;
  fixture_open(&f, 1, 0);
  // Some thousand laps with lengths of every residue, so that records cross the end of the ring at every offset.
  for (uint32_t i = 0; i < 20000; i++) {
    uint32_t size = (i * 7919) % ((uint32_t)ring_record_max(CAPACITY) + 1);
    assert_true(put(&f.w, size, (int)i));
    ring_group_end(&f.w);
    ring_publish(&f.w);
    expect(&f.r[0], size, (int)i);
    ring_release(&f.r[0], f.r[0].cursor);
  }
  expect_nothing(&f.r[0]);
  assert_true(ring_drained(&f.w));
  fixture_close(&f);
}

static void a_commit_may_be_smaller_than_its_reservation(void **state) {
  (void)state;
  struct fixture f;
  fixture_open(&f, 1, 0);
  memset(ring_reserve(&f.w, 1000), 1, 1000);
  ring_commit(&f.w, 3);
  memset(ring_reserve(&f.w, 500), 2, 500);
  ring_abort(&f.w);
  assert_true(put(&f.w, 5, 3));
  ring_group_end(&f.w);
  ring_publish(&f.w);
  expect(&f.r[0], 3, 1);
  expect(&f.r[0], 5, 3);
  expect_nothing(&f.r[0]);
  fixture_close(&f);
}

static void nobody_sees_half_a_group(void **state) {
  (void)state;
  struct fixture f;
  fixture_open(&f, 1, 0);
  put(&f.w, 8, 1);
  ring_publish(&f.w);
  expect_nothing(&f.r[0]);
  put(&f.w, 8, 2);
  ring_group_end(&f.w);
  put(&f.w, 8, 3);
  ring_publish(&f.w);
  expect(&f.r[0], 8, 1);
  expect(&f.r[0], 8, 2);
  expect_nothing(&f.r[0]);
  assert_int_equal(ring_group_bytes(&f.w), 16);
  uint64_t mark = ring_mark(&f.w);
  put(&f.w, 8, 4);
  ring_rollback(&f.w, mark);
  assert_int_equal(ring_group_bytes(&f.w), 16);
  ring_group_abort(&f.w);
  assert_int_equal(ring_group_bytes(&f.w), 0);
  put(&f.w, 8, 5);
  ring_group_end(&f.w);
  ring_publish(&f.w);
  expect(&f.r[0], 8, 5);
  expect_nothing(&f.r[0]);
  fixture_close(&f);
}

static void a_quarter_ring_publishes_itself(void **state) {
  (void)state;
  struct fixture f;
  fixture_open(&f, 1, 0);
  unsigned before = 0;
  for (; f.w.published == 0; before++) {
    put(&f.w, 120, 1);
    ring_group_end(&f.w);
  }
  assert_int_equal(before, CAPACITY / 4 / 128);
  assert_int_equal(ring_reader_backlog(&f.r[0]), CAPACITY / 4);
  fixture_close(&f);
}

static void a_full_ring_grants_no_more_until_the_slowest_reader_releases(void **state) {
  (void)state;
  struct fixture f;
  fixture_open(&f, 3, 0);
  unsigned n = 0;
  while (put(&f.w, 120, 1)) {
    ring_group_end(&f.w);
    n++;
  }
  assert_int_equal(n, CAPACITY / 128);
  assert_null(ring_reserve(&f.w, 0));
  ring_publish(&f.w);
  for (unsigned i = 0; i < 3; i++) {
    assert_null(ring_reserve(&f.w, 120));
    expect(&f.r[i], 120, 1);
    ring_release(&f.r[i], f.r[i].cursor);
  }
  assert_true(put(&f.w, 120, 2));
  assert_false(put(&f.w, 0, 2));
  assert_null(ring_reserve(&f.w, (uint32_t)ring_record_max(CAPACITY) + 1));
  assert_false(ring_drained(&f.w));
  fixture_close(&f);
}

static void too_large_a_record_is_never_granted(void **state) {
  (void)state;
  struct fixture f;
  fixture_open(&f, 1, 0);
  assert_null(ring_reserve(&f.w, (uint32_t)ring_record_max(CAPACITY) + 1));
  assert_null(ring_reserve(&f.w, UINT32_MAX));
  assert_true(put(&f.w, (uint32_t)ring_record_max(CAPACITY), 1));
  assert_int_equal(f.w.fault, RING_OK);
  fixture_close(&f);
}

static void a_successor_of_the_writer_finds_the_note_of_the_last_publish(void **state) {
  (void)state;
  struct fixture f;
  fixture_open(&f, 1, 3);
  for (uint64_t i = 1; i <= 50; i++) {
    put(&f.w, 40, (int)i);
    ring_group_end(&f.w);
    for (uint64_t k = 0; k < 3; k++) f.w.note[k] = i * 10 + k;
    ring_publish(&f.w);
    // What comes behind the publish is lost with the writer: an unpublished group, and a note half brought up to date.
    put(&f.w, 80, 99);
    f.w.note[1] = 12345;
    ring_writer_detach(&f.w);
    assert_int_equal(ring_writer_attach(&f.w, f.fd, f.reader_bell), 0);
    for (uint64_t k = 0; k < 3; k++) assert_int_equal(f.w.note[k], i * 10 + k);
    expect(&f.r[0], 40, (int)i);
    expect_nothing(&f.r[0]);
    ring_release(&f.r[0], f.r[0].cursor);
  }
  fixture_close(&f);
}

static void a_successor_of_the_reader_goes_on_at_the_head_with_its_note(void **state) {
  (void)state;
  struct fixture f;
  fixture_open(&f, 1, 2);
  for (int i = 1; i <= 9; i++) {
    put(&f.w, 40, i);
    ring_group_end(&f.w);
  }
  ring_publish(&f.w);
  for (int i = 1; i <= 9; i++) {
    struct ring_view v = {0};
    assert_true(ring_next(&f.r[0], &v));
    f.r[0].note[0] = (uint64_t)i;
    f.r[0].note[1] = (uint64_t)i * 3;
    ring_release(&f.r[0], v.end);
    (void)ring_next(&f.r[0], &v); // read, not released: comes again
    ring_reader_detach(&f.r[0]);
    assert_int_equal(ring_reader_attach(&f.r[0], f.fd, 0, f.writer_bell), 0);
    assert_int_equal(f.r[0].note[0], i);
    assert_int_equal(f.r[0].note[1], i * 3);
    assert_true(bell_rang(f.writer_bell));
    if (i < 9) {
      expect(&f.r[0], 40, i + 1);
      ring_seek(&f.r[0], f.r[0].head);
    }
  }
  expect_nothing(&f.r[0]);
  fixture_close(&f);
}

static void seeking_goes_to_boundaries_between_head_and_tail(void **state) {
  (void)state;
  struct fixture f;
  fixture_open(&f, 1, 0);
  for (int i = 0; i < 4; i++) put(&f.w, 8, i);
  ring_group_end(&f.w);
  ring_publish(&f.w);
  ring_seek(&f.r[0], 32); // forward, before anything was read
  expect(&f.r[0], 8, 2);
  ring_seek(&f.r[0], 0);
  expect(&f.r[0], 8, 0);
  ring_release(&f.r[0], 16);
  ring_seek(&f.r[0], 64);
  expect_nothing(&f.r[0]);
  ring_seek(&f.r[0], 8); // behind the head
  struct ring_view v = {0};
  assert_false(ring_next(&f.r[0], &v));
  assert_int_equal(f.r[0].fault, RING_FAULT_SEEK);
  fixture_close(&f);
}

static void bells_ring_for_sleepers_only(void **state) {
  (void)state;
  struct fixture f;
  fixture_open(&f, 2, 0);
  put(&f.w, 8, 0);
  ring_group_end(&f.w);
  ring_publish(&f.w); // wakes at 0, where a new ring's wake_at is: needless, harmless
  for (unsigned i = 0; i < 2; i++) expect(&f.r[i], 8, 0);
  fixture_silence(&f);
  put(&f.w, 8, 1);
  ring_group_end(&f.w);
  ring_publish(&f.w);
  assert_false(bell_rang(f.reader_bell[0])); // nobody slept
  assert_false(ring_reader_sleep(&f.r[0]));  // there is data
  expect(&f.r[0], 8, 1);
  assert_true(ring_reader_sleep(&f.r[0]));
  put(&f.w, 8, 2);
  ring_group_end(&f.w);
  assert_false(bell_rang(f.reader_bell[0]));
  ring_publish(&f.w);
  assert_true(bell_rang(f.reader_bell[0]));
  assert_false(bell_rang(f.reader_bell[1]));
  ring_publish(&f.w); // nothing new
  assert_false(bell_rang(f.reader_bell[0]));
  fixture_close(&f);
}

static void the_writer_sleeps_until_a_quarter_is_free_at_the_slowest(void **state) {
  (void)state;
  struct fixture f;
  fixture_open(&f, 2, 0);
  assert_false(ring_writer_sleep(&f.w, 120)); // there is room
  while (put(&f.w, 120, 1)) ring_group_end(&f.w);
  fixture_silence(&f);
  assert_true(ring_writer_sleep(&f.w, 120));
  struct ring_view v = {0};
  for (int i = 0; i < CAPACITY / 128; i++) {
    assert_true(ring_next(&f.r[0], &v));
    ring_release(&f.r[0], v.end);
    assert_int_equal(bell_rang(f.writer_bell), v.end == CAPACITY / 4);
  }
  assert_true(ring_writer_sleep(&f.w, 120)); // the other reader is the slowest
  for (int i = 0; i < CAPACITY / 128; i++) {
    assert_true(ring_next(&f.r[1], &v));
    ring_release(&f.r[1], v.end);
    assert_int_equal(bell_rang(f.writer_bell), v.end == CAPACITY / 4);
  }
  assert_false(ring_writer_sleep(&f.w, 120));
  fixture_close(&f);
}

// A sink may hold just under half of the ring until more comes; a group may fill half. Whoever asks for more room than that leaves would
// wait for a sink that waits for it.
static void the_writer_never_waits_for_room_that_a_half_full_reader_keeps(void **state) {
  (void)state;
  struct fixture f;
  fixture_open(&f, 1, 0);
  for (int i = 0; i < CAPACITY / 2 / 64; i++) {
    assert_true(put(&f.w, 56, 1));
    ring_group_end(&f.w);
  }
  ring_publish(&f.w);
  while (put(&f.w, 56, 2)) {} // one open group of half a ring
  assert_int_equal(ring_group_bytes(&f.w), CAPACITY / 2);
  ring_rollback(&f.w, ring_mark(&f.w) - 64);
  assert_true(put(&f.w, 48, 2));
  assert_true(ring_writer_sleep(&f.w, 48));
  fixture_silence(&f);
  struct ring_view v = {0};
  assert_true(ring_next(&f.r[0], &v));
  ring_release(&f.r[0], v.end); // now it holds just under half
  assert_true(bell_rang(f.writer_bell));
  assert_true(put(&f.w, 48, 2));
  fixture_close(&f);
}

static void attaching_rings_the_peers(void **state) {
  (void)state;
  struct fixture f;
  fixture_open(&f, 2, 0);
  ring_writer_detach(&f.w);
  assert_int_equal(ring_writer_attach(&f.w, f.fd, f.reader_bell), 0);
  assert_true(bell_rang(f.reader_bell[0]));
  assert_true(bell_rang(f.reader_bell[1]));
  fixture_close(&f);
}

static void a_new_ring_lies_as_the_header_draws_it(void **state) {
  (void)state;
  assert_int_equal(offsetof(struct ring_writer_area, tail), 0);
  assert_int_equal(offsetof(struct ring_writer_area, space_at), 128);
  assert_int_equal(offsetof(struct ring_writer_area, notes), 256);
  assert_int_equal(offsetof(struct ring_reader_area, head), 0);
  assert_int_equal(offsetof(struct ring_reader_area, wake_at), 128);
  assert_int_equal(offsetof(struct ring_reader_area, notes), 256);
  assert_int_equal(sizeof(struct ring_geometry), 72);
  struct fixture f;
  fixture_open(&f, 1, 0);
  put(&f.w, 5, 0xab);
  assert_memory_equal(f.w.data, &(uint32_t){5}, 4);
  assert_memory_equal(f.w.data + 4, &(uint32_t){ring_guard(0, 5)}, 4);
  assert_memory_equal(f.w.data + CAPACITY, f.w.data, 16); // the second mapping
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(specs_out_of_range_are_refused),
      cmocka_unit_test(memory_is_sealed_and_wrong_memory_refused),
      cmocka_unit_test(a_new_ring_lies_as_the_header_draws_it),
      cmocka_unit_test(records_come_out_as_they_went_in),
      cmocka_unit_test(a_commit_may_be_smaller_than_its_reservation),
      cmocka_unit_test(nobody_sees_half_a_group),
      cmocka_unit_test(a_quarter_ring_publishes_itself),
      cmocka_unit_test(a_full_ring_grants_no_more_until_the_slowest_reader_releases),
      cmocka_unit_test(too_large_a_record_is_never_granted),
      cmocka_unit_test(a_successor_of_the_writer_finds_the_note_of_the_last_publish),
      cmocka_unit_test(a_successor_of_the_reader_goes_on_at_the_head_with_its_note),
      cmocka_unit_test(seeking_goes_to_boundaries_between_head_and_tail),
      cmocka_unit_test(bells_ring_for_sleepers_only),
      cmocka_unit_test(the_writer_sleeps_until_a_quarter_is_free_at_the_slowest),
      cmocka_unit_test(the_writer_never_waits_for_room_that_a_half_full_reader_keeps),
      cmocka_unit_test(attaching_rings_the_peers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
