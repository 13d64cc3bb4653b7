// The table sink into a real PostgreSQL server.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pg_server.h"
#include "tests/unit/sink_harness.h"

static struct pg_server server;
static char *folder;

static char *settings_of(const char *more) {
  return memory_print("{\"url\":\"%s\",\"table\":\"t\"%s}", server.url, more);
}

static void begin_test(struct rig *r) {
  pg_do(&server, "DROP TABLE IF EXISTS t, weir_positions, weir_dead");
  rig_open(r, folder);
}

static void expect_account(const struct rig *r, uint64_t out, uint64_t dead, uint64_t superseded) {
  assert_int_equal(rig_counter(r, COUNT_IN), out + dead + superseded);
  assert_int_equal(rig_counter(r, COUNT_OUT), out);
  assert_int_equal(rig_counter(r, COUNT_DEAD_ROWS), dead);
  assert_int_equal(rig_counter(r, COUNT_SUPERSEDED), superseded);
  assert_int_equal(rig_counter(r, COUNT_IN),
                   rig_counter(r, COUNT_WITH_ROWS) + rig_counter(r, COUNT_FILTERED) + rig_counter(r, COUNT_DEAD_RECORDS));
  assert_int_equal(rig_counter(r, COUNT_ROWS_MADE), out + dead + superseded);
}

#define COLUMNS                                                                                                                            \
  ",\"input_columns\":[{\"name\":\"id\",\"type\":\"bigint\",\"not_null\":true},{\"name\":\"name\",\"type\":\"text\",\"not_null\":false},"  \
  "{\"name\":\"at\",\"type\":\"timestamp\",\"not_null\":false}]"

static void test_append(void **state) {
  (void)state;
  struct rig r;
  uint32_t s;
  begin_test(&r);
  char *settings = settings_of(COLUMNS);
  rig_start(&r, "table", settings);
  assert_int_equal(stream_begin(&r, "", &s), 0);
  send_row(&r, s, 1, "{\"id\":1,\"name\":\"a\",\"at\":\"2025-11-08\"}");
  send_part(&r, s, 2, 0, false, "{\"id\":2,\"name\":null,\"at\":\"2025-11-08T01:02:03.5+01:00\"}");
  send_part(&r, s, 2, 1, true, "{\"id\":\"3\",\"name\":7.5}");
  send_progress(&r, s, 9);
  send_end(&r);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  expect_pg(&server, "SELECT id, name, at AT TIME ZONE 'UTC' FROM t ORDER BY id",
            "1,a,\"2025-11-08 00:00:00\"\n2,,\"2025-11-08 00:02:03.5\"\n3,7.5,");
  expect_pg(&server,
            "SELECT pipeline, sink, edge, source, partition, position, start, identity, fingerprint, rows, dead FROM weir_positions",
            "test,out,input,input,\"\",9,0,id-1,f1,3,0");
  expect_account(&r, 3, 0, 0);
  rig_close(&r);
  free(settings);
}

static int open_server(void **state) {
  (void)state;
  pg_open(&server);
  folder = test_folder();
  return 0;
}

static int close_server(void **state) {
  (void)state;
  pg_close(&server);
  test_folder_remove(folder);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_append),
  };
  return cmocka_run_group_tests(tests, open_server, close_server);
}
