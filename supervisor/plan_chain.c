// Trees out of the graph: one chain for each source. A node with several inputs stands in the tree once for each way from the source to it,
// so every worker has exactly one input ring. Branches without a sink are cut off: nobody would empty their rings.
#include <glob.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "proto/job.h"
#include "proto/limits.h"
#include "shm/ring.h"
#include "supervisor/plan_build.h"
#include "supervisor/plan_report.h"

enum {
  RING_BYTES = 2 << 20,
  RING_BYTES_TOPIC = 4 << 20, // a quarter of it takes the largest message that brokers take by default
  RING_BYTES_LARGE = 8 << 20, // COPY and transactions of Kafka take large batches: a small ring would make them wait
  CHAIN_WORKERS = 64,
};

struct growth {
  struct draft *d;
  struct plan_chain *chain;
  bool *useful; // per node: a sink stands behind it
  bool full;    // over a limit: ways may double at every step, so growing ends at once
};

// ---- which nodes have a sink behind them

static bool mark_useful(const struct plan *p, size_t index, bool *useful, bool *known) {
  if (known[index]) return useful[index];
  known[index] = true;
  useful[index] = plan_is_sink(&p->nodes[index]);
  for (size_t i = 0; i < p->node_count; i++)
    for (size_t f = 0; f < p->nodes[i].from_count; f++)
      if (p->nodes[i].from[f] == index && mark_useful(p, i, useful, known)) useful[index] = true;
  return useful[index];
}

static void warn_of_dead_ends(struct draft *d, const bool *useful) {
  const struct plan *p = d->plan;
  for (size_t i = 0; i < p->node_count; i++) {
    const struct plan_node *node = &p->nodes[i];
    if (useful[i] || node->section == PLAN_TOPIC || node->section == PLAN_LOOKUP) continue;
    plan_report_add(d->report, CHECK_WARNING, node->line, node->column, NULL, "no sink reads what %s `%s` gives: it does not run",
                    plan_section_word(node->section), node->name);
  }
}

// ---- rings

static bool takes_large_batches(const struct plan_node *node) {
  if (node->section == PLAN_TOPIC) return node->at_brokers && node->kind;
  if (node->section != PLAN_SINK || strcmp(node->kind->name, "table") != 0) return false;
  char *url = job_text(plan_settings(node), "url", ""), *mode = job_text(plan_settings(node), "mode", "");
  bool copy = strcmp(mode, "append") == 0 && strncmp(url, "sqlite:", 7) != 0;
  free(url);
  free(mode);
  return copy;
}

static uint64_t ring_bytes(const struct growth *g, size_t parent) {
  struct job_value top = {.at = g->d->top.at, .end = g->d->top.at + g->d->top.length};
  const struct plan *p = g->d->plan;
  int64_t bytes = job_int(top, "ring", 0);
  int64_t own = job_int(plan_settings(&p->nodes[g->chain->workers[parent].node]), "ring", 0);
  if (own > 0) return (uint64_t)own;
  if (bytes > 0) return (uint64_t)bytes;
  for (size_t i = parent + 1; i < g->chain->worker_count; i++)
    if (g->chain->workers[i].parent == parent && takes_large_batches(&p->nodes[g->chain->workers[i].node])) return RING_BYTES_LARGE;
  return p->nodes[g->chain->source].at_brokers ? RING_BYTES_TOPIC : RING_BYTES;
}

// ---- growing

static void grow_behind(struct growth *g, size_t parent, size_t node, const char *edge);

static void grow_worker(struct growth *g, size_t parent, size_t node, const char *edge) {
  struct plan_chain *chain = g->chain;
  const struct plan_node *n = &g->d->plan->nodes[node];
  if (chain->worker_count == CHAIN_WORKERS) {
    plan_report_add(g->d->report, CHECK_ERROR, n->line, n->column, NULL,
                    "source `%s` unfolds into more than %d workers: a node that reads several others runs once for each way to it",
                    g->d->plan->nodes[chain->source].name, CHAIN_WORKERS);
    g->full = true;
    return;
  }
  struct plan_worker *up = &chain->workers[parent];
  if (up->children == RING_READERS_MAX) {
    const struct plan_node *read = &g->d->plan->nodes[up->node];
    plan_report_add(g->d->report, CHECK_ERROR, read->line, read->column, NULL, "more than %d nodes read `%s`", RING_READERS_MAX,
                    read->name);
    g->full = true;
    return;
  }
  unsigned reader = up->children++;
  chain->workers = memory_resize(chain->workers, (chain->worker_count + 1) * sizeof *chain->workers);
  size_t self = chain->worker_count++;
  chain->workers[self] = (struct plan_worker){
      .node = (unsigned)node, .kind = n->kind, .parent = (unsigned)parent, .reader = reader, .edge = memory_text(edge)};
  if (plan_is_sink(n)) return;
  char *longer = memory_print("%s>%s", edge, n->name);
  grow_behind(g, self, node, longer);
  free(longer);
}

// Everything that reads `node`, whose records worker `parent` writes. Without brokers topics have no worker: what reads them reads the
// same ring.
static void grow_behind(struct growth *g, size_t parent, size_t node, const char *edge) {
  const struct plan *p = g->d->plan;
  for (size_t i = 0; i < p->node_count && !g->full; i++) {
    if (!g->useful[i]) continue;
    for (size_t f = 0; f < p->nodes[i].from_count; f++) {
      if (p->nodes[i].from[f] != node) continue;
      if (plan_passes_on(&p->nodes[i])) {
        char *longer = memory_print("%s>%s", edge, p->nodes[i].name);
        grow_behind(g, parent, i, longer);
        free(longer);
      } else {
        grow_worker(g, parent, i, edge);
      }
    }
  }
}

// ---- dead letters

static bool is_behind(const struct plan_chain *chain, size_t worker, size_t above) {
  while (worker > above) worker = chain->workers[worker].parent;
  return worker == above;
}

// Whether weir can list what the sink keeps, and send it again: not so where its letters are messages of `dead_letters.topic`.
static bool keeps_letters(const struct plan_node *sink) {
  return sink->kind->store && !job_has(job_get(plan_settings(sink), "dead_topic"));
}

// Which of two sinks gets the letters of a node before both: the order of the sections in the file must not decide what can be retried.
static bool is_better(const struct plan *p, unsigned sink, unsigned than) {
  bool keeps = keeps_letters(&p->nodes[sink]);
  if (keeps != keeps_letters(&p->nodes[than])) return keeps;
  return sink < than;
}

// Each worker's dead letters go to one sink behind it: the first in the file that keeps letters, or the first one if none does.
void plan_deal_dead_nodes(const struct plan *p, struct plan_chain *chain) {
  for (size_t w = 0; w < chain->worker_count; w++) {
    size_t first = chain->worker_count;
    if (chain->workers[w].kind->role == WORKER_SINKER) continue;
    for (size_t s = w + 1; s < chain->worker_count; s++) {
      if (chain->workers[s].kind->role != WORKER_SINKER || !is_behind(chain, s, w)) continue;
      if (first == chain->worker_count || is_better(p, chain->workers[s].node, chain->workers[first].node)) first = s;
    }
    if (first == chain->worker_count) continue;
    struct plan_worker *sink = &chain->workers[first];
    sink->dead_nodes = memory_resize(sink->dead_nodes, (sink->dead_node_count + 1) * sizeof *sink->dead_nodes);
    sink->dead_nodes[sink->dead_node_count++] = chain->workers[w].node;
  }
}

// ---- lanes

static int64_t core_count(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set);
}

// Of an existing topic only the brokers know; where weir creates it, the file does.
static int64_t topic_partitions(struct job_value settings) {
  int64_t created = job_has(job_get(settings, "from")) ? job_int(job_get(settings, "create"), "partitions", 0) : 0;
  return created > 0 ? created : LIMIT_LANES;
}

// Files that the source's patterns name now. `open`: more may come, so that the number bounds nothing.
static int64_t file_count(struct job_value settings, bool *open) {
  struct job_walk walk = job_walk_start(job_get(settings, "path"));
  struct job_value one;
  int64_t count = 0;
  *open = false;
  while (job_walk_next(&walk, NULL, &one)) {
    char *pattern = job_value_text(one);
    glob_t found;
    if (pattern && glob(pattern, 0, NULL, &found) == 0) {
      count += (int64_t)found.gl_pathc;
      globfree(&found);
    }
    if (pattern && strpbrk(pattern, "*?[") && job_bool(settings, "follow", false)) *open = true;
    free(pattern);
  }
  return count > 0 ? count : 1;
}

static unsigned lane_count(struct draft *d, size_t source) {
  const struct plan_node *node = &d->plan->nodes[source];
  struct job_value settings = plan_settings(node);
  int64_t partitions = 1, wanted = job_int(settings, "lanes", 0), cores = core_count();
  bool open = node->at_brokers;
  if (open)
    partitions = topic_partitions(settings);
  else if (strcmp(node->kind->name, "generate") == 0)
    partitions = job_int(settings, "partitions", 1);
  else if (strcmp(node->kind->name, "file") == 0)
    partitions = file_count(settings, &open);
  if (wanted > partitions && !open) {
    plan_report_add(d->report, CHECK_WARNING, node->line, node->column, NULL,
                    "source `%s` has %lld partition%s: %s run%s instead of %lld lanes", node->name, (long long)partitions,
                    partitions == 1 ? "" : "s", partitions == 1 ? "1 lane" : "so many", partitions == 1 ? "s" : "", (long long)wanted);
    wanted = partitions;
  }
  if (wanted == 0) wanted = cores < partitions ? cores : partitions;
  return (unsigned)(wanted < 1 ? 1 : wanted > LIMIT_LANES ? LIMIT_LANES : wanted);
}

static bool is_shared(const struct plan_node *node) {
  char *assign = job_text(plan_settings(node), "assign", "");
  bool shared = node->at_brokers && strcmp(assign, "group") == 0;
  free(assign);
  return shared;
}

static void grow_chain(struct draft *d, size_t source, bool *useful) {
  struct plan *p = d->plan;
  p->chains = memory_resize(p->chains, (p->chain_count + 1) * sizeof *p->chains);
  struct plan_chain *chain = &p->chains[p->chain_count++];
  const struct plan_node *root = &p->nodes[source];
  *chain = (struct plan_chain){.source = (unsigned)source, .lanes = lane_count(d, source), .shared = is_shared(root)};
  chain->fingerprint = settings_fingerprint(d->nodes[source].table, p->nodes[source].settings.at, p->nodes[source].settings.length);
  chain->workers = memory_get(sizeof *chain->workers);
  chain->workers[0] =
      (struct plan_worker){.node = (unsigned)source, .kind = root->reader ? root->reader : root->kind, .edge = memory_text("")};
  chain->worker_count = 1;
  struct growth g = {.d = d, .chain = chain, .useful = useful};
  grow_behind(&g, 0, source, p->nodes[source].name);
  for (size_t i = 0; i < chain->worker_count; i++)
    if (chain->workers[i].children > 0) chain->workers[i].ring_bytes = ring_bytes(&g, i);
  plan_deal_dead_nodes(p, chain);
}

// Whether a chain begins at the node: something useful reads it.
static bool is_read(const struct plan *p, size_t index, const bool *useful) {
  for (size_t i = 0; i < p->node_count; i++)
    for (size_t f = 0; f < p->nodes[i].from_count; f++)
      if (p->nodes[i].from[f] == index && useful[i]) return true;
  return false;
}

static void find_feeders(struct plan *p) {
  for (size_t r = 0; r < p->chain_count; r++)
    for (size_t c = 0; c < p->chain_count; c++)
      if (plan_chain_feeds(p, &p->chains[c], &p->chains[r])) p->chains[r].fed = true;
}

void plan_grow(struct draft *d) {
  struct plan *p = d->plan;
  bool *useful = memory_get((p->node_count + 1) * sizeof *useful);
  bool *known = memory_get((p->node_count + 1) * sizeof *known);
  for (size_t i = 0; i < p->node_count; i++) mark_useful(p, i, useful, known);
  warn_of_dead_ends(d, useful);
  for (size_t i = 0; i < p->node_count; i++)
    if (plan_is_root(&p->nodes[i]) && is_read(p, i, useful)) grow_chain(d, i, useful);
  find_feeders(p);
  plan_lookups_grow(d);
  if (p->chain_count == 0) plan_report_add(d->report, CHECK_ERROR, 1, 1, NULL, "nothing flows: no sink is reached from any source");
  free(useful);
  free(known);
}
