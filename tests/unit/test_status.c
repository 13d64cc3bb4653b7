// What an instance says of itself (supervisor/status.h, tally.h): numbers that its workers wrote into their slots, read back through JSON.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/job.h"
#include "supervisor/instance.h"
#include "supervisor/json_read.h"
#include "supervisor/lane.h"
#include "supervisor/status.h"
#include "supervisor/tally.h"

static const char pipeline[] = "pipeline: numbers\n"
                               "sources:\n"
                               "  lines: {type: file, path: [\"a.ndjson\", \"b.ndjson\"], lanes: 2}\n"
                               "transforms:\n"
                               "  doubled: {sql: \"SELECT n, n * 2 AS twice FROM lines\"}\n"
                               "sinks:\n"
                               "  out: {from: doubled, type: file, path: \"out.ndjson\"}\n"
                               "  raw: {from: lines, type: file, path: \"raw.ndjson\"}\n";

struct fixture {
  char folder[64];
  struct instance i;
  struct buffer json, packed;
  struct job_value root;
};

static void file_put(const char *folder, const char *name, const char *text) {
  char *path = memory_print("%s/%s", folder, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  fclose(file);
  free(path);
}

static int setup(void **state) {
  struct fixture *f = memory_get(sizeof *f);
  struct error e = {0};
  strcpy(f->folder, "/tmp/weir-status-XXXXXX");
  if (!mkdtemp(f->folder)) return -1;
  file_put(f->folder, "a.ndjson", "{\"n\": 1}\n");
  file_put(f->folder, "b.ndjson", "{\"n\": 2}\n");
  file_put(f->folder, "p.yaml", pipeline);
  if (chdir(f->folder) != 0) return -1;
  struct plan_report report;
  struct plan_options options = {.file = "p.yaml"};
  f->i = (struct instance){.started_ns = clock_monotonic_ns(), .plan = plan_make(&options, &report)};
  if (!f->i.plan) {
    struct buffer out = {0};
    plan_report_print(&report, "p.yaml", pipeline, false, &out);
    print_error("%s", buffer_cstring(&out));
    return -1;
  }
  plan_report_free(&report);
  f->i.folder.path = memory_text(f->folder);
  if (!lanes_open(&f->i, &e)) return -1;
  *state = f;
  return 0;
}

static int teardown(void **state) {
  struct fixture *f = *state;
  char command[128];
  lanes_close(&f->i);
  plan_free(f->i.plan);
  free(f->i.folder.path);
  buffer_free(&f->json);
  buffer_free(&f->packed);
  snprintf(command, sizeof command, "rm -rf %s", f->folder);
  free(f);
  return system(command) == 0 ? 0 : -1;
}

static struct seat *seat_named(struct fixture *f, const char *name) {
  for (size_t l = 0; l < f->i.lane_count; l++)
    for (size_t s = 0; s < f->i.lanes[l].seat_count; s++)
      if (strcmp(f->i.lanes[l].seats[s].name, name) == 0) return &f->i.lanes[l].seats[s];
  fail_msg("no seat %s", name);
  return NULL;
}

// The worker's side of a seat's slot.
static void worker_says(struct seat *seat, enum slot_state slot_state, const uint64_t *counters, const char *doing, const char *error) {
  struct slot s;
  assert_int_equal(slot_attach(&s, seat->slot_fd, false), 0);
  slot_state_set(&s, slot_state);
  slot_counters_set(&s, counters);
  slot_doing_set(&s, doing);
  slot_error_set(&s, error);
  slot_position_set(&s, 18446744073709551615u);
  slot_oldest_set(&s, (uint64_t)(clock_micros() - 90000000) * 1000);
  slot_detach(&s);
}

static struct job_value look(struct fixture *f, void print(const struct instance *, struct buffer *)) {
  buffer_clear(&f->json);
  print(&f->i, &f->json);
  assert_true(json_read(&f->json, &f->packed, &f->root));
  return job_get(f->root, "nodes");
}

static struct job_value node_of(struct job_value nodes, const char *name, int64_t lane) {
  struct job_value node;
  for (struct job_walk walk = job_walk_start(nodes); job_walk_next(&walk, NULL, &node);) {
    char *found = job_text(node, "name", "");
    bool is = strcmp(found, name) == 0 && job_int(node, "lane", -1) == lane;
    free(found);
    if (is) return node;
  }
  fail_msg("no node %s in lane %lld", name, (long long)lane);
  return (struct job_value){0};
}

static void text_is(struct job_value node, const char *key, const char *expected) {
  char *text = job_text(node, key, NULL);
  if (!expected)
    assert_null(text);
  else
    assert_string_equal(text, expected);
  free(text);
}

static const uint64_t some[SLOT_COUNTERS] = {
    [COUNT_IN] = 10, [COUNT_WITH_ROWS] = 7, [COUNT_FILTERED] = 2,   [COUNT_DEAD_RECORDS] = 1, [COUNT_ROWS_MADE] = 14,
    [COUNT_OUT] = 9, [COUNT_DEAD_ROWS] = 3, [COUNT_SUPERSEDED] = 2, [COUNT_BYTES_IN] = 1000,  [COUNT_IGNORED_FIELDS] = 1234};

static void test_a_worker_is_shown_with_what_it_wrote(void **state) {
  struct fixture *f = *state;
  struct seat *seat = seat_named(f, "doubled/1");
  seat->pid = 4711;
  seat->state = SEAT_RUNNING;
  seat->spawned = 3;
  worker_says(seat, SLOT_WAITING, some, "waiting for \"nothing\"\n", "a bad thing\x1b[2J");
  struct job_value node = node_of(look(f, status_json), "doubled", 1);
  seat->pid = 0;
  text_is(node, "kind", "sql");
  text_is(node, "role", "transformer");
  text_is(node, "state", "waiting");
  text_is(node, "doing", "waiting for \"nothing\" ");
  text_is(node, "last_error", "a bad thing [2J");
  text_is(node, "edge", "lines");
  assert_int_equal(job_int(node, "pid", 0), 4711);
  assert_int_equal(job_int(node, "restarts", 0), 2);
  assert_int_equal(job_int(node, "in", 0), 10);
  assert_int_equal(job_int(node, "out", 0), 9);
  assert_int_equal(job_int(node, "filtered", 0), 2);
  assert_int_equal(job_int(node, "superseded", 0), 2);
  assert_int_equal(job_int(node, "dead", 0), 3);
  assert_int_equal(job_int(node, "late", -1), 0);
  assert_int_equal(job_int(node, "ignored_fields", -1), 1234);
  assert_int_equal(job_int(node, "text_numbers", -1), 0);
  text_is(node, "position", "18446744073709551615");
  assert_true(job_double(node, "lag_s", 0) >= 90);
}

static void test_a_worker_that_is_not_there_is_shown_as_such(void **state) {
  struct fixture *f = *state;
  uint64_t none[SLOT_COUNTERS] = {0};
  worker_says(seat_named(f, "out/0"), SLOT_RUNNING, none, "storing", "");
  struct job_value node = node_of(look(f, status_json), "out", 0);
  assert_false(job_has(job_get(node, "pid")));
  text_is(node, "state", "starting");
  text_is(node, "doing", NULL);
  text_is(node, "last_error", NULL);
  seat_named(f, "out/0")->state = SEAT_ENDED;
  text_is(node_of(look(f, status_json), "out", 0), "state", "stopped");
  seat_named(f, "out/0")->failed = true;
  text_is(node_of(look(f, status_json), "out", 0), "state", "failed");
}

static void test_every_worker_of_every_lane_is_there(void **state) {
  struct fixture *f = *state;
  struct job_value nodes = look(f, status_json);
  for (int lane = 0; lane < 2; lane++) {
    node_of(nodes, "lines", lane);
    node_of(nodes, "doubled", lane);
    node_of(nodes, "out", lane);
    node_of(nodes, "raw", lane);
  }
  text_is(f->root, "pipeline", "numbers");
  text_is(f->root, "state", "starting");
  f->i.ready = true;
  look(f, status_json);
  text_is(f->root, "state", "running");
  f->i.stop.phase = STOP_DRAINING;
  look(f, status_json);
  text_is(f->root, "state", "stopping");
}

static void test_the_fill_is_that_of_the_ring(void **state) {
  struct fixture *f = *state;
  struct seat *source = seat_named(f, "lines/0");
  const int bells[RING_READERS_MAX] = {-1, -1, -1, -1, -1, -1, -1, -1};
  struct ring_writer w;
  struct ring_reader r;
  assert_int_equal(ring_writer_attach(&w, source->ring, bells), 0);
  uint32_t size = (uint32_t)(w.capacity / 8 - RING_FRAME);
  for (int i = 0; i < 2; i++) {
    assert_non_null(ring_reserve(&w, size));
    ring_commit(&w, size);
    ring_group_end(&w);
  }
  ring_publish(&w);
  struct job_value nodes = look(f, status_json);
  assert_true(job_double(node_of(nodes, "doubled", 0), "ring_fill", 0) == 0.25);
  assert_true(job_double(node_of(nodes, "lines", 0), "ring_fill", 0) == 0.25);
  assert_true(job_double(node_of(nodes, "doubled", 1), "ring_fill", 1) == 0);
  // One reader takes a record, the other one nothing: the source shows the slower one.
  struct ring_view view = {0};
  unsigned reader = seat_named(f, "doubled/0")->plan->reader;
  assert_int_equal(ring_reader_attach(&r, source->ring, reader, -1), 0);
  assert_true(ring_next(&r, &view));
  ring_release(&r, view.end);
  nodes = look(f, status_json);
  assert_true(job_double(node_of(nodes, "doubled", 0), "ring_fill", 0) == 0.125);
  assert_true(job_double(node_of(nodes, "raw", 0), "ring_fill", 0) == 0.25);
  assert_true(job_double(node_of(nodes, "lines", 0), "ring_fill", 0) == 0.25);
  ring_reader_detach(&r);
  ring_writer_detach(&w);
}

static void test_the_account_sums_the_lanes(void **state) {
  struct fixture *f = *state;
  worker_says(seat_named(f, "doubled/0"), SLOT_IDLE, some, "", "");
  worker_says(seat_named(f, "doubled/1"), SLOT_IDLE, some, "", "");
  seat_named(f, "doubled/0")->spawned = 3;
  seat_named(f, "doubled/1")->spawned = 2;
  struct job_value node = node_of(look(f, status_account_json), "doubled", -1);
  assert_int_equal(job_int(node, "in", 0), 20);
  assert_int_equal(job_int(node, "dead", 0), 6);
  assert_int_equal(job_int(node, "restarts", 0), 3);
}

static void test_the_invariants_are_checked(void **state) {
  (void)state;
  struct tally t = {0};
  assert_true(tally_holds(&t));
  memcpy(t.counters, some, sizeof some);
  assert_true(tally_holds(&t));
  static const enum slot_counter each[] = {COUNT_IN,  COUNT_WITH_ROWS, COUNT_FILTERED,   COUNT_DEAD_RECORDS, COUNT_ROWS_MADE,
                                           COUNT_OUT, COUNT_DEAD_ROWS, COUNT_SUPERSEDED, COUNT_LATE};
  for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
    memcpy(t.counters, some, sizeof some);
    t.counters[each[i]]++;
    assert_false(tally_holds(&t));
  }
}

static void test_the_table_shows_every_node_in_its_columns(void **state) {
  struct fixture *f = *state;
  struct buffer table = {0};
  uint64_t many[SLOT_COUNTERS] = {[COUNT_IN] = 1234567, [COUNT_WITH_ROWS] = 1234567, [COUNT_ROWS_MADE] = 999, [COUNT_OUT] = 999};
  struct seat *seat = seat_named(f, "raw/0");
  worker_says(seat, SLOT_IDLE, many, "waiting for the server", "no route");
  seat->pid = 123456;
  look(f, status_json);
  seat->pid = 0;
  assert_true(status_table(&f->json, &table));
  const char *text = buffer_cstring(&table);
  assert_non_null(strstr(text, "pipeline numbers: starting"));
  assert_non_null(strstr(text, "1,234,567"));
  assert_non_null(strstr(text, " 123456 "));
  assert_non_null(strstr(text, "raw/0: waiting for the server\n"));
  assert_non_null(strstr(text, "raw/0: last error: no route\n"));
  buffer_clear(&table);
  look(f, status_account_json);
  assert_true(status_table(&f->json, &table));
  text = buffer_cstring(&table);
  assert_non_null(strstr(text, "SUPERSEDED"));
  // Every line of the account is as wide as its head.
  size_t width = strcspn(text, "\n");
  for (const char *line = text; *line; line += width + 1) assert_int_equal(strcspn(line, "\n"), width);
  buffer_free(&table);
}

static void test_an_answer_that_is_no_status_is_none(void **state) {
  (void)state;
  static const char *const texts[] = {"", "x", "[]", "{}", "{\"error\":\"no\"}", "{\"nodes\":null}"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct buffer answer = {0}, out = {0};
    buffer_text(&answer, texts[i]);
    assert_false(status_table(&answer, &out));
    buffer_free(&answer);
    buffer_free(&out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_a_worker_is_shown_with_what_it_wrote, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_worker_that_is_not_there_is_shown_as_such, setup, teardown),
      cmocka_unit_test_setup_teardown(test_every_worker_of_every_lane_is_there, setup, teardown),
      cmocka_unit_test_setup_teardown(test_the_fill_is_that_of_the_ring, setup, teardown),
      cmocka_unit_test_setup_teardown(test_the_account_sums_the_lanes, setup, teardown),
      cmocka_unit_test(test_the_invariants_are_checked),
      cmocka_unit_test_setup_teardown(test_the_table_shows_every_node_in_its_columns, setup, teardown),
      cmocka_unit_test(test_an_answer_that_is_no_status_is_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
