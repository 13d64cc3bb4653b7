// The crash point: kills at the N-th pass of the named place, in generation 0, in the named worker, and nowhere else.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

// A normal build has no crash points: bring the code in here, so that it is tested in every build.
#ifndef WEIR_CRASH_POINTS
#define WEIR_CRASH_POINTS
#include "shm/crash_point.c"
#else
#include "shm/crash_point.h"
#endif

struct setting {
  const char *crash, *generation, *worker;
};

static void set_or_unset(const char *name, const char *value) {
  if (value != NULL) {
    setenv(name, value, 1);
  } else {
    unsetenv(name);
  }
}

// Passes "a" five times and "b" once, counting; returns the passes done before the kill, or 100 when nothing was killed.
static int passes_until_death(struct setting s) {
  int pipes[2];
  assert_int_equal(pipe(pipes), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    set_or_unset("WEIR_CRASH", s.crash);
    set_or_unset("WEIR_GENERATION", s.generation);
    set_or_unset("WEIR_WORKER", s.worker);
    for (int i = 0; i < 5; i++) {
      CRASH_POINT("a");
      if (write(pipes[1], "x", 1) != 1) _exit(1);
    }
    CRASH_POINT("b");
    _exit(0);
  }
  close(pipes[1]);
  int passes = 0;
  char byte;
  while (read(pipes[0], &byte, 1) == 1) passes++;
  close(pipes[0]);
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  if (WIFEXITED(status)) return WEXITSTATUS(status) == 0 ? 100 : -1;
  return WTERMSIG(status) == SIGKILL ? passes : -1;
}

static void kills_at_the_named_pass_only(void **state) {
  (void)state;
  assert_int_equal(passes_until_death((struct setting){"a:1", NULL, NULL}), 0);
  assert_int_equal(passes_until_death((struct setting){"a:3", "0", NULL}), 2);
  assert_int_equal(passes_until_death((struct setting){"b:1", NULL, NULL}), 5);
  assert_int_equal(passes_until_death((struct setting){"b:2", NULL, NULL}), 100);
  assert_int_equal(passes_until_death((struct setting){"c:1", NULL, NULL}), 100);
  assert_int_equal(passes_until_death((struct setting){NULL, NULL, NULL}), 100);
}

static void spares_successors_and_other_workers(void **state) {
  (void)state;
  assert_int_equal(passes_until_death((struct setting){"a:1", "1", NULL}), 100);
  assert_int_equal(passes_until_death((struct setting){"a:1:sink/events", "0", "sink/other"}), 100);
  assert_int_equal(passes_until_death((struct setting){"a:1:sink/events", "0", NULL}), 100);
  assert_int_equal(passes_until_death((struct setting){"a:2:sink/events", "0", "sink/events"}), 1);
}

static void broken_orders_kill_nobody(void **state) {
  (void)state;
  const char *orders[] = {"", "a", "a:", "a:0", "a:x", ":1"};
  for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
    assert_int_equal(passes_until_death((struct setting){orders[i], NULL, NULL}), 100);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kills_at_the_named_pass_only),
      cmocka_unit_test(spares_successors_and_other_workers),
      cmocka_unit_test(broken_orders_kill_nobody),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
