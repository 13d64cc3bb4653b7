// The table of settings: that it is sound in itself, how each type is read, what is said of wrong values, fingerprints, and the reference.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/clock.h"
#include "proto/job.h"
#include "supervisor/config_substitute.h"
#include "supervisor/plan_report.h"
#include "supervisor/reference.h"
#include "supervisor/settings.h"
#include "supervisor/settings_value.h"

struct read {
  struct plan_report report;
  struct buffer settings;
  struct job_value root;
  bool usable;
};

static struct read read_kind(enum settings_place place, const char *kind, const char *text) {
  struct read r = {0};
  struct config_source source = {.text = text, .length = strlen(text)};
  struct config_node root;
  assert_true(config_read(&source, &root, &r.report));
  config_substitute(&source, &root, &r.report);
  const struct setting_table *tables[] = {settings_find(place, NULL), settings_find(place, kind)};
  assert_non_null(tables[1]);
  struct settings_context context = {.source = &source, .report = &r.report};
  struct settings_owner owner = {.what = "node `x`", .line = 7, .column = 9};
  r.usable = settings_read(&context, tables, kind ? 2 : 1, &owner, &root, &r.settings);
  r.root = (struct job_value){.at = r.settings.at, .end = r.settings.at + r.settings.length};
  config_free(&root);
  return r;
}

static void done(struct read *r) {
  plan_report_free(&r->report);
  buffer_free(&r->settings);
}

static void assert_text(struct job_value map, const char *name, const char *wanted) {
  char *text = job_text(map, name, "(absent)");
  assert_string_equal(text, wanted);
  free(text);
}

// ---- the table itself

static void check_rows(const struct setting_table *table) {
  struct plan_report report = {0};
  struct config_source source = {.text = "", .length = 0};
  struct settings_context context = {.source = &source, .report = &report};
  for (size_t i = 0; i < table->count; i++) {
    const struct setting *s = &table->settings[i];
    assert_non_null(s->name);
    assert_non_null(s->help);
    assert_true(s->help[strlen(s->help) - 1] == '.' || strstr(s->help, ": "));
    assert_true(s->least <= s->most);
    assert_int_equal(s->type == SETTING_CHOICE, s->choices != NULL);
    assert_int_equal(s->type == SETTING_GROUP, s->group != NULL);
    for (size_t k = i + 1; k < table->count; k++) assert_string_not_equal(s->name, table->settings[k].name);
    if (s->group) check_rows(s->group);
  }
  // Defaults are values that the parser itself accepts; only required settings may be missing.
  struct config_node nothing = {.kind = CONFIG_MAP};
  struct settings_owner owner = {.what = "x", .line = 1, .column = 1};
  struct buffer out = {0};
  settings_read(&context, &table, 1, &owner, &nothing, &out);
  for (size_t i = 0; i < report.count; i++) assert_non_null(strstr(report.messages[i].text, "x needs "));
  buffer_free(&out);
  plan_report_free(&report);
}

static void test_table_is_sound(void **state) {
  (void)state;
  for (size_t i = 0; i < settings_table_count; i++) {
    const struct setting_table *table = settings_tables[i];
    check_rows(table);
    const struct setting_table *common = settings_find(table->place, NULL);
    assert_non_null(common);
    for (size_t k = 0; k < table->count && table->kind; k++) assert_null(settings_row(&common, 1, table->settings[k].name));
  }
}

// Each example of the reference is a node that the table itself accepts.
static void test_examples_are_good(void **state) {
  (void)state;
  for (size_t i = 0; i < settings_table_count; i++) {
    const struct setting_table *table = settings_tables[i];
    if (!table->kind) continue;
    assert_non_null(table->example);
    const char *body = strchr(table->example, '\n') + 1;
    struct read r = read_kind(table->place, table->kind, body);
    for (size_t m = 0; m < r.report.count; m++) print_message("%s: %s\n", table->kind, r.report.messages[m].text);
    assert_int_equal(r.report.count, 0);
    assert_true(r.usable);
    done(&r);
  }
}

// ---- values

static void test_duration_texts(void **state) {
  (void)state;
  static const struct {
    int64_t ms;
    const char *text;
  } wanted[] = {{0, "0"}, {100, "100ms"}, {30000, "30s"}, {5400000, "90m"}, {86400000, "1d"}, {3600001, "3600001ms"}};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    char text[32];
    value_duration_text(wanted[i].ms, text);
    assert_string_equal(text, wanted[i].text);
  }
}

static void test_sizes(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t bytes;
  } good[] = {{"0", 0},          {"4096", 4096},     {"64KiB", 65536}, {"2MiB", 2 << 20},
              {"1GiB", 1 << 30}, {"10MB", 10000000}, {"5B", 5},        {"1kB", 1000}};
  static const char *const bad[] = {"", "MiB", "1 MiB", "1mib", "-1", "1MiB1KiB", "9223372036854775807GiB", "0x10", "1e3", "+4"};
  int64_t bytes;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_true(value_size(good[i].text, &bytes));
    assert_true(bytes == good[i].bytes);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (value_size(bad[i], &bytes)) fail_msg("accepted: %s", bad[i]);
}

// What people write instead, and what is suggested; NULL: nothing.
static void test_what_was_meant(void **state) {
  (void)state;
  static const char *const durations[][2] = {{"5 minutes", "5m"}, {"100 ms", "100ms"}, {"1w", "7d"},   {"90 Seconds", "90s"},
                                             {"1.5h", "90m"},     {"0.5s", "500ms"},   {"fast", NULL}, {"1 year", NULL},
                                             {"1.0001ms", NULL},  {"", NULL}};
  static const char *const sizes[][2] = {{"10 MB", "10MB"},    {"1.5GiB", "1536MiB"}, {"64K", "64KiB"}, {"2 mib", "2MiB"},
                                         {"1.5MB", "1500000"}, {"10 bytes", "10B"},   {"big", NULL},    {"1.0001B", NULL}};
  char near[VALUE_TEXT];
  int64_t value;
  for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
    assert_int_equal(value_duration_near(durations[i][0], near), durations[i][1] != NULL);
    if (durations[i][1]) assert_string_equal(near, durations[i][1]);
    if (durations[i][1]) assert_true(clock_duration(near, strlen(near), &value));
  }
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    assert_int_equal(value_size_near(sizes[i][0], near), sizes[i][1] != NULL);
    if (sizes[i][1]) assert_string_equal(near, sizes[i][1]);
    if (sizes[i][1]) assert_true(value_size(near, &value));
  }
}

static void test_small_values(void **state) {
  (void)state;
  int64_t number;
  double share;
  bool flag;
  assert_true(value_int("-42", &number) && number == -42);
  assert_true(value_int("9223372036854775807", &number) && number == INT64_MAX);
  assert_false(value_int("9223372036854775808", &number));
  assert_false(value_int(" 1", &number) || value_int("1_000", &number) || value_int("0x1", &number) || value_int("1.0", &number));
  assert_true(value_ratio("50%", &share) && share == 0.5);
  assert_true(value_ratio("0.25", &share) && share == 0.25);
  assert_false(value_ratio("101%", &share) || value_ratio("nan", &share) || value_ratio("-1%", &share) || value_ratio("half", &share));
  assert_true(value_bool("true", &flag) && flag);
  assert_true(value_bool("false", &flag) && !flag);
  assert_false(value_bool("yes", &flag) || value_bool("True", &flag) || value_bool("1", &flag));
  assert_true(value_choice("all", "all|changed") && value_choice("changed", "all|changed"));
  assert_false(value_choice("al", "all|changed") || value_choice("", "all|changed") || value_choice("all|changed", "all|changed"));
  assert_true(value_name("eonet-2.x_y") && value_name("1st"));
  assert_false(value_name("") || value_name(".x") || value_name("a/b") || value_name("..") || value_name("a b"));
  assert_true(value_node_name("_a-1"));
  assert_false(value_node_name("1a") || value_node_name("a.b") || value_node_name("a>b"));
}

// ---- maps of the file

static void test_defaults_and_types(void **state) {
  (void)state;
  struct read r = read_kind(SETTINGS_SOURCE, "http",
                            "type: http\nurl: http://h/\nevery: 1h\nmax_body: 1MiB\nheaders: {nat: NO, n: 010}\n"
                            "requests:\n  - {status: closed, days: 30}\n  - {}\nauth: {bearer: t}\n");
  assert_int_equal(r.report.count, 0);
  assert_true(r.usable);
  assert_int_equal(job_int(r.root, "every", 0), 3600000);
  assert_int_equal(job_int(r.root, "max_body", 0), 1 << 20);
  assert_int_equal(job_int(r.root, "timeout", 0), 30000);
  assert_int_equal(job_int(r.root, "forget", 0), 7776000000);
  assert_text(r.root, "emit", "all");
  assert_text(r.root, "records", "");
  assert_text(job_get(r.root, "headers"), "nat", "NO");
  assert_text(job_get(r.root, "headers"), "n", "010");
  assert_text(job_get(r.root, "auth"), "bearer", "t");
  assert_false(job_has(job_get(r.root, "key")));
  assert_false(job_has(job_get(r.root, "pagination")));
  struct job_walk walk = job_walk_start(job_get(r.root, "requests"));
  struct job_value one;
  assert_true(job_walk_next(&walk, NULL, &one));
  assert_text(one, "days", "30");
  assert_true(job_walk_next(&walk, NULL, &one));
  assert_false(job_walk_next(&walk, NULL, &one));
  done(&r);
}

static void test_lists_and_columns(void **state) {
  (void)state;
  struct read r = read_kind(SETTINGS_SINK, "table", "type: table\nfrom: a\nurl: sqlite:x\ntable: t\nkey: id\n");
  struct job_walk walk = job_walk_start(job_get(r.root, "key"));
  struct job_value one;
  assert_int_equal(r.report.count, 0);
  assert_true(job_walk_next(&walk, NULL, &one)); // one text is a list of one
  char *text = job_value_text(one);
  assert_string_equal(text, "id");
  free(text);
  assert_false(job_walk_next(&walk, NULL, &one));
  done(&r);
  r = read_kind(SETTINGS_TRANSFORM, "sql", "sql: SELECT 1\ncolumns:\n  b: text   NOT NULL\n  a: double\n");
  assert_int_equal(r.report.count, 0);
  walk = job_walk_start(job_get(r.root, "columns"));
  char *key;
  assert_true(job_walk_next(&walk, &key, &one)); // in the file's order
  assert_string_equal(key, "b");
  free(key);
  assert_text(job_get(r.root, "columns"), "b", "text not null");
  assert_text(job_get(r.root, "columns"), "a", "double");
  done(&r);
}

// One wrong file a line: kind, text, then the one message with its place and suggestion.
static const struct {
  enum settings_place place;
  const char *kind, *text;
  int line, column;
  const char *part, *suggestion;
} wrong[] = {
    {SETTINGS_SINK, "file", "type: file\nfrom: a\npath: x\nfromat: ndjson\n", 4, 1, "has no setting `fromat`", "format"},
    {SETTINGS_SINK, "file", "type: file\nfrom: a\n", 7, 9, "node `x` needs `path`", NULL},
    {SETTINGS_SINK, "file", "type: file\nfrom: a\npath: [x]\n", 3, 7, "must be a single value, not a list", NULL},
    {SETTINGS_SINK, "file", "type: file\nfrom: a\npath:\n", 3, 6, "`path` needs a value", NULL},
    {SETTINGS_SINK, "file", "type: file\nfrom: a\npath: ${NO_SUCH_VARIABLE:-}\n", 3, 7, "its ${...} is empty here", NULL},
    {SETTINGS_SINK, "file", "type: file\nfrom: {a: b}\npath: x\n", 2, 7, "a text or a list of texts, not a map", NULL},
    {SETTINGS_SINK, "file", "type: file\nfrom: []\npath: x\n", 2, 7, "at least one", NULL},
    {SETTINGS_SINK, "file", "type: file\nfrom: [a, b, a]\npath: x\n", 2, 14, "`from` names `a` twice", NULL},
    {SETTINGS_SINK, "table", "type: table\nfrom: a\nurl: u\ntable: t\nkey: [id, id]\n", 5, 11, "`key` names `id` twice", NULL},
    {SETTINGS_SINK, "table", "type: table\nfrom: a\nurl: u\ntable: t\nwithout:\n  - b\n  - b\n", 7, 5, "`without` names `b` twice", NULL},
    {SETTINGS_LOOKUP, "file", "type: file\npath: x\nkey: [a, a]\ncolumns: {a: text}\n", 3, 10, "`key` names `a` twice", NULL},
    {SETTINGS_SINK, "file", "type: file\nfrom: [[a]]\npath: x\n", 2, 8, "no room for a list", NULL},
    {SETTINGS_SINK, "file", "type: file\nfrom: a\npath: x\nformat: ndjsn\n", 4, 9, "must be ndjson", "ndjson"},
    {SETTINGS_SOURCE, "generate", "type: generate\nsql: SELECT 1\ncount: many\n", 3, 8, "whole number, not `many`", NULL},
    {SETTINGS_SOURCE, "generate", "type: generate\nsql: SELECT 1\ncount: -1\n", 3, 8, "must be from 0", NULL},
    {SETTINGS_SOURCE, "generate", "type: generate\nsql: SELECT 1\nlanes: 65\n", 3, 8, "from 1 to 64", NULL},
    {SETTINGS_SOURCE, "http", "type: http\nurl: http://h/\nretries: 99999999999999999999\n", 3, 10, "from 0 to 100, not `9999999", NULL},
    {SETTINGS_SOURCE, "http", "type: http\nurl: http://h/\nretries: -99999999999999999999\n", 3, 10, "from 0 to 100, not `-999", NULL},
    {SETTINGS_SOURCE, "generate", "type: generate\nsql: SELECT 1\nlanes: some\n", 3, 8, "auto or a whole number", NULL},
    {SETTINGS_SOURCE, "generate", "type: generate\nsql: SELECT 1\nring: 3MiB\n", 3, 7, "power of two", NULL},
    {SETTINGS_SOURCE, "generate", "type: generate\nsql: SELECT 1\nring: 4KiB\n", 3, 7, "from 64KiB to 1GiB", NULL},
    {SETTINGS_SOURCE, "file", "type: file\npath: x\nfollow: yes\n", 3, 9, "true or false, not `yes`", NULL},
    {SETTINGS_SOURCE, "file", "type: file\npath: x\npoll: 5\n", 3, 7, "needs a unit: `5` as 5ms, 5s", NULL},
    {SETTINGS_SOURCE, "file", "type: file\npath: x\npoll: fast\n", 3, 7, "must be a time", NULL},
    {SETTINGS_SOURCE, "file", "type: file\npath: x\npoll: 2h\n", 3, 7, "from 1ms to 1h", NULL},
    {SETTINGS_SOURCE, "file", "type: file\npath: x\nmax_record: big\n", 3, 13, "must be a size", NULL},
    {SETTINGS_SOURCE, "file", "type: file\npath: x\nstart: yesterday\n", 3, 8, "earliest, latest or a time", NULL},
    {SETTINGS_SOURCE, "file", "type: file\npath: x\nrecords: a[\n", 3, 10, "must be the path of a field", NULL},
    {SETTINGS_SOURCE, "http", "type: http\nurl: http://h/\nauth: {bearer: x, basic: y}\n", 3, 8, "takes only one of `basic`, `bearer`",
     NULL},
    {SETTINGS_SOURCE, "http", "type: http\nurl: http://h/\npagination: {size: 5}\n", 3, 13, "needs one of `next`, `page`, `cursor`", NULL},
    {SETTINGS_SOURCE, "http", "type: http\nurl: http://h/\nauth: {bearer: x, basik: y}\n", 3, 19, "`auth` has no setting `basik`", "basic"},
    {SETTINGS_SOURCE, "http", "type: http\nurl: http://h/\nauth: x\n", 3, 7, "must be a map, not a text", NULL},
    {SETTINGS_SOURCE, "http", "type: http\nurl: http://h/\nrequests: {a: b}\n", 3, 11, "list of maps", NULL},
    {SETTINGS_SOURCE, "http", "type: http\nurl: http://h/\nrequests: [{a: {}}]\n", 3, 16, "no room for a map", NULL},
    {SETTINGS_SOURCE, "http", "type: http\nurl: http://h/\nemit: change\n", 3, 7, "must be all or changed", "changed"},
    {SETTINGS_TRANSFORM, "sql", "sql: SELECT 1\ncolumns: {a: txt}\n", 2, 14, "no type `txt`", "text"},
    {SETTINGS_TRANSFORM, "sql", "sql: SELECT 1\ncolumns: {a: text null}\n", 2, 14, "and `not null`", NULL},
    {SETTINGS_TRANSFORM, "sql", "sql: SELECT 1\nchecks: {a: }\n", 2, 13, "needs an expression", NULL},
    {SETTINGS_TRANSFORM, "sql", "{sql: SELECT id, FROM ev}\n", 1, 18, "no setting `FROM ev`: inside { } a comma ends a value, so quote",
     NULL},
    {SETTINGS_TRANSFORM, "sql", "{sql: SELECT id, tiemout: 1s}\n", 1, 18, "no setting `tiemout`", "timeout"},
    {SETTINGS_TRANSFORM, "sql", "sql: SELECT 1\nchecks: {a: x IN (1,2)}\n", 2, 23, "`2)` needs an expression: inside { } a comma", NULL},
    {SETTINGS_TRANSFORM, "sql", "sql: SELECT 1\ncolumns:\n  a:\n", 3, 5, "`a` needs a type", NULL},
    {SETTINGS_TRANSFORM, "sql", "sql: \"\"\n", 1, 6, "`sql` needs a value", NULL},
};

static void test_wrong_values(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct read r = read_kind(wrong[i].place, wrong[i].kind, wrong[i].text);
    const struct plan_message *m = r.report.count > 0 ? &r.report.messages[0] : NULL;
    bool same = r.report.count == 1 && m->line == wrong[i].line && m->column == wrong[i].column && strstr(m->text, wrong[i].part) &&
                (wrong[i].suggestion ? m->suggestion && strcmp(m->suggestion, wrong[i].suggestion) == 0 : !m->suggestion);
    if (!same) {
      print_message("for:\n%s", wrong[i].text);
      for (size_t k = 0; k < r.report.count; k++)
        print_message("got %d:%d: %s\n", r.report.messages[k].line, r.report.messages[k].column, r.report.messages[k].text);
    }
    assert_true(same);
    done(&r);
  }
}

static void test_all_mistakes_at_once(void **state) {
  (void)state;
  struct read r = read_kind(SETTINGS_SOURCE, "file", "type: file\nfolow: true\npoll: x\nstart: y\nmax_record: z\n");
  assert_int_equal(r.report.count, 5); // four wrong ones and the missing path
  assert_false(r.usable);
  done(&r);
  r = read_kind(SETTINGS_SOURCE, "file", "type: file\npath: a\npoll: x\n");
  assert_true(r.usable); // what is wrong can be told, and still the node can be checked
  done(&r);
}

static void test_secrets_are_not_shown(void **state) {
  (void)state;
  setenv("WEIR_TEST_SECRET", "hunter2", 1);
  struct read r = read_kind(SETTINGS_SOURCE, "http",
                            "type: http\nurl: http://h/\nauth: {basic: [\"${WEIR_TEST_SECRET}\"]}\n"
                            "headers: {a: [hunter2]}\nbody: [hunter2]\n");
  assert_int_equal(r.report.count, 3);
  for (size_t i = 0; i < r.report.count; i++) assert_null(strstr(r.report.messages[i].text, "hunter2"));
  done(&r);
}

// ---- fingerprints

static char *fingerprint(const char *kind, const char *text) {
  struct read r = read_kind(SETTINGS_SOURCE, kind, text);
  assert_int_equal(r.report.count, 0);
  char *print = settings_fingerprint(settings_find(SETTINGS_SOURCE, kind), r.settings.at, r.settings.length);
  done(&r);
  return print;
}

static void assert_prints(bool same, const char *kind, const char *one, const char *other) {
  char *a = fingerprint(kind, one), *b = fingerprint(kind, other);
  assert_int_equal(strlen(a), 16);
  if ((strcmp(a, b) == 0) != same) print_message("%s\n%s\n", one, other);
  assert_int_equal(strcmp(a, b) == 0, same);
  free(a);
  free(b);
}

static void test_fingerprints(void **state) {
  (void)state;
  const char *base = "type: http\nurl: http://h/x\n";
  assert_prints(true, "http", base, "type: http\nurl: http://h/x\nevery: 1s\ntimeout: 1s\nheaders: {a: b}\n");
  assert_prints(true, "http", base, "type: http\nurl: http://me:secret@h/x\n");
  assert_prints(true, "http", base, "type: http\nemit: all\nrecords: ''\nurl: http://h/x\n"); // defaults, another order
  assert_prints(false, "http", base, "type: http\nurl: http://h/y\n");
  assert_prints(false, "http", base, "type: http\nurl: http://h/x\nquery: {a: b}\n");
  assert_prints(false, "http", base, "type: http\nurl: http://h/x\nkey: id\n");
  assert_prints(false, "http", "type: http\nurl: http://h/x\nkey: id\n", "type: http\nurl: http://h/x\nkey: di\n");
  assert_prints(false, "http", "type: http\nurl: http://h/a@b\n", "type: http\nurl: http://h/b\n");
  assert_prints(false, "generate", "type: generate\nsql: SELECT n\n", "type: generate\nsql: SELECT n\nseed: 2\n");
  assert_prints(true, "generate", "type: generate\nsql: SELECT n\n", "type: generate\nsql: SELECT n\nrate: 5\ncount: 9\n");
}

// It is stored beside positions: another value after an upgrade would make every source a stranger.
static void test_fingerprint_is_fixed(void **state) {
  (void)state;
  char *print = fingerprint("file", "type: file\npath: [a.ndjson, 'b*']\nformat: json\nrecords: x\n");
  assert_string_equal(print, "4d6432927436f6c7");
  free(print);
}

// ---- reference

static void assert_file_is(const char *path, struct buffer *wanted) {
  FILE *f = fopen(path, "r");
  if (!f) fail_msg("%s is not there: the tests run in the top folder", path);
  char *text = malloc(wanted->length + 2);
  size_t length = fread(text, 1, wanted->length + 1, f);
  fclose(f);
  bool same = length == wanted->length && memcmp(text, wanted->at, length) == 0;
  free(text);
  buffer_free(wanted);
  if (!same) fail_msg("%s is stale: run `make reference`", path);
}

static void test_reference_is_fresh(void **state) {
  (void)state;
  struct buffer page = {0}, schema = {0};
  reference_print(&page);
  reference_print_schema(&schema);
  assert_file_is("docs/reference.md", &page);
  assert_file_is("docs/pipeline.schema.json", &schema);
}

static void test_reference_names_every_setting(void **state) {
  (void)state;
  struct buffer page = {0}, schema = {0};
  reference_print(&page);
  reference_print_schema(&schema);
  for (size_t t = 0; t < settings_table_count; t++)
    for (size_t i = 0; i < settings_tables[t]->count; i++) {
      char row[100], key[100];
      snprintf(row, sizeof row, "\n| `%s` | ", settings_tables[t]->settings[i].name);
      snprintf(key, sizeof key, "\"%s\": {", settings_tables[t]->settings[i].name);
      assert_non_null(strstr(buffer_cstring(&page), row));
      assert_non_null(strstr(buffer_cstring(&schema), key));
    }
  buffer_free(&page);
  buffer_free(&schema);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_table_is_sound),
      cmocka_unit_test(test_examples_are_good),
      cmocka_unit_test(test_duration_texts),
      cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_what_was_meant),
      cmocka_unit_test(test_small_values),
      cmocka_unit_test(test_defaults_and_types),
      cmocka_unit_test(test_lists_and_columns),
      cmocka_unit_test(test_wrong_values),
      cmocka_unit_test(test_all_mistakes_at_once),
      cmocka_unit_test(test_secrets_are_not_shown),
      cmocka_unit_test(test_fingerprints),
      cmocka_unit_test(test_fingerprint_is_fixed),
      cmocka_unit_test(test_reference_is_fresh),
      cmocka_unit_test(test_reference_names_every_setting),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
