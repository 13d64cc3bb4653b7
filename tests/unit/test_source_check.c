// What `weir check` finds in the settings of a source, beyond the types that the table of settings sees to.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/json.h"
#include "workers/common/http_settings.h"
#include "workers/sources/file_source.h"
#include "workers/sources/generate_source.h"
#include "workers/sources/http_source.h"

static struct buffer typed;

static struct job_value settings_of(const char *json) {
  struct error e = {0};
  struct json_parser *parser = json_parser_new();
  char *padded = memory_get(strlen(json) + JSON_PADDING);
  strcpy(padded, json);
  buffer_clear(&typed);
  if (!json_to_msgpack(parser, padded, strlen(padded), &typed, &e)) fail_msg("%s", e.text);
  free(padded);
  json_parser_free(parser);
  return (struct job_value){typed.at, typed.at + typed.length};
}

// Runs a check; the settings with an error, as "url key ".
static const char *errors_of(void (*check)(struct check *), const char *json) {
  static char names[256];
  struct check c = {.pipeline = "p", .node = "n", .settings = settings_of(json)};
  *names = '\0';
  check(&c);
  for (size_t i = 0; i < c.finding_count; i++) {
    if (c.findings[i].level != CHECK_ERROR) continue;
    assert_true(*c.findings[i].text != '\0');
    strncat(names, c.findings[i].setting, sizeof names - strlen(names) - 2);
    strcat(names, " ");
  }
  check_free(&c);
  return names;
}

static void file(void **state) {
  (void)state;
  assert_string_equal(errors_of(file_source_check, "{\"path\": \"a.ndjson\"}"), "");
  assert_string_equal(errors_of(file_source_check, "{\"path\": [\"a\", \"b*\"], \"follow\": true, \"start\": \"2025-01-01\"}"), "");
  assert_string_equal(errors_of(file_source_check, "{\"path\": \"a.json\", \"format\": \"json\", \"records\": \"x\"}"), "");
  assert_string_equal(errors_of(file_source_check, "{\"path\": []}"), "path ");
  assert_string_equal(errors_of(file_source_check, "{\"path\": [\"-\", \"a\"]}"), "path ");
  assert_string_equal(errors_of(file_source_check, "{\"path\": \"-\", \"format\": \"json\"}"), "format ");
  assert_string_equal(errors_of(file_source_check, "{\"path\": \"a\", \"format\": \"json\", \"follow\": true}"), "follow ");
  assert_string_equal(errors_of(file_source_check, "{\"path\": \"a\", \"records\": \"x\"}"), "records ");
  assert_string_equal(errors_of(file_source_check, "{\"path\": \"a\", \"start\": \"yesterday\"}"), "start ");
}

static void http(void **state) {
  (void)state;
#define URL "{\"url\": \"https://example.org/x\""
  assert_string_equal(errors_of(http_source_check, URL "}"), "");
  assert_string_equal(errors_of(http_source_check, "{\"url\": \"example.org\"}"), "url ");
  assert_string_equal(errors_of(http_source_check, "{\"url\": \"ftp://example.org/\"}"), "url ");
  assert_string_equal(errors_of(http_source_check, "{\"url\": \"file:///etc/passwd\"}"), "url ");
  assert_string_equal(errors_of(http_source_check, URL ", \"emit\": \"changed\"}"), "key ");
  assert_string_equal(errors_of(http_source_check, URL ", \"emit\": \"changed\", \"key\": \"a[\"}"), "key ");
  assert_string_equal(errors_of(http_source_check, URL ", \"headers\": {\"X\": \"a\\r\\nY: b\"}}"), "headers ");
  assert_string_equal(errors_of(http_source_check, URL ", \"headers\": {\"X Y\": \"a\"}}"), "headers ");
  assert_string_equal(errors_of(http_source_check, URL ", \"pagination\": {\"next\": \"a\", \"cursor\": \"b\"}}"), "pagination ");
  assert_string_equal(errors_of(http_source_check, URL ", \"pagination\": {\"start\": 0}}"), "pagination ");
  assert_string_equal(errors_of(http_source_check, URL ", \"auth\": {\"basic\": \"a:b\", \"bearer\": \"c\"}}"), "auth ");
  assert_string_equal(errors_of(http_source_check, URL ", \"body\": \"x\"}"), "body ");
  assert_string_equal(errors_of(http_source_check, URL ", \"body\": \"x\", \"method\": \"POST\"}"), "");
}

static void generate(void **state) {
  (void)state;
  assert_string_equal(errors_of(generate_source_check, "{\"sql\": \"SELECT n AS id, hash(n, seed) AS h WHERE n > 1\"}"), "");
  assert_string_equal(errors_of(generate_source_check, "{\"sql\": \"SELECT n +\"}"), "sql ");
  assert_string_equal(errors_of(generate_source_check, "{\"sql\": \"DELETE FROM numbers\"}"), "sql ");
}

static void expect_url(const char *json, size_t request, const char *wanted) {
  struct http_settings s;
  struct error e = {0};
  assert_true(http_settings_load(&s, settings_of(json), &e));
  char *url = http_settings_url(&s, request, NULL, NULL);
  assert_string_equal(url, wanted);
  free(url);
  http_settings_free(&s);
}

static void addresses(void **state) {
  (void)state;
  expect_url("{\"url\": \"http://h/x\"}", 0, "http://h/x");
  expect_url("{\"url\": \"http://h/x#part\", \"query\": {\"a\": 1, \"b c\": \"\xc3\xa9&=\"}}", 0, "http://h/x?a=1&b%20c=%C3%A9%26%3D");
  expect_url("{\"url\": \"http://h/x?k=v\", \"query\": {\"a\": true}, \"requests\": [{}, {\"r\": \"-._~\"}]}", 1,
             "http://h/x?k=v&a=true&r=-._~");
}

static void requests_have_names_of_their_own(void **state) {
  (void)state;
  struct http_settings s;
  struct error e = {0};
  assert_true(http_settings_load(&s, settings_of("{\"url\": \"http://h/x\", \"requests\": [{\"a\": 1}, {\"a\": 2}]}"), &e));
  uint64_t first = http_settings_hash(&s, 0, "f");
  assert_int_equal(first, http_settings_hash(&s, 0, "f"));
  assert_int_not_equal(first, http_settings_hash(&s, 1, "f"));
  assert_int_not_equal(first, http_settings_hash(&s, 0, "g"));
  http_settings_free(&s);
}

static int teardown(void **state) {
  (void)state;
  buffer_free(&typed);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(file),
      cmocka_unit_test(http),
      cmocka_unit_test(generate),
      cmocka_unit_test(addresses),
      cmocka_unit_test(requests_have_names_of_their_own),
  };
  return cmocka_run_group_tests(tests, NULL, teardown);
}
