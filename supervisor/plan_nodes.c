// Nodes out of the tree: names, kinds, settings, and who reads whom as far as the file says it (`from:`). What SQL reads comes later.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/job.h"
#include "supervisor/config_substitute.h"
#include "supervisor/plan_build.h"
#include "supervisor/plan_report.h"
#include "supervisor/settings_value.h"
#include "supervisor/suggest.h"

enum { NODES_MOST = 256 };

static enum settings_place place_of(enum plan_section section) {
  switch (section) {
  case PLAN_SOURCE: return SETTINGS_SOURCE;
  case PLAN_TRANSFORM: return SETTINGS_TRANSFORM;
  case PLAN_TOPIC: return SETTINGS_TOPIC;
  case PLAN_LOOKUP: return SETTINGS_LOOKUP;
  case PLAN_SINK: return SETTINGS_SINK;
  }
  return SETTINGS_TOP;
}

static bool section_find(const char *key, enum plan_section *section) {
  for (enum plan_section s = PLAN_SOURCE; s <= PLAN_SINK; s++) {
    if (strcmp(settings_place_name(place_of(s)), key) != 0) continue;
    *section = s;
    return true;
  }
  return false;
}

// What `when:` says, before anything else of the node is looked at: a node that is left out may name variables that are not set.
static bool is_left_out(struct draft *d, struct config_entry *entry) {
  for (size_t i = 0; i < entry->value.count; i++) {
    struct config_entry *one = &entry->value.entries[i];
    if (!one->key || strcmp(one->key, "when") != 0 || one->value.kind != CONFIG_TEXT) continue;
    config_substitute(&d->source, &one->value, d->report);
    return one->value.length == 0 && !one->value.broken;
  }
  return false;
}

static void leave_out(struct draft *d, const struct config_entry *entry) {
  d->left_out = memory_resize(d->left_out, (d->left_out_count + 1) * sizeof *d->left_out);
  d->left_out[d->left_out_count++] = memory_text(entry->key);
}

static void keep_misnamed(struct draft *d, const struct config_entry *entry) {
  d->misnamed = memory_resize(d->misnamed, (d->misnamed_count + 1) * sizeof *d->misnamed);
  d->misnamed[d->misnamed_count++] = memory_text(entry->key);
}

static bool check_name(struct draft *d, const struct config_entry *entry) {
  if (!value_node_name(entry->key)) {
    plan_report_add(d->report, CHECK_ERROR, entry->line, entry->column, NULL,
                    "`%.100s` cannot be a name: a letter or `_`, then letters, digits, `_` and `-`, at most 63 of them", entry->key);
    keep_misnamed(d, entry);
    return false;
  }
  // SQL does not tell upper from lower case, so two nodes must not differ in nothing else.
  for (size_t i = 0; i < d->plan->node_count; i++) {
    if (strcasecmp(d->plan->nodes[i].name, entry->key) != 0) continue;
    plan_report_add(d->report, CHECK_ERROR, entry->line, entry->column, NULL, "the name `%s` is taken by the %s in line %d", entry->key,
                    plan_section_word(d->plan->nodes[i].section), d->plan->nodes[i].line);
    return false;
  }
  return true;
}

// ---- kind and settings

static enum worker_role role_of(enum plan_section section) {
  switch (section) {
  case PLAN_SOURCE: return WORKER_PRODUCER;
  case PLAN_LOOKUP: return WORKER_LOOKUP;
  case PLAN_TOPIC:
  case PLAN_SINK: return WORKER_SINKER;
  case PLAN_TRANSFORM: break;
  }
  return WORKER_TRANSFORMER;
}

// Kinds of a section as "http, file or generate".
static void list_kinds(enum settings_place place, struct suggest *near, char *out, size_t room) {
  const char *names[16];
  size_t count = 0, used = 0;
  for (size_t i = 0; i < settings_table_count && count < 16; i++)
    if (settings_tables[i]->place == place && settings_tables[i]->kind) names[count++] = settings_tables[i]->kind;
  out[0] = '\0';
  for (size_t i = 0; i < count && used < room; i++) {
    if (near) suggest_try(near, names[i]);
    used += (size_t)snprintf(out + used, room - used, "%s%s", i == 0 ? "" : i + 1 == count ? " or " : ", ", names[i]);
  }
}

// The table of the node's kind; NULL with a message when the file does not name one that there is.
static const struct setting_table *find_kind(struct draft *d, const struct plan_node *node, const struct config_entry *entry) {
  enum settings_place place = place_of(node->section);
  const struct setting *type = settings_row(&(const struct setting_table *){settings_find(place, NULL)}, 1, "type");
  const struct config_entry *given = config_find(&entry->value, "type");
  const char *word = plan_section_word(node->section);
  char kinds[200];
  if (given && given->value.kind != CONFIG_TEXT) {
    plan_report_add(d->report, CHECK_ERROR, given->value.line, given->value.column, NULL, "`type` must be a single value, not %s",
                    config_kind_name(given->value.kind));
    return NULL;
  }
  const char *name = given ? given->value.text : type->otherwise;
  if (!name && entry->value.cut) return NULL; // it may stand behind the place where reading ended
  if (!name) {
    list_kinds(place, NULL, kinds, sizeof kinds);
    plan_report_add(d->report, CHECK_ERROR, entry->line, entry->column, NULL, "%s `%s` needs `type`: %s", word, entry->key, kinds);
    return NULL;
  }
  const struct setting_table *table = settings_find(place, name);
  if (!table) {
    struct suggest near = suggest_start(name);
    list_kinds(place, &near, kinds, sizeof kinds);
    plan_report_add(d->report, CHECK_ERROR, given ? given->value.line : entry->line, given ? given->value.column : entry->column, near.best,
                    "there is no %s of type `%.60s`: %s", word, name, kinds);
  }
  return table;
}

static void read_settings(struct draft *d, size_t index, const struct config_entry *entry) {
  struct plan_node *node = &d->plan->nodes[index];
  struct draft_node *draft = &d->nodes[index];
  struct settings_context context = {.source = &d->source, .report = d->report};
  const struct setting_table *tables[2] = {settings_find(place_of(node->section), NULL)};
  size_t count = 1;
  if (node->section != PLAN_TOPIC) {
    draft->table = tables[count++] = find_kind(d, node, entry);
    if (!draft->table) return;
    node->kind = worker_kind_find(role_of(node->section), draft->table->kind);
  }
  char what[120];
  if (draft->table)
    snprintf(what, sizeof what, "%s `%s` (type %s)", plan_section_word(node->section), node->name, draft->table->kind);
  else
    snprintf(what, sizeof what, "%s `%s`", plan_section_word(node->section), node->name);
  struct settings_owner owner = {.what = what, .line = entry->line, .column = entry->column};
  draft->usable = settings_read(&context, tables, count, &owner, &entry->value, &node->settings);
  if (draft->table && !node->kind) {
    plan_report_add(d->report, CHECK_ERROR, entry->line, entry->column, NULL, "this build of weir has no worker for %s", what);
    draft->usable = false;
  }
}

static void add_node(struct draft *d, enum plan_section section, struct config_entry *entry) {
  struct plan *p = d->plan;
  if (p->node_count == NODES_MOST) {
    plan_report_add(d->report, CHECK_ERROR, entry->line, entry->column, NULL, "more than %d nodes in one pipeline", NODES_MOST);
    return;
  }
  if (!check_name(d, entry) || entry->value.broken) return;
  if (entry->value.cut && entry->value.kind != CONFIG_MAP) return;
  if (entry->value.kind != CONFIG_MAP && !(section == PLAN_TOPIC && config_is_empty(&entry->value))) {
    plan_report_add(d->report, CHECK_ERROR, entry->value.line, entry->value.column, NULL, "%s `%s` must be a map of settings, not %s",
                    plan_section_word(section), entry->key, config_is_empty(&entry->value) ? "empty" : config_kind_name(entry->value.kind));
    return;
  }
  if (is_left_out(d, entry)) {
    leave_out(d, entry);
    return;
  }
  config_substitute(&d->source, &entry->value, d->report);
  p->nodes = memory_resize(p->nodes, (p->node_count + 1) * sizeof *p->nodes);
  d->nodes = memory_resize(d->nodes, (p->node_count + 1) * sizeof *d->nodes);
  size_t index = p->node_count++;
  d->node_count = p->node_count;
  p->nodes[index] = (struct plan_node){.name = memory_text(entry->key), .section = section, .line = entry->line, .column = entry->column};
  d->nodes[index] = (struct draft_node){.entry = entry};
  read_settings(d, index, entry);
}

// ---- from

static void add_from(struct plan_node *node, size_t other) {
  for (size_t i = 0; i < node->from_count; i++)
    if (node->from[i] == other) return;
  node->from = memory_resize(node->from, (node->from_count + 1) * sizeof *node->from);
  node->from[node->from_count++] = (unsigned)other;
}

static bool is_among(char *const *names, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0) return true;
  return false;
}

static bool reads_misnamed(const struct draft *d, const struct config_node *from) {
  if (from->kind == CONFIG_TEXT) return is_among(d->misnamed, d->misnamed_count, from->text);
  for (size_t i = 0; i < from->count; i++)
    if (reads_misnamed(d, &from->entries[i].value)) return true;
  return false;
}

static void link_one(struct draft *d, struct plan_node *node, const struct config_node *text) {
  const struct plan *p = d->plan;
  const char *word = plan_section_word(node->section);
  size_t other = plan_node_find(p, text->text);
  if (other < p->node_count) {
    enum plan_section section = p->nodes[other].section;
    if (section == PLAN_SINK || section == PLAN_LOOKUP)
      plan_report_add_value(d->report, CHECK_ERROR, text, NULL, "%s `%s` cannot read `%s`: that is a %s", word, node->name, text->text,
                            plan_section_word(section));
    else
      add_from(node, other);
    return;
  }
  if (is_among(d->left_out, d->left_out_count, text->text) || is_among(d->misnamed, d->misnamed_count, text->text)) return;
  struct suggest near = suggest_start(text->text);
  for (size_t i = 0; i < p->node_count; i++)
    if (p->nodes[i].section != PLAN_SINK && p->nodes[i].section != PLAN_LOOKUP) suggest_try(&near, p->nodes[i].name);
  plan_report_add_value(d->report, CHECK_ERROR, text, near.best, "%s `%s` reads `%.100s`, which is not there", word, node->name,
                        text->text);
}

static void link_from(struct draft *d, size_t index) {
  struct plan_node *node = &d->plan->nodes[index];
  const struct config_entry *from = config_find(&d->nodes[index].entry->value, "from");
  if (!from || (node->section != PLAN_SINK && node->section != PLAN_TOPIC)) return;
  size_t errors = plan_report_count(d->report, CHECK_ERROR);
  if (from->value.kind == CONFIG_TEXT && from->value.length > 0 && !from->value.broken) link_one(d, node, &from->value);
  for (size_t i = 0; i < from->value.count && from->value.kind == CONFIG_LIST; i++)
    if (from->value.entries[i].value.kind == CONFIG_TEXT) link_one(d, node, &from->value.entries[i].value);
  bool given = from->value.kind == CONFIG_LIST ? from->value.count > 0 : from->value.kind == CONFIG_TEXT && from->value.length > 0;
  if (node->from_count == 0 && given && !reads_misnamed(d, &from->value) && errors == plan_report_count(d->report, CHECK_ERROR))
    plan_report_add(d->report, CHECK_ERROR, from->value.line, from->value.column, NULL,
                    "everything that %s `%s` reads is left out by `when:`: give it the same `when:`", plan_section_word(node->section),
                    node->name);
}

// ---- topics, the outermost settings

static void check_topic(struct draft *d, size_t index, bool brokers) {
  const struct plan_node *node = &d->plan->nodes[index];
  if (brokers)
    plan_topic_begin(d, index);
  else if (!config_find(&d->nodes[index].entry->value, "from"))
    plan_report_add(d->report, CHECK_ERROR, node->line, node->column, NULL,
                    "topic `%s` has neither `from` nor brokers to read it from: set `kafka: {brokers: ...}`", node->name);
}

static void collect_section(struct draft *d, struct config_entry *section) {
  enum plan_section kind;
  if (!section_find(section->key, &kind) || section->value.kind != CONFIG_MAP) return;
  for (size_t i = 0; i < section->value.count; i++) add_node(d, kind, &section->value.entries[i]);
}

static void read_top(struct draft *d) {
  struct settings_context context = {.source = &d->source, .report = d->report};
  const struct setting_table *table = settings_find(SETTINGS_TOP, NULL);
  struct settings_owner owner = {.what = "the pipeline", .line = 1, .column = 1};
  enum plan_section section;
  for (size_t i = 0; i < d->root.count; i++)
    if (!section_find(d->root.entries[i].key, &section)) config_substitute(&d->source, &d->root.entries[i].value, d->report);
  settings_read(&context, &table, 1, &owner, &d->root, &d->top);
}

// Records come from somewhere and go somewhere; with brokers a topic may be either end. A topic to read from without brokers was meant as
// the beginning: what is missing is the brokers, and check_topic says so.
static void check_ends(struct draft *d, bool brokers) {
  bool begins = config_find(&d->root, "sources"), ends = config_find(&d->root, "sinks"), topics = false;
  for (size_t i = 0; i < d->plan->node_count; i++) {
    if (d->plan->nodes[i].section != PLAN_TOPIC) continue;
    bool written = config_find(&d->nodes[i].entry->value, "from");
    begins = begins || !written;
    ends = ends || (written && brokers);
    topics = topics || written;
  }
  if (!begins) plan_report_add(d->report, CHECK_ERROR, 1, 1, NULL, "the pipeline needs `sources`");
  if (!ends)
    plan_report_add(d->report, CHECK_ERROR, 1, 1, NULL, "the pipeline needs `sinks`%s",
                    topics ? ", or `kafka: {brokers: ...}` for its topics" : "");
}

void plan_collect(struct draft *d) {
  if (d->root.kind != CONFIG_MAP) {
    plan_report_add(d->report, CHECK_ERROR, d->root.line, d->root.column, NULL, "a pipeline file is a map: `sources:`, `sinks:`, ...");
    return;
  }
  read_top(d);
  for (size_t i = 0; i < d->root.count; i++) collect_section(d, &d->root.entries[i]);
  if (d->root.cut) return; // who reads whom cannot be told
  bool brokers = plan_has_brokers(d);
  check_ends(d, brokers);
  for (size_t i = 0; i < d->plan->node_count; i++) {
    link_from(d, i);
    if (d->plan->nodes[i].section == PLAN_TOPIC) check_topic(d, i, brokers);
  }
}
