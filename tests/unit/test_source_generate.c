// The generate source as a whole process: the same rows at every run and after every death, partitions, rates, and the SELECT without FROM.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/source_harness.h"
#include "workers/sources/generate_sql.h"

static struct target sinks[HARNESS_SINKS];

static int teardown(void **state) {
  (void)state;
  for (size_t i = 0; i < HARNESS_SINKS; i++) target_free(&sinks[i]);
  return 0;
}

static uint64_t counters[SLOT_COUNTERS];

static int run(const char *settings) {
  struct rig r;
  rig_open(&r, sinks, 1, 1 << 16);
  rig_start(&r, "generate", settings);
  int code = rig_finish(&r);
  for (unsigned i = 0; i < SLOT_COUNTERS; i++) counters[i] = rig_counter(&r, i);
  assert_int_equal(counters[COUNT_IN], counters[COUNT_WITH_ROWS] + counters[COUNT_FILTERED] + counters[COUNT_DEAD_RECORDS]);
  assert_int_equal(counters[COUNT_ROWS_MADE], counters[COUNT_OUT] + counters[COUNT_DEAD_ROWS]);
  rig_close(&r);
  return code;
}

static void expect(const char *const *texts, size_t count) {
  for (size_t i = 0; i < count && i < sinks[0].got_count; i++) assert_string_equal(sinks[0].got[i], texts[i]);
  assert_int_equal(sinks[0].got_count, count);
}
#define EXPECT(...) expect((const char *const[]){__VA_ARGS__}, sizeof(const char *const[]){__VA_ARGS__} / sizeof(char *))

static void rows(void **state) {
  (void)state;
  assert_int_equal(run("{\"sql\": \"SELECT n AS id, n * n AS square, seed\", \"count\": 3, \"seed\": 7}"), WORKER_EXIT_DONE);
  EXPECT("{\"id\":1,\"square\":1,\"seed\":7}", "{\"id\":2,\"square\":4,\"seed\":7}", "{\"id\":3,\"square\":9,\"seed\":7}");
  assert_int_equal(run("{\"sql\": \"SELECT n AS id, n * n AS square, seed\", \"count\": 4, \"seed\": 7}"), WORKER_EXIT_DONE);
  assert_int_equal(sinks[0].got_count, 4);
}

static void partitions_take_turns(void **state) {
  (void)state;
  assert_int_equal(run("{\"sql\": \"SELECT n, partition AS p\", \"count\": 2, \"partitions\": 3}"), WORKER_EXIT_DONE);
  EXPECT("{\"n\":1,\"p\":0}", "{\"n\":1,\"p\":1}", "{\"n\":1,\"p\":2}", "{\"n\":2,\"p\":0}", "{\"n\":2,\"p\":1}", "{\"n\":2,\"p\":2}");
  assert_int_equal(sinks[0].row_count, 3);
}

static void inputs_without_rows_are_filtered(void **state) {
  (void)state;
  assert_int_equal(run("{\"sql\": \"SELECT n WHERE n % 3 = 0\", \"count\": 10}"), WORKER_EXIT_DONE);
  EXPECT("{\"n\":3}", "{\"n\":6}", "{\"n\":9}");
  assert_int_equal(counters[COUNT_IN], 10);
  assert_int_equal(counters[COUNT_FILTERED], 7);
  // The progress mark behind the last input moved the sink along.
  assert_int_equal(sinks[0].rows[0].position, 10);
}

static void an_input_may_have_many_rows(void **state) {
  (void)state;
  assert_int_equal(run("{\"sql\": \"SELECT n, j.value AS v FROM numbers, json_each('[1,2]') j\", \"count\": 2}"), WORKER_EXIT_DONE);
  EXPECT("{\"n\":1,\"v\":1}", "{\"n\":1,\"v\":2}", "{\"n\":2,\"v\":1}", "{\"n\":2,\"v\":2}");
  assert_int_equal(counters[COUNT_IN], 2);
  assert_int_equal(counters[COUNT_OUT], 4);
}

static void a_failing_input_is_a_dead_letter(void **state) {
  (void)state;
  assert_int_equal(run("{\"sql\": \"SELECT n, CASE WHEN n = 2 THEN abs(-9223372036854775807 - 1) END AS a\", \"count\": 3}"),
                   WORKER_EXIT_DONE);
  assert_int_equal(sinks[0].got_count, 3);
  assert_string_equal(sinks[0].got[0], "{\"n\":1,\"a\":null}");
  assert_memory_equal(sinks[0].got[1], "dead sql ", 9);
  assert_string_equal(sinks[0].got[2], "{\"n\":3,\"a\":null}");
  assert_int_equal(counters[COUNT_DEAD_RECORDS], 1);
}

static void a_row_over_the_ring_is_a_dead_letter(void **state) {
  (void)state;
  assert_int_equal(run("{\"sql\": \"SELECT n, printf('%.*c', CASE WHEN n = 2 THEN 20000 ELSE n * 3000 END, 'x') AS a\", \"count\": 3}"),
                   WORKER_EXIT_DONE);
  assert_int_equal(sinks[0].got_count, 3);
  assert_memory_equal(sinks[0].got[1], "dead too-large", 14);
  assert_int_equal(strlen(sinks[0].got[2]), 9000 + 14);
}

static void bad_sql_is_a_configuration_error(void **state) {
  (void)state;
  assert_int_equal(run("{\"sql\": \"SELECT nothing(n)\", \"count\": 3}"), WORKER_EXIT_CONFIG);
  assert_int_equal(run("{\"sql\": \"SELECT n\"}"), WORKER_EXIT_CONFIG);
}

static void kills(void **state) {
  (void)state;
  enum { COUNT = 10000 };
  struct rig r;
  rig_open(&r, sinks, 2, 1 << 14);
  const char *settings = "{\"sql\": \"SELECT n, hash(n, seed) AS h, partition AS p WHERE n % 5 > 0\", \"count\": 5000, \"partitions\": 2}";
  for (size_t life = 1; life <= 30; life++) {
    rig_start(&r, "generate", settings);
    rig_until(&r, life * COUNT / 100);
    rig_kill(&r);
  }
  rig_start(&r, "generate", settings);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  for (unsigned sink = 0; sink < 2; sink++) {
    int last[2] = {0, 0};
    assert_int_equal(sinks[sink].got_count, COUNT * 4 / 5);
    for (size_t i = 0; i < sinks[sink].got_count; i++) {
      int n = atoi(sinks[sink].got[i] + 5), partition = atoi(strstr(sinks[sink].got[i], "\"p\":") + 4);
      assert_int_equal(n, last[partition] % 5 == 4 ? last[partition] + 2 : last[partition] + 1);
      last[partition] = n;
    }
  }
  assert_int_equal(rig_counter(&r, COUNT_IN), COUNT);
  assert_int_equal(rig_counter(&r, COUNT_OUT), COUNT * 4 / 5);
  rig_close(&r);
}

static void a_rate_is_kept_and_a_stop_heard(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, sinks, 1, 1 << 16);
  r.once = false;
  rig_start(&r, "generate", "{\"sql\": \"SELECT n\", \"rate\": 200}");
  uint64_t begun = clock_monotonic_ns();
  rig_until(&r, 41);
  // The 41st row may not come before 40 / 200 s have passed.
  assert_true(clock_monotonic_ns() - begun >= 200000000u);
  rig_stop(&r);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_close(&r);
}

static void lanes_share_the_partitions(void **state) {
  (void)state;
  for (unsigned lane = 0; lane < 2; lane++) {
    struct rig r;
    rig_open(&r, &sinks[lane], 1, 1 << 16);
    r.lane = lane;
    r.lanes = 2;
    rig_start(&r, "generate", "{\"sql\": \"SELECT partition AS p\", \"count\": 1, \"partitions\": 3}");
    assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
    rig_close(&r);
  }
  EXPECT("{\"p\":0}", "{\"p\":2}");
  assert_int_equal(sinks[1].got_count, 1);
  assert_string_equal(sinks[1].got[0], "{\"p\":1}");
}

static void expect_sql(const char *sql, const char *wanted) {
  char *got = generate_sql(sql);
  assert_string_equal(got, wanted);
  free(got);
}

static void from_is_put_where_it_belongs(void **state) {
  (void)state;
  expect_sql("SELECT n", "SELECT n FROM numbers ");
  expect_sql("SELECT n;\n", "SELECT n FROM numbers ;\n");
  expect_sql("SELECT n WHERE n > 1", "SELECT n  FROM numbers WHERE n > 1");
  expect_sql("select n limit 1", "select n  FROM numbers limit 1");
  expect_sql("SELECT 'a WHERE b', (SELECT 1 WHERE n), \"where\" -- WHERE\n ORDER BY 1",
             "SELECT 'a WHERE b', (SELECT 1 WHERE n), \"where\" -- WHERE\n  FROM numbers ORDER BY 1");
  expect_sql("SELECT n -- the number", "SELECT n FROM numbers  -- the number");
  expect_sql("SELECT n FROM numbers WHERE n", "SELECT n FROM numbers WHERE n");
  expect_sql("SELECT (SELECT v FROM t) AS x", "SELECT (SELECT v FROM t) AS x FROM numbers ");
  expect_sql("SELECT 'unclosed", "SELECT 'unclosed FROM numbers ");
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
  const struct CMUnitTest tests[] = {
      TEST(rows),
      TEST(partitions_take_turns),
      TEST(inputs_without_rows_are_filtered),
      TEST(an_input_may_have_many_rows),
      TEST(a_failing_input_is_a_dead_letter),
      TEST(a_row_over_the_ring_is_a_dead_letter),
      TEST(bad_sql_is_a_configuration_error),
      TEST(kills),
      TEST(a_rate_is_kept_and_a_stop_heard),
      TEST(lanes_share_the_partitions),
      TEST(from_is_put_where_it_belongs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
