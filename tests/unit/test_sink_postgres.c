// The table sink into a real PostgreSQL server: the scenarios of every table, and what only a server does.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pg_server.h"
#include "tests/unit/sink_scenarios.h"

static struct pg_server server;

static char *db_url(void) {
  return memory_text(server.url);
}

static bool db_is_sqlite(void) {
  return false;
}

static void db_reset(void) {
  pg_do(&server, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
}

static void db_do(const char *sql) {
  pg_do(&server, sql);
}

static void db_expect(const char *sql, const char *expected) {
  expect_pg(&server, sql, expected);
}

static void test_values_by_type(void **state) {
  (void)state;
  static const char table[] =
      "CREATE TABLE t (id int, b boolean, ts timestamptz, ts2 timestamp, d date, j jsonb, j2 json, y bytea, n numeric, "
      "n2 numeric(6,2), r double precision, r4 real, s smallint, u uuid, v varchar(5), c citext_like, a text[])";
  static const char row[] =
      "{\"id\":%d,\"b\":true,\"ts\":\"2025-11-08\",\"ts2\":\"2025-11-08T01:00:00+01:00\",\"d\":\"2025-11-08T23:59:59-01:00\",\"j\":[1],"
      "\"j2\":{\"a\":null},\"y\":\"ab\",\"n\":\"-123456.7890\",\"n2\":\"0.005\",\"r\":35,\"r4\":1.5,\"s\":-7,"
      "\"u\":\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\",\"v\":\"abc\",\"c\":\"x\",\"a\":\"{p,q}\"}";
  static const char expected[] =
      "t|2025-11-08 00:00:00+00|2025-11-08 00:00:00|2025-11-09|[1]|{\"a\":null}|\\x6162|-123456.7890|0.01|35|1.5|-7|"
      "6ba7b810-9dad-11d1-80b4-00c04fd430c8|abc|x|{p,q}";
  static const char query[] = "SELECT b, ts, ts2, d, j, j2, y, n, n2, r, r4, s, u, v, c, a FROM t";
  for (int upsert = 0; upsert < 2; upsert++) {
    struct scene x;
    char text[1024];
    scene_open(&x, upsert ? UPSERT : "");
    db_do("CREATE DOMAIN citext_like AS text CHECK (value <> 'bad')");
    db_do(table);
    if (upsert) db_do("ALTER TABLE t ADD PRIMARY KEY (id)");
    scene_start(&x);
    snprintf(text, sizeof text, row, 1);
    send_row(&x.r, x.s, 1, text);
    end_well(&x);
    db_expect(query, expected);
    scene_close(&x);
  }
}

static void test_numeric_forms(void **state) {
  (void)state;
  static const char *const numbers[] = {
      "0",     "0.000",    "-0",     "1",    "10000",      "9999", "100000000", "0.0001", "0.00001",           "1e20",
      "1e-20", "12345678", "-0.5e2", "1.10", "00012.3400", "NaN",  "123e-2",    "5e0",    "99999999.99999999", "0.1234567890123456789"};
  struct scene x;
  char text[256];
  size_t count = sizeof numbers / sizeof numbers[0];
  scene_open(&x, "");
  db_do("CREATE TABLE t (n numeric, was text)");
  scene_start(&x);
  for (size_t i = 0; i < count; i++) {
    snprintf(text, sizeof text, "{\"n\":\"%s\",\"was\":\"%s\"}", numbers[i], numbers[i]);
    send_row(&x.r, x.s, i + 1, text);
  }
  end_well(&x);
  // The server's own reading of the text is the judge, its display scale included.
  db_expect("SELECT was, n FROM t WHERE n::text <> was::numeric::text", "");
  db_expect("SELECT count(*) FROM t", "20");
  scene_close(&x);
}

static void test_refused_by_the_server(void **state) {
  (void)state;
  for (int upsert = 0; upsert < 2; upsert++) {
    struct scene x;
    scene_open(&x, upsert ? ",\"mode\":\"upsert\",\"key\":[\"id\"]" : "");
    db_do("CREATE TABLE p (id bigint PRIMARY KEY)");
    db_do("INSERT INTO p VALUES (1)");
    db_do("CREATE TABLE t (id bigint PRIMARY KEY, j jsonb, v varchar(3), parent bigint REFERENCES p DEFERRABLE INITIALLY DEFERRED, "
          "n text, CONSTRAINT good_name CHECK (n <> 'bad'))");
    scene_start(&x);
    send_row(&x.r, x.s, 1, "{\"id\":1,\"j\":\"{}\",\"v\":\"abc\",\"parent\":1,\"n\":\"x\"}");
    send_row(&x.r, x.s, 2, "{\"id\":2,\"j\":\"{broken\",\"v\":\"abc\",\"parent\":1}");
    send_row(&x.r, x.s, 3, "{\"id\":3,\"j\":\"{}\",\"v\":\"abcd\",\"parent\":1}");
    send_row(&x.r, x.s, 4, "{\"id\":4,\"parent\":99}");
    send_row(&x.r, x.s, 5, "{\"id\":5,\"n\":\"bad\"}");
    send_row(&x.r, x.s, 6, "{\"id\":6,\"n\":\"nul\\u0000\"}");
    send_row(&x.r, x.s, 7, "{\"id\":7}");
    end_well(&x);
    db_expect("SELECT id FROM t ORDER BY id", "1\n7");
    db_expect("SELECT position, code FROM weir_dead ORDER BY position", "2|22P02\n3|22001\n4|23503\n5|23514\n6|22021");
    db_expect("SELECT constraint_name FROM weir_dead WHERE position IN (4, 5) ORDER BY position", "t_parent_fkey\ngood_name");
    expect_account(&x.r, 2, 5, 0);
    scene_close(&x);
  }
}

// Keys that only the database holds for equal: the last one wins all the same.
static void test_keys_equal_for_the_server_only(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ",\"mode\":\"upsert\",\"key\":[\"id\"]");
  db_do("CREATE TABLE t (id numeric PRIMARY KEY, name text)");
  scene_start(&x);
  send_row(&x.r, x.s, 1, "{\"id\":\"1.00\",\"name\":\"a\"}");
  send_row(&x.r, x.s, 2, "{\"id\":\"2\",\"name\":\"b\"}");
  send_row(&x.r, x.s, 3, "{\"id\":\"1.0\",\"name\":\"c\"}");
  send_row(&x.r, x.s, 4, "{\"id\":\"1\",\"name\":\"d\"}");
  end_well(&x);
  db_expect("SELECT trim_scale(id), name FROM t ORDER BY id", "1|d\n2|b");
  expect_account(&x.r, 4, 0, 0);
  scene_close(&x);
}

// More rows than one statement takes: each key's last row wins, and one that is refused is found.
static void test_more_rows_than_a_statement_takes(void **state) {
  (void)state;
  struct scene x;
  char text[128];
  scene_open(&x, UPSERT ",\"rows\":100000");
  db_do("CREATE TABLE t (id bigint PRIMARY KEY, v bigint CHECK (v <> 77))");
  scene_start(&x);
  for (uint64_t i = 1; i <= 9000; i++) { // every tenth is a key that was there before
    snprintf(text, sizeof text, "{\"id\":%llu,\"v\":%llu}", (unsigned long long)(i % 10 ? i : i - 9), (unsigned long long)i);
    send_row(&x.r, x.s, i, text);
  }
  end_well(&x);
  db_expect("SELECT count(*), sum(v), count(*) FILTER (WHERE v % 10 = 0) FROM t", "8099|36458023|900");
  uint64_t superseded = rig_counter(&x.r, COUNT_SUPERSEDED);
  expect_account(&x.r, 9000 - 1 - superseded, 1, superseded);
  scene_close(&x);
}

// Two spellings of one number that thousands of keys lie between: not the order of the keys decides, but the last row.
static void test_equal_keys_far_apart(void **state) {
  (void)state;
  struct scene x;
  char text[64];
  scene_open(&x, UPSERT);
  db_do("CREATE TABLE t (id numeric PRIMARY KEY, v bigint)");
  scene_start(&x);
  send_row(&x.r, x.s, 1, "{\"id\":\"5\",\"v\":1}");
  for (uint64_t i = 2; i <= 2500; i++) {
    snprintf(text, sizeof text, "{\"id\":\"%llu\",\"v\":0}", (unsigned long long)(1000 + i));
    send_row(&x.r, x.s, i, text);
  }
  send_row(&x.r, x.s, 2501, "{\"id\":\"05\",\"v\":2}");
  end_well(&x);
  db_expect("SELECT count(*), sum(v) FROM t", "2500|2");
  scene_close(&x);
}

// A tombstone in another spelling deletes what came before it, and nothing that came behind.
static void test_tombstones_equal_for_the_server_only(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, DELETES);
  db_do("CREATE TABLE t (id numeric PRIMARY KEY, name text)");
  scene_start(&x);
  send_row(&x.r, x.s, 1, "{\"id\":\"2\",\"name\":\"b\"}");
  stream_until(&x.r, x.s, 1);
  send_row(&x.r, x.s, 2, "{\"id\":\"1.00\",\"name\":\"a\"}");
  send_tombstone(&x.r, x.s, 3, "{\"_key\":\"1.0\"}");
  send_tombstone(&x.r, x.s, 4, "{\"_key\":\"2.00\"}");
  send_row(&x.r, x.s, 5, "{\"id\":\"2.0\",\"name\":\"c\"}");
  send_row(&x.r, x.s, 6, "{\"id\":\"3\",\"name\":\"d\"}");
  end_well(&x);
  db_expect("SELECT trim_scale(id), name FROM t ORDER BY id", "2|c\n3|d");
  expect_account(&x.r, 6, 0, 0);
  scene_close(&x);
}

static void test_server_goes_away(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME ",\"rows\":50");
  scene_start(&x);
  uint64_t next = 1;
  for (int i = 0; i < 3; i++) {
    send_rows(&x, next, next + 999);
    next += 1000;
    ring_publish(&x.r.writer);
    pg_stop(&server, i == 0 ? "fast" : "immediate");
    wait_doing(&x.r, "waiting for the target");
    pg_start(&server);
  }
  end_well(&x);
  db_expect("SELECT count(*), count(DISTINCT id) FROM t", "3000|3000");
  expect_account(&x.r, 3000, 0, 0);
  scene_close(&x);
}

static void test_session_ended(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME ",\"rows\":20");
  scene_start(&x);
  uint64_t next = 1;
  for (int i = 0; i < 20; i++) {
    send_rows(&x, next, next + 299);
    next += 300;
    ring_publish(&x.r.writer);
    db_do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'weir test/out'");
  }
  end_well(&x);
  db_expect("SELECT count(*), count(DISTINCT id) FROM t", "6000|6000");
  expect_account(&x.r, 6000, 0, 0);
  scene_close(&x);
}

// An owner that hangs in the middle of a transaction keeps the fence's row locked: its session is ended.
static void test_frozen_owner(void **state) {
  (void)state;
  struct scene x;
  struct error e = {0};
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 3);
  end_well(&x);
  struct postgres_options o = {.url = server.url, .application = "weir test/out", .connect_ms = 20000, .statement_ms = 60000};
  struct postgres *zombie = postgres_open(&o, &e);
  assert_non_null(zombie);
  assert_true(postgres_exec(zombie, "BEGIN; UPDATE weir_positions SET position = 9; INSERT INTO t VALUES (99)", &e));
  scene_again(&x);
  assert_int_equal(scene_start(&x), 3);
  send_rows(&x, 4, 4);
  end_well(&x);
  assert_false(postgres_exec(zombie, "COMMIT", &e));
  assert_int_equal(e.class, ERROR_OUTAGE);
  postgres_close(zombie);
  db_expect("SELECT id FROM t ORDER BY id", "1\n2\n3\n4");
  scene_close(&x);
}

// A pipelined zombie: everything behind the failed fence is refused by the server.
static void test_fence_fails_in_the_server(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 1);
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 1);
  db_do("UPDATE weir_positions SET epoch = epoch + 1, owner = 'host=other pid=1 state=0000000000000000 since=x'");
  send_rows(&x, 2, 2);
  ring_publish(&x.r.writer);
  finish(&x, WORKER_EXIT_FENCED);
  db_expect("SELECT id FROM t", "1");
  db_expect("SELECT position FROM weir_positions", "1");
  scene_close(&x);
}

static void test_table_in_a_schema(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME);
  free(x.settings);
  x.settings = memory_print("{\"url\":\"%s\",\"table\":\"my schema.My\\\"Table\"" ID_AND_NAME UPSERT "}", server.url);
  db_do("DROP SCHEMA IF EXISTS \"my schema\" CASCADE; CREATE SCHEMA \"my schema\"");
  scene_start(&x);
  send_rows(&x, 1, 2);
  send_row(&x.r, x.s, 3, "{\"id\":true}");
  send_row(&x.r, x.s, 4, "{\"id\":[]}");
  end_well(&x);
  db_expect("SELECT id FROM \"my schema\".\"My\"\"Table\" ORDER BY id", "1\n2");
  db_expect("SELECT position, rows, superseded, dead FROM \"my schema\".weir_positions", "4|2|1|1");
  db_expect("SELECT position FROM \"my schema\".weir_dead", "4");
  scene_close(&x);
}

static void test_missing_table_waits(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, "");
  db_do("CREATE TABLE t (id bigint, name text)");
  scene_start(&x);
  send_rows(&x, 1, 1);
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 1);
  db_do("ALTER TABLE t RENAME TO hidden");
  db_do("ALTER TABLE weir_positions RENAME TO hidden_positions");
  send_rows(&x, 2, 2);
  ring_publish(&x.r.writer);
  wait_doing(&x.r, "waiting for the target");
  rig_kill(&x.r);
  db_do("DROP TABLE IF EXISTS t, weir_positions");
  db_do("ALTER TABLE hidden RENAME TO t");
  db_do("ALTER TABLE hidden_positions RENAME TO weir_positions");
  rig_start(&x.r, "table", x.settings);
  end_well(&x);
  db_expect("SELECT id FROM t ORDER BY id", "1\n2");
  scene_close(&x);
}

// Binary values mean something else in another type: nothing may be committed with the old ones.
static void test_column_types_change_while_running(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, "");
  db_do("CREATE TABLE t (id bigint, v double precision)");
  scene_start(&x);
  send_row(&x.r, x.s, 1, "{\"id\":1,\"v\":2.5}");
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 1);
  db_do("ALTER TABLE t ALTER id TYPE integer, ALTER v TYPE text");
  send_row(&x.r, x.s, 2, "{\"id\":2,\"v\":2.2618530186638e-76}");
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 2);
  db_do("ALTER TABLE t DROP v");
  send_row(&x.r, x.s, 3, "{\"id\":3,\"v\":1}");
  end_well(&x);
  db_expect("SELECT id FROM t ORDER BY id", "1\n2\n3");
  db_expect("SELECT count(*) FROM weir_dead", "0");
  expect_account(&x.r, 3, 0, 0);
  scene_close(&x);
}

static int open_server(void **state) {
  (void)state;
  pg_open(&server);
  scenario_folder = test_folder();
  return 0;
}

static int close_server(void **state) {
  (void)state;
  pg_close(&server);
  test_folder_remove(scenario_folder);
  return 0;
}

int main(int argc, char **argv) {
  worker_or_test(argc, argv);
  const struct CMUnitTest tests[] = {
      SCENARIOS,
      cmocka_unit_test(test_values_by_type),
      cmocka_unit_test(test_numeric_forms),
      cmocka_unit_test(test_refused_by_the_server),
      cmocka_unit_test(test_keys_equal_for_the_server_only),
      cmocka_unit_test(test_more_rows_than_a_statement_takes),
      cmocka_unit_test(test_equal_keys_far_apart),
      cmocka_unit_test(test_tombstones_equal_for_the_server_only),
      cmocka_unit_test(test_server_goes_away),
      cmocka_unit_test(test_session_ended),
      cmocka_unit_test(test_frozen_owner),
      cmocka_unit_test(test_fence_fails_in_the_server),
      cmocka_unit_test(test_table_in_a_schema),
      cmocka_unit_test(test_missing_table_waits),
      cmocka_unit_test(test_column_types_change_while_running),
  };
  return cmocka_run_group_tests(tests, open_server, close_server);
}
