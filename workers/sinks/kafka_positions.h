// The records of topic weir_positions: where every stream of every topic sink stands, and who writes.
//
// Two kinds of records, both JSON with a fixed order of names, so that equal keys are equal bytes and compaction keeps the last of each:
//   {"kind":"position","pipeline":..,"sink":..,"edge":..,"source":..,"partition":..} -> position, start, witness, identity, fingerprint,
//       epoch, rows, superseded, dead, owner, writer (the transactional id under which it was written)
//   {"kind":"writer","pipeline":..,"sink":..,"edge":..,"id":..} -> owner: who uses this transactional id. Written at the start, and while
//       nothing else is; its age is the owner's silence.
// All records of one (pipeline, sink) lie in one partition. A record of that kind that cannot be understood is an error, never "nothing".
//
// Called by target_kafka.c and store_kafka.c.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "workers/clients/kafka_admin.h"
#include "workers/sinks/target.h"

#define KAFKA_POSITIONS_TOPIC "weir_positions"

struct kafka_position {
  char *pipeline, *sink, *edge, *source, *partition;
  bool has_position; // false: forgotten
  uint64_t position, start, witness, epoch;
  struct target_totals totals;
  char *identity, *fingerprint, *owner, *writer;
  int64_t seen_ms;
};

struct kafka_writer_seen {
  char *pipeline, *sink, *edge, *id, *owner;
  int64_t seen_ms;
};

struct kafka_positions {
  const char *pipeline, *sink; // NULL: of all
  struct kafka_position *at;
  size_t count, room;
  struct kafka_writer_seen *writers;
  size_t writer_count, writer_room;
  struct json_parser *json;
};

void kafka_positions_make(struct kafka_positions *p, const char *pipeline, const char *sink);
void kafka_positions_clear(struct kafka_positions *p);
void kafka_positions_free(struct kafka_positions *p);
// The partition of a sink's records. Partitions beyond the first KAFKA_POSITIONS_MOST are not used, so adding some moves nothing.
enum { KAFKA_POSITIONS_MOST = 16 };
int32_t kafka_positions_partition(const char *pipeline, const char *sink, int32_t partitions);
// Reads a partition into the table, which is cleared before.
bool kafka_positions_read(struct kafka_positions *p, struct kafka_admin *a, int32_t partition, struct error *e);
// Takes one record in; what is none of ours is passed over. False: e.
bool kafka_positions_take(struct kafka_positions *p, const struct kafka_record *record, struct error *e);

struct kafka_position *kafka_positions_find(struct kafka_positions *p, const char *edge, const char *source, const char *partition);
// The row of a stream, made when absent (without a position).
struct kafka_position *kafka_positions_get(struct kafka_positions *p, const char *edge, const char *source, const char *partition);
struct kafka_writer_seen *kafka_positions_writer(struct kafka_positions *p, const char *edge, const char *id);
// When the first stream of a source began: the least of the epochs, each of which began as a time in milliseconds; 0: none has.
uint64_t kafka_positions_since(const struct kafka_positions *p, const char *edge, const char *source);
// When an owner was last seen under any record; INT64_MIN: never.
int64_t kafka_positions_seen(const struct kafka_positions *p, const char *owner);

void kafka_position_key(const struct kafka_position *row, struct buffer *out);
void kafka_position_value(const struct kafka_position *row, struct buffer *out);
void kafka_writer_key(const struct kafka_writer_seen *w, struct buffer *out);
void kafka_writer_value(const struct kafka_writer_seen *w, struct buffer *out);
// Replaces a text of a row.
void kafka_text_set(char **text, const char *value);
