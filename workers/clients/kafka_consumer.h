// Reading from Kafka: one consumer with one queue for all of its partitions.
//
// Called by: the topic reader and its check. A consumer belongs to one thread; the library's own threads fetch and unpack ahead of it, up
// to the bounds set in kafka_consumer.c.
//
// Offsets are the caller's: the consumer begins where it is told and never stores or looks up a position by itself. Only records of
// committed transactions come. An offset that the broker does not have is an error, never a jump.
//
// Waking up: kafka_consumer_wake_fd is readable when something may have come. Read it empty first, then take until nothing comes.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/clients/kafka.h"

struct kafka_consumer;

// A partition that is read. `topic` is an index into the topics that the caller has named with kafka_consumer_topic.
struct kafka_partition {
  uint32_t topic;
  int32_t number;
  int64_t offset; // asked or answered, as the function says
};

// `member` NULL: partitions are assigned by hand. Otherwise the name under which this consumer is a member of the group: a successor with
// the same name takes over the partitions without a new deal, as long as it comes within ten seconds.
struct kafka_consumer *kafka_consumer_open(struct job_value kafka, const char *client, const char *group, const char *member,
                                           struct error *e);
// Bounded: what the library does not give back within some seconds is left to the end of the process.
void kafka_consumer_close(struct kafka_consumer *c); // NULL is allowed
int kafka_consumer_wake_fd(const struct kafka_consumer *c);

// ---- the cluster; each call waits at most `wait_ms`

// The id of the cluster; owned by the consumer. NULL: e, ERROR_OUTAGE.
const char *kafka_consumer_cluster(struct kafka_consumer *c, int wait_ms, struct error *e);
// The index of a topic's name: the same for the same name.
uint32_t kafka_consumer_topic(struct kafka_consumer *c, const char *name);
const char *kafka_consumer_topic_name(const struct kafka_consumer *c, uint32_t topic);
// Tells every topic of that name, or, where it begins with '^', every one that matches this extended regular expression, with the number of
// its partitions; 0: the broker does not have it (yet). False: e.
typedef void kafka_topic_found(void *context, const char *name, int32_t partitions);
bool kafka_consumer_find(struct kafka_consumer *c, const char *name, int wait_ms, kafka_topic_found *found, void *context, struct error *e);
// The offset of the first record of each partition that is there, behind the last one (of committed transactions), or of the first one
// with that time or a later one (behind the last where there is none).
enum { KAFKA_FIRST = -2, KAFKA_END = -1 };
bool kafka_consumer_offsets(struct kafka_consumer *c, struct kafka_partition *all, size_t count, int64_t millis, int wait_ms,
                            struct error *e);
// The same, of each the first record since its own time, which stands in `offset`; KAFKA_END where there is none.
bool kafka_consumer_offsets_since(struct kafka_consumer *c, struct kafka_partition *all, size_t count, int wait_ms, struct error *e);
// The id of the cluster that answers now where it is not the one of kafka_consumer_cluster, else NULL; owned by the caller.
char *kafka_consumer_other_cluster(struct kafka_consumer *c);

// ---- reading

// From now on exactly these partitions are read, each from its offset on. What was taken and not walked yet is given back.
bool kafka_consumer_read(struct kafka_consumer *c, const struct kafka_partition *all, size_t count, struct error *e);

// A member joins the group; what is dealt out to it comes as KAFKA_DEALT. `name` as for kafka_consumer_find.
bool kafka_consumer_join(struct kafka_consumer *c, const char *name, struct error *e);
// False: the group has taken the partitions away already, it has not heard from us for too long.
bool kafka_consumer_is_member(struct kafka_consumer *c);

enum kafka_deal {
  KAFKA_GIVEN, // these partitions are ours
  KAFKA_TAKEN, // these are to be given back, and nobody gets them before kafka_consumer_read is told so
  KAFKA_LOST,  // these may be another member's already
};
struct kafka_dealt {
  enum kafka_deal deal;
  struct kafka_partition *all;
  size_t count;
};

enum kafka_come {
  KAFKA_NOTHING,
  KAFKA_DEALT, // kafka_consumer_dealt says what; answer it with kafka_consumer_read before the next call
  KAFKA_RECORD,
  KAFKA_AT_END, // of the partition: everything before `offset` has been given
  KAFKA_ERROR,  // e is set; partition and offset where it has some
};
struct kafka_record {
  uint32_t topic;
  int32_t partition;
  int64_t offset;
  int64_t millis;             // -1: none
  const uint8_t *key, *value; // NULL: null
  uint32_t key_length, value_length;
  const void *whole; // for kafka_record_headers
};
// The next thing that has come; valid until the next call.
const struct kafka_dealt *kafka_consumer_dealt(const struct kafka_consumer *c);
enum kafka_come kafka_consumer_next(struct kafka_consumer *c, struct kafka_record *record, struct error *e);
// True while there is more that needs no look into the queue: not the moment to sleep.
bool kafka_consumer_has_more(const struct kafka_consumer *c);
// Serves the library's reports (kafka_consumer_trouble) and answers of commits; about once a second.
void kafka_consumer_serve(struct kafka_consumer *c);
// What the library reported since the last call, "" when nothing; `out` holds ERROR_TEXT bytes.
void kafka_consumer_trouble(struct kafka_consumer *c, char *out);
// Whether it has reported since the last call that a topic is not there.
bool kafka_consumer_topic_gone(struct kafka_consumer *c);
// The headers of a record, in order; stops when `header` says false.
typedef bool kafka_header_found(void *context, const char *name, const void *value, size_t length); // value NULL: null
void kafka_record_headers(const struct kafka_record *record, kafka_header_found *header, void *context);

// ---- what others see

// Stores offsets under the group, for tools that show lag. A failure is a log line. `wait`: comes back with the answer.
void kafka_consumer_commit(struct kafka_consumer *c, const struct kafka_partition *all, size_t count, bool wait);
