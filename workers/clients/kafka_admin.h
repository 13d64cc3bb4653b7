// What weir asks of a Kafka cluster besides records: its id, its topics and their settings, making a topic, and reading one partition of a
// small topic from its beginning to its end.
//
// Called by the topic sink (positions), its check and its store. One handle belongs to one thread of one process.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/job.h"
#include "workers/clients/kafka_producer.h"

struct kafka_admin;

// Which records a whole partition has: what was committed, or all, those of open and aborted transactions included.
enum kafka_view { KAFKA_COMMITTED, KAFKA_EVERYTHING };

struct kafka_admin_setup {
  struct job_value kafka;
  const char *client;
  enum kafka_view view;
  unsigned wait_ms; // for an answer; 0: a minute
  kafka_tick *tick;
  void *context;
};
struct kafka_admin *kafka_admin_open(const struct kafka_admin_setup *setup, struct error *e);
void kafka_admin_close(struct kafka_admin *a); // NULL is allowed

struct kafka_cluster {
  char *id; // owned by the caller
  int brokers;
};
bool kafka_admin_cluster(struct kafka_admin *a, struct kafka_cluster *cluster, struct error *e);

struct kafka_topic {
  bool exists;
  int32_t partitions;
  int replicas, in_sync; // the fewest of any partition
};
// In a cluster brokers learn of a topic one after the other, so one that was made a moment ago may seem to be absent.
bool kafka_topic_look(struct kafka_admin *a, const char *name, struct kafka_topic *topic, struct error *e);
// The same for who must not take a topic for absent: it is asked for again for some seconds.
bool kafka_topic_look_well(struct kafka_admin *a, const char *name, struct kafka_topic *topic, struct error *e);
// Every setting of an existing topic; value NULL: the brokers do not show it.
typedef void kafka_topic_setting(void *context, const char *name, const char *value);
bool kafka_topic_settings(struct kafka_admin *a, const char *name, kafka_topic_setting *tell, void *context, struct error *e);

enum { KAFKA_TOPIC_SETTINGS = 32 }; // weir check refuses more
struct kafka_topic_spec {
  const char *name;
  int partitions, replicas; // -1: as the brokers do by default
  struct {
    const char *name, *value;
  } settings[KAFKA_TOPIC_SETTINGS];
  size_t count;
};
// Makes it and waits until it is there, as *topic says. A topic that exists already is no error; *made says whether it was this call that
// made it.
bool kafka_topic_make(struct kafka_admin *a, const struct kafka_topic_spec *spec, bool *made, struct kafka_topic *topic, struct error *e);
// Would the brokers make it?
bool kafka_topic_try(struct kafka_admin *a, const struct kafka_topic_spec *spec, struct error *e);

struct kafka_record {
  const void *key, *value; // NULL: none
  size_t key_length, value_length;
  int64_t offset, time_ms;
};
typedef void kafka_record_told(void *context, const struct kafka_record *record);
// Tells every record of a partition, up to the end that it has when this is called. Of KAFKA_COMMITTED waits until the transactions that
// are open before that end have ended.
bool kafka_partition_read(struct kafka_admin *a, const char *topic, int32_t partition, kafka_record_told *tell, void *context,
                          struct error *e);
