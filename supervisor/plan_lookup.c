// Lookups in the plan: which transforms join which, by which columns, and which of them run.
#include <stdlib.h>
#include <string.h>

#include "proto/job.h"
#include "proto/msgpack.h"
#include "supervisor/plan_build.h"
#include "supervisor/plan_report.h"

size_t plan_lookup_list(const struct draft *d, struct check_lookup *list, size_t *nodes) {
  const struct plan *p = d->plan;
  size_t count = 0;
  for (size_t i = 0; i < p->node_count; i++) {
    if (p->nodes[i].section != PLAN_LOOKUP) continue;
    if (list) list[count] = (struct check_lookup){.name = p->nodes[i].name, .settings = plan_settings(&p->nodes[i])};
    if (nodes) nodes[count] = i;
    count++;
  }
  return count;
}

void plan_lookup_link(struct draft *d, size_t index, struct check *c) {
  struct plan_node *node = &d->plan->nodes[index];
  struct draft_node *draft = &d->nodes[index];
  size_t *nodes = memory_get((d->plan->node_count + 1) * sizeof *nodes);
  size_t count = plan_lookup_list(d, NULL, nodes);
  for (size_t n = 0; c->joins && n < count; n++) {
    if (!c->joins[n]) continue;
    node->lookups = memory_resize(node->lookups, (node->lookup_count + 1) * sizeof *node->lookups);
    node->lookups[node->lookup_count++] = (unsigned)nodes[n];
  }
  // From here on an index names its lookup by its node.
  for (size_t i = 0; i < c->index_count; i++) c->indexes[i].lookup = nodes[c->indexes[i].lookup];
  draft->indexes = c->indexes;
  draft->index_count = c->index_count;
  c->indexes = NULL;
  c->index_count = 0;
  free(nodes);
}

// ---- indexes

static bool is_same(const struct check_index *a, const struct check_index *b) {
  if (a->lookup != b->lookup || a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++)
    if (strcmp(a->columns[i], b->columns[i]) != 0) return false;
  return true;
}

// The different ones that the transforms want of one lookup, into `found` (room for all). How many.
static size_t collect(const struct draft *d, size_t lookup, const struct check_index **found) {
  size_t count = 0;
  for (size_t n = 0; n < d->node_count; n++) {
    for (size_t i = 0; i < d->nodes[n].index_count; i++) {
      const struct check_index *index = &d->nodes[n].indexes[i];
      bool known = index->lookup != lookup;
      for (size_t k = 0; k < count && !known; k++) known = is_same(found[k], index);
      if (!known) found[count++] = index;
    }
  }
  return count;
}

// The setting `indexes` is the plan's own: a list of lists of columns, in front of what the file says.
static void put_indexes(struct plan_node *node, const struct check_index *const *indexes, size_t count) {
  struct buffer all = {0};
  const uint8_t *at = node->settings.at, *end = at + node->settings.length;
  struct msgpack_value map;
  size_t room = 64;
  if (!msgpack_read(&at, end, &map) || map.type != MSGPACK_MAP) return;
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < indexes[i]->count; k++) room += strlen(indexes[i]->columns[k]) + 16;
  buffer_reserve(&all, room + count * 8);
  struct msgpack_writer w = {.at = all.at, .end = all.at + all.room};
  msgpack_write_map(&w, map.length + 1);
  msgpack_write_cstring(&w, "indexes");
  msgpack_write_array(&w, (uint32_t)count);
  for (size_t i = 0; i < count; i++) {
    msgpack_write_array(&w, (uint32_t)indexes[i]->count);
    for (size_t k = 0; k < indexes[i]->count; k++) msgpack_write_cstring(&w, indexes[i]->columns[k]);
  }
  all.length = (size_t)(w.at - all.at);
  buffer_add(&all, at, (size_t)(end - at));
  buffer_free(&node->settings);
  node->settings = all;
}

void plan_lookups_index(struct draft *d) {
  size_t most = 0;
  for (size_t n = 0; n < d->node_count; n++) most += d->nodes[n].index_count;
  const struct check_index **found = memory_get((most + 1) * sizeof *found);
  for (size_t n = 0; n < d->plan->node_count && most > 0; n++) {
    size_t count = d->plan->nodes[n].section == PLAN_LOOKUP ? collect(d, n, found) : 0;
    if (count > 0) put_indexes(&d->plan->nodes[n], found, count);
  }
  free(found);
}

// ---- workers

static bool is_joined(const struct plan *p, size_t lookup) {
  for (size_t c = 0; c < p->chain_count; c++) {
    for (size_t w = 0; w < p->chains[c].worker_count; w++) {
      const struct plan_node *node = &p->nodes[p->chains[c].workers[w].node];
      for (size_t l = 0; l < node->lookup_count; l++)
        if (node->lookups[l] == lookup) return true;
    }
  }
  return false;
}

static void grow(struct draft *d, size_t index) {
  struct plan *p = d->plan;
  const struct plan_node *node = &p->nodes[index];
  p->lookups = memory_resize(p->lookups, (p->lookup_count + 1) * sizeof *p->lookups);
  struct plan_chain *chain = &p->lookups[p->lookup_count++];
  *chain = (struct plan_chain){.source = (unsigned)index, .lanes = 1, .worker_count = 1};
  chain->fingerprint = settings_fingerprint(d->nodes[index].table, node->settings.at, node->settings.length);
  chain->workers = memory_get(sizeof *chain->workers);
  chain->workers[0] = (struct plan_worker){.node = (unsigned)index, .kind = node->kind, .edge = memory_text("")};
}

void plan_lookups_grow(struct draft *d) {
  struct plan *p = d->plan;
  for (size_t i = 0; i < p->node_count; i++) {
    const struct plan_node *node = &p->nodes[i];
    if (node->section != PLAN_LOOKUP || !node->kind) continue;
    if (is_joined(p, i))
      grow(d, i);
    else
      plan_report_add(d->report, CHECK_WARNING, node->line, node->column, NULL,
                      "no transform that runs joins lookup `%s`: it is not loaded", node->name);
  }
}
