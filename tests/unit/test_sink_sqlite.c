// The table sink into real SQLite files: rows, positions, dead letters and the account, whatever dies when.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sink_scenarios.h"

static char *db_path(void) {
  return memory_print("%s/out.db", scenario_folder);
}

static char *db_url(void) {
  return memory_print("sqlite:%s/out.db", scenario_folder);
}

static bool db_is_sqlite(void) {
  return true;
}

static void db_reset(void) {
  char *command = memory_print("rm -f %s/out.db*", scenario_folder);
  assert_int_equal(system(command), 0);
  free(command);
}

static void db_do(const char *sql) {
  struct error e = {0};
  char *path = db_path();
  struct sqlite *db = sqlite_open(path, SQLITE_MAKE, 10000, &e);
  if (!db || !sqlite_exec(db, sql, &e)) fail_msg("%s: %s", sql, e.text);
  sqlite_close(db);
  free(path);
}

static void db_expect(const char *sql, const char *expected) {
  char *path = db_path();
  expect_sqlite(path, sql, expected);
  free(path);
}

static void test_values_by_type(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, "");
  db_do("CREATE TABLE t (b BOOLEAN, ts TIMESTAMP, d DATE, j JSON TEXT, y BLOB, n NUMERIC, r DOUBLE, anything)");
  scene_start(&x);
  send_row(&x.r, x.s, 1,
           "{\"b\":true,\"ts\":\"2025-11-08\",\"d\":\"2025-11-08T23:59:59-01:00\",\"j\":[1],\"y\":\"ab\",\"n\":\"1.50\",\"r\":35,"
           "\"anything\":1.5}");
  send_row(
      &x.r, x.s, 2,
      "{\"b\":\"no\",\"ts\":\"2025-11-08T00:00:00.25Z\",\"d\":null,\"j\":\"{}\",\"y\":\"\",\"n\":7,\"r\":\"1e3\",\"anything\":{\"a\":[]}}");
  end_well(&x);
  db_expect("SELECT b, ts, d, j, typeof(y), n, typeof(n), r, anything FROM t ORDER BY rowid",
            "1|2025-11-08T00:00:00Z|2025-11-09|[1]|blob|1.5|real|35.0|1.5\n"
            "0|2025-11-08T00:00:00.250000Z|null|{}|blob|7|integer|1000.0|{\"a\":[]}");
  scene_close(&x);
}

static void test_removed_while_running(void **state) {
  (void)state;
  struct scene x;
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  send_rows(&x, 1, 3);
  ring_publish(&x.r.writer);
  stream_until(&x.r, x.s, 3);
  db_reset();
  send_rows(&x, 4, 4);
  ring_publish(&x.r.writer);
  finish(&x, WORKER_EXIT_REWIND);
  scene_again(&x);
  assert_int_equal(scene_start(&x), 0);
  send_rows(&x, 1, 4);
  end_well(&x);
  db_expect("SELECT count(*) FROM t", "4");
  scene_close(&x);
}

static void test_locked_by_another(void **state) {
  (void)state;
  struct scene x;
  struct error e = {0};
  char *path = db_path();
  scene_open(&x, ID_AND_NAME);
  scene_start(&x);
  struct sqlite *other = sqlite_open(path, SQLITE_FOR_WRITING, 1000, &e);
  assert_non_null(other);
  assert_true(sqlite_begin(other, &e));
  send_rows(&x, 1, 3);
  ring_publish(&x.r.writer);
  wait_doing(&x.r, "locked");
  assert_true(sqlite_commit(other, &e));
  sqlite_close(other);
  end_well(&x);
  db_expect("SELECT count(*) FROM t", "3");
  free(path);
  scene_close(&x);
}

static int open_folder(void **state) {
  (void)state;
  scenario_folder = test_folder();
  return 0;
}

static int close_folder(void **state) {
  (void)state;
  test_folder_remove(scenario_folder);
  return 0;
}

int main(int argc, char **argv) {
  worker_or_test(argc, argv);
  const struct CMUnitTest tests[] = {
      SCENARIOS,
      cmocka_unit_test(test_values_by_type),
      cmocka_unit_test(test_removed_while_running),
      cmocka_unit_test(test_locked_by_another),
  };
  return cmocka_run_group_tests(tests, open_folder, close_folder);
}
