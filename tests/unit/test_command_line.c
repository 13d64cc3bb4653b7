// The command line (supervisor/command_line.h) and the help that is made from its tables.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "supervisor/command_line.h"
#include "supervisor/help.h"

static struct command command;
static struct buffer complaint;

// The words behind "weir"; NULL at the end.
static bool parse(const char *first, ...) {
  char *argv[16] = {(char *)(uintptr_t) "weir"};
  int argc = 1;
  va_list list;
  va_start(list, first);
  for (const char *word = first; word; word = va_arg(list, const char *)) argv[argc++] = (char *)(uintptr_t)word;
  va_end(list);
  buffer_clear(&complaint);
  return command_parse(&command, argc, argv, &complaint);
}

static void good(void) {
  if (complaint.length > 0) fail_msg("%s", buffer_cstring(&complaint));
}

static void complains(const char *word) {
  if (!strstr(buffer_cstring(&complaint), word)) fail_msg("\"%s\" does not say \"%s\"", buffer_cstring(&complaint), word);
}

static void test_a_verb_with_its_file_and_options(void **state) {
  (void)state;
  assert_true(parse("run", "a.yaml", "--once", "--state", "/s", "--log", "json", "--take-over", NULL));
  good();
  assert_int_equal(command.verb, VERB_RUN);
  assert_string_equal(command.file, "a.yaml");
  assert_string_equal(command.state, "/s");
  assert_string_equal(command.log, "json");
  assert_int_equal(command.given, OPTION_ONCE | OPTION_STATE | OPTION_LOG | OPTION_TAKE_OVER);
}

static void test_options_stand_anywhere_and_take_values_both_ways(void **state) {
  (void)state;
  assert_true(parse("run", "--state=/s", "--log=json", "--once", "a.yaml", NULL));
  assert_string_equal(command.state, "/s");
  assert_string_equal(command.log, "json");
  assert_string_equal(command.file, "a.yaml");
  assert_true(parse("run", "--", "--once", NULL));
  assert_string_equal(command.file, "--once");
  assert_int_equal(command.given, 0);
}

static void test_a_value_may_begin_with_dashes(void **state) {
  (void)state;
  assert_true(parse("run", "--state", "--odd", "a.yaml", NULL));
  assert_string_equal(command.state, "--odd");
}

static void test_values_that_are_missing_or_too_many(void **state) {
  (void)state;
  assert_false(parse("run", "a.yaml", "--state", NULL));
  complains("--state DIR");
  assert_false(parse("run", "a.yaml", "--state=", NULL));
  complains("--state DIR");
  assert_false(parse("run", "a.yaml", "--once=yes", NULL));
  complains("takes no value");
  assert_false(parse("run", "a.yaml", "--log", "xml", NULL));
  complains("xml");
}

static void test_files_that_are_missing_or_too_many(void **state) {
  (void)state;
  assert_false(parse("run", NULL));
  complains("which pipeline file");
  assert_false(parse("check", "a.yaml", "b.yaml", NULL));
  complains("b.yaml");
  assert_false(parse("version", "a.yaml", NULL));
  complains("one word too many");
  assert_true(parse("status", NULL));
  assert_null(command.file);
}

static void test_unknown_words_get_a_suggestion(void **state) {
  (void)state;
  assert_false(parse("statsu", NULL));
  complains("did you mean status?");
  assert_false(parse("run", "a.yaml", "--onec", NULL));
  complains("did you mean --once?");
  assert_false(parse("run", "a.yaml", "--take-ovr=1", NULL));
  complains("did you mean --take-over?");
  assert_false(parse("frobnicate", NULL));
  complains("weir help");
  assert_false(parse("run", "a.yaml", "-x", NULL));
  complains("-x");
  // An option of another verb is none of this one.
  assert_false(parse("graph", "a.yaml", "--once", NULL));
  complains("--once");
  assert_false(parse(NULL));
  complains("weir help");
}

static void test_help_is_found_by_every_road(void **state) {
  (void)state;
  assert_true(parse("help", NULL));
  assert_int_equal(command.verb, VERB_HELP);
  assert_null(command.topic);
  assert_true(parse("help", "run", NULL));
  assert_string_equal(command.topic, "run");
  assert_true(parse("--help", NULL));
  assert_int_equal(command.verb, VERB_HELP);
  assert_true(parse("run", "--help", NULL)); // needs no file
  assert_int_equal(command.verb, VERB_RUN);
  assert_true(command.given & OPTION_HELP);
  assert_true(parse("run", "-h", NULL));
  assert_true(command.given & OPTION_HELP);
  assert_true(parse("--version", NULL));
  assert_int_equal(command.verb, VERB_VERSION);
}

static void test_every_verb_has_its_help_and_every_option_is_told(void **state) {
  (void)state;
  struct buffer all = {0}, one = {0};
  help_print(&all);
  for (int v = 0; v < VERBS; v++) {
    const struct verb_row *verb = &verb_rows[v];
    assert_non_null(verb->name);
    assert_int_equal(strstr(buffer_cstring(&all), verb->summary) != NULL, !verb->hidden);
    buffer_clear(&one);
    assert_true(help_print_verb(verb->name, &one));
    assert_non_null(strstr(buffer_cstring(&one), verb->usage));
    assert_non_null(strstr(buffer_cstring(&one), "weir "));
    for (size_t o = 0; o < option_row_count; o++) {
      char *name = memory_print("--%s ", option_rows[o].name);
      bool told = strstr(strstr(buffer_cstring(&one), "Options:"), name) != NULL;
      assert_int_equal(told, (verb->options & option_rows[o].flag) != 0);
      free(name);
    }
  }
  buffer_clear(&one);
  assert_false(help_print_verb("rnu", &one));
  assert_non_null(strstr(buffer_cstring(&one), "did you mean run?"));
  buffer_free(&all);
  buffer_free(&one);
}

static void test_hostile_words_are_cut(void **state) {
  (void)state;
  char longest[5000];
  memset(longest, 'x', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  assert_false(parse(longest, NULL));
  assert_true(complaint.length < 300);
  longest[0] = longest[1] = '-';
  assert_false(parse("run", longest, NULL));
  assert_true(complaint.length < 300);
  longest[0] = 'x';
  assert_false(parse("run", "a.yaml", longest, NULL));
  assert_true(complaint.length < 400);
}

static int clean(void **state) {
  (void)state;
  command_free(&command);
  buffer_free(&complaint);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(test_a_verb_with_its_file_and_options, clean),
      cmocka_unit_test_teardown(test_options_stand_anywhere_and_take_values_both_ways, clean),
      cmocka_unit_test_teardown(test_a_value_may_begin_with_dashes, clean),
      cmocka_unit_test_teardown(test_values_that_are_missing_or_too_many, clean),
      cmocka_unit_test_teardown(test_files_that_are_missing_or_too_many, clean),
      cmocka_unit_test_teardown(test_unknown_words_get_a_suggestion, clean),
      cmocka_unit_test_teardown(test_help_is_found_by_every_road, clean),
      cmocka_unit_test_teardown(test_every_verb_has_its_help_and_every_option_is_told, clean),
      cmocka_unit_test_teardown(test_hostile_words_are_cut, clean),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
