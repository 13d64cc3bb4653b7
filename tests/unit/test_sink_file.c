// The file sink: lines of JSON, exactly once whatever dies when; what does not belong to a commit is cut off.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sink_harness.h"
#include "workers/sinks/file_path.h"

struct place {
  struct rig r;
  char *folder, *path, *settings;
  uint32_t s;
};

static void place_open(struct place *p) {
  p->folder = test_folder();
  p->path = memory_print("%s/out.ndjson", p->folder);
  p->settings = memory_print("{\"path\":\"%s\",\"rows\":5}", p->path);
  rig_open(&p->r, p->folder);
}

static void place_again(struct place *p) {
  rig_close(&p->r);
  rig_open(&p->r, p->folder);
}

static void place_close(struct place *p) {
  rig_close(&p->r);
  test_folder_remove(p->folder);
  free(p->path);
  free(p->settings);
}

static uint64_t place_start(struct place *p) {
  rig_start(&p->r, "file", p->settings);
  return stream_begin(&p->r, "", &p->s);
}

static void send_rows(struct place *p, uint64_t from, uint64_t to) {
  char text[64];
  for (uint64_t i = from; i <= to; i++) {
    snprintf(text, sizeof text, "{\"id\":%llu}", (unsigned long long)i);
    send_row(&p->r, p->s, i, text);
  }
  ring_publish(&p->r.writer);
}

// The file must hold {"id":FROM} .. {"id":TO}, one a line, and nothing else.
static void expect_lines(const struct place *p, int from, int to) {
  FILE *f = fopen(p->path, "r");
  char line[256], expected[64];
  assert_non_null(f);
  for (int i = from; i <= to; i++) {
    snprintf(expected, sizeof expected, "{\"id\":%d}\n", i);
    assert_non_null(fgets(line, sizeof line, f));
    assert_string_equal(line, expected);
  }
  assert_null(fgets(line, sizeof line, f));
  fclose(f);
}

static void put_bytes(const struct place *p, const char *text) {
  FILE *f = fopen(p->path, "a");
  assert_non_null(f);
  assert_true(fputs(text, f) >= 0);
  assert_int_equal(fclose(f), 0);
}

static void expect_store(const struct place *p, const char *store, const char *sql, const char *expected) {
  char *path = memory_print("%s/%s", p->folder, store);
  expect_sqlite(path, sql, expected);
  free(path);
}

static void test_rows_and_letters(void **state) {
  (void)state;
  struct place p;
  place_open(&p);
  place_start(&p);
  send_row(&p.r, p.s, 1, "{\"a\":\"x\\n\",\"b\":[1,{\"c\":null}]}");
  send_dead(&p.r, p.s, 2, RIG_DEAD_NODE, "why", "data");
  send_row(&p.r, p.s, 3, "{\"a\":2}");
  send_end(&p.r);
  assert_int_equal(rig_finish(&p.r), WORKER_EXIT_DONE);
  FILE *f = fopen(p.path, "r");
  char text[256] = "";
  assert_non_null(f);
  assert_true(fread(text, 1, sizeof text - 1, f) > 0);
  fclose(f);
  assert_string_equal(text, "{\"a\":\"x\\n\",\"b\":[1,{\"c\":null}]}\n{\"a\":2}\n");
  expect_store(&p, "dead.db", "SELECT node, position, reason FROM weir_dead", "cleaned|2|why");
  expect_store(&p, "sinks.db", "SELECT position, rows FROM weir_positions", "3|2");
  expect_store(&p, "sinks.db", "SELECT length FROM weir_files", "39");
  place_close(&p);
}

static void test_tombstones_are_dead_letters(void **state) {
  (void)state;
  struct place p;
  place_open(&p);
  place_start(&p);
  send_row(&p.r, p.s, 1, "{\"id\":1}");
  send_tombstone(&p.r, p.s, 2, "{\"id\":1}");
  send_end(&p.r);
  assert_int_equal(rig_finish(&p.r), WORKER_EXIT_DONE);
  expect_store(&p, "dead.db", "SELECT node, position, code, format FROM weir_dead", "out|2|tombstone|tombstone");
  expect_store(&p, "sinks.db", "SELECT position, rows, dead FROM weir_positions", "2|1|1");
  place_close(&p);
}

static void test_uncommitted_bytes_are_cut(void **state) {
  (void)state;
  struct place p;
  place_open(&p);
  place_start(&p);
  send_rows(&p, 1, 3);
  send_end(&p.r);
  assert_int_equal(rig_finish(&p.r), WORKER_EXIT_DONE);
  put_bytes(&p, "{\"id\":4}\n{\"id\":5}\n{\"id\":6}\n{\"id\":7}\n{\"id\":8"); // written before a crash, never committed; more than comes
  place_again(&p);
  assert_int_equal(place_start(&p), 3);
  send_rows(&p, 4, 6);
  send_end(&p.r);
  assert_int_equal(rig_finish(&p.r), WORKER_EXIT_DONE);
  expect_lines(&p, 1, 6);
  place_close(&p);
}

static void test_a_file_that_was_there_stays(void **state) {
  (void)state;
  struct place p;
  place_open(&p);
  put_bytes(&p, "{\"id\":0}\n");
  place_start(&p);
  send_rows(&p, 1, 3);
  send_end(&p.r);
  assert_int_equal(rig_finish(&p.r), WORKER_EXIT_DONE);
  expect_lines(&p, 0, 3);
  place_close(&p);
}

static void test_removed_file_is_filled_again(void **state) {
  (void)state;
  struct place p;
  place_open(&p);
  place_start(&p);
  send_rows(&p, 1, 3);
  stream_until(&p.r, p.s, 3);
  assert_int_equal(unlink(p.path), 0); // while it is in use
  send_rows(&p, 4, 4);
  assert_int_equal(rig_finish(&p.r), WORKER_EXIT_REWIND);
  place_again(&p);
  assert_int_equal(place_start(&p), 0);
  send_rows(&p, 1, 4);
  send_end(&p.r);
  assert_int_equal(rig_finish(&p.r), WORKER_EXIT_DONE);
  expect_lines(&p, 1, 4);
  place_close(&p);
}

static void test_shorter_file_asks(void **state) {
  (void)state;
  struct place p;
  char text[SLOT_TEXT];
  place_open(&p);
  place_start(&p);
  send_rows(&p, 1, 3);
  send_end(&p.r);
  assert_int_equal(rig_finish(&p.r), WORKER_EXIT_DONE);
  assert_int_equal(truncate(p.path, 9), 0);
  place_again(&p);
  rig_start(&p.r, "file", p.settings);
  assert_int_equal(rig_finish(&p.r), WORKER_EXIT_OPERATOR);
  slot_error_get(&p.r.slot, text);
  assert_non_null(strstr(text, "27 were committed"));
  place_close(&p);
}

static void test_killed_and_followed(void **state) {
  (void)state;
  struct place p;
  place_open(&p);
  place_start(&p);
  uint64_t next = 1;
  for (int life = 0; life < 10; life++) {
    send_rows(&p, next, next + 99);
    next += 100;
    if (life % 2) stream_until(&p.r, p.s, next - 50);
    rig_kill(&p.r);
    rig_start(&p.r, "file", p.settings);
  }
  send_end(&p.r);
  assert_int_equal(rig_finish(&p.r), WORKER_EXIT_DONE);
  expect_lines(&p, 1, 1000);
  assert_int_equal(rig_counter(&p.r, COUNT_OUT), 1000);
  assert_int_equal(rig_counter(&p.r, COUNT_IN), 1000);
  place_close(&p);
}

#ifdef WEIR_CRASH_POINTS
static void test_dies_at_every_step(void **state) {
  (void)state;
  static const char *const points[] = {"sink.before_fence",  "sink.file_written", "sink.after_rows",   "sink.after_dead",
                                       "sink.before_commit", "sink.after_commit", "sink.after_release"};
  for (size_t i = 0; i < 3 * sizeof points / sizeof points[0]; i++) {
    struct place p;
    place_open(&p);
    char *crash = memory_print("%s:%zu", points[i / 3], i % 3 + 1);
    p.r.crash = crash;
    place_start(&p);
    send_rows(&p, 1, 30);
    send_end(&p.r);
    assert_int_equal(rig_finish(&p.r), 128 + SIGKILL);
    rig_start(&p.r, "file", p.settings);
    assert_int_equal(rig_finish(&p.r), WORKER_EXIT_DONE);
    expect_lines(&p, 1, 30);
    assert_int_equal(rig_counter(&p.r, COUNT_OUT), 30);
    free(crash);
    place_close(&p);
  }
}
#define DIES_AT_EVERY_STEP cmocka_unit_test(test_dies_at_every_step),
#else
#define DIES_AT_EVERY_STEP // crash points are in the test build only (V=crash)
#endif

static void expect_path(const char *path, unsigned lane, unsigned lanes, const char *expected) {
  uint8_t bytes[256];
  struct error e = {0};
  struct msgpack_writer w = {.at = bytes, .end = bytes + sizeof bytes};
  msgpack_write_map(&w, 1);
  put_text(&w, "path", path);
  char *made = file_sink_path((struct job_value){.at = bytes, .end = w.at}, lane, lanes, &e);
  if (!expected)
    assert_null(made);
  else
    assert_string_equal(made, expected);
  free(made);
}

static void test_one_file_per_lane(void **state) {
  (void)state;
  expect_path("out.ndjson", 0, 1, "out.ndjson");
  expect_path("out.ndjson", 2, 3, "out.2.ndjson");
  expect_path("a.b/out", 0, 2, "a.b/out.0");
  expect_path("a/.hidden", 1, 2, "a/.hidden.1");
  expect_path("x-{lane}.json", 0, 1, "x-0.json");
  expect_path("x-{lane}.json", 7, 8, "x-7.json");
  expect_path("folder/", 0, 1, NULL);
  expect_path("", 0, 1, NULL);
}

int main(int argc, char **argv) {
  worker_or_test(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows_and_letters),
      cmocka_unit_test(test_tombstones_are_dead_letters),
      cmocka_unit_test(test_uncommitted_bytes_are_cut),
      cmocka_unit_test(test_a_file_that_was_there_stays),
      cmocka_unit_test(test_removed_file_is_filled_again),
      cmocka_unit_test(test_shorter_file_asks),
      cmocka_unit_test(test_killed_and_followed),
      DIES_AT_EVERY_STEP // brings its own comma
          cmocka_unit_test(test_one_file_per_lane),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
