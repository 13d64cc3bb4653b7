// The plan while it is made: what the steps of plan_make hand to each other. Only plan*.c and the verbs that need more than a plan holds
// (check.c, run.c) include this.
//
//   config_file, config_yaml -> plan_nodes.c (nodes, settings, from) -> plan_ask.c (what workers say, columns) -> plan_chain.c (trees)
//   -> plan_files.c (files with two writers)
//
// Each step adds to the report and goes on; the next one skips what is broken (`usable`), so that one mistake is told once.
#pragma once
#include "supervisor/config_yaml.h"
#include "supervisor/plan.h"
#include "supervisor/settings.h"

struct draft_node {
  const struct config_entry *entry;  // its name and map in the file
  const struct setting_table *table; // of its kind; NULL: topic without brokers, lookup, or no such kind
  bool usable;                       // its required settings are there: a worker can check it
  struct check_column *columns;      // what it gives; strings owned
  size_t column_count;
  bool columns_known;
  struct check_index *indexes; // a transform: columns by which it wants to find rows of lookups; owned
  size_t index_count;
  int64_t partitions; // a topic that is written and was asked for with --connect; 0: not known
};

struct draft {
  struct plan *plan;
  struct plan_report *report;
  struct config_source source;
  char *folder; // of the file, absolute
  struct config_node root;
  struct buffer top;        // settings of the outermost map
  struct draft_node *nodes; // parallel to plan->nodes
  size_t node_count;
  char **left_out; // names of nodes whose `when:` is empty
  size_t left_out_count;
  char **misnamed; // what cannot be a node's name and stands where one does: that was told, and who reads it is not blamed
  size_t misnamed_count;
  bool once;         // as plan_options says
  bool brokers_away; // with --connect: nobody answers there, so further topics are not asked for
  bool checked;      // the file is good as far as it goes without its targets
};

// Reads and plans. False when the report failed; the draft is filled as far as it went and is freed by plan_draft_free either way.
bool plan_draft(struct draft *d, const struct plan_options *options, struct plan_report *report);
void plan_draft_free(struct draft *d); // leaves d->plan to its owner when it was taken (set to NULL)

// The steps, in their order.
void plan_collect(struct draft *d);
// Topics at brokers (plan_topic.c): in plan_collect what the file says of each; in plan_ask, when it is known who reads whom, what follows.
bool plan_has_brokers(const struct draft *d);
void plan_topic_begin(struct draft *d, size_t index);
void plan_topics_read(struct draft *d);
// The columns that a reader of the topic gets, from those of the nodes that write it.
void plan_topic_columns(struct draft *d, size_t index, const struct draft_node *written);
bool plan_topic_name(const char *name); // whether Kafka takes it
// The chains that copy dead letters into dead_letters.topic (plan_letters.c); the last step.
void plan_letters(struct draft *d);
// Whether what `writer` writes is what `reader` reads: one node, or two of one name at the brokers.
bool plan_topic_same(const struct plan *plan, size_t writer, size_t reader);
void plan_ask(struct draft *d, bool connect);
void plan_grow(struct draft *d);
// Lookups (plan_lookup.c). All of them for a check: `list` has room for all nodes, so has `nodes`, their indexes; each may be NULL.
size_t plan_lookup_list(const struct draft *d, struct check_lookup *list, size_t *nodes);
// Takes what the check of a transform says about them.
void plan_lookup_link(struct draft *d, size_t index, struct check *c);
// When all transforms were asked: the indexes that they want go into the lookups' settings.
void plan_lookups_index(struct draft *d);
// The workers of the lookups that are joined by what runs; after plan_grow.
void plan_lookups_grow(struct draft *d);
// Warns where rows of one key may come from several partitions (plan_keys.c); after plan_ask with its connection.
void plan_check_keys(struct draft *d);

// Refuses files that two workers would write (plan_files.c); after plan_grow.
void plan_files(struct draft *d);

// Decides which sink of a chain stores whose dead letters.
void plan_deal_dead_nodes(const struct plan *p, struct plan_chain *chain);

struct job_value plan_settings(const struct plan_node *node);
// One more pair in the node's settings; the value is msgpack.
void plan_settings_add(struct plan_node *node, const char *name, const void *value, size_t length);
void plan_settings_text(struct plan_node *node, const char *name, const char *value);
const char *plan_section_word(enum plan_section section); // "source", "sink", ...
// Index of the node of that name, plan->node_count when there is none.
size_t plan_node_find(const struct plan *plan, const char *name);
void plan_columns_free(struct check_column *columns, size_t count);
