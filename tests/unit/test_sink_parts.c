// The parts of a table sink that need no database: values into columns, fields to columns, keys, the brake, names and addresses.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "proto/msgpack.h"
#include "workers/common/state_id.h"
#include "workers/sinks/brake.h"
#include "workers/sinks/cell.h"
#include "workers/sinks/keys.h"
#include "workers/sinks/owner.h"
#include "workers/sinks/postgres_encode.h"
#include "workers/sinks/postgres_plain.h"
#include "workers/sinks/row.h"
#include "workers/sinks/table.h"
#include "workers/sinks/table_sink.h"
#include "workers/sinks/url.h"

static void pack(const char *json, struct buffer *out) {
  struct json_parser *parser = json_parser_new();
  struct error e = {0};
  size_t length = strlen(json);
  char *padded = memory_get(length + JSON_PADDING);
  memcpy(padded, json, length);
  buffer_clear(out);
  if (!json_to_msgpack(parser, padded, length, out, &e)) fail_msg("%s: %s", json, e.text);
  free(padded);
  json_parser_free(parser);
}

// ---- cells

// The cell as a text that shows its kind; an error as its code.
static char *cell_text(enum column_type type, const char *json) {
  struct buffer packed = {0}, scratch = {0};
  struct error e = {0};
  struct cell c;
  char *text = NULL;
  pack(json, &packed);
  if (!cell_convert(type, packed.at, packed.at + packed.length, &scratch, &c, &e)) {
    assert_int_equal(e.class, ERROR_DATA);
    text = memory_print("error %s", e.code);
  } else
    switch (c.kind) {
    case CELL_NULL: text = memory_text("null"); break;
    case CELL_BOOL: text = memory_text(c.boolean ? "true" : "false"); break;
    case CELL_INT: text = memory_print("int %lld", (long long)c.i); break;
    case CELL_DOUBLE: text = memory_print("double %g", c.d); break;
    case CELL_TEXT: text = memory_print("text %.*s", (int)c.length, (const char *)c.bytes); break;
    case CELL_BYTES: text = memory_print("bytes %zu %02x", c.length, c.length ? c.bytes[0] : 0); break;
    case CELL_TIME: text = memory_print("time %lld", (long long)c.i); break;
    case CELL_DAY: text = memory_print("day %lld", (long long)c.i); break;
    }
  buffer_free(&packed);
  buffer_free(&scratch);
  return text;
}

static void test_values_into_columns(void **state) {
  (void)state;
  static const struct {
    enum column_type type;
    const char *json, *expected;
  } cases[] = {
      {COLUMN_BIGINT, "7", "int 7"},
      {COLUMN_BIGINT, "\"-7\"", "int -7"},
      {COLUMN_BIGINT, "7.0", "int 7"},
      {COLUMN_BIGINT, "true", "int 1"},
      {COLUMN_BIGINT, "null", "null"},
      {COLUMN_BIGINT, "9223372036854775807", "int 9223372036854775807"},
      {COLUMN_BIGINT, "9223372036854775808", "error range"},
      {COLUMN_BIGINT, "\"9223372036854775808\"", "error range"},
      {COLUMN_BIGINT, "1e19", "error range"},
      {COLUMN_BIGINT, "7.5", "error cast"},
      {COLUMN_BIGINT, "\"7.5\"", "error cast"},
      {COLUMN_BIGINT, "\" 7\"", "error cast"},
      {COLUMN_BIGINT, "\"7 \"", "error cast"},
      {COLUMN_BIGINT, "\"\"", "error cast"},
      {COLUMN_BIGINT, "\"0x10\"", "error cast"},
      {COLUMN_BIGINT, "\"7\\u0000\"", "error cast"},
      {COLUMN_BIGINT, "[7]", "error cast"},
      {COLUMN_INT, "2147483648", "error range"},
      {COLUMN_INT, "-2147483648", "int -2147483648"},
      {COLUMN_SMALLINT, "32768", "error range"},
      {COLUMN_DOUBLE, "7", "double 7"},
      {COLUMN_DOUBLE, "\"1e3\"", "double 1000"},
      {COLUMN_DOUBLE, "\"nan\"", "double nan"},
      {COLUMN_DOUBLE, "\"0x1p3\"", "error cast"},
      {COLUMN_DOUBLE, "\"seven\"", "error cast"},
      {COLUMN_DOUBLE, "true", "error cast"},
      {COLUMN_REAL, "1e300", "error range"},
      {COLUMN_NUMERIC, "\"00.10\"", "text 00.10"},
      {COLUMN_NUMERIC, "12", "text 12"},
      {COLUMN_NUMERIC, "\"x\"", "error cast"},
      {COLUMN_BOOLEAN, "\"YES\"", "true"},
      {COLUMN_BOOLEAN, "\"off\"", "false"},
      {COLUMN_BOOLEAN, "1", "true"},
      {COLUMN_BOOLEAN, "2", "error cast"},
      {COLUMN_BOOLEAN, "\"maybe\"", "error cast"},
      {COLUMN_TIMESTAMP, "\"1970-01-01T00:00:01.5Z\"", "time 1500000"},
      {COLUMN_TIMESTAMP, "\"1969-12-31\"", "time -86400000000"},
      {COLUMN_TIMESTAMP, "\"2025-02-30\"", "error cast"},
      {COLUMN_TIMESTAMP, "1500000", "error cast"}, // seconds? milliseconds? nobody knows
      {COLUMN_DATE, "\"1969-12-31T23:59:59Z\"", "day -1"},
      {COLUMN_DATE, "\"1970-01-02\"", "day 1"},
      {COLUMN_JSON, "{\"a\":[1,null]}", "text {\"a\":[1,null]}"},
      {COLUMN_JSON, "\"[1]\"", "text [1]"},
      {COLUMN_JSON, "true", "text true"},
      {COLUMN_TEXT, "7", "text 7"},
      {COLUMN_TEXT, "7.5", "text 7.5"},
      {COLUMN_TEXT, "false", "text false"},
      {COLUMN_TEXT, "\"\"", "text "},
      {COLUMN_TEXT, "[1,\"a\"]", "text [1,\"a\"]"},
      {COLUMN_BYTES, "\"ab\"", "bytes 2 61"},
      {COLUMN_BYTES, "7", "error cast"},
      {COLUMN_UUID, "\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\"", "bytes 16 6b"},
      {COLUMN_UUID, "\"{6ba7b8109dad11d180b400c04fd430c8}\"", "bytes 16 6b"},
      {COLUMN_UUID, "\"6ba7b810-9dad-11d1-80b4-00c04fd430c\"", "error cast"},
      {COLUMN_UUID, "\"6ba7b810-9dad-11d1-80b4-00c04fd430c8-\"", "error cast"},
      {COLUMN_UUID, "\"-6ba7b8109dad11d180b400c04fd430c8\"", "error cast"},
      {COLUMN_ANY, "1.5", "double 1.5"},
      {COLUMN_ANY, "7", "int 7"},
      {COLUMN_ANY, "18446744073709551615", "text 18446744073709551615"},
      {COLUMN_ANY, "[1]", "text [1]"},
      {COLUMN_OTHER, "\"10.0.0.1\"", "text 10.0.0.1"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *text = cell_text(cases[i].type, cases[i].json);
    if (strcmp(text, cases[i].expected) != 0)
      fail_msg("%s into %s gave %s, not %s", cases[i].json, column_type_name(cases[i].type), text, cases[i].expected);
    free(text);
  }
}

static void test_integers_that_no_double_holds(void **state) {
  (void)state;
  static const struct {
    int64_t value;
    bool fits;
  } cases[] = {{9007199254740992, true}, {9007199254740993, false}, {-9007199254740993, false}, {INT64_MAX, false}, {INT64_MIN, true}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    uint8_t bytes[16] = {0};
    struct buffer scratch = {0};
    struct error e = {0};
    struct cell c;
    struct msgpack_writer w = {.at = bytes, .end = bytes + sizeof bytes};
    msgpack_write_int(&w, cases[i].value);
    assert_int_equal(cell_convert(COLUMN_DOUBLE, bytes, w.at, &scratch, &c, &e), cases[i].fits);
    assert_int_equal(e.class, cases[i].fits ? ERROR_NONE : ERROR_DATA);
    buffer_free(&scratch);
  }
}

static void test_values_that_json_has_not(void **state) {
  (void)state;
  uint8_t bytes[64] = {0};
  struct buffer scratch = {0};
  struct error e = {0};
  struct cell c;
  struct msgpack_writer w = {.at = bytes, .end = bytes + sizeof bytes};
  msgpack_write_timestamp(&w, 1500000);
  assert_true(cell_convert(COLUMN_TEXT, bytes, w.at, &scratch, &c, &e));
  assert_int_equal(c.length, strlen("1970-01-01T00:00:01.500000Z"));
  assert_memory_equal(c.bytes, "1970-01-01T00:00:01.500000Z", c.length);
  assert_true(cell_convert(COLUMN_DATE, bytes, w.at, &scratch, &c, &e));
  assert_int_equal(c.i, 0);
  assert_false(cell_convert(COLUMN_BIGINT, bytes, w.at, &scratch, &c, &e));
  w = (struct msgpack_writer){.at = bytes, .end = bytes + sizeof bytes};
  msgpack_write_bytes(&w, "\xff\xfe", 2);
  assert_true(cell_convert(COLUMN_BYTES, bytes, w.at, &scratch, &c, &e));
  assert_int_equal(c.length, 2);
  assert_true(cell_convert(COLUMN_TEXT, bytes, w.at, &scratch, &c, &e));
  assert_memory_equal(c.bytes, "//4=", 4);
  assert_true(cell_convert(COLUMN_BIGINT, NULL, NULL, &scratch, &c, &e)); // an absent field
  assert_int_equal(c.kind, CELL_NULL);
  assert_false(cell_convert(COLUMN_BIGINT, (const uint8_t *)"\xd3", (const uint8_t *)"\xd3" + 1, &scratch, &c, &e)); // cut short
  assert_string_equal(e.code, "msgpack");
  buffer_free(&scratch);
}

// ---- fields to columns

struct unknowns {
  int count;
  char last[32];
};

static void see_unknown(void *context, const char *name, uint32_t length, const uint8_t *at, const uint8_t *end) {
  struct unknowns *u = context;
  assert_true(at < end);
  snprintf(u->last, sizeof u->last, "%.*s", (int)length, name);
  u->count++;
}

static void test_fields_find_their_columns(void **state) {
  (void)state;
  struct table t = {0};
  struct buffer packed = {0};
  struct row_field fields[8];
  struct unknowns unknown = {0};
  table_add(&t, "a", COLUMN_TEXT);
  table_add(&t, "ab", COLUMN_TEXT);
  table_add(&t, "never", COLUMN_TEXT)->generated = true;
  for (int round = 0; round < 3; round++) {
    // Another order each time: the guess from the record before is wrong then.
    static const char *const records[] = {"{\"ab\":1,\"a\":2,\"x\":3,\"never\":4}", "{\"x\":3,\"a\":2}", "{\"a\":1,\"ab\":2,\"a\":3}"};
    pack(records[round], &packed);
    assert_true(table_map(&t, packed.at, packed.at + packed.length, fields, see_unknown, &unknown));
    assert_non_null(fields[0].at);
    assert_true((fields[1].at != NULL) == (round != 1));
    assert_null(fields[2].at); // the database makes it
    assert_int_equal(*fields[0].at, round == 2 ? 3 : 2);
  }
  assert_int_equal(unknown.count, 2);
  assert_string_equal(unknown.last, "x");
  assert_true(table_is_settled(&t));
  table_add(&t, "later", COLUMN_TEXT);
  assert_false(table_is_settled(&t));
  static const char *const broken[] = {"[1]", "7"};
  for (size_t i = 0; i < 2; i++) {
    pack(broken[i], &packed);
    assert_false(table_map(&t, packed.at, packed.at + packed.length, fields, NULL, NULL));
  }
  pack("{\"a\":[1,2]}", &packed);
  for (size_t cut = 0; cut < packed.length; cut++) assert_false(table_map(&t, packed.at, packed.at + cut, fields, NULL, NULL));
  assert_false(
      table_map(&t, (const uint8_t *)"\x81\x01\x02", (const uint8_t *)"\x81\x01\x02" + 3, fields, NULL, NULL)); // a key that is no text
  buffer_free(&packed);
  table_free(&t);
}

static void test_a_thousand_columns(void **state) {
  (void)state;
  struct table t = {0};
  char name[32];
  for (int i = 0; i < 1000; i++) {
    snprintf(name, sizeof name, "column %d", i);
    table_add(&t, name, COLUMN_ANY);
  }
  for (int i = 0; i < 1000; i++) {
    snprintf(name, sizeof name, "column %d", i);
    assert_int_equal(table_find(&t, name, strlen(name)), i);
  }
  assert_int_equal(table_find(&t, "column", 6), TABLE_NO_COLUMN);
  table_clear(&t);
  assert_int_equal(table_find(&t, "column 1", 8), TABLE_NO_COLUMN);
  table_free(&t);
}

static void test_columns_that_are_known(void **state) {
  (void)state;
  struct table t = {0};
  struct buffer packed = {0};
  struct error e = {0};
  pack("{\"input_columns\":[{\"name\":\"a\",\"type\":\"bigint\",\"not_null\":true},{\"name\":\"b\",\"type\":\"\"}],"
       "\"columns\":{\"b\":\"double not null\",\"c\":\"text\"},\"key\":[\"c\",\"a\"]}",
       &packed);
  struct job_value settings = {.at = packed.at, .end = packed.at + packed.length};
  assert_int_equal(table_add_known_columns(&t, settings, &e), 3);
  assert_int_equal(t.columns[0].type, COLUMN_BIGINT);
  assert_true(t.columns[0].not_null);
  assert_int_equal(t.columns[1].type, COLUMN_DOUBLE);
  assert_false(t.columns[1].guessed);
  assert_true(table_mark_key(&t, job_get(settings, "key"), &e));
  assert_string_equal(table_key_column(&t, 1)->name, "c");
  assert_string_equal(table_key_column(&t, 2)->name, "a");
  assert_null(table_key_column(&t, 3));
  char *json = table_key_json(&t);
  assert_string_equal(json, "[\"c\",\"a\"]");
  free(json);
  pack("{\"columns\":{\"b\":\"complex\"}}", &packed);
  assert_int_equal(table_add_known_columns(&t, (struct job_value){.at = packed.at, .end = packed.at + packed.length}, &e), -1);
  assert_int_equal(e.class, ERROR_CONFIG);
  buffer_free(&packed);
  table_free(&t);
}

// ---- keys

static struct batch_row row_of(const struct buffer *packed) {
  return (struct batch_row){.body = packed->at, .end = packed->at + packed->length};
}

// A value that goes straight into PostgreSQL's form has the bytes that it gets over a cell, and none goes straight that a cell refuses.
static void test_the_short_way_into_postgres(void **state) {
  (void)state;
  static const char *const values[] = {"null",
                                       "true",
                                       "0",
                                       "7",
                                       "127",
                                       "128",
                                       "255",
                                       "256",
                                       "32767",
                                       "32768",
                                       "65535",
                                       "65536",
                                       "2147483647",
                                       "2147483648",
                                       "4294967295",
                                       "4294967296",
                                       "9223372036854775807",
                                       "9223372036854775808",
                                       "-1",
                                       "-32",
                                       "-33",
                                       "-128",
                                       "-129",
                                       "-32768",
                                       "-32769",
                                       "-2147483648",
                                       "-2147483649",
                                       "-9223372036854775808",
                                       "1.5",
                                       "-0.0",
                                       "1e300",
                                       "7.0",
                                       "\"\"",
                                       "\"a\"",
                                       "\"sevenxx\"",
                                       "\"eight888\"",
                                       "\"seventeen letters\"",
                                       "\"a text that is longer than thirty-one bytes\"",
                                       "\"\\u0000\"",
                                       "\"1234567\\u0000\"",
                                       "\"12345678\\u00009\"",
                                       "\"12345678901234\\u0000\"",
                                       "\"2026-11-21T00:00:00.123Z\"",
                                       "\"2026-11-21\"",
                                       "\"7\"",
                                       "\"NaN\"",
                                       "[1]",
                                       "{}"};
  static const enum column_type types[] = {COLUMN_TEXT,   COLUMN_SMALLINT, COLUMN_INT,     COLUMN_BIGINT,    COLUMN_REAL,
                                           COLUMN_DOUBLE, COLUMN_NUMERIC,  COLUMN_BOOLEAN, COLUMN_TIMESTAMP, COLUMN_DATE,
                                           COLUMN_JSON,   COLUMN_BYTES,    COLUMN_UUID,    COLUMN_OTHER};
  static const uint32_t oids[] = {25, 21, 23, 20, 700, 701, 1700, 16, 1184, 1082, 3802, 17, 2950, 0};
  struct buffer packed = {0}, scratch = {0}, expected = {0};
  size_t straight = 0;
  for (size_t t = 0; t < sizeof types / sizeof *types; t++)
    for (size_t v = 0; v <= sizeof values / sizeof *values; v++) {
      struct column column = {.type = types[t], .oid = oids[t]};
      struct cell cell;
      struct error e = {0};
      uint8_t bytes[128];
      buffer_clear(&packed);
      buffer_clear(&expected);
      struct msgpack_writer w = {.at = bytes, .end = bytes + sizeof bytes};
      if (v == sizeof values / sizeof *values) {
        msgpack_write_timestamp(&w, 1731024000123456);
        buffer_add(&packed, bytes, (size_t)(w.at - bytes));
      } else
        pack(values[v], &packed);
      uint8_t *end = postgres_put_plain(bytes, &column, packed.at, packed.at + packed.length);
      if (!end) continue;
      straight++;
      assert_true((size_t)(end - bytes) <= packed.length + POSTGRES_PLAIN_MORE);
      assert_true(cell_convert(types[t], packed.at, packed.at + packed.length, &scratch, &cell, &e));
      assert_true(postgres_encode(&expected, &column, &cell, &e));
      assert_int_equal(end - bytes, expected.length);
      assert_memory_equal(bytes, expected.at, expected.length);
    }
  assert_true(straight > 70);
  buffer_free(&packed), buffer_free(&scratch), buffer_free(&expected);
}

static void test_keys(void **state) {
  (void)state;
  static const char *const records[] = {
      "{\"a\":\"ab\",\"b\":\"c\"}", "{\"a\":\"a\",\"b\":\"bc\"}", "{\"a\":1,\"b\":1}",    "{\"a\":\"1\",\"b\":1}", "{\"a\":1.0,\"b\":1}",
      "{\"a\":\"ab\",\"b\":\"c\"}", "{\"a\":-1,\"b\":1}",         "{\"a\":-0.0,\"b\":1}", "{\"a\":0.0,\"b\":1}",   "{\"a\":1,\"b\":1}",
  };
  static const uint32_t previous[] = {KEY_NONE, KEY_NONE, KEY_NONE, KEY_NONE, KEY_NONE, 0, KEY_NONE, KEY_NONE, 7, 2};
  struct table t = {0};
  struct keys k = {0};
  struct row r = {0};
  struct buffer packed = {0};
  table_add(&t, "a", COLUMN_ANY)->key = 1;
  table_add(&t, "b", COLUMN_ANY)->key = 2;
  t.columns[0].used = t.columns[1].used = true;
  for (int again = 0; again < 2; again++) { // memory is kept from batch to batch
    keys_begin(&k, sizeof records / sizeof *records);
    for (uint32_t i = 0; i < sizeof records / sizeof *records; i++) {
      pack(records[i], &packed);
      struct batch_row row = row_of(&packed);
      assert_true(row_read_or_kill(&r, &t, NULL, &row));
      assert_int_equal(keys_put(&k, &t, &r, i), previous[i]);
    }
    assert_int_equal(keys_compare(&k, 0, 5), 0);
    assert_true(keys_compare(&k, 6, 2) < 0); // -1 before 1
    assert_true(keys_compare(&k, 2, 6) > 0);
  }
  buffer_free(&packed);
  row_free(&r);
  keys_free(&k);
  table_free(&t);
}

// ---- the brake

static void fill(struct batch *b, size_t good, size_t dead) {
  batch_clear(b);
  for (size_t i = 0; i < good; i++) batch_add(b);
  for (size_t i = 0; i < dead; i++) batch_kill(b, batch_add(b), "why", "code", NULL, NULL);
}

static void test_brake(void **state) {
  (void)state;
  struct brake *brake = memory_get(sizeof *brake);
  struct batch b = {0};
  struct error e = {0};
  brake->stop_above = 0.5;
  fill(&b, 0, 500);
  assert_true(brake_allows(brake, &b, &e)); // half is not above half
  fill(&b, 0, 501);
  assert_false(brake_allows(brake, &b, &e));
  assert_int_equal(e.class, ERROR_OPERATOR);
  assert_non_null(strstr(e.text, "why"));
  for (int i = 0; i < 50; i++) { // 10 % for long
    fill(&b, 90, 10);
    assert_true(brake_allows(brake, &b, &e));
    brake_note(brake, &b);
  }
  fill(&b, 0, 400); // 60 of the last 600, and these
  assert_true(brake_allows(brake, &b, &e));
  fill(&b, 0, 460);
  assert_false(brake_allows(brake, &b, &e));
  fill(&b, 460, 400); // the good ones push old ones out of the window
  assert_true(brake_allows(brake, &b, &e));
  brake->stop_above = 0;
  fill(&b, 5, 1);
  assert_false(brake_allows(brake, &b, &e));
  brake->stop_above = 1;
  fill(&b, 0, 5000);
  assert_true(brake_allows(brake, &b, &e));
  batch_free(&b);
  free(brake);
}

// ---- names and addresses

static void test_addresses(void **state) {
  (void)state;
  static const struct {
    const char *url, *path;
  } good[] = {{"sqlite:x.db", "x.db"}, {"sqlite:/a/x.db", "/a/x.db"}, {"sqlite:///a/x.db", "/a/x.db"}, {"sqlite:../x y.db", "../x y.db"}};
  static const char *const bad[] = {"sqlite:",
                                    "sqlite::memory:",
                                    "mysql://root:secret@h/x",
                                    "",
                                    "x.db",
                                    "redshift://u:secret@h/x",
                                    "host=h password=secret",
                                    "u:secret@h/x",
                                    "secret@h/x",
                                    "secret",
                                    "postgresql:u:secret@h"};
  enum url_scheme scheme;
  struct error e = {0};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_true(url_scheme_find(good[i].url, &scheme, &e));
    assert_int_equal(scheme, URL_SQLITE);
    char *path = url_sqlite_path(good[i].url);
    assert_string_equal(path, good[i].path);
    free(path);
  }
  assert_true(url_scheme_find("postgresql://u:p@h/x", &scheme, &e));
  assert_int_equal(scheme, URL_POSTGRES);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_false(url_scheme_find(bad[i], &scheme, &e));
    assert_int_equal(e.class, ERROR_CONFIG);
    assert_null(strstr(e.text, "secret"));
  }
}

static void test_the_state_folder_has_one_id(void **state) {
  (void)state;
  char folder[] = "/tmp/weir-test-XXXXXX", command[64];
  struct error e = {0};
  assert_non_null(mkdtemp(folder));
  char *id = state_id(folder, &e), *again = state_id(folder, &e), *owner = owner_text(id);
  assert_int_equal(strlen(id), 16);
  assert_string_equal(id, again);
  assert_true(owner_is_state(owner, id));
  assert_false(owner_is_state(owner, "0123456789abcdef"));
  assert_false(owner_is_state("", id));
  id[15] = '\0';
  assert_false(owner_is_state(owner, id)); // the beginning is not enough
  char *file = memory_print("%s/id", folder);
  FILE *f = fopen(file, "w");
  fputs("not an id at all", f);
  fclose(f);
  assert_null(state_id(folder, &e));
  assert_int_equal(e.class, ERROR_ENVIRONMENT);
  snprintf(command, sizeof command, "rm -rf %s", folder);
  assert_int_equal(system(command), 0);
  free(file), free(id), free(again), free(owner);
}

// ---- the check

static char *findings_of(const char *settings, const char *columns) {
  struct buffer packed = {0}, out = {0};
  struct check_column list[4];
  char *copy = memory_text(columns), *rest = copy, *one;
  struct check c = {.pipeline = "p", .node = "out", .columns_known = columns[0] != '\0', .columns = list, .state = "/nonexistent"};
  while ((one = strsep(&rest, ",")) && *one) {
    char *type = strchr(one, ':');
    *type++ = '\0';
    list[c.column_count++] = (struct check_column){.name = one, .type = type};
  }
  pack(settings, &packed);
  c.settings = (struct job_value){.at = packed.at, .end = packed.at + packed.length};
  table_sink_check(&c);
  for (size_t i = 0; i < c.finding_count; i++)
    buffer_print(&out, "%c %s: %s\n",
                 c.findings[i].level == CHECK_ERROR     ? 'E'
                 : c.findings[i].level == CHECK_WARNING ? 'W'
                                                        : 'N',
                 c.findings[i].setting, c.findings[i].text);
  char *text = memory_text(buffer_cstring(&out));
  check_free(&c);
  buffer_free(&packed);
  buffer_free(&out);
  free(copy);
  return text;
}

static void expect_findings(const char *settings, const char *columns, const char *part) {
  char *text = findings_of(settings, columns);
  if (!strstr(text, part)) fail_msg("no \"%s\" in:\n%s", part, text);
  free(text);
}

static void test_check(void **state) {
  (void)state;
  expect_findings("{\"url\":\"sqlite:x.db\",\"table\":\"t\",\"mode\":\"upsert\"}", "id:bigint", "E mode: `mode: upsert` needs `key`");
  expect_findings("{\"url\":\"sqlite:x.db\",\"table\":\"t\",\"mode\":\"upsert\",\"key\":[\"ix\"]}", "id:bigint", "E key.ix: ");
  expect_findings("{\"url\":\"sqlite:x.db\",\"table\":\"t\",\"mode\":\"append\",\"delete\":\"tombstones\"}", "id:bigint",
                  "E delete: `delete: tombstones` needs `mode: upsert`");
  expect_findings("{\"url\":\"oracle:x\",\"table\":\"t\"}", "", "E url: ");
  expect_findings("{\"url\":\"sqlite:x.db\",\"table\":\"\"}", "", "E table: ");
  expect_findings("{\"url\":\"sqlite:x.db\",\"table\":\"t\",\"mode\":\"upsert\",\"key\":[\"id\"]}", "id:bigint,at:timestamp",
                  "CREATE TABLE \"t\" (\"id\" BIGINT NOT NULL, \"at\" TIMESTAMP, PRIMARY KEY (\"id\"))");
  expect_findings("{\"url\":\"postgresql:///x\",\"table\":\"s.t\",\"mode\":\"upsert\",\"key\":[\"at\",\"id\"]}", "id:bigint,at:timestamp",
                  "CREATE TABLE \"s\".\"t\" (\"id\" bigint NOT NULL, \"at\" timestamptz NOT NULL, PRIMARY KEY (\"at\", \"id\"))");
  expect_findings("{\"url\":\"sqlite:x.db\",\"table\":\"t\"}", "id:,name:text", "N table: types that nobody declares");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_values_into_columns),
      cmocka_unit_test(test_integers_that_no_double_holds),
      cmocka_unit_test(test_values_that_json_has_not),
      cmocka_unit_test(test_fields_find_their_columns),
      cmocka_unit_test(test_a_thousand_columns),
      cmocka_unit_test(test_columns_that_are_known),
      cmocka_unit_test(test_the_short_way_into_postgres),
      cmocka_unit_test(test_keys),
      cmocka_unit_test(test_brake),
      cmocka_unit_test(test_addresses),
      cmocka_unit_test(test_the_state_folder_has_one_id),
      cmocka_unit_test(test_check),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
