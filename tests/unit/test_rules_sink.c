// Rules of a sink that only a look from outside, at the right moment, can tell broken: what is durable when a start is told, and what is
// told and given back while a commit cannot go through, and what keeps out an owner of yesterday. tests/mutants breaks each of them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pg_server.h"
#include "tests/unit/sink_harness.h"

static char *folder, *path, *settings;

static int setup(void **state) {
  (void)state;
  folder = test_folder();
  path = memory_print("%s/out.db", folder);
  settings = memory_print("{\"url\":\"sqlite:%s\",\"table\":\"t\",\"columns\":{\"id\":\"bigint\"}}", path);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  free(path);
  free(settings);
  test_folder_remove(folder);
  return 0;
}

static bool has_left(const struct rig *r) {
  siginfo_t info = {0};
  waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT);
  return info.si_pid == r->pid;
}

// Waits until the worker shows what it waits for.
static void wait_doing(struct rig *r, const char *text) {
  char doing[SLOT_TEXT];
  uint64_t deadline = clock_monotonic_ns() + RIG_WAIT_S * 1000000000ull;
  for (;;) {
    slot_doing_get(&r->slot, doing);
    if (strstr(doing, text)) return;
    if (has_left(r) || clock_monotonic_ns() > deadline) fail_msg("the sink does not say \"%s\" but \"%s\"", text, doing);
    usleep(500);
  }
}

static void change(const char *sql) {
  struct error e = {0};
  struct sqlite *db = sqlite_open(path, SQLITE_FOR_WRITING, 10000, &e);
  assert_non_null(db);
  if (!sqlite_exec(db, sql, &e)) fail_msg("%s", e.text);
  sqlite_close(db);
}

// A whole run that stores one row at position 5 under identity id-1.
static void one_run(void) {
  struct rig r;
  uint32_t s;
  rig_open(&r, folder);
  rig_start(&r, "table", settings);
  assert_int_equal(stream_begin(&r, "", &s), 0);
  send_row(&r, s, 5, "{\"id\":5}");
  send_end(&r);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_close(&r);
}

// READY means that the start survives everything: the sink is killed as soon as it has said so, before it has stored one row.
static void a_start_is_durable_before_it_is_told(void **state) {
  (void)state;
  struct rig r;
  struct feedback_answer a;
  rig_open(&r, folder);
  rig_start(&r, "table", settings);
  uint32_t s = stream_announce(&r, "", "id-1", -1);
  assert_true(stream_wait(&r, s, FEEDBACK_NONE, &a));
  words_store(&r.source, s * STREAM_WORDS + STREAM_START, 42);
  words_store(&r.source, s * STREAM_WORDS + STREAM_START_STATE, 1);
  send_control(&r, RECORD_STREAM);
  assert_true(stream_wait(&r, s, FEEDBACK_READY, &a));
  rig_kill(&r);
  assert_int_equal(a.position, 42);
  expect_sqlite(path, "SELECT position, start, identity FROM weir_positions", "42|42|id-1");
  rig_close(&r);
}

// While the database cannot be written, nobody is told that it was, and the ring keeps what it holds.
static void nothing_is_told_or_given_back_before_it_is_durable(void **state) {
  (void)state;
  struct rig r;
  struct error e = {0};
  struct feedback_answer a;
  uint32_t s;
  rig_open(&r, folder);
  rig_start(&r, "table", settings);
  assert_int_equal(stream_begin(&r, "", &s), 0);
  send_row(&r, s, 1, "{\"id\":1}");
  stream_until(&r, s, 1);
  struct sqlite *other = sqlite_open(path, SQLITE_FOR_WRITING, 10000, &e);
  assert_non_null(other);
  assert_true(sqlite_begin(other, &e));
  send_row(&r, s, 2, "{\"id\":2}");
  ring_publish(&r.writer);
  wait_doing(&r, "locked");
  feedback_get(&r.feedback, s, &a);
  assert_int_equal(a.position, 1);
  assert_false(ring_drained(&r.writer));
  sqlite_rollback(other);
  sqlite_close(other);
  send_end(&r);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  expect_sqlite(path, "SELECT group_concat(id), (SELECT position FROM weir_positions) FROM t", "1,2|2");
  rig_close(&r);
}

// A run that has to end for an operator, who is told why, and that changes nothing.
static void refused(const char *identity, const char *why) {
  struct rig r;
  char text[SLOT_TEXT];
  rig_open(&r, folder);
  rig_start(&r, "table", settings);
  stream_announce(&r, "", identity, -1);
  send_end(&r);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_OPERATOR);
  slot_error_get(&r.slot, text);
  assert_non_null(strstr(text, why));
  assert_non_null(strstr(text, "weir positions set"));
  rig_close(&r);
}

// Positions that were stored under other settings of the source count something else.
static void other_settings_of_the_source_stop_it(void **state) {
  (void)state;
  one_run();
  change("UPDATE weir_positions SET fingerprint = 'other'");
  refused("id-1", "settings of the source");
  expect_sqlite(path, "SELECT identity, fingerprint, position FROM weir_positions", "id-1|other|5");
}

// So do those of another journal or file.
static void another_identity_stops_it(void **state) {
  (void)state;
  one_run();
  refused("id-2", "identity");
  expect_sqlite(path, "SELECT identity, fingerprint, position FROM weir_positions", "id-1|f1|5");
}

// The target is an hour younger than what it has acknowledged in this life of the lane.
static void a_target_that_went_back_rewinds(void **state) {
  (void)state;
  struct rig r;
  uint32_t s;
  rig_open(&r, folder);
  rig_start(&r, "table", settings);
  assert_int_equal(stream_begin(&r, "", &s), 0);
  send_row(&r, s, 5, "{\"id\":5}");
  stream_until(&r, s, 5);
  rig_kill(&r);
  change("UPDATE weir_positions SET position = 2");
  send_end(&r);
  rig_start(&r, "table", settings);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_REWIND);
  rig_close(&r);
}

// The owner was seen a moment ago: whoever has another state folder waits, takes nothing, and says for whom.
static void a_living_owner_is_waited_for(void **state) {
  (void)state;
  struct rig r;
  uint32_t s;
  char *elsewhere = test_folder();
  // Who ends well leaves its streams: this one is killed.
  rig_open(&r, folder);
  rig_start(&r, "table", settings);
  assert_int_equal(stream_begin(&r, "", &s), 0);
  send_row(&r, s, 5, "{\"id\":5}");
  ring_publish(&r.writer);
  stream_until(&r, s, 5);
  rig_kill(&r);
  rig_close(&r);
  rig_open(&r, elsewhere);
  rig_start(&r, "table", settings);
  stream_announce(&r, "", "id-1", -1);
  send_end(&r);
  wait_doing(&r, "belongs to a running instance (host=");
  rig_kill(&r);
  expect_sqlite(path, "SELECT position, (SELECT count(*) FROM t) FROM weir_positions", "5|1");
  rig_close(&r);
  test_folder_remove(elsewhere);
}

// A store of dead letters that has no room for the next one: the sink waits, and neither the letter nor what is behind it is passed.
static void a_full_store_of_letters_pushes_back(void **state) {
  (void)state;
  struct rig r;
  uint32_t s;
  rig_open(&r, folder);
  r.dead_store_bytes = 1;
  rig_start(&r, "table", settings);
  assert_int_equal(stream_begin(&r, "", &s), 0);
  send_dead(&r, s, 1, RIG_DEAD_NODE, "why", "data");
  send_row(&r, s, 2, "{\"id\":2}");
  send_end(&r);
  wait_doing(&r, "store of dead letters is full");
  assert_false(ring_drained(&r.writer));
  rig_kill(&r);
  expect_sqlite(path, "SELECT position, (SELECT count(*) FROM weir_dead) FROM weir_positions", "0|0");
  rig_close(&r);
}

static void send_rows(struct rig *r, uint32_t s, uint64_t from, uint64_t to) {
  char text[64];
  for (uint64_t i = from; i <= to; i++) {
    snprintf(text, sizeof text, "{\"id\":%llu}", (unsigned long long)i);
    send_row(r, s, i, text);
  }
  ring_publish(&r->writer);
}

// Another instance has taken the stream over and has not committed yet, so that the position stands where the first one left it: only the
// epoch keeps the first one out.
static void fenced_from_the_first_moment(const char *target) {
  struct rig x, y;
  uint32_t s, other;
  char *elsewhere = test_folder();
  rig_open(&x, folder);
  rig_open(&y, elsewhere);
  y.take_over = true;
  rig_start(&x, "table", target);
  assert_int_equal(stream_begin(&x, "", &s), 0);
  send_rows(&x, s, 1, 3);
  stream_until(&x, s, 3);
  rig_start(&y, "table", target);
  assert_int_equal(stream_begin(&y, "", &other), 3);
  send_rows(&x, s, 4, 9);
  send_end(&x);
  assert_int_equal(rig_finish(&x), WORKER_EXIT_FENCED);
  send_rows(&y, other, 4, 6);
  send_end(&y);
  assert_int_equal(rig_finish(&y), WORKER_EXIT_DONE);
  rig_close(&x);
  rig_close(&y);
  test_folder_remove(elsewhere);
}

static void give_up(struct rig *r, uint32_t s) {
  words_store(&r->source, s * STREAM_WORDS + STREAM_START_STATE, STREAM_GIVEN_UP);
  send_control(r, RECORD_STREAM);
}

// A source that several instances share. x has the partition, y gets it without waiting for x to fall silent, x learns that it is lost and
// goes on living; its successor does not take it back; only a new announcement does. The account of x is of what x has stored.
static void shared_streams_change_hands(const char *target) {
  struct rig x, y;
  uint32_t s, other, again;
  struct feedback_answer a;
  char *elsewhere = test_folder();
  rig_open(&x, folder);
  rig_open(&y, elsewhere);
  x.shared = y.shared = true;
  rig_start(&x, "table", target);
  assert_int_equal(stream_begin(&x, "0", &s), 0);
  send_rows(&x, s, 1, 3);
  stream_until(&x, s, 3);
  rig_start(&y, "table", target);
  assert_int_equal(stream_begin(&y, "0", &other), 3);
  rig_kill(&x);
  rig_start(&x, "table", target);
  send_rows(&x, s, 4, 9);
  assert_true(stream_wait(&x, s, FEEDBACK_LOST, &a));
  send_rows(&y, other, 4, 6);
  stream_until(&y, other, 6);
  give_up(&y, other);
  give_up(&x, s);
  assert_int_equal(stream_begin_as(&x, "0", "id-1", s, &again), 6);
  send_rows(&x, again, 7, 8);
  stream_until(&x, again, 8);
  send_end(&x);
  send_end(&y);
  assert_int_equal(rig_finish(&x), WORKER_EXIT_DONE);
  assert_int_equal(rig_finish(&y), WORKER_EXIT_DONE);
  assert_int_equal(rig_counter(&x, COUNT_OUT), 5);
  assert_int_equal(rig_counter(&y, COUNT_OUT), 3);
  rig_close(&x);
  rig_close(&y);
  test_folder_remove(elsewhere);
}

// The stored position was put elsewhere under the sink's hands, epoch and owner as they were: a restored database, an operator. What comes
// next does not fit behind it.
static void does_not_write_behind_another_position(struct rig *r, const char *target, void (*set_back)(void *), void *where) {
  uint32_t s;
  rig_open(r, folder);
  rig_start(r, "table", target);
  assert_int_equal(stream_begin(r, "", &s), 0);
  send_rows(r, s, 1, 3);
  stream_until(r, s, 3);
  set_back(where);
  send_rows(r, s, 4, 5);
  send_end(r);
  assert_int_equal(rig_finish(r), WORKER_EXIT_REWIND);
  rig_close(r);
}

static void set_back_sqlite(void *where) {
  (void)where;
  change("UPDATE weir_positions SET position = 1");
}

static void set_back_postgres(void *server) {
  pg_do(server, "UPDATE weir_positions SET position = 1");
}

static void does_not_write_behind_another_position_sqlite(void **state) {
  (void)state;
  struct rig r;
  does_not_write_behind_another_position(&r, settings, set_back_sqlite, NULL);
  expect_sqlite(path, "SELECT count(*), (SELECT position FROM weir_positions) FROM t", "3|1");
}

// On a server and in a database where commits do not wait for the disk by themselves.
static void postgres_keeps_what_it_has_said(void **state) {
  (void)state;
  struct rig r;
  struct pg_server server;
  pg_open(&server);
  pg_do(&server, "ALTER DATABASE postgres SET synchronous_commit = off");
  pg_do(&server, "CREATE TABLE t (id bigint, how text DEFAULT current_setting('synchronous_commit'))");
  char *target = memory_print("{\"url\":\"%s\",\"table\":\"t\"}", server.url);
  does_not_write_behind_another_position(&r, target, set_back_postgres, &server);
  expect_pg(&server, "SELECT count(*), min(how), max(how), (SELECT position FROM weir_positions) FROM t", "3|on|on|1");
  pg_close(&server);
  free(target);
}

static void shared_streams_change_hands_sqlite(void **state) {
  (void)state;
  shared_streams_change_hands(settings);
  expect_sqlite(path, "SELECT count(*), count(DISTINCT id), max(id), (SELECT position FROM weir_positions) FROM t", "8|8|8|8");
}

static void shared_streams_change_hands_postgres(void **state) {
  (void)state;
  struct pg_server server;
  pg_open(&server);
  char *target = memory_print("{\"url\":\"%s\",\"table\":\"t\"}", server.url);
  shared_streams_change_hands(target);
  expect_pg(&server, "SELECT count(*), count(DISTINCT id), max(id), (SELECT position FROM weir_positions) FROM t", "8|8|8|8");
  pg_close(&server);
  free(target);
}

static void fenced_from_the_first_moment_sqlite(void **state) {
  (void)state;
  fenced_from_the_first_moment(settings);
  expect_sqlite(path, "SELECT count(*), count(DISTINCT id), max(id), (SELECT position FROM weir_positions) FROM t", "6|6|6|6");
}

static void fenced_from_the_first_moment_postgres(void **state) {
  (void)state;
  struct pg_server server;
  pg_open(&server);
  char *target = memory_print("{\"url\":\"%s\",\"table\":\"t\"}", server.url);
  fenced_from_the_first_moment(target);
  expect_pg(&server, "SELECT count(*), count(DISTINCT id), max(id), (SELECT position FROM weir_positions) FROM t", "6|6|6|6");
  pg_close(&server);
  free(target);
}

int main(int argc, char **argv) {
  worker_or_test(argc, argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(a_start_is_durable_before_it_is_told),  TEST(nothing_is_told_or_given_back_before_it_is_durable),
      TEST(other_settings_of_the_source_stop_it),  TEST(another_identity_stops_it),
      TEST(a_target_that_went_back_rewinds),       TEST(a_living_owner_is_waited_for),
      TEST(a_full_store_of_letters_pushes_back),   TEST(fenced_from_the_first_moment_sqlite),
      TEST(fenced_from_the_first_moment_postgres), TEST(does_not_write_behind_another_position_sqlite),
      TEST(postgres_keeps_what_it_has_said),       TEST(shared_streams_change_hands_sqlite),
      TEST(shared_streams_change_hands_postgres),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
