// Any bytes as SQL (over records and a lookup), or as records under known SQL. The first byte chooses: 0 to 127, the rest is a SELECT over
// three known records; 128 and more, the rest are records (a length byte in front of each) under one of the SELECTs below.
//
// Holds: nothing is read out of bounds (address sanitizer); SQL that is taken gives the same rows in batches and one by one; rows are sound
// msgpack; nothing takes long, needs much memory, or touches another file.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "proto/json.h"
#include "proto/msgpack.h"
#include "workers/lookups/lookup.h"
#include "workers/sql/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS = 16, SQL_MOST = 2000, ROW = 1 << 16, ROWS_MOST = 2000, TIMEOUT_MS = 20, MEMORY = 16 << 20 };

static const char *const sqls[] = {
    "SELECT a, b, \"a.b\" AS c, \"l[0]\" AS d, \"[0]\" AS e FROM raw",
    "SELECT a || '' AS a, unescape_html(b) AS b, parse_time(b) AS c, hash(a, b) AS d, uuid() AS e FROM raw WHERE a IS NOT NULL",
    "SELECT a, g.key AS k, g.value AS v, g.a AS ga, g.\"value[0]\" AS x FROM raw e LEFT JOIN each(e.l) g",
    "SELECT q.value AS v FROM raw e, each(e.l) p, each(p.value) q WHERE q.value <> 1",
    "SELECT a, (SELECT max(g.a) || count(*) FROM each(e.l) g) AS m FROM raw e ORDER BY 1",
    "SELECT json_extract(l, '$[0]') AS j, json_array(a, b, l) AS k, l FROM raw",
    "SELECT b, l FROM raw UNION SELECT a, b FROM raw",
    "SELECT e.a, t.v, t.t, t.o, t.n * 2 AS n FROM raw e LEFT JOIN tab t ON t.k = e.b",
    "SELECT e.a, t.k FROM raw e LEFT JOIN each(e.l) g JOIN tab t ON t.n = e.a OR t.k = g.value",
    "SELECT e.a, (SELECT group_concat(t.v) FROM tab t WHERE t.n > e.a) AS v FROM raw e",
};

// A lookup, `tab`, in a file as its worker builds it.
struct table {
  struct lookup_shape shape;
  char path[32];
};
static struct table table;

static void table_remove(void) {
  unlink(table.path);
}

static void to_msgpack(const char *json, struct buffer *out) {
  struct json_parser *parser = json_parser_new();
  struct error e = {0};
  char *padded = memory_get(strlen(json) + JSON_PADDING);
  strcpy(padded, json);
  if (!json_to_msgpack(parser, padded, strlen(padded), out, &e)) abort();
  json_parser_free(parser);
  free(padded);
}

static void table_make(void) {
  static const char settings[] = "{\"key\":[\"k\"],\"columns\":{\"k\":\"text\",\"v\":\"json\",\"t\":\"timestamp\",\"o\":\"boolean\",\"n\":"
                                 "\"bigint\"}}";
  static const char *const rows[] = {"{\"k\":\"x&y\",\"v\":{\"a\":[1]},\"t\":\"2025-01-01\",\"o\":true,\"n\":1}",
                                     "{\"k\":\"1\",\"v\":[],\"n\":1}", "{\"k\":\"1\",\"o\":false,\"n\":-5}"};
  struct lookup_build build;
  struct error e = {0};
  struct buffer packed = {0};
  uint64_t bytes;
  if (table.path[0]) return;
  strcpy(table.path, "/tmp/weir-fuzz-XXXXXX");
  int fd = mkstemp(table.path);
  if (fd < 0 || atexit(table_remove) != 0) abort();
  close(fd);
  to_msgpack(settings, &packed);
  if (!lookup_shape_load(&table.shape, "tab", (struct job_value){packed.at, packed.at + packed.length}, &e) ||
      !lookup_build_open(&build, &table.shape, table.path, 1 << 20, &e))
    abort();
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    buffer_clear(&packed);
    to_msgpack(rows[i], &packed);
    if (!lookup_build_row(&build, packed.at, packed.at + packed.length, &e)) abort();
  }
  if (!lookup_build_end(&build, &bytes, &e)) abort();
  lookup_build_free(&build);
  buffer_free(&packed);
}

struct source {
  struct sql_record records[RECORDS];
  size_t count, at;
};

static void must(bool holds) {
  if (!holds) abort();
}

static bool next(void *context, struct sql_record *record) {
  struct source *s = context;
  if (s->at == s->count) return false;
  *record = s->records[s->at];
  record->stream = 1;
  record->position = ++s->at;
  record->time = 1731024000000000;
  return true;
}

// All rows and failures, as bytes. False: a limit was met, so that two runs need not be alike.
static bool run(struct sql_engine *engine, struct source *s, struct buffer *out) {
  static uint8_t row[ROW];
  struct sql_failure failure;
  s->at = 0;
  sql_engine_start(engine, next, s);
  for (size_t rows = 0; rows < ROWS_MOST; rows++) {
    enum sql_step step = sql_engine_step(engine, &failure);
    if (step == SQL_STEP_DONE) return true;
    buffer_print(out, "%zu ", s->at);
    if (step == SQL_STEP_FAILED) {
      if (strcmp(failure.code, "limit") == 0) return false;
      buffer_text(out, failure.reason);
      continue;
    }
    struct msgpack_writer w = {.at = row, .end = row + sizeof row};
    const uint8_t *at = row;
    if (sql_engine_row(engine, &w, &failure) != SQL_ROW_GOOD) return false;
    must(msgpack_skip(&at, w.at) && at == w.at);
    buffer_add(out, row, (size_t)(w.at - row));
  }
  sql_engine_stop(engine);
  return false;
}

static struct sql_engine *open_engine(const char *sql, bool one_by_one) {
  static const char *const inputs[] = {"raw", "other"};
  table_make();
  struct sql_lookup lookup = {.shape = &table.shape, .path = table.path};
  struct sql_spec spec = {.sql = sql,
                          .inputs = inputs,
                          .input_count = 2,
                          .lookups = &lookup,
                          .lookup_count = 1,
                          .timeout_ms = TIMEOUT_MS,
                          .memory_bytes = MEMORY,
                          .one_by_one = one_by_one};
  struct sql_problems problems = {0};
  struct sql_engine *engine = sql_engine_open(&spec, &problems);
  must(engine || problems.count > 0);
  for (size_t i = 0; i < problems.count; i++) must(problems.list[i].offset >= -1 && problems.list[i].offset <= (long)strlen(sql));
  sql_problems_free(&problems);
  return engine;
}

static void both_forms(const char *sql, struct source *s) {
  struct buffer rows[2] = {{0}, {0}};
  bool whole[2] = {true, true};
  for (int form = 0; form < 2; form++) {
    struct sql_engine *engine = open_engine(sql, form == 1);
    if (engine) whole[form] = run(engine, s, &rows[form]);
    sql_engine_free(engine);
  }
  if (whole[0] && whole[1])
    must(rows[0].length == rows[1].length && (rows[0].length == 0 || memcmp(rows[0].at, rows[1].at, rows[0].length) == 0));
  buffer_free(&rows[0]);
  buffer_free(&rows[1]);
}

static void known_records(struct source *s) {
  static const uint8_t first[] = "\x84\xa1"
                                 "a\x01\xa1"
                                 "b\xa3x&y\xa1"
                                 "l\x92\x01\x81\xa1"
                                 "a\xc3\xa1"
                                 "n\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00",
                       second[] = "\x81\xa1"
                                  "l\x90",
                       third[] = "\x82\xa1"
                                 "a\xc0\xa1"
                                 "b\xaa"
                                 "2025-11-08";
  s->count = 3;
  s->records[0] = (struct sql_record){.at = first, .end = first + sizeof first - 1};
  s->records[1] = (struct sql_record){.at = second, .end = second + sizeof second - 1};
  s->records[2] = (struct sql_record){.at = third, .end = third + sizeof third - 1};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct source s = {0};
  if (size < 2) return 0;
  // A copy that ends where the data ends, so that one byte too far is found.
  uint8_t *copy = memory_get(size);
  memcpy(copy, data, size);
  if (copy[0] < 128) {
    char *sql = memory_text_n((const char *)copy + 1, size - 1 < SQL_MOST ? size - 1 : SQL_MOST);
    known_records(&s);
    both_forms(sql, &s);
    free(sql);
  } else {
    for (size_t at = 1; at < size && s.count < RECORDS;) {
      size_t length = copy[at++];
      if (length > size - at) length = size - at;
      s.records[s.count++] = (struct sql_record){.at = copy + at, .end = copy + at + length};
      at += length;
    }
    both_forms(sqls[(copy[0] - 128u) % (sizeof sqls / sizeof *sqls)], &s);
  }
  free(copy);
  return 0;
}
