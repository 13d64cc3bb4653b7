// The topics that a topic sink needs: the one it writes, weir_positions, and the one for dead letters. Made when absent; what an existing
// one has otherwise than asked for is told and left as it is.
//
// Called by target_kafka.c, the check and the store.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "workers/clients/kafka_admin.h"
#include "workers/sinks/target.h"
#include "workers/sinks/topic_settings.h"

// What the brokers take in one batch when they do not say otherwise, and the most that weir sends in one.
enum { KAFKA_BATCH_MOST = 1000000, KAFKA_BATCH_OVERHEAD = 128 };

struct kafka_topics {
  int32_t positions_partitions;
  uint32_t row_most, letter_most, batch_bytes; // bytes of a message's key and value; of a batch that all three take
  bool compacted;                              // the topic takes no message without a key
};

// weir_positions, made when absent. ERROR_OPERATOR: it is there, but would lose positions.
bool kafka_topics_positions(struct kafka_admin *a, struct kafka_topics *topics, struct error *e);
// The others, made when absent. ERROR_OPERATOR: the topic is absent, though by its positions the sink has stored records in it.
bool kafka_topics_open(struct kafka_admin *a, const struct topic_settings *s, const struct target_setup *setup, uint64_t stored,
                       struct kafka_topics *topics, struct error *e);

// What the settings want of a topic that has to be made. Valid as long as the settings; free with kafka_spec_free.
void kafka_spec_make(const struct topic_settings *s, struct kafka_topic_spec *spec);
void kafka_spec_free(struct kafka_topic_spec *spec);
bool kafka_spec_positions(struct kafka_admin *a, struct kafka_topic_spec *spec, struct error *e);
// How an existing topic differs from what `create` says, as text; empty: it does not.
bool kafka_topic_differs(struct kafka_admin *a, const struct kafka_topic_spec *spec, const struct kafka_topic *topic, struct buffer *out,
                         struct error *e);
