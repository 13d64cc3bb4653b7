// The state that the parts of the topic source share: topic_source.c (settings, loop, records), topic_streams.c (which partitions, where
// each begins and ends, and whether the topic is still the same one), topic_body.c (what is in a record).
//
// Position of an input: its offset + 1; 0 is "from the very beginning". Identity: CLUSTER/TOPIC/PARTITION. Witness: topic_witness.h, over
// the record whose offset is position - 1.
//
// Life of one partition:
//
//   found in the brokers' list --> announced (source_settle) --> limits asked: is its position within what the log has? --> read from
//   position - 1 on where a witness is known, else from its position: a record at position - 1 must be the one that the witness is of
//   At the end of the log: a progress mark where the last offsets held no record of ours (markers of transactions, aborted records).
#pragma once
#include "workers/clients/kafka_consumer.h"
#include "workers/sources/source.h"
#include "workers/sources/topic_body.h"

// The record in front of a position of a sink (or of the ring's note), which must still be the same when it comes by.
struct topic_expected {
  uint64_t position;
  int64_t offset; // of the record
  uint64_t witness;
};

// What the brokers have said of a partition: its first record since a time lies at `offset` or behind it.
struct topic_mark {
  int64_t millis; // 0: not asked yet
  int64_t offset;
};

// Whose a partition is. By hand all are ours for ever; a consumer group takes and gives:
//
//   AWAY --given--> OURS --taken, and what was read is durable--> PARKED --given again--> OURS (the same stream goes on)
//                     \--lost--> AWAY                                  \--not given--> AWAY (the stream is given up)
enum topic_hold { TOPIC_OURS, TOPIC_PARKED, TOPIC_AWAY };

struct topic_partition {
  enum topic_hold hold;
  uint64_t lost_ns; // since when a sink says that another instance has its fence; 0: none says so
  uint32_t topic;   // index at the consumer
  int32_t number;
  uint64_t stream;
  int64_t next;                    // the first offset that is wanted: what is below was taken before
  int64_t first, last;             // the log's, when its limits were asked: first offset, and the one behind the last
  int64_t stop;                    // --once: reading ends here; -1: not known yet
  int64_t shown;                   // position last stored under the group
  int64_t last_millis;             // latest time of the records that were taken; 0: none has one
  struct topic_mark mark;          // what the next look must find again
  bool settled;                    // announced, and its position fits the log
  struct topic_expected *expected; // owned
  unsigned expected_count;
};

// Of one topic: where its partitions are in the list, by number; -1: not ours.
struct topic_numbers {
  int32_t *at;
  int32_t count;
};

struct topic_source {
  struct worker *w;
  struct source source;
  struct kafka_consumer *consumer;
  struct topic_body body;
  char *topic;       // name, or "^regex"
  char *start;       // "earliest", "latest" or a time
  char *shown;       // what a waiting worker says it waits for
  bool group;        // a consumer group deals the partitions out
  bool dealt;        // it has done so at least once
  bool many;         // a regex
  bool written;      // chains of this pipeline write the topic: --once ends when they have ended
  bool was_absent;   // the topic was not there when we first looked: everything in it came later
  bool limits_known; // of those that are settled just now
  bool starts_known;
  struct topic_partition *partitions;
  size_t count;
  struct topic_numbers *topics; // by index at the consumer
  size_t topic_count;
  struct backoff backoff;
  uint64_t next_renewed; // when topic_renewed_check is due
  struct buffer message; // what the records of the message in hand carry of it
  bool large;            // a large record came: its memory is given back at the next rest
  bool outage;           // shown, and not over yet
  int64_t time;          // for records without one
};

// Waits out an outage: shows it, backs off. False: e is no outage, or (e cleared) a stop was asked.
bool topic_wait_out(struct topic_source *t, struct error *e);
// The brokers answered.
void topic_works(struct topic_source *t);

// ---- topic_streams.c

// Of struct source_kind: where a stream starts that no sink has seen; whether the log has what comes behind a position.
bool topic_start(void *owner, uint64_t stream, uint64_t *position, struct error *e);
bool topic_position_check(void *owner, uint64_t stream, uint64_t position, uint64_t witness, struct error *e);

// Looks for partitions that are new, announces them, and reads all from their positions on. Waits where the brokers are away, and at the
// start (`wait`) until the topic is there. *added: there were some. False: e, or (none set) a stop was asked.
bool topic_partitions_find(struct topic_source *t, bool wait, bool *added, struct error *e);
// Asks where each partition ends now: --once reads up to there.
bool topic_stops_ask(struct topic_source *t, struct error *e);
// Takes up a partition under this stream, which source_stream has given. Reading begins with topic_settle.
struct topic_partition *topic_partition_add(struct topic_source *t, uint32_t topic, int32_t number, uint64_t stream);
// Announces the stream of a partition; negative: e.
int64_t topic_stream(struct topic_source *t, uint32_t topic, int32_t number, bool later, struct error *e);
// All that are ours and new go through the protocol; then all that are ours are read.
bool topic_settle(struct topic_source *t, struct error *e);
// NULL: not known here.
struct topic_partition *topic_partition_of(struct topic_source *t, uint32_t topic, int32_t number);
// The record in hand against what was expected at its place. False: it is another one (ERROR_OPERATOR).
bool topic_expected_check(struct topic_source *t, struct topic_partition *p, const struct kafka_record *r, struct error *e);
// An offset that the broker does not have (any more): says which of the reasons it is.
bool topic_offset_lost(struct topic_source *t, struct topic_partition *p, struct error *e);
// What an operator can do about a position that does not fit the log. Owned by the caller.
char *topic_choices(const struct topic_source *t, const struct topic_partition *p);
void topic_partitions_free(struct topic_source *t);

// ---- topic_renewed.c

// Whether what is read is still the same topic of the same cluster. *soon: not all that was read can be found again yet, so the next look
// shall not wait. False: e (ERROR_OPERATOR).
bool topic_renewed_check(struct topic_source *t, bool *soon, struct error *e);

// ---- topic_group.c

// Joins the group.
bool topic_group_join(struct topic_source *t, struct error *e);
// The group has dealt out, or taken away.
bool topic_group_dealt(struct topic_source *t, struct error *e);
// Once a second: what is ours by the group, though a sink has lost it to another instance, is announced again.
bool topic_group_look(struct topic_source *t, uint64_t now, struct error *e);
// Waits, within bounds, until what was read of the partitions that are ours is durable at every sink; then tells the group.
void topic_drain(struct topic_source *t);
void topic_group_tell(struct topic_source *t, bool wait);
