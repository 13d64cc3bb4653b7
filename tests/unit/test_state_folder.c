// The state folder (supervisor/state_folder.h): made, checked, locked, handed down across exec.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/state_folder.h"

static char top[64];

static int setup(void **state) {
  (void)state;
  strcpy(top, "/tmp/weir-state-XXXXXX");
  return mkdtemp(top) ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", top);
  return system(command) == 0 ? 0 : -1;
}

static char *below(const char *name) {
  return memory_print("%s/%s", top, name);
}

static void put(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fclose(file), 0);
}

static mode_t mode_of(const char *path) {
  struct stat info;
  assert_int_equal(stat(path, &info), 0);
  return info.st_mode & 07777;
}

static void refused(const char *path, const char *word) {
  struct state_folder f;
  struct error e = {0};
  assert_false(state_folder_open(&f, path, &e));
  assert_int_equal(e.class, ERROR_ENVIRONMENT);
  if (!strstr(e.text, word)) fail_msg("\"%s\" does not say \"%s\"", e.text, word);
  state_folder_close(&f);
}

static void opened(struct state_folder *f, const char *path) {
  struct error e = {0};
  if (!state_folder_open(f, path, &e)) fail_msg("%s", e.text);
}

static void test_it_is_made_with_all_folders_above_and_for_its_owner_only(void **state) {
  (void)state;
  struct state_folder f;
  char *path = below("a/b/c"), *lock = below("a/b/c/lock"), *format = below("a/b/c/format");
  mode_t before = umask(0);
  opened(&f, path);
  umask(before);
  assert_int_equal(mode_of(path), 0700);
  assert_int_equal(mode_of(lock), 0600);
  assert_int_equal(mode_of(format), 0600);
  state_folder_close(&f);
  opened(&f, path); // and again, as it is
  state_folder_close(&f);
  free(path);
  free(lock);
  free(format);
}

static void test_an_open_folder_is_closed_to_others(void **state) {
  (void)state;
  struct state_folder f;
  char *path = below("wide");
  assert_int_equal(mkdir(path, 0755), 0);
  opened(&f, path);
  assert_int_equal(mode_of(path), 0700);
  state_folder_close(&f);
  free(path);
}

static void test_a_folder_with_other_things_is_left_alone(void **state) {
  (void)state;
  char *path = below("home"), *file = below("home/thesis.txt");
  assert_int_equal(mkdir(path, 0755), 0);
  put(file, "years of work");
  refused(path, "not empty");
  assert_int_equal(mode_of(path), 0755);
  free(path);
  free(file);
}

static void test_what_a_new_file_system_brings_along_is_nothing(void **state) {
  (void)state;
  struct state_folder f;
  char *path = below("volume"), *lost = below("volume/lost+found");
  assert_int_equal(mkdir(path, 0755), 0);
  assert_int_equal(mkdir(lost, 0700), 0);
  opened(&f, path);
  state_folder_close(&f);
  free(path);
  free(lost);
}

static void test_another_format_is_refused(void **state) {
  (void)state;
  static const char *const texts[] = {"2\n", "0\n", "", "one\n", "1", "1 \n", "99999999999999999999\n"};
  char *path = below("format"), *format = below("format/format");
  assert_int_equal(mkdir(path, 0700), 0);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    put(format, texts[i]);
    refused(path, "format");
  }
  put(format, "2\n");
  refused(path, "newer");
  free(path);
  free(format);
}

static void test_a_file_in_its_place_is_told(void **state) {
  (void)state;
  char *path = below("file"), *under = below("file/state");
  put(path, "x");
  refused(path, path);
  refused(under, under);
  free(path);
  free(under);
}

static void test_a_lock_that_is_a_link_is_not_followed(void **state) {
  (void)state;
  struct state_folder f;
  char *path = below("linked"), *lock = below("linked/lock"), *victim = below("victim");
  opened(&f, path);
  state_folder_close(&f);
  put(victim, "keep me");
  assert_int_equal(unlink(lock), 0);
  assert_int_equal(symlink(victim, lock), 0);
  refused(path, "lock");
  struct stat info;
  assert_int_equal(stat(victim, &info), 0);
  assert_int_equal(info.st_size, 7);
  free(path);
  free(lock);
  free(victim);
}

// A process that holds the folder until it is killed; its child holds the same description, as a worker does.
static pid_t holder_start(const char *path, pid_t *worker) {
  int ready[2];
  assert_int_equal(pipe(ready), 0);
  pid_t pid = fork();
  if (pid == 0) {
    struct state_folder f;
    struct error e = {0};
    bool good = state_folder_open(&f, path, &e);
    pid_t child = fork();
    if (child == 0) {
      for (;;) pause();
    }
    if (!good || write(ready[1], &child, sizeof child) != sizeof child) _exit(1);
    for (;;) pause();
  }
  assert_int_equal(read(ready[0], worker, sizeof *worker), sizeof *worker);
  close(ready[0]);
  close(ready[1]);
  return pid;
}

static void test_a_second_one_is_told_who_the_first_is(void **state) {
  (void)state;
  char *path = below("shared"), number[32];
  pid_t worker, pid = holder_start(path, &worker);
  snprintf(number, sizeof number, "pid=%d ", (int)pid);
  refused(path, number);
  kill(pid, SIGKILL);
  kill(worker, SIGKILL);
  waitpid(pid, NULL, 0);
  free(path);
}

static void test_it_waits_for_workers_of_a_dead_holder(void **state) {
  (void)state;
  struct state_folder f;
  char *path = below("orphaned");
  pid_t worker, pid = holder_start(path, &worker);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  // The worker still lives and holds the lock; it dies while the next one waits.
  pid_t killer = fork();
  if (killer == 0) {
    usleep(100000);
    kill(worker, SIGKILL);
    _exit(0);
  }
  opened(&f, path);
  state_folder_close(&f);
  waitpid(killer, NULL, 0);
  free(path);
}

static void test_the_lock_outlives_an_exec_of_its_holder(void **state) {
  (void)state;
  struct state_folder f, next;
  struct error e = {0};
  char *path = below("reloaded");
  opened(&f, path);
  assert_true(state_folder_keep(&f, &e));
  assert_int_equal(fcntl(f.lock, F_GETFD) & FD_CLOEXEC, 0);
  // What the process finds after the exec: the number in its environment, the description open.
  opened(&next, path);
  assert_int_equal(next.lock, f.lock);
  assert_int_equal(fcntl(next.lock, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  assert_null(getenv("WEIR_LOCK_FD"));
  close(f.folder);
  free(f.path);
  pid_t pid = fork();
  if (pid == 0) {
    struct error refusal = {0};
    struct state_folder second;
    // Ours is the pid in the file and it lives: refused at once.
    _exit(state_folder_open(&second, path, &refusal) ? 1 : 0);
  }
  int status;
  waitpid(pid, &status, 0);
  assert_int_equal(status, 0);
  state_folder_close(&next);
  free(path);
}

static void test_a_wrong_number_in_the_environment_is_no_lock(void **state) {
  (void)state;
  struct state_folder f;
  char *path = below("forged");
  static const char *const numbers[] = {"", "x", "1", "-4", "999999", "4294967299"};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    assert_int_equal(setenv("WEIR_LOCK_FD", numbers[i], 1), 0);
    opened(&f, path);
    pid_t pid = fork();
    if (pid == 0) {
      struct error e = {0};
      struct state_folder second;
      unsetenv("WEIR_LOCK_FD");
      _exit(state_folder_open(&second, path, &e) ? 1 : 0);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0); // it is really locked
    state_folder_close(&f);
  }
  unsetenv("WEIR_LOCK_FD");
  free(path);
}

static void test_the_socket_lies_in_the_folder(void **state) {
  (void)state;
  char *socket = state_folder_socket("/somewhere");
  assert_string_equal(socket, "/somewhere/control");
  free(socket);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_it_is_made_with_all_folders_above_and_for_its_owner_only, setup, teardown),
      cmocka_unit_test_setup_teardown(test_an_open_folder_is_closed_to_others, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_folder_with_other_things_is_left_alone, setup, teardown),
      cmocka_unit_test_setup_teardown(test_what_a_new_file_system_brings_along_is_nothing, setup, teardown),
      cmocka_unit_test_setup_teardown(test_another_format_is_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_file_in_its_place_is_told, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_lock_that_is_a_link_is_not_followed, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_second_one_is_told_who_the_first_is, setup, teardown),
      cmocka_unit_test_setup_teardown(test_it_waits_for_workers_of_a_dead_holder, setup, teardown),
      cmocka_unit_test_setup_teardown(test_the_lock_outlives_an_exec_of_its_holder, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_wrong_number_in_the_environment_is_no_lock, setup, teardown),
      cmocka_unit_test_setup_teardown(test_the_socket_lies_in_the_folder, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
