// Scenarios of who owns a stream, and where it goes on: next runs, rotations, fences, rewinds. Part of sink_scenarios.h, run with it.
#pragma once
#include "tests/unit/sink_scene.h"

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

// Nothing comes that would have to be committed: its own look tells an idle owner that another one has taken over.
static void test_idle_owner_learns_that_it_is_fenced(void **state) {
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
  finish(&x, WORKER_EXIT_FENCED);
  end_well(&y);
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

// A sink of a shared source with two streams, killed. Rows 4 to 6 of the first one are as a death between COMMIT and note leaves them, and
// meanwhile the source has given that stream up: the successor has not heard of it yet.
static void die_uncounted(struct scene *x, uint32_t *other) {
  scene_open(x, ID_AND_NAME);
  x->r.shared = true;
  scene_start(x);
  stream_begin(&x->r, "p2", other);
  send_rows(x, 1, 3);
  ring_publish(&x->r.writer);
  stream_until(&x->r, x->s, 3);
  rig_kill(&x->r);
  db_do("INSERT INTO t (id) VALUES (4), (5), (6)");
  db_do("UPDATE weir_positions SET position = 6, rows = 6 WHERE partition = ''");
  send_rows(x, 4, 6);
  words_store(&x->r.source, x->s * STREAM_WORDS + STREAM_START_STATE, STREAM_GIVEN_UP);
  send_control(&x->r, RECORD_STREAM);
}

// What the first stream has brought is counted, once; the stream itself is left to whoever has it now.
static void test_counted_before_a_given_stream_is_forgotten(void **state) {
  (void)state;
  struct scene x;
  uint32_t other;
  die_uncounted(&x, &other);
  send_row(&x.r, other, 7, "{\"id\":7}");
  rig_start(&x.r, "table", x.settings);
  stream_until(&x.r, other, 7);
  rig_kill(&x.r);
  db_do("UPDATE weir_positions SET epoch = epoch + 1, owner = 'host=h pid=1 state=0123456789abcdef since=x' WHERE partition = ''");
  rig_start(&x.r, "table", x.settings);
  end_well(&x);
  expect_account(&x.r, 7, 0, 0);
  db_expect("SELECT count(*) FROM t", "7");
  db_expect("SELECT owner FROM weir_positions WHERE partition = ''", "host=h pid=1 state=0123456789abcdef since=x");
  scene_close(&x);
}

// Another lane of the same instance has it: it is not taken back, and what that lane has brought is not ours.
static void test_a_given_stream_is_not_taken_from_another_lane(void **state) {
  (void)state;
  struct scene x;
  uint32_t other;
  die_uncounted(&x, &other);
  db_do("UPDATE weir_positions SET epoch = 5, position = 9, rows = 9 WHERE partition = ''");
  send_row(&x.r, other, 7, "{\"id\":7}");
  rig_start(&x.r, "table", x.settings);
  stream_until(&x.r, other, 7);
  end_well(&x);
  db_expect("SELECT epoch, position, rows FROM weir_positions WHERE partition = ''", "5|9|9");
  expect_account(&x.r, 4, 0, 0); // without rows 4 to 6: what that lane has brought since cannot be told from them
  scene_close(&x);
}

// It comes back to this sink before its successor has loaded anything.
static void test_a_given_stream_comes_back_and_counts_on(void **state) {
  (void)state;
  struct scene x;
  struct feedback_answer a;
  uint32_t other, again;
  die_uncounted(&x, &other);
  again = stream_announce(&x.r, "", "id-1", x.s);
  rig_start(&x.r, "table", x.settings);
  assert_true(stream_wait(&x.r, again, FEEDBACK_KNOWN, &a));
  words_store(&x.r.source, again * STREAM_WORDS + STREAM_START, a.start);
  words_store(&x.r.source, again * STREAM_WORDS + STREAM_START_STATE, STREAM_RESOLVED);
  send_control(&x.r, RECORD_STREAM);
  assert_true(stream_wait(&x.r, again, FEEDBACK_READY, &a));
  assert_int_equal(a.position, 6);
  send_row(&x.r, again, 7, "{\"id\":7}");
  end_well(&x);
  db_expect("SELECT count(*) FROM t", "7");
  expect_account(&x.r, 7, 0, 0);
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
