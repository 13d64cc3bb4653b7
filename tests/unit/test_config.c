// YAML with places, ${} replaced after parsing, and the way back from a byte of a value to line and column.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/limits.h"
#include "supervisor/config_file.h"
#include "supervisor/config_place.h"
#include "supervisor/config_substitute.h"
#include "supervisor/config_yaml.h"
#include "supervisor/plan_report.h"

struct read {
  struct config_source source;
  struct config_node root;
  struct plan_report report;
  bool fine;
};

static struct read read_text(const char *text) {
  struct read r = {.source = {.text = text, .length = strlen(text)}};
  r.fine = config_read(&r.source, &r.root, &r.report);
  return r;
}

static struct read read_and_substitute(const char *text, const char *folder) {
  struct read r = read_text(text);
  r.source.folder = folder;
  if (r.fine) config_substitute(&r.source, &r.root, &r.report);
  return r;
}

static void done(struct read *r) {
  config_free(&r->root);
  plan_report_free(&r->report);
}

static const char *value_of(const struct read *r, const char *key) {
  const struct config_entry *entry = config_find(&r->root, key);
  assert_non_null(entry);
  return entry->value.text;
}

// The one message of a text: its place and a part of it.
static void assert_error(const char *text, int line, int column, const char *part) {
  struct read r = read_and_substitute(text, NULL);
  if (r.report.count != 1) print_message("for: %s\n", text);
  assert_int_equal(r.report.count, 1);
  assert_true(r.report.failed);
  const struct plan_message *m = &r.report.messages[0];
  if (m->line != line || m->column != column || !strstr(m->text, part))
    print_message("for: %s\ngot %d:%d %s\n", text, m->line, m->column, m->text);
  assert_int_equal(m->line, line);
  assert_int_equal(m->column, column);
  assert_non_null(strstr(m->text, part));
  done(&r);
}

static void test_tree(void **state) {
  (void)state;
  struct read r = read_text("a: 1\nnat: NO\nb: [x, 'y']\nc:\n  d: |\n    one\n    two\nempty:\n");
  assert_true(r.fine);
  assert_int_equal(r.report.count, 0);
  assert_string_equal(value_of(&r, "a"), "1");
  assert_string_equal(value_of(&r, "nat"), "NO");
  const struct config_entry *b = config_find(&r.root, "b");
  assert_int_equal(b->value.kind, CONFIG_LIST);
  assert_int_equal(b->value.count, 2);
  assert_string_equal(b->value.entries[1].value.text, "y");
  assert_int_equal(b->line, 3);
  assert_int_equal(b->value.column, 4);
  const struct config_entry *d = config_find(&config_find(&r.root, "c")->value, "d");
  assert_string_equal(d->value.text, "one\ntwo\n");
  assert_int_equal(d->line, 5);
  assert_int_equal(d->column, 3);
  assert_true(config_is_empty(&config_find(&r.root, "empty")->value));
  assert_null(config_find(&r.root, "absent"));
  done(&r);
}

static void test_refused(void **state) {
  (void)state;
  assert_error("a: &x 1\n", 1, 4, "anchors");
  assert_error("a: [1]\nb: *x\n", 2, 4, "anchors");
  assert_error("a: !!int 1\n", 1, 4, "tags");
  assert_error("a: 1\n---\nb: 2\n", 2, 1, "second document");
  assert_error("a: 1\nb: 2\na: 3\n", 3, 1, "twice: first in line 1");
  assert_error("a: {b: 1, c: 2, b: 3}\n", 1, 17, "twice: first in line 1");
  assert_error("a:\n\tb: 1\n", 2, 1, "tab");
  assert_error("a: \"\\0\"\n", 1, 4, "NUL");
  assert_error("? [a]\n: b\n", 1, 3, "must be a text, not a list");
  assert_error("\"\": b\n", 1, 1, "name is missing");
  assert_error("", 1, 1, "empty");
  assert_error("# nothing\n", 1, 1, "empty");
  assert_error("a: [1\n", 2, 1, "not YAML");
  assert_error("a: \xff\n", 1, 4, "0xff) is not UTF-8");
  assert_error("\xc3\xa4: 1\nb: \xc3\xa4\xc3\n", 2, 5, "not UTF-8");
}

static void test_unquoted_variable(void **state) {
  (void)state;
  assert_error("a: {b: ${X}}\n", 1, 8, "quote it");
  assert_error("a: [1, ${X:-2}]\n", 1, 8, "quote it");
  assert_error("a: ${X: y}\n", 1, 4, "quote it");
  struct read r = read_and_substitute("a: {b: \"${NO_SUCH_VARIABLE:-x}\"}\nc: ${NO_SUCH_VARIABLE:-http://h/?a=b}\n", NULL);
  assert_int_equal(r.report.count, 0);
  assert_string_equal(value_of(&r, "c"), "http://h/?a=b");
  done(&r);
}

// A file that is small but would unfold into something large, or nest without end.
static void test_bounds(void **state) {
  (void)state;
  struct buffer text = {0};
  buffer_text(&text, "a: ");
  for (int i = 0; i < 40; i++) buffer_byte(&text, '[');
  for (int i = 0; i < 40; i++) buffer_byte(&text, ']');
  assert_error(buffer_cstring(&text), 1, 4 + CONFIG_DEPTH - 1, "nested");
  buffer_clear(&text);
  for (int i = 0; i < LIMIT_FIELDS + 2; i++) buffer_text(&text, "- x\n");
  assert_error(buffer_cstring(&text), LIMIT_FIELDS + 1, 3, "more than");
  buffer_free(&text);
}

static void test_variables(void **state) {
  (void)state;
  setenv("WEIR_TEST_A", "a#b: c", 1);
  setenv("WEIR_TEST_EMPTY", "", 1);
  unsetenv("WEIR_TEST_NONE");
  struct read r = read_and_substitute("a: x${WEIR_TEST_A}y\n"
                                      "b: ${WEIR_TEST_NONE:-d}${WEIR_TEST_EMPTY:-e}\n"
                                      "c: ${WEIR_TEST_NONE:-${WEIR_TEST_EMPTY:-${WEIR_TEST_A}}}\n"
                                      "d: $${WEIR_TEST_A} costs 5$ or $5\n"
                                      "e: \"${WEIR_TEST_EMPTY}\"\n"
                                      "f: ${WEIR_TEST_NONE:-}\n"
                                      "${WEIR_TEST_A}: key\n",
                                      NULL);
  assert_int_equal(r.report.count, 0);
  assert_string_equal(value_of(&r, "a"), "xa#b: cy");
  assert_string_equal(value_of(&r, "b"), "de");
  assert_string_equal(value_of(&r, "c"), "a#b: c");
  assert_string_equal(value_of(&r, "d"), "${WEIR_TEST_A} costs 5$ or $5");
  assert_string_equal(value_of(&r, "e"), "");
  assert_string_equal(value_of(&r, "f"), "");
  assert_string_equal(value_of(&r, "${WEIR_TEST_A}"), "key");
  done(&r);
}

static void test_variable_errors(void **state) {
  (void)state;
  unsetenv("WEIR_TEST_NONE");
  assert_error("a: x ${WEIR_TEST_NONE}\n", 1, 6, "${WEIR_TEST_NONE} is not set and has no default");
  assert_error("a:\n  - |\n    one\n      two ${WEIR_TEST_NONE}\n", 4, 11, "is not set");
  assert_error("a: ${}\n", 1, 4, "must be ${NAME}");
  assert_error("a: ${A-b}\n", 1, 4, "must be ${NAME}");
  assert_error("a: ${1}\n", 1, 4, "must be ${NAME}");
  assert_error("a: ${A\n", 1, 4, "not closed");
  assert_error("a: ${file:}\n", 1, 4, "needs a path");
  assert_error("a: ${file:x}\n", 1, 4, "cannot be read here");
  struct read r = read_and_substitute("a: ${WEIR_TEST_NONE}-${WEIR_TEST_NONE2}\n", NULL);
  assert_int_equal(r.report.count, 2); // both of one value
  assert_int_equal(r.report.messages[1].column, 22);
  done(&r);
}

// A value is replaced once: what a variable holds is never looked at again.
static void test_no_second_replacement(void **state) {
  (void)state;
  setenv("WEIR_TEST_A", "${WEIR_TEST_B}", 1);
  setenv("WEIR_TEST_B", "b", 1);
  struct read r = read_and_substitute("a: ${WEIR_TEST_A}\n", NULL);
  assert_string_equal(value_of(&r, "a"), "${WEIR_TEST_B}");
  done(&r);
}

static void test_growth_is_bounded(void **state) {
  (void)state;
  char *large = malloc(100001);
  memset(large, 'x', 100000);
  large[100000] = '\0';
  setenv("WEIR_TEST_A", large, 1);
  struct buffer text = {0};
  buffer_text(&text, "a: ");
  for (int i = 0; i < 11; i++) buffer_text(&text, "${WEIR_TEST_A}");
  struct read r = read_and_substitute(buffer_cstring(&text), NULL);
  assert_int_equal(r.report.count, 1);
  assert_non_null(strstr(r.report.messages[0].text, "grows over"));
  done(&r);
  buffer_free(&text);
  free(large);
  unsetenv("WEIR_TEST_A");
}

static void write_file(const char *folder, const char *name, const char *text) {
  char path[300];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static void test_files(void **state) {
  (void)state;
  char folder[] = "/tmp/weir-test-config-XXXXXX", path[300];
  assert_non_null(mkdtemp(folder));
  write_file(folder, "password", "p#a: s\n\n");
  write_file(folder, "latin", "\xe4");
  setenv("WEIR_TEST_A", "pass", 1);
  struct read r = read_and_substitute("a: x${file:password}y\nb: ${file:${WEIR_TEST_A}word}\n", folder);
  assert_int_equal(r.report.count, 0);
  assert_string_equal(value_of(&r, "a"), "xp#a: sy");
  assert_string_equal(value_of(&r, "b"), "p#a: s");
  assert_true(config_find(&r.root, "a")->value.secret);
  done(&r);
  r = read_and_substitute("a: ${file:none}\nb: ${file:.}\nc: ${file:latin}\nd: ${file:/dev/zero}\n", folder);
  assert_int_equal(r.report.count, 4);
  assert_non_null(strstr(r.report.messages[0].text, "${file:none} cannot be read: No such file"));
  assert_non_null(strstr(r.report.messages[1].text, "not a regular file"));
  assert_non_null(strstr(r.report.messages[2].text, "not UTF-8"));
  assert_non_null(strstr(r.report.messages[3].text, "not a regular file"));
  done(&r);
  snprintf(path, sizeof path, "%s/password", folder);
  unlink(path);
  snprintf(path, sizeof path, "%s/latin", folder);
  unlink(path);
  rmdir(folder);
}

// The place of the word "HERE" in the value `key`, which must be where it stands in the file.
static void assert_place(const char *text) {
  struct read r = read_and_substitute(text, NULL);
  assert_int_equal(r.report.count, 0);
  const struct config_node *value = &config_find(&r.root, "sql")->value;
  const char *here = strstr(value->text, "HERE");
  const char *in_file = strstr(text, "HERE");
  assert_non_null(here);
  int line = 1, column = 1, want_line = 1, want_column = 1;
  for (const char *p = text; p < in_file; p++) {
    if (*p == '\n') {
      want_line++;
      want_column = 1;
    } else if ((*p & 0xc0) != 0x80) {
      want_column++;
    }
  }
  config_place_value(&r.source, value, (size_t)(here - value->text), &line, &column);
  if (line != want_line || column != want_column) print_message("for: %s\n", text);
  assert_int_equal(line, want_line);
  assert_int_equal(column, want_column);
  done(&r);
}

static void test_places(void **state) {
  (void)state;
  setenv("WEIR_TEST_A", "a long value\nof two lines", 1);
  setenv("WEIR_TEST_EMPTY", "", 1);
  assert_place("sql: SELECT HERE\n");
  assert_place("sql: SELECT 1,\n     HERE\n");
  assert_place("sql: \"SELECT \\\"a\\\", \\u00e4 \\x41 HERE\"\n");
  assert_place("sql: 'SELECT ''a'', HERE'\n");
  assert_place("sql: |\n  SELECT a,\n\n    b, HERE\n  FROM t\n");
  assert_place("sql: |  # a comment\n  SELECT a, HERE\n");
  assert_place("x: 1\nsql: |2\n    SELECT a, HERE\n");
  assert_place("sql: >-\n  SELECT a,\n  b,\n\n  HERE\n");
  assert_place("sql: SELECT '\xc3\xa4\xf0\x9f\x8c\x8b', HERE\n");
  assert_place("sql: SELECT ${WEIR_TEST_A} + ${WEIR_TEST_EMPTY} HERE\n");
  assert_place("sql: |\n  SELECT ${WEIR_TEST_A} ${WEIR_TEST_NONE:-x y z},\n  $${a} HERE\n");
}

static void test_place_inside_a_variable(void **state) {
  (void)state;
  setenv("WEIR_TEST_A", "wrong", 1);
  struct read r = read_and_substitute("sql: SELECT ${WEIR_TEST_A} FROM t\n", NULL);
  const struct config_node *value = &config_find(&r.root, "sql")->value;
  int line, column;
  config_place_value(&r.source, value, strlen("SELECT wr"), &line, &column);
  assert_int_equal(line, 1);
  assert_int_equal(column, 13);
  config_place_value(&r.source, value, 10000, &line, &column); // behind the end
  assert_int_equal(line, 1);
  done(&r);
}

static char *print_report(struct read *r) {
  struct buffer out = {0};
  plan_report_print(&r->report, "f.yaml", r->source.text, false, &out);
  buffer_cstring(&out);
  return (char *)out.at;
}

static void test_print(void **state) {
  (void)state;
  struct read r = read_text("\xe6\xb0\xb4: 1\n\ta");
  plan_report_free(&r.report);
  plan_report_add(&r.report, CHECK_ERROR, 1, 4, "near", "text %s", "one");
  plan_report_add(&r.report, CHECK_WARNING, 2, 2, NULL, "two");
  plan_report_add(&r.report, CHECK_NOTE, 2, 2, NULL, "notes are for weir check alone");
  plan_report_add(&r.report, CHECK_ERROR, 1, 4, "near", "text %s", "one"); // known already
  char *text = print_report(&r);
  assert_string_equal(text, "f.yaml:1:4: error: text one\n"
                            "    1 | \xe6\xb0\xb4: 1\n"
                            "      |     ^\n"
                            "      = did you mean `near`?\n"
                            "f.yaml:2:2: warning: two\n"
                            "    2 |  a\n"
                            "      |  ^\n");
  free(text);
  done(&r);
}

// Below a value with blanks, and below wide characters of it.
static void test_print_below_a_value(void **state) {
  (void)state;
  struct read r = {.source = {.text = "every: 5 \xe6\xb0\xb4s # x\n"}};
  plan_report_add_wide(&r.report, CHECK_ERROR, (struct plan_place){1, 8, 4}, NULL, "one");
  plan_report_add_wide(&r.report, CHECK_ERROR, (struct plan_place){1, 8, 99}, NULL, "up to the end of the line");
  char *text = print_report(&r);
  assert_non_null(strstr(text, "      |        ^~~~~\n"));
  assert_non_null(strstr(text, "      |        ^~~~~~~~~\n"));
  free(text);
  plan_report_free(&r.report);
}

static void test_print_is_harmless(void **state) {
  (void)state;
  struct read r = {.source = {.text = "url: http://me:hunter2@host/x?token=abc\n  bearer: 12345\x1b[2J\nbearer: ${TOKEN}\n"}};
  plan_report_add(&r.report, CHECK_ERROR, 1, 6, NULL, "bad \x1b[31m and \xc2\x9b and\nline");
  plan_report_add(&r.report, CHECK_ERROR, 2, 3, NULL, "two");
  plan_report_add(&r.report, CHECK_ERROR, 3, 1, NULL, "three");
  plan_report_add(&r.report, CHECK_ERROR, 99, 99, NULL, "no such place");
  char *text = print_report(&r);
  assert_null(strstr(text, "hunter2"));
  assert_null(strstr(text, "abc"));
  assert_null(strstr(text, "12345"));
  assert_null(strchr(text, 0x1b));
  assert_null(strstr(text, "\xc2\x9b"));
  assert_non_null(strstr(text, "http://me:*******@host/x?token=***"));
  assert_non_null(strstr(text, "${TOKEN}"));
  free(text);
  plan_report_free(&r.report);
}

static void test_report_is_bounded_and_sorted(void **state) {
  (void)state;
  struct plan_report report = {0};
  for (int i = 0; i < REPORT_MOST + 50; i++) plan_report_add(&report, CHECK_WARNING, 500 - i, 1, NULL, "message %d", i);
  assert_false(report.failed);
  plan_report_add(&report, CHECK_ERROR, 1, 1, NULL, "one too many still fails the file");
  assert_true(report.failed);
  assert_int_equal(report.count, REPORT_MOST);
  plan_report_sort(&report);
  for (size_t i = 1; i < report.count; i++) assert_true(report.messages[i - 1].line < report.messages[i].line);
  plan_report_free(&report);
}

static void test_file_reading(void **state) {
  (void)state;
  char folder[] = "/tmp/weir-test-config-XXXXXX", path[300];
  assert_non_null(mkdtemp(folder));
  write_file(folder, "f",
             "\xef\xbb\xbf"
             "a: 1\n");
  snprintf(path, sizeof path, "%s/f", folder);
  struct plan_report report = {0};
  char *text = config_file_read(path, &report);
  assert_string_equal(text, "a: 1\n");
  free(text);
  assert_int_equal(truncate(path, LIMIT_CONFIG + 1), 0);
  assert_null(config_file_read(path, &report));
  assert_non_null(strstr(report.messages[0].text, "longer than 4 MiB"));
  assert_int_equal(truncate(path, 100), 0);
  assert_null(config_file_read(path, &report));
  assert_non_null(strstr(report.messages[1].text, "NUL"));
  unlink(path);
  assert_null(config_file_read(path, &report));
  assert_non_null(strstr(report.messages[2].text, "No such file"));
  assert_null(config_file_read(folder, &report));
  assert_non_null(strstr(report.messages[3].text, "folder"));
  rmdir(folder);
  plan_report_free(&report);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tree),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_unquoted_variable),
      cmocka_unit_test(test_bounds),
      cmocka_unit_test(test_variables),
      cmocka_unit_test(test_variable_errors),
      cmocka_unit_test(test_no_second_replacement),
      cmocka_unit_test(test_growth_is_bounded),
      cmocka_unit_test(test_files),
      cmocka_unit_test(test_places),
      cmocka_unit_test(test_place_inside_a_variable),
      cmocka_unit_test(test_print),
      cmocka_unit_test(test_print_below_a_value),
      cmocka_unit_test(test_print_is_harmless),
      cmocka_unit_test(test_report_is_bounded_and_sorted),
      cmocka_unit_test(test_file_reading),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
