// CPU nanoseconds per record of the SQL engine: the 200-byte record with seven fields, rows written out as msgpack, batches of 512.
//
//   make bench-build && build/release/bench/sql_bench [RECORDS [NAME]]
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "proto/msgpack.h"
#include "workers/lookups/lookup.h"
#include "workers/sql/engine.h"

enum { POOL = 4096, BATCH = 512, ROW = 4096, ROUNDS = 3, USERS = 50000 };

struct feed {
  struct sql_record records[POOL];
  struct buffer bytes;
  uint64_t given, end, batch_end;
};

static void put_record(struct msgpack_writer *w, uint64_t i) {
  char text[128];
  msgpack_write_map(w, 7);
  msgpack_write_cstring(w, "id");
  msgpack_write_uint(w, 1000000 + i);
  msgpack_write_cstring(w, "user_id");
  msgpack_write_uint(w, 70000 + i % 50000);
  msgpack_write_cstring(w, "name");
  snprintf(text, sizeof text, "name of user %" PRIu64, 70000 + i % 50000);
  msgpack_write_cstring(w, text);
  msgpack_write_cstring(w, "email");
  snprintf(text, sizeof text, "user%" PRIu64 "@mail.example.com", 70000 + i % 50000);
  msgpack_write_cstring(w, text);
  msgpack_write_cstring(w, "amount");
  msgpack_write_double(w, (double)(i % 1000) + 0.25);
  msgpack_write_cstring(w, "ts");
  msgpack_write_cstring(w, "2026-11-21T00:00:00.123Z");
  msgpack_write_cstring(w, "note");
  snprintf(text, sizeof text, "a note that makes the record two hundred bytes long %" PRIu64, i);
  msgpack_write_cstring(w, text);
}

static struct feed *feed_make(void) {
  struct feed *f = memory_get(sizeof *f);
  buffer_reserve(&f->bytes, POOL * 512);
  struct msgpack_writer w = {.at = f->bytes.at, .end = f->bytes.at + f->bytes.room};
  for (uint64_t i = 0; i < POOL; i++) {
    const uint8_t *at = w.at;
    put_record(&w, i);
    f->records[i] = (struct sql_record){.at = at, .end = w.at, .stream = 1, .position = i + 1, .time = 1731024000000000};
  }
  f->bytes.length = (size_t)(w.at - f->bytes.at);
  return f;
}

static bool feed_next(void *context, struct sql_record *record) {
  struct feed *f = context;
  if (f->given == f->batch_end) return false;
  *record = f->records[f->given++ % POOL];
  return true;
}

static uint64_t cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// All records once; returns the rows.
static uint64_t run_once(struct sql_engine *engine, struct feed *f, uint64_t records) {
  static uint8_t row[ROW];
  struct sql_failure failure;
  uint64_t rows = 0;
  f->given = 0;
  while (f->given < records) {
    f->batch_end = f->given + BATCH;
    sql_engine_start(engine, feed_next, f);
    enum sql_step step;
    while ((step = sql_engine_step(engine, &failure)) == SQL_STEP_ROW) {
      struct msgpack_writer w = {.at = row, .end = row + sizeof row};
      if (sql_engine_row(engine, &w, &failure) != SQL_ROW_GOOD) abort();
      rows++;
    }
    if (step != SQL_STEP_DONE) abort();
  }
  return rows;
}

// A lookup of all users, as its worker builds it.
static struct sql_lookup lookup_make(struct lookup_shape *shape, char *path) {
  static uint8_t settings[256], row[256];
  struct msgpack_writer w = {.at = settings, .end = settings + sizeof settings};
  struct lookup_build build;
  struct error e = {0};
  uint64_t bytes;
  msgpack_write_map(&w, 2);
  msgpack_write_cstring(&w, "key");
  msgpack_write_array(&w, 1);
  msgpack_write_cstring(&w, "id");
  msgpack_write_cstring(&w, "columns");
  msgpack_write_map(&w, 2);
  msgpack_write_cstring(&w, "id");
  msgpack_write_cstring(&w, "bigint");
  msgpack_write_cstring(&w, "city");
  msgpack_write_cstring(&w, "text");
  int fd = mkstemp(path);
  bool good = fd >= 0 && lookup_shape_load(shape, "users", (struct job_value){settings, w.at}, &e) &&
              lookup_build_open(&build, shape, path, 1 << 30, &e);
  for (uint64_t i = 0; i < USERS && good; i++) {
    w = (struct msgpack_writer){.at = row, .end = row + sizeof row};
    msgpack_write_map(&w, 2);
    msgpack_write_cstring(&w, "id");
    msgpack_write_uint(&w, 70000 + i * 7919 % USERS);
    msgpack_write_cstring(&w, "city");
    msgpack_write_cstring(&w, "a town of middling size");
    good = lookup_build_row(&build, row, w.at, &e);
  }
  if (!good || !lookup_build_end(&build, &bytes, &e)) {
    fprintf(stderr, "lookup: %s\n", e.text);
    exit(1);
  }
  lookup_build_free(&build);
  close(fd);
  return (struct sql_lookup){.shape = shape, .path = path};
}

static const char *only; // a name: measure nothing else
static const struct sql_lookup *lookup;

static void measure(struct feed *f, const char *name, const char *sql, bool one_by_one, uint64_t records) {
  if (only && strcmp(name, only) != 0) return;
  static const char *const input[] = {"raw"};
  struct sql_spec spec = {.sql = sql, .inputs = input, .input_count = 1, .lookups = lookup, .lookup_count = 1, .one_by_one = one_by_one};
  struct error e = {0};
  struct sql_engine *engine = sql_engine_open_or_fail(&spec, &e);
  if (!engine) {
    fprintf(stderr, "%s: %s\n", name, e.text);
    exit(1);
  }
  uint64_t best = UINT64_MAX, rows = 0;
  for (int round = 0; round < ROUNDS; round++) {
    uint64_t before = cpu_ns();
    rows = run_once(engine, f, records);
    uint64_t spent = cpu_ns() - before;
    if (spent < best) best = spent;
  }
  printf("  %-46s %4.0f ns  %9" PRIu64 " rows  %s\n", name, (double)best / (double)records, rows, sql_engine_form(engine));
  sql_engine_free(engine);
}

// A column under coalesce() is no plain column: its value passes through SQLite.
static const char through[] =
    "SELECT coalesce(id, 0) AS id, coalesce(user_id, 0) AS user_id, coalesce(name, 0) AS name, coalesce(email, 0) AS email, "
    "coalesce(amount, 0) AS amount, coalesce(ts, 0) AS ts, coalesce(note, 0) AS note FROM raw";

int main(int argc, char **argv) {
  uint64_t records = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
  sql_engine_single_thread();
  only = argc > 2 ? argv[2] : NULL;
  struct feed *f = feed_make();
  struct lookup_shape shape;
  char path[] = "/tmp/weir-bench-XXXXXX";
  struct sql_lookup users = lookup_make(&shape, path);
  lookup = &users;
  if (records < BATCH) records = BATCH;
  printf("SQL, CPU time per record of %zu bytes, best of %d times %" PRIu64 " records:\n", f->bytes.length / POOL, ROUNDS, records);
  measure(f, "7 plain columns", "SELECT id, user_id, name, email, amount, ts, note FROM raw", false, records);
  measure(f, "... with a filter", "SELECT id, user_id, name, email, amount, ts, note FROM raw WHERE amount >= 0", false, records);
  measure(f, "... every value through SQLite", through, false, records);
  measure(f, "... with a filter, upper(), * 2",
          "SELECT id, user_id, upper(name) AS name, email, amount * 2 AS amount, ts, note FROM raw WHERE amount >= 0", false, records);
  measure(f, "7 columns, parse_time()", "SELECT id, user_id, name, email, amount, parse_time(ts) AS ts, note FROM raw", false, records);
  measure(f, "7 plain columns and one of a lookup",
          "SELECT r.id, user_id, name, email, amount, ts, note, u.city FROM raw r LEFT JOIN users u ON u.id = r.user_id", false, records);
  measure(f, "7 plain columns, one by one", "SELECT id, user_id, name, email, amount, ts, note FROM raw", true, records);
  measure(f, "... every value through SQLite, one by one", through, true, records);
  unlink(path);
  lookup_shape_free(&shape);
  buffer_free(&f->bytes);
  free(f);
  return 0;
}
