// Whether rows that replace each other come in their order. Records with one key lie in one partition of a topic, and a partition belongs
// to one lane; so a table behind the topic with `mode: upsert` gets the rows of one key in order only where the table's key contains the
// topic's, and likewise at each topic further up that flows into that one. Of two partitions nobody promises which row comes last, so such
// a pipeline is warned of.
//
// Only what is known is told: the topic's key stands in this file, and the columns of the table's key are passed on unchanged on the way.
#include <stdlib.h>
#include <string.h>

#include "proto/job.h"
#include "supervisor/plan_build.h"
#include "supervisor/plan_report.h"

#define NOT_PROMISED "rows with one key may come from several partitions, and which of them is stored last is not promised"

// Topics may branch and meet again, so that the ways up to them double at each; nobody's pipeline has so many.
enum { WAYS_MOST = 200 };

// The key of one table on its way up.
struct keyed {
  struct draft *d;
  size_t sink;         // index of the table's node
  const char **fields; // what its columns are, where the way has come to; NULL: something that is not known
  size_t count;
};

// ---- what a column is further up

static const char *origin_of(const struct draft_node *node, const char *column) {
  for (size_t i = 0; i < node->column_count; i++)
    if (strcmp(node->columns[i].name, column) == 0) return node->columns[i].origin;
  return NULL;
}

// The field of the chain's source that arrives at worker `at` as `column`; NULL: not known.
static const char *trace(const struct draft *d, const struct plan_chain *chain, size_t at, const char *column) {
  for (size_t up = chain->workers[at].parent; column && up != 0; up = chain->workers[up].parent)
    column = origin_of(&d->nodes[chain->workers[up].node], column);
  return column;
}

static bool lists(struct job_value list, const char *name) {
  struct job_value one;
  bool found = false;
  for (struct job_walk walk = job_walk_start(list); job_walk_next(&walk, NULL, &one) && !found;) {
    char *text = job_value_text(one);
    found = text && strcmp(text, name) == 0;
    free(text);
  }
  return found;
}

static bool is_text(struct job_value settings, const char *name, const char *wanted) {
  char *text = job_text(settings, name, "");
  bool is = strcmp(text, wanted) == 0;
  free(text);
  return is;
}

// The column of what is written to the topic that comes out of it as `field`; NULL: not known.
static const char *above_topic(struct job_value writer, struct job_value reader, const char *field) {
  bool whole = (is_text(writer, "format", "json") && is_text(reader, "format", "json")) ||
               (is_text(writer, "format", "msgpack") && is_text(reader, "format", "msgpack"));
  if (!field || !whole || lists(job_get(reader, "metadata"), field)) return NULL;
  struct job_value value = job_get(writer, "value");
  return !job_has(value) || (lists(value, field) && !strpbrk(field, ".[")) ? field : NULL;
}

// ---- one topic

enum found { FOUND_NOT, FOUND, FOUND_MAYBE };

// Whether the table's key holds this column of the topic's key.
static enum found find_key(const struct keyed *k, const char *wanted) {
  enum found found = FOUND_NOT;
  for (size_t i = 0; i < k->count && found != FOUND; i++) {
    if (!k->fields[i])
      found = FOUND_MAYBE;
    else if (strcmp(k->fields[i], wanted) == 0)
      found = FOUND;
  }
  return found;
}

// Whether the table's key holds what the reader of a topic says of the record's place: one value of it is in one partition alone.
static bool has_place(const struct keyed *k, struct job_value reader, const char *name) {
  return lists(job_get(reader, "metadata"), name) && find_key(k, name) == FOUND;
}

static void warn(const struct keyed *k, const struct plan_node *topic, struct buffer *missing) {
  const struct plan_node *node = &k->d->plan->nodes[k->sink];
  const struct config_entry *entry = config_find(&k->d->nodes[k->sink].entry->value, "key");
  int line = entry ? entry->line : node->line, at = entry ? entry->column : node->column;
  if (!missing)
    plan_report_add(k->d->report, CHECK_WARNING, line, at, NULL, "sink `%s`: topic `%s` is written without a key, so " NOT_PROMISED,
                    node->name, topic->name);
  else
    plan_report_add(k->d->report, CHECK_WARNING, line, at, NULL,
                    "sink `%s`: topic `%s` is partitioned by %s, which is no part of this key, so " NOT_PROMISED, node->name, topic->name,
                    buffer_cstring(missing));
}

static void check_topic(const struct keyed *k, size_t writer, struct job_value reader) {
  const struct plan_node *topic = &k->d->plan->nodes[writer];
  struct job_value settings = plan_settings(topic), key = job_get(settings, "key"), one;
  int64_t partitions = k->d->nodes[writer].partitions;
  if (partitions == 0) partitions = job_int(job_get(settings, "create"), "partitions", 0);
  if (partitions == 1 || job_has(job_get(settings, "key_sql")) || has_place(k, reader, "_partition")) return;
  if (!job_has(key)) {
    warn(k, topic, NULL);
    return;
  }
  struct buffer missing = {0};
  bool sure = !has_place(k, reader, "_key");
  for (struct job_walk walk = job_walk_start(key); job_walk_next(&walk, NULL, &one);) {
    char *column = job_value_text(one);
    enum found found = column ? find_key(k, column) : FOUND_MAYBE;
    sure &= found != FOUND_MAYBE;
    if (found == FOUND_NOT) buffer_print(&missing, "%s`%s`", missing.length ? ", " : "", column);
    free(column);
  }
  if (sure && missing.length > 0) warn(k, topic, &missing);
  buffer_free(&missing);
}

// ---- the way up

static void climb(const struct keyed *below, const struct plan_chain *chain, size_t at, unsigned *ways);

// From a topic to all that write it, once its own key was looked at.
static void climb_over(const struct keyed *k, size_t writer, struct job_value reader, unsigned *ways) {
  const struct plan *p = k->d->plan;
  struct keyed above = *k;
  above.fields = memory_get((k->count + 1) * sizeof *above.fields);
  for (size_t i = 0; i < k->count; i++) above.fields[i] = above_topic(plan_settings(&p->nodes[writer]), reader, k->fields[i]);
  for (size_t c = 0; c < p->chain_count; c++)
    for (size_t w = 1; w < p->chains[c].worker_count; w++)
      if (p->chains[c].workers[w].node == writer) climb(&above, &p->chains[c], w, ways);
  free(above.fields);
}

// From worker `at`, whose input has the fields, to the beginning of its chain.
static void climb(const struct keyed *below, const struct plan_chain *chain, size_t at, unsigned *ways) {
  const struct plan *p = below->d->plan;
  const struct plan_node *source = &p->nodes[chain->source];
  if (*ways == 0 || !source->at_brokers) return;
  --*ways;
  struct keyed k = *below;
  k.fields = memory_get((k.count + 1) * sizeof *k.fields);
  for (size_t i = 0; i < k.count; i++) k.fields[i] = trace(k.d, chain, at, below->fields[i]);
  for (size_t w = 0; w < p->node_count; w++) {
    if (!plan_topic_same(p, w, chain->source)) continue;
    check_topic(&k, w, plan_settings(source));
    climb_over(&k, w, plan_settings(source), ways);
  }
  free(k.fields);
}

static void check_sink(struct draft *d, const struct plan_chain *chain, size_t at) {
  struct keyed k = {.d = d, .sink = chain->workers[at].node};
  struct job_value one;
  unsigned ways = WAYS_MOST;
  char **columns = NULL;
  for (struct job_walk walk = job_walk_start(job_get(plan_settings(&d->plan->nodes[k.sink]), "key")); job_walk_next(&walk, NULL, &one);) {
    columns = memory_resize(columns, (k.count + 1) * sizeof *columns);
    columns[k.count++] = job_value_text(one);
  }
  k.fields = memory_get((k.count + 1) * sizeof *k.fields);
  for (size_t i = 0; i < k.count; i++) k.fields[i] = columns[i];
  climb(&k, chain, at, &ways);
  for (size_t i = 0; i < k.count; i++) free(columns[i]);
  free(columns);
  free(k.fields);
}

void plan_check_keys(struct draft *d) {
  const struct plan *p = d->plan;
  for (size_t c = 0; c < p->chain_count; c++)
    for (size_t w = 1; w < p->chains[c].worker_count; w++) {
      const struct plan_node *node = &p->nodes[p->chains[c].workers[w].node];
      if (node->section == PLAN_SINK && is_text(plan_settings(node), "mode", "upsert")) check_sink(d, &p->chains[c], w);
    }
}
