// Runs SQL over records given as JSON, and gives the rows back as text: one line per row, "POSITION: JSON", or "POSITION: !CODE REASON" for
// a record or a row that failed.
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/json.h"
#include "proto/msgpack.h"
#include "workers/sql/engine.h"

enum { HELP_ROW = 1 << 16 };
static const int64_t HELP_TIME = 1731024000000000; // 2024-11-08T00:00:00Z

struct help_source {
  struct buffer *records;
  size_t count, at;
};

static inline void help_msgpack(const char *json, struct buffer *out) {
  struct json_parser *parser = json_parser_new();
  struct error e = {0};
  char *padded = memory_get(strlen(json) + JSON_PADDING);
  strcpy(padded, json);
  if (!json_to_msgpack(parser, padded, strlen(padded), out, &e)) fail_msg("%s: %s", json, e.text);
  json_parser_free(parser);
  free(padded);
}

static inline struct help_source help_source(const char *const *json, size_t count) {
  struct help_source s = {.records = memory_get(count * sizeof *s.records), .count = count};
  for (size_t i = 0; i < count; i++) help_msgpack(json[i], &s.records[i]);
  return s;
}

static inline void help_source_free(struct help_source *s) {
  for (size_t i = 0; i < s->count; i++) buffer_free(&s->records[i]);
  free(s->records);
}

static inline struct sql_record help_record(const struct help_source *s, size_t i) {
  return (struct sql_record){.at = s->records[i].at,
                             .end = s->records[i].at + s->records[i].length,
                             .stream = 77,
                             .position = i + 1,
                             .time = HELP_TIME + (int64_t)i * 1000000};
}

static inline bool help_next(void *context, struct sql_record *record) {
  struct help_source *s = context;
  if (s->at == s->count) return false;
  *record = help_record(s, s->at++);
  return true;
}

static inline void help_row(struct sql_engine *engine, size_t position, struct buffer *out) {
  static uint8_t row[HELP_ROW];
  struct msgpack_writer w = {.at = row, .end = row + sizeof row};
  struct sql_failure failure;
  enum sql_row result = sql_engine_row(engine, &w, &failure);
  assert_int_not_equal(result, SQL_ROW_NO_ROOM);
  if (result == SQL_ROW_BAD) {
    buffer_print(out, "%zu: !%s %s\n", position, failure.code, failure.reason);
    return;
  }
  const uint8_t *at = row;
  assert_true(msgpack_valid(row, w.at));
  buffer_print(out, "%zu: ", position);
  assert_true(msgpack_to_json(&at, w.at, out));
  buffer_text(out, "\n");
}

// All records through one engine.
static inline void help_run(struct sql_engine *engine, struct help_source *s, struct buffer *out) {
  struct sql_failure failure;
  s->at = 0;
  sql_engine_start(engine, help_next, s);
  for (;;) {
    switch (sql_engine_step(engine, &failure)) {
    case SQL_STEP_ROW: help_row(engine, s->at, out); break;
    case SQL_STEP_FAILED: buffer_print(out, "%zu: !%s %s\n", s->at, failure.code, failure.reason); break;
    case SQL_STEP_DONE: return;
    }
  }
}

struct help_spec {
  const char *sql, *columns, *checks; // the last two JSON maps, or NULL
  bool one_by_one;
  uint64_t timeout_ms, memory_bytes;
  const char *input; // NULL: "raw"
};

static inline struct job_value help_settings(const char *json, struct buffer *out) {
  if (!json) return (struct job_value){0};
  help_msgpack(json, out);
  return (struct job_value){.at = out->at, .end = out->at + out->length};
}

static inline struct sql_engine *help_open(const struct help_spec *h, struct sql_problems *problems) {
  const char *input = h->input ? h->input : "raw";
  struct buffer columns = {0}, checks = {0};
  struct sql_spec spec = {.sql = h->sql,
                          .inputs = &input,
                          .input_count = 1,
                          .columns = help_settings(h->columns, &columns),
                          .checks = help_settings(h->checks, &checks),
                          .timeout_ms = h->timeout_ms,
                          .memory_bytes = h->memory_bytes,
                          .one_by_one = h->one_by_one};
  struct sql_engine *engine = sql_engine_open(&spec, problems);
  buffer_free(&columns);
  buffer_free(&checks);
  return engine;
}

static inline struct sql_engine *help_engine(const struct help_spec *h) {
  struct sql_problems problems = {0};
  struct sql_engine *engine = help_open(h, &problems);
  if (!engine) fail_msg("%s: %s", h->sql, problems.list[0].text);
  sql_problems_free(&problems);
  return engine;
}

// The rows of `count` JSON records; owned by the caller.
static inline char *help_rows(const struct help_spec *h, const char *const *json, size_t count) {
  struct sql_engine *engine = help_engine(h);
  struct help_source s = help_source(json, count);
  struct buffer out = {0};
  help_run(engine, &s, &out);
  char *text = memory_text(buffer_cstring(&out));
  buffer_free(&out);
  help_source_free(&s);
  sql_engine_free(engine);
  return text;
}

static inline void help_expect(const struct help_spec *h, const char *const *json, size_t count, const char *rows) {
  char *text = help_rows(h, json, count);
  assert_string_equal(text, rows);
  free(text);
}

// The first problem of a spec, as "SETTING@OFFSET: TEXT [SUGGESTION]"; fails when there is none.
static inline void help_problem(const struct help_spec *h, const char *expected) {
  struct sql_problems problems = {0};
  struct sql_engine *engine = help_open(h, &problems);
  struct buffer out = {0};
  for (size_t i = 0; i < problems.count; i++) {
    const struct sql_problem *p = &problems.list[i];
    if (p->warning) continue;
    buffer_print(&out, "%s%s@%ld: %s", out.length ? "\n" : "", p->setting, p->offset, p->text);
    if (p->suggestion) buffer_print(&out, " [%s]", p->suggestion);
  }
  assert_null(engine);
  assert_string_equal(buffer_cstring(&out), expected);
  buffer_free(&out);
  sql_problems_free(&problems);
}
