// The slot: each side sees what the other stored and cannot write the other's page; texts are bounded and clean; a successor begins fresh.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/slot.h"

struct sides {
  int fd;
  struct slot supervisor, worker;
};

static struct sides sides_open(void) {
  struct sides s;
  s.fd = slot_create();
  assert_true(s.fd >= 0);
  assert_int_equal(slot_attach(&s.supervisor, s.fd, true), 0);
  assert_int_equal(slot_attach(&s.worker, s.fd, false), 0);
  return s;
}

static void sides_close(struct sides *s) {
  slot_detach(&s->supervisor);
  slot_detach(&s->worker);
  close(s->fd);
}

static void the_command_reaches_the_worker(void **state) {
  (void)state;
  struct sides s = sides_open();
  assert_int_equal(slot_command_get(&s.worker), SLOT_RUN);
  slot_command_set(&s.supervisor, SLOT_STOP);
  assert_int_equal(slot_command_get(&s.worker), SLOT_STOP);
  slot_command_set(&s.supervisor, SLOT_FINISH);
  assert_int_equal(slot_command_get(&s.worker), SLOT_FINISH);
  atomic_store(&s.supervisor.command_page->command, 77);
  assert_int_equal(slot_command_get(&s.worker), SLOT_RUN);
  sides_close(&s);
}

static void texts_are_bounded_and_clean(void **state) {
  (void)state;
  struct sides s = sides_open();
  char out[SLOT_TEXT];
  slot_doing_get(&s.supervisor, out);
  assert_string_equal(out, "");
  slot_doing_set(&s.worker, "waiting for server\n127.0.0.1\x1b[31m");
  slot_error_set(&s.worker, "no such table");
  slot_doing_get(&s.supervisor, out);
  assert_string_equal(out, "waiting for server 127.0.0.1 [31m");
  slot_error_get(&s.supervisor, out);
  assert_string_equal(out, "no such table");
  char lengthy[2 * SLOT_TEXT];
  memset(lengthy, 'x', sizeof lengthy - 1);
  lengthy[sizeof lengthy - 1] = '\0';
  slot_error_set(&s.worker, lengthy);
  slot_error_get(&s.supervisor, out);
  assert_int_equal(strlen(out), SLOT_TEXT - 1);
  slot_error_set(&s.worker, "");
  slot_error_get(&s.supervisor, out);
  assert_string_equal(out, "");
  // A page without any end of text: still terminated.
  for (int i = 0; i < SLOT_TEXT; i++) atomic_store(&s.worker.page->doing[i], 'y');
  slot_doing_get(&s.supervisor, out);
  assert_int_equal(strlen(out), SLOT_TEXT - 1);
  sides_close(&s);
}

static void a_successor_begins_fresh_but_keeps_the_error(void **state) {
  (void)state;
  struct sides s = sides_open();
  slot_error_set(&s.worker, "boom");
  slot_state_set(&s.worker, SLOT_RUNNING);
  atomic_store(&s.worker.page->hand_stream, 3);
  atomic_store(&s.worker.page->hand_position, 99);
  atomic_store(&s.worker.page->did_work, 1);
  atomic_store(&s.worker.page->deadline_ns, 12345);
  atomic_store(&s.worker.page->counters[COUNT_IN], 5);
  atomic_store(&s.worker.page->version, 7); // killed in the middle of a text
  slot_detach(&s.worker);
  assert_int_equal(slot_attach(&s.worker, s.fd, false), 0);
  slot_worker_begin(&s.worker);
  assert_int_equal(atomic_load(&s.supervisor.page->hand_stream), 0);
  assert_int_equal(atomic_load(&s.supervisor.page->hand_position), 0);
  assert_int_equal(atomic_load(&s.supervisor.page->did_work), 0);
  assert_int_equal(atomic_load(&s.supervisor.page->deadline_ns), 0);
  assert_int_equal(atomic_load(&s.supervisor.page->version) % 2, 0);
  assert_int_equal(atomic_load(&s.supervisor.page->counters[COUNT_IN]), 5);
  assert_int_equal(atomic_load(&s.supervisor.page->state), SLOT_STARTING);
  char out[SLOT_TEXT];
  slot_error_get(&s.supervisor, out);
  assert_string_equal(out, "boom");
  sides_close(&s);
}

static void states_have_the_names_that_status_shows(void **state) {
  (void)state;
  const char *names[] = {"starting", "running", "idle", "waiting", "blocked", "stopped", "failed"};
  for (int i = 0; i < 7; i++) assert_string_equal(slot_state_name((enum slot_state)i), names[i]);
  assert_string_equal(slot_state_name((enum slot_state)1234), "unknown");
}

static int death_of(void (*act)(struct sides *), struct sides *s) {
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    act(s);
    _exit(0);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void worker_writes_command(struct sides *s) {
  slot_command_set(&s->worker, SLOT_STOP);
}

static void supervisor_writes_page(struct sides *s) {
  slot_state_set(&s->supervisor, SLOT_FAILED);
}

static void no_side_can_write_the_others_page(void **state) {
  (void)state;
  struct sides s = sides_open();
  assert_int_equal(death_of(worker_writes_command, &s), SIGSEGV);
  assert_int_equal(death_of(supervisor_writes_page, &s), SIGSEGV);
  sides_close(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_command_reaches_the_worker),
      cmocka_unit_test(texts_are_bounded_and_clean),
      cmocka_unit_test(a_successor_begins_fresh_but_keeps_the_error),
      cmocka_unit_test(states_have_the_names_that_status_shows),
      cmocka_unit_test(no_side_can_write_the_others_page),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
