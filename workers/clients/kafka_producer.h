// A producer of Kafka: with a transactional id, what is sent between begin and commit becomes visible as one; without, each message stands
// for itself and only flush says that all have arrived.
//
// Called by the topic sink and by the verbs that write positions. One producer belongs to one thread of one process.
//
// The rule that keeps it exactly once: after a timeout or a lost connection between begin and commit nobody knows which of the requests
// on their way will still act, perhaps on a LATER transaction. kafka_producer_is_sound says no then, also after a commit that went well;
// such a producer begins no other (ERROR_OUTAGE), must be closed, and a new one made, whose init makes the brokers refuse all that is left
// of this one.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/job.h"

struct kafka_producer;
struct kafka_outlet; // one topic of a producer

// Called about once a second while a call waits for a broker.
typedef void kafka_tick(void *context, const char *doing, unsigned seconds);

struct kafka_producer_setup {
  struct job_value kafka;
  const char *client;           // shown by the brokers
  const char *transactional_id; // NULL: no transactions
  unsigned transaction_ms;      // how long the brokers wait for an end before they abort
  const char *compression;
  uint32_t batch_bytes; // messages go out in batches of at most this size before compression: what all of its topics take
  kafka_tick *tick;
  void *context;
};

struct kafka_message {
  const void *key, *value; // NULL: none. A message without a value is a tombstone
  size_t key_length, value_length;
  int32_t partition;
  uint64_t mark; // the caller's own number, told when the message fails
};

struct kafka_header {
  const char *name;
  const void *value; // NULL: a header without a value
  size_t length;
};

struct kafka_producer *kafka_producer_open(const struct kafka_producer_setup *setup, struct error *e);
void kafka_producer_close(struct kafka_producer *p); // drops what is on its way; NULL is allowed
bool kafka_producer_is_sound(struct kafka_producer *p);

// Fences every other producer of this id and waits until its last transaction has ended. Waits for a coordinator that is loading.
bool kafka_producer_init(struct kafka_producer *p, struct error *e);
// Without transactions: begin forgets earlier failures, commit is flush, abort does nothing.
bool kafka_producer_begin(struct kafka_producer *p, struct error *e);
// All or nothing. ERROR_DATA: the brokers have refused messages (kafka_producer_failures); the transaction must be aborted.
bool kafka_producer_commit(struct kafka_producer *p, struct error *e);
// False: e, and the producer is not sound.
bool kafka_producer_abort(struct kafka_producer *p, struct error *e);
// Waits until the brokers have taken, or refused, all that was sent. Errors as for commit.
bool kafka_producer_flush(struct kafka_producer *p, struct error *e);
// Marks of the messages that were refused since the last begin; owned by the producer.
const uint64_t *kafka_producer_failures(const struct kafka_producer *p, size_t *count);

// The topic as this producer writes it. Waits until its partitions are known. Belongs to the producer.
struct kafka_outlet *kafka_outlet_open(struct kafka_producer *p, const char *topic, struct error *e);
int32_t kafka_outlet_partitions(const struct kafka_outlet *o);
// Sends messages; those of one partition keep their order. Values must stay unchanged until commit, abort or flush; keys are copied.
bool kafka_outlet_send(struct kafka_outlet *o, const struct kafka_message *messages, size_t count, struct error *e);
// One message with headers, copied whole.
bool kafka_outlet_send_one(struct kafka_outlet *o, const struct kafka_message *message, const struct kafka_header *headers, size_t count,
                           struct error *e);
