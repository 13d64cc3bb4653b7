// What texts of others look like on a terminal.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "supervisor/terminal.h"

static void test_nothing_moves_the_cursor(void **state) {
  (void)state;
  static const struct {
    const char *text, *shown;
  } cases[] = {{"plain \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "plain \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
               {"\x1b[2Jx\r\n\t\x7f", "?[2Jx????"},
               {"\xc2\x9b\x32J", "?2J"},       // CSI as one character
               {"a\xe2\x80\xae\x62", "a?b"},   // turns the direction
               {"\xff\xc3 \xe2\x82", "?? ??"}, // no UTF-8, cut off
               {"", ""}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *shown = terminal_text(cases[i].text);
    assert_string_equal(shown, cases[i].shown);
    free(shown);
  }
}

static void test_long_texts_are_cut_between_characters(void **state) {
  (void)state;
  static const struct {
    size_t most;
    const char *shown;
  } cases[] = {{0, "..."}, {1, "a..."}, {2, "a..."}, {3, "a\xc3\xa4..."}, {4, "a\xc3\xa4\x62"}, {9, "a\xc3\xa4\x62"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct buffer out = {0};
    terminal_put(&out, "a\xc3\xa4\x62", cases[i].most);
    assert_string_equal(buffer_cstring(&out), cases[i].shown);
    buffer_free(&out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_moves_the_cursor),
      cmocka_unit_test(test_long_texts_are_cut_between_characters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
