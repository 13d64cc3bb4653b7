// What every table target must do alike, told once and run against each: SQLite files by test_sink_sqlite.c, a PostgreSQL server by
// test_sink_postgres.c. The SQL here is what both understand.
#pragma once
#include "tests/unit/sink_fences.h"
#include "tests/unit/sink_scene.h"
#include "tests/unit/sink_tombstones.h"

// ---- rows

static void test_append_unnested(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME);
  assert_int_equal(scene_start(&x), 0);
  send_rows(&x, 1, 3);
  send_part(&x.r, x.s, 4, 0, false, "{\"id\":4,\"name\":\"a\"}");
  send_part(&x.r, x.s, 4, 1, false, "{\"name\":null,\"id\":5}");
  send_part(&x.r, x.s, 4, 2, true, "{\"id\":6}");
  send_progress(&x.r, x.s, 11);
  end_well(&x);
  db_expect("SELECT id, name FROM t ORDER BY id", "1|n1\n2|n2\n3|n3\n4|a\n5|null\n6|null");
  db_expect(
      "SELECT pipeline, sink, edge, source, partition, position, start, identity, fingerprint, rows, superseded, dead FROM weir_positions",
      "test|out|input|input||11|0|id-1|f1|6|0|0");
  expect_account(&x.r, 6, 0, 0);
  scene_close(&x);
}

static void test_upsert_last_wins(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME UPSERT);
  scene_start(&x);
  send_row(&x.r, x.s, 1, "{\"id\":7,\"name\":\"first\"}");
  send_row(&x.r, x.s, 2, "{\"id\":3,\"name\":\"only\"}");
  send_row(&x.r, x.s, 3, "{\"id\":\"7\",\"name\":\"second\"}");
  send_row(&x.r, x.s, 4, "{\"id\":7,\"name\":\"third\"}");
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 4);
  uint64_t superseded = rig_counter(&x.r, COUNT_SUPERSEDED);
  send_row(&x.r, x.s, 5, "{\"id\":3,\"name\":\"later\"}");
  end_well(&x);
  db_expect("SELECT id, name FROM t ORDER BY id", "3|later\n7|third");
  assert_true(superseded <= 2); // how many depends on where batches were cut
  expect_account(&x.r, 5 - superseded, 0, superseded);
  scene_close(&x);
}

static void test_many_batches(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME ",\"rows\":17");
  scene_start(&x);
  send_rows(&x, 1, 5000); // more than the ring holds: the sink must give back
  end_well(&x);
  db_expect("SELECT count(*), count(DISTINCT id), sum(id) FROM t", "5000|5000|12502500");
  expect_account(&x.r, 5000, 0, 0);
  scene_close(&x);
}

static void test_table_of_unknown_columns(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, "");
  scene_start(&x);
  send_row(&x.r, x.s, 1, "{\"a\":1,\"b\":\"x\",\"c\":null,\"d\":[1,{\"e\":2}],\"f\":true}");
  end_well(&x);
  db_expect("SELECT a, b, c, d, f FROM t", db_is_sqlite() ? "1.0|x|null|[1,{\"e\":2}]|true" : "1|x|null|[1,{\"e\":2}]|true");
  scene_close(&x);
}

static void test_unknown_fields_are_ignored(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, "");
  db_do("CREATE TABLE t (id bigint, extra text DEFAULT 'd')");
  scene_start(&x);
  send_row(&x.r, x.s, 1, "{\"id\":1,\"new\":5}");
  end_well(&x);
  db_expect("SELECT id, extra FROM t", "1|d");
  expect_account(&x.r, 1, 0, 0);
  scene_close(&x);
}

static void test_evolve_adds_columns(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ",\"evolve\":\"add\"");
  db_do("CREATE TABLE t (id bigint)");
  scene_start(&x);
  send_row(&x.r, x.s, 1, "{\"id\":1}");
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 1);
  send_row(&x.r, x.s, 2, "{\"id\":2,\"size\":null,\"word\":null}");
  send_row(&x.r, x.s, 3, "{\"id\":3,\"size\":1.5,\"word\":\"w\"}");
  end_well(&x);
  db_expect("SELECT id, size, word FROM t ORDER BY id", "1|null|null\n2|null|null\n3|1.5|w");
  scene_close(&x);
}

static void test_records_without_fields(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, "");
  scene_start(&x);
  send_row(&x.r, x.s, 1, "{}");
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 1); // no table can be made of it
  send_row(&x.r, x.s, 2, "{\"id\":2}");
  send_row(&x.r, x.s, 3, "{}");
  send_row(&x.r, x.s, 4, "{\"other\":2}");
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 4);
  send_row(&x.r, x.s, 5, "{\"late\":3}");
  end_well(&x);
  db_expect("SELECT code FROM weir_dead WHERE position IN (1, 3, 5) ORDER BY position", "no-field\nno-field\nno-field");
  uint64_t dead = rig_counter(&x.r, COUNT_DEAD_ROWS); // the fourth may have come with the second, and made a column
  assert_true(dead == 3 || dead == 4);
  expect_account(&x.r, 5 - dead, dead, 0);
  scene_close(&x);
}

static void test_table_made_anew_while_running(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME UPSERT);
  scene_start(&x);
  send_rows(&x, 1, 3);
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 3);
  db_do("DROP TABLE t");
  db_do("CREATE TABLE t (id bigint PRIMARY KEY, name text)");
  send_rows(&x, 4, 4);
  ring_publish(&x.r.writer);
  finish(&x, WORKER_EXIT_REWIND); // the first three are gone with their table
  scene_again(&x);
  assert_int_equal(scene_start(&x), 0);
  send_rows(&x, 1, 4);
  end_well(&x);
  db_expect("SELECT count(*) FROM t", "4");
  scene_close(&x);
}

// ---- dead letters

static void test_values_that_do_not_fit(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_row(&x.r, x.s, 1, "{\"id\":\"nine\",\"name\":\"a\"}");
  send_row(&x.r, x.s, 2, "{\"id\":2,\"name\":\"b\"}");
  send_part(&x.r, x.s, 3, 0, false, "{\"id\":3,\"name\":\"c\"}");
  send_part(&x.r, x.s, 3, 1, true, "{\"id\":1.5,\"name\":\"d\"}");
  end_well(&x);
  db_expect("SELECT id, name FROM t ORDER BY id", "2|b\n3|c");
  db_expect("SELECT pipeline, node, sink, source, partition, identity, position, part, code, column_name, format FROM weir_dead ORDER BY "
            "position",
            "test|out|out|input||id-1|1|0|cast|id|msgpack\ntest|out|out|input||id-1|3|1|cast|id|msgpack");
  db_expect("SELECT rows, dead FROM weir_positions", "2|2");
  expect_account(&x.r, 2, 2, 0);
  scene_close(&x);
}

static void test_rows_that_the_table_refuses(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, "");
  db_do("CREATE TABLE t (id bigint PRIMARY KEY, name text NOT NULL, CONSTRAINT short CHECK (length(name) < 4))");
  scene_start(&x);
  send_row(&x.r, x.s, 1, "{\"id\":1,\"name\":\"ok\"}");
  send_row(&x.r, x.s, 2, "{\"id\":1,\"name\":\"dup\"}");
  send_row(&x.r, x.s, 3, "{\"id\":3,\"name\":\"long one\"}");
  send_row(&x.r, x.s, 4, "{\"id\":4,\"name\":null}");
  send_row(&x.r, x.s, 5, "{\"id\":5,\"name\":\"ok\"}");
  end_well(&x);
  db_expect("SELECT id, name FROM t ORDER BY id", "1|ok\n5|ok");
  db_expect("SELECT position, constraint_name <> '' OR column_name <> '' FROM weir_dead ORDER BY position",
            db_is_sqlite() ? "2|1\n3|1\n4|1" : "2|t\n3|t\n4|t");
  expect_account(&x.r, 2, 3, 0);
  scene_close(&x);
}

static void test_upsert_revives_the_superseded(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, UPSERT ",\"commit_every\":60000,\"rows\":100000");
  db_do("CREATE TABLE t (id bigint PRIMARY KEY, name text CHECK (length(name) < 4))");
  scene_start(&x);
  // All in one batch: published at once.
  send_row(&x.r, x.s, 1, "{\"id\":1,\"name\":\"a\"}");
  send_row(&x.r, x.s, 2, "{\"id\":1,\"name\":\"b\"}");
  send_row(&x.r, x.s, 3, "{\"id\":1,\"name\":\"too long\"}");
  send_row(&x.r, x.s, 4, "{\"id\":2,\"name\":\"too long\"}");
  send_row(&x.r, x.s, 5, "{\"id\":3,\"name\":\"c\"}");
  send_row(&x.r, x.s, 6, "{\"id\":null,\"name\":\"d\"}");
  end_well(&x);
  db_expect("SELECT id, name FROM t ORDER BY id", "1|b\n3|c");
  db_expect("SELECT position, code FROM weir_dead WHERE code = 'null-key'", "6|null-key");
  db_expect("SELECT position FROM weir_dead ORDER BY position", "3\n4\n6");
  expect_account(&x.r, 2, 3, 1);
  scene_close(&x);
}

static void test_letters_from_further_up(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 1);
  send_dead(&x.r, x.s, 2, RIG_DEAD_NODE, "off the globe", "\xff\x00raw");
  send_dead(&x.r, x.s, 3, RIG_DEAD_NODE + 1, "stored by another sink", "x");
  end_well(&x);
  db_expect("SELECT node, sink, position, reason, code, format FROM weir_dead", "cleaned|out|2|off the globe|why|raw");
  db_expect("SELECT position, rows, dead FROM weir_positions", "3|1|0");
  expect_account(&x.r, 1, 0, 0);
  scene_close(&x);
}

// ---- deaths

static void test_killed_and_followed(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME ",\"rows\":7");
  scene_start(&x);
  uint64_t next = 1;
  for (int life = 0; life < 10; life++) {
    send_rows(&x, next, next + 199);
    next += 200;
    ring_publish(&x.r.writer);
    if (life % 2) stream_until(&x.r, x.s, next - 100);
    rig_kill(&x.r);
    rig_start(&x.r, "table", x.settings);
  }
  end_well(&x);
  db_expect("SELECT count(*), count(DISTINCT id), max(id) FROM t", "2000|2000|2000");
  expect_account(&x.r, 2000, 0, 0);
  scene_close(&x);
}

#ifdef WEIR_CRASH_POINTS
static const char *const crash_points[] = {
    "sink.before_start",  "sink.after_start",    "sink.after_answer",  "sink.before_control_release", "sink.before_fence",
    "sink.after_fence",   "sink.after_rows",     "sink.after_dead",    "sink.before_commit",          "sink.after_commit",
    "sink.after_account", "sink.after_feedback", "sink.after_release",
};

static void die_at(const char *point, int time, const char *mode) {
  struct scene x;
  struct feedback_answer a;
  char *crash = memory_print("%s:%d", point, time), *more = memory_print(ID_AND_NAME ",\"rows\":5%s", mode);
  scene_open(&x, more);
  x.r.crash = crash;
  rig_start(&x.r, "table", x.settings);
  x.s = stream_announce(&x.r, "", "id-1", -1);
  words_store(&x.r.source, STREAM_START, 0);
  words_store(&x.r.source, STREAM_START_STATE, 1);
  send_control(&x.r, RECORD_STREAM);
  for (uint64_t i = 1; i <= 20; i++) {
    send_rows(&x, 2 * i, 2 * i);
    send_row(&x.r, x.s, 2 * i + 1, i % 4 ? "{\"id\":0,\"name\":\"z\"}" : "{\"id\":\"bad\"}");
  }
  send_dead(&x.r, x.s, 50, RIG_DEAD_NODE, "why", "data");
  send_end(&x.r);
  int code = rig_finish(&x.r);
  if (code == 128 + SIGKILL) {
    rig_start(&x.r, "table", x.settings);
    code = rig_finish(&x.r);
  } else if (time == 1)
    fail_msg("%s was not passed", point);
  assert_int_equal(code, WORKER_EXIT_DONE);
  assert_true(stream_wait(&x.r, x.s, FEEDBACK_READY, &a));
  assert_int_equal(a.position, 50);
  db_expect("SELECT count(*), count(DISTINCT id), sum(id) FROM t", mode[0] ? "21|21|420" : "35|21|420");
  db_expect("SELECT count(*) FROM weir_dead", "6");
  uint64_t superseded = rig_counter(&x.r, COUNT_SUPERSEDED);
  expect_account(&x.r, 35 - superseded, 5, superseded);
  if (!mode[0]) assert_int_equal(superseded, 0);
  scene_close(&x);
  free(crash);
  free(more);
}

static void test_dies_at_every_step(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof crash_points / sizeof crash_points[0]; i++)
    for (int time = 1; time <= 3; time++) {
      die_at(crash_points[i], time, "");
      die_at(crash_points[i], time, UPSERT);
    }
}
#define DIES_AT_EVERY_STEP cmocka_unit_test(test_dies_at_every_step),
#else
#define DIES_AT_EVERY_STEP // crash points are in the test build only (V=crash)
#endif

#define SCENARIOS                                                                                                                          \
  cmocka_unit_test(test_append_unnested), cmocka_unit_test(test_upsert_last_wins), cmocka_unit_test(test_many_batches),                    \
      cmocka_unit_test(test_table_of_unknown_columns), cmocka_unit_test(test_unknown_fields_are_ignored),                                  \
      cmocka_unit_test(test_evolve_adds_columns), cmocka_unit_test(test_records_without_fields),                                           \
      cmocka_unit_test(test_table_made_anew_while_running), cmocka_unit_test(test_values_that_do_not_fit),                                 \
      cmocka_unit_test(test_rows_that_the_table_refuses), cmocka_unit_test(test_upsert_revives_the_superseded),                            \
      cmocka_unit_test(test_letters_from_further_up), cmocka_unit_test(test_tombstones_delete),                                            \
      cmocka_unit_test(test_tombstones_that_name_no_row), cmocka_unit_test(test_tombstones_of_two_columns),                                \
      cmocka_unit_test(test_tombstones_unasked), cmocka_unit_test(test_tombstones_before_the_table),                                       \
      cmocka_unit_test(test_refused_row_revives_the_tombstone), cmocka_unit_test(test_a_table_emptied_by_tombstones),                      \
      cmocka_unit_test(test_brake), cmocka_unit_test(test_full_store_pushes_back), cmocka_unit_test(test_set_aside_unseen),                \
      cmocka_unit_test(test_killed_and_followed), DIES_AT_EVERY_STEP cmocka_unit_test(test_next_run_goes_on),                              \
      cmocka_unit_test(test_two_streams), cmocka_unit_test(test_rotated_file), cmocka_unit_test(test_another_identity_stops),              \
      cmocka_unit_test(test_set_position_takes_what_comes), cmocka_unit_test(test_fenced_by_another),                                      \
      cmocka_unit_test(test_idle_owner_learns_that_it_is_fenced), cmocka_unit_test(test_one_stream_lost),                                  \
      cmocka_unit_test(test_waits_for_a_living_owner), cmocka_unit_test(test_nobody_waits_for_who_left),                                   \
      cmocka_unit_test(test_leaving_is_fenced), cmocka_unit_test(test_counted_before_a_given_stream_is_forgotten),                         \
      cmocka_unit_test(test_a_given_stream_is_not_taken_from_another_lane),                                                                \
      cmocka_unit_test(test_a_given_stream_comes_back_and_counts_on), cmocka_unit_test(test_lost_rows_rewind),                             \
      cmocka_unit_test(test_position_changed_while_running), cmocka_unit_test(test_dropped_table_is_filled_again),                         \
      cmocka_unit_test(test_emptied_append_asks), cmocka_unit_test(test_upsert_needs_an_index)
