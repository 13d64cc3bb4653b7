// Whether rows that replace each other come in their order. Records with one key lie in one partition of a topic, and a partition belongs
// to one lane; so a table behind the topic with `mode: upsert` gets the rows of one key in order only where the table's key contains the
// topic's. Of two partitions nobody promises which row comes last, so such a pipeline is warned of.
//
// Only what is known is told: the topic's key stands in this file, and the columns of the table's key are passed on unchanged on the way.
#include <stdlib.h>
#include <string.h>

#include "proto/job.h"
#include "supervisor/plan_build.h"
#include "supervisor/plan_report.h"

#define NOT_PROMISED "rows with one key may come from several partitions, and which of them is stored last is not promised"

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

static bool is_upsert(const struct plan_node *node) {
  char *mode = job_text(plan_settings(node), "mode", "");
  bool upsert = node->section == PLAN_SINK && strcmp(mode, "upsert") == 0;
  free(mode);
  return upsert;
}

enum found { FOUND_NOT, FOUND, FOUND_MAYBE };

// Whether the table's key holds this column of the topic's key.
static enum found find_key(const struct draft *d, const struct plan_chain *chain, size_t sink, const char *wanted) {
  struct job_value one;
  enum found found = FOUND_NOT;
  struct job_value key = job_get(plan_settings(&d->plan->nodes[chain->workers[sink].node]), "key");
  for (struct job_walk walk = job_walk_start(key); job_walk_next(&walk, NULL, &one) && found != FOUND;) {
    char *column = job_value_text(one);
    const char *field = column ? trace(d, chain, sink, column) : NULL;
    if (!field)
      found = FOUND_MAYBE;
    else if (strcmp(field, wanted) == 0)
      found = FOUND;
    free(column);
  }
  return found;
}

static void check_sink(struct draft *d, const struct plan_chain *chain, size_t sink) {
  const struct plan_node *topic = &d->plan->nodes[chain->source], *node = &d->plan->nodes[chain->workers[sink].node];
  const struct config_entry *entry = config_find(&d->nodes[chain->workers[sink].node].entry->value, "key");
  struct job_value key = job_get(plan_settings(topic), "key"), one;
  struct buffer missing = {0};
  bool sure = true;
  for (struct job_walk walk = job_walk_start(key); job_walk_next(&walk, NULL, &one);) {
    char *column = job_value_text(one);
    enum found found = column ? find_key(d, chain, sink, column) : FOUND_MAYBE;
    sure &= found != FOUND_MAYBE;
    if (found == FOUND_NOT) buffer_print(&missing, "%s`%s`", missing.length ? ", " : "", column);
    free(column);
  }
  int line = entry ? entry->line : node->line, at = entry ? entry->column : node->column;
  if (!job_has(key))
    plan_report_add(d->report, CHECK_WARNING, line, at, NULL, "sink `%s`: topic `%s` is written without a key, so " NOT_PROMISED,
                    node->name, topic->name);
  else if (sure && missing.length > 0)
    plan_report_add(d->report, CHECK_WARNING, line, at, NULL,
                    "sink `%s`: topic `%s` is partitioned by %s, which is no part of this key, so " NOT_PROMISED, node->name, topic->name,
                    buffer_cstring(&missing));
  buffer_free(&missing);
}

void plan_check_keys(struct draft *d) {
  const struct plan *p = d->plan;
  for (size_t c = 0; c < p->chain_count; c++) {
    const struct plan_chain *chain = &p->chains[c];
    const struct plan_node *topic = &p->nodes[chain->source];
    struct job_value settings = plan_settings(topic);
    if (!topic->at_brokers || !topic->kind || job_has(job_get(settings, "key_sql"))) continue;
    if (job_int(job_get(settings, "create"), "partitions", 0) == 1) continue;
    for (size_t w = 1; w < chain->worker_count; w++)
      if (is_upsert(&p->nodes[chain->workers[w].node])) check_sink(d, chain, w);
  }
}
