// The record that the Kafka bench is about: seven fields as JSON, exactly RECORD_BYTES long; a pure function of its number.
//
//   {"id":int64,"user_id":int32,"name":str,"email":str,"amount":float64,"ts":"2026-11-21T00:00:00.123Z","note":str}
//
// Used by produce_bench.c (as text) and copy_bench.c (as values), so that both put the same rows into a table.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { RECORD_BYTES = 200 };
static const int64_t record_epoch_ms = INT64_C(1795219200000); // 2026-11-21T00:00:00Z

struct bench_record {
  int64_t id, ts_ms;
  int32_t user_id;
  double amount;
  char name[16], email[40];
};

static inline struct bench_record record_values(int64_t id, uint64_t n) {
  struct bench_record r = {.id = id, .ts_ms = record_epoch_ms + (int64_t)n % 86400000, .user_id = (int32_t)(n % 100000)};
  r.amount = (double)(n % 1000000) / 100;
  snprintf(r.name, sizeof r.name, "name%u", (unsigned)(n % 100000));
  snprintf(r.email, sizeof r.email, "user%u@example.com", (unsigned)(n % 100000));
  return r;
}

// `out` holds RECORD_BYTES and a NUL. The note fills up what the numbers leave.
static inline void record_text(const struct bench_record *r, char out[RECORD_BYTES + 1]) {
  time_t seconds = (time_t)(r->ts_ms / 1000);
  struct tm tm;
  gmtime_r(&seconds, &tm);
  int length = snprintf(
      out, RECORD_BYTES + 1,
      "{\"id\":%lld,\"user_id\":%d,\"name\":\"%s\",\"email\":\"%s\",\"amount\":%.2f,\"ts\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\","
      "\"note\":\"",
      (long long)r->id, r->user_id, r->name, r->email, r->amount, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
      tm.tm_sec, (int)(r->ts_ms % 1000));
  memset(out + length, 'n', RECORD_BYTES - 2 - (size_t)length);
  memcpy(out + RECORD_BYTES - 2, "\"}", 3);
}

// The length of the note in that text.
static inline size_t record_note(const struct bench_record *r) {
  char text[RECORD_BYTES + 1];
  record_text(r, text);
  return (size_t)(text + RECORD_BYTES - 2 - (strstr(text, "\"note\":\"") + strlen("\"note\":\"")));
}
