// What a record of a topic becomes: fields, metadata, tombstones, and what is refused; and the witness, which is stored for ever.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "workers/sources/topic_body.h"
#include "workers/sources/topic_witness.h"

static struct kafka_record record_of(const char *key, const char *value) {
  return (struct kafka_record){.partition = 3,
                               .offset = 41,
                               .millis = 1700000000123,
                               .key = (const uint8_t *)key,
                               .key_length = key ? (uint32_t)strlen(key) : 0,
                               .value = (const uint8_t *)value,
                               .value_length = value ? (uint32_t)strlen(value) : 0};
}

static void body_open(struct topic_body *b, const char *settings) {
  struct buffer typed = {0};
  struct error e = {0};
  char text[512] = {0};
  struct json_parser *json = json_parser_new();
  strncpy(text, settings, sizeof text - JSON_PADDING - 1);
  assert_true(json_to_msgpack(json, text, strlen(text), &typed, &e));
  json_parser_free(json);
  assert_true(topic_body_open(b, (struct job_value){.at = typed.at, .end = typed.at + typed.length}, &e));
  buffer_free(&typed);
}

static void expect_bytes(struct topic_body *b, const struct kafka_record *r, const char *json) {
  struct error why = {0};
  struct buffer text = {0};
  if (!topic_body_make(b, r, "t", &why)) fail_msg("%s", why.text);
  const uint8_t *at = b->body.at, *end = b->body.at + b->body.length;
  assert_true(msgpack_valid(at, end));
  assert_true(msgpack_to_json(&at, end, &text));
  assert_ptr_equal(at, end);
  assert_string_equal(buffer_cstring(&text), json);
  buffer_free(&text);
}

static void expect_body(const char *settings, const char *key, const char *value, const char *json) {
  struct topic_body b;
  struct kafka_record r = record_of(key, value);
  body_open(&b, settings);
  expect_bytes(&b, &r, json);
  topic_body_close(&b);
}

static void expect_refused(const char *settings, const char *key, const char *value, const char *code) {
  struct topic_body b;
  struct kafka_record r = record_of(key, value);
  struct error why = {0};
  body_open(&b, settings);
  assert_false(topic_body_make(&b, &r, "t", &why));
  assert_string_equal(why.code, code);
  assert_int_equal(why.class, ERROR_DATA);
  topic_body_close(&b);
}

static void fields_of_objects(void **state) {
  (void)state;
  expect_body("{}", NULL, " {\"a\":1,\"b\":[true,null]}", "{\"a\":1,\"b\":[true,null]}");
  expect_body("{}", NULL, "17", "{\"value\":17}");
  expect_body("{}", NULL, "[1]", "{\"value\":[1]}");
  expect_body("{}", NULL, "null", "{\"value\":null}");
  expect_body("{\"format\":\"string\"}", NULL, "{}", "{\"value\":\"{}\"}");
  expect_body("{\"format\":\"bytes\"}", NULL, "\xff", "{\"value\":\"/w==\"}");
  expect_body("{\"format\":\"msgpack\"}", NULL, "\x81\xa1n\x07", "{\"n\":7}");
  expect_body("{\"format\":\"msgpack\"}", NULL, "\x07", "{\"value\":7}");
}

static void metadata_wins(void **state) {
  (void)state;
  expect_body("{\"metadata\":[\"_key\",\"_topic\",\"_partition\",\"_offset\",\"_timestamp\"]}", "k",
              "{\"_offset\":1,\"a\":2,\"_key\":3,\"_headers\":4}",
              "{\"a\":2,\"_headers\":4,\"_key\":\"k\",\"_topic\":\"t\",\"_partition\":3,\"_offset\":41,\"_timestamp\":\"2023-11-14T22:13:"
              "20.123000Z\"}");
  expect_body("{\"metadata\":[\"_key\"],\"key_format\":\"json\"}", "{\"id\":5}", "{}", "{\"_key\":{\"id\":5}}");
  expect_body("{\"metadata\":[\"_key\"],\"key_format\":\"bytes\"}", "\xff", "{}", "{\"_key\":\"/w==\"}");
  expect_body("{\"metadata\":[\"_key\"]}", NULL, "{}", "{\"_key\":null}");
}

static void tombstones_name_their_key(void **state) {
  (void)state;
  expect_body("{}", "k", NULL, "{\"_key\":\"k\"}");
  expect_body("{}", NULL, NULL, "{\"_key\":null}");
  expect_body("{\"key_format\":\"json\"}", "{\"id\":5}", NULL, "{\"id\":5}");
  expect_body("{\"key_format\":\"json\"}", "5", NULL, "{\"_key\":5}");
  expect_body("{\"key_format\":\"json\",\"metadata\":[\"_offset\"]}", "{\"id\":5}", NULL, "{\"id\":5,\"_offset\":41}");
}

static void what_is_refused(void **state) {
  (void)state;
  expect_refused("{}", NULL, "{\"a\":", "json");
  expect_refused("{}", NULL, "", "json");
  expect_refused("{\"format\":\"string\"}", NULL, "\xff", "utf8");
  expect_refused("{\"format\":\"msgpack\"}", NULL, "\xc1", "msgpack");
  expect_refused("{\"format\":\"msgpack\"}", NULL, "\x01\x02", "msgpack");
  expect_refused("{\"metadata\":[\"_key\"]}", "\xff", "{}", "key");
  expect_refused("{\"key_format\":\"json\"}", "{", NULL, "key");
  // A key that nobody asks for is not read.
  expect_body("{\"key_format\":\"json\"}", "{", "{}", "{}");
}

static void plain_is_the_same_as_whole(void **state) {
  (void)state;
  struct topic_body b;
  uint8_t place[1024];
  struct kafka_record r = record_of(NULL, "{\"a\":0.5,\"b\":\"\\u00e4\",\"c\":{\"d\":[1,2,3]}}");
  struct msgpack_writer out = {.at = place, .end = place + sizeof place};
  body_open(&b, "{}");
  assert_true(b.plain);
  assert_true(topic_body_room(r.value_length) <= sizeof place);
  assert_true(topic_body_plain(&b, &r, &out));
  struct buffer text = {0};
  const uint8_t *at = place;
  assert_true(msgpack_to_json(&at, out.at, &text));
  expect_bytes(&b, &r, buffer_cstring(&text));
  buffer_free(&text);
  struct kafka_record none = record_of(NULL, "[1]");
  out = (struct msgpack_writer){.at = place, .end = place + sizeof place};
  assert_false(topic_body_plain(&b, &none, &out));
  topic_body_close(&b);
}

static uint64_t witness(int64_t millis, const char *key, const char *value) {
  return topic_witness(millis, (const uint8_t *)key, key ? (uint32_t)strlen(key) : 0, (const uint8_t *)value,
                       value ? (uint32_t)strlen(value) : 0);
}

// Stored with positions: a change would make every topic look like another one.
static void witness_is_pinned(void **state) {
  (void)state;
  assert_int_equal(witness(1, "key", "value"), 0x15d77ae63a01u);
  assert_int_equal(witness(1700000000000, NULL, "0123456789abcdef0123456789abcdef0123456789"), 0x554173aaa382u);
}

static void witness_stays_with_its_record(void **state) {
  (void)state;
  uint64_t one = witness(1, "key", "value");
  assert_int_equal(topic_witness_offset(10, one), 9);
  uint64_t moved = topic_witness_moved(topic_witness_moved(one, 3), 2);
  assert_int_equal(topic_witness_offset(15, moved), 9);
  assert_int_equal(moved & TOPIC_WITNESS_HASH, one);
  assert_int_equal(topic_witness_offset(10 + 65535, topic_witness_moved(one, 65535)), 9);
  assert_int_equal(topic_witness_moved(one, 65536), 0);
  assert_int_equal(topic_witness_moved(moved, UINT64_MAX), 0);
  assert_int_equal(topic_witness_moved(0, 1), 0);
}

static void witness_tells_records_apart(void **state) {
  (void)state;
  uint64_t all[] = {witness(1, "a", "b"),
                    witness(2, "a", "b"),
                    witness(1, "ab", ""),
                    witness(1, "", "ab"),
                    witness(1, NULL, "ab"),
                    witness(1, "ab", NULL),
                    witness(1, NULL, NULL),
                    witness(1, "", ""),
                    witness(-1, "a", "b"),
                    witness(1, NULL, "0123456789abcdef0123456789abcdeF0123456789"),
                    witness(1, NULL, "0123456789abcdef0123456789abcdef0123456789")};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    assert_true(all[i] != 0);
    for (size_t j = 0; j < i; j++) assert_true(all[i] != all[j]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fields_of_objects),           cmocka_unit_test(metadata_wins),
      cmocka_unit_test(tombstones_name_their_key),   cmocka_unit_test(what_is_refused),
      cmocka_unit_test(plain_is_the_same_as_whole),  cmocka_unit_test(witness_is_pinned),
      cmocka_unit_test(witness_tells_records_apart), cmocka_unit_test(witness_stays_with_its_record),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
