// `weir check` for the lookups: their settings, and with --connect whether the table can be loaded.
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "workers/clients/curl.h"
#include "workers/clients/postgres.h"
#include "workers/lookups/lookup.h"
#include "workers/lookups/lookup_worker.h"

#define CHECK_NS UINT64_C(60000000000) // of a load with --connect

static bool in_time(void *context) {
  return clock_monotonic_ns() < *(uint64_t *)context;
}

static void not_busy(void *context, unsigned seconds, const char *doing) {
  (void)context, (void)seconds, (void)doing;
}

// Into memory: a check makes nothing that stays.
static void try_load(struct check *c, const struct lookup_shape *shape, lookup_loader *load) {
  struct error e = {0};
  struct lookup_build build = {0};
  uint64_t deadline = clock_monotonic_ns() + CHECK_NS, bytes = 0;
  struct lookup_load l = {.settings = c->settings, .build = &build, .turn = in_time, .busy = not_busy, .context = &deadline};
  enum lookup_outcome outcome = LOOKUP_LOAD_FAILED;
  if (lookup_build_open(&build, shape, ":memory:", (uint64_t)job_int(c->settings, "max_bytes", 64 << 20), &e)) {
    build.turn = in_time;
    build.context = &deadline;
    outcome = load(&l, &e);
  }
  uint64_t rows = build.rows;
  if (outcome == LOOKUP_LOAD_DONE && !lookup_build_end(&build, &bytes, &e)) outcome = LOOKUP_LOAD_FAILED;
  if (l.line) check_find(c, CHECK_NOTE, "url", -1, NULL, "%s", l.line);
  free(l.line);
  if (outcome == LOOKUP_LOAD_DONE)
    check_find(c, CHECK_NOTE, "type", -1, NULL, "%llu rows, %llu bytes", (unsigned long long)rows, (unsigned long long)bytes);
  else if (outcome == LOOKUP_LOAD_FAILED)
    check_find(c, CHECK_ERROR, "type", -1, NULL, "it cannot be loaded: %s", e.text);
  else
    check_find(c, CHECK_ERROR, "type", -1, NULL, "it was not loaded within a minute");
  lookup_build_free(&build);
  free(l.etag);
  free(l.modified);
}

static void answer_columns(struct check *c, const struct lookup_shape *shape) {
  c->output = memory_get((shape->column_count + 1) * sizeof *c->output);
  c->output_count = shape->column_count;
  c->output_known = true;
  for (size_t i = 0; i < shape->column_count; i++) {
    c->output[i].name = memory_text(shape->columns[i].name);
    c->output[i].type = memory_text(cell_type_name(shape->columns[i].rule.type));
    c->output[i].not_null = shape->columns[i].rule.not_null;
  }
}

static bool has_errors(const struct check *c) {
  for (size_t i = 0; i < c->finding_count; i++)
    if (c->findings[i].level == CHECK_ERROR) return true;
  return false;
}

static void check_kind(struct check *c, const char *kind) {
  struct lookup_shape shape;
  struct error e = {0};
  bool good = lookup_shape_load(&shape, c->node, c->settings, &e);
  if (!good) check_find(c, CHECK_ERROR, e.code, -1, NULL, "%s", e.text);
  for (size_t i = 0; i < shape.column_count && good; i++) {
    struct error bad = {0};
    struct msgpack_path *path = msgpack_path_new(shape.columns[i].name, &bad);
    if (!path) check_find(c, CHECK_ERROR, "columns", -1, NULL, "%s: %s", shape.columns[i].name, bad.text);
    msgpack_path_free(path);
  }
  if (good) answer_columns(c, &shape);
  if (good && c->connect && !has_errors(c)) try_load(c, &shape, lookup_loader_find(kind));
  lookup_shape_free(&shape);
}

// What protects the line, for --connect.
static void tell_line(struct check *c) {
  char *url = job_text(c->settings, "url", ""), *verify = job_text(c->settings, "tls_verify", "true"), *shown = http_url_shown(url);
  if (strncmp(shown, "http:", 5) == 0)
    check_find(c, CHECK_NOTE, "url", -1, NULL, "%s: not encrypted", shown);
  else
    check_find(c, CHECK_NOTE, "url", -1, NULL, "%s: encrypted, certificate %s", shown,
               strcmp(verify, "insecure") == 0 ? "NOT verified" : "verified");
  free(shown);
  free(verify);
  free(url);
}

void lookup_http_check(struct check *c) {
  struct error e = {0};
  if (!lookup_http_look(c->settings, &e))
    check_find(c, CHECK_ERROR, e.code, -1, NULL, "%s", e.text);
  else if (c->connect)
    tell_line(c);
  check_kind(c, "http");
}

void lookup_file_check(struct check *c) {
  char *format = job_text(c->settings, "format", "ndjson"), *records = job_text(c->settings, "records", "");
  if (records[0] && strcmp(format, "json") != 0)
    check_find(c, CHECK_ERROR, "records", -1, NULL, "records are looked for in a document: `format: json`");
  free(records);
  free(format);
  check_kind(c, "file");
}

void lookup_sqlite_check(struct check *c) {
  char *url = job_text(c->settings, "url", "");
  if (strncmp(url, "sqlite:", strlen("sqlite:")) != 0)
    check_find(c, CHECK_ERROR, "url", -1, NULL, "the address of a lookup of this type begins with sqlite:");
  free(url);
  check_kind(c, "sqlite");
}

void lookup_postgres_check(struct check *c) {
  struct error e = {0};
  char *url = job_text(c->settings, "url", "");
  if (!postgres_url_check(url, &e)) check_find(c, CHECK_ERROR, "url", -1, NULL, "%s", e.text);
  free(url);
  check_kind(c, "postgres");
}
