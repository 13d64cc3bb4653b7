// The plan: what a checked pipeline file means as nodes, chains and workers. Made by plan_make from the file, carried out by the rest of
// the supervisor, drawn by `weir graph`. Holds settings as msgpack (proto/job.h), never records.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "workers/workers.h"

enum plan_section { PLAN_SOURCE, PLAN_TRANSFORM, PLAN_TOPIC, PLAN_LOOKUP, PLAN_SINK };

struct plan_node {
  char *name;
  enum plan_section section;
  const struct worker_kind *kind;   // NULL for a topic without brokers: records pass on, no worker; of a topic at brokers: the writer
  const struct worker_kind *reader; // a topic at brokers that something reads: the root of a chain of its own
  bool at_brokers;                  // a topic that cuts chains: kind, reader or both, each with the name of the node
  struct buffer settings;           // msgpack map, typed, defaults filled in
  unsigned *from;
  size_t from_count; // indexes of the nodes it reads (a transform: those that its SQL names)
  unsigned *lookups;
  size_t lookup_count; // a transform: indexes of the lookups that its SQL joins
  int line, column;    // where it stands in the file
  bool copies;         // made by the plan: it copies dead letters into a topic, and counts for nobody
  char *form;          // a transform: how it runs ("batch", "one by one: ...")
};

// One worker of a chain. Index 0 of a chain is its source; parents come before children.
struct plan_worker {
  unsigned node; // index in nodes
  const struct worker_kind *kind;
  unsigned parent;     // index in the chain; its own index for the source
  unsigned reader;     // which reader of the parent's ring it is
  unsigned children;   // readers of its own ring; 0 for a sink
  char *edge;          // node names from the source to the parent, topics included, joined by ">"
  const char *input;   // the name by which its SQL reads its input, where the edge does not end with it; NULL: it does
  uint64_t ring_bytes; // capacity of its output ring; 0 for a sink
  unsigned *dead_nodes;
  size_t dead_node_count; // a sink: nodes whose dead letters it stores (plan_deal_dead_nodes)
};

struct plan_chain {  // one source, or topic that is read, and everything behind it; it runs in `lanes` copies
  const char *retry; // the node whose dead letters it sends again (plan_retry.h); NULL: an ordinary chain
  unsigned source;   // index in nodes
  bool fed;          // what its source reads is written by other chains of this plan: with --once it ends after them
  bool shared;       // other instances may take its streams over while it runs
  bool takes_turns;  // of several instances one runs it; who is taken over waits for its turn and does not end
  unsigned lanes;    // 1..LIMIT_LANES
  char *fingerprint; // hash of the source's settings that decide what flows
  struct plan_worker *workers;
  size_t worker_count;
};

struct plan {
  char *file, *pipeline, *state; // state: absolute path of the state folder
  struct plan_node *nodes;
  size_t node_count;
  struct plan_chain *chains;
  size_t chain_count;
  struct plan_chain *lookups; // those that some chain joins: one worker each, which writes no ring
  size_t lookup_count;
  size_t retry_room;         // chains of retries that there is still room for
  double stop_above;         // dead_letters.stop_above, 0..1
  uint64_t dead_store_bytes; // dead_letters.max_bytes
  uint64_t drain_ms;         // drain_timeout: how long a stop waits for the rings to empty
  char *text;                // the file as read
};

// What stands in the way, or is worth knowing, with its place in the file.
struct plan_message {
  enum check_level level;
  int line, column; // from 1
  int width;        // characters that it is about; 0: the word that begins there
  char *text, *suggestion;
};
// What is no reader's business in the file: from one character to another, both included.
struct plan_cover {
  int line, column, last_line, last_column;
};
struct plan_report {
  struct plan_message *messages;
  size_t count;
  struct plan_cover *covers;
  size_t cover_count;
  bool failed; // at least one CHECK_ERROR
};

struct plan_options {
  const char *file;
  const char *state; // --state, or NULL
  bool connect;      // try the targets
  bool once;         // for a run with --once: a source that has no end is an error
};

// Reads, checks and plans; every error of the file lands in the report, not only the first. NULL when it failed (the report says why).
struct plan *plan_make(const struct plan_options *options, struct plan_report *report);
void plan_free(struct plan *plan);

// What a node is when it runs. A topic at brokers may be both; one without brokers is neither.
bool plan_is_root(const struct plan_node *node);   // a chain begins with it
bool plan_is_sink(const struct plan_node *node);   // branches end with it
bool plan_passes_on(const struct plan_node *node); // a topic without brokers: no worker
// How people see the kind of a worker: "http", "topic_reader".
const char *plan_kind_name(const struct plan_node *node, const struct worker_kind *kind);
// "written and read", "written", "read", "not used": a topic at brokers.
const char *plan_topic_use(const struct plan_node *node);
// Whether a worker of `chain` writes the topic that `reader` (another chain, or the same one) reads.
bool plan_chain_feeds(const struct plan *plan, const struct plan_chain *chain, const struct plan_chain *reader);
// Prints "file:line:col: error: text", the line, a caret, "did you mean ...?" to `out`. Colours only when `colour`.
void plan_report_print(const struct plan_report *report, const char *file, const char *text, bool colour, struct buffer *out);
void plan_report_free(struct plan_report *report);
