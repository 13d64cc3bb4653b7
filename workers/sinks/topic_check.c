// Checking a topic that is written: its settings, and with --connect the brokers and the topics as they are there.
//
// Called by `weir check`. Nothing is made; what a run would make is asked of the brokers with "validate only".
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "workers/clients/kafka.h"
#include "workers/clients/kafka_admin.h"
#include "workers/sinks/kafka_key.h"
#include "workers/sinks/kafka_positions.h"
#include "workers/sinks/kafka_topics.h"
#include "workers/sinks/topic_settings.h"
#include "workers/sinks/topic_sink.h"

enum { CONNECT_MS = 10000 };

// ---- settings

static bool is_known(const struct check *c, const char *column) {
  for (size_t i = 0; i < c->column_count; i++)
    if (strcmp(c->columns[i].name, column) == 0) return true;
  return false;
}

static void check_names(struct check *c, const char *setting, const struct topic_names *names) {
  for (size_t i = 0; c->columns_known && i < names->count; i++) {
    if (is_known(c, names->at[i])) continue;
    char *place = memory_print("%s.%s", setting, names->at[i]);
    check_find(c, CHECK_ERROR, place, -1, NULL, "the input of this topic has no column \"%s\"", names->at[i]);
    free(place);
  }
}

static void check_key_sql(struct check *c, const char *expression) {
  struct error e = {0};
  struct kafka_key *key = kafka_key_open(expression, &e);
  if (key)
    check_names(c, "key_sql", kafka_key_columns(key));
  else
    check_find(c, CHECK_ERROR, "key_sql", -1, NULL, "%s", e.text);
  kafka_key_close(key);
}

static void check_create(struct check *c, const struct topic_settings *s) {
  struct job_walk walk = job_walk_start(s->create_config);
  struct job_value value;
  size_t count = 0;
  char *name = NULL;
  for (; job_walk_next(&walk, &name, &value); count++) {
    char *text = job_value_text(value);
    if (strcmp(name, "cleanup.policy") == 0 && text && strstr(text, "compact") && s->key.count == 0 && !s->key_sql)
      check_find(c, CHECK_ERROR, "create", -1, NULL, "a compacted topic takes no message without a key: `key` says what it is");
    free(text);
    free(name);
  }
  if (count > KAFKA_TOPIC_SETTINGS)
    check_find(c, CHECK_ERROR, "create.config", -1, NULL,
               "%zu settings are more than the %d that weir gives a topic: leave out those that the brokers have by default", count,
               KAFKA_TOPIC_SETTINGS);
}

static void check_settings(struct check *c, const struct topic_settings *s) {
  check_names(c, "key", &s->key);
  if (s->key_sql) check_key_sql(c, s->key_sql);
  check_names(c, "value", &s->value);
  for (size_t i = 0; c->columns_known && i < s->header_count; i++)
    if (!is_known(c, s->headers[i].column))
      check_find(c, CHECK_ERROR, "headers", -1, NULL, "the input of this topic has no column \"%s\"", s->headers[i].column);
  bool plain = s->format == TOPIC_STRING || s->format == TOPIC_BYTES;
  if (plain && s->value.count == 0 && c->columns_known && !is_known(c, "value"))
    check_find(c, CHECK_ERROR, "format", -1, NULL,
               "the value is the one column `value`, which the input does not have: name it in `value`");
  if (s->key.count > 1 && s->key_format == TOPIC_STRING)
    check_find(c, CHECK_NOTE, "key", -1, NULL, "a key of several columns with `key_format: string` is a JSON array of them");
  if (!s->exactly_once) check_find(c, CHECK_NOTE, "delivery", -1, NULL, "at_least_once: after a failure records may be in the topic twice");
  check_create(c, s);
}

// ---- the brokers

static void find_error(struct check *c, const char *setting, const struct error *e) {
  check_find(c, CHECK_ERROR, setting, -1, NULL, "%s", e->text);
}

static void check_absent(struct check *c, struct kafka_admin *a, const struct kafka_topic_spec *spec, const char *setting) {
  struct error e = {0};
  if (!kafka_topic_try(a, spec, &e)) {
    check_find(c, CHECK_ERROR, setting, -1, NULL, "topic %s does not exist, and it cannot be made: %s", spec->name, e.text);
    return;
  }
  struct buffer text = {0};
  if (spec->partitions > 0)
    buffer_print(&text, "%d partition%s", spec->partitions, spec->partitions == 1 ? "" : "s");
  else
    buffer_text(&text, "as many partitions as the brokers make by default");
  if (spec->replicas > 0)
    buffer_print(&text, ", %d replica%s", spec->replicas, spec->replicas == 1 ? "" : "s");
  else
    buffer_text(&text, ", replicas by the brokers' default");
  for (size_t i = 0; i < spec->count; i++) buffer_print(&text, ", %s=%s", spec->settings[i].name, spec->settings[i].value);
  check_find(c, CHECK_NOTE, setting, -1, NULL, "a run would make topic %s: %s", spec->name, buffer_cstring(&text));
  buffer_free(&text);
}

struct durability {
  int in_sync;
  bool compacts;
};

static void note_durability(void *context, const char *name, const char *value) {
  struct durability *d = context;
  if (!value) return;
  if (strcmp(name, "min.insync.replicas") == 0) d->in_sync = atoi(value);
  if (strcmp(name, "cleanup.policy") == 0) d->compacts = strstr(value, "compact") != NULL;
}

static void check_present(struct check *c, struct kafka_admin *a, const struct kafka_topic_spec *spec, const struct kafka_topic *topic,
                          const struct topic_settings *s) {
  struct error e = {0};
  struct buffer text = {0};
  struct durability d = {.in_sync = 1};
  c->partitions = topic->partitions;
  check_find(c, CHECK_NOTE, "topic", -1, NULL, "topic %s has %" PRId32 " partitions and %d replicas, %d of them in sync", spec->name,
             topic->partitions, topic->replicas, topic->in_sync);
  if (!kafka_topic_differs(a, spec, topic, &text, &e) || !kafka_topic_settings(a, spec->name, note_durability, &d, &e)) {
    check_find(c, CHECK_WARNING, "topic", -1, NULL, "its settings cannot be read: %s", e.text);
    buffer_free(&text);
    return;
  }
  if (text.length > 0)
    check_find(c, CHECK_WARNING, "create", -1, NULL, "topic %s exists and is left as it is, though %s", spec->name, buffer_cstring(&text));
  buffer_free(&text);
  if (topic->in_sync < d.in_sync)
    check_find(c, CHECK_WARNING, "topic", -1, NULL, "only %d replicas are in sync, the topic wants %d (min.insync.replicas): writing waits",
               topic->in_sync, d.in_sync);
  if (topic->replicas > 1 && d.in_sync < 2)
    check_find(c, CHECK_NOTE, "topic", -1, NULL, "min.insync.replicas is 1: a record counts as stored when one broker has it");
  if (d.compacts && s->key.count == 0 && !s->key_sql)
    check_find(c, CHECK_ERROR, "key", -1, NULL, "topic %s is compacted and takes no message without a key", spec->name);
}

static void check_positions(struct check *c, struct kafka_admin *a) {
  struct error e = {0};
  struct kafka_topic topic;
  struct kafka_topic_spec spec;
  if (!kafka_topic_look(a, KAFKA_POSITIONS_TOPIC, &topic, &e)) {
    find_error(c, "topic", &e);
    return;
  }
  if (topic.exists) return;
  if (kafka_spec_positions(a, &spec, &e))
    check_absent(c, a, &spec, "topic");
  else
    find_error(c, "topic", &e);
}

static void check_dead_topic(struct check *c, struct kafka_admin *a, const struct topic_settings *s) {
  struct error e = {0};
  struct kafka_topic topic;
  struct kafka_topic_spec spec = {.name = s->dead_topic, .partitions = -1, .replicas = -1};
  if (!kafka_topic_look(a, s->dead_topic, &topic, &e))
    find_error(c, "topic", &e);
  else if (!topic.exists)
    check_absent(c, a, &spec, "topic");
}

static void check_brokers(struct check *c, const struct topic_settings *s) {
  struct error e = {0};
  struct kafka_admin_setup setup = {.kafka = s->kafka, .client = "weir check", .view = KAFKA_COMMITTED, .wait_ms = CONNECT_MS};
  struct kafka_admin *a = kafka_admin_open(&setup, &e);
  struct kafka_cluster cluster = {0};
  struct kafka_topic topic;
  struct kafka_topic_spec spec;
  if (!a || !kafka_admin_cluster(a, &cluster, &e)) {
    find_error(c, "kafka.brokers", &e);
    kafka_admin_close(a);
    return;
  }
  char *line = kafka_line(s->kafka);
  check_find(c, CHECK_NOTE, "topic", -1, NULL, "cluster %s answers, %d broker%s; the connection is %s", cluster.id, cluster.brokers,
             cluster.brokers == 1 ? "" : "s", line);
  free(line);
  free(cluster.id);
  kafka_spec_make(s, &spec);
  if (!kafka_topic_look(a, s->topic, &topic, &e))
    find_error(c, "topic", &e);
  else if (topic.exists)
    check_present(c, a, &spec, &topic, s);
  else
    check_absent(c, a, &spec, "topic");
  kafka_spec_free(&spec);
  check_positions(c, a);
  if (s->dead_topic) check_dead_topic(c, a, s);
  kafka_admin_close(a);
}

static void kafka_found(void *context, const char *setting, const char *suggestion, const char *text) {
  char *whole = memory_print("kafka.%s", setting);
  check_find(context, CHECK_ERROR, whole, -1, suggestion, "%s", text);
  free(whole);
}

void topic_sink_check(struct check *c) {
  struct topic_settings s;
  struct error e = {0};
  size_t before = c->finding_count;
  kafka_check(job_get(c->settings, "kafka"), kafka_found, c);
  bool usable = c->finding_count == before;
  if (!topic_settings_read(&s, c->settings, &e)) {
    check_find(c, CHECK_ERROR, e.code, -1, NULL, "%s", e.text);
    return;
  }
  check_settings(c, &s);
  if (c->connect && usable) check_brokers(c, &s);
  topic_settings_free(&s);
}
