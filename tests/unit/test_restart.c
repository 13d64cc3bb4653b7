// The restart policy (supervisor/restart.h): what follows a death, by its cause and by the history of the seat.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>

#include "supervisor/restart.h"

static struct death by_signal(int number, bool did_work) {
  return (struct death){.by_signal = true, .code = number, .did_work = did_work, .lived_ns = 1000000};
}

static struct death by_exit(int code, bool did_work) {
  return (struct death){.code = code, .did_work = did_work, .lived_ns = 1000000};
}

static struct verdict decide(struct restart *r, struct death d) {
  struct verdict v;
  restart_decide(r, &d, &v);
  assert_true(v.next[0] != '\0');
  return v;
}

static void test_exit_codes_decide_what_follows(void **state) {
  (void)state;
  static const struct {
    int code;
    enum restart_step step;
    int exit_code;
  } cases[] = {
      {WORKER_EXIT_DONE, RESTART_DONE, 0},
      {WORKER_EXIT_CONFIG, RESTART_STOP, 2},
      {WORKER_EXIT_OPERATOR, RESTART_STOP, 1},
      {WORKER_EXIT_FENCED, RESTART_STOP, 1},
      {WORKER_EXIT_REWIND, RESTART_LANE, 0},
      {WORKER_EXIT_ENVIRONMENT, RESTART_STOP, 3},
      {WORKER_EXIT_AGAIN, RESTART_LATER, 0},
      {WORKER_EXIT_MEMORY, RESTART_LATER, 0},
      {WORKER_EXIT_LIMIT, RESTART_AT_ONCE, 0},
      {1, RESTART_AT_ONCE, 0},
      {255, RESTART_AT_ONCE, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct restart r = {0};
    struct verdict v = decide(&r, by_exit(cases[i].code, true));
    assert_int_equal(v.step, cases[i].step);
    assert_int_equal(v.exit_code, cases[i].exit_code);
  }
}

static void test_a_worker_that_worked_is_started_at_once_every_time(void **state) {
  (void)state;
  struct restart r = {0};
  for (int i = 0; i < 50; i++) assert_int_equal(decide(&r, by_signal(SIGKILL, true)).step, RESTART_AT_ONCE);
}

static void test_deaths_before_any_work_wait_longer_and_longer(void **state) {
  (void)state;
  struct restart r = {0};
  static const uint64_t waits[] = {0, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000};
  for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
    struct verdict v = decide(&r, by_signal(SIGTERM, false));
    assert_int_equal(v.delay_ms, waits[i]);
    assert_int_equal(v.step, waits[i] == 0 ? RESTART_AT_ONCE : RESTART_LATER);
  }
  // Work, or a long quiet life, starts the row anew.
  assert_int_equal(decide(&r, by_signal(SIGKILL, true)).delay_ms, 0);
  assert_int_equal(decide(&r, by_signal(SIGKILL, false)).delay_ms, 0);
  assert_int_equal(decide(&r, by_signal(SIGKILL, false)).delay_ms, 100);
  struct death calm = by_signal(SIGKILL, false);
  calm.lived_ns = RESTART_CALM_NS;
  assert_int_equal(decide(&r, calm).delay_ms, 0);
}

static void test_kills_from_outside_wait_a_second_at_most(void **state) {
  (void)state;
  struct restart r = {0};
  static const uint64_t waits[] = {0, 100, 200, 400, 800, 1000, 1000};
  for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) assert_int_equal(decide(&r, by_signal(SIGKILL, false)).delay_ms, waits[i]);
}

static void test_who_asks_for_a_pause_gets_one_even_after_work(void **state) {
  (void)state;
  struct restart r = {0};
  assert_int_equal(decide(&r, by_exit(WORKER_EXIT_AGAIN, true)).delay_ms, 100);
  assert_int_equal(decide(&r, by_exit(WORKER_EXIT_AGAIN, false)).delay_ms, 200);
  assert_int_equal(decide(&r, by_exit(WORKER_EXIT_AGAIN, true)).delay_ms, 100);
}

static struct death crash(int number, uint64_t hand, uint64_t position, bool did_work) {
  struct death d = by_signal(number, did_work);
  d.has_hand = true;
  d.hand_stream = 4;
  d.hand_position = hand;
  d.position = position;
  return d;
}

static void test_the_third_crash_names_the_record(void **state) {
  (void)state;
  static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
    struct restart r = {0};
    decide(&r, crash(signals[i], 17, 10, false));
    assert_false(r.careful);
    struct verdict v = decide(&r, crash(signals[i], 19, 10, false));
    assert_true(r.careful);
    assert_false(r.has_set_aside);
    assert_non_null(strstr(v.next, "record by record"));
    v = decide(&r, crash(signals[i], 12, 11, true));
    assert_true(r.has_set_aside);
    assert_int_equal(r.set_aside_stream, 4);
    assert_int_equal(r.set_aside_position, 12);
    assert_false(r.careful);
    assert_int_equal(r.crashes, 0);
    assert_non_null(strstr(v.next, "position 12 of stream 4"));
    assert_int_equal(v.step, RESTART_AT_ONCE);
  }
}

static void test_a_limit_of_its_own_counts_as_a_crash(void **state) {
  (void)state;
  struct restart r = {0};
  for (int i = 0; i < 3; i++) {
    struct death d = by_exit(WORKER_EXIT_LIMIT, false);
    d.has_hand = true;
    d.hand_position = 5;
    decide(&r, d);
  }
  assert_true(r.has_set_aside);
  assert_int_equal(r.set_aside_position, 5);
}

static void test_kills_from_outside_never_count(void **state) {
  (void)state;
  struct restart r = {0};
  static const int others[] = {SIGKILL, SIGTERM, SIGXCPU, SIGPIPE};
  for (int round = 0; round < 10; round++) {
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) decide(&r, crash(others[i], 17, 10, false));
    decide(&r, by_exit(1, false));
    decide(&r, by_exit(WORKER_EXIT_AGAIN, false));
  }
  assert_int_equal(r.crashes, 0);
  assert_false(r.careful);
  assert_false(r.has_set_aside);
}

static void test_a_kill_between_crashes_does_not_hide_them(void **state) {
  (void)state;
  struct restart r = {0};
  decide(&r, crash(SIGSEGV, 17, 10, false));
  decide(&r, by_signal(SIGKILL, false));
  decide(&r, crash(SIGSEGV, 17, 10, false));
  assert_true(r.careful);
  decide(&r, by_signal(SIGKILL, true));
  assert_true(r.careful);
  decide(&r, crash(SIGSEGV, 17, 16, true));
  assert_int_equal(r.set_aside_position, 17);
}

static void test_progress_between_crashes_starts_the_count_anew(void **state) {
  (void)state;
  struct restart r = {0};
  decide(&r, crash(SIGSEGV, 17, 10, true));
  decide(&r, crash(SIGSEGV, 90, 80, true));
  decide(&r, crash(SIGSEGV, 300, 200, true));
  assert_int_equal(r.crashes, 1);
  assert_false(r.careful);
  // The same place again, although it "worked": the batch before the record was published.
  decide(&r, crash(SIGSEGV, 300, 200, true));
  assert_true(r.careful);
}

static void test_a_careful_worker_without_a_record_in_hand_names_none(void **state) {
  (void)state;
  struct restart r = {0};
  decide(&r, by_signal(SIGABRT, false));
  decide(&r, by_signal(SIGABRT, false));
  decide(&r, by_signal(SIGABRT, false));
  assert_false(r.has_set_aside);
  assert_true(r.careful);
}

static void test_what_is_set_aside_stays_until_another_is(void **state) {
  (void)state;
  struct restart r = {0};
  for (int i = 0; i < 3; i++) decide(&r, crash(SIGSEGV, 17, 10, false));
  decide(&r, by_signal(SIGKILL, false));
  decide(&r, crash(SIGSEGV, 40, 30, true));
  assert_int_equal(r.set_aside_position, 17);
  decide(&r, crash(SIGSEGV, 40, 30, false));
  assert_int_equal(r.set_aside_position, 17);
  decide(&r, crash(SIGSEGV, 40, 39, true));
  assert_int_equal(r.set_aside_position, 40);
}

static void test_causes_are_named(void **state) {
  (void)state;
  char text[RESTART_TEXT];
  struct death d = by_signal(SIGKILL, false);
  restart_cause(&d, text);
  assert_string_equal(text, "SIGKILL");
  d = by_signal(SIGRTMIN + 3, false);
  restart_cause(&d, text);
  assert_non_null(strstr(text, "signal "));
  d = by_exit(WORKER_EXIT_LIMIT, false);
  restart_cause(&d, text);
  assert_string_equal(text, "exit 70 (its own limit)");
  d = by_exit(99, false);
  restart_cause(&d, text);
  assert_string_equal(text, "exit 99 (unexpected)");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exit_codes_decide_what_follows),
      cmocka_unit_test(test_a_worker_that_worked_is_started_at_once_every_time),
      cmocka_unit_test(test_deaths_before_any_work_wait_longer_and_longer),
      cmocka_unit_test(test_kills_from_outside_wait_a_second_at_most),
      cmocka_unit_test(test_who_asks_for_a_pause_gets_one_even_after_work),
      cmocka_unit_test(test_the_third_crash_names_the_record),
      cmocka_unit_test(test_a_limit_of_its_own_counts_as_a_crash),
      cmocka_unit_test(test_kills_from_outside_never_count),
      cmocka_unit_test(test_a_kill_between_crashes_does_not_hide_them),
      cmocka_unit_test(test_progress_between_crashes_starts_the_count_anew),
      cmocka_unit_test(test_a_careful_worker_without_a_record_in_hand_names_none),
      cmocka_unit_test(test_what_is_set_aside_stays_until_another_is),
      cmocka_unit_test(test_causes_are_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
