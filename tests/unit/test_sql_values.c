// Values keep their kind through SQL, casts keep what a value says or fail, and the functions give the same again for the same record.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sql_help.h"
#include "workers/common/cells.h"

static void expect(const char *sql, const char *record, const char *rows) {
  help_expect(&(struct help_spec){.sql = sql}, &record, 1, rows);
  help_expect(&(struct help_spec){.sql = sql, .one_by_one = true}, &record, 1, rows);
}

static const char kinds_record[] = "{\"b\":true,\"i\":-5,\"u\":18446744073709551615,\"d\":0.1,\"t\":\"\\u00e4 \\\" \\u0000x\",\"n\":null,"
                                   "\"l\":[1,[2,{\"a\":null}]],\"m\":{\"x\":{\"y\":[false]}},\"e\":\"\",\"el\":[],\"em\":{}}";

static void kinds_are_kept(void **state) {
  (void)state;
  const char *rows = "1: {\"b\":true,\"i\":-5,\"u\":18446744073709551615,\"d\":0.1,\"t\":\"\xc3\xa4 \\\" \\u0000x\",\"n\":null,"
                     "\"l\":[1,[2,{\"a\":null}]],\"m\":{\"x\":{\"y\":[false]}},\"e\":\"\",\"el\":[],\"em\":{},\"absent\":null}\n";
  expect("SELECT b, i, u, d, t, n, l, m, e, el, em, absent FROM raw", kinds_record, rows);
  // The same through SQLite's own values.
  expect("SELECT coalesce(b, 0) AS b, coalesce(i, 0) AS i, coalesce(u, 0) AS u, CASE WHEN d > 0 THEN d END AS d, coalesce(t, '') AS t, "
         "nullif(n, 1) AS n, coalesce(l, 0) AS l, (SELECT m) AS m, coalesce(e, 1) AS e, coalesce(el, 1) AS el, coalesce(em, 1) AS em, "
         "coalesce(absent, NULL) AS absent FROM raw",
         kinds_record, rows);
}

static void bytes_and_times(void **state) {
  (void)state;
  static const char *const sqls[] = {"SELECT a, t, x, f FROM raw",
                                     "SELECT coalesce(a, 0) AS a, coalesce(t, 0) AS t, coalesce(f, 0) AS f FROM raw"};
  uint8_t bytes[128];
  struct msgpack_writer w = {.at = bytes, .end = bytes + sizeof bytes};
  msgpack_write_map(&w, 4);
  msgpack_write_cstring(&w, "a");
  msgpack_write_bytes(&w, "\xff\x00", 2);
  msgpack_write_cstring(&w, "t");
  msgpack_write_timestamp(&w, 1731024000123456);
  msgpack_write_cstring(&w, "x");
  msgpack_write_raw(&w, "\xd4\x05\x07", 3);
  msgpack_write_cstring(&w, "f");
  msgpack_write_raw(&w, "\xca\x3f\x00\x00\x00", 5);
  for (size_t i = 0; i < 2; i++) {
    struct sql_engine *engine = help_engine(&(struct help_spec){.sql = sqls[i]});
    struct sql_record record = {.at = bytes, .end = w.at};
    struct buffer out = {0};
    struct error e = {0};
    size_t rows = 0;
    const uint8_t *found, *end;
    struct msgpack_value v;
    assert_true(sql_engine_run(engine, &record, &out, &rows, &e));
    assert_int_equal(rows, 1);
    assert_true(msgpack_find(out.at, out.at + out.length, "a", 1, &found, &end) && msgpack_read(&found, end, &v));
    assert_int_equal(v.type, MSGPACK_BYTES);
    assert_memory_equal(v.bytes, "\xff\x00", 2);
    assert_true(msgpack_find(out.at, out.at + out.length, "t", 1, &found, &end) && msgpack_read(&found, end, &v));
    assert_int_equal(v.type, MSGPACK_TIMESTAMP);
    assert_int_equal(v.micros, 1731024000123456);
    assert_true(msgpack_find(out.at, out.at + out.length, "f", 1, &found, &end) && msgpack_read(&found, end, &v));
    assert_int_equal(v.type, MSGPACK_DOUBLE);
    assert_true(v.d == 0.5);
    if (i == 0) assert_true(msgpack_find(out.at, out.at + out.length, "x", 1, &found, &end) && end - found == 3 && *found == 0xd4);
    buffer_free(&out);
    sql_engine_free(engine);
  }
}

struct cast {
  const char *type, *value, *result; // JSON; result "!" + the reason's end when it fails
};
static const struct cast casts[] = {
    {"text", "\"a\"", "\"a\""},
    {"text", "12", "\"12\""},
    {"text", "0.1", "\"0.1\""},
    {"text", "true", "\"true\""},
    {"text", "[1,\"x\"]", "\"[1,\\\"x\\\"]\""},
    {"text", "18446744073709551615", "\"18446744073709551615\""},
    {"text", "null", "null"},
    {"text not null", "null", "!null is not allowed"},
    {"TEXT  NOT  NULL", "\"\"", "\"\""},
    {"int", "2147483647", "2147483647"},
    {"int", "2147483648", "!2147483648 is not an int"},
    {"int", "-2147483649", "!-2147483649 is not an int"},
    {"int", "\" 7\"", "!' 7' is not an int"},
    {"int", "\"-7\"", "-7"},
    {"int", "\"+7\"", "7"},
    {"int", "\"0x10\"", "!'0x10' is not an int"},
    {"int", "\"\"", "!'' is not an int"},
    {"int", "5.0", "5"},
    {"int", "5.5", "!5.5 is not an int"},
    {"int", "true", "1"},
    {"bigint", "9223372036854775807", "9223372036854775807"},
    {"bigint", "18446744073709551615", "!18446744073709551615 is not a bigint"},
    {"bigint", "\"-9223372036854775808\"", "-9223372036854775808"},
    {"bigint", "\"9223372036854775808\"", "!'9223372036854775808' is not a bigint"},
    {"bigint", "9.3e18", "!9.3e+18 is not a bigint"},
    {"bigint", "[1]", "![1] is not a bigint"},
    {"double", "1", "1.0"},
    {"double", "\"1.5e3\"", "1500.0"},
    {"double", "\"abc\"", "!'abc' is not a double"},
    {"double", "\"inf\"", "!'inf' is not a double"},
    {"double", "\"1e999\"", "!'1e999' is not a double"},
    {"double", "\"1.5 \"", "!'1.5 ' is not a double"},
    {"double", "\"0x1p3\"", "!'0x1p3' is not a double"},
    {"double", "true", "!true is not a double"},
    {"double", "18446744073709551615", "1.8446744073709552e+19"},
    {"boolean", "true", "true"},
    {"boolean", "0", "false"},
    {"boolean", "2", "!2 is not a boolean"},
    {"boolean", "\"Yes\"", "true"},
    {"boolean", "\"off\"", "false"},
    {"boolean", "\"maybe\"", "!'maybe' is not a boolean"},
    {"timestamp", "\"2025-11-08\"", "\"2025-11-08T00:00:00Z\""},
    {"timestamp", "\"2025-11-08T01:02:03.5+01:00\"", "\"2025-11-08T00:02:03.500000Z\""},
    {"timestamp", "1731024000000000", "\"2024-11-08T00:00:00Z\""},
    {"timestamp", "\"2025-02-30\"", "!'2025-02-30' is not a timestamp"},
    {"timestamp", "1.5", "!1.5 is not a timestamp"},
    {"date", "\"2025-11-08T23:59:59Z\"", "\"2025-11-08\""},
    {"date", "\"2025-11-08\"", "\"2025-11-08\""},
    {"date", "-1", "\"1969-12-31\""},
    {"date", "\"soon\"", "!'soon' is not a date"},
    {"json", "{\"a\":[1]}", "{\"a\":[1]}"},
    {"json", "\"[1,2]\"", "[1,2]"},
    {"json", "\"{\"", "!'{' is not a json"},
    {"json", "4", "4"},
    {"text", "\"0123456789012345678901234567890123456789012345678901234567890123456789\"",
     "\"0123456789012345678901234567890123456789012345678901234567890123456789\""},
    {"int", "\"0123456789012345678901234567890123456789012345678901234567890123456789\"",
     "!'012345678901234567890123456789012345678901234567890123456789...' is not an int"},
    {"int", "\"01234567890123456789012345678901234567890123456789012345678\\u00e4\"",
     "!'01234567890123456789012345678901234567890123456789012345678...' is not an int"},
};

static void cast_one(const struct cast *c, const char *sql) {
  char *columns = memory_print("{\"v\":\"%s\"}", c->type), *record = memory_print("{\"v\":%s}", c->value);
  char *rows = c->result[0] == '!' ? memory_print("1: !cast column v: %s\n", c->result + 1) : memory_print("1: {\"v\":%s}\n", c->result);
  help_expect(&(struct help_spec){.sql = sql, .columns = columns}, (const char *const *)&record, 1, rows);
  free(columns);
  free(record);
  free(rows);
}

static void cast_value(void **state) {
  cast_one(*state, "SELECT v FROM raw");
  // The same value out of SQLite instead of the record.
  cast_one(*state, "SELECT coalesce(v, NULL) AS v FROM raw");
}

static void bytes_columns(void **state) {
  (void)state;
  const char *record = "{\"t\":\"ab\",\"n\":1}";
  help_expect(&(struct help_spec){.sql = "SELECT t FROM raw", .columns = "{\"t\":\"bytes\"}"}, &record, 1, "1: {\"t\":\"YWI=\"}\n");
  help_expect(&(struct help_spec){.sql = "SELECT x'6162' AS t FROM raw", .columns = "{\"t\":\"text\"}"}, &record, 1,
              "1: !cast column t: 2 bytes are not a text\n");
  help_expect(&(struct help_spec){.sql = "SELECT n FROM raw", .columns = "{\"n\":\"bytes\"}"}, &record, 1,
              "1: !cast column n: 1 is not a bytes\n");
}

// `columns:` orders what it names when it names all, and leaves the SELECT's order otherwise.
static void order_of_columns(void **state) {
  (void)state;
  const char *record = "{\"a\":1,\"b\":2,\"c\":3}";
  help_expect(&(struct help_spec){.sql = "SELECT a, b, c FROM raw", .columns = "{\"c\":\"text\",\"A\":\"text\",\"b\":\"int\"}"}, &record, 1,
              "1: {\"c\":\"3\",\"a\":\"1\",\"b\":2}\n");
  help_expect(&(struct help_spec){.sql = "SELECT a, b, c FROM raw", .columns = "{\"c\":\"text\",\"a\":\"text\"}"}, &record, 1,
              "1: {\"a\":\"1\",\"b\":2,\"c\":\"3\"}\n");
}

static void checks_see_what_is_written(void **state) {
  (void)state;
  static const char *const records[] = {"{\"id\":1,\"lon\":\"12.5\",\"s\":[1]}", "{\"id\":2,\"lon\":\"181\"}", "{\"id\":3}",
                                        "{\"id\":-4,\"lon\":\"200\"}", "{\"id\":5,\"lon\":\"0\",\"s\":\"{\"}"};
  static const char rows[] =
      "1: {\"id\":1,\"lon\":12.5,\"s\":[1]}\n2: !check on_the_globe\n3: {\"id\":3,\"lon\":null,\"s\":null}\n4: !check positive\n"
      "5: !check positive: malformed JSON\n";
  struct help_spec h = {
      .sql = "SELECT id, lon, s FROM raw",
      .columns = "{\"lon\":\"double\"}",
      .checks = "{\"positive\":\"id > 0 -- comment\",\"on_the_globe\":\"lon BETWEEN -180 AND 180\",\"json\":\"json_type(s) <> 'x'\"}"};
  help_expect(&h, records, 5, rows);
  h.one_by_one = true;
  help_expect(&h, records, 5, rows);
}

static void entities(void **state) {
  (void)state;
  static const char *const pairs[][2] = {
      {"a", "a"},
      {"A &amp; B", "A & B"},
      {"&lt;b&gt;", "<b>"},
      {"&quot;&apos;&#39;&#x27;&#X27;", "\"''''"},
      {"a&nbsp;b", "a\xc2\xa0"
                   "b"},
      {"&eacute;&Eacute;&euro;&hearts;", "\xc3\xa9\xc3\x89\xe2\x82\xac\xe2\x99\xa5"},
      {"&#8217;&#128512;", "\xe2\x80\x99\xf0\x9f\x98\x80"},
      {"&#146;", "\xe2\x80\x99"},
      {"&#0;&#xD800;&#1114112;&#99999999999999999999;", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
      {"&ampamp; &amp", "&amp; &"},
      {"&notit; &notin;", "\xc2\xacit; \xe2\x88\x89"},
      {"&nope; & &; &# &#x; &#xg; &", "&nope; & &; &# &#x; &#xg; &"},
      {"&amp;amp;", "&amp;"},
      {"&#65", "A"},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    struct buffer json = {0};
    uint8_t text[64];
    struct msgpack_writer w = {.at = text, .end = text + sizeof text};
    msgpack_write_cstring(&w, pairs[i][0]);
    const uint8_t *at = text;
    buffer_text(&json, "{\"t\":");
    assert_true(msgpack_to_json(&at, w.at, &json));
    buffer_text(&json, "}");
    const char *record = buffer_cstring(&json);
    char *got = help_rows(&(struct help_spec){.sql = "SELECT unescape_html(t) AS t FROM raw"}, &record, 1);
    struct buffer row = {0}, expected = {0};
    help_msgpack(got + 3, &row);
    w = (struct msgpack_writer){.at = text, .end = text + sizeof text};
    msgpack_write_cstring(&w, pairs[i][1]);
    buffer_add(&expected, "\x81\xa1t", 3);
    buffer_add(&expected, text, (size_t)(w.at - text));
    if (row.length != expected.length) fail_msg("%s gave %s", pairs[i][0], got);
    assert_memory_equal(row.at, expected.at, row.length);
    free(got);
    buffer_free(&json);
    buffer_free(&row);
    buffer_free(&expected);
  }
  expect("SELECT unescape_html(n) AS a, unescape_html(i) AS b, unescape_html('') AS c FROM raw", kinds_record,
         "1: {\"a\":null,\"b\":-5,\"c\":\"\"}\n");
}

static void times(void **state) {
  (void)state;
  expect("SELECT parse_time(a) AS a, parse_time(b) AS b, parse_time(c) AS c, parse_time(a) < parse_time('2026') AS d, "
         "parse_time(parse_time(a)) AS e, parse_time(a) + 1000000 AS f FROM raw",
         "{\"a\":\"2025-11-08T00:00:00Z\",\"b\":\"no\",\"c\":5}",
         "1: {\"a\":\"2025-11-08T00:00:00Z\",\"b\":null,\"c\":null,\"d\":null,\"e\":\"2025-11-08T00:00:00Z\",\"f\":1762560001000000}\n");
  expect("SELECT now() AS n, CASE WHEN 1 THEN now() END AS m, datetime('now') AS d, current_date AS c, strftime('%s', 'now') AS s FROM raw",
         "{}",
         "1: {\"n\":\"2024-11-08T00:00:00Z\",\"m\":\"2024-11-08T00:00:00Z\",\"d\":\"2024-11-08 "
         "00:00:00\",\"c\":\"2024-11-08\",\"s\":\"1731024000\"}\n");
}

// These values are stored by users: they may never change.
static void hashes_are_stable(void **state) {
  (void)state;
  expect("SELECT hash('a') AS a, hash(1) AS b, hash('1') AS c, hash(NULL) AS d, hash('ab', 'c') = hash('a', 'bc') AS e, "
         "hash(x) = hash('v') AS f, hash(1.0) = hash(1) AS g FROM raw",
         "{\"x\":\"v\"}",
         "1: {\"a\":6614270428744560676,\"b\":-8484456787529832656,\"c\":-1118659140120986500,\"d\":null,\"e\":0,\"f\":1,\"g\":0}\n");
}

static char *uuid_of(uint64_t stream, uint64_t position, uint32_t part, const char *sql) {
  struct sql_engine *engine = help_engine(&(struct help_spec){.sql = sql});
  assert_true(sql_engine_reads_identity(engine));
  uint8_t empty = 0x80;
  struct sql_record record = {.at = &empty, .end = &empty + 1, .stream = stream, .position = position, .part = part};
  struct buffer rows = {0}, text = {0};
  struct error e = {0};
  size_t count = 0;
  assert_true(sql_engine_run(engine, &record, &rows, &count, &e));
  const uint8_t *at = rows.at;
  assert_true(msgpack_to_json(&at, rows.at + rows.length, &text));
  char *json = memory_text(buffer_cstring(&text));
  buffer_free(&rows);
  buffer_free(&text);
  sql_engine_free(engine);
  return json;
}

static void uuids_are_stable(void **state) {
  (void)state;
  const char *sql = "SELECT uuid() AS u, uuid() AS v FROM raw";
  char *first = uuid_of(1, 2, 3, sql), *again = uuid_of(1, 2, 3, sql);
  assert_string_equal(first, "{\"u\":\"7e24f675-5862-8fe0-9499-f15064588706\",\"v\":\"e1b53f7f-5af6-8f76-9e76-fa38419f1a63\"}");
  assert_string_equal(first, again);
  free(again);
  for (int i = 0; i < 3; i++) {
    char *other = uuid_of(i == 0 ? 9 : 1, i == 1 ? 9 : 2, i == 2 ? 9 : 3, sql);
    assert_string_not_equal(first, other);
    free(other);
  }
  free(first);
}

// One row per (event, geometry); a polygon stands at the centre of its bounding box.
static const char eonet[] =
    "SELECT e.id, unescape_html(e.title) AS title, e.\"categories[0].id\" AS category, e.\"sources[0].id\" AS source, e.closed, "
    "g.\"date\" AS observed_at, g.\"type\" AS geometry_type, "
    "CASE g.\"type\" WHEN 'Point' THEN g.\"coordinates[0]\" "
    "WHEN 'Polygon' THEN (SELECT (min(p.\"value[0]\") + max(p.\"value[0]\")) / 2.0 FROM each(g.\"coordinates[0]\") p) END AS lon, "
    "CASE g.\"type\" WHEN 'Point' THEN g.\"coordinates[1]\" "
    "WHEN 'Polygon' THEN (SELECT (min(p.\"value[1]\") + max(p.\"value[1]\")) / 2.0 FROM each(g.\"coordinates[0]\") p) END AS lat, "
    "g.\"magnitudeValue\" AS magnitude FROM events e, each(e.geometry) g";

static void natural_events(void **state) {
  (void)state;
  static const char *const records[] = {
      "{\"id\":\"E1\",\"title\":\"Fire &amp; Smoke &#8211; A\",\"closed\":null,\"categories\":[{\"id\":\"wildfires\"}],\"sources\":[],"
      "\"geometry\":[{\"magnitudeValue\":35.00,\"date\":\"2025-11-01T00:00:00Z\",\"type\":\"Point\",\"coordinates\":[-120.5,38]},"
      "{\"magnitudeValue\":null,\"date\":\"2025-11-02T00:00:00Z\",\"type\":\"Polygon\",\"coordinates\":[[[-10,1],[4.5,1],[4.5,7],[-10,1]]]}"
      ","
      "{\"date\":null,\"type\":\"Point\",\"coordinates\":[1,2]},"
      "{\"date\":\"2025-11-03T00:00:00Z\",\"type\":\"Point\",\"coordinates\":[181,2]}]}",
      "{\"id\":\"E2\",\"title\":\"x\",\"closed\":\"2025-11-08T00:00:00Z\",\"categories\":[{\"id\":\"storms\"}],\"sources\":[{\"id\":"
      "\"JTWC\"}],\"geometry\":[]}",
      "{\"id\":\"E3\",\"title\":\"y\",\"closed\":\"2025-11-08T00:00:00Z\",\"categories\":[{\"id\":\"storms\"}],\"sources\":[{\"id\":"
      "\"JTWC\"},{\"id\":\"B\"}],"
      "\"geometry\":[{\"date\":\"2025-11-04T06:00:00Z\",\"type\":\"Point\",\"coordinates\":[2.25,-3.5]}]}",
  };
  help_expect(&(struct help_spec){.sql = eonet,
                                  .input = "events",
                                  .columns = "{\"id\":\"text not null\",\"closed\":\"timestamp\",\"observed_at\":\"timestamp not null\","
                                             "\"lon\":\"double not null\",\"lat\":\"double not null\",\"magnitude\":\"double\"}",
                                  .checks = "{\"on_the_globe\":\"lon BETWEEN -180 AND 180 AND lat BETWEEN -90 AND 90\"}"},
              records, 3,
              "1: {\"id\":\"E1\",\"title\":\"Fire & Smoke \xe2\x80\x93 A\",\"category\":\"wildfires\",\"source\":null,\"closed\":null,"
              "\"observed_at\":\"2025-11-01T00:00:00Z\",\"geometry_type\":\"Point\",\"lon\":-120.5,\"lat\":38.0,\"magnitude\":35.0}\n"
              "1: {\"id\":\"E1\",\"title\":\"Fire & Smoke \xe2\x80\x93 A\",\"category\":\"wildfires\",\"source\":null,\"closed\":null,"
              "\"observed_at\":\"2025-11-02T00:00:00Z\",\"geometry_type\":\"Polygon\",\"lon\":-2.75,\"lat\":4.0,\"magnitude\":null}\n"
              "1: !cast column observed_at: null is not allowed\n"
              "1: !check on_the_globe\n"
              "3: {\"id\":\"E3\",\"title\":\"y\",\"category\":\"storms\",\"source\":\"JTWC\",\"closed\":\"2025-11-08T00:00:00Z\","
              "\"observed_at\":\"2025-11-04T06:00:00Z\",\"geometry_type\":\"Point\",\"lon\":2.25,\"lat\":-3.5,\"magnitude\":null}\n");
}

static void each_of_everything(void **state) {
  (void)state;
  const char *record = "{\"l\":[1,null,\"x\"],\"m\":{\"a\":1,\"b\":[2]},\"s\":5,\"t\":\"[7,8]\",\"n\":null,\"deep\":[[1,2],[3]]}";
  expect("SELECT g.key AS k, g.value AS v FROM raw e, each(e.l) g", record,
         "1: {\"k\":0,\"v\":1}\n1: {\"k\":1,\"v\":null}\n1: {\"k\":2,\"v\":\"x\"}\n");
  expect("SELECT g.key AS k, g.value AS v FROM raw e, each(e.m) g", record, "1: {\"k\":\"a\",\"v\":1}\n1: {\"k\":\"b\",\"v\":[2]}\n");
  expect("SELECT g.key AS k, g.value AS v FROM raw e, each(e.s) g", record, "1: {\"k\":null,\"v\":5}\n");
  expect("SELECT g.key AS k, g.value AS v FROM raw e, each(e.t) g", record, "1: {\"k\":0,\"v\":7}\n1: {\"k\":1,\"v\":8}\n");
  expect("SELECT 1 AS one FROM raw e LEFT JOIN each(e.n) g", record, "1: {\"one\":1}\n");
  expect("SELECT g.value AS v FROM raw e, each(e.n) g UNION ALL SELECT g.value FROM raw e, each(e.absent) g UNION ALL SELECT 2 FROM raw",
         record, "1: {\"v\":2}\n");
}

static void each_by_path(void **state) {
  (void)state;
  const char *record = "{\"deep\":[[1,2],[3]],\"o\":[{\"value\":{\"x\":1},\"key\":\"K\",\"a.b\":2},{\"x\":3}]}";
  expect("SELECT p.value AS v, q.value AS w FROM raw e, each(e.deep) p, each(p.value) q", record,
         "1: {\"v\":[1,2],\"w\":1}\n1: {\"v\":[1,2],\"w\":2}\n1: {\"v\":[3],\"w\":3}\n");
  expect("SELECT p.\"[0]\" AS a, p.\"value[1]\" AS b FROM raw e, each(e.deep) p", record,
         "1: {\"a\":1,\"b\":2}\n1: {\"a\":3,\"b\":null}\n");
  expect("SELECT p.\"value.value.x\" AS a, p.\"value.key\" AS b, p.\"a\\.b\" AS c, p.x FROM raw e, each(e.o) p", record,
         "1: {\"a\":1,\"b\":\"K\",\"c\":2,\"x\":null}\n1: {\"a\":null,\"b\":null,\"c\":null,\"x\":3}\n");
  expect("SELECT (SELECT group_concat(q.value) FROM each(e.deep) p, each(p.value) q) AS s FROM raw e", record, "1: {\"s\":\"1,2,3\"}\n");
  expect(
      "SELECT (SELECT max(j.value) FROM each(json_array('b', 'c')) j) || (SELECT max(j.value) FROM each('[\"d\",\"a\"]') j) AS s FROM raw",
      record, "1: {\"s\":\"cd\"}\n");
  // A text that is no JSON fails the record, and says which function did not like it.
  expect("SELECT g.value AS v FROM raw e, each(e.t) g", "{\"t\":\"oops\"}", "1: !sql each(): the text is not JSON\n");
}

static void limits(void **state) {
  (void)state;
  static const char *const records[] = {"{\"id\":1,\"n\":1000000000}", "{\"id\":2,\"n\":5}"};
  help_expect(&(struct help_spec){.sql = "WITH RECURSIVE c(i, n) AS (SELECT 1, n FROM raw UNION ALL SELECT i + 1, n FROM c WHERE i < n) "
                                         "SELECT i FROM c WHERE i >= n",
                                  .timeout_ms = 30},
              records, 2, "1: !limit the record took longer than 30 ms (setting timeout)\n2: {\"i\":5}\n");
  help_expect(&(struct help_spec){.sql = "SELECT id, length(hex(zeroblob(n / 1000))) AS l FROM raw", .memory_bytes = 1 << 20}, records, 2,
              "1: !limit the record needed more than 1048576 bytes of memory (setting memory)\n2: {\"id\":2,\"l\":0}\n");
  help_expect(&(struct help_spec){.sql = "SELECT id, length(zeroblob(n)) AS l FROM raw"}, records, 2,
              "1: !limit a value is larger than 16777216 bytes\n2: {\"id\":2,\"l\":5}\n");
}

// A constant that fails before the scan begins fails for each record, not for none.
static void failing_constant(void **state) {
  (void)state;
  static const char *const records[] = {"{\"id\":1}", "{\"id\":2}"};
  help_expect(&(struct help_spec){.sql = "SELECT id FROM raw WHERE id > abs(-9223372036854775807 - 1)"}, records, 2,
              "1: !sql integer overflow\n2: !sql integer overflow\n");
}

static bool next_broken(void *context, struct sql_record *record) {
  static const uint8_t good[] = {0x81, 0xa1, 'a', 1}, cut[] = {0x82, 0xa1, 'a', 1}, text[] = {0xa1, 'a'};
  static const struct sql_record records[] = {{.at = good, .end = good + sizeof good},
                                              {.at = cut, .end = cut + sizeof cut},
                                              {.at = text, .end = text + sizeof text},
                                              {.at = good, .end = good + sizeof good - 1},
                                              {.at = good, .end = good},
                                              {.at = good, .end = good + sizeof good}};
  size_t *at = context;
  if (*at == sizeof records / sizeof *records) return false;
  *record = records[(*at)++];
  return true;
}

static void broken_records(void **state) {
  (void)state;
  for (int form = 0; form < 2; form++) {
    struct sql_engine *engine = help_engine(&(struct help_spec){.sql = "SELECT a FROM raw", .one_by_one = form == 1});
    struct sql_failure failure;
    size_t at = 0, rows = 0, failed = 0;
    enum sql_step step;
    sql_engine_start(engine, next_broken, &at);
    while ((step = sql_engine_step(engine, &failure)) != SQL_STEP_DONE) {
      rows += step == SQL_STEP_ROW;
      failed += step == SQL_STEP_FAILED;
      if (step == SQL_STEP_FAILED) assert_string_equal(failure.reason, "the record is not a well-formed msgpack map");
    }
    assert_int_equal(rows, 2);
    assert_int_equal(failed, 4);
    sql_engine_free(engine);
  }
}

static void texts_are_utf8(void **state) {
  (void)state;
  expect("SELECT CAST(x'c3a4' AS TEXT) AS t FROM raw", "{}", "1: {\"t\":\"\xc3\xa4\"}\n");
  expect("SELECT CAST(x'61ff' AS TEXT) AS t FROM raw", "{}", "1: !cast column t: the text is not UTF-8\n");
}

// Bytes of the record that a cast calls a text were looked at by nobody; and texts of any length, whole and in parts, come out as they are.
static void texts_of_the_record(void **state) {
  (void)state;
  uint8_t bytes[64];
  struct msgpack_writer w = {.at = bytes, .end = bytes + sizeof bytes};
  msgpack_write_map(&w, 1);
  msgpack_write_cstring(&w, "b");
  msgpack_write_bytes(&w, "a\xff", 2);
  struct sql_record record = {.at = bytes, .end = w.at};
  struct sql_engine *engine = help_engine(&(struct help_spec){.sql = "SELECT CAST(b AS TEXT) AS t FROM raw"});
  struct buffer out = {0};
  struct error e = {0};
  size_t rows = 0;
  assert_false(sql_engine_run(engine, &record, &out, &rows, &e));
  assert_non_null(strstr(e.text, "the text is not UTF-8"));
  buffer_free(&out);
  sql_engine_free(engine);
  for (int length = 0; length < 300; length += length < 70 ? 1 : 37) {
    char text[300], json[400], expected[1000];
    for (int i = 0; i < length; i++) text[i] = (char)('a' + i % 26);
    text[length] = '\0';
    snprintf(json, sizeof json, "{\"a\":1,\"t\":\"%s\"}", text);
    snprintf(expected, sizeof expected, "1: {\"t\":\"%s\",\"s\":\"%s\",\"n\":1,\"u\":null}\n", text, length > 1 ? text + 1 : "");
    expect("SELECT coalesce(t, 0) AS t, substr(t, 2) AS s, coalesce(a, 0) AS n, coalesce(x, NULL) AS u FROM raw", json, expected);
  }
}

// Keys in another order, missing, more, longer, repeated: the guess from the last record never decides.
static void shapes_change(void **state) {
  (void)state;
  static const char *const records[] = {"{\"a\":1,\"b\":2,\"a_very_long_name_of_a_field\":3}",
                                        "{\"b\":4,\"a\":5}",
                                        "{\"x\":0,\"a\":6,\"b\":7,\"a_very_long_name_of_a_field\":8}",
                                        "{\"a\":9}",
                                        "{}",
                                        "{\"a_very_long_name_of_a_field\":10,\"y\":[1,{\"a\":2}],\"b\":11,\"a\":12}",
                                        "{\"a\":1,\"b\":2,\"a_very_long_name_of_a_field\":3}"};
  help_expect(
      &(struct help_spec){.sql = "SELECT a, b, a_very_long_name_of_a_field AS c FROM raw"}, records, 7,
      "1: {\"a\":1,\"b\":2,\"c\":3}\n2: {\"a\":5,\"b\":4,\"c\":null}\n3: {\"a\":6,\"b\":7,\"c\":8}\n4: {\"a\":9,\"b\":null,\"c\":null}\n"
      "5: {\"a\":null,\"b\":null,\"c\":null}\n6: {\"a\":12,\"b\":11,\"c\":10}\n7: {\"a\":1,\"b\":2,\"c\":3}\n");
  static const uint8_t twice[] = {0x83, 0xa1, 'a', 1, 0xa1, 'b', 2, 0xa1, 'a', 3};
  struct sql_engine *engine = help_engine(&(struct help_spec){.sql = "SELECT a FROM raw"});
  struct sql_record record = {.at = twice, .end = twice + sizeof twice};
  struct buffer out = {0};
  struct error e = {0};
  size_t rows = 0;
  for (int i = 0; i < 2; i++) assert_true(sql_engine_run(engine, &record, &out, &rows, &e));
  assert_int_equal(out.length, 8);
  assert_memory_equal(out.at, "\x81\xa1\x61\x03\x81\xa1\x61\x03", 8);
  buffer_free(&out);
  sql_engine_free(engine);
}

static void rules(void **state) {
  (void)state;
  struct column_rule rule;
  assert_true(column_rule_parse("  Double\tNOT null ", &rule));
  assert_int_equal(rule.type, COLUMN_DOUBLE);
  assert_true(rule.not_null);
  assert_true(column_rule_parse("json", &rule));
  assert_false(rule.not_null);
  static const char *const wrong[] = {"", "texts", "not null", "text null", "text not", "text not null x", "int4"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_false(column_rule_parse(wrong[i], &rule));
}

int main(void) {
  enum { CASTS = sizeof casts / sizeof *casts };
  const struct CMUnitTest others[] = {
      cmocka_unit_test(kinds_are_kept),
      cmocka_unit_test(bytes_and_times),
      cmocka_unit_test(bytes_columns),
      cmocka_unit_test(order_of_columns),
      cmocka_unit_test(checks_see_what_is_written),
      cmocka_unit_test(entities),
      cmocka_unit_test(times),
      cmocka_unit_test(hashes_are_stable),
      cmocka_unit_test(uuids_are_stable),
      cmocka_unit_test(natural_events),
      cmocka_unit_test(each_of_everything),
      cmocka_unit_test(each_by_path),
      cmocka_unit_test(limits),
      cmocka_unit_test(failing_constant),
      cmocka_unit_test(broken_records),
      cmocka_unit_test(shapes_change),
      cmocka_unit_test(texts_are_utf8),
      cmocka_unit_test(texts_of_the_record),
      cmocka_unit_test(rules),
  };
  enum { OTHERS = sizeof others / sizeof *others };
  struct CMUnitTest tests[OTHERS + CASTS];
  char names[CASTS][128];
  memcpy(tests, others, sizeof others);
  for (size_t i = 0; i < CASTS; i++) {
    snprintf(names[i], sizeof names[i], "%.80s as %.40s", casts[i].value, casts[i].type);
    tests[OTHERS + i] = (struct CMUnitTest){.name = names[i], .test_func = cast_value, .initial_state = (void *)(uintptr_t)&casts[i]};
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
