// Garbage in the shared pages, by a fixed seed and by every hostile value in every word of the control areas: the fuzz target's own demands
// decide (tests/fuzz/fuzz_ring.c), and the sanitizers with them (make V=asan unit). Some kinds of garbage must give exactly their fault.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fuzz/fuzz_ring.c"

enum { AREAS = 10 };

static const uint64_t hostile[] = {0,
                                   1,
                                   4,
                                   8,
                                   2048,
                                   4095,
                                   4096,
                                   4104,
                                   8192,
                                   UINT64_C(0x00000000ffffffff),
                                   UINT64_C(0x0000000100000000),
                                   UINT64_C(0x7ffffffffffffff8),
                                   UINT64_C(0x8000000000000000),
                                   UINT64_C(0xfffffffffffffff8),
                                   UINT64_MAX};

static uint64_t random_next(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static void random_garbage_never_leaves_the_mapping(void **state) {
  (void)state;
  uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
  uint8_t input[1 + 8 * SPOIL];
  for (int round = 0; round < 10000; round++) {
    for (size_t i = 0; i < sizeof input; i++) input[i] = (uint8_t)(random_next(&seed) >> 32);
    LLVMFuzzerTestOneInput(input, 1 + random_next(&seed) % 9 * SPOIL);
  }
}

static void hostile_words_never_leave_the_mapping(void **state) {
  (void)state;
  for (int choice = 0; choice < 2; choice++) {
    for (unsigned area = 0; area < AREAS; area++) {
      for (unsigned place = 0; place < 24; place += 2) {
        for (size_t k = 0; k < sizeof hostile / sizeof *hostile; k++) {
          uint8_t input[1 + SPOIL] = {(uint8_t)choice, (uint8_t)area, (uint8_t)place};
          memcpy(input + 3, &hostile[k], 8);
          LLVMFuzzerTestOneInput(input, sizeof input);
        }
      }
    }
  }
}

// The fault that the reader (or the writer) ends with when `value` is put at `area` + `place` * 4.
struct verdict {
  enum ring_fault reader, writer;
};

static struct verdict verdict_of(bool attach_first, uint8_t area, uint8_t place, uint64_t value) {
  struct prey p = {0};
  prey_make(&p, 1, 1);
  if (!attach_first) prey_detach(&p);
  uint8_t spoil[SPOIL] = {area, place};
  memcpy(spoil + 2, &value, sizeof value);
  prey_spoil(&p, spoil);
  if (!attach_first) prey_attach(&p);
  struct ring_view v;
  while (p.reader_attached && ring_next(&p.reader, &v)) {}
  if (p.writer_attached) (void)ring_drained(&p.writer);
  struct verdict verdict = {p.reader.fault, p.writer.fault};
  prey_detach(&p);
  munmap(p.bytes, p.geometry.total);
  close(p.fd);
  return verdict;
}

static void garbage_gets_its_name(void **state) {
  (void)state;
  enum { GEOMETRY = 0, TAIL = 1, WRITER_NOTES = 3, HEAD = 4, READER_NOTES = 6 };
  for (uint8_t place = 0; place < sizeof(struct ring_geometry) / 4; place = (uint8_t)(place + 2)) {
    struct verdict v = verdict_of(false, GEOMETRY, place, 12345);
    assert_int_equal(v.reader, RING_FAULT_GEOMETRY);
    assert_int_equal(v.writer, RING_FAULT_GEOMETRY);
  }
  assert_int_equal(verdict_of(false, TAIL, 0, 3).writer, RING_FAULT_TAIL);
  assert_int_equal(verdict_of(false, TAIL, 0, 8).reader, RING_FAULT_TAIL);
  assert_int_equal(verdict_of(true, TAIL, 0, UINT64_MAX - 7).reader, RING_FAULT_TAIL);
  assert_int_equal(verdict_of(true, TAIL, 0, UINT64_MAX - 7).writer, RING_OK); // its own word: it does not look at it
  assert_int_equal(verdict_of(false, HEAD, 0, 8).writer, RING_FAULT_HEAD);
  assert_int_equal(verdict_of(false, HEAD, 0, 5).reader, RING_FAULT_HEAD);
  assert_int_equal(verdict_of(true, HEAD, 0, 0).writer, RING_FAULT_HEAD); // went back
  assert_int_equal(verdict_of(true, HEAD, 0, UINT64_C(1) << 40).writer, RING_FAULT_HEAD);
  struct verdict whole = verdict_of(false, READER_NOTES, 4, 1); // a word of a note, not its position
  assert_int_equal(whole.reader, RING_OK);
  assert_int_equal(whole.writer, RING_OK);
}

static void a_lost_note_is_a_fault(void **state) {
  (void)state;
  struct prey p = {0};
  prey_make(&p, 1, 1);
  prey_detach(&p);
  for (int slot = 0; slot < 2; slot++) {
    memset(p.bytes + p.geometry.writer_offset + 2 * RING_LINE + slot * RING_LINE, 0xff, 8);
    memset(p.bytes + p.geometry.reader_offset + 2 * RING_LINE + slot * RING_LINE, 0xff, 8);
  }
  prey_attach(&p);
  assert_int_equal(p.writer.fault, RING_FAULT_NOTE);
  assert_int_equal(p.reader.fault, RING_FAULT_NOTE);
  munmap(p.bytes, p.geometry.total);
  close(p.fd);
}

static void damaged_frames_are_met_in_time(void **state) {
  (void)state;
  const uint32_t lengths[] = {51, 1024, 4096, 0x7fffffff, 0xfffffff8, 0xffffffff};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    struct prey p = {0};
    prey_make(&p, 1, 1);
    uint64_t cursor = p.reader.cursor;
    uint32_t length = lengths[i];
    memcpy(p.bytes + p.geometry.data_offset + (cursor & (CAPACITY - 1)), &length, sizeof length);
    uint32_t guard = ring_guard(cursor, length);
    bool guarded = i > 0; // the guard fits a length that does not
    if (guarded) memcpy(p.bytes + p.geometry.data_offset + (cursor & (CAPACITY - 1)) + 4, &guard, sizeof guard);
    struct ring_view v;
    assert_false(ring_next(&p.reader, &v));
    assert_int_equal(p.reader.fault, guarded ? RING_FAULT_LENGTH : RING_FAULT_GUARD);
    assert_false(ring_next(&p.reader, &v));
    prey_detach(&p);
    munmap(p.bytes, p.geometry.total);
    close(p.fd);
  }
}

static void every_fault_has_a_text(void **state) {
  (void)state;
  for (int fault = RING_OK; fault <= RING_FAULT_SEEK; fault++) {
    assert_string_not_equal(ring_fault_text((enum ring_fault)fault), "unknown fault");
  }
  assert_string_equal(ring_fault_text((enum ring_fault)99), "unknown fault");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_garbage_never_leaves_the_mapping),
      cmocka_unit_test(hostile_words_never_leave_the_mapping),
      cmocka_unit_test(garbage_gets_its_name),
      cmocka_unit_test(a_lost_note_is_a_fault),
      cmocka_unit_test(damaged_frames_are_met_in_time),
      cmocka_unit_test(every_fault_has_a_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
