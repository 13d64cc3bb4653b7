// The status and the account as tables for people. See status.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/job.h"
#include "supervisor/json_read.h"
#include "supervisor/status.h"
#include "supervisor/terminal.h"

enum { COLUMNS_MOST = 16, CELL_MOST = 48, NUMBER_MOST = 32 };

struct column {
  const char *title, *key;
  bool number;
};

static const struct column of_status[] = {{"NODE", "name", false}, {"KIND", "kind", false},        {"LANE", "lane", true},
                                          {"PID", "pid", true},    {"STATE", "state", false},      {"IN", "in", true},
                                          {"OUT", "out", true},    {"FILTERED", "filtered", true}, {"DEAD", "dead", true},
                                          {"RING", NULL, true},    {"RESTARTS", "restarts", true}, {"LAG", "lag_s", true}};
static const struct column of_account[] = {{"NODE", "name", false},     {"KIND", "kind", false},        {"IN", "in", true},
                                           {"OUT", "out", true},        {"FILTERED", "filtered", true}, {"SUPERSEDED", "superseded", true},
                                           {"DEAD", "dead", true},      {"LATE", "late", true},         {"RESTARTS", "restarts", true},
                                           {"REWINDS", "rewinds", true}};

// 1234567 as 1,234,567.
static void group_digits(const char *digits, char out[NUMBER_MOST]) {
  size_t length = strlen(digits), to = 0;
  for (size_t i = 0; i < length && to + 2 < NUMBER_MOST; i++) {
    if (i > 0 && (length - i) % 3 == 0) out[to++] = ',';
    out[to++] = digits[i];
  }
  out[to] = '\0';
}

static void cell_text(const struct column *c, struct job_value node, char out[CELL_MOST]) {
  if (!c->key) {
    snprintf(out, CELL_MOST, "%.0f%%", job_double(node, "ring_fill", 0) * 100);
    return;
  }
  char *value = job_text(node, c->key, "-");
  char grouped[NUMBER_MOST];
  bool plain = c->number && strcmp(c->key, "pid") != 0 && strspn(value, "0123456789") == strlen(value);
  if (plain) group_digits(value, grouped);
  if (strcmp(c->key, "lag_s") == 0 && strcmp(value, "0") != 0)
    snprintf(out, CELL_MOST, "%.1f s", job_double(node, c->key, 0));
  else
    snprintf(out, CELL_MOST, "%s", plain ? grouped : value);
  free(value);
}

static void row_print(struct buffer *out, const struct column *columns, size_t count, const int *width, char cells[][CELL_MOST]) {
  for (size_t c = 0; c < count; c++) buffer_print(out, columns[c].number ? "%s%*s" : "%s%-*s", c ? "  " : "", width[c], cells[c]);
  buffer_byte(out, '\n');
}

static void table_print(struct buffer *out, const struct column *columns, size_t count, struct job_value nodes) {
  char cells[COLUMNS_MOST][CELL_MOST];
  int width[COLUMNS_MOST];
  struct job_value node;
  for (size_t c = 0; c < count; c++) width[c] = (int)strlen(columns[c].title);
  for (struct job_walk walk = job_walk_start(nodes); job_walk_next(&walk, NULL, &node);) {
    for (size_t c = 0; c < count; c++) {
      cell_text(&columns[c], node, cells[c]);
      if ((int)strlen(cells[c]) > width[c]) width[c] = (int)strlen(cells[c]);
    }
  }
  for (size_t c = 0; c < count; c++) snprintf(cells[c], CELL_MOST, "%s", columns[c].title);
  row_print(out, columns, count, width, cells);
  for (struct job_walk walk = job_walk_start(nodes); job_walk_next(&walk, NULL, &node);) {
    for (size_t c = 0; c < count; c++) cell_text(&columns[c], node, cells[c]);
    row_print(out, columns, count, width, cells);
  }
}

// "categories: 13 rows, 8,192 bytes, 12 s old"
static void table_remark(struct buffer *out, struct job_value node, const char *name) {
  char rows[NUMBER_MOST], bytes[NUMBER_MOST];
  char *rows_text = job_text(node, "rows", "0"), *bytes_text = job_text(node, "bytes", "0");
  group_digits(rows_text, rows);
  group_digits(bytes_text, bytes);
  if (job_has(job_get(node, "age_s")))
    buffer_print(out, "%s: %s rows, %s bytes, %lld s old\n", name, rows, bytes, (long long)job_int(node, "age_s", 0));
  else
    buffer_print(out, "%s: not loaded yet\n", name);
  free(rows_text);
  free(bytes_text);
}

// What was counted beside the account, where there was any.
static void oddities_print(struct buffer *out, struct job_value node) {
  static const struct {
    const char *key, *text;
  } odd[] = {{"ignored_fields", "fields have no column and were ignored"}, {"text_numbers", "numbers fit no type and stayed text"}};
  char *name = job_text(node, "name", ""), digits[NUMBER_MOST], grouped[NUMBER_MOST];
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    int64_t count = job_int(node, odd[i].key, 0);
    if (count == 0) continue;
    snprintf(digits, sizeof digits, "%lld", (long long)count);
    group_digits(digits, grouped);
    buffer_print(out, "%s", name);
    if (job_has(job_get(node, "lane"))) buffer_print(out, "/%lld", (long long)job_int(node, "lane", 0));
    buffer_print(out, ": %s %s\n", grouped, odd[i].text);
  }
  free(name);
}

static char *shown_text(struct job_value node, const char *key) {
  char *text = job_text(node, key, ""), *shown = terminal_text(text);
  free(text);
  return shown;
}

// What the nodes are waiting for, and what went wrong last.
static void remarks_print(struct buffer *out, struct job_value nodes) {
  struct job_value node;
  for (struct job_walk walk = job_walk_start(nodes); job_walk_next(&walk, NULL, &node);) {
    char *name = job_text(node, "name", ""), *doing = shown_text(node, "doing"), *error = shown_text(node, "last_error");
    if (job_has(job_get(node, "rows"))) table_remark(out, node, name);
    char *kind = job_text(node, "kind", "");
    const char *which = strcmp(kind, "topic_reader") == 0 ? ":reader" : strcmp(kind, "topic_writer") == 0 ? ":writer" : "";
    if (doing[0]) buffer_print(out, "%s%s/%lld: %s\n", name, which, (long long)job_int(node, "lane", 0), doing);
    if (error[0]) buffer_print(out, "%s%s/%lld: last error: %s\n", name, which, (long long)job_int(node, "lane", 0), error);
    free(kind);
    free(name);
    free(doing);
    free(error);
  }
}

static void status_print(struct buffer *out, struct job_value root) {
  struct job_value nodes = job_get(root, "nodes");
  char *pipeline = job_text(root, "pipeline", ""), *state = job_text(root, "state", ""), *since = job_text(root, "since", "");
  bool account = true;
  struct job_value first;
  struct job_walk walk = job_walk_start(nodes);
  if (job_walk_next(&walk, NULL, &first)) account = !job_has(job_get(first, "lane"));
  if (account) {
    table_print(out, of_account, sizeof of_account / sizeof *of_account, nodes);
  } else {
    buffer_print(out, "pipeline %s: %s, pid %lld, since %s\n\n", pipeline, state, (long long)job_int(root, "pid", 0), since);
    table_print(out, of_status, sizeof of_status / sizeof *of_status, nodes);
    remarks_print(out, nodes);
  }
  struct job_value node;
  for (walk = job_walk_start(nodes); job_walk_next(&walk, NULL, &node);) oddities_print(out, node);
  free(pipeline);
  free(state);
  free(since);
}

bool status_table(const struct buffer *answer, struct buffer *out) {
  struct buffer packed = {0};
  struct job_value root;
  bool good = json_read(answer, &packed, &root) && job_has(job_get(root, "nodes"));
  if (good) status_print(out, root);
  buffer_free(&packed);
  return good;
}
