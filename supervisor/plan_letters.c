// Copies of dead letters: with `dead_letters.topic` and brokers each sink that keeps its letters in a database or in the state folder gets
// a chain behind it that copies them into that topic. Topics that are written do it themselves, in the transaction of their rows.
//
//   sink `out` (its store)  ~~~  letters:out  -->  dead_letters:TOPIC
//
// The nodes are the plan's own (`copies`): no file names them, and nothing else reads them. The stores stay the authority.
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "proto/job.h"
#include "proto/msgpack.h"
#include "supervisor/plan_build.h"

enum { SPARE = 256, RING_LEAST = 2 << 20, RING_MOST = 256 << 20 };

static size_t node_add(struct draft *d, struct plan_node node) {
  static const struct config_entry none = {.value = {.kind = CONFIG_MAP}};
  struct plan *p = d->plan;
  size_t index = p->node_count++;
  p->nodes = memory_resize(p->nodes, p->node_count * sizeof *p->nodes);
  d->nodes = memory_resize(d->nodes, p->node_count * sizeof *d->nodes);
  d->node_count = p->node_count;
  node.copies = true;
  node.line = INT_MAX; // no message of the file belongs to it
  p->nodes[index] = node;
  d->nodes[index] = (struct draft_node){.entry = &none};
  return index;
}

static void from_add(struct plan_node *node, size_t from) {
  node->from = memory_resize(node->from, (node->from_count + 1) * sizeof *node->from);
  node->from[node->from_count++] = (unsigned)from;
}

// ---- the topic

static struct config_node text_of(const char *text) {
  size_t length = strlen(text);
  char *own = (char *)(uintptr_t)text; // read only
  return (struct config_node){.kind = CONFIG_TEXT, .written = own, .text = own, .written_length = length, .length = length};
}

// The settings as a file would say them, so that defaults are those of every topic.
static void topic_settings(struct draft *d, struct buffer *out) {
  static const char *const headers[][2] = {
      {"weir.reason", "reason"}, {"weir.code", "code"},     {"weir.node", "node"},     {"weir.origin", "origin"},
      {"weir.id", "id"},         {"weir.format", "format"}, {"weir.column", "column"}, {"weir.constraint", "constraint"},
      {"weir.cut", "cut"}};
  enum { HEADERS = sizeof headers / sizeof *headers };
  struct config_entry columns[HEADERS];
  for (size_t i = 0; i < HEADERS; i++)
    columns[i] = (struct config_entry){.key = (char *)(uintptr_t)headers[i][0], .value = text_of(headers[i][1])};
  char format[] = "format", names[] = "headers", create[] = "create";
  struct config_entry entries[] = {
      {.key = format, .value = text_of("bytes")},
      {.key = names, .value = {.kind = CONFIG_MAP, .entries = columns, .count = HEADERS}},
      {.key = create, .value = {.kind = CONFIG_MAP}},
  };
  struct config_node map = {.kind = CONFIG_MAP, .entries = entries, .count = sizeof entries / sizeof *entries};
  struct settings_context context = {.source = &d->source, .report = d->report};
  struct settings_owner owner = {.what = "the topic of dead letters"};
  settings_read(&context, &(const struct setting_table *){settings_find(SETTINGS_TOPIC, NULL)}, 1, &owner, &map, out);
}

static size_t topic_add(struct draft *d, const char *topic, const struct worker_kind *writer) {
  size_t index = node_add(
      d, (struct plan_node){.name = memory_print("dead_letters:%s", topic), .section = PLAN_TOPIC, .kind = writer, .at_brokers = true});
  struct plan_node *node = &d->plan->nodes[index];
  struct job_value kafka = job_get((struct job_value){.at = d->top.at, .end = d->top.at + d->top.length}, "kafka");
  const uint8_t *end = kafka.at;
  topic_settings(d, &node->settings);
  if (job_has(kafka) && msgpack_skip(&end, kafka.end)) plan_settings_add(node, "kafka", kafka.at, (size_t)(end - kafka.at));
  plan_settings_text(node, "topic", topic);
  plan_settings_text(node, "message", "message");
  return index;
}

// ---- the chain of one sink

static void source_settings(const struct plan_node *sink, struct buffer *out) {
  size_t room = SPARE + strlen(sink->name) + sink->settings.length;
  buffer_reserve(out, room);
  struct msgpack_writer w = {.at = out->at, .end = out->at + room};
  msgpack_write_map(&w, 3);
  msgpack_write_cstring(&w, "sink");
  msgpack_write_cstring(&w, sink->name);
  msgpack_write_cstring(&w, "kind");
  msgpack_write_cstring(&w, sink->kind->name);
  msgpack_write_cstring(&w, "settings");
  msgpack_write_raw(&w, sink->settings.at, sink->settings.length);
  out->length = (size_t)(w.at - out->at);
}

// A letter may be as large as a record of the chains before the sink.
static uint64_t ring_of(const struct plan *p, size_t sink) {
  uint64_t bytes = RING_LEAST;
  for (size_t c = 0; c < p->chain_count; c++)
    for (size_t w = 0; w < p->chains[c].worker_count; w++)
      if (p->chains[c].workers[w].node == sink)
        for (size_t up = 0; up < p->chains[c].worker_count; up++)
          if (2 * p->chains[c].workers[up].ring_bytes > bytes) bytes = 2 * p->chains[c].workers[up].ring_bytes;
  return bytes < RING_MOST ? bytes : RING_MOST;
}

static void chain_add(struct draft *d, size_t sink, size_t topic, const struct worker_kind *reader) {
  struct plan *p = d->plan;
  uint64_t ring_bytes = ring_of(p, sink);
  size_t source =
      node_add(d, (struct plan_node){.name = memory_print("letters:%s", p->nodes[sink].name), .section = PLAN_SOURCE, .kind = reader});
  source_settings(&p->nodes[sink], &p->nodes[source].settings);
  from_add(&p->nodes[source], sink);
  from_add(&p->nodes[topic], source);
  p->chains = memory_resize(p->chains, (p->chain_count + 1) * sizeof *p->chains);
  struct plan_chain *chain = &p->chains[p->chain_count++];
  *chain = (struct plan_chain){
      .source = (unsigned)source, .lanes = 1, .fed = true, .takes_turns = true, .fingerprint = memory_text(""), .worker_count = 2};
  chain->workers = memory_get(chain->worker_count * sizeof *chain->workers);
  chain->workers[0] =
      (struct plan_worker){.node = (unsigned)source, .kind = reader, .children = 1, .edge = memory_text(""), .ring_bytes = ring_bytes};
  chain->workers[1] =
      (struct plan_worker){.node = (unsigned)topic, .kind = p->nodes[topic].kind, .edge = memory_text(p->nodes[source].name)};
  plan_deal_dead_nodes(p, chain);
}

static bool is_in_a_chain(const struct plan *p, size_t node) {
  for (size_t c = 0; c < p->chain_count; c++)
    for (size_t w = 0; w < p->chains[c].worker_count; w++)
      if (p->chains[c].workers[w].node == node) return true;
  return false;
}

void plan_letters(struct draft *d) {
  struct plan *p = d->plan;
  const struct worker_kind *writer = worker_kind_find(WORKER_SINKER, "topic"), *reader = worker_kind_find(WORKER_PRODUCER, "letters");
  struct job_value top = {.at = d->top.at, .end = d->top.at + d->top.length};
  char *name = job_text(job_get(top, "dead_letters"), "topic", "");
  size_t own = p->node_count, topic = SIZE_MAX;
  for (size_t i = 0; i < own && *name && plan_has_brokers(d) && writer && reader; i++) {
    const struct plan_node *node = &p->nodes[i];
    if (node->section != PLAN_SINK || !node->kind->store || !is_in_a_chain(p, i)) continue;
    if (topic == SIZE_MAX) topic = topic_add(d, name, writer);
    chain_add(d, i, topic, reader);
  }
  free(name);
}
