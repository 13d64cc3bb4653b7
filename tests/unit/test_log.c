// Log lines: one line each whatever the values hold, readable by a strict parser in both formats, in one write.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "proto/json.h"
#include "proto/log.h"
#include "proto/msgpack.h"
#include "proto/utf8.h"

// Standard error becomes one end of a packet socket, so that each write(2) arrives as one packet.
static int standard_error, packets[2];

static void capture(void) {
  assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets), 0);
  standard_error = dup(STDERR_FILENO);
  dup2(packets[1], STDERR_FILENO);
}

static void release(void) {
  dup2(standard_error, STDERR_FILENO);
  close(standard_error);
  close(packets[0]);
  close(packets[1]);
}

// The packets written since capture(); the first one is in `line`, without its newline.
static size_t packets_of(char line[2 * LOG_LINE]) {
  size_t count = 0;
  char packet[2 * LOG_LINE];
  ssize_t got;
  while ((got = recv(packets[0], packet, sizeof packet, MSG_DONTWAIT)) > 0) {
    if (count++ > 0) continue;
    assert_true(got <= LOG_LINE);
    assert_int_equal(packet[got - 1], '\n');
    memcpy(line, packet, (size_t)got - 1);
    line[got - 1] = '\0';
  }
  return count;
}

static void log_value(char line[2 * LOG_LINE], const char *value, size_t length) {
  struct log_line l;
  capture();
  log_begin(&l, LOG_LEVEL_WARN, "test");
  log_text_n(&l, "value", value, length);
  log_end(&l);
  size_t count = packets_of(line);
  release();
  assert_int_equal(count, 1);
}

static void logfmt_values(void **state) {
  (void)state;
  static const struct {
    const char *value;
    size_t length;
    const char *printed;
  } cases[] = {
      {"plain", 5, "plain"},
      {"", 0, "\"\""},
      {"two words", 9, "\"two words\""},
      {"a=b", 3, "\"a=b\""},
      {"say \"hi\"", 8, "\"say \\\"hi\\\"\""},
      {"back\\slash", 10, "\"back\\\\slash\""},
      {"line\nbreak\r\ttab", 15, "\"line\\nbreak\\r\\ttab\""},
      {"nul\0byte", 8, "\"nul\\u0000byte\""},
      {"\x1b[31mred", 8, "\"\\u001b[31mred\""},
      {"del\x7f", 4, "\"del\\u007f\""},
      {"c1 \xc2\x9b", 5, "\"c1 \\u009b\""},
      {"h\xc3\xa9", 3, "\"h\xc3\xa9\""},
      {"\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\""},
      {"bad\xff", 4, "\"bad\\xff\""},
      {"cut\xe2\x82", 5, "\"cut\\xe2\\x82\""},
      {"\xe2\x80\xae"
       "evil",
       7, "\"\\u202eevil\""},
      {"\xe2\x80\xa8", 3, "\"\\u2028\""},
      {"\xe2\x81\xa6", 3, "\"\\u2066\""},
      {"\xed\xa0\x80", 3, "\"\\xed\\xa0\\x80\""},
  };
  log_format(false, LOG_LEVEL_INFO);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char line[2 * LOG_LINE];
    log_value(line, cases[i].value, cases[i].length);
    char *at = strstr(line, " value=");
    assert_non_null(at);
    assert_string_equal(at + 7, cases[i].printed);
  }
}

// One field of a JSON log line, read back by the JSON parser; NULL when it is not there.
static char *json_field(const char *line, const char *key) {
  struct json_parser *parser = json_parser_new();
  struct buffer out = {0};
  struct error e = {0};
  size_t length = strlen(line);
  char *padded = memory_get(length + JSON_PADDING);
  memcpy(padded, line, length);
  if (!json_to_msgpack(parser, padded, length, &out, &e)) fail_msg("%s in %s", e.text, line);
  const uint8_t *at, *end;
  char *text = NULL;
  struct msgpack_value value;
  if (msgpack_find(out.at, out.at + out.length, key, strlen(key), &at, &end)) {
    assert_true(msgpack_read(&at, end, &value));
    if (value.type == MSGPACK_TEXT) text = memory_text_n((const char *)value.bytes, value.length);
    if (value.type == MSGPACK_INT) text = memory_print("%lld", (long long)value.i);
    if (value.type == MSGPACK_NIL) text = memory_text("null");
    if (value.type == MSGPACK_DOUBLE) text = memory_print("%g", value.d);
  }
  free(padded);
  buffer_free(&out);
  json_parser_free(parser);
  return text;
}

static void check_json(const char *line, const char *key, const char *expected) {
  char *text = json_field(line, key);
  assert_non_null(text);
  assert_string_equal(text, expected);
  free(text);
}

static void json_lines_parse(void **state) {
  (void)state;
  char line[2 * LOG_LINE];
  log_format(true, LOG_LEVEL_INFO);
  log_context("cleaned/0", 4711, 3);
  struct log_line l;
  capture();
  log_begin(&l, LOG_LEVEL_ERROR, "worker \"died\"\n");
  log_text(&l, "cause", "SIGKILL");
  log_text(&l, "absent", NULL);
  log_int(&l, "low", INT64_MIN);
  log_uint(&l, "high", 12345678901u);
  log_double(&l, "nan", (double)NAN);
  log_double(&l, "rate", 0.5);
  log_end(&l);
  assert_int_equal(packets_of(line), 1);
  release();
  log_context("", 0, 0);
  check_json(line, "level", "error");
  check_json(line, "msg", "worker \"died\"\n");
  check_json(line, "worker", "cleaned/0");
  check_json(line, "pid", "4711");
  check_json(line, "generation", "3");
  check_json(line, "cause", "SIGKILL");
  check_json(line, "low", "-9223372036854775808");
  check_json(line, "high", "12345678901");
  check_json(line, "nan", "null");
  check_json(line, "rate", "0.5");
  assert_null(json_field(line, "absent"));
}

// Random bytes as values: a line stays one printable line of UTF-8, and with JSON it parses.
static void hostile_values(void **state) {
  (void)state;
  uint64_t random = 42;
  for (int turn = 0; turn < 4000; turn++) {
    char value[200], line[2 * LOG_LINE];
    random = random * 6364136223846793005u + 1442695040888963407u;
    size_t length = random >> 33 & 127;
    for (size_t i = 0; i < length; i++) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      static const char often[] = "\"\\\n\x1b\xc2\x9b\xe2\x80\xae\xf0 =";
      value[i] = (random >> 62) != 0 ? often[(random >> 33) % (sizeof often - 1)] : (char)(random >> 40);
    }
    bool json = turn % 2 == 1;
    log_format(json, LOG_LEVEL_INFO);
    log_value(line, value, length);
    assert_int_equal(utf8_check((uint8_t *)line, strlen(line)), strlen(line));
    for (const char *c = line; *c != '\0'; c++) assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
    assert_null(strstr(line, "\xc2\x9b"));
    assert_null(strstr(line, "\xe2\x80\xae"));
    if (json) free(json_field(line, "value"));
  }
}

static void long_lines_keep_their_shape(void **state) {
  (void)state;
  static const char *const pieces[] = {"x", "\n", "\xc3\xa9", "\xff", "\"", "\xf0\x9f\x98\x80"};
  for (size_t piece = 0; piece < sizeof pieces / sizeof *pieces; piece++) {
    char *value = memory_get(3 * LOG_LINE);
    size_t length = 0, size = strlen(pieces[piece]);
    for (; length + size < 3 * LOG_LINE; length += size) memcpy(value + length, pieces[piece], size);
    for (int json = 0; json < 2; json++) {
      char line[2 * LOG_LINE];
      struct log_line l;
      log_format(json != 0, LOG_LEVEL_INFO);
      capture();
      log_begin(&l, LOG_LEVEL_INFO, "long");
      log_text_n(&l, "value", value, length);
      log_text(&l, "late", "gone");
      for (int i = 0; i < 2000; i++) log_int(&l, "n", i);
      log_end(&l);
      assert_int_equal(packets_of(line), 1);
      release();
      assert_true(strlen(line) > LOG_LINE - 64);
      assert_null(strstr(line, "late"));
      if (json) {
        char *text = json_field(line, "value");
        assert_non_null(text);
        assert_string_equal(text + strlen(text) - 3, "...");
        free(text);
      }
    }
    free(value);
  }
}

static void many_fields_stop_at_the_end(void **state) {
  (void)state;
  for (int json = 0; json < 2; json++) {
    char line[2 * LOG_LINE];
    struct log_line l;
    log_format(json != 0, LOG_LEVEL_INFO);
    capture();
    log_begin(&l, LOG_LEVEL_INFO, "many");
    for (int i = 0; i < 3000; i++) {
      log_int(&l, "number", i);
      log_text(&l, "text", "v");
    }
    log_end(&l);
    assert_int_equal(packets_of(line), 1);
    release();
    if (json) check_json(line, "msg", "many");
  }
}

static void levels_below_are_not_shown(void **state) {
  (void)state;
  char line[2 * LOG_LINE];
  log_format(false, LOG_LEVEL_WARN);
  capture();
  log_say(LOG_LEVEL_DEBUG, "no");
  log_say(LOG_LEVEL_INFO, "no");
  log_say(LOG_LEVEL_WARN, "yes %d", 1);
  log_say(LOG_LEVEL_ERROR, "yes");
  assert_int_equal(packets_of(line), 2);
  release();
  assert_non_null(strstr(line, "level=warn msg=\"yes 1\""));
  assert_null(strstr(line, "worker="));
}

static void errors_tell_all(void **state) {
  (void)state;
  char line[2 * LOG_LINE];
  struct error e = {0};
  struct log_line l;
  error_set(&e, ERROR_OUTAGE, "08006", "lost \"it\"");
  log_format(false, LOG_LEVEL_INFO);
  capture();
  log_begin(&l, LOG_LEVEL_WARN, "waiting");
  log_error(&l, &e);
  log_end(&l);
  assert_int_equal(packets_of(line), 1);
  release();
  assert_non_null(strstr(line, "error=\"lost \\\"it\\\"\" code=08006 class=outage at="));
  assert_non_null(strstr(line, "test_log.c:"));
  // "ts=2026-11-21T06:00:00.123Z ": milliseconds, always.
  assert_memory_equal(line, "ts=2", 4);
  assert_int_equal(line[22], '.');
  assert_memory_equal(line + 26, "Z level=", 8);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(logfmt_values),
      cmocka_unit_test(json_lines_parse),
      cmocka_unit_test(hostile_values),
      cmocka_unit_test(long_lines_keep_their_shape),
      cmocka_unit_test(many_fields_stop_at_the_end),
      cmocka_unit_test(levels_below_are_not_shown),
      cmocka_unit_test(errors_tell_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
