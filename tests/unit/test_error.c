// Errors keep class, code, text and place; memory is there or the process ends with its own exit code and one line.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/error.h"

// The address sanitizer ends the process on a hopeless allocation by itself; here the C library's answer is wanted.
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
  return "allocator_may_return_null=1";
}

static void keeps_what_was_set(void **state) {
  (void)state;
  struct error e = {0};
  assert_false(error_is_set(&e));
  error_set(&e, ERROR_DATA, "json", "record %d", 7);
  int line = __LINE__ - 1;
  assert_true(error_is_set(&e));
  assert_int_equal(e.class, ERROR_DATA);
  assert_string_equal(e.code, "json");
  assert_string_equal(e.text, "record 7");
  assert_int_equal(e.line, line);
  assert_non_null(strstr(e.file, "test_error.c"));
  error_set(&e, ERROR_OUTAGE, "", "other");
  assert_int_equal(e.class, ERROR_OUTAGE);
  assert_string_equal(e.code, "");
  assert_string_equal(e.text, "other");
  error_clear(&e);
  assert_false(error_is_set(&e));
  assert_string_equal(e.text, "");
}

static void adds_context_in_front(void **state) {
  (void)state;
  struct error e = {0};
  error_set(&e, ERROR_OUTAGE, "08006", "connection lost");
  error_add(&e, "while committing to %s", "events");
  error_add(&e, "sink");
  assert_string_equal(e.text, "sink: while committing to events: connection lost");
  assert_string_equal(e.code, "08006");
}

static void may_name_itself(void **state) {
  (void)state;
  struct error e = {0};
  error_set(&e, ERROR_DATA, "a", "inner");
  error_set(&e, ERROR_FAULT, e.code, "outer of %s", e.text);
  assert_string_equal(e.text, "outer of inner");
  assert_string_equal(e.code, "a");
}

static void cuts_at_a_character(void **state) {
  (void)state;
  struct error e = {0};
  char *text = memory_get(3 * ERROR_TEXT + 1);
  // U+00E9 twice a byte: wherever the cut falls, no half character may stay.
  for (int shift = 0; shift < 2; shift++) {
    memset(text, 'x', (size_t)shift);
    for (size_t i = (size_t)shift; i + 1 < 3 * ERROR_TEXT; i += 2) memcpy(text + i, "\xc3\xa9", 2);
    error_set(&e, ERROR_DATA, "code-longer-than-fits", "%s", text);
    size_t length = strlen(e.text);
    assert_true(length < ERROR_TEXT && length > ERROR_TEXT - 8);
    assert_string_equal(e.text + length - 3, "...");
    assert_int_equal((unsigned char)e.text[length - 4], 0xa9);
    assert_int_equal(strlen(e.code), ERROR_CODE - 1);
    error_add(&e, "%s", "front");
    assert_memory_equal(e.text, "front: ", 7);
    assert_true(strlen(e.text) < ERROR_TEXT);
  }
  free(text);
}

static void names_every_class(void **state) {
  (void)state;
  static const char *const names[] = {"none", "outage", "data", "config", "operator", "fenced", "rewind", "environment", "fault"};
  for (int i = ERROR_NONE; i <= ERROR_FAULT; i++) assert_string_equal(error_class_name((enum error_class)i), names[i]);
}

static void memory_is_ready_to_use(void **state) {
  (void)state;
  unsigned char *zeroed = memory_get(1000);
  for (int i = 0; i < 1000; i++) assert_int_equal(zeroed[i], 0);
  free(zeroed);
  void *nothing = memory_get(0);
  assert_non_null(nothing);
  free(nothing);
  char *text = memory_text("abc"), *part = memory_text_n("abcdef", 2), *printed = memory_print("%s-%d", "x", 5);
  assert_string_equal(text, "abc");
  assert_string_equal(part, "ab");
  assert_string_equal(printed, "x-5");
  text = memory_resize(text, 100);
  assert_string_equal(text, "abc");
  free(text);
  free(part);
  free(printed);
}

static void no_memory_ends_the_process(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    volatile size_t hopeless = SIZE_MAX / 4;
    free(memory_get(hopeless));
    _exit(0);
  }
  close(ends[1]);
  char line[8192];
  size_t length = 0;
  for (ssize_t got; (got = read(ends[0], line + length, sizeof line - 1 - length)) > 0;) length += (size_t)got;
  line[length] = '\0';
  close(ends[0]);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), EXIT_OUT_OF_MEMORY);
  assert_non_null(strstr(line, "msg=\"out of memory\""));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keeps_what_was_set),         cmocka_unit_test(adds_context_in_front), cmocka_unit_test(may_name_itself),
      cmocka_unit_test(cuts_at_a_character),        cmocka_unit_test(names_every_class),     cmocka_unit_test(memory_is_ready_to_use),
      cmocka_unit_test(no_memory_ends_the_process),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
