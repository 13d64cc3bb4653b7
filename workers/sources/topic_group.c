// The topic source as a member of a consumer group: several instances of a pipeline share a topic, and the group deals its partitions out.
// topic_state.h draws whose a partition is; workers/common/streams.h how a stream is given up.
//
// The group only says who reads. What keeps every record exactly once is the fence at the target, whatever the group believes: a member
// that was frozen or cut off finds its fence taken, and its records are dropped there. So a drain may be given up, and a deal that comes
// late costs time, never a record.
//
// Deals are eager: before each one everything is taken from everybody. What comes back to the same member goes on as the stream it was.
#include <stdlib.h>

#include "proto/clock.h"
#include "proto/log.h"
#include "workers/common/feedback.h"
#include "workers/sources/topic_state.h"

enum { DRAIN_SECONDS = 5, DRAIN_POLL_MS = 5, LOST_SECONDS = 5, CLUSTER_MS = 3000, CLUSTER_SECONDS = 30 };
static const uint64_t second_ns = 1000000000;

bool topic_group_join(struct topic_source *t, struct error *e) {
  // Identities begin with the cluster's id, so it must be known before anything is dealt.
  for (;;) {
    worker_busy_until(t->w, CLUSTER_SECONDS, "asking the brokers who they are");
    if (kafka_consumer_cluster(t->consumer, CLUSTER_MS, e)) break;
    if (!topic_wait_out(t, e)) return false;
  }
  topic_works(t);
  return kafka_consumer_join(t->consumer, t->topic, e);
}

// What is durable everywhere, under the group: for tools that show lag.
void topic_group_tell(struct topic_source *t, bool wait) {
  struct kafka_partition *all = memory_get((t->count + 1) * sizeof *all);
  size_t count = 0;
  for (size_t i = 0; i < t->count; i++) {
    struct topic_partition *p = &t->partitions[i];
    if (p->hold != TOPIC_OURS || !p->settled) continue;
    int64_t durable = (int64_t)feedback_minimum(t->w->feedback, t->w->feedbacks, p->stream);
    if (durable <= 0 || durable == p->shown) continue;
    p->shown = durable;
    all[count++] = (struct kafka_partition){.topic = p->topic, .number = p->number, .offset = durable};
  }
  kafka_consumer_commit(t->consumer, all, count, wait);
  free(all);
}

static bool is_drained(const struct topic_source *t, const struct topic_partition *p) {
  if (p->hold != TOPIC_OURS || !p->settled || feedback_is_lost(t->w->feedback, t->w->feedbacks, p->stream)) return true;
  return feedback_minimum(t->w->feedback, t->w->feedbacks, p->stream) >= t->source.streams[p->stream].position;
}

void topic_drain(struct topic_source *t) {
  uint64_t end = clock_monotonic_ns() + DRAIN_SECONDS * second_ns;
  source_publish(&t->source);
  while (t->w->feedbacks > 0) {
    bool all = true;
    for (size_t i = 0; all && i < t->count; i++) all = is_drained(t, &t->partitions[i]);
    if (all || clock_monotonic_ns() > end) break;
    worker_wait(t->w, DRAIN_POLL_MS, SLOT_WAITING, "waiting until the sinks have what was read");
  }
  worker_busy_until(t->w, CLUSTER_SECONDS, "telling the group where it is");
  topic_group_tell(t, true);
}

// Eager: what is taken is everything.
static bool taken(struct topic_source *t, bool lost, struct error *e) {
  if (lost) log_say(LOG_LEVEL_WARN, "the group has not heard from this instance for too long, and has given its partitions to others");
  if (!lost) topic_drain(t);
  for (size_t i = 0; i < t->count; i++) {
    struct topic_partition *p = &t->partitions[i];
    if (p->hold != TOPIC_OURS) continue;
    p->hold = lost ? TOPIC_AWAY : TOPIC_PARKED;
    if (lost && !source_give_up(&t->source, p->stream, e)) return false;
  }
  return kafka_consumer_read(t->consumer, NULL, 0, e);
}

// A full table of streams is emptied by cutting the lane: it starts again from what is durable.
static bool stream_begin(struct topic_source *t, uint32_t topic, int32_t number, struct error *e) {
  int64_t stream = topic_stream(t, topic, number, false, e);
  if (stream >= 0) topic_partition_add(t, topic, number, (uint64_t)stream);
  if (stream < 0 && e->class == ERROR_ENVIRONMENT) e->class = ERROR_REWIND;
  return stream >= 0;
}

static bool is_read(const struct topic_source *t, uint64_t stream) {
  for (size_t i = 0; i < t->count; i++)
    if (t->partitions[i].hold == TOPIC_OURS && t->partitions[i].stream == stream) return true;
  return false;
}

// Streams that nobody reads here any more: parked ones, and those of an earlier life, that were not given to us again.
static bool give_up_others(struct topic_source *t, struct error *e) {
  for (uint64_t i = 0; i < t->source.count; i++)
    if (!t->source.streams[i].given && !is_read(t, i) && !source_give_up(&t->source, i, e)) return false;
  for (size_t i = 0; i < t->count; i++)
    if (t->partitions[i].hold == TOPIC_PARKED) t->partitions[i].hold = TOPIC_AWAY;
  return true;
}

static bool given(struct topic_source *t, const struct kafka_dealt *dealt, struct error *e) {
  for (size_t i = 0; i < dealt->count; i++) {
    const struct kafka_partition *one = &dealt->all[i];
    struct topic_partition *p = topic_partition_of(t, one->topic, one->number);
    bool goes_on = p && p->hold == TOPIC_PARKED && !feedback_is_lost(t->w->feedback, t->w->feedbacks, p->stream);
    if (goes_on) {
      p->hold = TOPIC_OURS;
      continue;
    }
    if (p && p->hold == TOPIC_PARKED && !source_give_up(&t->source, p->stream, e)) return false;
    if (!stream_begin(t, one->topic, one->number, e)) return false;
  }
  if (!give_up_others(t, e)) return false;
  t->dealt = true;
  t->limits_known = false;
  log_say(LOG_LEVEL_INFO, "the group has given %zu partition%s to this lane", dealt->count, dealt->count == 1 ? "" : "s");
  bool ends = t->w->once && (!t->written || worker_finish_asked(t->w));
  return topic_settle(t, e) && (!ends || topic_stops_ask(t, e));
}

bool topic_group_dealt(struct topic_source *t, struct error *e) {
  const struct kafka_dealt *dealt = kafka_consumer_dealt(t->consumer);
  topic_works(t);
  switch (dealt->deal) {
  case KAFKA_GIVEN: return given(t, dealt, e);
  case KAFKA_TAKEN: return taken(t, false, e);
  case KAFKA_LOST: return taken(t, true, e);
  }
  return true;
}

bool topic_group_look(struct topic_source *t, uint64_t now, struct error *e) {
  bool again = false;
  for (size_t i = 0; i < t->count; i++) {
    struct topic_partition *p = &t->partitions[i];
    if (p->hold != TOPIC_OURS || !p->settled || !feedback_is_lost(t->w->feedback, t->w->feedbacks, p->stream)) continue;
    if (p->lost_ns == 0) p->lost_ns = now;
    // Time for a deal that is on its way: mostly the other one has it by right, and we are about to learn it.
    if (now - p->lost_ns < LOST_SECONDS * second_ns || !kafka_consumer_is_member(t->consumer)) continue;
    log_say(LOG_LEVEL_WARN, "another instance has written partition %d of topic %s, which the group has given to this one: taken back",
            p->number, kafka_consumer_topic_name(t->consumer, p->topic));
    if (!source_give_up(&t->source, p->stream, e) || !stream_begin(t, p->topic, p->number, e)) return false;
    again = true;
  }
  return !again || topic_settle(t, e);
}
