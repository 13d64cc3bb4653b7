// The stage of the scenarios in sink_scenarios.h: a rig whose sink is a table of the database under test, and what is asked of it then.
#pragma once
#include "tests/unit/sink_harness.h"

// Given by the test program.
static char *db_url(void); // owned by the caller
static bool db_is_sqlite(void);
static void db_reset(void);                                   // none of our tables is there
static void db_do(const char *sql);                           // one statement
static void db_expect(const char *sql, const char *expected); // rows as text: | between columns, newlines between rows, "null"
static char *scenario_folder;                                 // the state folder

static inline char *settings_of(const char *more) {
  char *url = db_url(), *text = memory_print("{\"url\":\"%s\",\"table\":\"t\"%s}", url, more);
  free(url);
  return text;
}

static inline void expect_account(const struct rig *r, uint64_t out, uint64_t dead, uint64_t superseded) {
  assert_int_equal(rig_counter(r, COUNT_OUT), out);
  assert_int_equal(rig_counter(r, COUNT_DEAD_ROWS), dead);
  assert_int_equal(rig_counter(r, COUNT_SUPERSEDED), superseded);
  assert_int_equal(rig_counter(r, COUNT_IN), out + dead + superseded);
  assert_int_equal(rig_counter(r, COUNT_IN),
                   rig_counter(r, COUNT_WITH_ROWS) + rig_counter(r, COUNT_FILTERED) + rig_counter(r, COUNT_DEAD_RECORDS));
  assert_int_equal(rig_counter(r, COUNT_ROWS_MADE), out + dead + superseded);
}

static inline void expect_error(const struct rig *r, const char *part) {
  char text[SLOT_TEXT];
  slot_error_get(&r->slot, text);
  if (!strstr(text, part)) fail_msg("the error does not say \"%s\": %s", part, text);
}

// Waits until the worker shows what it is waiting for.
static inline void wait_doing(const struct rig *r, const char *part) {
  uint64_t deadline = clock_monotonic_ns() + RIG_WAIT_S * 1000000000ull;
  char text[SLOT_TEXT];
  do {
    usleep(500);
    slot_doing_get(&r->slot, text);
    assert_true(clock_monotonic_ns() < deadline);
  } while (!strstr(text, part));
}

#define ID_AND_NAME                                                                                                                        \
  ",\"input_columns\":[{\"name\":\"id\",\"type\":\"bigint\",\"not_null\":true},{\"name\":\"name\",\"type\":\"text\",\"not_null\":false}]"
#define UPSERT ",\"mode\":\"upsert\",\"key\":[\"id\"]"

struct scene {
  struct rig r;
  char *settings;
  uint32_t s; // the stream
};

static inline void scene_open(struct scene *x, const char *more) {
  db_reset();
  x->settings = settings_of(more);
  rig_open(&x->r, scenario_folder);
}

// The lane's memory is gone (another run of the instance); the target stays.
static inline void scene_again(struct scene *x) {
  rig_close(&x->r);
  rig_open(&x->r, scenario_folder);
}

static inline void scene_close(struct scene *x) {
  rig_close(&x->r);
  free(x->settings);
}

static inline uint64_t scene_start(struct scene *x) {
  rig_start(&x->r, "table", x->settings);
  return stream_begin(&x->r, "", &x->s);
}

static inline void send_rows(struct scene *x, uint64_t from, uint64_t to) {
  char text[128];
  for (uint64_t i = from; i <= to; i++) {
    snprintf(text, sizeof text, "{\"id\":%llu,\"name\":\"n%llu\"}", (unsigned long long)i, (unsigned long long)i);
    send_row(&x->r, x->s, i, text);
  }
}

static inline void finish(struct scene *x, int code) {
  int got = rig_finish(&x->r);
  char text[SLOT_TEXT];
  slot_error_get(&x->r.slot, text);
  if (got != code) fail_msg("the worker left with %d, not %d: %s", got, code, text);
}

static inline void end_well(struct scene *x) {
  send_end(&x->r);
  finish(x, WORKER_EXIT_DONE);
}
