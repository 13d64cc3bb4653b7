// The SQL stage dies and is started again: whatever the moment, each input's rows come exactly once, whole and in order, uuid() included.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sql_stage_harness.h"

enum { INPUTS = 3000 };
static const char settings[] = "{\"sql\":\"SELECT id, g.value AS v, uuid() AS u, now() AS t FROM raw e, each(e.l) g WHERE g.value <> 3\","
                               "\"columns\":{\"v\":\"int\"}}";

// Inputs with no row, one, several, and dead ones, over three streams.
static void put_input(struct rig *r, uint64_t i) {
  static const char *const lists[] = {"[1]", "[]", "[1,2,4]", "[3]", "[5,\"x\",6]", "[7,8]"};
  char *json = memory_print("{\"id\":%llu,\"l\":%s}", (unsigned long long)i, lists[i % 6]);
  rig_put(r, (uint32_t)(i % RIG_STREAMS), i / RIG_STREAMS + 1, json);
  free(json);
}

static bool has_room(struct rig *r) {
  void *at = ring_reserve(&r->in, 256);
  if (at) ring_abort(&r->in);
  return at != NULL;
}

// Drops the marks: they depend on how the records fell into batches.
static char *without_marks(const struct rig *r) {
  struct buffer copy = {0}, kept = {0};
  buffer_add(&copy, r->got.at, r->got.length);
  buffer_byte(&copy, '\0');
  for (char *rest = NULL, *line = strtok_r((char *)copy.at, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
    if (strncmp(line, "progress ", 9) != 0) buffer_print(&kept, "%s\n", line);
  char *text = memory_text(buffer_cstring(&kept));
  buffer_free(&copy);
  buffer_free(&kept);
  return text;
}

struct totals {
  uint64_t counters[SLOT_COUNTERS];
};

static void totals_read(const struct rig *r, struct totals *t) {
  for (int i = 0; i < SLOT_COUNTERS; i++) t->counters[i] = rig_counter(r, (enum slot_counter)i);
}

// One run over all inputs, killed `kills` times: after each `every` inputs put in, at whatever place the worker then is.
static char *run(unsigned kills, uint64_t every, uint64_t out_capacity, struct totals *t) {
  struct rig r;
  rig_open(&r, 1 << 14, out_capacity);
  rig_start(&r, settings);
  for (uint64_t i = 0, killed = 0; i < INPUTS;) {
    if (has_room(&r)) {
      put_input(&r, i++);
    } else if (!rig_pump(&r)) {
      rig_sleep(&r);
    }
    if (killed < kills && i > 0 && i % every == 0 && i / every > killed) {
      rig_kill(&r);
      killed++;
      rig_start(&r, settings);
    }
  }
  while (!has_room(&r)) rig_pump(&r);
  rig_put_kind(&r, RECORD_END, 0, 0);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  totals_read(&r, t);
  char *text = without_marks(&r);
  rig_close(&r);
  return text;
}

static void killed_at_any_time(void **state) {
  (void)state;
  struct totals quiet, hit;
  char *expected = run(0, 1, 1 << 16, &quiet);
  assert_int_equal(quiet.counters[COUNT_IN], INPUTS);
  assert_int_equal(quiet.counters[COUNT_FILTERED], INPUTS / 3);
  assert_int_equal(quiet.counters[COUNT_DEAD_ROWS], INPUTS / 6);
  assert_int_equal(quiet.counters[COUNT_OUT], INPUTS / 6 * 8);
  char *got = run(100, 29, 1 << 16, &hit);
  assert_string_equal(got, expected);
  assert_memory_equal(&hit, &quiet, sizeof hit);
  free(got);
  got = run(60, 50, 4096, &hit);
  assert_string_equal(got, expected);
  assert_memory_equal(&hit, &quiet, sizeof hit);
  free(got);
  free(expected);
}

// Killed while it waits for room in the middle of an input: what is complete is there, the rest comes from the successor.
static void killed_while_blocked(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 4096);
  r.hold = true;
  for (uint64_t i = 0; i < 300; i++) put_input(&r, i);
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, settings);
  rig_until_state(&r, SLOT_BLOCKED);
  rig_kill(&r);
  rig_start(&r, settings);
  rig_until_state(&r, SLOT_BLOCKED);
  r.hold = false;
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  struct rig whole;
  rig_open(&whole, 1 << 16, 1 << 16);
  for (uint64_t i = 0; i < 300; i++) put_input(&whole, i);
  rig_put_kind(&whole, RECORD_END, 0, 0);
  rig_start(&whole, settings);
  assert_int_equal(rig_finish(&whole), WORKER_EXIT_DONE);
  char *got = without_marks(&r), *expected = without_marks(&whole);
  assert_string_equal(got, expected);
  free(got);
  free(expected);
  rig_close(&r);
  rig_close(&whole);
}

// Inputs of several records, as they come behind another stage; the last of them ends the run.
static uint64_t put_several(struct rig *r, uint64_t inputs) {
  uint64_t sum = 0;
  for (uint64_t i = 1; i <= inputs; i++) {
    uint32_t records = 2 + (uint32_t)(i * 7 % 5);
    sum += records;
    struct record_header h = {.kind = RECORD_DATA, .stream = 1, .position = i, .witness = i * 7};
    for (h.part = 0; h.part < records; h.part++) {
      h.flags = h.part + 1 == records ? RECORD_LAST : 0;
      rig_put_header(r, &h, "{\"id\":1,\"l\":[1,2]}");
    }
  }
  rig_put_kind(r, RECORD_END, 0, 0);
  return sum;
}

// Killed in the middle of such an input: all of it is done again, none of its first half had been seen.
static void killed_inside_an_input(void **state) {
  (void)state;
  enum { LIVES = 12 };
  struct rig r, whole;
  rig_open(&r, 1 << 16, 4096);
  rig_open(&whole, 1 << 16, 1 << 16);
  uint64_t records = put_several(&r, 60);
  assert_int_equal(put_several(&whole, 60), records);
  rig_start(&whole, settings);
  assert_int_equal(rig_finish(&whole), WORKER_EXIT_DONE);
  for (int life = 0; life < LIVES; life++) {
    // Room for a part of an input only: the worker sleeps with a group open.
    r.hold = true;
    rig_start(&r, settings);
    rig_until_state(&r, SLOT_BLOCKED);
    rig_kill(&r);
    r.hold = false;
    rig_pump(&r);
  }
  rig_start(&r, settings);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  assert_string_equal(buffer_cstring(&r.got), buffer_cstring(&whole.got));
  assert_int_equal(rig_counter(&r, COUNT_IN), records);
  assert_int_equal(rig_counter(&r, COUNT_OUT), records * 2);
  rig_close(&r);
  rig_close(&whole);
}

// Published, but the input not given back when it died: the note of the output ring, not the head of the input, says where to go on.
static void published_but_not_released(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 14, 1 << 16);
  for (uint64_t i = 0; i < 20; i++) put_input(&r, i);
  rig_start(&r, settings);
  rig_until_state(&r, SLOT_IDLE);
  rig_kill(&r);
  rig_pump(&r);
  size_t before = r.got.length;
  // The same bytes again in a ring of which nothing was given back.
  ring_writer_detach(&r.in);
  close(r.in_fd);
  rig_input_open(&r, 1 << 14);
  for (uint64_t i = 0; i < 24; i++) put_input(&r, i);
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, settings);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  assert_int_equal(rig_counter(&r, COUNT_IN), 24);
  const char *rest = buffer_cstring(&r.got) + before;
  assert_int_equal(strncmp(rest, "2.7.0 {\"id\":20,", 15), 0);
  rig_close(&r);
}

// A note that points outside of the input ring is not followed.
static void note_of_another_ring(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 14, 1 << 16);
  for (uint64_t i = 0; i < 20; i++) put_input(&r, i);
  rig_start(&r, settings);
  rig_until_state(&r, SLOT_IDLE);
  rig_kill(&r);
  ring_writer_detach(&r.in);
  close(r.in_fd);
  rig_input_open(&r, 1 << 14);
  put_input(&r, 0);
  rig_start(&r, settings);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_OPERATOR);
  rig_close(&r);
}

// An input that gave nothing is finished by its mark, and stays finished.
static void marks_outlive_the_worker(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 14, 1 << 14);
  rig_put(&r, 0, 1, "{\"id\":1,\"l\":[]}");
  rig_start(&r, settings);
  rig_until_state(&r, SLOT_IDLE);
  rig_kill(&r);
  rig_put(&r, 0, 2, "{\"id\":2,\"l\":[]}");
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, settings);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_expect(&r, "progress 0.1.0+\nprogress 0.2.0+\nend 0.0.0+\n");
  assert_int_equal(rig_counter(&r, COUNT_IN), 2);
  assert_int_equal(rig_counter(&r, COUNT_FILTERED), 2);
  rig_close(&r);
}

int main(void) {
  cmocka_set_test_filter(getenv("UNIT_TEST"));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(killed_at_any_time),         cmocka_unit_test(killed_while_blocked), cmocka_unit_test(killed_inside_an_input),
      cmocka_unit_test(published_but_not_released), cmocka_unit_test(note_of_another_ring), cmocka_unit_test(marks_outlive_the_worker),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
