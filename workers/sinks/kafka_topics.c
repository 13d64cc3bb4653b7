// The topics that a topic sink needs.
#include "workers/sinks/kafka_topics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/log.h"
#include "workers/common/choices.h"
#include "workers/sinks/kafka_positions.h"

enum { POSITIONS_REPLICAS = 3 };

// What the settings of an existing topic say.
struct traits {
  uint64_t message_most;
  bool compacts, deletes;
};

static void note_trait(void *context, const char *name, const char *value) {
  struct traits *t = context;
  if (!value) return;
  if (strcmp(name, "max.message.bytes") == 0) t->message_most = strtoull(value, NULL, 10);
  if (strcmp(name, "cleanup.policy") == 0) {
    t->compacts = strstr(value, "compact") != NULL;
    t->deletes = strstr(value, "delete") != NULL;
  }
}

// Settings that may not be read are taken to be the brokers' defaults.
static bool read_traits(struct kafka_admin *a, const char *topic, struct traits *t, struct error *e) {
  *t = (struct traits){.message_most = KAFKA_BATCH_MOST};
  if (kafka_topic_settings(a, topic, note_trait, t, e)) return true;
  if (e->class != ERROR_OPERATOR) return false;
  log_say(LOG_LEVEL_INFO, "the settings of topic %s cannot be read, so messages up to %d bytes are sent: %s", topic, KAFKA_BATCH_MOST,
          e->text);
  error_clear(e);
  return true;
}

static uint32_t most_of(const struct traits *t) {
  uint64_t most = t->message_most < UINT32_MAX ? t->message_most : UINT32_MAX;
  return most > KAFKA_BATCH_OVERHEAD * 2 ? (uint32_t)most - KAFKA_BATCH_OVERHEAD : KAFKA_BATCH_OVERHEAD;
}

// ---- topics to be made

void kafka_spec_make(const struct topic_settings *s, struct kafka_topic_spec *spec) {
  *spec = (struct kafka_topic_spec){.name = s->topic, .partitions = s->partitions, .replicas = s->replication};
  struct job_walk walk = job_walk_start(s->create_config);
  struct job_value value;
  char *name = NULL;
  while (spec->count < KAFKA_TOPIC_SETTINGS && job_walk_next(&walk, &name, &value)) {
    char *text = job_value_text(value);
    spec->settings[spec->count].name = name;
    spec->settings[spec->count++].value = text ? text : memory_text("");
  }
}

void kafka_spec_free(struct kafka_topic_spec *spec) {
  for (size_t i = 0; i < spec->count; i++) {
    free((void *)(uintptr_t)spec->settings[i].name);
    free((void *)(uintptr_t)spec->settings[i].value);
  }
  spec->count = 0;
}

// Small segments, rolled and cleaned often: a start reads the whole partition, and the newest segment is never compacted.
bool kafka_spec_positions(struct kafka_admin *a, struct kafka_topic_spec *spec, struct error *e) {
  struct kafka_cluster cluster;
  if (!kafka_admin_cluster(a, &cluster, e)) return false;
  free(cluster.id);
  int replicas = cluster.brokers < POSITIONS_REPLICAS ? cluster.brokers : POSITIONS_REPLICAS;
  *spec = (struct kafka_topic_spec){.name = KAFKA_POSITIONS_TOPIC,
                                    .partitions = KAFKA_POSITIONS_MOST,
                                    .replicas = replicas > 0 ? replicas : 1,
                                    .settings = {{"cleanup.policy", "compact"},
                                                 {"message.timestamp.type", "LogAppendTime"},
                                                 {"segment.bytes", "16777216"},
                                                 {"segment.ms", "3600000"},
                                                 {"min.cleanable.dirty.ratio", "0.1"},
                                                 {"min.insync.replicas", replicas >= POSITIONS_REPLICAS ? "2" : "1"}},
                                    .count = 6};
  return true;
}

static bool make(struct kafka_admin *a, const struct kafka_topic_spec *spec, struct kafka_topic *topic, struct error *e) {
  bool made = false;
  if (!kafka_topic_make(a, spec, &made, topic, e)) return false;
  if (made) log_say(LOG_LEVEL_INFO, "topic made: %s", spec->name);
  return true;
}

// ---- topics that are there

struct differing {
  const struct kafka_topic_spec *spec;
  struct buffer *out;
  bool known[KAFKA_TOPIC_SETTINGS]; // the brokers have named this setting
};

static void note_difference(void *context, const char *name, const char *value) {
  struct differing *d = context;
  for (size_t i = 0; i < d->spec->count; i++) {
    if (strcmp(d->spec->settings[i].name, name) != 0) continue;
    d->known[i] = true;
    if (value && strcmp(d->spec->settings[i].value, value) != 0)
      buffer_print(d->out, "%s%s is %s, not %s", d->out->length ? "; " : "", name, value, d->spec->settings[i].value);
  }
}

// Such a name would stop the making of the topic; on one that is there nothing else would ever tell of it.
static void note_unknown(const struct differing *d) {
  for (size_t i = 0; i < d->spec->count; i++)
    if (!d->known[i])
      buffer_print(d->out, "%s%s is not set, the brokers know no setting of that name", d->out->length ? "; " : "",
                   d->spec->settings[i].name);
}

bool kafka_topic_differs(struct kafka_admin *a, const struct kafka_topic_spec *spec, const struct kafka_topic *topic, struct buffer *out,
                         struct error *e) {
  struct differing d = {.spec = spec, .out = out};
  if (spec->partitions > 0 && spec->partitions != topic->partitions)
    buffer_print(out, "it has %" PRId32 " partitions, not %d", topic->partitions, spec->partitions);
  if (spec->replicas > 0 && spec->replicas != topic->replicas)
    buffer_print(out, "%sit has %d replicas, not %d", out->length ? "; " : "", topic->replicas, spec->replicas);
  if (spec->count == 0) return true;
  if (!kafka_topic_settings(a, spec->name, note_difference, &d, e)) return false;
  note_unknown(&d);
  return true;
}

static bool tell_differences(struct kafka_admin *a, const struct kafka_topic_spec *spec, const struct kafka_topic *topic, struct error *e) {
  struct buffer text = {0};
  bool good = kafka_topic_differs(a, spec, topic, &text, e) || e->class == ERROR_OPERATOR;
  if (good) error_clear(e);
  if (text.length > 0)
    log_say(LOG_LEVEL_WARN, "topic %s is not as `create` says and is left as it is: %s", spec->name, buffer_cstring(&text));
  buffer_free(&text);
  return good;
}

// Records that weir has stored in a topic that is not there: filling it again is for somebody to decide.
static bool is_gone(const struct kafka_topic_spec *spec, const struct target_setup *setup, uint64_t stored, struct error *e) {
  if (stored == 0) return false;
  char *set = choice_positions(setup->job, setup->sink);
  error_set(e, ERROR_OPERATOR, "topic-gone",
            "topic %s does not exist, but %" PRIu64 " records were stored in it. Nothing was changed. Choices: bring it back; or `%s --to "
            "earliest` (make it anew, with all that the source still has)",
            spec->name, stored, set);
  free(set);
  return true;
}

static bool open_one(struct kafka_admin *a, const struct kafka_topic_spec *spec, const struct target_setup *setup, uint64_t stored,
                     struct traits *traits, struct error *e) {
  struct kafka_topic topic;
  if (!(stored > 0 ? kafka_topic_look_well : kafka_topic_look)(a, spec->name, &topic, e)) return false;
  if (!topic.exists && is_gone(spec, setup, stored, e)) return false;
  if (!(topic.exists ? tell_differences(a, spec, &topic, e) : make(a, spec, &topic, e))) return false;
  return read_traits(a, spec->name, traits, e);
}

bool kafka_topics_positions(struct kafka_admin *a, struct kafka_topics *topics, struct error *e) {
  struct kafka_topic topic;
  struct kafka_topic_spec spec;
  struct traits traits;
  if (!kafka_topic_look(a, KAFKA_POSITIONS_TOPIC, &topic, e)) return false;
  // Where it only seems to be absent, making it is no error, and waits until it is seen: the number of its partitions decides in which of
  // them positions lie.
  if (!topic.exists && !(kafka_spec_positions(a, &spec, e) && make(a, &spec, &topic, e))) return false;
  if (!read_traits(a, KAFKA_POSITIONS_TOPIC, &traits, e)) return false;
  topics->positions_partitions = topic.partitions;
  if (!traits.deletes) return true;
  error_set(e, ERROR_OPERATOR, "positions",
            "topic " KAFKA_POSITIONS_TOPIC
            " deletes old records (cleanup.policy), and positions with them: set its cleanup.policy to compact");
  return false;
}

bool kafka_topics_open(struct kafka_admin *a, const struct topic_settings *s, const struct target_setup *setup, uint64_t stored,
                       struct kafka_topics *topics, struct error *e) {
  struct traits rows = {0}, letters = {.message_most = UINT32_MAX};
  struct kafka_topic_spec spec, dead = {.name = s->dead_topic, .partitions = -1, .replicas = -1};
  kafka_spec_make(s, &spec);
  bool good = open_one(a, &spec, setup, stored, &rows, e) && (!s->dead_topic || open_one(a, &dead, setup, 0, &letters, e));
  kafka_spec_free(&spec);
  if (!good) return false;
  topics->compacted = rows.compacts;
  topics->row_most = most_of(&rows);
  topics->letter_most = most_of(&letters);
  uint32_t least = topics->row_most < topics->letter_most ? topics->row_most : topics->letter_most;
  topics->batch_bytes = least < KAFKA_BATCH_MOST ? least : KAFKA_BATCH_MOST;
  return true;
}
