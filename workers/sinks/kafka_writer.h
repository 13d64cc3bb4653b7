// A writer: one transactional id with its producer, and what it sends in the transaction in hand.
//
// Called by target_kafka.c. Rows are encoded into chunks of memory that stay where they are until the transaction has ended, so that the
// producer sends them from there.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "workers/clients/kafka_producer.h"
#include "workers/sinks/kafka_positions.h"
#include "workers/sinks/kafka_rows.h"
#include "workers/sinks/kafka_topics.h"
#include "workers/sinks/target.h"

struct kafka_chunk;

struct kafka_writer {
  char *id;                        // the transactional id; at least once: only a name
  char *source, *partition;        // of a shared chain: the stream that it writes; NULL: all of the lane
  struct kafka_producer *producer; // NULL: closed
  struct kafka_outlet *rows, *letters, *positions;
  struct kafka_chunk *filling, *sent, *spare;
  uint64_t next_partition; // round robin
  bool begun;
};

// Marks of messages that are no rows of the batch.
#define KAFKA_MARK_OTHER UINT64_MAX

struct kafka_writer_setup {
  const struct target_setup *target;
  const struct topic_settings *settings;
  const struct kafka_topics *topics;
  struct kafka_key *key; // of `key_sql`; NULL: without
};

// Opens the producer and fences all others of its id.
bool kafka_writer_open(struct kafka_writer *w, const struct kafka_writer_setup *setup, struct error *e);
void kafka_writer_close(struct kafka_writer *w); // an open transaction is aborted where that is possible
void kafka_writer_free(struct kafka_writer *w);

bool kafka_writer_begin(struct kafka_writer *w, struct error *e);
// Encodes and sends one record; one that cannot be a message of the topic is killed in the batch. `mark` is its index there.
bool kafka_writer_row(struct kafka_writer *w, const struct kafka_writer_setup *setup, struct batch *b, uint64_t mark, struct error *e);
// Sends what was encoded and not yet sent.
bool kafka_writer_push(struct kafka_writer *w, struct error *e);
bool kafka_writer_letter(struct kafka_writer *w, const struct kafka_writer_setup *setup, const struct dead_entry *entry, struct error *e);
bool kafka_writer_position(struct kafka_writer *w, const struct kafka_position *row, int32_t partition, struct error *e);
bool kafka_writer_sign(struct kafka_writer *w, const struct kafka_writer_seen *seen, int32_t partition, struct error *e);
bool kafka_writer_commit(struct kafka_writer *w, struct error *e);
// After a failure: false: the writer was closed, nothing can be said of it but by opening it again.
bool kafka_writer_abort(struct kafka_writer *w);
