// Time as weir means it: UTC everywhere; int64 microseconds since 1970-01-01T00:00:00Z ("micros").
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t clock_micros(void); // CLOCK_REALTIME
uint64_t clock_monotonic_ns(void);

// RFC 3339 / ISO 8601 as APIs really send it: "2025-11-08", "2025-11-08T00:00", "2025-11-08 00:00:00", fractions of 1..9 digits, "Z",
// "+01:00",
// "+0100", "-05"; no zone = UTC; also RFC 7231 dates ("Sun, 06 Nov 1994 08:49:37 GMT"). Real calendar dates only (no 30 February), years
// 0001..9999, second 60 = next minute.
bool clock_parse(const char *text, size_t length, int64_t *micros);
// "2025-11-08T00:00:00Z", with ".123456" only when it is not zero. Returns the length; `out` holds CLOCK_TEXT bytes.
enum { CLOCK_TEXT = 40 };
size_t clock_print(int64_t micros, char *out);
// "5m", "1h30m", "250ms", "90s", "7d", "0": milliseconds. False: not a duration, or over 10 years.
bool clock_duration(const char *text, size_t length, int64_t *millis);
