// What weir asks of a Kafka cluster besides records: id, topics, settings.
//
// The handle is that of a consumer that never joins a group: it serves both administration and reading. Reading a partition is
// kafka_partition.c.
#include "workers/clients/kafka_admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "workers/clients/kafka_admin_parts.h"

enum { SLICE_MS = 1000, ABSENT_MS = 3000, ERROR_ROOM = 512 };

struct kafka_admin *kafka_admin_open(const struct kafka_admin_setup *setup, struct error *e) {
  rd_kafka_conf_t *conf = kafka_configuration(setup->kafka, RD_KAFKA_CONSUMER, setup->client, NULL, 0, e);
  if (!conf) return NULL;
  struct kafka_admin *a = memory_get(sizeof *a);
  a->setup = *setup;
  if (a->setup.wait_ms == 0) a->setup.wait_ms = 60000;
  if (kafka_set(conf, "isolation.level", setup->view == KAFKA_COMMITTED ? "read_committed" : "read_uncommitted", e) &&
      kafka_set(conf, "enable.partition.eof", "true", e) && kafka_set(conf, "auto.offset.reset", "error", e) &&
      // These two are for weir's own short reads of small topics alone; `options` may have them otherwise for the topics of the pipeline.
      kafka_set(conf, "fetch.error.backoff.ms", "100", e) &&
      // The last answer of a partition is an empty one, and other requests wait behind it.
      kafka_set(conf, "fetch.wait.max.ms", "5", e))
    a->rk = kafka_new(RD_KAFKA_CONSUMER, conf, e);
  else
    rd_kafka_conf_destroy(conf);
  if (a->rk) return a;
  kafka_admin_close(a);
  return NULL;
}

void kafka_admin_close(struct kafka_admin *a) {
  if (!a) return;
  if (a->rk) rd_kafka_destroy_flags(a->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
  free(a);
}

// ---- waiting

void kafka_admin_wait_begin(struct kafka_admin_wait *w, struct kafka_admin *a, const char *what) {
  *w = (struct kafka_admin_wait){.admin = a, .what = what, .began_ns = clock_monotonic_ns()};
}

bool kafka_admin_wait_on(struct kafka_admin_wait *w, struct error *e) {
  uint64_t waited_ms = (clock_monotonic_ns() - w->began_ns) / 1000000;
  char report[ERROR_TEXT];
  rd_kafka_poll(w->admin->rk, 0); // takes in what the library reports
  if (waited_ms < w->admin->setup.wait_ms) {
    if (w->admin->setup.tick) w->admin->setup.tick(w->admin->setup.context, w->what, (unsigned)(waited_ms / 1000));
    return true;
  }
  kafka_last_report(report);
  error_set(e, ERROR_OUTAGE, "kafka-timeout", "%s: no answer in time%s%.1000s", w->what, report[0] ? ": " : "", report);
  return false;
}

// ---- the cluster and its topics

// NULL topic: the brokers alone. Owned by the caller (rd_kafka_metadata_destroy); NULL with e.
static const struct rd_kafka_metadata *metadata(struct kafka_admin *a, rd_kafka_topic_t *topic, const char *what, struct error *e) {
  struct kafka_admin_wait wait;
  kafka_admin_wait_begin(&wait, a, what);
  for (;;) {
    const struct rd_kafka_metadata *seen;
    rd_kafka_resp_err_t code = rd_kafka_metadata(a->rk, 0, topic, &seen, SLICE_MS);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return seen;
    if (kafka_error_class(code) != ERROR_OUTAGE) {
      kafka_error(e, code, what, NULL);
      return NULL;
    }
    if (!kafka_admin_wait_on(&wait, e)) return NULL;
  }
}

bool kafka_admin_cluster(struct kafka_admin *a, struct kafka_cluster *cluster, struct error *e) {
  const struct rd_kafka_metadata *seen = metadata(a, NULL, "asking Kafka for its brokers", e);
  if (!seen) return false;
  cluster->brokers = seen->broker_cnt;
  rd_kafka_metadata_destroy(seen);
  char *id = rd_kafka_clusterid(a->rk, SLICE_MS);
  cluster->id = memory_text(id ? id : "");
  if (id) rd_kafka_mem_free(a->rk, id);
  return true;
}

static void take_partitions(struct kafka_topic *topic, const struct rd_kafka_metadata_topic *seen) {
  topic->exists = true;
  topic->partitions = seen->partition_cnt;
  for (int i = 0; i < seen->partition_cnt; i++) {
    const struct rd_kafka_metadata_partition *p = &seen->partitions[i];
    if (i == 0 || p->replica_cnt < topic->replicas) topic->replicas = p->replica_cnt;
    if (i == 0 || p->isr_cnt < topic->in_sync) topic->in_sync = p->isr_cnt;
  }
}

bool kafka_topic_look(struct kafka_admin *a, const char *name, struct kafka_topic *topic, struct error *e) {
  *topic = (struct kafka_topic){0};
  rd_kafka_topic_t *handle = rd_kafka_topic_new(a->rk, name, NULL);
  if (!handle) {
    kafka_error(e, rd_kafka_last_error(), name, NULL);
    return false;
  }
  char *what = memory_print("asking Kafka for topic %s", name);
  struct kafka_admin_wait wait;
  kafka_admin_wait_begin(&wait, a, what);
  bool known = false;
  while (!known && !error_is_set(e)) {
    const struct rd_kafka_metadata *seen = metadata(a, handle, what, e);
    if (!seen) break;
    rd_kafka_resp_err_t code = seen->topic_cnt == 1 ? seen->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && seen->topics[0].partition_cnt > 0) take_partitions(topic, &seen->topics[0]);
    known = topic->exists || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (!known && kafka_error_class(code) != ERROR_OUTAGE) kafka_error(e, code, what, NULL);
    rd_kafka_metadata_destroy(seen);
    // A topic that is just being made, or has no leader yet.
    if (!known && !error_is_set(e) && kafka_admin_wait_on(&wait, e)) rd_kafka_poll(a->rk, 100);
  }
  rd_kafka_topic_destroy(handle);
  free(what);
  return known;
}

bool kafka_topic_look_well(struct kafka_admin *a, const char *name, struct kafka_topic *topic, struct error *e) {
  uint64_t end = clock_monotonic_ns() + ABSENT_MS * UINT64_C(1000000);
  while (kafka_topic_look(a, name, topic, e)) {
    if (topic->exists || clock_monotonic_ns() > end) return true;
    rd_kafka_poll(a->rk, 100);
  }
  return false;
}

// ---- requests of administration

// The answer to the request just made; NULL with e.
static rd_kafka_event_t *answer(struct kafka_admin *a, rd_kafka_queue_t *queue, const char *what, struct error *e) {
  struct kafka_admin_wait wait;
  rd_kafka_event_t *event;
  kafka_admin_wait_begin(&wait, a, what);
  while (!(event = rd_kafka_queue_poll(queue, SLICE_MS)))
    if (!kafka_admin_wait_on(&wait, e)) return NULL;
  if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR) return event;
  kafka_error(e, rd_kafka_event_error(event), what, rd_kafka_event_error_string(event));
  rd_kafka_event_destroy(event);
  return NULL;
}

static rd_kafka_AdminOptions_t *options_of(struct kafka_admin *a, rd_kafka_admin_op_t operation) {
  char text[ERROR_ROOM];
  rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(a->rk, operation);
  rd_kafka_AdminOptions_set_request_timeout(options, (int)a->setup.wait_ms, text, sizeof text);
  return options;
}

static void tell_settings(const rd_kafka_ConfigResource_t *resource, kafka_topic_setting *tell, void *context) {
  size_t count;
  const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
  for (size_t i = 0; i < count; i++) tell(context, rd_kafka_ConfigEntry_name(entries[i]), rd_kafka_ConfigEntry_value(entries[i]));
}

bool kafka_topic_settings(struct kafka_admin *a, const char *name, kafka_topic_setting *tell, void *context, struct error *e) {
  char *what = memory_print("asking Kafka for the settings of topic %s", name);
  rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
  rd_kafka_AdminOptions_t *options = options_of(a, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
  rd_kafka_queue_t *queue = rd_kafka_queue_new(a->rk);
  rd_kafka_DescribeConfigs(a->rk, &resource, 1, options, queue);
  rd_kafka_event_t *event = answer(a, queue, what, e);
  if (event) {
    size_t count;
    const rd_kafka_ConfigResource_t **found =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
    rd_kafka_resp_err_t code = count == 1 ? rd_kafka_ConfigResource_error(found[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
      tell_settings(found[0], tell, context);
    else
      kafka_error(e, code, what, count == 1 ? rd_kafka_ConfigResource_error_string(found[0]) : NULL);
    rd_kafka_event_destroy(event);
  }
  rd_kafka_queue_destroy(queue);
  rd_kafka_AdminOptions_destroy(options);
  rd_kafka_ConfigResource_destroy(resource);
  free(what);
  return !error_is_set(e);
}

// ---- making a topic

static rd_kafka_NewTopic_t *new_topic(const struct kafka_topic_spec *spec, struct error *e) {
  char text[ERROR_ROOM];
  rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(spec->name, spec->partitions, spec->replicas, text, sizeof text);
  if (!topic) {
    error_set(e, ERROR_CONFIG, "create", "topic %s cannot be made: %s", spec->name, text);
    return NULL;
  }
  for (size_t i = 0; i < spec->count; i++) rd_kafka_NewTopic_set_config(topic, spec->settings[i].name, spec->settings[i].value);
  return topic;
}

// *made: it was this request that made it; somebody else may have been faster.
static bool request_topic(struct kafka_admin *a, const struct kafka_topic_spec *spec, bool trial, const char *what, bool *made,
                          struct error *e) {
  char text[ERROR_ROOM];
  rd_kafka_NewTopic_t *topic = new_topic(spec, e);
  if (!topic) return false;
  rd_kafka_AdminOptions_t *options = options_of(a, RD_KAFKA_ADMIN_OP_CREATETOPICS);
  if (trial) rd_kafka_AdminOptions_set_validate_only(options, 1, text, sizeof text);
  rd_kafka_queue_t *queue = rd_kafka_queue_new(a->rk);
  rd_kafka_CreateTopics(a->rk, &topic, 1, options, queue);
  rd_kafka_event_t *event = answer(a, queue, what, e);
  if (event) {
    size_t count;
    const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    rd_kafka_resp_err_t code = count == 1 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
    *made = code == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (!*made && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
      kafka_error(e, code, what, count == 1 ? rd_kafka_topic_result_error_string(results[0]) : NULL);
    rd_kafka_event_destroy(event);
  }
  rd_kafka_queue_destroy(queue);
  rd_kafka_AdminOptions_destroy(options);
  rd_kafka_NewTopic_destroy(topic);
  return !error_is_set(e);
}

bool kafka_topic_make(struct kafka_admin *a, const struct kafka_topic_spec *spec, bool *made, struct kafka_topic *topic, struct error *e) {
  char *what = memory_print("making topic %s", spec->name);
  *made = false;
  *topic = (struct kafka_topic){0};
  bool good = request_topic(a, spec, false, what, made, e);
  struct kafka_admin_wait wait;
  kafka_admin_wait_begin(&wait, a, what);
  while (good && !topic->exists) {
    good = kafka_topic_look(a, spec->name, topic, e) && (topic->exists || kafka_admin_wait_on(&wait, e));
    if (good && !topic->exists) rd_kafka_poll(a->rk, 50);
  }
  free(what);
  return good;
}

bool kafka_topic_try(struct kafka_admin *a, const struct kafka_topic_spec *spec, struct error *e) {
  char *what = memory_print("making topic %s", spec->name);
  bool made = false, good = request_topic(a, spec, true, what, &made, e);
  free(what);
  return good;
}
