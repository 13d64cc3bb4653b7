// The topic source: settings, and the loop that takes what the consumer has fetched into the ring. Parts: see topic_state.h.
//
// Nothing is taken from the consumer that the ring has no room for: while the ring is full the worker sleeps, the consumer's own queue
// fills to its bound, and fetching stops. What was fetched and not taken is only in memory; a successor fetches it again behind its
// position.
//
// Ends by itself with --once: at the ends that the partitions had when it started, or, where chains of the same pipeline write the topic,
// at those that they have when the writers are done (SLOT_FINISH).
//
// DIAGNOSTICS (what stops the source, exit code of an operator): a position that the log does not have, another record where the last one
// was, a topic that may not be read. Records that cannot be read become dead letters. Brokers that are away and a topic that is not there
// yet are waited for.
#include "workers/sources/topic_source.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/limits.h"
#include "proto/log.h"
#include "proto/message_tail.h"
#include "workers/common/state_id.h"
#include "workers/sources/topic_letter.h"
#include "workers/sources/topic_state.h"
#include "workers/sources/topic_witness.h"

enum { TURN = 64, TRIM_ABOVE = 256 << 10, SERVE_MS = 1000, LOOK_SECONDS = 10, LOOK_OUTAGE_SECONDS = 5, BACKOFF_MOST_MS = 10000 };
static const uint64_t second_ns = 1000000000;

static bool settings_load(struct topic_source *t, struct error *e) {
  struct job_value settings = t->w->settings;
  t->topic = job_text(settings, "topic", t->w->node);
  t->start = job_text(settings, "start", "earliest");
  t->many = t->topic[0] == '^';
  char *assign = job_text(settings, "assign", "static");
  t->group = strcmp(assign, "group") == 0;
  free(assign);
  t->written = job_bool(job_root(&t->w->job), "fed", job_has(job_get(settings, "from")));
  t->backoff.most_ms = BACKOFF_MOST_MS;
  char *brokers = job_text(job_get(settings, "kafka"), "brokers", "");
  t->shown = memory_print("waiting for topic %s at %s", t->topic, brokers);
  free(brokers);
  return topic_body_open(&t->body, settings, e);
}

// The name of this lane in the group: a successor, of the worker or of the instance, takes over what it had.
static bool member_name(const struct topic_source *t, char **name, struct error *e) {
  *name = NULL;
  if (!t->group) return true;
  char *id = state_id(t->w->state, e);
  if (id) *name = memory_print("weir-%s-%s-%s-%u", t->w->pipeline, t->w->node, id, t->w->lane);
  free(id);
  return *name != NULL;
}

static bool consumer_open(struct topic_source *t, struct error *e) {
  struct worker *w = t->w;
  char *client = memory_print("weir-%s-%s-%u", w->pipeline, w->node, w->lane), *member;
  char *usual = memory_print("weir-%s-%s", w->pipeline, w->node), *group = job_text(w->settings, "group", usual);
  if (member_name(t, &member, e)) t->consumer = kafka_consumer_open(job_get(w->settings, "kafka"), client, group, member, e);
  free(client);
  free(member);
  free(usual);
  free(group);
  return t->consumer != NULL;
}

static void state_free(struct topic_source *t) {
  topic_partitions_free(t);
  topic_body_close(&t->body);
  buffer_free(&t->message);
  kafka_consumer_close(t->consumer);
  free(t->topic);
  free(t->start);
  free(t->shown);
  source_close(&t->source);
}

bool topic_wait_out(struct topic_source *t, struct error *e) {
  if (e->class != ERROR_OUTAGE) return false;
  // Said once, not at every try.
  if (!t->outage) worker_show_error(t->w, e, "waiting");
  t->outage = true;
  error_clear(e);
  char *doing = memory_print("%s, try %u", t->shown, t->backoff.tries + 1);
  bool again = worker_pause(t->w, backoff_next(&t->backoff), doing);
  free(doing);
  if (!again) t->source.stop = true;
  return again;
}

void topic_works(struct topic_source *t) {
  if (t->outage) {
    t->next_renewed = 0; // and may be another one
    log_say(LOG_LEVEL_INFO, "what was waited for is there");
    slot_error_set(&t->w->slot, "");
  }
  t->outage = false;
  backoff_reset(&t->backoff);
}

// ---- one record

static bool record_dead(struct topic_source *t, const struct source_input *input, const struct kafka_record *r, const char *code,
                        const char *reason, struct error *e) {
  const char *topic = kafka_consumer_topic_name(t->consumer, r->topic);
  char *whole = memory_print("%s (topic %s, partition %d, offset %lld)", reason, topic, r->partition, (long long)r->offset);
  struct buffer message = {0};
  struct source_dead dead = {.code = code, .reason = whole, .bytes = r->value, .length = r->value_length};
  topic_letter_tail(r, topic, MESSAGE_TAIL_MOST, &t->message);
  message_tail_text(t->message.at, t->message.length, &message);
  dead.cut = message.length == 0;
  dead.message = buffer_cstring(&message);
  bool good = source_input_dead(&t->source, input, &dead, e);
  buffer_free(&message);
  free(whole);
  return good;
}

// A JSON object straight into the ring. False, and nothing done: *unfit, or e.
static bool record_plain(struct topic_source *t, const struct source_input *input, const struct kafka_record *r, bool *unfit,
                         struct error *e) {
  size_t room = topic_body_room(r->value_length) + t->message.length, most = source_body_max(&t->source);
  uint8_t *body = source_part_begin(&t->source, (uint32_t)(room < most ? room : most), e);
  if (!body) return false;
  struct msgpack_writer out = {.at = body, .end = body + (room < most ? room : most)};
  if (!topic_body_plain(&t->body, r, &out)) {
    source_part_abort(&t->source);
    *unfit = true;
    return false;
  }
  source_part_end(&t->source, input, (uint32_t)(out.at - body));
  return source_input_end(&t->source, input, e);
}

static bool record_whole(struct topic_source *t, const struct source_input *input, const struct kafka_record *r, struct error *e) {
  struct error why = {0};
  if (r->value_length > LIMIT_RECORD) return record_dead(t, input, r, "too-large", "the value is larger than a record may be", e);
  if (!topic_body_make(&t->body, r, kafka_consumer_topic_name(t->consumer, r->topic), &why))
    return record_dead(t, input, r, why.code, why.text, e);
  const struct buffer *body = &t->body.body;
  if (body->length > source_body_max(&t->source))
    return record_dead(t, input, r, "too-large", "the record does not fit into the ring (setting ring)", e);
  uint64_t room = body->length + t->message.length, most = source_body_max(&t->source);
  uint8_t *at = source_part_begin(&t->source, (uint32_t)(room < most ? room : most), e);
  if (!at) return false;
  memcpy(at, body->at, body->length);
  source_part_end(&t->source, input, (uint32_t)body->length);
  return source_input_end(&t->source, input, e);
}

// Everything before the offset was given. What of it held no record of ours moves the position all the same.
static bool skip_to(struct topic_source *t, struct topic_partition *p, int64_t offset, struct error *e) {
  if (offset <= p->next) return true;
  p->next = offset;
  const struct source_stream *s = &t->source.streams[p->stream];
  uint64_t position = (uint64_t)offset, witness = position > s->position ? topic_witness_moved(s->witness, position - s->position) : 0;
  return source_skip(&t->source, p->stream, position, witness, e);
}

static bool record_take(struct topic_source *t, const struct kafka_record *r, struct error *e) {
  struct topic_partition *p = topic_partition_of(t, r->topic, r->partition);
  if (!p || p->hold != TOPIC_OURS) return true;
  if (p->expected_count > 0 && !topic_expected_check(t, p, r, e)) return false;
  if (r->offset < p->next) return true;
  // What lies behind the end that was asked for is the next run's.
  if (p->stop >= 0 && r->offset >= p->stop) return skip_to(t, p, p->stop, e);
  struct source_input input = {.stream = p->stream,
                               .position = (uint64_t)r->offset + 1,
                               .witness = topic_witness(r->millis, r->key, r->key_length, r->value, r->value_length),
                               .time = r->millis >= 0 && r->millis < INT64_MAX / 1000 ? r->millis * 1000 : t->time,
                               .bytes = (uint64_t)r->key_length + r->value_length,
                               .message = &t->message,
                               .tombstone = !r->value};
  worker_hand(t->w, input.stream, input.position);
  p->next = r->offset + 1;
  if (r->millis > p->last_millis && r->millis < INT64_MAX / 1000) p->last_millis = r->millis;
  if (r->value_length > TRIM_ABOVE) t->large = true;
  if (worker_is_set_aside(t->w, input.stream, input.position))
    return record_dead(t, &input, r, "poison", "this record killed the worker that took it, again and again", e);
  topic_letter_tail(r, kafka_consumer_topic_name(t->consumer, r->topic), source_message_max(&t->source), &t->message);
  bool unfit = !t->body.plain || !r->value || r->value_length > LIMIT_RECORD;
  if (!unfit && record_plain(t, &input, r, &unfit, e)) return true;
  return unfit && record_whole(t, &input, r, e);
}

static bool end_take(struct topic_source *t, const struct kafka_record *r, struct error *e) {
  struct topic_partition *p = topic_partition_of(t, r->topic, r->partition);
  if (!p || p->hold != TOPIC_OURS) return true;
  // With --once records may lie between the end that was asked for and this one, and they were not taken.
  return skip_to(t, p, p->stop >= 0 && r->offset > p->stop ? p->stop : r->offset, e);
}

static bool is_one_of(const struct error *e, const char *const *codes) {
  while (*codes && strcmp(e->code, *codes) != 0) codes++;
  return *codes != NULL;
}

static bool error_take(struct topic_source *t, const struct kafka_record *r, struct error *e) {
  // Bytes that arrived broken (check value, compression, form), or deals that were missed: nothing says that the library stays in front of
  // them, and it asks for them without a pause. So the source begins again.
  static const char *const passed_over[] = {"kafka--199", "kafka--198", "kafka--170", "group", NULL};
  // A topic or partition that is gone, or that the broker asked last has not heard of yet.
  static const char *const absent[] = {"kafka-3", "kafka--188", "kafka--190", NULL};
  struct topic_partition *p = topic_partition_of(t, r->topic, r->partition);
  if (strcmp(e->code, "kafka--140") == 0 || strcmp(e->code, "kafka-1") == 0) return p && topic_offset_lost(t, p, e);
  if (is_one_of(e, passed_over)) return false;
  // Members of a group wait for topics and for each other while they go on.
  if (t->group && (strcmp(e->code, "kafka-3") == 0 || strcmp(e->code, "kafka--147") == 0 || e->class == ERROR_OUTAGE)) {
    if (!t->outage) worker_show_error(t->w, e, "waiting");
    t->outage = true;
    error_clear(e);
    return true;
  }
  // A topic that is deleted under us: the successor waits for it to come back, and then finds another one.
  if (is_one_of(e, absent)) e->class = ERROR_OUTAGE;
  return false;
}

// Takes what has come, while the ring has room for whatever it is. *some: something did; *wanted: the room that was not there, else 0.
static bool records_take(struct topic_source *t, bool *some, uint32_t *wanted, struct error *e) {
  struct kafka_record r;
  *some = false;
  t->time = clock_micros();
  for (unsigned taken = 1;; taken++) {
    *wanted = 0;
    if (!source_has_room(&t->source, source_body_max(&t->source), wanted)) return true;
    enum kafka_come come = kafka_consumer_next(t->consumer, &r, e);
    bool good = true;
    switch (come) {
    case KAFKA_NOTHING:
      source_publish(&t->source);
      if (t->large) topic_body_trim(&t->body);
      t->large = false;
      return true;
    case KAFKA_RECORD: good = record_take(t, &r, e); break;
    case KAFKA_DEALT: good = topic_group_dealt(t, e); break;
    case KAFKA_AT_END: good = end_take(t, &r, e); break;
    case KAFKA_ERROR: good = error_take(t, &r, e); break;
    }
    if (!good) return false;
    *some = true;
    if (!kafka_consumer_has_more(t->consumer)) {
      source_publish(&t->source);
      return true;
    }
    if (taken % TURN == 0 && source_turn(&t->source)) return true;
  }
}

// ---- on the side

// As soon as something is known to be found again, then now and then.
static bool renewed_look(struct topic_source *t, uint64_t now, struct error *e) {
  if (t->outage || now < t->next_renewed) return true;
  bool soon;
  if (!topic_renewed_check(t, &soon, e)) return false;
  t->next_renewed = now + (soon ? 0 : (uint64_t)LOOK_SECONDS * second_ns);
  return true;
}

static bool has_read(const struct topic_source *t) {
  for (size_t i = 0; i < t->count; i++)
    if (t->partitions[i].hold == TOPIC_OURS && t->partitions[i].settled) return true;
  return false;
}

// Once a second: the library's own reports, the group's offsets, now and then the brokers' list of partitions and what they say of the
// topic.
static bool serve(struct topic_source *t, uint64_t now, uint64_t *next_look, struct error *e) {
  char trouble[ERROR_TEXT];
  bool added;
  kafka_consumer_serve(t->consumer);
  topic_group_tell(t, false);
  if (t->group && !topic_group_look(t, now, e)) return false;
  kafka_consumer_trouble(t->consumer, trouble);
  if (kafka_consumer_topic_gone(t->consumer) && has_read(t)) {
    // It may be another one when it is there again, so it is taken up as at a start.
    error_set(e, ERROR_OUTAGE, "no-topic", "a topic that was read is gone (%s): it is looked for again", trouble);
    return false;
  }
  if (trouble[0] && !t->outage) {
    struct error told;
    error_set(&told, ERROR_OUTAGE, "brokers", "%s", trouble);
    worker_show_error(t->w, &told, "the brokers are away");
    t->outage = true;
    *next_look = now + LOOK_OUTAGE_SECONDS * second_ns;
  }
  if (!renewed_look(t, now, e)) return false;
  if (t->group || now < *next_look || (t->w->once && !t->written)) return true;
  bool good = topic_partitions_find(t, false, &added, e);
  *next_look = now + (uint64_t)(t->outage ? LOOK_OUTAGE_SECONDS : LOOK_SECONDS) * second_ns;
  return good;
}

// With --once: is everything read that is to be read?
static bool is_finished(struct topic_source *t, bool *asked, struct error *e) {
  bool added;
  if (!t->w->once || (t->written && !worker_finish_asked(t->w)) || (t->group && !t->dealt)) return false;
  if (!*asked) {
    // The writers may have made partitions that were not there at the last look.
    if (t->written && !t->group && !topic_partitions_find(t, true, &added, e)) return false;
    if (!topic_stops_ask(t, e)) return false;
    *asked = true;
  }
  for (size_t i = 0; i < t->count; i++)
    if (t->partitions[i].hold == TOPIC_OURS && t->partitions[i].next < t->partitions[i].stop) return false;
  return true;
}

static void wake(int fd, short what, void *context) {
  (void)what, (void)context;
  uint64_t times;
  // Emptied before the queue is looked at: what comes after this wakes us again.
  ssize_t got = read(fd, &times, sizeof times);
  (void)got;
}

static void rest(struct topic_source *t, uint32_t wanted) {
  // The consumer is served all the while, so that a group knows that we live.
  if (wanted > 0 && source_sleep(&t->source, wanted)) worker_wait(t->w, SERVE_MS, SLOT_BLOCKED, NULL);
  if (wanted == 0) worker_wait(t->w, SERVE_MS, t->outage ? SLOT_WAITING : SLOT_IDLE, t->outage ? t->shown : NULL);
}

static bool records_loop(struct topic_source *t, struct error *e) {
  uint64_t next_serve = 0, next_look = clock_monotonic_ns() + LOOK_SECONDS * second_ns;
  bool asked = false, some;
  uint32_t wanted;
  while (!source_turn(&t->source)) {
    uint64_t now = clock_monotonic_ns();
    if (now >= next_serve) {
      if (!serve(t, now, &next_look, e)) return false;
      next_serve = now + SERVE_MS * 1000000ull;
    }
    if (is_finished(t, &asked, e)) return true;
    if (error_is_set(e) || t->source.stop) return false;
    if (!records_take(t, &some, &wanted, e)) return false;
    if (some && t->outage) topic_works(t);
    if (wanted > 0 || (!some && !t->source.stop)) rest(t, wanted);
  }
  return true;
}

static bool source_work(struct topic_source *t, struct error *e) {
  struct source_kind kind = {.owner = t, .start = topic_start, .check = topic_position_check};
  if (!settings_load(t, e) || !source_open(&t->source, t->w, &kind, 0, e)) return false;
  if (t->source.ended) return true;
  t->source.json = t->body.json;
  if (!consumer_open(t, e)) return false;
  struct event *woken = event_new(t->w->base, kafka_consumer_wake_fd(t->consumer), EV_READ | EV_PERSIST, wake, NULL);
  if (!woken || event_add(woken, NULL) != 0) {
    error_set(e, ERROR_ENVIRONMENT, "events", "cannot watch the consumer");
    return false;
  }
  bool added, begun = t->group ? topic_group_join(t, e) : topic_partitions_find(t, true, &added, e);
  bool good = begun && records_loop(t, e);
  event_free(woken);
  if (!good && (error_is_set(e) || !t->source.stop)) return false;
  if (!source_end(&t->source, e)) return false;
  // The sinks' last commits are waited for, within bounds: who looks at the group after a run with --once is to see no lag.
  topic_drain(t);
  return true;
}

int topic_source_run(struct worker *w) {
  struct topic_source t = {.w = w, .source = {.w = w}};
  struct error e = {0};
  int code = source_leave(&t.source, source_work(&t, &e), &e);
  state_free(&t);
  return code;
}
