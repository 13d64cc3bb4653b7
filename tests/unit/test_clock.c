// Time read and printed: a table of what APIs send and what must be refused; the C library's calendar as the oracle over all years.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/clock.h"

static int64_t at(int year, int month, int day, int hour, int minute, int second, int micros) {
  struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute, .tm_sec = second};
  return (int64_t)timegm(&tm) * 1000000 + micros;
}

static bool parse(const char *text, int64_t *micros) {
  // A copy of exactly this length: nothing behind it may be read.
  size_t length = strlen(text);
  char copy[128];
  char *start = copy + sizeof copy - length;
  memcpy(start, text, length);
  return clock_parse(start, length, micros);
}

static void reads_what_apis_send(void **state) {
  (void)state;
  const struct {
    const char *text;
    int64_t micros;
  } cases[] = {
      {"2025-11-08", at(2025, 11, 8, 0, 0, 0, 0)},
      {"2025-11-08T00:00", at(2025, 11, 8, 0, 0, 0, 0)},
      {"2025-11-08T13:14:15", at(2025, 11, 8, 13, 14, 15, 0)},
      {"2025-11-08 13:14:15", at(2025, 11, 8, 13, 14, 15, 0)},
      {"2025-11-08t13:14:15z", at(2025, 11, 8, 13, 14, 15, 0)},
      {"2025-11-08T13:14:15Z", at(2025, 11, 8, 13, 14, 15, 0)},
      {"2025-11-08T13:14Z", at(2025, 11, 8, 13, 14, 0, 0)},
      {"2025-11-08T13:14:15.1Z", at(2025, 11, 8, 13, 14, 15, 100000)},
      {"2025-11-08T13:14:15.123Z", at(2025, 11, 8, 13, 14, 15, 123000)},
      {"2025-11-08T13:14:15.123456", at(2025, 11, 8, 13, 14, 15, 123456)},
      {"2025-11-08T13:14:15.123456789Z", at(2025, 11, 8, 13, 14, 15, 123456)},
      {"2025-11-08T13:14:15.000000999Z", at(2025, 11, 8, 13, 14, 15, 0)},
      {"2025-11-08T13:14:15+01:00", at(2025, 11, 8, 12, 14, 15, 0)},
      {"2025-11-08T13:14:15+0100", at(2025, 11, 8, 12, 14, 15, 0)},
      {"2025-11-08T13:14:15-05", at(2025, 11, 8, 18, 14, 15, 0)},
      {"2025-11-08T00:14:15+05:45", at(2025, 11, 7, 18, 29, 15, 0)},
      {"2025-11-08 00:00:00.5-0330", at(2025, 11, 8, 3, 30, 0, 500000)},
      {"2016-12-31T23:59:60Z", at(2017, 1, 1, 0, 0, 0, 0)},
      {"2024-02-29", at(2024, 2, 29, 0, 0, 0, 0)},
      {"2000-02-29", at(2000, 2, 29, 0, 0, 0, 0)},
      {"1969-12-31T23:59:59.999999Z", -1},
      {"1970-01-01", 0},
      {"0001-01-01", at(1, 1, 1, 0, 0, 0, 0)},
      {"9999-12-31T23:59:59.999999Z", at(9999, 12, 31, 23, 59, 59, 999999)},
      {"Sun, 06 Nov 1994 08:49:37 GMT", at(1994, 11, 6, 8, 49, 37, 0)},
      {"Tue, 29 Feb 2028 23:59:59 GMT", at(2028, 2, 29, 23, 59, 59, 0)},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int64_t micros = 42;
    if (!parse(cases[i].text, &micros)) fail_msg("refused: %s", cases[i].text);
    if (micros != cases[i].micros) fail_msg("%s: %lld, not %lld", cases[i].text, (long long)micros, (long long)cases[i].micros);
  }
}

// The spelling that is read in one go, against the same time with another zone, which is walked through: one byte after the other changed.
static void the_short_way_is_no_other(void **state) {
  (void)state;
  static const char *const plain[] = {"2026-11-21T12:34:56", "2024-02-29T23:59:59.1", "0001-01-01T00:00:00.123456",
                                      "2023-02-28T20:00:60.12345678"};
  static const char bytes[] = "0123456789-:.TZ t/\x80";
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
    for (size_t place = 0; place < strlen(plain[i]); place++)
      for (const char *byte = bytes; *byte; byte++) {
        char text[40], zone[48];
        int64_t micros = 1, other = 1;
        snprintf(text, sizeof text, "%sZ", plain[i]);
        text[place] = *byte;
        snprintf(zone, sizeof zone, "%.*s+00:00", (int)strlen(plain[i]), text);
        bool taken = parse(text, &micros);
        if (taken != parse(zone, &other) || micros != other)
          fail_msg("%s is %lld, %s is %lld", text, (long long)micros, zone, (long long)other);
      }
}

static void refuses_what_is_no_time(void **state) {
  (void)state;
  static const char *const cases[] = {
      "",
      " ",
      "2025",
      "2025-11",
      "2025-1-08",
      "2025-11-8",
      "20251108",
      "2025/11/08",
      "2025-00-01",
      "2025-13-01",
      "2025-11-00",
      "2025-11-31",
      "2025-02-29",
      "1900-02-29",
      "2100-02-29",
      "2025-02-30",
      "0000-01-01",
      "-2025-11-08",
      "+2025-11-08",
      "12025-11-08",
      "2025-11-08T",
      "2025-11-08 ",
      "2025-11-08T1",
      "2025-11-08T13",
      "2025-11-08T13:",
      "2025-11-08T13:1",
      "2025-11-08T24:00",
      "2025-11-08T13:60",
      "2025-11-08T13:14:61",
      "2025-11-08T13:14:",
      "2025-11-08T13:14:15.",
      "2025-11-08T13:14:15.1234567890",
      "2025-11-08T13:14:15.Z",
      "2025-11-08T13:14:15 Z",
      "2025-11-08T13:14:15ZZ",
      "2025-11-08T13:14:15+",
      "2025-11-08T13:14:15+1",
      "2025-11-08T13:14:15+01:",
      "2025-11-08T13:14:15+01:0",
      "2025-11-08T13:14:15+24",
      "2025-11-08T13:14:15+01:60",
      "2025-11-08T13:14:15+01:00x",
      "2025-11-08Z",
      "2025-11-08T13:14:15 GMT",
      "2025-11-08T13:14:15,5",
      "2025-11-08x13:14",
      "now",
      "yesterday",
      "1699400000",
      "0001-01-01T00:00:00+01:00",
      "9999-12-31T23:59:59-01:00",
      "9999-12-31T23:59:60Z",
      "Sun, 06 Nov 1994 08:49:37",
      "Sun, 06 Nov 1994 08:49:37 UTC",
      "sun, 06 nov 1994 08:49:37 gmt",
      "Sun, 6 Nov 1994 08:49:37 GMT",
      "Sun, 31 Nov 1994 08:49:37 GMT",
      "Son, 06 Nov 1994 08:49:37 GMT",
      "Sun, 06 Nov 94 08:49:37 GMT",
      "Sun, 06 Nov 1994 08:49 GMT",
      "Sun, 06 Nov 1994 08:49:37 GMT ",
      "Sun, 06 Xov 1994 08:49:37 GMT",
      "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994",
      "\xd9\xa2\xd9\xa0\xd9\xa2\xd9\xa5-11-08",
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int64_t micros = 42;
    if (parse(cases[i], &micros)) fail_msg("taken: %s", cases[i]);
    assert_int_equal(micros, 42);
  }
  int64_t micros;
  assert_false(clock_parse("2025-11-08\0", 11, &micros));
}

// Every day of ten thousand years would take long; every 13th with a changing time meets every month, leap day and century.
static void agrees_with_the_calendar_of_libc(void **state) {
  (void)state;
  int64_t end = at(9999, 12, 31, 0, 0, 0, 0);
  unsigned n = 0;
  for (int64_t micros = at(1, 1, 1, 0, 0, 0, 0); micros < end; micros += (int64_t)13 * 86400 * 1000000 + 3723 * (int64_t)1000000, n++) {
    time_t seconds = (time_t)(micros / 1000000 - (micros % 1000000 < 0));
    struct tm tm;
    char expected[CLOCK_TEXT + 64], printed[CLOCK_TEXT];
    gmtime_r(&seconds, &tm);
    snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
             tm.tm_min, tm.tm_sec);
    size_t length = clock_print(micros, printed);
    assert_string_equal(printed, expected);
    assert_int_equal(length, strlen(printed));
    int64_t back;
    assert_true(clock_parse(printed, length, &back));
    assert_int_equal(back, micros);
  }
  assert_true(n > 200000);
}

static void prints_micros_only_when_there_are_some(void **state) {
  (void)state;
  char text[CLOCK_TEXT];
  assert_int_equal(clock_print(at(2025, 11, 8, 0, 0, 0, 0), text), 20);
  assert_string_equal(text, "2025-11-08T00:00:00Z");
  clock_print(at(2025, 11, 8, 0, 0, 0, 5), text);
  assert_string_equal(text, "2025-11-08T00:00:00.000005Z");
  clock_print(-1, text);
  assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
  // Times that no record should hold still print within the room.
  assert_true(clock_print(INT64_MAX, text) < CLOCK_TEXT);
  assert_true(clock_print(INT64_MIN, text) < CLOCK_TEXT);
}

static void reads_durations(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t millis; // -1: refused
  } cases[] = {
      {"0", 0},
      {"0s", 0},
      {"250ms", 250},
      {"90s", 90000},
      {"5m", 300000},
      {"1h30m", 5400000},
      {"7d", 604800000},
      {"1d1h1m1s1ms", 90061001},
      {"3650d", (int64_t)3650 * 86400000},
      {"000007s", 7000},
      {"3651d", -1},
      {"", -1},
      {"5", -1},
      {"m", -1},
      {"5 m", -1},
      {"-5m", -1},
      {"+5m", -1},
      {"1.5s", -1},
      {"30m1h", -1},
      {"5m5m", -1},
      {"5mm", -1},
      {"5M", -1},
      {"1w", -1},
      {"99999999999999999999s", -1},
      {"9223372036854775807ms", -1},
      {"5m ", -1},
      {"00", -1},
      {"5m3", -1},
      {"3650d1ms", -1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int64_t millis = -1;
    bool taken = clock_duration(cases[i].text, strlen(cases[i].text), &millis);
    if (taken != (cases[i].millis >= 0) || millis != cases[i].millis) fail_msg("\"%s\": %lld", cases[i].text, (long long)millis);
  }
}

static void clocks_go_forward(void **state) {
  (void)state;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t before = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
  assert_true(clock_micros() >= before);
  uint64_t first = clock_monotonic_ns();
  assert_true(clock_monotonic_ns() >= first);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_what_apis_send),
      cmocka_unit_test(the_short_way_is_no_other),
      cmocka_unit_test(refuses_what_is_no_time),
      cmocka_unit_test(agrees_with_the_calendar_of_libc),
      cmocka_unit_test(prints_micros_only_when_there_are_some),
      cmocka_unit_test(reads_durations),
      cmocka_unit_test(clocks_go_forward),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
