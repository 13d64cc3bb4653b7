// The nearest name by edit distance.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "supervisor/suggest.h"

static const char *best_of(const char *wanted, const char *const *names) {
  struct suggest s = suggest_start(wanted);
  for (; *names; names++) suggest_try(&s, *names);
  return s.best;
}

static void test_distance(void **state) {
  (void)state;
  assert_int_equal(suggest_distance("table", "table"), 0);
  assert_int_equal(suggest_distance("tabel", "table"), 1); // neighbours swapped
  assert_int_equal(suggest_distance("tabl", "table"), 1);
  assert_int_equal(suggest_distance("tables", "table"), 1);
  assert_int_equal(suggest_distance("toble", "table"), 1);
  assert_int_equal(suggest_distance("TABLE", "table"), 0);
  assert_int_equal(suggest_distance("", "abc"), 3);
  assert_int_equal(suggest_distance("kitten", "sitting"), 3);
}

static void test_long_names_are_not_compared(void **state) {
  (void)state;
  char longest[SUGGEST_LENGTH + 1], longer[SUGGEST_LENGTH + 2];
  for (size_t i = 0; i < SUGGEST_LENGTH; i++) longest[i] = longer[i] = 'a';
  longest[SUGGEST_LENGTH] = '\0';
  longer[SUGGEST_LENGTH] = 'a';
  longer[SUGGEST_LENGTH + 1] = '\0';
  assert_int_equal(suggest_distance(longest, longest), 0);
  assert_true(suggest_distance(longest, longer) == SIZE_MAX);
}

static void test_best(void **state) {
  (void)state;
  const char *const names[] = {"url", "table", "tables", "mode", "key", "timeout", NULL};
  assert_string_equal(best_of("tabel", names), "table");
  assert_string_equal(best_of("uri", names), "url");
  assert_string_equal(best_of("mdoe", names), "mode");
  assert_string_equal(best_of("time_out", names), "timeout");
  assert_null(best_of("x", names));
  assert_null(best_of("bananas", names));
  assert_null(best_of("", names));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_distance),
      cmocka_unit_test(test_long_names_are_not_compared),
      cmocka_unit_test(test_best),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
