// Scenarios of tombstones: records that delete. Part of sink_scenarios.h, run with it.
#pragma once
#include "tests/unit/sink_scene.h"

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
