// JSON printed piece by piece: commas, escapes, and bytes that are no text.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "supervisor/json_text.h"

static void test_commas_and_brackets(void **state) {
  (void)state;
  struct buffer out = {0};
  struct json_text j = {.out = &out};
  json_text_open(&j, NULL, '{');
  json_text_open(&j, "a", '[');
  json_text_close(&j, ']');
  json_text_int(&j, "b", -1);
  json_text_open(&j, "c", '[');
  json_text_bool(&j, NULL, true);
  json_text_string(&j, NULL, NULL);
  json_text_close(&j, ']');
  json_text_close(&j, '}');
  assert_string_equal(buffer_cstring(&out), "{\"a\":[],\"b\":-1,\"c\":[true,null]}");
  buffer_free(&out);
}

// Names of files and what targets hold may be any bytes: the answer is JSON all the same.
static void test_any_bytes_become_text(void **state) {
  (void)state;
  static const struct {
    const char *bytes, *json;
  } cases[] = {{"plain", "\"plain\""},
               {"q\"b\\n\nt\t\x7f", "\"q\\\"b\\\\n\\nt\\u0009\\u007f\""},
               {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
               {"a\xff\x62", "\"a\\ufffd\x62\""},
               {"\xe2\x82", "\"\\ufffd\\ufffd\""},
               {"", "\"\""}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct buffer out = {0};
    struct json_text j = {.out = &out};
    json_text_string(&j, NULL, cases[i].bytes);
    assert_string_equal(buffer_cstring(&out), cases[i].json);
    buffer_free(&out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_commas_and_brackets),
      cmocka_unit_test(test_any_bytes_become_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
