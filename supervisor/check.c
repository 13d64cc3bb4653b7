// See check.h. The text form is for people; the JSON form holds the same, and every message with its place.
#include "supervisor/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/job.h"
#include "proto/log.h"
#include "supervisor/json_text.h"
#include "supervisor/plan_build.h"
#include "supervisor/plan_report.h"

enum { EXIT_GOOD = 0, EXIT_OUTPUT = 1, EXIT_FILE = 2, EXIT_TARGET = 3 };

// ---- notes: each belongs to the last node that begins before it

static bool is_of_node(const struct plan *p, const struct plan_message *m, size_t index) {
  if (m->level != CHECK_NOTE || m->line < p->nodes[index].line) return false;
  for (size_t i = 0; i < p->node_count; i++)
    if (p->nodes[i].line > p->nodes[index].line && p->nodes[i].line <= m->line) return false;
  return true;
}

// Notes of several lines (a CREATE TABLE) stay indented under their node.
static void print_indented(struct buffer *out, const char *text) {
  for (const char *line = text; *line;) {
    size_t length = strcspn(line, "\n");
    buffer_print(out, "    %.*s\n", (int)length, line);
    line += length + (line[length] == '\n');
  }
}

// A note is told under its node, so the name before it says nothing new.
static const char *without_prefix(const struct plan *p, size_t index, const char *text) {
  char *prefix = memory_print("%s `%s`: ", plan_section_word(p->nodes[index].section), p->nodes[index].name);
  size_t length = strlen(prefix);
  bool has = strncmp(text, prefix, length) == 0;
  free(prefix);
  return has ? text + length : text;
}

// ---- text

static void print_columns(struct buffer *out, const struct draft_node *node) {
  size_t width = 0;
  for (size_t i = 0; i < node->column_count; i++)
    if (strlen(node->columns[i].name) > width) width = strlen(node->columns[i].name);
  if (width > 40) width = 40;
  for (size_t i = 0; i < node->column_count; i++) {
    const struct check_column *c = &node->columns[i];
    buffer_print(out, "    %-*s  %s%s\n", (int)width, c->name, *c->type ? c->type : "(as it comes)", c->not_null ? " not null" : "");
  }
}

static void print_lanes(struct buffer *out, const struct plan *p, size_t index) {
  for (size_t i = 0; i < p->chain_count; i++)
    if (p->chains[i].source == index) buffer_print(out, ", %u lane%s", p->chains[i].lanes, p->chains[i].lanes == 1 ? "" : "s");
}

static void print_node(struct buffer *out, const struct draft *d, size_t index) {
  const struct plan *p = d->plan;
  const struct plan_node *node = &p->nodes[index];
  buffer_print(out, "%s %s", plan_section_word(node->section), node->name);
  if (node->at_brokers)
    buffer_print(out, ": %s", plan_topic_use(node));
  else if (node->kind)
    buffer_print(out, ": %s", node->kind->name);
  else
    buffer_text(out, ": no brokers, records pass on");
  print_lanes(out, p, index);
  if (node->form) buffer_print(out, ", %s", node->form);
  for (size_t i = 0; i < node->from_count; i++) buffer_print(out, "%s%s", i ? ", " : ", reads ", p->nodes[node->from[i]].name);
  for (size_t i = 0; i < node->lookup_count; i++) buffer_print(out, "%s%s", i ? ", " : ", joins ", p->nodes[node->lookups[i]].name);
  buffer_byte(out, '\n');
  if (d->nodes[index].columns_known && node->section != PLAN_SINK) print_columns(out, &d->nodes[index]);
  for (size_t i = 0; i < d->report->count; i++)
    if (is_of_node(p, &d->report->messages[i], index)) print_indented(out, without_prefix(p, index, d->report->messages[i].text));
}

static void print_left_out(struct buffer *out, const struct draft *d) {
  for (size_t i = 0; i < d->left_out_count; i++) buffer_print(out, "%s is left out: its `when:` is empty\n", d->left_out[i]);
}

static bool write_all(FILE *to, struct buffer *out) {
  bool fine = out->length == 0 || (fwrite(out->at, 1, out->length, to) == out->length && fflush(to) == 0);
  buffer_free(out);
  return fine;
}

static void print_summary(struct buffer *out, const struct draft *d, const char *file) {
  size_t errors = plan_report_count(d->report, CHECK_ERROR), warnings = plan_report_count(d->report, CHECK_WARNING);
  if (errors > 0 && d->checked)
    buffer_print(out, "%s is good, but its targets are not ready: ", file);
  else if (errors > 0)
    buffer_print(out, "%s: ", file);
  else {
    buffer_print(out, "%s is good\n", file);
    return;
  }
  buffer_print(out, "%zu error%s, %zu warning%s\n", errors, errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
}

static bool answer_text(const struct draft *d, const char *file, bool colour) {
  struct buffer answer = {0}, messages = {0};
  if (d->checked) {
    for (size_t i = 0; i < d->plan->node_count; i++) print_node(&answer, d, i);
    print_left_out(&answer, d);
  }
  plan_report_print(d->report, file, d->plan->text, colour, &messages);
  if (d->report->failed)
    print_summary(&messages, d, file);
  else
    print_summary(&answer, d, file);
  // The messages come last: the end of the output is what stays in sight.
  bool printed = write_all(stdout, &answer);
  return write_all(stderr, &messages) && printed;
}

// ---- JSON

static const char *level_name(enum check_level level) {
  switch (level) {
  case CHECK_ERROR: return "error";
  case CHECK_WARNING: return "warning";
  case CHECK_NOTE: return "note";
  }
  return "?";
}

static void json_messages(struct json_text *j, const struct plan_report *report) {
  json_text_open(j, "messages", '[');
  for (size_t i = 0; i < report->count; i++) {
    const struct plan_message *m = &report->messages[i];
    json_text_open(j, NULL, '{');
    json_text_string(j, "level", level_name(m->level));
    json_text_int(j, "line", m->line);
    json_text_int(j, "column", m->column);
    json_text_string(j, "text", m->text);
    json_text_string(j, "suggestion", m->suggestion);
    json_text_close(j, '}');
  }
  json_text_close(j, ']');
}

static void json_node(struct json_text *j, const struct draft *d, size_t index) {
  const struct plan_node *node = &d->plan->nodes[index];
  json_text_open(j, NULL, '{');
  json_text_string(j, "name", node->name);
  json_text_string(j, "section", plan_section_word(node->section));
  json_text_string(j, "kind", node->at_brokers ? "topic" : node->kind ? node->kind->name : NULL);
  json_text_string(j, "form", node->form);
  json_text_open(j, "from", '[');
  for (size_t i = 0; i < node->from_count; i++) json_text_string(j, NULL, d->plan->nodes[node->from[i]].name);
  json_text_close(j, ']');
  json_text_open(j, "lookups", '[');
  for (size_t i = 0; i < node->lookup_count; i++) json_text_string(j, NULL, d->plan->nodes[node->lookups[i]].name);
  json_text_close(j, ']');
  for (size_t i = 0; i < d->plan->chain_count; i++)
    if (d->plan->chains[i].source == index) json_text_int(j, "lanes", d->plan->chains[i].lanes);
  if (d->nodes[index].columns_known && node->section != PLAN_SINK) {
    json_text_open(j, "columns", '[');
    for (size_t i = 0; i < d->nodes[index].column_count; i++) {
      const struct check_column *c = &d->nodes[index].columns[i];
      json_text_open(j, NULL, '{');
      json_text_string(j, "name", c->name);
      json_text_string(j, "type", c->type);
      json_text_bool(j, "not_null", c->not_null);
      json_text_close(j, '}');
    }
    json_text_close(j, ']');
  }
  json_text_close(j, '}');
}

static bool answer_json(const struct draft *d, const char *file) {
  struct buffer out = {0};
  struct json_text j = {.out = &out};
  json_text_open(&j, NULL, '{');
  json_text_string(&j, "command", "check");
  json_text_bool(&j, "ok", !d->report->failed);
  json_text_string(&j, "file", file);
  json_text_string(&j, "pipeline", d->plan->pipeline);
  json_text_string(&j, "state", d->plan->state);
  json_messages(&j, d->report);
  if (d->checked) {
    json_text_open(&j, "left_out", '[');
    for (size_t i = 0; i < d->left_out_count; i++) json_text_string(&j, NULL, d->left_out[i]);
    json_text_close(&j, ']');
    json_text_open(&j, "nodes", '[');
    for (size_t i = 0; i < d->plan->node_count; i++) json_node(&j, d, i);
    json_text_close(&j, ']');
  }
  json_text_close(&j, '}');
  buffer_byte(&out, '\n');
  return write_all(stdout, &out);
}

int check_verb(const struct plan_options *options, bool json, bool colour) {
  struct plan_report report;
  struct draft d;
  log_format(false, LOG_LEVEL_ERROR); // what clients have to say of a server that does not answer stands in the messages
  bool good = plan_draft(&d, options, &report);
  bool printed = json ? answer_json(&d, options->file) : answer_text(&d, options->file, colour);
  int code = good ? EXIT_GOOD : d.checked ? EXIT_TARGET : EXIT_FILE;
  plan_draft_free(&d);
  plan_report_free(&report);
  return printed ? code : EXIT_OUTPUT;
}
