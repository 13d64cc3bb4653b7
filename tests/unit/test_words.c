// The row of words: zero at the start, visible to a second mapping, read-only where it must be, garbage fds refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/words.h"

static void words_are_zero_at_first_and_shared_after(void **state) {
  (void)state;
  int fd = words_create(1000);
  assert_true(fd >= 0);
  struct words writer, reader;
  assert_int_equal(words_attach(&writer, fd, true), 0);
  assert_int_equal(words_attach(&reader, fd, false), 0);
  assert_true(reader.count >= 1000);
  for (uint32_t i = 0; i < reader.count; i++) assert_int_equal(words_load(&reader, i), 0);
  words_store(&writer, 0, 7);
  words_store(&writer, 999, UINT64_MAX);
  assert_int_equal(words_load(&reader, 0), 7);
  assert_true(words_load(&reader, 999) == UINT64_MAX);
  words_detach(&writer);
  words_detach(&reader);
  close(fd);
}

static void counts_out_of_range_are_refused(void **state) {
  (void)state;
  assert_int_equal(words_create(0), -EINVAL);
  assert_int_equal(words_create((1u << 20) + 1), -EINVAL);
  int fd = words_create(1u << 20);
  assert_true(fd >= 0);
  close(fd);
}

static void memory_that_could_shrink_is_refused(void **state) {
  (void)state;
  int fd = memfd_create("test", MFD_ALLOW_SEALING);
  assert_true(fd >= 0);
  assert_int_equal(ftruncate(fd, 4096), 0);
  struct words w;
  assert_int_equal(words_attach(&w, fd, false), -EBADMSG);
  close(fd);
  assert_int_equal(words_attach(&w, fd, false), -EBADF);
}

static void a_reader_cannot_write(void **state) {
  (void)state;
  int fd = words_create(1);
  struct words reader;
  assert_int_equal(words_attach(&reader, fd, false), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    words_store(&reader, 0, 1);
    _exit(0);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  words_detach(&reader);
  close(fd);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(words_are_zero_at_first_and_shared_after),
      cmocka_unit_test(counts_out_of_range_are_refused),
      cmocka_unit_test(memory_that_could_shrink_is_refused),
      cmocka_unit_test(a_reader_cannot_write),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
