// What every table target must do alike, told once and run against each: SQLite files by test_sink_sqlite.c, a PostgreSQL server by
// test_sink_postgres.c. The SQL here is what both understand.
#pragma once
#include "tests/unit/sink_scene.h"

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

// ---- tombstones

#define DELETES UPSERT ",\"delete\":\"tombstones\""

// In one batch and over several: of each key the last one counts, be it a row or a tombstone.
static void test_tombstones_delete(void **state) {
  (void)state;
  for (int together = 0; together < 2; together++) {
    struct scene x;
    scene_open(&x, together ? ID_AND_NAME DELETES : ID_AND_NAME DELETES ",\"rows\":1");
    scene_start(&x);
    send_rows(&x, 1, 5);
    stream_until(&x.r, x.s, 5);
    send_tombstone(&x.r, x.s, 6, "{\"id\":2}");
    send_tombstone(&x.r, x.s, 7, "{\"_key\":\"3\",\"_topic\":\"t\"}");
    send_row(&x.r, x.s, 8, "{\"id\":4,\"name\":\"late\"}");
    send_tombstone(&x.r, x.s, 9, "{\"name\":null,\"id\":4}");
    send_tombstone(&x.r, x.s, 10, "{\"id\":5}");
    send_row(&x.r, x.s, 11, "{\"id\":5,\"name\":\"again\"}");
    send_tombstone(&x.r, x.s, 12, "{\"id\":99}");
    send_row(&x.r, x.s, 13, "{\"id\":6,\"name\":\"short\"}");
    send_tombstone(&x.r, x.s, 14, "{\"id\":null,\"_key\":6}");
    end_well(&x);
    db_expect("SELECT id, name FROM t ORDER BY id", "1|n1\n5|again");
    uint64_t superseded = rig_counter(&x.r, COUNT_SUPERSEDED);
    assert_true(superseded <= (together ? 3 : 0));
    expect_account(&x.r, 14 - superseded, 0, superseded);
    scene_close(&x);
  }
}

static void test_tombstones_that_name_no_row(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME DELETES);
  scene_start(&x);
  send_rows(&x, 1, 2);
  stream_until(&x.r, x.s, 2);
  send_tombstone(&x.r, x.s, 3, "{\"name\":\"x\"}");
  send_tombstone(&x.r, x.s, 4, "{\"_key\":\"one\"}");
  send_tombstone(&x.r, x.s, 5, "{\"_key\":null}");
  send_tombstone(&x.r, x.s, 6, "{\"id\":1}");
  end_well(&x);
  db_expect("SELECT id, name FROM t ORDER BY id", "2|n2");
  db_expect("SELECT position, code, column_name, format FROM weir_dead ORDER BY position",
            "3|null-key|id|tombstone\n4|cast|id|tombstone\n5|null-key|id|tombstone");
  expect_account(&x.r, 3, 3, 0);
  scene_close(&x);
}

static void test_tombstones_of_two_columns(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME ",\"mode\":\"upsert\",\"key\":[\"name\",\"id\"],\"delete\":\"tombstones\"");
  scene_start(&x);
  send_rows(&x, 1, 4);
  stream_until(&x.r, x.s, 4);
  send_tombstone(&x.r, x.s, 5, "{\"id\":1,\"name\":\"n1\"}");
  send_tombstone(&x.r, x.s, 6, "{\"id\":2,\"name\":\"n1\"}");
  send_tombstone(&x.r, x.s, 7, "{\"id\":3,\"_key\":\"n3\"}");
  end_well(&x);
  db_expect("SELECT id, name FROM t ORDER BY id", "2|n2\n3|n3\n4|n4");
  db_expect("SELECT position, code, column_name FROM weir_dead", "7|null-key|name");
  expect_account(&x.r, 6, 1, 0);
  scene_close(&x);
}

static void test_tombstones_unasked(void **state) {
  (void)state;
  static const char *const modes[] = {ID_AND_NAME, ID_AND_NAME UPSERT};
  for (size_t i = 0; i < 2; i++) {
    struct scene x;
    scene_open(&x, modes[i]);
    scene_start(&x);
    send_rows(&x, 1, 2);
    send_tombstone(&x.r, x.s, 3, "{\"id\":1}");
    end_well(&x);
    db_expect("SELECT id, name FROM t ORDER BY id", "1|n1\n2|n2");
    db_expect("SELECT position, code, format FROM weir_dead", "3|tombstone|tombstone");
    expect_account(&x.r, 2, 1, 0);
    scene_close(&x);
  }
}

// Nothing is known of the table before its first row; a tombstone brings no column.
static void test_tombstones_before_the_table(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, DELETES ",\"evolve\":\"add\"");
  scene_start(&x);
  send_tombstone(&x.r, x.s, 1, "{\"_key\":\"7\"}");
  send_tombstone(&x.r, x.s, 2, "{\"id\":7,\"_offset\":1}");
  stream_until(&x.r, x.s, 2);
  send_row(&x.r, x.s, 3, "{\"id\":\"7\",\"name\":\"x\"}");
  send_row(&x.r, x.s, 4, "{\"id\":\"8\",\"name\":\"y\"}");
  send_tombstone(&x.r, x.s, 5, "{\"_key\":\"8\",\"_offset\":2}");
  end_well(&x);
  db_expect("SELECT * FROM t", "7|x");
  uint64_t superseded = rig_counter(&x.r, COUNT_SUPERSEDED);
  expect_account(&x.r, 5 - superseded, 0, superseded);
  scene_close(&x);
}

// A row that the table refuses lets the tombstone come back that it had superseded.
static void test_refused_row_revives_the_tombstone(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, DELETES);
  db_do("CREATE TABLE t (id bigint PRIMARY KEY, name text CHECK (name <> 'bad'))");
  scene_start(&x);
  send_rows(&x, 1, 3);
  stream_until(&x.r, x.s, 3);
  send_row(&x.r, x.s, 4, "{\"id\":2,\"name\":\"new\"}");
  send_tombstone(&x.r, x.s, 5, "{\"id\":1}");
  send_row(&x.r, x.s, 6, "{\"id\":1,\"name\":\"bad\"}");
  send_row(&x.r, x.s, 7, "{\"id\":4,\"name\":\"more\"}");
  end_well(&x);
  db_expect("SELECT id, name FROM t ORDER BY id", "2|new\n3|n3\n4|more");
  expect_account(&x.r, 6, 1, 0);
  scene_close(&x);
}

// A table that tombstones have emptied has not lost its rows.
static void test_a_table_emptied_by_tombstones(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME DELETES);
  scene_start(&x);
  send_rows(&x, 1, 2);
  send_tombstone(&x.r, x.s, 3, "{\"id\":1}");
  send_tombstone(&x.r, x.s, 4, "{\"id\":2}");
  end_well(&x);
  db_expect("SELECT count(*) FROM t", "0");
  scene_again(&x);
  assert_int_equal(scene_start(&x), 4);
  end_well(&x);
  scene_close(&x);
}

static void test_brake(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME ",\"rows\":2000,\"commit_every\":60000");
  scene_start(&x);
  send_rows(&x, 1, 400);
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 400);
  for (uint64_t i = 401; i <= 1200; i++) send_row(&x.r, x.s, i, "{\"id\":\"no number\",\"name\":\"x\"}");
  send_end(&x.r);
  finish(&x, WORKER_EXIT_OPERATOR);
  expect_error(&x.r, "stop_above");
  db_expect("SELECT count(*) <= 501, count(*) = 0 OR count(*) > 0 FROM weir_dead", db_is_sqlite() ? "1|1" : "t|t");
  scene_close(&x);
}

static void test_full_store_pushes_back(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME);
  x.r.dead_store_bytes = 1200;
  scene_start(&x);
  for (uint64_t i = 1; i <= 2; i++) {
    send_row(&x.r, x.s, i, "{\"id\":\"no number\"}");
    ring_publish(&x.r.writer);
    stream_until(&x.r, x.s, i);
  }
  send_row(&x.r, x.s, 3, "{\"id\":\"no number\"}");
  ring_publish(&x.r.writer);
  wait_doing(&x.r, "store of dead letters is full");
  db_expect("SELECT count(*) FROM weir_dead", "2");
  db_do("DELETE FROM weir_dead WHERE position = 1");
  end_well(&x);
  db_expect("SELECT position FROM weir_dead ORDER BY position", "2\n3");
  scene_close(&x);
}

static void test_set_aside_unseen(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME);
  x.r.set_aside_stream = 0;
  x.r.set_aside_position = 2;
  x.r.careful = true;
  scene_start(&x);
  send_rows(&x, 1, 3);
  end_well(&x);
  db_expect("SELECT id FROM t ORDER BY id", "1\n3");
  db_expect("SELECT position, code FROM weir_dead", "2|poison");
  expect_account(&x.r, 2, 1, 0);
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

// ---- streams

static void test_next_run_goes_on(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 5);
  end_well(&x);
  scene_again(&x);
  assert_int_equal(scene_start(&x), 5);
  send_rows(&x, 4, 8); // the source may send more than is missing
  end_well(&x);
  db_expect("SELECT id FROM t ORDER BY id", "1\n2\n3\n4\n5\n6\n7\n8");
  expect_account(&x.r, 3, 0, 0); // this run's own
  db_expect("SELECT rows, witness FROM weir_positions", "8|56");
  scene_close(&x);
}

static void test_two_streams(void **state) {
  (void)state;
  struct scene x;
  uint32_t other;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 2);
  stream_begin(&x.r, "p2", &other);
  send_row(&x.r, other, 100, "{\"id\":100}");
  send_rows(&x, 3, 3);
  send_row(&x.r, other, 101, "{\"id\":101}");
  end_well(&x);
  db_expect("SELECT partition, position, rows FROM weir_positions ORDER BY partition", "|3|3\np2|101|2");
  expect_account(&x.r, 5, 0, 0);
  scene_close(&x);
}

static void test_rotated_file(void **state) {
  (void)state;
  struct scene x;
  uint32_t next, last;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 4);
  assert_int_equal(stream_begin_as(&x.r, "", "id-2", x.s, &next), 0);
  send_row(&x.r, next, 1, "{\"id\":11}");
  ring_publish(&x.r.writer);
  stream_until(&x.r, next, 1);
  rig_kill(&x.r); // the successor must see which of the two the row belongs to
  rig_start(&x.r, "table", x.settings);
  send_row(&x.r, next, 2, "{\"id\":12}");
  stream_begin_as(&x.r, "", "id-3", next, &last);
  send_row(&x.r, last, 1, "{\"id\":21}");
  end_well(&x);
  db_expect("SELECT id FROM t ORDER BY id", "1\n2\n3\n4\n11\n12\n21");
  db_expect("SELECT identity, position, rows FROM weir_positions", "id-3|1|7");
  expect_account(&x.r, 7, 0, 0);
  scene_close(&x);
}

static void test_another_identity_stops(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 5);
  end_well(&x);
  scene_again(&x);
  rig_start(&x.r, "table", x.settings);
  stream_announce(&x.r, "", "id-other", -1);
  finish(&x, WORKER_EXIT_OPERATOR);
  expect_error(&x.r, "weir positions set FILE out --source input");
  db_expect("SELECT count(*) FROM t", "5");
  db_expect("SELECT identity, position FROM weir_positions", "id-1|5");
  scene_close(&x);
}

static void test_set_position_takes_what_comes(void **state) {
  (void)state;
  struct scene x;
  uint32_t s;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 5);
  end_well(&x);
  db_do("UPDATE weir_positions SET identity = '', fingerprint = '', position = 2, epoch = epoch + 1");
  scene_again(&x);
  rig_start(&x.r, "table", x.settings);
  assert_int_equal(stream_begin_as(&x.r, "", "id-other", -1, &s), 2);
  end_well(&x);
  db_expect("SELECT identity, fingerprint FROM weir_positions", "id-other|f1");
  scene_close(&x);
}

// ---- fences and rewinds

static void test_fenced_by_another(void **state) {
  (void)state;
  struct scene x, y;
  char *elsewhere = test_folder();
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 3);
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 3);
  y.settings = memory_text(x.settings);
  rig_open(&y.r, elsewhere);
  y.r.take_over = true;
  assert_int_equal(scene_start(&y), 3);
  send_rows(&y, 4, 6);
  ring_publish(&y.r.writer);
  stream_until(&y.r, y.s, 6);
  send_rows(&x, 4, 9); // the zombie has other plans
  ring_publish(&x.r.writer);
  finish(&x, WORKER_EXIT_FENCED);
  end_well(&y);
  db_expect("SELECT id FROM t ORDER BY id", "1\n2\n3\n4\n5\n6");
  scene_close(&x);
  scene_close(&y);
  test_folder_remove(elsewhere);
}

static void test_one_stream_lost(void **state) {
  (void)state;
  struct scene x;
  uint32_t other;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  stream_begin(&x.r, "p2", &other);
  db_do("UPDATE weir_positions SET epoch = epoch + 1, owner = 'host=h pid=1 state=0123456789abcdef since=x' WHERE partition = 'p2'");
  send_rows(&x, 1, 2);
  send_row(&x.r, other, 1, "{\"id\":100}");
  send_rows(&x, 3, 3);
  end_well(&x);
  db_expect("SELECT id FROM t ORDER BY id", "1\n2\n3");
  expect_account(&x.r, 3, 0, 0);
  scene_close(&x);
}

static void test_waits_for_a_living_owner(void **state) {
  (void)state;
  struct scene x, y;
  char *elsewhere = test_folder();
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 3);
  stream_until(&x.r, x.s, 3);
  rig_kill(&x.r);
  y.settings = memory_text(x.settings);
  rig_open(&y.r, elsewhere);
  rig_start(&y.r, "table", y.settings);
  y.s = stream_announce(&y.r, "", "id-1", -1);
  wait_doing(&y.r, "belongs to a running instance (host=");
  db_do("UPDATE weir_positions SET seen = '2020-01-01T00:00:00Z'"); // silent for long
  struct feedback_answer a;
  assert_true(stream_wait(&y.r, y.s, FEEDBACK_KNOWN, &a));
  assert_int_equal(a.position, 3);
  end_well(&y);
  scene_close(&x);
  scene_close(&y);
  test_folder_remove(elsewhere);
}

// Who ended well is not waited for, however lately he was seen; who looks sees when he left.
static void test_nobody_waits_for_who_left(void **state) {
  (void)state;
  struct scene x, y;
  uint32_t second;
  char *elsewhere = test_folder();
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  stream_begin(&x.r, "p2", &second);
  send_rows(&x, 1, 3);
  end_well(&x);
  db_do("UPDATE weir_positions SET seen = '2099-01-01T00:00:00Z'");
  db_expect("SELECT count(*) FROM weir_positions WHERE owner LIKE 'host=% pid=% state=% since=% until=%'", "2");
  y.settings = memory_text(x.settings);
  rig_open(&y.r, elsewhere);
  assert_int_equal(scene_start(&y), 3);
  send_rows(&y, 4, 5);
  stream_until(&y.r, y.s, 5);
  db_expect("SELECT partition FROM weir_positions WHERE owner NOT LIKE '% until=%'", "");
  end_well(&y);
  db_expect("SELECT id FROM t ORDER BY id", "1\n2\n3\n4\n5");
  scene_close(&x);
  scene_close(&y);
  test_folder_remove(elsewhere);
}

// A stream that another has taken over is his: leaving does not touch it.
static void test_leaving_is_fenced(void **state) {
  (void)state;
  struct scene x;
  uint32_t second;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  stream_begin(&x.r, "p2", &second);
  db_do("UPDATE weir_positions SET epoch = epoch + 1, owner = 'host=h pid=1 state=0123456789abcdef since=x' WHERE partition = 'p2'");
  send_rows(&x, 1, 2);
  end_well(&x);
  db_expect("SELECT owner FROM weir_positions WHERE partition = 'p2'", "host=h pid=1 state=0123456789abcdef since=x");
  db_expect("SELECT partition FROM weir_positions WHERE owner LIKE '% until=%'", "");
  scene_close(&x);
}

static void test_lost_rows_rewind(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 5);
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 5);
  rig_kill(&x.r);
  db_do("DELETE FROM t WHERE id > 2"); // as an older copy of the database has it
  db_do("UPDATE weir_positions SET position = 2, rows = 2");
  rig_start(&x.r, "table", x.settings);
  finish(&x, WORKER_EXIT_REWIND);
  expect_error(&x.r, "lost what it had acknowledged");
  scene_again(&x); // what the supervisor does then
  assert_int_equal(scene_start(&x), 2);
  send_rows(&x, 3, 6);
  end_well(&x);
  db_expect("SELECT id FROM t ORDER BY id", "1\n2\n3\n4\n5\n6");
  scene_close(&x);
}

static void test_position_changed_while_running(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 5);
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 5);
  db_do("UPDATE weir_positions SET epoch = epoch + 1, position = 1");
  send_rows(&x, 6, 6);
  ring_publish(&x.r.writer);
  finish(&x, WORKER_EXIT_REWIND);
  db_expect("SELECT count(*) FROM t", "5");
  scene_close(&x);
}

static void test_dropped_table_is_filled_again(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME UPSERT);
  scene_start(&x);
  send_rows(&x, 1, 5);
  end_well(&x);
  db_do("DROP TABLE t");
  scene_again(&x);
  assert_int_equal(scene_start(&x), 0);
  send_rows(&x, 1, 5);
  end_well(&x);
  db_expect("SELECT count(*) FROM t", "5");
  db_do("DELETE FROM t");
  scene_again(&x);
  assert_int_equal(scene_start(&x), 0);
  send_rows(&x, 1, 5);
  end_well(&x);
  db_expect("SELECT count(*) FROM t", "5");
  db_expect("SELECT rows FROM weir_positions", "5");
  scene_close(&x);
}

static void test_emptied_append_asks(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 5);
  end_well(&x);
  db_do("DELETE FROM t");
  scene_again(&x);
  rig_start(&x.r, "table", x.settings);
  finish(&x, WORKER_EXIT_OPERATOR);
  expect_error(&x.r, "weir positions set FILE out --to earliest");
  free(x.settings);
  x.settings = settings_of(ID_AND_NAME ",\"emptied\":\"go_on\"");
  scene_again(&x);
  assert_int_equal(scene_start(&x), 5);
  end_well(&x);
  scene_close(&x);
}

static void test_upsert_needs_an_index(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, UPSERT);
  db_do("CREATE TABLE t (id bigint, name text)");
  db_do("CREATE UNIQUE INDEX both_columns ON t (id, name)");
  rig_start(&x.r, "table", x.settings);
  finish(&x, WORKER_EXIT_OPERATOR);
  expect_error(&x.r, "no unique index");
  db_do("CREATE UNIQUE INDEX just_id ON t (id)");
  scene_again(&x);
  scene_start(&x);
  send_rows(&x, 1, 1);
  end_well(&x);
  db_expect("SELECT id, name FROM t", "1|n1");
  scene_close(&x);
}

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
      cmocka_unit_test(test_one_stream_lost), cmocka_unit_test(test_waits_for_a_living_owner),                                             \
      cmocka_unit_test(test_nobody_waits_for_who_left), cmocka_unit_test(test_leaving_is_fenced), cmocka_unit_test(test_lost_rows_rewind), \
      cmocka_unit_test(test_position_changed_while_running), cmocka_unit_test(test_dropped_table_is_filled_again),                         \
      cmocka_unit_test(test_emptied_append_asks), cmocka_unit_test(test_upsert_needs_an_index)
