// Lookups without a pipeline: what a shape may be, which values a table takes, which files of it are good, and what each kind loads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/sql_help.h"
#include "workers/lookups/lookup.h"

struct place {
  char *state;
  struct buffer settings;
  struct lookup_shape shape;
};

static int place_open(void **state) {
  struct place *p = memory_get(sizeof *p);
  struct error e = {0};
  p->state = memory_text("/tmp/weir-test-XXXXXX");
  assert_non_null(mkdtemp(p->state));
  assert_true(
      lookup_shape_load(&p->shape, "l",
                        help_settings("{\"key\":[\"id\"],\"columns\":{\"id\":\"text\",\"n\":\"int\",\"d\":\"double\",\"t\":\"timestamp\","
                                      "\"b\":\"boolean\",\"j\":\"json\",\"y\":\"bytes\",\"a.b[0]\":\"text\"}}",
                                      &p->settings),
                        &e));
  *state = p;
  return 0;
}

static int place_close(void **state) {
  struct place *p = *state;
  char *command = memory_print("rm -rf '%s'", p->state);
  int code = system(command);
  free(command);
  lookup_shape_free(&p->shape);
  buffer_free(&p->settings);
  free(p->state);
  free(p);
  return code;
}

// ---- shapes

static void expect_shape(const char *settings, const char *code, const char *text) {
  struct buffer out = {0};
  struct lookup_shape shape;
  struct error e = {0};
  bool good = lookup_shape_load(&shape, "l", help_settings(settings, &out), &e);
  assert_int_equal(good, code == NULL);
  if (code) {
    assert_int_equal(e.class, ERROR_CONFIG);
    assert_string_equal(e.code, code);
    if (!strstr(e.text, text)) assert_string_equal(e.text, text);
  }
  lookup_shape_free(&shape);
  buffer_free(&out);
}

static void shapes_are_checked(void **state) {
  (void)state;
  expect_shape("{\"key\":[\"A\"],\"columns\":{\"a\":\"text\"}}", NULL, NULL);
  expect_shape("{\"key\":[\"a\"],\"columns\":{}}", "columns", "1 to 256 columns");
  expect_shape("{\"key\":[\"a\"]}", "columns", "1 to 256 columns");
  expect_shape("{\"key\":[\"a\"],\"columns\":{\"a\":\"words\"}}", "columns", "a: its type is none of");
  expect_shape("{\"key\":[\"a\"],\"columns\":{\"a\":\"text\",\"A\":\"text\"}}", "columns", "A: SQL does not tell");
  expect_shape("{\"key\":[\"a\"],\"columns\":{\"a\":\"text\",\"\":\"text\"}}", "columns", "cannot be the name");
  expect_shape("{\"key\":[\"a\"],\"columns\":{\"a\":\"text\",\"\\u0001*\":\"text\"}}", "columns", "cannot be the name");
  expect_shape("{\"key\":[\"b\"],\"columns\":{\"a\":\"text\"}}", "key", "b: `columns` has no such column");
  expect_shape("{\"key\":[],\"columns\":{\"a\":\"text\"}}", "key", "no column is named");
  expect_shape("{\"key\":[\"a\",\"a\"],\"columns\":{\"a\":\"text\"}}", "key", "a:");
  expect_shape("{\"columns\":{\"a\":\"text\"}}", "key", "no column is named");
  expect_shape("{\"key\":[\"a\"],\"columns\":{\"a\":\"json\"}}", "key", "json cannot be a key");
  expect_shape("{\"key\":[\"a\"],\"columns\":{\"a\":\"text\",\"t\":\"timestamp\"},\"indexes\":[[\"t\"]]}", "indexes", "cannot be indexed");
  expect_shape("{\"key\":[\"a\"],\"columns\":{\"a\":\"text\",\"b\":\"int\"},\"indexes\":[[\"b\"],[\"b\",\"a\"]]}", NULL, NULL);
}

// ---- values

// What becomes of one row: the reason, or NULL when it was taken.
static char *row_try(const struct place *p, const char *json) {
  struct lookup_build build;
  struct error e = {0};
  struct buffer row = {0};
  assert_true(lookup_build_open(&build, &p->shape, ":memory:", 1 << 20, &e));
  help_msgpack(json, &row);
  bool taken = lookup_build_row(&build, row.at, row.at + row.length, &e);
  if (!taken) assert_int_equal(e.class, ERROR_DATA);
  buffer_free(&row);
  lookup_build_free(&build);
  return taken ? NULL : memory_text(e.text);
}

static void values_must_fit(void **state) {
  const struct place *p = *state;
  static const struct {
    const char *row, *reason; // NULL: taken
  } tries[] = {
      {"{\"id\":\"x\"}", NULL},
      {"{\"id\":7,\"n\":\"12\",\"d\":3,\"t\":\"2025-01-02\",\"b\":\"yes\",\"j\":[1],\"y\":\"abc\",\"a\":{\"b\":[5]}}", NULL},
      {"{\"id\":null}", "row 1: column id: null is not allowed"},
      {"{}", "row 1: column id: null is not allowed"},
      {"{\"id\":\"x\",\"n\":2147483648}", "row 1: column n: 2147483648 is not an int"},
      {"{\"id\":\"x\",\"n\":1.5}", "row 1: column n: 1.5 is not an int"},
      {"{\"id\":\"x\",\"d\":\"inf\"}", "row 1: column d: 'inf' is not a double"},
      {"{\"id\":\"x\",\"t\":\"2025-02-30\"}", "row 1: column t: '2025-02-30' is not a timestamp"},
      {"{\"id\":\"x\",\"b\":2}", "row 1: column b: 2 is not a boolean"},
      {"{\"id\":\"x\",\"j\":\"[1\"}", "row 1: column j: '[1' is not a json"},
      {"{\"id\":\"x\",\"y\":7}", "row 1: column y: 7 is not a bytes"},
      {"[1]", "row 1: a row is an object; this is another value"},
      {"\"text\"", "row 1: a row is an object; this is another value"},
  };
  for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
    char *reason = row_try(p, tries[i].row);
    if (!tries[i].reason != !reason) fail_msg("%s: %s", tries[i].row, reason ? reason : "was taken");
    if (reason) assert_string_equal(reason, tries[i].reason);
    free(reason);
  }
}

static void a_table_has_its_bound(void **state) {
  const struct place *p = *state;
  struct lookup_build build;
  struct error e = {0};
  struct buffer row = {0};
  help_msgpack("{\"id\":\"0123456789012345678901234567890123456789\"}", &row);
  assert_true(lookup_build_open(&build, &p->shape, ":memory:", 64 << 10, &e));
  uint64_t rows = 0;
  while (rows < 100000 && lookup_build_row(&build, row.at, row.at + row.length, &e)) rows++;
  assert_in_range(rows, 100, 5000);
  assert_string_equal(e.code, "too-large");
  assert_non_null(strstr(e.text, "max_bytes"));
  lookup_build_free(&build);
  buffer_free(&row);
}

static bool no_more(void *context) {
  (void)context;
  return false;
}

static void a_stop_is_no_error(void **state) {
  const struct place *p = *state;
  struct lookup_build build;
  struct error e = {0};
  struct buffer row = {0};
  help_msgpack("{\"id\":\"x\"}", &row);
  assert_true(lookup_build_open(&build, &p->shape, ":memory:", 1 << 20, &e));
  build.turn = no_more;
  uint64_t rows = 0;
  while (rows < 10000 && lookup_build_row(&build, row.at, row.at + row.length, &e)) rows++;
  assert_in_range(rows, 1, 9999);
  assert_false(error_is_set(&e));
  lookup_build_free(&build);
  buffer_free(&row);
}

// ---- files

static void file_make(const struct place *p, uint64_t generation, uint64_t fingerprint, const char *etag) {
  struct lookup_build build;
  struct error e = {0};
  struct buffer row = {0};
  char *building = lookup_store_building(p->state, "l");
  struct lookup_note note = {.fingerprint = fingerprint, .rows = generation, .loaded = 5, .etag = etag ? memory_text(etag) : NULL};
  assert_true(lookup_build_open(&build, &p->shape, building, 1 << 20, &e));
  help_msgpack("{\"id\":\"x\",\"t\":\"2025-01-01\"}", &row);
  assert_true(lookup_build_row(&build, row.at, row.at + row.length, &e));
  assert_true(lookup_note_write(build.db, &note, &e));
  assert_true(lookup_build_end(&build, &note.bytes, &e));
  lookup_build_free(&build);
  assert_true(lookup_store_finish(p->state, "l", building, generation, &e));
  assert_int_not_equal(access(building, F_OK), 0);
  lookup_note_free(&note);
  buffer_free(&row);
  free(building);
}

static void expect_found(const struct place *p, uint64_t fingerprint, uint64_t generation, uint64_t highest) {
  struct lookup_note note;
  struct error e = {0};
  uint64_t found = 99, most = 99;
  assert_true(lookup_store_find(p->state, "l", fingerprint, &found, &most, &note, &e));
  assert_int_equal(found, generation);
  assert_int_equal(most, highest);
  assert_int_equal(note.rows, generation);
  lookup_note_free(&note);
}

static void file_damage(const struct place *p, uint64_t generation) {
  char *path = lookup_path(p->state, "l", generation);
  FILE *file = fopen(path, "r+b");
  assert_non_null(file);
  assert_int_equal(fseek(file, 4096, SEEK_SET), 0);
  for (int i = 0; i < 4096; i++) fputc(0xff, file);
  assert_int_equal(fclose(file), 0);
  free(path);
}

static void the_newest_good_file_is_found(void **state) {
  const struct place *p = *state;
  expect_found(p, 7, 0, 0); // makes the folder
  file_make(p, 3, 7, NULL);
  file_make(p, 9, 7, "\"tag\"");
  file_make(p, 10, 7, NULL);
  expect_found(p, 7, 10, 10);
  expect_found(p, 8, 0, 10);
  file_damage(p, 10);
  expect_found(p, 7, 9, 10);
  lookup_store_clean(p->state, "l", 9);
  char *old = lookup_path(p->state, "l", 3), *newest = lookup_path(p->state, "l", 10);
  assert_int_not_equal(access(old, F_OK), 0);
  assert_int_equal(access(newest, F_OK), 0);
  assert_int_equal(truncate(newest, 100), 0);
  expect_found(p, 7, 9, 10);
  free(old);
  free(newest);
}

static void other_files_are_left_alone(void **state) {
  const struct place *p = *state;
  static const char *const names[] = {"l.x.db", "l.0.db", "l.1x.db", "ll.4.db", "l.4", "l.99999999999999999999.db", "l.-1.db"};
  expect_found(p, 7, 0, 0);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char *path = memory_print("%s/lookups/%s", p->state, names[i]);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    free(path);
  }
  expect_found(p, 7, 0, 0);
  file_make(p, 1, 7, NULL);
  lookup_store_clean(p->state, "l", 100);
  expect_found(p, 7, 0, 0);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char *path = memory_print("%s/lookups/%s", p->state, names[i]);
    assert_int_equal(access(path, F_OK), 0);
    free(path);
  }
}

static void what_stands_in_a_file_comes_back(void **state) {
  const struct place *p = *state;
  struct lookup_note note;
  struct error e = {0};
  uint64_t found, most;
  expect_found(p, 7, 0, 0);
  file_make(p, 2, UINT64_MAX, "\"a'b\"");
  assert_true(lookup_store_find(p->state, "l", UINT64_MAX, &found, &most, &note, &e));
  assert_int_equal(found, 2);
  assert_string_equal(note.etag, "\"a'b\"");
  assert_null(note.modified);
  assert_int_equal(note.loaded, 5);
  assert_in_range(note.bytes, 4096, 1 << 20);
  lookup_note_free(&note);
}

// ---- the kind `file`

static bool go_on(void *context) {
  (void)context;
  return true;
}

static void not_busy(void *context, unsigned seconds, const char *doing) {
  (void)context, (void)seconds, (void)doing;
}

// The number of rows that a file gives, or -1 and the reason.
static int64_t file_rows(const struct place *p, const char *format, const void *bytes, size_t length, struct error *e) {
  char *path = memory_print("%s/rows", p->state);
  char *json = memory_print("{\"path\":\"%s\",\"format\":\"%s\",\"records\":\"\",\"max_document\":100000}", path, format);
  FILE *file = fopen(path, "wb");
  struct buffer settings = {0};
  struct lookup_build build;
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, length, file), length);
  assert_int_equal(fclose(file), 0);
  assert_true(lookup_build_open(&build, &p->shape, ":memory:", 64 << 20, e));
  struct lookup_load load = {.settings = help_settings(json, &settings), .build = &build, .turn = go_on, .busy = not_busy};
  enum lookup_outcome outcome = lookup_file_load(&load, e);
  int64_t rows = outcome == LOOKUP_LOAD_DONE ? (int64_t)build.rows : -1;
  lookup_build_free(&build);
  buffer_free(&settings);
  free(json);
  free(path);
  return rows;
}

static void expect_rows(const struct place *p, const char *format, const char *text, int64_t rows, const char *reason) {
  struct error e = {0};
  assert_int_equal(file_rows(p, format, text, strlen(text), &e), rows);
  if (reason && !strstr(e.text, reason)) assert_string_equal(e.text, reason);
}

static void files_give_rows(void **state) {
  const struct place *p = *state;
  expect_rows(p, "ndjson", "", 0, NULL);
  expect_rows(p, "ndjson", "{\"id\":1}\n\r\n{\"id\":2}", 2, NULL);
  expect_rows(p, "ndjson", "{\"id\":1}\n{\"id\":", -1, "row 2: broken JSON");
  expect_rows(p, "ndjson", "{\"id\":1} {\"id\":2}\n", -1, "row 1");
  expect_rows(p, "json", "[{\"id\":1},{\"id\":2},{\"id\":3}]", 3, NULL);
  expect_rows(p, "json", "\xef\xbb\xbf[]", 0, NULL);
  expect_rows(p, "json", "", -1, "broken JSON");
  expect_rows(p, "json", "[{\"id\":1},", -1, "broken JSON");
  expect_rows(p, "msgpack", "\x81\xa2id\x01\x81\xa2id\xa1x", 2, NULL);
  expect_rows(p, "msgpack", "\x81\xa2id\x01\x81\xa2id", -1, "no msgpack, or half a value, at byte 5");
  expect_rows(p, "msgpack", "\xc1", -1, "at byte 0");
  expect_rows(p, "msgpack", "\x81\xa2id\xa1\xff", -1, "not UTF-8");
}

// Values that end somewhere in a block.
static void long_files_are_read_in_blocks(void **state) {
  const struct place *p = *state;
  struct buffer lines = {0}, values = {0}, document = {0};
  struct error e = {0};
  for (int i = 0; i < 30000; i++) {
    buffer_print(&lines, "{\"id\":\"key %d\",\"n\":%d}\n", i, i);
    buffer_add(&values, "\x82\xa2id\xa4name\xa1n\x07", 12);
    buffer_print(&document, "%s{\"id\":%d}", i ? "," : "[", i);
  }
  buffer_byte(&document, ']');
  assert_int_equal(file_rows(p, "ndjson", lines.at, lines.length, &e), 30000);
  assert_int_equal(file_rows(p, "msgpack", values.at, values.length, &e), 30000);
  assert_int_equal(file_rows(p, "json", document.at, document.length, &e), -1);
  assert_non_null(strstr(e.text, "max_document"));
  buffer_free(&lines);
  buffer_free(&values);
  buffer_free(&document);
}

static void what_is_no_file_is_an_outage(void **state) {
  const struct place *p = *state;
  const char *const paths[] = {"/tmp/weir-there-is-none", "/tmp", "/dev/null"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    char *json = memory_print("{\"path\":\"%s\"}", paths[i]);
    struct buffer settings = {0};
    struct lookup_build build;
    struct error e = {0};
    assert_true(lookup_build_open(&build, &p->shape, ":memory:", 1 << 20, &e));
    struct lookup_load load = {.settings = help_settings(json, &settings), .build = &build, .turn = go_on, .busy = not_busy};
    assert_int_equal(lookup_file_load(&load, &e), LOOKUP_LOAD_FAILED);
    assert_int_equal(e.class, ERROR_OUTAGE);
    lookup_build_free(&build);
    buffer_free(&settings);
    free(json);
  }
}

int main(void) {
#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_open, place_close)
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shapes_are_checked),
      IN_PLACE(values_must_fit),
      IN_PLACE(a_table_has_its_bound),
      IN_PLACE(a_stop_is_no_error),
      IN_PLACE(the_newest_good_file_is_found),
      IN_PLACE(other_files_are_left_alone),
      IN_PLACE(what_stands_in_a_file_comes_back),
      IN_PLACE(files_give_rows),
      IN_PLACE(long_files_are_read_in_blocks),
      IN_PLACE(what_is_no_file_is_an_outage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
