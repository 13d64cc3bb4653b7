// The partitions of a topic source: which there are, where each begins, whether the log still holds what their positions speak of.
// See topic_state.h for the life of one.
//
// A topic that was deleted and made anew has the same identity; what tells it is a position beyond its end, or another record where the
// last one was. Both stop the source with the choices spelled out, as does a log whose retention has overtaken the position.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/hash.h"
#include "workers/common/choices.h"
#include "workers/sources/topic_state.h"
#include "workers/sources/topic_witness.h"

enum { ASK_MS = 3000, ASK_SECONDS = 30 };

// ---- which

static char *partition_name(const struct topic_source *t, const char *topic, int32_t number) {
  return t->many ? memory_print("%s/%d", topic, number) : memory_print("%d", number);
}

// A partition belongs to one lane; of many topics with few partitions each, every lane gets its share.
static bool is_mine(const struct topic_source *t, const char *topic, int32_t number) {
  uint64_t key = (uint64_t)number + (t->many ? hash_bytes(topic, strlen(topic), 0) % t->w->lanes : 0);
  return key % t->w->lanes == t->w->lane;
}

struct topic_partition *topic_partition_of(struct topic_source *t, uint32_t topic, int32_t number) {
  if (topic >= t->topic_count || number < 0 || number >= t->topics[topic].count || t->topics[topic].at[number] < 0) return NULL;
  return &t->partitions[t->topics[topic].at[number]];
}

static void number_set(struct topic_source *t, uint32_t topic, int32_t number, size_t at) {
  if (topic >= t->topic_count) {
    t->topics = memory_resize(t->topics, (topic + 1) * sizeof *t->topics);
    memset(t->topics + t->topic_count, 0, (topic + 1 - t->topic_count) * sizeof *t->topics);
    t->topic_count = topic + 1;
  }
  struct topic_numbers *n = &t->topics[topic];
  if (number >= n->count) {
    n->at = memory_resize(n->at, (size_t)(number + 1) * sizeof *n->at);
    for (int32_t i = n->count; i <= number; i++) n->at[i] = -1;
    n->count = number + 1;
  }
  n->at[number] = (int32_t)at;
}

struct finding {
  struct topic_source *t;
  bool later;
  bool absent; // a topic was named that is not there
  bool good;
  size_t added;
  struct error *e;
};

int64_t topic_stream(struct topic_source *t, uint32_t topic, int32_t number, bool later, struct error *e) {
  const char *topic_name = kafka_consumer_topic_name(t->consumer, topic);
  char *name = partition_name(t, topic_name, number);
  struct error none = {0};
  const char *cluster = kafka_consumer_cluster(t->consumer, 0, &none);
  char *identity = memory_print("%s/%s/%d", cluster ? cluster : "", topic_name, number);
  // What was here before it under the same name, and was given up, is what it follows.
  int64_t before = source_find(&t->source, name);
  if (before >= 0 && !t->source.streams[before].given) before = -1;
  int64_t stream = source_stream(&t->source, name, identity, before, later, e);
  free(name);
  free(identity);
  return stream;
}

struct topic_partition *topic_partition_add(struct topic_source *t, uint32_t topic, int32_t number, uint64_t stream) {
  struct topic_partition *p = topic_partition_of(t, topic, number);
  if (!p) {
    t->partitions = memory_resize(t->partitions, (t->count + 1) * sizeof *t->partitions);
    number_set(t, topic, number, t->count);
    p = &t->partitions[t->count++];
    *p = (struct topic_partition){.topic = topic, .number = number};
  }
  free(p->expected);
  *p = (struct topic_partition){.topic = topic, .number = number, .stream = stream, .stop = -1, .shown = -1};
  return p;
}

static void find_add(struct finding *f, uint32_t topic, int32_t number) {
  int64_t stream = topic_stream(f->t, topic, number, f->later, f->e);
  f->good = stream >= 0;
  if (!f->good) return;
  topic_partition_add(f->t, topic, number, (uint64_t)stream);
  f->added++;
}

static void topic_found(void *context, const char *topic, int32_t partitions) {
  struct finding *f = context;
  if (partitions == 0) f->absent = true;
  uint32_t index = kafka_consumer_topic(f->t->consumer, topic);
  for (int32_t i = 0; i < partitions && f->good; i++)
    if (is_mine(f->t, topic, i) && !topic_partition_of(f->t, index, i)) find_add(f, index, i);
}

// ---- asking

// Partitions that are asked about together: those of ours that are new, or all of ours.
enum asked { ASKED_NEW, ASKED_ALL };

static bool is_asked(const struct topic_partition *p, enum asked which) {
  return p->hold == TOPIC_OURS && (which == ASKED_ALL || !p->settled);
}

// Their offsets, in the order of the list, whatever it takes. False: e, or (none set) a stop was asked.
static bool offsets_ask(struct topic_source *t, enum asked which, int64_t millis, struct kafka_partition **answers, struct error *e) {
  struct kafka_partition *all = memory_get((t->count + 1) * sizeof *all);
  size_t count = 0;
  for (size_t i = 0; i < t->count; i++) {
    const struct topic_partition *p = &t->partitions[i];
    if (is_asked(p, which)) all[count++] = (struct kafka_partition){.topic = p->topic, .number = p->number};
  }
  *answers = all;
  for (;;) {
    worker_busy_until(t->w, ASK_SECONDS, "asking the brokers for offsets");
    if (kafka_consumer_offsets(t->consumer, all, count, millis, ASK_MS, e)) {
      topic_works(t);
      return true;
    }
    if (!topic_wait_out(t, e)) break;
  }
  free(all);
  *answers = NULL;
  return false;
}

static bool limits_ask(struct topic_source *t, enum asked which, struct error *e) {
  struct kafka_partition *first, *last;
  if (!offsets_ask(t, which, KAFKA_FIRST, &first, e)) return false;
  if (!offsets_ask(t, which, KAFKA_END, &last, e)) {
    free(first);
    return false;
  }
  for (size_t i = 0, at = 0; i < t->count; i++) {
    struct topic_partition *p = &t->partitions[i];
    if (!is_asked(p, which)) continue;
    p->first = first[at].offset;
    p->last = last[at++].offset;
  }
  free(first);
  free(last);
  return true;
}

bool topic_stops_ask(struct topic_source *t, struct error *e) {
  struct kafka_partition *last;
  if (!offsets_ask(t, ASKED_ALL, KAFKA_END, &last, e)) return false;
  for (size_t i = 0, at = 0; i < t->count; i++)
    if (is_asked(&t->partitions[i], ASKED_ALL)) t->partitions[i].stop = last[at++].offset;
  free(last);
  return true;
}

// ---- where

static struct topic_partition *partition_of_stream(struct topic_source *t, uint64_t stream) {
  for (size_t i = 0; i < t->count; i++)
    if (t->partitions[i].hold == TOPIC_OURS && t->partitions[i].stream == stream) return &t->partitions[i];
  return NULL;
}

// All that are new are asked about together, when the first of them is. Where other partitions were begun before (in another lane, or by
// another instance) `latest` is what was the latest then: of a partition that was added since, that is its beginning.
bool topic_start(void *owner, uint64_t stream, uint64_t *position, struct error *e) {
  struct topic_source *t = owner;
  struct topic_partition *p = partition_of_stream(t, stream);
  int64_t micros = 0;
  *position = 0;
  if (!p || strcmp(t->start, "earliest") == 0) return true;
  bool latest = strcmp(t->start, "latest") == 0;
  if (!latest && !clock_parse(t->start, strlen(t->start), &micros)) {
    error_set(e, ERROR_CONFIG, "start", "start is earliest, latest or a time, not \"%s\"", t->start);
    return false;
  }
  if (!t->starts_known) {
    struct kafka_partition *starts;
    int64_t since = t->source.streams[stream].since_ms;
    // A record's time has no more than milliseconds: rounded up, so that none is taken that is before the start.
    int64_t from = !latest ? (micros + 999) / 1000 : since > 0 ? since : KAFKA_END;
    if (!offsets_ask(t, ASKED_NEW, from, &starts, e)) return false;
    for (size_t i = 0, at = 0; i < t->count; i++)
      if (is_asked(&t->partitions[i], ASKED_NEW)) t->partitions[i].next = starts[at++].offset;
    free(starts);
    t->starts_known = true;
  }
  *position = (uint64_t)p->next;
  return true;
}

char *topic_choices(const struct topic_source *t, const struct topic_partition *p) {
  char *name = partition_name(t, kafka_consumer_topic_name(t->consumer, p->topic), p->number);
  char *set = choice_positions(job_root(&t->w->job), NULL), *partition = choice_quote(name);
  char *text = memory_print("Choices: bring the topic back as it was; or `%s --source %s --partition %s --to "
                            "earliest` (everything that the topic has now), `--to %" PRId64 "` (only what comes from now on)",
                            set, t->w->source, partition, p->last);
  free(name);
  free(set);
  free(partition);
  return text;
}

// Does the log hold what comes behind this position?
static bool position_fits(struct topic_source *t, const struct topic_partition *p, uint64_t position, struct error *e) {
  const char *topic = kafka_consumer_topic_name(t->consumer, p->topic);
  // 0 is the very beginning, wherever that is by now.
  bool above = position > (uint64_t)p->last, below = position > 0 && position < (uint64_t)p->first;
  if (!above && !below) return true;
  char *choices = topic_choices(t, p);
  if (above)
    error_set(e, ERROR_OPERATOR, "identity",
              "position %" PRIu64 " of topic %s, partition %d, is beyond its end (%" PRId64
              "): the topic was made anew, or lost records. Nothing was read or skipped. %s",
              position, topic, p->number, p->last, choices);
  else
    error_set(e, ERROR_OPERATOR, "retention",
              "position %" PRIu64 " of topic %s, partition %d, is before its first record (%" PRId64
              "): records that were not read are gone by retention. Nothing was read or skipped. %s",
              position, topic, p->number, p->first, choices);
  free(choices);
  return false;
}

static void expect(struct topic_partition *p, uint64_t position, uint64_t witness) {
  if (position == 0 || witness == 0) return;
  p->expected = memory_resize(p->expected, (p->expected_count + 1) * sizeof *p->expected);
  p->expected[p->expected_count++] = (struct topic_expected){
      .position = position, .offset = (int64_t)topic_witness_offset(position, witness), .witness = witness & TOPIC_WITNESS_HASH};
}

bool topic_position_check(void *owner, uint64_t stream, uint64_t position, uint64_t witness, struct error *e) {
  struct topic_source *t = owner;
  struct topic_partition *p = partition_of_stream(t, stream);
  if (!p) return true;
  // Asked here and not before: while the sinks were waited for, the log has grown.
  if (!t->limits_known && !limits_ask(t, ASKED_NEW, e)) return false;
  t->limits_known = true;
  if (!position_fits(t, p, position, e)) return false;
  expect(p, position, witness);
  return true;
}

// True when the topic's record at an expected place, if it comes, is the right one. Those that were passed are dropped.
bool topic_expected_check(struct topic_source *t, struct topic_partition *p, const struct kafka_record *r, struct error *e) {
  unsigned kept = 0;
  for (unsigned i = 0; i < p->expected_count; i++) {
    const struct topic_expected *x = &p->expected[i];
    if (x->offset > r->offset) p->expected[kept++] = *x;
    if (x->offset != r->offset || x->witness == topic_witness(r->millis, r->key, r->key_length, r->value, r->value_length)) continue;
    char *choices = topic_choices(t, p);
    error_set(e, ERROR_OPERATOR, "identity",
              "the record in front of position %" PRIu64
              " of topic %s, partition %d, is not the one that was read there: the topic was made "
              "anew. Nothing was read or skipped. %s",
              x->position, kafka_consumer_topic_name(t->consumer, p->topic), p->number, choices);
    free(choices);
    return false;
  }
  p->expected_count = kept;
  return true;
}

bool topic_offset_lost(struct topic_source *t, struct topic_partition *p, struct error *e) {
  uint64_t position = t->source.streams[p->stream].position;
  struct error broker = *e;
  error_clear(e);
  if (!limits_ask(t, ASKED_ALL, e) || !position_fits(t, p, position, e)) return false;
  // The log has it after all: a leader that had not caught up yet.
  *e = broker;
  e->class = ERROR_OUTAGE;
  return false;
}

// ---- together

// Reading goes on behind each position; at the record in front of it where there is one to recognise.
static int64_t read_from(const struct topic_partition *p) {
  int64_t from = p->next;
  for (unsigned i = 0; i < p->expected_count; i++)
    if (p->expected[i].offset < from && p->expected[i].offset >= p->first) from = p->expected[i].offset;
  return p->next > 0 ? from : KAFKA_FIRST;
}

static bool read_all(struct topic_source *t, struct error *e) {
  struct kafka_partition *all = memory_get((t->count + 1) * sizeof *all);
  size_t count = 0;
  for (size_t i = 0; i < t->count; i++) {
    const struct topic_partition *p = &t->partitions[i];
    if (p->hold != TOPIC_OURS) continue;
    all[count++] = (struct kafka_partition){.topic = p->topic, .number = p->number, .offset = read_from(p)};
  }
  bool good = kafka_consumer_read(t->consumer, all, count, e);
  free(all);
  return good;
}

bool topic_settle(struct topic_source *t, struct error *e) {
  t->limits_known = t->starts_known = false;
  if (!source_settle(&t->source, e)) return false;
  for (size_t i = 0; i < t->count; i++) {
    struct topic_partition *p = &t->partitions[i];
    if (!is_asked(p, ASKED_NEW)) continue;
    const struct source_stream *stream = &t->source.streams[p->stream];
    // A stream that an earlier life began was checked then; its topic may have changed since.
    if (!topic_position_check(t, p->stream, stream->position, stream->witness, e)) return false;
    p->next = (int64_t)stream->position;
  }
  for (size_t i = 0; i < t->count; i++) t->partitions[i].settled = t->partitions[i].hold == TOPIC_OURS;
  return read_all(t, e);
}

// One look at the brokers' list. False: e.
static bool look(struct topic_source *t, struct finding *f, struct error *e) {
  worker_busy_until(t->w, ASK_SECONDS, "asking the brokers for partitions");
  if (!kafka_consumer_cluster(t->consumer, ASK_MS, e)) return false;
  if (!kafka_consumer_find(t->consumer, t->topic, ASK_MS, topic_found, f, e)) return false;
  return f->good;
}

bool topic_partitions_find(struct topic_source *t, bool wait, bool *added, struct error *e) {
  struct finding f = {.t = t, .later = !wait || t->was_absent, .good = true, .e = e};
  *added = false;
  for (;;) {
    bool good = look(t, &f, e);
    bool absent = good && f.absent && wait;
    if (good && !absent) break;
    if (absent) {
      // Who writes it is finished and has not made it: then there is nothing to read.
      if (t->w->once && t->written && worker_finish_asked(t->w)) return true;
      f.later = t->was_absent = true;
      f.absent = false;
      bool forever = !t->w->once || t->written;
      error_set(
          e, forever ? ERROR_OUTAGE : ERROR_OPERATOR, "no-topic",
          forever
              ? "topic %s is not there (yet)"
              : "topic %s is not there, and --once does not wait for it. Choices: make it, or set its name right; or run without --once",
          t->topic);
    }
    // A look on the side is tried again at the next one.
    if (!wait && e->class == ERROR_OUTAGE) {
      error_clear(e);
      return true;
    }
    if (!topic_wait_out(t, e)) return false;
  }
  topic_works(t);
  *added = f.added > 0;
  return f.added == 0 || topic_settle(t, e);
}

void topic_partitions_free(struct topic_source *t) {
  for (size_t i = 0; i < t->count; i++) free(t->partitions[i].expected);
  for (size_t i = 0; i < t->topic_count; i++) free(t->topics[i].at);
  free(t->partitions);
  free(t->topics);
}
