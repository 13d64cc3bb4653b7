// Which texts are JSON: cases of our own for every class of the public JSONTestSuite (must be taken, must be refused, either way), each
// read by both readings of ours, with every kind of byte behind it. For the either-way class this is the record of what weir decided.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "proto/json.h"
#include "proto/json_scan.h"
#include "proto/limits.h"
#include "proto/msgpack.h"

enum { ANY = -1 };

struct json_case {
  const char *text;
  size_t length;
  long offset;        // of the first byte that cannot stand there; refused cases only
  const char *result; // the msgpack as JSON again; taken cases only (NULL: not compared)
};

#define TAKEN(text, result)                                                                                                                \
  { text, sizeof(text) - 1, ANY, result }
#define REFUSED(text, offset)                                                                                                              \
  { text, sizeof(text) - 1, offset, NULL }

static struct json_parser *parser;

static int parser_start(void **state) {
  (void)state;
  parser = json_parser_new();
  return 0;
}

static int parser_end(void **state) {
  (void)state;
  json_parser_free(parser);
  return 0;
}

// What may lie behind a text: anything. Among others what would complete it, or make a longer number or word of its last one.
static const char behind[] = {'\0', ' ', '}', ']', ',', '"', '1', 'e', ':', '\\', '\xff'};

// A copy with exactly the padding that the parser may touch, filled with `fill`.
static char *padded_copy(const char *text, size_t length, char fill) {
  char *copy = memory_get(length + JSON_PADDING);
  memset(copy, fill, length + JSON_PADDING);
  memcpy(copy, text, length);
  return copy;
}

static void complain(const struct json_case *c, const char *what) {
  fail_msg("%s: %.*s", what, (int)(c->length > 200 ? 200 : c->length), c->text);
}

static void check_taken(const struct json_case *c) {
  struct json_flaw flaw;
  if (!json_scan(c->text, c->length, LIMIT_DEPTH, &flaw)) complain(c, "the scanner refuses");
  for (size_t i = 0; i < sizeof behind; i++) {
    char *text = padded_copy(c->text, c->length, behind[i]);
    struct buffer out = {0}, json = {0};
    struct error e = {0};
    if (!json_to_msgpack(parser, text, c->length, &out, &e)) complain(c, e.text);
    assert_true(msgpack_valid(out.at, out.at + out.length));
    const uint8_t *at = out.at;
    assert_true(msgpack_to_json(&at, out.at + out.length, &json));
    if (c->result && strcmp(buffer_cstring(&json), c->result) != 0) complain(c, buffer_cstring(&json));
    buffer_free(&out);
    buffer_free(&json);
    free(text);
  }
}

static void check_refused(const struct json_case *c, const char *code) {
  struct json_flaw flaw;
  if (json_scan(c->text, c->length, LIMIT_DEPTH, &flaw)) complain(c, "the scanner takes");
  for (size_t i = 0; i < sizeof behind; i++) {
    char *text = padded_copy(c->text, c->length, behind[i]);
    struct buffer out = {0};
    struct error e = {0};
    buffer_text(&out, "kept");
    if (json_to_msgpack(parser, text, c->length, &out, &e)) complain(c, "taken");
    assert_int_equal(out.length, 4);
    assert_memory_equal(out.at, "kept", 4);
    assert_int_equal(e.class, ERROR_DATA);
    assert_string_equal(e.code, code);
    char *at = strstr(e.text, " at byte ");
    if (!at) complain(c, e.text);
    long offset = strtol(at + 9, NULL, 10);
    if (c->offset != ANY && offset != c->offset) complain(c, e.text);
    assert_true(offset >= 0 && (size_t)offset <= c->length);
    buffer_free(&out);
    free(text);
  }
}

static void arrays_taken(void **state) {
  (void)state;
  static const struct json_case cases[] = {
      TAKEN("[]", "[]"),
      TAKEN("[ ]", "[]"),
      TAKEN("[\"\"]", "[\"\"]"),
      TAKEN("[[] ]", "[[]]"),
      TAKEN("[[],[[]]]", "[[],[[]]]"),
      TAKEN("[\"x\"]", "[\"x\"]"),
      TAKEN("[false]", "[false]"),
      TAKEN("[true]", "[true]"),
      TAKEN("[null]", "[null]"),
      TAKEN("[null, 1, \"2\", {}]", "[null,1,\"2\",{}]"),
      TAKEN("[7\n]", "[7]"),
      TAKEN(" [7]", "[7]"),
      TAKEN("[7] ", "[7]"),
      TAKEN("[3,null,null,null,4]", "[3,null,null,null,4]"),
      TAKEN("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"),
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_taken(&cases[i]);
}

static void numbers_taken(void **state) {
  (void)state;
  static const struct json_case cases[] = {
      TAKEN("[321e45]", "[3.21e+47]"),
      TAKEN("[0e+2]", "[0.0]"),
      TAKEN("[0e2]", "[0.0]"),
      TAKEN("[-0]", "[0]"),
      TAKEN("[-0.0]", "[-0.0]"),
      TAKEN("[ 8]", "[8]"),
      TAKEN("[0.000000000000000000000000000000000000000000000000000000000000000000000000000001]", "[1e-78]"),
      TAKEN("[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]", "[-1e-78]"),
      TAKEN("[30e1]", "[300.0]"),
      TAKEN("[-321]", "[-321]"),
      TAKEN("[-5]", "[-5]"),
      TAKEN("[2E12]", "[2000000000000.0]"),
      TAKEN("[2E-3]", "[0.002]"),
      TAKEN("[2E+3]", "[2000.0]"),
      TAKEN("[321e-2]", "[3.21]"),
      TAKEN("[321.654789]", "[321.654789]"),
      TAKEN("[9223372036854775807,-9223372036854775808]", "[9223372036854775807,-9223372036854775808]"),
      TAKEN("[9223372036854775808]", "[9223372036854775808]"),
      TAKEN("[18446744073709551615]", "[18446744073709551615]"),
      TAKEN("[1000000000000000000]", "[1000000000000000000]"),
      TAKEN("[9999999999999999999]", "[9999999999999999999]"),
      TAKEN("[10000000000000000000]", "[10000000000000000000]"),
      TAKEN("[0.1,0.2,0.3]", "[0.1,0.2,0.3]"),
      TAKEN("[9007199254740993.0]", "[9007199254740992.0]"),
      TAKEN("[9007199254740992.0,9007199254740994.0]", "[9007199254740992.0,9007199254740994.0]"),
      TAKEN("[0.12345678901234567890123456789]", "[0.12345678901234568]"),
      TAKEN("[2.2250738585072011e-308]", "[2.225073858507201e-308]"),
      TAKEN("[2.2250738585072014e-308,1.7976931348623157e308]", "[2.2250738585072014e-308,1.7976931348623157e+308]"),
      TAKEN("[5e-324,4.9406564584124654e-324]", "[5e-324,5e-324]"),
      TAKEN("[1e22,1e23,8e22]", "[1e+22,1e+23,8e+22]"),
      TAKEN("[1e00000000000000000000001]", "[10.0]"),
      TAKEN("[1e-00000000000000000000001]", "[0.1]"),
      TAKEN("[123456789012345678901234567890.5]", "[1.2345678901234568e+29]"),
      TAKEN("0", "0"),
      TAKEN("-1", "-1"),
      TAKEN("12345678", "12345678"),
      TAKEN("1.5", "1.5"),
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_taken(&cases[i]);
}

static void objects_taken(void **state) {
  (void)state;
  static const struct json_case cases[] = {
      TAKEN("{}", "{}"),
      TAKEN("{\"\":7}", "{\"\":7}"),
      TAKEN("{\"k\":\"v\"}", "{\"k\":\"v\"}"),
      TAKEN("{\"k\":\"v\", \"l\":\"w\"}", "{\"k\":\"v\",\"l\":\"w\"}"),
      TAKEN("{\"k\":\"v\",\"k\":\"w\"}", "{\"k\":\"w\"}"),
      TAKEN("{\"k\":\"v\",\"k\":\"v\"}", "{\"k\":\"v\"}"),
      TAKEN("{\"zero\\u0000inside\": 3}", "{\"zero\\u0000inside\":3}"),
      TAKEN("{ \"low\": -1.0e+28, \"high\": 1.0e+28 }", "{\"low\":-1e+28,\"high\":1e+28}"),
      TAKEN("{\"list\":[{\"key\": \"\"}], \"key\": \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"}",
            "{\"list\":[{\"key\":\"\"}],\"key\":\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"}"),
      TAKEN("{\"k\":[]}", "{\"k\":[]}"),
      TAKEN("{\"name\":\"\\u041f\\u043e\\u043b\\u0442\" }", "{\"name\":\"\xd0\x9f\xd0\xbe\xd0\xbb\xd1\x82\"}"),
      TAKEN("{\n\"k\": \"v\"\n}", "{\"k\":\"v\"}"),
      TAKEN("{\"a\":1,\"b\":2,\"a\":3,\"c\":4,\"b\":{\"a\":5,\"a\":6}}", "{\"a\":3,\"b\":{\"a\":6},\"c\":4}"),
      TAKEN("{\"a\":1,\"\\u0061\":2,\"\\u00e9\":3,\"\xc3\xa9\":4}", "{\"a\":2,\"\xc3\xa9\":4}"),
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_taken(&cases[i]);
}

static void strings_taken(void **state) {
  (void)state;
  static const struct json_case cases[] = {
      TAKEN("[\"\\u0061\\u00E9\\u20aC\"]", "[\"a\xc3\xa9\xe2\x82\xac\"]"),
      TAKEN("[\"\\ud83d\\ude00\"]", "[\"\xf0\x9f\x98\x80\"]"),
      TAKEN("[\"\\uD834\\uDD1E\\uDBFF\\uDFFF\"]", "[\"\xf0\x9d\x84\x9e\xf4\x8f\xbf\xbf\"]"),
      TAKEN("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]", "[\"\\\"\\\\/\\b\\f\\n\\r\\t\"]"),
      TAKEN("[\"\\\\u0000\"]", "[\"\\\\u0000\"]"),
      TAKEN("[\"\\\"\"]", "[\"\\\"\"]"),
      TAKEN("[\"x/*y*/z\"]", "[\"x/*y*/z\"]"),
      TAKEN("[\"\\\\n\"]", "[\"\\\\n\"]"),
      TAKEN("[\"\\u0012\"]", "[\"\\u0012\"]"),
      TAKEN("[\"\\uFFFF\\ufffe\\ufdd0\"]", "[\"\xef\xbf\xbf\xef\xbf\xbe\xef\xb7\x90\"]"),
      TAKEN("[ \"zz\"]", "[\"zz\"]"),
      TAKEN("[\"\xef\xbf\xbf\xf4\x8f\xbf\xbf\xf0\x9f\xbf\xbe\"]", "[\"\xef\xbf\xbf\xf4\x8f\xbf\xbf\xf0\x9f\xbf\xbe\"]"),
      TAKEN("[\"\\u0000\"]", "[\"\\u0000\"]"),
      TAKEN("[\"\\u002c\\u0022\"]", "[\",\\\"\"]"),
      TAKEN("[\"\xcf\x80\xe2\x80\xa8\xe2\x80\xa9\xc2\xa0\"]", "[\"\xcf\x80\xe2\x80\xa8\xe2\x80\xa9\xc2\xa0\"]"),
      TAKEN("\" \"", "\" \""),
      TAKEN("\"\"", "\"\""),
      TAKEN("\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""),
      TAKEN("[\"\\u0821\xe0\xa0\xa1\"]", "[\"\xe0\xa0\xa1\xe0\xa0\xa1\"]"),
      TAKEN("[\"\\u0123\\u00A9\\u2064\"]", "[\"\xc4\xa3\xc2\xa9\xe2\x81\xa4\"]"),
      TAKEN("[\"\x7f\"]", "[\"\\u007f\"]"),
      TAKEN("[\"a\x7f"
            "a\"]",
            NULL),
      TAKEN("[\"abcdefghijklmnopqrstuvwxyz1234\\n\"]", "[\"abcdefghijklmnopqrstuvwxyz1234\\n\"]"),
      TAKEN("[\"abcdefghijklmnopqrstuvwxyz12345\"]", "[\"abcdefghijklmnopqrstuvwxyz12345\"]"),
      TAKEN("[\"abcdefghijklmnopqrstuvwxyz12345\\\\\"]", "[\"abcdefghijklmnopqrstuvwxyz12345\\\\\"]"),
      TAKEN("[\"abcdefghijklmnopqrstuvwxyz123456\",\"\\\\\"]", "[\"abcdefghijklmnopqrstuvwxyz123456\",\"\\\\\"]"),
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_taken(&cases[i]);
}

static void structures_taken(void **state) {
  (void)state;
  static const struct json_case cases[] = {
      TAKEN("false", "false"),
      TAKEN("true", "true"),
      TAKEN("null", "null"),
      TAKEN("42", "42"),
      TAKEN("-0.25", "-0.25"),
      TAKEN("\"text\"", "\"text\""),
      TAKEN(" \t\r\n null \t\r\n ", "null"),
      TAKEN("[\"a\"]\n", "[\"a\"]"),
      TAKEN(" [] ", "[]"),
      TAKEN("\t{\"a\"\r:\n[ 1 ,\t2 ]  }", "{\"a\":[1,2]}"),
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_taken(&cases[i]);
}

static void arrays_refused(void **state) {
  (void)state;
  static const struct json_case cases[] = {
      REFUSED("[1 true]", 3),
      REFUSED("[a\xe5]", 1),
      REFUSED("[\"\": 1]", 3),
      REFUSED("[\"\"],", 4),
      REFUSED("[,1]", 1),
      REFUSED("[1,,2]", 3),
      REFUSED("[\"x\",,]", 5),
      REFUSED("[\"x\"]]", 5),
      REFUSED("[\"\",]", 4),
      REFUSED("[\"x\"", 4),
      REFUSED("[x", 1),
      REFUSED("[3[4]]", 2),
      REFUSED("[\xff]", 1),
      REFUSED("[1:2]", 2),
      REFUSED("[,]", 1),
      REFUSED("[-]", 2),
      REFUSED("[   , \"\"]", 4),
      REFUSED("[\"a\",\n4\n,1,", 11),
      REFUSED("[1,]", 3),
      REFUSED("[1,,]", 3),
      REFUSED("[\"\x0b"
              "a\"\\f]",
              2),
      REFUSED("[*]", 1),
      REFUSED("[\"\"", 3),
      REFUSED("[1,", 3),
      REFUSED("[1,\n1\n,1", 8),
      REFUSED("[{}", 3),
      REFUSED("[fals]", 5),
      REFUSED("[nul]", 4),
      REFUSED("[tru]", 4),
      REFUSED("[truex]", 5),
      REFUSED("[1}", 2),
      REFUSED("[1 2]", 3),
      REFUSED("[\"a\" \"b\"]", 5),
      REFUSED("[[1]", 4),
      REFUSED("[", 1),
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_refused(&cases[i], "json");
}

static void numbers_refused(void **state) {
  (void)state;
  static const struct json_case cases[] = {
      REFUSED("[++5]", 1),
      REFUSED("[+1]", 1),
      REFUSED("[+Inf]", 1),
      REFUSED("[-01]", 3),
      REFUSED("[-1.0.]", 5),
      REFUSED("[-2.]", 4),
      REFUSED("[-NaN]", 2),
      REFUSED("[.-1]", 1),
      REFUSED("[.2e-3]", 1),
      REFUSED("[0.1.2]", 4),
      REFUSED("[0.3e+]", 6),
      REFUSED("[0.3e]", 5),
      REFUSED("[0.e1]", 3),
      REFUSED("[0E+]", 4),
      REFUSED("[0E]", 3),
      REFUSED("[0e+-1]", 4),
      REFUSED("[0e+]", 4),
      REFUSED("[0e]", 3),
      REFUSED("[1.0e+]", 6),
      REFUSED("[1.0e-]", 6),
      REFUSED("[1.0e]", 5),
      REFUSED("[1 000.0]", 3),
      REFUSED("[1eE2]", 3),
      REFUSED("[2.e+3]", 3),
      REFUSED("[2.e-3]", 3),
      REFUSED("[2.e3]", 3),
      REFUSED("[9.e+]", 3),
      REFUSED("[Inf]", 1),
      REFUSED("[NaN]", 1),
      REFUSED("[\xef\xbc\x91]", 1),
      REFUSED("[1+2]", 2),
      REFUSED("[0x1]", 2),
      REFUSED("[0x42]", 2),
      REFUSED("[Infinity]", 1),
      REFUSED("[0e+-1]", 4),
      REFUSED("[-123.123foo]", 9),
      REFUSED("[123\xe5]", 4),
      REFUSED("[1e1\xe5]", 4),
      REFUSED("[0\xe5]\n", 2),
      REFUSED("[-Infinity]", 2),
      REFUSED("[-foo]", 2),
      REFUSED("[- 1]", 2),
      REFUSED("[-012]", 3),
      REFUSED("[-.123]", 2),
      REFUSED("[-1x]", 3),
      REFUSED("[1ea]", 3),
      REFUSED("[1.]", 3),
      REFUSED("[.123]", 1),
      REFUSED("[1.2a-3]", 4),
      REFUSED("[1.8011670033376514H-308]", 19),
      REFUSED("[012]", 2),
      REFUSED("[00]", 2),
      REFUSED("01", 1),
      REFUSED("-", 1),
      REFUSED("1.", 2),
      REFUSED("1e", 2),
      REFUSED("1e+", 3),
      REFUSED("-a", 1),
      REFUSED("1_000", 1),
      REFUSED("[1e5.5]", 4),
      REFUSED("123\0", 3),
      REFUSED("12,3", 2),
      REFUSED("[1\"a\"]", 2),
      REFUSED("1\"a\"", 1),
      REFUSED("[1/2]", 2),
      REFUSED("[12345678x]", 9),
      REFUSED("[1234567890123456789x]", 20),
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_refused(&cases[i], "json");
}

static void objects_refused(void **state) {
  (void)state;
  static const struct json_case cases[] = {
      REFUSED("[\"x\", truth]", 9),
      REFUSED("{[: \"x\"}\n", 1),
      REFUSED("{\"x\", null}", 4),
      REFUSED("{\"x\"::\"y\"}", 5),
      REFUSED("{\xf0\x9f\x87\xa8\xf0\x9f\x87\xad}", 1),
      REFUSED("{\"a\":\"a\" 123}", 9),
      REFUSED("{key: 'value'}", 1),
      REFUSED("{\"\xb9\":\"0\",}", 2),
      REFUSED("{\"a\" b}", 5),
      REFUSED("{:\"b\"}", 1),
      REFUSED("{\"a\" \"b\"}", 5),
      REFUSED("{\"a\":", 5),
      REFUSED("{\"a\"", 4),
      REFUSED("{1:1}", 1),
      REFUSED("{9999E9999:1}", 1),
      REFUSED("{null:null,null:null}", 1),
      REFUSED("{\"id\":0,,,,,}", 8),
      REFUSED("{'a':0}", 1),
      REFUSED("{\"id\":0,}", 8),
      REFUSED("{\"a\":\"b\"}/**/", 9),
      REFUSED("{\"a\":\"b\"}/**//", 9),
      REFUSED("{\"a\":\"b\"}//", 9),
      REFUSED("{\"a\":\"b\"}/", 9),
      REFUSED("{\"a\":\"b\",,\"c\":\"d\"}", 9),
      REFUSED("{a: \"b\"}", 1),
      REFUSED("{\"a\":\"a", 7),
      REFUSED("{ \"foo\" : \"bar\", \"a\" }", 21),
      REFUSED("{\"a\":\"b\"}#", 9),
      REFUSED("{\"a\":1]", 6),
      REFUSED("{\"a\":}", 5),
      REFUSED("{,}", 1),
      REFUSED("{\"a\":1 \"b\":2}", 7),
      REFUSED("{", 1),
      REFUSED("{\"a\":1", 6),
      REFUSED("{\"a\":{\"b\":1}", 12),
      REFUSED("{true:1}", 1),
      REFUSED("{\"a\":1}}", 7),
      REFUSED("{{}}", 1),
      REFUSED("{[]:1}", 1),
      REFUSED("{\"a\"=1}", 4),
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_refused(&cases[i], "json");
}

static void strings_refused(void **state) {
  (void)state;
  static const struct json_case cases[] = {
      REFUSED("[\"\\uD800\\\"]", 2),
      REFUSED("[\"\\uD800\\u\"]", 10),
      REFUSED("[\"\\uD800\\u1\"]", 11),
      REFUSED("[\"\\uD800\\u1x\"]", 11),
      REFUSED("[\xc3\xa9]", 1),
      REFUSED("[\"\\\0\"]", 2),
      REFUSED("[\"\\x00\"]", 2),
      REFUSED("[\"\\\\\\\"]", 7),
      REFUSED("[\"\\\t\"]", 2),
      REFUSED("[\"\\\xf0\x9f\x8c\x80\"]", 2),
      REFUSED("[\"\\\"]", 5),
      REFUSED("[\"\\u00A\"]", 7),
      REFUSED("[\"\\uD834\\uDd\"]", 12),
      REFUSED("[\"\\uD800\\uD800\\x\"]", 2),
      REFUSED("[\"\\u\xe5\"]", 4),
      REFUSED("[\"\\a\"]", 2),
      REFUSED("[\"\\uqqqq\"]", 4),
      REFUSED("[\"\\\xe5\"]", 2),
      REFUSED("[\\u0020\"asd\"]", 1),
      REFUSED("[\\n]", 1),
      REFUSED("\"", 1),
      REFUSED("['single']", 1),
      REFUSED("abc", 0),
      REFUSED("[\"\\", 3),
      REFUSED("[\"a\0a\"]", 3),
      REFUSED("[\"new\nline\"]", 5),
      REFUSED("[\"\t\"]", 2),
      REFUSED("\"\\UA66D\"", 1),
      REFUSED("\"\"x", 2),
      REFUSED("\"a\"\"b\"", 3),
      REFUSED("[\"\x1f\"]", 2),
      REFUSED("\"unclosed", 9),
      REFUSED("[\"\\u00g0\"]", 6),
      REFUSED("[\"\\", 3),
      REFUSED("[\"\\u", 4),
      REFUSED("[\"\\u12", 6),
      REFUSED("\"\\\"", 3),
      REFUSED("[\"abcdefghijklmnopqrstuvwxyz0123456789\\q\"]", 38),
      REFUSED("[\"\\u 123\"]", 4),
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_refused(&cases[i], "json");
}

static void structures_refused(void **state) {
  (void)state;
  static const struct json_case cases[] = {
      REFUSED("", 0),
      REFUSED(" ", 1),
      REFUSED(" \n\t\r ", 5),
      REFUSED("<.>", 0),
      REFUSED("[<null>]", 1),
      REFUSED("[1]x", 3),
      REFUSED("[1]]", 3),
      REFUSED("[\"asd]", 6),
      REFUSED("a\xc3\xa5", 0),
      REFUSED("[True]", 1),
      REFUSED("1]", 1),
      REFUSED("{\"x\": true,", 11),
      REFUSED("[][]", 2),
      REFUSED("]", 0),
      REFUSED("\xef\xbb{}", 0),
      REFUSED("\xe5", 0),
      REFUSED("2@", 1),
      REFUSED("{}}", 2),
      REFUSED("{\"\":", 4),
      REFUSED("{\"a\":/*comment*/\"b\"}", 5),
      REFUSED("{\"a\": true} \"x\"", 12),
      REFUSED("['", 1),
      REFUSED("[,", 1),
      REFUSED("[{", 2),
      REFUSED("[\"a", 3),
      REFUSED("[\"a\"", 4),
      REFUSED("{]", 1),
      REFUSED("{,", 1),
      REFUSED("{[", 1),
      REFUSED("{\"a", 3),
      REFUSED("{'a'", 1),
      REFUSED("[\"\\{[\"\\{[\"\\{[\"\\{", 2),
      REFUSED("*", 0),
      REFUSED("{\"a\":\"b\"}#{}", 9),
      REFUSED("[\\u000A\"\"]", 1),
      REFUSED("[1", 2),
      REFUSED("[ false, nul", 12),
      REFUSED("[ true, fals", 12),
      REFUSED("[ false, tru", 12),
      REFUSED("{\"asd\":\"asd\"", 12),
      REFUSED("\xc3\xa5", 0),
      REFUSED("[\xe2\x81\xa0]", 1),
      REFUSED("\xef\xbb\xbf", 3),
      REFUSED("[\x0c]", 1),
      REFUSED("[\xc2\xa0]", 1),
      REFUSED("\0", 0),
      REFUSED("[]\0", 2),
      REFUSED("[1]\x0b", 3),
      REFUSED("nullnull", 4),
      REFUSED("null null", 5),
      REFUSED("TRUE", 0),
      REFUSED("t", 1),
      REFUSED("\xef\xbb\xbf\xef\xbb\xbf{}", 3),
      REFUSED("{\"a\":1}\n{\"b\":2}", 8),
      REFUSED(":", 0),
      REFUSED(",", 0),
      REFUSED("}", 0),
      REFUSED("\\", 0),
      REFUSED("[}", 1),
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_refused(&cases[i], "json");
}

// What the standard leaves open, and what weir does.
static void either_way(void **state) {
  (void)state;
  static const struct json_case taken[] = {
      // A number that no kind of number holds stays text; one too small for a double is 0.
      TAKEN("[0."
            "4e0066999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999699999"
            "99006]",
            "[\"0."
            "4e0066999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999699999"
            "99006\"]"),
      TAKEN("[1.5e+9999]", "[\"1.5e+9999\"]"),
      TAKEN("[-1e+9999]", "[\"-1e+9999\"]"),
      TAKEN("[1e400,-1e400]", "[\"1e400\",\"-1e400\"]"),
      TAKEN("[123e-10000000]", "[0.0]"),
      TAKEN("[-123e-10000000]", "[-0.0]"),
      TAKEN("[-123123e100000]", "[\"-123123e100000\"]"),
      TAKEN("[123123e100000]", "[\"123123e100000\"]"),
      TAKEN("[100000000000000000000]", "[\"100000000000000000000\"]"),
      TAKEN("[18446744073709551616]", "[\"18446744073709551616\"]"),
      TAKEN("[-9223372036854775809]", "[\"-9223372036854775809\"]"),
      TAKEN("[-18446744073709551616]", "[\"-18446744073709551616\"]"),
      TAKEN("[-237462374673276894279832749832423479823246327846]", "[\"-237462374673276894279832749832423479823246327846\"]"),
      TAKEN("[1.7976931348623159e308]", "[\"1.7976931348623159e308\"]"),
      TAKEN("[0e999999999999999999999]", "[0.0]"),
      TAKEN("[0.0000000000000000000000000000000000001e345]", "[1e+308]"),
      TAKEN("-1e999", "\"-1e999\""),
      // A byte order mark in front is skipped.
      TAKEN("\xef\xbb\xbf{}", "{}"),
      TAKEN("\xef\xbb\xbf [1]", "[1]"),
  };
  static const struct json_case refused[] = {
      // Half of a surrogate pair is no character, and what is not UTF-8 is no text.
      REFUSED("{\"\\uDFAA\":0}", 2),
      REFUSED("[\"\\uDADA\"]", 2),
      REFUSED("[\"\\uD888\\u1234\"]", 2),
      REFUSED("[\"\\uD800\\n\"]", 2),
      REFUSED("[\"\\uDd1ea\"]", 2),
      REFUSED("[\"\\uD800\\uD800\"]", 2),
      REFUSED("[\"\\ud800\"]", 2),
      REFUSED("[\"\\ud800abc\"]", 2),
      REFUSED("[\"\\uDd1e\\uD834\"]", 2),
      REFUSED("[\"\\uDFAA\"]", 2),
      REFUSED("[\"\xff\"]", 2),
      REFUSED("[\"\xfc\x83\xbf\xbf\xbf\xbf\"]", 2),
      REFUSED("[\"\xc0\xaf\"]", 2),
      REFUSED("[\"\xe6\x97\xa5\xd1\x88\xfa\"]", 7),
      REFUSED("[\"\xf4\xbf\xbf\xbf\"]", 2),
      REFUSED("[\"\xe0\xff\"]", 2),
      REFUSED("[\"\x81\"]", 2),
      REFUSED("[\"\xed\xa0\x80\"]", 2),
      REFUSED("[\"\xed\xbf\xbf\"]", 2),
      REFUSED("[\"\xf8\x88\x80\x80\x80\"]", 2),
      REFUSED("\xff\xfe[\0\"\0\xe9\0\"\0]\0", 0),
      REFUSED("\0[\0\"\0\xe9\0\"\0]", 0),
      REFUSED("[\0\"\0\xe9\0\"\0]\0", 1),
      REFUSED("[\"\xe0\x80\x80\"]", 2),
      REFUSED("[\"abcdefghijklmnopqrstuvwxyz\xc3\"]", 28),
  };
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) check_taken(&taken[i]);
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) check_refused(&refused[i], "json");
}

// `count` times `opening`, then `middle`, then `count` times `closing`.
static char *nested(size_t count, const char *opening, const char *middle, const char *closing) {
  struct buffer b = {0};
  for (size_t i = 0; i < count; i++) buffer_text(&b, opening);
  buffer_text(&b, middle);
  for (size_t i = 0; i < count; i++) buffer_text(&b, closing);
  char *text = memory_text_n((const char *)b.at, b.length);
  buffer_free(&b);
  return text;
}

static void check_nested(size_t count, const char *opening, const char *middle, const char *closing, const char *code, long offset) {
  char *text = nested(count, opening, middle, closing);
  struct json_case c = {text, strlen(text), offset, code ? NULL : text};
  if (code)
    check_refused(&c, code);
  else
    check_taken(&c);
  free(text);
}

static void deep_ones(void **state) {
  (void)state;
  check_nested(LIMIT_DEPTH, "[", "", "]", NULL, ANY);
  check_nested(LIMIT_DEPTH + 1, "[", "", "]", "too-deep", LIMIT_DEPTH);
  check_nested(500, "[", "", "]", "too-deep", LIMIT_DEPTH);
  check_nested(100000, "[", "", "]", "too-deep", LIMIT_DEPTH);
  check_nested(100000, "[", "", "", "too-deep", LIMIT_DEPTH);
  check_nested(LIMIT_DEPTH, "{\"a\":", "1", "}", NULL, ANY);
  check_nested(LIMIT_DEPTH + 1, "{\"a\":", "1", "}", "too-deep", 5 * LIMIT_DEPTH);
  check_nested(LIMIT_DEPTH / 2, "[{\"a\":", "null", "}]", NULL, ANY);
  check_nested(50000, "[{\"\":", "", "", "too-deep", 5 * LIMIT_DEPTH / 2);
  check_nested(LIMIT_DEPTH, "[", "1", "", "json", LIMIT_DEPTH + 1);
  // Too deep, but broken earlier: the first flaw counts.
  check_nested(100000, "[", "", "]x", "too-deep", LIMIT_DEPTH);
  check_nested(10, "[x", "", "]", "json", 1);
}

static void check_long(struct buffer *b, bool good, long offset) {
  struct json_case c = {(const char *)b->at, b->length, offset, NULL};
  if (good)
    check_taken(&c);
  else
    check_refused(&c, "json");
  buffer_free(b);
}

static void add_many(struct buffer *b, const char *piece, size_t count) {
  for (size_t i = 0; i < count; i++) buffer_text(b, piece);
}

static void long_ones(void **state) {
  (void)state;
  struct buffer b = {0};
  buffer_text(&b, "[\""), add_many(&b, "x", 100000), buffer_text(&b, "\"]"), check_long(&b, true, ANY);
  buffer_text(&b, "[\""), add_many(&b, "\\u00e9", 70000), buffer_text(&b, "\"]"), check_long(&b, true, ANY);
  buffer_text(&b, "[\""), add_many(&b, "x", 100000), buffer_text(&b, "\\q\"]"), check_long(&b, false, 100002);
  buffer_text(&b, "[\""), add_many(&b, "x", 100000), buffer_text(&b, "\xff\"]"), check_long(&b, false, 100002);
  buffer_text(&b, "[\""), add_many(&b, "x", 100000), check_long(&b, false, 100002);
  buffer_text(&b, "[0"), add_many(&b, ",0", 70000), buffer_text(&b, "]"), check_long(&b, true, ANY);
  buffer_text(&b, "[0"), add_many(&b, ",0", 70000), buffer_text(&b, ",]"), check_long(&b, false, 140003);
  buffer_text(&b, "["), add_many(&b, "9", 100000), buffer_text(&b, "]"), check_long(&b, true, ANY);
  buffer_text(&b, "[0."), add_many(&b, "3", 100000), buffer_text(&b, "]"), check_long(&b, true, ANY);
  buffer_text(&b, "[0."), add_many(&b, "0", 100000), buffer_text(&b, "1e100001]"), check_long(&b, true, ANY);
  buffer_text(&b, "[1"), add_many(&b, "0", 100000), buffer_text(&b, "e-100000]"), check_long(&b, true, ANY);
  buffer_text(&b, "[1e"), add_many(&b, "0", 100000), buffer_text(&b, "1]"), check_long(&b, true, ANY);
  buffer_text(&b, "["), add_many(&b, " ", 100000), buffer_text(&b, "]"), check_long(&b, true, ANY);
  buffer_text(&b, "{\"a\":1"), add_many(&b, ",\"a\":1", 70000), buffer_text(&b, "}"), check_long(&b, true, ANY);
  add_many(&b, " ", 100000), check_long(&b, false, 100000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(arrays_taken),       cmocka_unit_test(numbers_taken),    cmocka_unit_test(objects_taken),
      cmocka_unit_test(strings_taken),      cmocka_unit_test(structures_taken), cmocka_unit_test(arrays_refused),
      cmocka_unit_test(numbers_refused),    cmocka_unit_test(objects_refused),  cmocka_unit_test(strings_refused),
      cmocka_unit_test(structures_refused), cmocka_unit_test(either_way),       cmocka_unit_test(deep_ones),
      cmocka_unit_test(long_ones),
  };
  return cmocka_run_group_tests(tests, parser_start, parser_end);
}
