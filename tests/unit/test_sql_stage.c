// The SQL stage as a worker between two rings: groups and parts, marks, dead letters, the account, retries, limits of size.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sql_stage_harness.h"

static void expect_account(const struct rig *r, uint64_t in, uint64_t with_rows, uint64_t filtered, uint64_t dead_records, uint64_t out,
                           uint64_t dead_rows) {
  assert_int_equal(rig_counter(r, COUNT_IN), in);
  assert_int_equal(rig_counter(r, COUNT_WITH_ROWS), with_rows);
  assert_int_equal(rig_counter(r, COUNT_FILTERED), filtered);
  assert_int_equal(rig_counter(r, COUNT_DEAD_RECORDS), dead_records);
  assert_int_equal(rig_counter(r, COUNT_OUT), out);
  assert_int_equal(rig_counter(r, COUNT_DEAD_ROWS), dead_rows);
  assert_int_equal(rig_counter(r, COUNT_ROWS_MADE), out + dead_rows);
}

static void rows_flow(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 16);
  rig_put_kind(&r, RECORD_STREAM, 0, 0);
  rig_put(&r, 0, 1, "{\"id\":1,\"t\":\"a\",\"l\":[1,2]}");
  rig_put(&r, 0, 2, "{\"id\":2,\"t\":\"b\",\"l\":[]}");
  rig_put(&r, 1, 9, "{\"id\":3,\"l\":[3]}");
  rig_put_kind(&r, RECORD_BARRIER, 0, 5);
  rig_put(&r, 1, 10, "{\"id\":4}");
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, "{\"sql\":\"SELECT id, t, g.value AS v FROM raw e, each(e.l) g\"}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_expect(&r, "stream 0.0.0+\n"
                 "0.1.0 {\"id\":1,\"t\":\"a\",\"v\":1}\n"
                 "0.1.1+ {\"id\":1,\"t\":\"a\",\"v\":2}\n"
                 "1.9.0+ {\"id\":3,\"t\":null,\"v\":3}\n"
                 "progress 0.2.0+\n"
                 "barrier 0.5.0+\n"
                 "progress 1.10.0+\n"
                 "end 0.0.0+\n");
  expect_account(&r, 4, 2, 2, 0, 3, 0);
  rig_close(&r);
}

// A mark stands for the newest input of its stream only, and is not due once that stream has given rows.
static void marks_at_the_end_of_a_turn(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 16);
  for (uint64_t p = 1; p <= 6; p++) {
    rig_put(&r, 0, p, "{\"n\":0}");
    rig_put(&r, 1, p, p == 5 ? "{\"n\":1}" : "{\"n\":0}");
    rig_put(&r, 2, p, p == 6 ? "{\"n\":2}" : "{\"n\":0}");
  }
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, "{\"sql\":\"SELECT n FROM raw WHERE n > 0\"}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_expect(&r, "1.5.0+ {\"n\":1}\n2.6.0+ {\"n\":2}\nprogress 0.6.0+\nprogress 1.6.0+\nend 0.0.0+\n");
  expect_account(&r, 18, 2, 16, 0, 2, 0);
  rig_close(&r);
}

static const char dead_settings[] = "{\"sql\":\"SELECT id, g.value AS v, json(e.j) AS j FROM raw e LEFT JOIN each(e.l) g\","
                                    "\"columns\":{\"v\":\"int not null\"},\"checks\":{\"small\":\"v < 100\"}}";

static void dead_letters(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 16);
  rig_put(&r, 0, 1, "{\"id\":1,\"l\":[1,\"x\",200,4]}");
  rig_put(&r, 0, 2, "{\"id\":2,\"l\":[5],\"j\":\"{\"}");
  rig_put(&r, 0, 3, "{\"id\":3}");
  rig_put(&r, 0, 4, "{\"id\":4,\"l\":[6]}");
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, dead_settings);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_expect(&r, "0.1.0 {\"id\":1,\"v\":1,\"j\":null}\n"
                 "dead 0.1.1 cleaned|cast|column v: 'x' is not an int|{\"id\":1,\"l\":[1,\"x\",200,4]}\n"
                 "dead 0.1.2 cleaned|check|small|{\"id\":1,\"l\":[1,\"x\",200,4]}\n"
                 "0.1.3+ {\"id\":1,\"v\":4,\"j\":null}\n"
                 "dead 0.2.0+ cleaned|sql|malformed JSON|{\"id\":2,\"l\":[5],\"j\":\"{\"}\n"
                 "dead 0.3.0+ cleaned|cast|column v: null is not allowed|{\"id\":3}\n"
                 "0.4.0+ {\"id\":4,\"v\":6,\"j\":null}\n"
                 "end 0.0.0+\n");
  expect_account(&r, 4, 2, 0, 2, 3, 4);
  rig_close(&r);
}

// A tombstone is a key alone: types are asked of it, but neither `not null` nor the checks; all its rows delete.
static void tombstones_keep_their_flag(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 16);
  rig_put_tombstone(&r, 0, 1, "{\"id\":1}");
  rig_put(&r, 0, 2, "{\"id\":2}");
  rig_put_tombstone(&r, 0, 3, "{\"_key\":200}");
  rig_put_tombstone(&r, 0, 4, "{\"id\":\"x\"}");
  rig_put(&r, 0, 5, "{\"id\":5,\"name\":\"n\"}");
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r,
            "{\"sql\":\"SELECT coalesce(id, _key) AS id, name FROM raw\",\"columns\":{\"id\":\"int not null\",\"name\":\"text not null\"},"
            "\"checks\":{\"small\":\"id < 100 AND name IS NOT NULL\"}}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_expect(&r, "delete 0.1.0+ {\"id\":1,\"name\":null}\n"
                 "dead 0.2.0+ cleaned|cast|column name: null is not allowed|{\"id\":2}\n"
                 "delete 0.3.0+ {\"id\":200,\"name\":null}\n"
                 "dead 0.4.0+ cleaned|cast|column id: 'x' is not an int|tombstone {\"id\":\"x\"}\n"
                 "0.5.0+ {\"id\":5,\"name\":\"n\"}\n"
                 "end 0.0.0+\n");
  expect_account(&r, 5, 3, 0, 2, 3, 2);
  rig_close(&r);
}

// What is unnested is not in a tombstone: no row, unless its key makes some.
static void tombstones_unnested(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 16);
  rig_put_tombstone(&r, 0, 1, "{\"id\":1}");
  rig_put_tombstone(&r, 0, 2, "{\"id\":2,\"l\":[7,8]}");
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, "{\"sql\":\"SELECT r.id, e.value AS v FROM raw r, each(r.l) e\"}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_expect(&r, "delete 0.2.0 {\"id\":2,\"v\":7}\n"
                 "delete 0.2.1+ {\"id\":2,\"v\":8}\n"
                 "end 0.0.0+\n");
  expect_account(&r, 2, 1, 1, 0, 2, 0);
  rig_close(&r);
}

// A record that fails in its third row gives none of the two before.
static void failing_record_gives_nothing_else(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 16);
  rig_put(&r, 0, 1, "{\"id\":1,\"l\":[\"[1]\",\"[2]\",\"{\"]}");
  rig_put(&r, 0, 2, "{\"id\":2,\"l\":[\"[3]\"]}");
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, "{\"sql\":\"SELECT id, json(g.value) AS j FROM raw e, each(e.l) g\"}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_expect(&r, "dead 0.1.0+ cleaned|sql|malformed JSON|{\"id\":1,\"l\":[\"[1]\",\"[2]\",\"{\"]}\n"
                 "0.2.0+ {\"id\":2,\"j\":[3]}\n"
                 "end 0.0.0+\n");
  expect_account(&r, 2, 1, 0, 1, 1, 1);
  rig_close(&r);
}

static void limits_become_dead_letters(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 16);
  rig_put(&r, 0, 1, "{\"n\":1000000000}");
  rig_put(&r, 0, 2, "{\"n\":3}");
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, "{\"timeout\":50,\"sql\":\"WITH RECURSIVE c(i, n) AS (SELECT 1, n FROM raw UNION ALL SELECT i + 1, n FROM c WHERE i < n) "
                "SELECT i FROM c ORDER BY i DESC\"}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  // Either limit may be met first: the rows that the sorter keeps are memory.
  const char *got = buffer_cstring(&r.got);
  assert_non_null(strstr(got, "dead 0.1.0+ cleaned|limit|the record "));
  assert_non_null(strstr(got, "0.2.0 {\"i\":3}\n0.2.1 {\"i\":2}\n0.2.2+ {\"i\":1}\nend 0.0.0+\n"));
  rig_close(&r);
}

// Behind another stage an input comes as several records: one group, one last part, whatever each of them gives.
static void input_of_several_records(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 16);
  struct record_header h = {.kind = RECORD_DATA, .stream = 1, .position = 4, .witness = 28};
  for (h.part = 0; h.part < 3; h.part++) {
    h.flags = h.part == 2 ? RECORD_LAST : 0;
    rig_put_header(&r, &h, h.part == 1 ? "{\"id\":1,\"l\":[10,20]}" : h.part == 0 ? "{\"id\":0,\"l\":[1]}" : "{\"id\":2}");
  }
  for (h.part = 0, h.position = 5, h.witness = 35; h.part < 2; h.part++) {
    h.flags = h.part == 1 ? RECORD_LAST : 0;
    rig_put_header(&r, &h, "{\"id\":7}");
  }
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, "{\"sql\":\"SELECT id, g.value AS v FROM raw e, each(e.l) g\"}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_expect(&r, "1.4.0 {\"id\":0,\"v\":1}\n1.4.1 {\"id\":1,\"v\":10}\n1.4.2+ {\"id\":1,\"v\":20}\nprogress 1.5.0+\nend 0.0.0+\n");
  expect_account(&r, 5, 2, 3, 0, 3, 0);
  rig_close(&r);
}

static void put_dead(struct rig *r, uint32_t stream, uint64_t position, uint32_t part, uint8_t flags, size_t data_length) {
  uint8_t *data = memory_get(data_length + 1);
  data[0] = 0xc6; // a msgpack value: bytes
  data[1] = 0;
  data[2] = 0;
  data[3] = (uint8_t)((data_length - 5) >> 8);
  data[4] = (uint8_t)(data_length - 5);
  struct dead_letter d = {
      .node = "before", .reason = "why", .code = "json", .format = "raw", .data = data, .data_length = (uint32_t)data_length};
  struct record_header h = {.kind = RECORD_DEAD, .flags = flags, .node = 1, .stream = stream, .position = position, .part = part};
  uint32_t size = (uint32_t)sizeof h + dead_size(&d);
  uint8_t *at = ring_reserve(&r->in, size);
  assert_non_null(at);
  record_write(at, &h);
  struct msgpack_writer w = {.at = at + sizeof h, .end = at + size};
  dead_write(&w, &d, UINT32_MAX);
  ring_commit(&r->in, (uint32_t)(w.at - at));
  free(data);
  if (!(flags & RECORD_LAST)) return;
  ring_group_end(&r->in);
  ring_publish(&r->in);
}

static void dead_letters_pass(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 16);
  put_dead(&r, 0, 1, 0, RECORD_LAST, 5);
  struct record_header h = {.kind = RECORD_DATA, .stream = 0, .position = 2, .witness = 14};
  rig_put_header(&r, &h, "{\"id\":1}");
  put_dead(&r, 0, 2, 1, RECORD_LAST, 5);
  put_dead(&r, 0, 3, 0, 0, 5);
  h.position = 3, h.witness = 21, h.part = 1, h.flags = RECORD_LAST;
  rig_put_header(&r, &h, "{\"id\":2}");
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, "{\"sql\":\"SELECT id FROM raw WHERE id = 1\"}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_expect(&r, "dead 0.1.0+ before|json|why|\"\"\n0.2.0 {\"id\":1}\ndead 0.2.1+ before|json|why|\"\"\n"
                 "dead 0.3.0+ before|json|why|\"\"\nend 0.0.0+\n");
  expect_account(&r, 2, 1, 1, 0, 1, 0);
  rig_close(&r);
}

// A dead letter that a larger ring took is shortened for a smaller one.
static void large_dead_letter_is_cut(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 4096);
  put_dead(&r, 0, 1, 0, RECORD_LAST, 4000);
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, "{\"sql\":\"SELECT id FROM raw\"}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_expect(&r, "dead 0.1.0+ before|json|why|cut\nend 0.0.0+\n");
  rig_close(&r);
}

static void retry_gives_one_part(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 16);
  struct record_header h = {.kind = RECORD_DATA, .flags = RECORD_LAST | RECORD_RETRY, .stream = 0};
  static const uint32_t wanted[] = {2, 0, UINT32_MAX, 1, 9};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    h.position = i + 1, h.witness = 7 * h.position, h.code = wanted[i];
    rig_put_header(&r, &h, "{\"id\":1,\"l\":[1,\"x\",3]}");
  }
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, dead_settings);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_expect(&r, "0.1.0+ {\"id\":1,\"v\":3,\"j\":null}\n"
                 "0.2.0+ {\"id\":1,\"v\":1,\"j\":null}\n"
                 "0.3.0 {\"id\":1,\"v\":1,\"j\":null}\n"
                 "dead 0.3.1 cleaned|cast|column v: 'x' is not an int|{\"id\":1,\"l\":[1,\"x\",3]}\n"
                 "0.3.2+ {\"id\":1,\"v\":3,\"j\":null}\n"
                 "dead 0.4.0+ cleaned|cast|column v: 'x' is not an int|{\"id\":1,\"l\":[1,\"x\",3]}\n"
                 "progress 0.5.0+\n"
                 "end 0.0.0+\n");
  expect_account(&r, 5, 3, 1, 1, 4, 2);
  rig_close(&r);
}

static void set_aside(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 16);
  for (uint64_t p = 1; p <= 3; p++) rig_put(&r, 0, p, "{\"id\":1}");
  rig_put_kind(&r, RECORD_END, 0, 0);
  r.careful = true;
  r.aside_stream = 0;
  r.aside_position = 2;
  rig_start(&r, "{\"sql\":\"SELECT id FROM raw\"}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_expect(
      &r,
      "0.1.0+ {\"id\":1}\ndead 0.2.0+ cleaned|poison|set aside: it has ended three workers|{\"id\":1}\n0.3.0+ {\"id\":1}\nend 0.0.0+\n");
  expect_account(&r, 3, 2, 0, 1, 2, 1);
  rig_close(&r);
}

static void too_large(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 12);
  char *wide = memory_print("{\"id\":2,\"t\":\"%0*d\",\"l\":[1]}", 1100, 0);
  rig_put(&r, 0, 1, "{\"id\":1,\"l\":[1]}");
  rig_put(&r, 0, 2, wide);
  rig_put(&r, 0, 3,
          "{\"id\":3,\"t\":\"................................................................................\","
          "\"l\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}");
  rig_put(&r, 0, 4, "{\"id\":4,\"l\":[1]}");
  rig_put_kind(&r, RECORD_END, 0, 0);
  rig_start(&r, "{\"sql\":\"SELECT id, t, g.value AS v FROM raw e, each(e.l) g\"}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  const char *got = buffer_cstring(&r.got);
  assert_non_null(strstr(got, "0.1.0+ {"));
  assert_non_null(
      strstr(got, "dead 0.2.0+ cleaned|too-large|the input's rows exceed a quarter of a ring of 4096 bytes: set ring to 8192 or more|cut"));
  assert_non_null(strstr(
      got, "dead 0.3.0+ cleaned|too-large|the input's rows exceed half of a ring of 4096 bytes: set ring to 8192 or more|{\"id\":3"));
  assert_non_null(strstr(got, "0.4.0+ {"));
  expect_account(&r, 4, 2, 0, 2, 2, 2);
  free(wide);
  rig_close(&r);
}

static void brake(void **state) {
  (void)state;
  struct rig r;
  char error[SLOT_TEXT];
  rig_open(&r, 1 << 20, 1 << 20);
  for (uint64_t p = 1; p <= 2000; p++) rig_put(&r, 0, p, p % 3 ? "{\"v\":\"x\"}" : "{\"v\":1}");
  rig_start(&r, "{\"sql\":\"SELECT v FROM raw\",\"columns\":{\"v\":\"int\"}}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_OPERATOR);
  slot_error_get(&r.slot, error);
  assert_non_null(strstr(error, "501 of the last 1000 records became dead letters, the last one because: column v: 'x' is not an int"));
  // Two of three die: the 501st is record 751, and nothing is taken behind it.
  assert_int_equal(rig_counter(&r, COUNT_IN), 751);
  assert_int_equal(rig_counter(&r, COUNT_DEAD_RECORDS), 501);
  rig_close(&r);
}

static void bad_sql_is_a_configuration_error(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 16);
  rig_start(&r, "{\"sql\":\"SELECT id FROM other\"}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_CONFIG);
  rig_close(&r);
}

static void garbage_stops_the_worker(void **state) {
  (void)state;
  struct rig r;
  rig_open(&r, 1 << 16, 1 << 16);
  void *at = ring_reserve(&r.in, 8);
  memset(at, 0xff, 8);
  ring_commit(&r.in, 8);
  ring_group_end(&r.in);
  ring_publish(&r.in);
  rig_start(&r, "{\"sql\":\"SELECT id FROM raw\"}");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_OPERATOR);
  rig_close(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rows_flow),
      cmocka_unit_test(marks_at_the_end_of_a_turn),
      cmocka_unit_test(dead_letters),
      cmocka_unit_test(tombstones_keep_their_flag),
      cmocka_unit_test(tombstones_unnested),
      cmocka_unit_test(failing_record_gives_nothing_else),
      cmocka_unit_test(limits_become_dead_letters),
      cmocka_unit_test(input_of_several_records),
      cmocka_unit_test(dead_letters_pass),
      cmocka_unit_test(large_dead_letter_is_cut),
      cmocka_unit_test(retry_gives_one_part),
      cmocka_unit_test(set_aside),
      cmocka_unit_test(too_large),
      cmocka_unit_test(brake),
      cmocka_unit_test(bad_sql_is_a_configuration_error),
      cmocka_unit_test(garbage_stops_the_worker),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
