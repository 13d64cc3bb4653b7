// Whether the topic that is read is still the one that it was: a topic that is deleted and made anew under a running reader, or a whole
// cluster in the place of another one, answers as if nothing had been, once it has as many records as were read.
//
// Now and then each partition is asked for its first record that is later than all that were read. Of one log the answer never goes back:
// what comes is appended, what goes goes from the front. A topic made anew begins at 0 with such records, so its answer does. Records that
// are written with made-up times can hide that; then the next start tells, by the record in front of the position (topic_streams.c).
//
// Called by the loop of the topic source, between two turns. Brokers that are away are no finding.
#include <inttypes.h>
#include <stdlib.h>

#include "proto/clock.h"
#include "workers/sources/topic_state.h"

// Brokers that are there answer in milliseconds; for one that is not, the reader shall not stand still.
enum { ASK_MS = 500, END_MS = 3000, ASK_SECONDS = 30 };

static bool is_looked_at(const struct topic_partition *p) {
  return p->hold == TOPIC_OURS && p->settled;
}

static bool cluster_check(struct topic_source *t, struct error *e) {
  char *now = kafka_consumer_other_cluster(t->consumer);
  if (!now) return true;
  struct error none = {0};
  const char *before = kafka_consumer_cluster(t->consumer, 0, &none);
  error_set(
      e, ERROR_OPERATOR, "identity",
      "the brokers belong to another cluster now (%s; it was %s), whose records were not read from their beginning. Choices: name the "
      "brokers of the one that was read in `brokers`; or start again, which says what can be done about the positions",
      now, before ? before : "");
  free(now);
  return false;
}

static bool mark_check(struct topic_source *t, struct topic_partition *p, int64_t offset, struct error *e) {
  if (offset == KAFKA_END || offset >= p->mark.offset) return true;
  // The end that was asked for at the start is the old topic's.
  struct kafka_partition end = {.topic = p->topic, .number = p->number};
  struct error none = {0};
  if (kafka_consumer_offsets(t->consumer, &end, 1, KAFKA_END, END_MS, &none)) p->last = end.offset;
  char time[CLOCK_TEXT], *choices = topic_choices(t, p);
  clock_print(p->mark.millis * 1000, time);
  error_set(e, ERROR_OPERATOR, "identity",
            "topic %s, partition %d, was made anew, or lost records, while it was read: what came since %s began at offset %" PRId64
            " or behind it, and begins at %" PRId64 " now. Records in front of position %" PRIu64
            " may not have been read, and the next start goes on behind it, unless it is told otherwise. %s",
            kafka_consumer_topic_name(t->consumer, p->topic), p->number, time, p->mark.offset, offset,
            t->source.streams[p->stream].position, choices);
  free(choices);
  return false;
}

// What the brokers say of the time for the first time. Where nothing is later yet, all that will be comes behind what was read.
static void mark_set(struct topic_partition *p, const struct kafka_partition *answer) {
  p->mark = (struct topic_mark){.millis = p->last_millis + 1, .offset = answer->offset == KAFKA_END ? p->next : answer->offset};
}

// Asks for the marks (`again`), or for new ones. *answered: the brokers have told all; what they leave open is asked for at the next look,
// and no mark is replaced before it was found again. False: e; an outage is none.
static bool ask(struct topic_source *t, bool again, bool *answered, struct error *e) {
  struct kafka_partition *all = memory_get((t->count + 1) * sizeof *all);
  size_t *of = memory_get((t->count + 1) * sizeof *of), count = 0;
  for (size_t i = 0; i < t->count; i++) {
    const struct topic_partition *p = &t->partitions[i];
    int64_t millis = again ? p->mark.millis : p->last_millis + 1;
    bool is_known = p->mark.millis > 0;
    if (!is_looked_at(p) || (again && !is_known) || (!again && (p->last_millis <= 0 || millis == p->mark.millis))) continue;
    of[count] = i;
    all[count++] = (struct kafka_partition){.topic = p->topic, .number = p->number, .offset = millis};
  }
  worker_busy_until(t->w, ASK_SECONDS, "asking the brokers whether the topic is the same");
  bool good = *answered = kafka_consumer_offsets_since(t->consumer, all, count, ASK_MS, e);
  for (size_t i = 0; *answered && good && i < count; i++) {
    struct topic_partition *p = &t->partitions[of[i]];
    if (again)
      good = mark_check(t, p, all[i].offset, e);
    else
      mark_set(p, &all[i]);
  }
  free(all);
  free(of);
  if (*answered || e->class != ERROR_OUTAGE) return good;
  error_clear(e);
  return true;
}

bool topic_renewed_check(struct topic_source *t, bool *soon, struct error *e) {
  bool answered, some = false, all = true;
  *soon = false;
  if (!cluster_check(t, e) || !ask(t, true, &answered, e)) return false;
  if (answered && !ask(t, false, &answered, e)) return false;
  for (size_t i = 0; i < t->count; i++) {
    const struct topic_partition *p = &t->partitions[i];
    if (!is_looked_at(p) || p->last_millis <= 0) continue;
    some = true;
    all = all && p->mark.millis > 0;
  }
  *soon = answered && !(some && all);
  return true;
}
