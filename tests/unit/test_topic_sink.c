// The parts of a topic sink that need no broker: records as messages, the records of weir_positions, letters as messages.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "proto/msgpack.h"
#include "workers/sinks/kafka_dead.h"
#include "workers/sinks/kafka_positions.h"
#include "workers/sinks/kafka_rows.h"

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

// ---- records as messages

static char *place_text(const struct kafka_place *place, const struct buffer *out) {
  if (!place->is_there) return memory_text("-");
  return memory_text_n((const char *)out->at + place->at, place->length);
}

// "KEY=VALUE" of a record under these settings (both JSON), "-" for what is not there; the fault's code and column otherwise.
static void expect_row(const char *settings, const char *record, bool is_delete, const char *expected) {
  struct buffer typed = {0}, body = {0}, out = {0};
  struct topic_settings s;
  struct error e = {0};
  struct kafka_row row;
  struct kafka_fault fault = {0};
  pack(settings, &typed);
  pack(record, &body);
  if (!topic_settings_read(&s, (struct job_value){typed.at, typed.at + typed.length}, &e)) fail_msg("%s: %s", settings, e.text);
  struct batch_row r = {.body = body.at, .end = body.at + body.length, .is_delete = is_delete};
  struct kafka_key *key_sql = s.key_sql ? kafka_key_open(s.key_sql, &e) : NULL;
  if (error_is_set(&e)) fail_msg("%s", e.text);
  buffer_text(&out, "before");
  char *text;
  if (kafka_row_make(&s, key_sql, &r, &out, &row, &fault)) {
    char *key = place_text(&row.key, &out), *value = place_text(&row.value, &out);
    text = memory_print("%s=%s", key, value);
    free(key);
    free(value);
  } else {
    text = memory_print("%s %s", fault.code, fault.column ? fault.column : "");
    assert_int_equal(out.length, 6);
  }
  assert_string_equal(text, expected);
  free(text);
  kafka_key_close(key_sql);
  topic_settings_free(&s);
  buffer_free(&typed);
  buffer_free(&body);
  buffer_free(&out);
}

static void test_values(void **state) {
  (void)state;
  static const char record[] = "{\"id\":7,\"t\":\"x\\\"y\",\"n\":null,\"a\":[1,{}],\"d\":0.5}";
  expect_row("{\"topic\":\"t\"}", record, false, "-={\"id\":7,\"t\":\"x\\\"y\",\"n\":null,\"a\":[1,{}],\"d\":0.5}");
  expect_row("{\"topic\":\"t\",\"value\":[\"d\",\"absent\",\"n\"]}", record, false, "-={\"d\":0.5,\"n\":null}");
  expect_row("{\"topic\":\"t\",\"format\":\"string\",\"value\":[\"t\"]}", record, false, "-=x\"y");
  expect_row("{\"topic\":\"t\",\"format\":\"string\",\"value\":[\"a\"]}", record, false, "-=[1,{}]");
  // A message without a value would delete.
  expect_row("{\"topic\":\"t\",\"format\":\"bytes\",\"value\":[\"n\"]}", record, false, "null-value n");
  expect_row("{\"topic\":\"t\",\"format\":\"string\"}", record, false, "null-value value");
  expect_row("{\"topic\":\"t\",\"format\":\"string\"}", "{\"value\":\"\"}", false, "-=");
  expect_row("{\"topic\":\"t\",\"format\":\"msgpack\",\"value\":[\"id\"]}", record, false, "-=\x81\xa2id\x07");
}

static void test_keys(void **state) {
  (void)state;
  static const char record[] = "{\"id\":7,\"t\":\"x\",\"n\":null,\"e\":\"\"}", value[] = "{\"topic\":\"t\",\"value\":[],\"key\":";
  char settings[256];
  static const struct {
    const char *key, *expected;
  } cases[] = {
      {"[\"id\"]", "7"},
      {"[\"t\"]", "x"},
      {"[\"e\"]", ""},
      {"[\"n\"]", "null-key n"},
      {"[\"absent\"]", "null-key absent"},
      {"[\"id\",\"t\"]", "[7,\"x\"]"},
      {"[\"id\",\"n\"]", "null-key n"},
      {"[\"id\",\"t\"],\"key_format\":\"json\"", "{\"id\":7,\"t\":\"x\"}"},
      {"[\"id\"],\"key_format\":\"json\"", "{\"id\":7}"},
      {"[\"n\"],\"key_format\":\"json\"", "null-key n"},
      {"[\"id\"],\"key_format\":\"msgpack\"", "\x81\xa2id\x07"},
      {"[\"t\"],\"key_format\":\"bytes\"", "x"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    bool fault = strncmp(cases[i].expected, "null-key", 8) == 0;
    char *expected = fault ? memory_text(cases[i].expected) : memory_print("%s=%s", cases[i].expected, record);
    snprintf(settings, sizeof settings, "%s%s}", value, cases[i].key);
    expect_row(settings, record, false, expected);
    free(expected);
  }
}

static void test_key_by_an_expression(void **state) {
  (void)state;
  static const char *const record = "{\"id\":7,\"t\":\"x\",\"n\":null,\"a\":{\"b\":[1.5]}}";
  static const struct {
    const char *sql, *format, *expected;
  } cases[] = {
      {"id || '-' || t", "string", "7-x"},
      {"id + 1", "string", "8"},
      {"n", "string", "null-key "},
      {"absent", "string", "null-key "},
      {"\\\"a.b[0]\\\" * 2", "json", "3.0"},
      {"json_object('id', id)", "json", "{\"id\":7}"},
      {"t", "json", "\"x\""},
      {"json_object('id', id)", "msgpack", "\x81\xa2id\x07"},
      {"x'6162'", "bytes", "ab"},
      {"abs(-9223372036854775808)", "string", "sql "},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char settings[256];
    bool fault = strchr(cases[i].expected, ' ') != NULL;
    char *expected = fault ? memory_text(cases[i].expected) : memory_print("%s={}", cases[i].expected);
    snprintf(settings, sizeof settings, "{\"topic\":\"t\",\"value\":[\"none\"],\"key_sql\":\"%s\",\"key_format\":\"%s\"}", cases[i].sql,
             cases[i].format);
    expect_row(settings, record, false, expected);
    free(expected);
  }
  static const char *const wrong[] = {"", "id,", "id) FROM x --", "no_such(id)", "1; DROP TABLE x"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct error e = {0};
    assert_null(kafka_key_open(wrong[i], &e));
    assert_int_equal(e.class, ERROR_CONFIG);
  }
}

static void test_tombstones(void **state) {
  (void)state;
  expect_row("{\"topic\":\"t\",\"key\":[\"id\"]}", "{\"id\":7}", true, "7=-");
  expect_row("{\"topic\":\"t\",\"key\":[\"id\"]}", "{\"_key\":\"seven\"}", true, "seven=-");
  expect_row("{\"topic\":\"t\",\"key\":[\"id\"],\"key_format\":\"json\"}", "{\"_key\":\"seven\"}", true, "{\"id\":\"seven\"}=-");
  expect_row("{\"topic\":\"t\",\"key\":[\"a\",\"b\"],\"key_format\":\"json\"}", "{\"a\":1,\"b\":2,\"_offset\":3}", true,
             "{\"a\":1,\"b\":2}=-");
  expect_row("{\"topic\":\"t\",\"key\":[\"a\",\"b\"]}", "{\"_key\":\"seven\"}", true, "null-key a");
  expect_row("{\"topic\":\"t\"}", "{\"_key\":\"seven\"}", true, "seven=-");
  expect_row("{\"topic\":\"t\"}", "{\"id\":7}", true, "null-key ");
}

static void test_broken_records(void **state) {
  (void)state;
  static const uint8_t cut[] = {0x82, 0xa1, 'a', 0x01, 0xa1};
  static const char *const settings[] = {"{\"topic\":\"t\"}", "{\"topic\":\"t\",\"format\":\"msgpack\"}",
                                         "{\"topic\":\"t\",\"key\":[\"b\"]}"};
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
    struct buffer typed = {0}, out = {0};
    struct topic_settings s;
    struct error e = {0};
    struct kafka_row row;
    struct kafka_fault fault = {0};
    pack(settings[i], &typed);
    assert_true(topic_settings_read(&s, (struct job_value){typed.at, typed.at + typed.length}, &e));
    struct batch_row r = {.body = cut, .end = cut + sizeof cut};
    assert_false(kafka_row_make(&s, NULL, &r, &out, &row, &fault));
    assert_int_equal(out.length, 0);
    topic_settings_free(&s);
    buffer_free(&typed);
    buffer_free(&out);
  }
}

static void test_settings_that_do_not_fit(void **state) {
  (void)state;
  static const char *const wrong[] = {"{\"topic\":\"\"}", "{\"topic\":\"t\",\"format\":\"avro\"}",
                                      "{\"topic\":\"t\",\"key_format\":\"xml\"}",
                                      "{\"topic\":\"t\",\"key\":[\"a\",\"b\"],\"key_format\":\"bytes\"}",
                                      "{\"topic\":\"t\",\"format\":\"string\",\"value\":[\"a\",\"b\"]}"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct buffer typed = {0};
    struct topic_settings s;
    struct error e = {0};
    pack(wrong[i], &typed);
    assert_false(topic_settings_read(&s, (struct job_value){typed.at, typed.at + typed.length}, &e));
    assert_int_equal(e.class, ERROR_CONFIG);
    buffer_free(&typed);
  }
}

// ---- records of weir_positions

static bool take(struct kafka_positions *p, const struct buffer *key, const char *value, struct error *e) {
  struct kafka_record record = {.key = key->at, .key_length = key->length, .value = value, .value_length = value ? strlen(value) : 0};
  record.time_ms = 1234;
  return kafka_positions_take(p, &record, e);
}

static void test_positions_survive_the_topic(void **state) {
  (void)state;
  struct kafka_positions from, to;
  struct buffer key = {0}, value = {0};
  struct error e = {0};
  kafka_positions_make(&from, "p", "s");
  kafka_positions_make(&to, "p", "s");
  struct kafka_position *row = kafka_positions_get(&from, "a>\"b\"", "a", "part\\1");
  row->has_position = true;
  row->position = row->start = UINT64_MAX;
  row->witness = UINT64_MAX - 1;
  row->epoch = 1795255401550;
  row->totals = (struct target_totals){1, 2, 3};
  kafka_text_set(&row->identity, "id/\u00e4");
  kafka_text_set(&row->owner, "host=h pid=1 state=s since=now");
  kafka_text_set(&row->writer, "weir/p/s/a/lane/0-of-1");
  kafka_position_key(row, &key);
  kafka_position_value(row, &value);
  assert_true(take(&to, &key, buffer_cstring(&value), &e));
  struct kafka_position *back = kafka_positions_find(&to, "a>\"b\"", "a", "part\\1");
  assert_non_null(back);
  assert_true(back->has_position && back->position == UINT64_MAX && back->start == UINT64_MAX && back->witness == UINT64_MAX - 1);
  assert_true(back->epoch == row->epoch && memcmp(&back->totals, &row->totals, sizeof back->totals) == 0);
  assert_string_equal(back->identity, row->identity);
  assert_string_equal(back->fingerprint, "");
  assert_string_equal(back->owner, row->owner);
  assert_string_equal(back->writer, row->writer);
  assert_int_equal(kafka_positions_seen(&to, row->owner), 1234);
  // Forgotten, then gone.
  row->has_position = false;
  kafka_position_value(row, &value);
  assert_true(take(&to, &key, buffer_cstring(&value), &e));
  assert_false(kafka_positions_find(&to, "a>\"b\"", "a", "part\\1")->has_position);
  assert_true(take(&to, &key, NULL, &e));
  assert_null(kafka_positions_find(&to, "a>\"b\"", "a", "part\\1"));
  kafka_positions_free(&from);
  kafka_positions_free(&to);
  buffer_free(&key);
  buffer_free(&value);
}

static void test_records_of_others_and_broken_ones(void **state) {
  (void)state;
  struct kafka_positions p;
  struct error e = {0};
  static const char ours[] =
      "{\"kind\":\"position\",\"pipeline\":\"p\",\"sink\":\"s\",\"edge\":\"e\",\"source\":\"a\",\"partition\":\"1\"}";
  static const char *const passed_over[] = {
      "",
      "nonsense",
      "{}",
      "[1]",
      "{\"kind\":\"position\",\"pipeline\":\"other\",\"sink\":\"s\",\"edge\":\"e\",\"source\":\"a\",\"partition\":\"1\"}",
      "{\"kind\":\"newer\",\"pipeline\":\"p\",\"sink\":\"s\",\"edge\":\"e\"}"};
  static const char negative[] = "{\"position\":-1,\"start\":0,\"witness\":0,\"identity\":\"\",\"fingerprint\":\"\",\"epoch\":1,"
                                 "\"rows\":0,\"superseded\":0,\"dead\":0}";
  static const char *const broken[] = {"", "{", "{}", "7", negative};
  kafka_positions_make(&p, "p", "s");
  for (size_t i = 0; i < sizeof passed_over / sizeof *passed_over; i++) {
    struct buffer key = {0};
    buffer_text(&key, passed_over[i]);
    assert_true(take(&p, &key, "{}", &e));
    buffer_free(&key);
  }
  assert_int_equal(p.count + p.writer_count, 0);
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    struct buffer key = {0};
    buffer_text(&key, ours);
    assert_false(take(&p, &key, broken[i], &e));
    assert_int_equal(e.class, ERROR_OPERATOR);
    buffer_free(&key);
  }
  kafka_positions_free(&p);
}

static void test_all_records_of_a_sink_lie_together(void **state) {
  (void)state;
  assert_int_equal(kafka_positions_partition("p", "s", 16), kafka_positions_partition("p", "s", 64));
  assert_int_equal(kafka_positions_partition("p", "s", 1), 0);
  bool used[16] = {false};
  char name[16];
  for (int i = 0; i < 200; i++) {
    snprintf(name, sizeof name, "sink%d", i);
    used[kafka_positions_partition("p", name, 16)] = true;
  }
  for (int i = 0; i < 16; i++) assert_true(used[i]);
}

// ---- letters as messages

static const char *header(const struct kafka_dead *letter, const char *name) {
  static char text[256];
  for (size_t i = 0; i < letter->count; i++) {
    if (strcmp(letter->headers[i].name, name) != 0) continue;
    snprintf(text, sizeof text, "%.*s", (int)letter->headers[i].length, (const char *)letter->headers[i].value);
    return text;
  }
  return NULL;
}

static void test_letters(void **state) {
  (void)state;
  struct buffer record = {0};
  struct kafka_dead letter;
  struct dead_entry entry = {.id = "abc", .pipeline = "p", .sink = "s", .source = "in", .partition = "3", .position = 7};
  entry.letter = (struct dead_letter){.node = "cleaned",
                                      .node_length = 7,
                                      .reason = "why",
                                      .reason_length = 3,
                                      .code = "json",
                                      .code_length = 4,
                                      .format = "raw",
                                      .format_length = 3,
                                      .column = "",
                                      .constraint = "",
                                      .data = (const uint8_t *)"{broken",
                                      .data_length = 7};
  kafka_dead_make(&entry, 1000000, &letter);
  assert_int_equal(letter.value_length, 7);
  assert_memory_equal(letter.value, "{broken", 7);
  assert_string_equal(header(&letter, "weir.origin"),
                      "{\"pipeline\":\"p\",\"sink\":\"s\",\"source\":\"in\",\"partition\":\"3\",\"position\":7,\"part\":0}");
  assert_string_equal(header(&letter, "weir.reason"), "why");
  assert_string_equal(header(&letter, "weir.node"), "cleaned");
  assert_null(header(&letter, "weir.column"));
  assert_null(header(&letter, "weir.cut"));
  kafka_dead_free(&letter);
  // One that the topic would not take whole.
  kafka_dead_make(&entry, 300, &letter);
  assert_true(letter.value_length < 7);
  assert_string_equal(header(&letter, "weir.cut"), "true");
  kafka_dead_free(&letter);
  // A record of weir's own is told as JSON.
  pack("{\"id\":3}", &record);
  entry.letter.format = "msgpack";
  entry.letter.format_length = 7;
  entry.letter.data = record.at;
  entry.letter.data_length = (uint32_t)record.length;
  kafka_dead_make(&entry, 1000000, &letter);
  assert_memory_equal(letter.value, "{\"id\":3}", 8);
  assert_string_equal(header(&letter, "weir.format"), "json");
  kafka_dead_free(&letter);
  buffer_free(&record);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_values),
      cmocka_unit_test(test_keys),
      cmocka_unit_test(test_key_by_an_expression),
      cmocka_unit_test(test_tombstones),
      cmocka_unit_test(test_broken_records),
      cmocka_unit_test(test_settings_that_do_not_fit),
      cmocka_unit_test(test_positions_survive_the_topic),
      cmocka_unit_test(test_records_of_others_and_broken_ones),
      cmocka_unit_test(test_all_records_of_a_sink_lie_together),
      cmocka_unit_test(test_letters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
