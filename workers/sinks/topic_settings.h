// The settings of a topic that is written.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/job.h"

enum topic_format { TOPIC_JSON, TOPIC_MSGPACK, TOPIC_STRING, TOPIC_BYTES };

struct topic_names {
  char **at;
  size_t count;
};

struct topic_header {
  char *name, *column;
};

struct topic_settings {
  char *topic, *dead_topic;      // dead_topic NULL: the state folder keeps the letters
  struct topic_names key, value; // columns; none: no key; all of the record
  char *key_sql;                 // an expression instead of `key`; NULL: none
  char *message;                 // a column with key and headers of a message (proto/dead_message.h), set by the plan alone; NULL: none
  enum topic_format format, key_format;
  struct topic_header *headers;
  size_t header_count;
  char *compression;
  bool exactly_once;
  unsigned transaction_ms;
  int partitions, replication;    // of a topic to be made; -1: as the brokers do by default
  struct job_value create_config; // map of its settings
  struct job_value kafka;
};

bool topic_settings_read(struct topic_settings *s, struct job_value settings, struct error *e);
void topic_settings_free(struct topic_settings *s);
