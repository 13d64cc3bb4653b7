// See graph.h. The text form follows the flow: a tree for each source. What several ways lead to is drawn once and named the next time.
#include "supervisor/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/job.h"
#include "supervisor/json_text.h"
#include "supervisor/plan_build.h"
#include "supervisor/plan_report.h"
#include "supervisor/secret.h"
#include "supervisor/suggest.h"

// ---- what stands in a node

// The address without what may be secret (owned by the caller).
static char *address(struct job_value settings, const char *name) {
  char *text = job_text(settings, name, "");
  secret_hide_address(text); // first: a password may hold the characters at which the rest is cut
  text[strcspn(text, "?#")] = '\0';
  return text;
}

static void add_paths(struct buffer *out, struct job_value paths) {
  struct job_walk walk = job_walk_start(paths);
  struct job_value one;
  while (job_walk_next(&walk, NULL, &one)) {
    char *path = job_value_text(one);
    buffer_print(out, " %s", path ? path : "");
    free(path);
  }
}

// "topic eonet_raw, written and read".
static void describe_topic(const struct plan_node *node, struct buffer *out) {
  char *name = job_text(plan_settings(node), "topic", "");
  buffer_print(out, "topic %s, %s", name, plan_topic_use(node));
  free(name);
}

// "http https://host/path, 1 lane".
static void describe(const struct plan *plan, size_t index, struct buffer *out) {
  const struct plan_node *node = &plan->nodes[index];
  struct job_value settings = plan_settings(node);
  if (plan_passes_on(node)) {
    buffer_text(out, "topic, records pass on");
    return;
  }
  if (node->at_brokers)
    describe_topic(node, out);
  else
    buffer_text(out, node->kind->name);
  char *url = address(settings, "url"), *table = job_text(settings, "table", "");
  if (*table) buffer_print(out, " %s in", table);
  if (*url) buffer_print(out, " %s", url);
  struct job_value path = job_get(settings, "path");
  if (job_has(path) && node->section == PLAN_SOURCE) add_paths(out, path);
  if (job_has(path) && (node->section == PLAN_SINK || node->section == PLAN_LOOKUP)) {
    char *text = job_value_text(path);
    buffer_print(out, " %s", text ? text : "");
    free(text);
  }
  for (size_t i = 0; i < plan->chain_count; i++)
    if (plan->chains[i].source == index && plan->chains[i].lanes > 1) buffer_print(out, ", %u lanes", plan->chains[i].lanes);
  if (node->form) buffer_print(out, ", %s", node->form);
  for (size_t i = 0; i < node->lookup_count; i++) buffer_print(out, "%s%s", i ? ", " : ", joins ", plan->nodes[node->lookups[i]].name);
  free(url);
  free(table);
}

static bool reads(const struct plan_node *node, size_t other) {
  for (size_t i = 0; i < node->from_count; i++)
    if (node->from[i] == other) return true;
  return false;
}

// ---- text

struct drawing {
  const struct plan *plan;
  struct buffer *out;
  bool *drawn;
};

static void draw(struct drawing *g, size_t index, const char *indent, bool last) {
  const struct plan *plan = g->plan;
  buffer_print(g->out, "%s%s %s", indent, last ? "└─" : "├─", plan->nodes[index].name);
  if (g->drawn[index]) {
    buffer_text(g->out, "  (see above)\n");
    return;
  }
  g->drawn[index] = true;
  buffer_text(g->out, "  ");
  describe(plan, index, g->out);
  buffer_byte(g->out, '\n');
  size_t left = 0;
  for (size_t i = 0; i < plan->node_count; i++) left += reads(&plan->nodes[i], index);
  char *deeper = memory_print("%s%s", indent, last ? "   " : "│  ");
  for (size_t i = 0; i < plan->node_count; i++)
    if (reads(&plan->nodes[i], index)) draw(g, i, deeper, --left == 0);
  free(deeper);
}

// Where the flow begins: sources, and topics that others write.
static bool is_top(const struct plan_node *node) {
  return plan_is_root(node) && node->from_count == 0;
}

static void print_text(const struct plan *plan, struct buffer *out) {
  struct drawing g = {.plan = plan, .out = out, .drawn = memory_get((plan->node_count + 1) * sizeof *g.drawn)};
  size_t left = 0;
  for (size_t i = 0; i < plan->node_count; i++) left += is_top(&plan->nodes[i]);
  buffer_print(out, "%s\n", plan->pipeline);
  for (size_t i = 0; i < plan->node_count; i++)
    if (is_top(&plan->nodes[i])) draw(&g, i, "", --left == 0);
  for (size_t i = 0; i < plan->node_count; i++) {
    if (plan->nodes[i].section != PLAN_LOOKUP) continue;
    buffer_print(out, "lookup %s  ", plan->nodes[i].name);
    describe(plan, i, out);
    buffer_byte(out, '\n');
  }
  free(g.drawn);
}

// ---- dot and Mermaid

static void add_escaped(struct buffer *out, const char *text, enum graph_format format) {
  for (const char *p = text; *p; p++) {
    if (format == GRAPH_MERMAID && strchr("\"<>#&", *p))
      buffer_print(out, "#%d;", *p);
    else if (format == GRAPH_DOT && (*p == '"' || *p == '\\'))
      buffer_print(out, "\\%c", *p);
    else
      buffer_byte(out, (unsigned char)*p < 0x20 ? ' ' : (uint8_t)*p);
  }
}

static const char *dot_shape(enum plan_section section) {
  switch (section) {
  case PLAN_SOURCE: return "cds";
  case PLAN_TRANSFORM: return "box";
  case PLAN_TOPIC: return "hexagon";
  case PLAN_LOOKUP: return "note";
  case PLAN_SINK: return "cylinder";
  }
  return "box";
}

static void mermaid_brackets(enum plan_section section, const char **open, const char **close) {
  *open = section == PLAN_SOURCE ? "([" : section == PLAN_TOPIC ? "{{" : section == PLAN_SINK ? "[(" : "[";
  *close = section == PLAN_SOURCE ? "])" : section == PLAN_TOPIC ? "}}" : section == PLAN_SINK ? ")]" : "]";
}

static void print_drawing(const struct plan *plan, enum graph_format format, struct buffer *out) {
  bool dot = format == GRAPH_DOT;
  if (dot)
    buffer_print(out, "digraph \"%s\" {\n  rankdir=LR;\n", plan->pipeline);
  else
    buffer_text(out, "flowchart LR\n");
  for (size_t i = 0; i < plan->node_count; i++) {
    const struct plan_node *node = &plan->nodes[i];
    struct buffer text = {0};
    const char *open, *close;
    mermaid_brackets(node->section, &open, &close);
    describe(plan, i, &text);
    if (dot)
      buffer_print(out, "  n%zu [shape=%s, label=\"%s\\n", i, dot_shape(node->section), node->name);
    else
      buffer_print(out, "  n%zu%s\"%s<br/>", i, open, node->name);
    add_escaped(out, buffer_cstring(&text), format);
    if (dot)
      buffer_text(out, "\"];\n");
    else
      buffer_print(out, "\"%s\n", close);
    buffer_free(&text);
  }
  for (size_t i = 0; i < plan->node_count; i++)
    for (size_t f = 0; f < plan->nodes[i].from_count; f++)
      buffer_print(out, dot ? "  n%u -> n%zu;\n" : "  n%u --> n%zu\n", plan->nodes[i].from[f], i);
  for (size_t i = 0; i < plan->node_count; i++)
    for (size_t l = 0; l < plan->nodes[i].lookup_count; l++)
      buffer_print(out, dot ? "  n%u -> n%zu [style=dashed];\n" : "  n%u -.-> n%zu\n", plan->nodes[i].lookups[l], i);
  if (dot) buffer_text(out, "}\n");
}

// ---- JSON

static void json_node(const struct plan *plan, size_t index, struct json_text *j) {
  const struct plan_node *node = &plan->nodes[index];
  struct buffer text = {0};
  json_text_open(j, NULL, '{');
  json_text_string(j, "name", node->name);
  json_text_string(j, "section", plan_section_word(node->section));
  json_text_string(j, "kind", node->kind ? node->kind->name : NULL);
  for (size_t i = 0; i < plan->chain_count; i++)
    if (plan->chains[i].source == index) json_text_int(j, "lanes", plan->chains[i].lanes);
  json_text_string(j, "form", node->form);
  describe(plan, index, &text);
  json_text_string(j, "text", buffer_cstring(&text));
  json_text_close(j, '}');
  buffer_free(&text);
}

static void print_json(const struct plan *plan, struct buffer *out) {
  struct json_text j = {.out = out};
  json_text_open(&j, NULL, '{');
  json_text_string(&j, "command", "graph");
  json_text_string(&j, "pipeline", plan->pipeline);
  json_text_open(&j, "nodes", '[');
  for (size_t i = 0; i < plan->node_count; i++) json_node(plan, i, &j);
  json_text_close(&j, ']');
  json_text_open(&j, "edges", '[');
  for (size_t i = 0; i < plan->node_count; i++)
    for (size_t f = 0; f < plan->nodes[i].from_count; f++) {
      json_text_open(&j, NULL, '{');
      json_text_string(&j, "from", plan->nodes[plan->nodes[i].from[f]].name);
      json_text_string(&j, "to", plan->nodes[i].name);
      json_text_close(&j, '}');
    }
  json_text_close(&j, ']');
  json_text_close(&j, '}');
  buffer_byte(out, '\n');
}

void graph_print(const struct plan *plan, enum graph_format format, struct buffer *out) {
  switch (format) {
  case GRAPH_TEXT: print_text(plan, out); break;
  case GRAPH_DOT:
  case GRAPH_MERMAID: print_drawing(plan, format, out); break;
  case GRAPH_JSON: print_json(plan, out); break;
  }
}

// ---- the verb

static bool format_find(const char *name, enum graph_format *format) {
  static const char *const names[] = {[GRAPH_TEXT] = "text", [GRAPH_DOT] = "dot", [GRAPH_MERMAID] = "mermaid", [GRAPH_JSON] = "json"};
  struct suggest near = suggest_start(name ? name : "text");
  for (enum graph_format f = GRAPH_TEXT; f <= GRAPH_JSON; f++) {
    suggest_try(&near, names[f]);
    if (strcmp(names[f], near.wanted) != 0) continue;
    *format = f;
    return true;
  }
  fprintf(stderr, "weir graph: there is no format `%s`: text, dot, mermaid or json\n", name);
  if (near.best) fprintf(stderr, "did you mean `%s`?\n", near.best);
  return false;
}

int graph_verb(const struct plan_options *options, const char *format) {
  enum graph_format wanted;
  if (!format_find(format, &wanted)) return 2;
  struct plan_report report;
  struct buffer out = {0};
  struct plan *plan = plan_make(options, &report);
  if (plan)
    graph_print(plan, wanted, &out);
  else
    plan_report_print(&report, options->file, NULL, false, &out);
  FILE *to = plan ? stdout : stderr;
  bool printed = out.length == 0 || (fwrite(out.at, 1, out.length, to) == out.length && fflush(to) == 0);
  int code = !printed ? 1 : plan ? 0 : 2;
  buffer_free(&out);
  plan_report_free(&report);
  plan_free(plan);
  return code;
}
