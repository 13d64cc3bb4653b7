// The table sink into real SQLite files: rows, positions, dead letters and the account, whatever dies when.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sink_harness.h"

struct place {
  char *folder, *db, *settings;
};

static void place_open(struct place *p, const char *more) {
  p->folder = test_folder();
  p->db = memory_print("%s/out.db", p->folder);
  p->settings = memory_print("{\"url\":\"sqlite:%s\",\"table\":\"t\"%s}", p->db, more);
}

static void place_close(struct place *p) {
  test_folder_remove(p->folder);
  free(p->db);
  free(p->settings);
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
  struct place p;
  struct rig r;
  uint32_t s;
  place_open(&p, COLUMNS);
  rig_open(&r, p.folder);
  rig_start(&r, "table", p.settings);
  assert_int_equal(stream_begin(&r, "", &s), 0);
  send_row(&r, s, 1, "{\"id\":1,\"name\":\"a\",\"at\":\"2025-11-08\"}");
  send_part(&r, s, 2, 0, false, "{\"id\":2,\"name\":null,\"at\":\"2025-11-08T01:02:03.5+01:00\"}");
  send_part(&r, s, 2, 1, true, "{\"id\":\"3\",\"name\":7.5}");
  send_progress(&r, s, 9);
  send_end(&r);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  expect_sqlite(p.db, "SELECT id, name, at, typeof(id) FROM t ORDER BY id",
                "1|a|2025-11-08T00:00:00Z|integer\n2|null|2025-11-08T00:02:03.500000Z|integer\n3|7.5|null|integer");
  expect_sqlite(p.db,
                "SELECT pipeline, sink, edge, source, partition, position, start, identity, fingerprint, rows, dead FROM weir_positions",
                "test|out|input|input||9|0|id-1|f1|3|0");
  expect_account(&r, 3, 0, 0);
  rig_close(&r);
  place_close(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_append),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
