// Topics at brokers: what the plan adds to what the file says of them. A topic with `from` is a sink of the chains that flow into it; one
// that something reads is the root of a chain of its own; with both it is both, under one name.
//
// Each node's settings get what its workers need beyond the node itself: `kafka` (the whole map of the file), `topic` (the name at the
// brokers), `metadata` (what readers name), `dead_topic`. Called by plan_nodes.c and plan_ask.c, in the order of plan_build.h.
#include <ctype.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "proto/job.h"
#include "proto/msgpack.h"
#include "supervisor/plan_build.h"
#include "supervisor/plan_report.h"
#include "supervisor/suggest.h"

enum { TOPIC_NAME_MOST = 249, METADATA_ROOM = 128 };

#define NAME_RULE      "a topic's name has letters, digits, `.`, `_` and `-`, at most 249 of them"
#define POSITIONS_RULE "weir_positions holds weir's own positions: another name is needed"

static const char positions_topic[] = "weir_positions";
static const char *const metadata_names[] = {"_key", "_topic", "_partition", "_offset", "_timestamp", "_headers"};
enum { METADATA_NAMES = sizeof metadata_names / sizeof *metadata_names };

static struct job_value top_get(const struct draft *d, const char *name) {
  return job_get((struct job_value){.at = d->top.at, .end = d->top.at + d->top.length}, name);
}

bool plan_has_brokers(const struct draft *d) {
  char *brokers = job_text(top_get(d, "kafka"), "brokers", "");
  bool has = brokers[0] != '\0';
  free(brokers);
  return has;
}

// ---- messages with their places

static void say_at(struct draft *d, size_t index, enum check_level level, const char *setting, const char *suggestion, const char *text) {
  const struct plan_node *node = &d->plan->nodes[index];
  const struct config_entry *entry = setting ? config_find(&d->nodes[index].entry->value, setting) : NULL;
  plan_report_add(d->report, level, entry ? entry->line : node->line, entry ? entry->column : node->column, suggestion, "topic `%s`: %s",
                  node->name, text);
}

static bool is_given(const struct draft *d, size_t index, const char *setting) {
  return config_find(&d->nodes[index].entry->value, setting) != NULL;
}

// ---- names

// What Kafka takes as a topic's name.
bool plan_topic_name(const char *name) {
  size_t length = strlen(name);
  if (length == 0 || length > TOPIC_NAME_MOST || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return false;
  for (const char *p = name; *p; p++)
    if (!isalnum((unsigned char)*p) && !strchr("._-", *p)) return false;
  return true;
}

static bool pattern_fits(const char *pattern, const char *name) {
  regex_t compiled;
  if (regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0) return false;
  bool fits = regexec(&compiled, name, 0, NULL, 0) == 0;
  regfree(&compiled);
  return fits;
}

static bool is_pattern(const char *name) {
  return name[0] == '^';
}

static bool reads_topic(const struct plan_node *reader, const char *name) {
  char *wanted = job_text(plan_settings(reader), "topic", "");
  // The reader's own check says more about a pattern that is none.
  bool same = is_pattern(wanted) ? pattern_fits(wanted, name) : strcmp(wanted, name) == 0;
  free(wanted);
  return same;
}

bool plan_topic_same(const struct plan *plan, size_t writer, size_t reader) {
  const struct plan_node *w = &plan->nodes[writer], *r = &plan->nodes[reader];
  if (!w->at_brokers || !w->kind || !r->reader) return false;
  if (writer == reader) return true;
  char *name = job_text(plan_settings(w), "topic", "");
  bool same = reads_topic(r, name);
  free(name);
  return same;
}

static void check_topic_name(struct draft *d, size_t index, bool written) {
  char *name = job_text(plan_settings(&d->plan->nodes[index]), "topic", "");
  char *dead = job_text(top_get(d, "dead_letters"), "topic", "");
  if (is_pattern(name) && written)
    say_at(d, index, CHECK_ERROR, "topic", NULL, "a pattern can be read, not written");
  else if (!is_pattern(name) && !plan_topic_name(name))
    say_at(d, index, CHECK_ERROR, "topic", NULL, NAME_RULE);
  else if (strcmp(name, positions_topic) == 0 && written)
    say_at(d, index, CHECK_ERROR, "topic", NULL, POSITIONS_RULE);
  else if (written && strcmp(name, dead) == 0)
    say_at(d, index, CHECK_ERROR, "topic", NULL, "this pipeline's dead letters go there: another name is needed");
  free(name);
  free(dead);
}

// ---- settings

static void put_top(struct draft *d, struct plan_node *node) {
  struct job_value kafka = top_get(d, "kafka");
  char *dead = job_text(top_get(d, "dead_letters"), "topic", "");
  const uint8_t *end = kafka.at;
  if (job_has(kafka) && msgpack_skip(&end, kafka.end)) plan_settings_add(node, "kafka", kafka.at, (size_t)(end - kafka.at));
  if (*dead && node->kind) plan_settings_text(node, "dead_topic", dead);
  free(dead);
}

static void check_metadata(struct draft *d, size_t index) {
  struct job_value one;
  for (struct job_walk walk = job_walk_start(job_get(plan_settings(&d->plan->nodes[index]), "metadata"));
       job_walk_next(&walk, NULL, &one);) {
    char *name = job_value_text(one);
    bool known = false;
    struct suggest near = suggest_start(name ? name : "");
    for (size_t i = 0; i < METADATA_NAMES; i++) {
      known |= strcmp(near.wanted, metadata_names[i]) == 0;
      suggest_try(&near, metadata_names[i]);
    }
    if (!known)
      say_at(d, index, CHECK_ERROR, "metadata", near.best, "metadata is of _key, _topic, _partition, _offset, _timestamp and _headers");
    free(name);
  }
}

void plan_topic_begin(struct draft *d, size_t index) {
  struct plan_node *node = &d->plan->nodes[index];
  bool written = is_given(d, index, "from");
  node->at_brokers = true;
  d->nodes[index].table = settings_find(SETTINGS_TOPIC, NULL);
  if (!job_has(job_get(plan_settings(node), "topic"))) plan_settings_text(node, "topic", node->name);
  check_topic_name(d, index, written);
  check_metadata(d, index);
  if (written && is_given(d, index, "key") && is_given(d, index, "key_sql"))
    say_at(d, index, CHECK_ERROR, "key_sql", NULL, "`key` and `key_sql` exclude each other");
  if (written) node->kind = worker_kind_find(WORKER_SINKER, "topic");
  if (!written || node->kind) {
    put_top(d, node);
    return;
  }
  say_at(d, index, CHECK_ERROR, NULL, NULL, "this build of weir has no worker for writing topics");
  d->nodes[index].usable = false;
}

// ---- who reads

static bool reads(const struct plan_node *node, size_t topic) {
  for (size_t i = 0; i < node->from_count; i++)
    if (node->from[i] == topic) return true;
  return false;
}

static bool is_word(char c) {
  return isalnum((unsigned char)c) || c == '_' || c == '$';
}

static bool text_names(const char *text, const char *word) {
  size_t length = strlen(word);
  for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
    if ((p == text || !is_word(p[-1])) && !is_word(p[length])) return true;
  return false;
}

// A text, or the texts and names in a list or map.
static bool value_names(struct job_value value, const char *word) {
  struct job_walk walk = job_walk_start(value);
  struct job_value one;
  char *key = NULL, *text = walk.left == 0 ? job_value_text(value) : NULL;
  bool names = text && text_names(text, word);
  while (job_walk_next(&walk, &key, &one)) {
    char *inner = job_value_text(one);
    names |= (key && text_names(key, word)) || (inner && text_names(inner, word));
    free(inner);
    free(key);
    key = NULL;
  }
  free(text);
  return names;
}

// Where a node that reads a topic may name a column.
static bool node_names(const struct plan_node *node, const char *word) {
  static const char *const places[] = {"sql", "key", "key_sql", "value", "headers", "columns"};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++)
    if (value_names(job_get(plan_settings(node), places[i]), word)) return true;
  return false;
}

static void put_metadata(struct draft *d, size_t topic) {
  struct plan *p = d->plan;
  uint8_t bytes[METADATA_ROOM];
  struct msgpack_writer w = {.at = bytes, .end = bytes + sizeof bytes};
  uint32_t count = 0;
  uint8_t *opened = msgpack_array_open(&w);
  for (size_t m = 0; m < METADATA_NAMES; m++) {
    bool named = false;
    for (size_t i = 0; i < p->node_count; i++) named |= reads(&p->nodes[i], topic) && node_names(&p->nodes[i], metadata_names[m]);
    if (!named) continue;
    msgpack_write_cstring(&w, metadata_names[m]);
    count++;
  }
  msgpack_array_close(opened, count);
  if (count > 0) plan_settings_add(&p->nodes[topic], "metadata", bytes, (size_t)(w.at - bytes));
}

static void warn_of_unused(struct draft *d, size_t index, const char *const *names, size_t count, const char *why) {
  for (size_t i = 0; i < count; i++)
    if (is_given(d, index, names[i])) say_at(d, index, CHECK_WARNING, names[i], NULL, why);
}

static void check_use(struct draft *d, size_t index, bool is_read) {
  static const char *const of_readers[] = {"start", "group", "assign", "metadata", "lanes", "ring"};
  static const char *const of_writers[] = {"key",    "key_sql", "value", "headers",      "compression",        "delivery",
                                           "create", "rows",    "bytes", "commit_every", "transaction_timeout"};
  bool written = is_given(d, index, "from");
  if (!written && !is_read) {
    say_at(d, index, CHECK_WARNING, NULL, NULL, "nothing writes it, and nothing reads it: it is not used");
    return;
  }
  if (!is_read) warn_of_unused(d, index, of_readers, sizeof of_readers / sizeof *of_readers, "this is for reading, and nothing reads it");
  if (!written)
    warn_of_unused(d, index, of_writers, sizeof of_writers / sizeof *of_writers, "this is for writing, and without `from` it is only read");
}

// What this pipeline writes there would come back to it, and fail again.
static void check_dead_topic(struct draft *d, size_t index) {
  char *dead = job_text(top_get(d, "dead_letters"), "topic", "");
  if (*dead && reads_topic(&d->plan->nodes[index], dead))
    say_at(d, index, CHECK_ERROR, "topic", NULL, "this pipeline's dead letters go there: read them in a pipeline of their own");
  free(dead);
}

static void check_dead_name(struct draft *d) {
  const struct config_entry *group = config_find(&d->root, "dead_letters");
  const struct config_entry *entry = group ? config_find(&group->value, "topic") : NULL;
  char *dead = job_text(top_get(d, "dead_letters"), "topic", "");
  const char *why = !plan_topic_name(dead) ? NAME_RULE : strcmp(dead, positions_topic) == 0 ? POSITIONS_RULE : NULL;
  if (entry && *dead && plan_has_brokers(d) && why)
    plan_report_add(d->report, CHECK_ERROR, entry->value.line, entry->value.column, NULL, "dead_letters: %s", why);
  free(dead);
}

void plan_topics_read(struct draft *d) {
  struct plan *p = d->plan;
  check_dead_name(d);
  for (size_t t = 0; t < p->node_count; t++) {
    struct plan_node *node = &p->nodes[t];
    bool is_read = false;
    if (!node->at_brokers) continue;
    for (size_t i = 0; i < p->node_count; i++) is_read |= reads(&p->nodes[i], t);
    check_use(d, t, is_read);
    if (!is_read) continue;
    check_dead_topic(d, t);
    if (!is_given(d, t, "metadata")) put_metadata(d, t);
    node->reader = worker_kind_find(WORKER_PRODUCER, "topic");
    if (node->reader) continue;
    say_at(d, t, CHECK_ERROR, NULL, NULL, "this build of weir has no worker for reading topics");
    d->nodes[t].usable = false;
  }
}

// ---- columns

static void add_column(struct draft_node *node, const char *name, const char *type, bool not_null) {
  node->columns = memory_resize(node->columns, (node->column_count + 1) * sizeof *node->columns);
  node->columns[node->column_count++] = (struct check_column){.name = memory_text(name), .type = memory_text(type), .not_null = not_null};
}

static const char *metadata_type(const char *name, const char *key_format) {
  if (strcmp(name, "_partition") == 0) return "int";
  if (strcmp(name, "_offset") == 0) return "bigint";
  if (strcmp(name, "_timestamp") == 0) return "timestamp";
  if (strcmp(name, "_headers") == 0) return "json";
  if (strcmp(name, "_topic") == 0 || strcmp(key_format, "string") == 0) return "text";
  return strcmp(key_format, "bytes") == 0 ? "bytes" : "json";
}

// Whether the value holds this column: `value` names those that are written.
static bool is_written(struct job_value settings, const char *column) {
  struct job_value value = job_get(settings, "value"), one;
  bool found = !job_has(value);
  for (struct job_walk walk = job_walk_start(value); job_walk_next(&walk, NULL, &one);) {
    char *name = job_value_text(one);
    found |= name && strcmp(name, column) == 0;
    free(name);
  }
  return found;
}

void plan_topic_columns(struct draft *d, size_t index, const struct draft_node *written) {
  struct draft_node *node = &d->nodes[index];
  struct job_value settings = plan_settings(&d->plan->nodes[index]), one;
  char *format = job_text(settings, "format", ""), *key_format = job_text(settings, "key_format", "");
  bool plain = strcmp(format, "string") == 0 || strcmp(format, "bytes") == 0;
  node->columns_known = plain || written->columns_known;
  if (plain) add_column(node, "value", strcmp(format, "string") == 0 ? "text" : "bytes", false);
  // Others may write to the topic too, so no column is sure to be there.
  for (size_t i = 0; i < written->column_count && node->columns_known && !plain; i++)
    if (is_written(settings, written->columns[i].name)) add_column(node, written->columns[i].name, written->columns[i].type, false);
  for (struct job_walk walk = job_walk_start(job_get(settings, "metadata")); job_walk_next(&walk, NULL, &one);) {
    char *name = job_value_text(one);
    if (name) add_column(node, name, metadata_type(name, key_format), false);
    free(name);
  }
  free(format);
  free(key_format);
}
