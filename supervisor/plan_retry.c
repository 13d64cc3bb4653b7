// See plan_retry.h. A chain is a copy of a branch of the plan's trees under a root of its own; edges begin with the new root's name, so
// that a sink's positions of what is retried stand beside those of the usual way, never in them.
#include "supervisor/plan_retry.h"

#include <stdlib.h>
#include <string.h>

#include "proto/job.h"
#include "proto/msgpack.h"
#include "supervisor/plan_build.h"

enum { SETTINGS_ROOM = 512 };

static const char root_prefix[] = "retry:";

void plan_retry_reserve(struct plan *plan) {
  // Every node can get two more nodes and chains: a topic has two keys.
  plan->nodes = memory_resize(plan->nodes, (3 * plan->node_count + 1) * sizeof *plan->nodes);
  plan->chains = memory_resize(plan->chains, (plan->chain_count + 2 * plan->node_count + 1) * sizeof *plan->chains);
  plan->retry_room = 2 * plan->node_count;
}

// ---- the branch

// The first worker in the plan's own chains that runs this node: of a topic that is written and read the one that is meant.
static const struct plan_chain *branch_find(const struct plan *plan, size_t node, bool written, size_t *worker) {
  bool both = plan->nodes[node].kind && plan->nodes[node].reader;
  for (size_t c = 0; c < plan->chain_count; c++)
    for (size_t w = 0; !plan->chains[c].retry && w < plan->chains[c].worker_count; w++) {
      if (plan->chains[c].workers[w].node != node || (both && (w > 0) != written)) continue;
      *worker = w;
      return &plan->chains[c];
    }
  return NULL;
}

// The edge behind the new root: what stood in front of the node is replaced by the root's name.
static char *edge_of(const struct plan_chain *from, size_t branch, size_t worker, bool of_source, const char *root, const char *node) {
  const struct plan_worker *top = &from->workers[branch], *w = &from->workers[worker];
  if (of_source) return memory_print("%s%s", root, w->edge + strlen(node));
  if (worker == branch) return memory_text(root);
  return memory_print("%s%s", root, w->edge + strlen(top->edge));
}

// Copies the workers below `branch` (and itself, unless the root takes its place). Parents come before children, so one pass does it.
static void branch_copy(struct plan_chain *chain, const struct plan_chain *from, size_t branch, bool of_source, const char *root,
                        const char *node) {
  size_t *copied = memory_get(from->worker_count * sizeof *copied); // 0: not copied; else the index in the new chain plus one
  if (of_source) copied[branch] = 1;
  for (size_t w = of_source ? branch + 1 : branch; w < from->worker_count; w++) {
    const struct plan_worker *old = &from->workers[w];
    bool top = w == branch;
    if (!top && copied[old->parent] == 0) continue;
    struct plan_worker *made = &chain->workers[chain->worker_count++];
    *made = *old;
    made->parent = top ? 0 : (unsigned)(copied[old->parent] - 1);
    if (top) made->reader = 0;
    // Its SQL goes on reading what it reads by the name that the file gives it.
    const char *last = strrchr(old->edge, '>');
    made->input = last ? last + 1 : old->edge;
    made->edge = edge_of(from, branch, w, of_source, root, node);
    made->dead_nodes = NULL;
    made->dead_node_count = 0;
    copied[w] = chain->worker_count;
  }
  free(copied);
}

// ---- the root

static void store_put(struct msgpack_writer *w, const struct plan_node *sink) {
  msgpack_write_map(w, 3);
  msgpack_write_cstring(w, "sink");
  msgpack_write_cstring(w, sink->name);
  msgpack_write_cstring(w, "kind");
  msgpack_write_cstring(w, sink->kind->name);
  msgpack_write_cstring(w, "settings");
  if (sink->settings.length > 0)
    msgpack_write_raw(w, sink->settings.at, sink->settings.length);
  else
    msgpack_write_map(w, 0);
}

// Whether a worker of this sink stands in the chain before index `before`.
static bool is_before(const struct plan_chain *chain, size_t before, unsigned node) {
  for (size_t w = 1; w < before; w++)
    if (chain->workers[w].node == node) return true;
  return false;
}

static bool is_store(const struct plan_chain *chain, size_t w) {
  return chain->workers[w].kind->role == WORKER_SINKER && !is_before(chain, w, chain->workers[w].node);
}

static const enum plan_section sections[] = {
    [WORKER_PRODUCER] = PLAN_SOURCE, [WORKER_TRANSFORMER] = PLAN_TRANSFORM, [WORKER_SINKER] = PLAN_SINK};

// Only the sinks behind a node can have stored its letters.
static void root_settings(const struct plan *plan, const struct plan_chain *chain, const struct plan_node *of,
                          const struct worker_kind *of_kind, struct buffer *out) {
  bool of_source = of_kind->role == WORKER_PRODUCER && of->settings.length > 0;
  size_t room = SETTINGS_ROOM + strlen(of->name) + (of_source ? of->settings.length : 0);
  uint32_t stores = 0;
  for (size_t w = 1; w < chain->worker_count; w++) {
    if (!is_store(chain, w)) continue;
    room += SETTINGS_ROOM + plan->nodes[chain->workers[w].node].settings.length;
    stores++;
  }
  buffer_reserve(out, room);
  struct msgpack_writer writer = {.at = out->at, .end = out->at + room};
  msgpack_write_map(&writer, of_source ? 5 : 4);
  if (of_source) {
    msgpack_write_cstring(&writer, "of_settings");
    msgpack_write_raw(&writer, of->settings.at, of->settings.length);
  }
  msgpack_write_cstring(&writer, "node");
  msgpack_write_cstring(&writer, of->name);
  msgpack_write_cstring(&writer, "of");
  msgpack_write_cstring(&writer, plan_section_word(sections[of_kind->role]));
  msgpack_write_cstring(&writer, "of_kind");
  msgpack_write_cstring(&writer, of_kind->name);
  msgpack_write_cstring(&writer, "stores");
  msgpack_write_array(&writer, stores);
  for (size_t w = 1; w < chain->worker_count; w++)
    if (is_store(chain, w)) store_put(&writer, &plan->nodes[chain->workers[w].node]);
  out->length = (size_t)(writer.at - out->at);
}

static uint64_t ring_of_root(const struct plan_chain *from, size_t branch, bool of_source) {
  return of_source ? from->workers[branch].ring_bytes : from->workers[from->workers[branch].parent].ring_bytes;
}

// `name` is that of the new root: "retry:" and the key.
static const struct plan_chain *chain_make(struct plan *plan, size_t node, bool written, char *name) {
  size_t branch;
  const struct plan_chain *from = branch_find(plan, node, written, &branch);
  const struct worker_kind *kind = worker_kind_find(WORKER_PRODUCER, "retry");
  if (!from || !kind || plan->retry_room == 0) {
    free(name);
    return NULL;
  }
  plan->retry_room--;
  const struct plan_node *of = &plan->nodes[node];
  bool of_source = branch == 0;
  size_t root = plan->node_count++;
  plan->nodes[root] = (struct plan_node){.name = name, .section = PLAN_SOURCE, .kind = kind, .line = of->line, .column = of->column};
  struct plan_chain *chain = &plan->chains[plan->chain_count++];
  *chain = (struct plan_chain){.source = (unsigned)root, .lanes = 1, .retry = name + strlen(root_prefix), .fingerprint = memory_text("")};
  chain->workers = memory_get((from->worker_count + 1) * sizeof *chain->workers);
  chain->workers[chain->worker_count++] = (struct plan_worker){.node = (unsigned)root,
                                                               .kind = kind,
                                                               .children = of_source ? from->workers[branch].children : 1,
                                                               .edge = memory_text(""),
                                                               .ring_bytes = ring_of_root(from, branch, of_source)};
  branch_copy(chain, from, branch, of_source, name, of->name);
  plan_deal_dead_nodes(plan, chain);
  root_settings(plan, chain, of, from->workers[branch].kind, &plan->nodes[root].settings);
  return chain;
}

char *plan_retry_key(const struct plan_node *node, const struct plan_node *sink) {
  return memory_print("%s%s", node == sink && node->reader ? RETRY_TO : "", node->name);
}

const struct plan_chain *plan_retry_chain(struct plan *plan, const char *key) {
  for (size_t c = 0; c < plan->chain_count; c++)
    if (plan->chains[c].retry && strcmp(plan->chains[c].retry, key) == 0) return &plan->chains[c];
  bool written = strncmp(key, RETRY_TO, strlen(RETRY_TO)) == 0;
  size_t index = plan_node_find(plan, written ? key + strlen(RETRY_TO) : key);
  if (index == plan->node_count || !(plan->nodes[index].kind || plan->nodes[index].reader)) return NULL;
  return chain_make(plan, index, written, memory_print("%s%s", root_prefix, key));
}

bool plan_retry_reaches(const struct plan *plan, const char *node, const char *sink) {
  for (size_t c = 0; c < plan->chain_count; c++) {
    const struct plan_worker *workers = plan->chains[c].workers;
    for (size_t w = 0; w < plan->chains[c].worker_count; w++) {
      if (strcmp(plan->nodes[workers[w].node].name, sink) != 0) continue;
      for (size_t at = w;; at = workers[at].parent) {
        if (strcmp(plan->nodes[workers[at].node].name, node) == 0) return true;
        if (at == 0) break;
      }
    }
  }
  return false;
}
