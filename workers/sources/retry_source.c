// The retry source: reads the journals `retry:NODE` of the sinks behind a node, in order, and sends their records to that node again. Of a
// stage's letter only the dead row is wanted (RECORD_RETRY); a source's letter is raw bytes and is read once more, as JSON, or in the
// formats of its topic and with the metadata of its message; a sink's is a row.
//
// One stream a store: partition = the sink's name, identity = that of the store's journal, position = number in it. When all sinks have a
// position durably, the rows up to it are deleted; when nothing is left, the run ends. What fails again is a dead letter of its own, filed
// under the same node, so it can be retried again.
//
// Settings: node text (whose letters), of text ("source", "transform", "sink"), of_kind text and of_settings map (of that node), stores
// array of {sink text, kind text, settings map}.
//
// Killed at any point: what the ring holds, its note says; what the sinks have, their positions say; rows that were delivered and not yet
// deleted lie at or below those positions and are passed over.
#include "workers/sources/retry_source.h"

#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/json.h"
#include "proto/message_tail.h"
#include "proto/msgpack.h"
#include "proto/record.h"
#include "shm/crash_point.h"
#include "workers/common/choices.h"
#include "workers/common/feedback.h"
#include "workers/common/store_retry.h"
#include "workers/sources/source.h"
#include "workers/sources/topic_body.h"
#include "workers/sources/topic_letter.h"

enum { READ_MOST = 32, LOOK_MS = 20, STORE_SECONDS = 180, BACKOFF_MOST_MS = 10000 };

struct store_of {
  char *sink, *kind;
  struct job_value settings;
  struct store *store; // NULL: closed
  int64_t stream;      // -1: nothing was ever marked in it
  uint64_t last;       // the highest number given out when we looked
  uint64_t deleted;    // rows up to here are gone
};

// A letter out of a store, copied: nothing of the store stays open while the ring is waited for.
struct letter {
  uint64_t number;
  int64_t again, time;
  char *format, *reason, *code, *message;
  struct buffer data;
};

struct retry {
  struct worker *w;
  struct source source;
  struct error *e;
  char *node, *of, *of_kind;
  struct store_of *stores;
  size_t store_count;
  struct letter letters[READ_MOST];
  unsigned letter_count;
  struct json_parser *json;
  bool of_topic; // `body` is there: the node reads a topic
  struct topic_body body;
  struct buffer message; // what the records of the letter in hand carry of its message
  struct backoff backoff;
};

// ---- stores

static bool settings_load(struct retry *r) {
  struct job_value settings = r->w->settings, one;
  r->node = job_text(settings, "node", "");
  r->of = job_text(settings, "of", "");
  r->of_kind = job_text(settings, "of_kind", "");
  struct job_walk walk = job_walk_start(job_get(settings, "stores"));
  while (job_walk_next(&walk, NULL, &one)) {
    r->stores = memory_resize(r->stores, (r->store_count + 1) * sizeof *r->stores);
    r->stores[r->store_count++] = (struct store_of){
        .sink = job_text(one, "sink", ""), .kind = job_text(one, "kind", ""), .settings = job_get(one, "settings"), .stream = -1};
  }
  r->of_topic = strcmp(r->of, "source") == 0 && strcmp(r->of_kind, "topic") == 0;
  if (r->of_topic && !topic_body_open(&r->body, job_get(settings, "of_settings"), r->e)) return false;
  r->body.headers = topic_letter_headers;
  if (*r->node && r->store_count > 0) return true;
  error_set(r->e, ERROR_FAULT, "settings", "a retry without a node or a store");
  return false;
}

static bool store_ready(struct retry *r, struct store_of *s) {
  if (s->store) return true;
  const struct worker_kind *kind = worker_kind_find(WORKER_SINKER, s->kind);
  if (!kind || !kind->store) {
    error_set(r->e, ERROR_FAULT, "settings", "sinks of type %s keep no dead letters", s->kind);
    return false;
  }
  struct store_place place = {.pipeline = r->w->pipeline, .sink = s->sink, .state = r->w->state, .settings = s->settings};
  s->store = kind->store(&place, r->e);
  return s->store != NULL;
}

// What is asked of a store.
typedef bool store_step(struct retry *r, struct store_of *s);

// Asks until the store answers. False: e, or (no error set) a stop was asked.
static bool store_ask(struct retry *r, struct store_of *s, store_step *step) {
  for (;;) {
    worker_busy_until(r->w, STORE_SECONDS, NULL);
    if (store_ready(r, s) && step(r, s)) {
      backoff_reset(&r->backoff);
      return !source_turn(&r->source);
    }
    store_close(s->store);
    s->store = NULL;
    if (r->e->class != ERROR_OUTAGE) return false;
    if (r->backoff.tries == 0) worker_show_error(r->w, r->e, "the store of dead letters does not answer as it should");
    char *doing = memory_print("waiting for the store of sink %s: %s", s->sink, r->e->text);
    error_clear(r->e);
    bool waited = worker_pause(r->w, backoff_next(&r->backoff), doing);
    free(doing);
    if (waited) continue;
    r->source.stop = true;
    return false;
  }
}

static bool stream_look(struct retry *r, struct store_of *s) {
  struct store_retry journal;
  if (!store_retry_look(s->store, r->node, &journal, r->e)) return false;
  if (!journal.found) return true;
  s->stream = source_stream(&r->source, s->sink, journal.id, -1, false, r->e);
  s->last = journal.last;
  return s->stream >= 0;
}

static void letter_keep(void *context, const struct store_retried *given) {
  struct retry *r = context;
  struct letter *l = &r->letters[r->letter_count++];
  l->number = given->number;
  l->again = given->again;
  if (!clock_parse(given->first, strlen(given->first), &l->time)) l->time = clock_micros();
  l->format = memory_text(given->format);
  l->reason = memory_text(given->reason);
  l->code = memory_text(given->code);
  l->message = memory_text(given->message);
  buffer_clear(&l->data);
  buffer_add(&l->data, given->data, given->length);
  buffer_reserve(&l->data, JSON_PADDING);
  memset(l->data.at + l->data.length, 0, JSON_PADDING);
}

static void letters_forget(struct retry *r) {
  for (unsigned i = 0; i < r->letter_count; i++) {
    free(r->letters[i].format);
    free(r->letters[i].reason);
    free(r->letters[i].code);
    free(r->letters[i].message);
  }
  r->letter_count = 0;
}

static bool letters_read(struct retry *r, struct store_of *s) {
  letters_forget(r); // of a try that broke off
  return store_retry_read(s->store, r->node, r->source.streams[s->stream].position, READ_MOST, letter_keep, r, r->e);
}

static uint64_t durable(const struct retry *r, const struct store_of *s) {
  return feedback_minimum(r->w->feedback, r->w->feedbacks, (uint64_t)s->stream);
}

static bool delivered_delete(struct retry *r, struct store_of *s) {
  uint64_t upto = durable(r, s);
  CRASH_POINT("retry.before_delete");
  if (!store_retry_done(s->store, r->node, upto, r->e)) return false;
  CRASH_POINT("retry.after_delete");
  s->deleted = upto;
  return true;
}

// ---- letters into the ring

static bool letter_dead(struct retry *r, const struct source_input *input, const struct letter *l, const char *code, const char *reason) {
  struct source_dead dead = {
      .code = code, .reason = reason, .format = l->format, .message = l->message, .bytes = l->data.at, .length = l->data.length};
  return source_input_dead(&r->source, input, &dead, r->e);
}

static bool is_map(const struct letter *l) {
  const uint8_t *at = l->data.at;
  struct msgpack_value head;
  return l->data.length > 0 && msgpack_valid(at, at + l->data.length) && msgpack_read(&at, at + l->data.length, &head) &&
         head.type == MSGPACK_MAP;
}

static bool record_send(struct retry *r, const struct source_input *input, const struct letter *l, const uint8_t *bytes, size_t length) {
  if (length > source_body_max(&r->source))
    return letter_dead(r, input, l, "too-large", "the record is larger than a quarter of the ring (setting ring)");
  uint64_t room = length + input->message->length, most = source_body_max(&r->source);
  uint8_t *body = source_part_begin(&r->source, (uint32_t)(room < most ? room : most), r->e);
  if (!body) return false;
  memcpy(body, bytes, length);
  source_part_end(&r->source, input, (uint32_t)length);
  return source_input_end(&r->source, input, r->e);
}

// The raw bytes of a source's input, as JSON.
static bool text_send(struct retry *r, const struct source_input *input, const struct letter *l) {
  struct buffer record = {0};
  struct error why = {0};
  bool good;
  if (!r->json) r->source.json = r->json = json_parser_new();
  if (!json_to_msgpack(r->json, (const char *)l->data.at, l->data.length, &record, &why))
    good = letter_dead(r, input, l, why.code, why.text);
  else if ((record.at[0] & 0xf0) != 0x80 && record.at[0] != 0xde && record.at[0] != 0xdf)
    good = letter_dead(r, input, l, "not-an-object", "a record is a JSON object; this is another value");
  else
    good = record_send(r, input, l, record.at, record.length);
  buffer_free(&record);
  return good;
}

// The message that a topic's reader could not make a record of.
static bool message_send(struct retry *r, struct source_input *input, const struct letter *l, const struct dead_message *message) {
  struct error why = {0};
  struct kafka_record record = topic_letter_record(message, l->data.at, l->data.length);
  input->tombstone = message->tombstone;
  if (topic_body_make(&r->body, &record, message->topic, &why)) return record_send(r, input, l, r->body.body.at, r->body.body.length);
  char *reason = memory_print("%s (topic %s, partition %d, offset %lld)", why.text, message->topic, (int)message->partition,
                              (long long)message->offset);
  bool good = letter_dead(r, input, l, why.code, reason);
  free(reason);
  return good;
}

// What was a message, and what its records carry of it.
static void message_load(struct retry *r, const struct letter *l, struct dead_message *message) {
  bool known = dead_message_read(message, l->message, strlen(l->message));
  buffer_clear(&r->message);
  if (!known) return;
  message_tail_begin(&r->message, message);
  message_tail_end(&r->message, source_message_max(&r->source));
}

// Sent as what it was: a message that its source could not read, a record, or a source's bytes.
static bool original_send(struct retry *r, struct source_input *input, const struct letter *l, const struct dead_message *message) {
  bool of_source = strcmp(r->of, "source") == 0;
  if (r->of_topic && message->topic && strcmp(l->format, "raw") == 0) return message_send(r, input, l, message);
  if (is_map(l)) return record_send(r, input, l, l->data.at, l->data.length);
  if (of_source) return text_send(r, input, l);
  return letter_dead(r, input, l, "unreadable", "the original kept in the dead letter is no record");
}

static bool letter_send(struct retry *r, const struct store_of *s, const struct letter *l) {
  struct source_input input = {.stream = (uint64_t)s->stream,
                               .position = l->number,
                               .time = l->time,
                               .bytes = l->data.length,
                               .message = &r->message,
                               .tombstone = strcmp(l->format, "tombstone") == 0,
                               .retry = true,
                               .again = l->again < 0 ? RECORD_PART_ALL : (uint32_t)l->again};
  bool of_source = strcmp(r->of, "source") == 0;
  worker_hand(r->w, input.stream, input.position);
  if (worker_is_set_aside(r->w, input.stream, input.position))
    return letter_dead(r, &input, l, "poison", "this input killed the worker that took it, again and again");
  // What such a source calls an input is a number for its SQL, which runs inside of it; nothing behind it could read that.
  if (of_source && strcmp(r->of_kind, "generate") == 0) return letter_dead(r, &input, l, l->code, l->reason);
  struct dead_message message;
  message_load(r, l, &message);
  bool good = original_send(r, &input, l, &message);
  dead_message_free(&message);
  return good;
}

// Sends everything behind the stream's position.
static bool stream_send(struct retry *r, struct store_of *s) {
  do {
    if (!store_ask(r, s, letters_read)) return false;
    for (unsigned i = 0; i < r->letter_count; i++)
      if (!letter_send(r, s, &r->letters[i])) return false;
    source_publish(&r->source);
    CRASH_POINT("retry.after_publish");
    if (durable(r, s) > s->deleted && !store_ask(r, s, delivered_delete)) return false;
  } while (r->letter_count > 0);
  return true;
}

// All sinks have all of it: what was delivered goes.
static bool stream_finish(struct retry *r, struct store_of *s) {
  while (durable(r, s) < r->source.streams[s->stream].position) {
    if (source_turn(&r->source)) return false;
    worker_wait(r->w, LOOK_MS, SLOT_WAITING, "waiting until all sinks have stored what was retried");
  }
  return store_ask(r, s, delivered_delete);
}

// ---- the whole

static bool start_of(void *owner, uint64_t stream, uint64_t *position, struct error *e) {
  (void)owner, (void)stream, (void)e;
  *position = 0;
  return true;
}

// A position above what was given out: records that come would be taken for stored ones.
static bool position_check(void *owner, uint64_t stream, uint64_t position, uint64_t witness, struct error *e) {
  const struct retry *r = owner;
  (void)witness;
  for (size_t i = 0; i < r->store_count; i++) {
    const struct store_of *s = &r->stores[i];
    if (s->stream != (int64_t)stream || position <= s->last) continue;
    char *set = choice_positions(job_root(&r->w->job), NULL);
    error_set(
        e, ERROR_OPERATOR, "identity",
        "a sink is at %llu of what was retried of %s, but the store of sink %s has given out %llu only: it was restored from an older "
        "copy. Nothing was changed. Choice: `%s --source retry:%s --partition %s --to %llu`",
        (unsigned long long)position, r->node, s->sink, (unsigned long long)s->last, set, r->node, s->sink, (unsigned long long)s->last);
    free(set);
    return false;
  }
  return true;
}

static bool streams_open(struct retry *r) {
  for (size_t i = 0; i < r->store_count; i++)
    if (!store_ask(r, &r->stores[i], stream_look)) return false;
  return source_settle(&r->source, r->e);
}

static bool everything_send(struct retry *r) {
  for (size_t i = 0; i < r->store_count; i++)
    if (r->stores[i].stream >= 0 && !stream_send(r, &r->stores[i])) return false;
  for (size_t i = 0; i < r->store_count; i++)
    if (r->stores[i].stream >= 0 && !stream_finish(r, &r->stores[i])) return false;
  CRASH_POINT("retry.before_end");
  return true;
}

static bool source_work(struct retry *r) {
  struct source_kind kind = {.owner = r, .start = start_of, .check = position_check};
  if (!settings_load(r) || !source_open(&r->source, r->w, &kind, 0, r->e)) return false;
  r->source.dead_node = r->node;
  if (r->source.ended) return true;
  // A stop that was asked is no failure: what was not sent stays in its journal.
  bool stopped = !(streams_open(r) && everything_send(r));
  if (stopped && (error_is_set(r->e) || !r->source.stop)) return false;
  return source_end(&r->source, r->e);
}

int retry_source_run(struct worker *w) {
  struct error e = {0};
  struct retry *r = memory_get(sizeof *r);
  *r = (struct retry){.w = w, .source = {.w = w}, .e = &e, .backoff = {.most_ms = BACKOFF_MOST_MS}};
  int code = source_leave(&r->source, source_work(r), &e);
  source_close(&r->source);
  letters_forget(r);
  for (unsigned i = 0; i < READ_MOST; i++) buffer_free(&r->letters[i].data);
  for (size_t i = 0; i < r->store_count; i++) {
    store_close(r->stores[i].store);
    free(r->stores[i].sink);
    free(r->stores[i].kind);
  }
  if (r->json) json_parser_free(r->json);
  if (r->of_topic) topic_body_close(&r->body);
  buffer_free(&r->message);
  free(r->stores);
  free(r->node);
  free(r->of);
  free(r->of_kind);
  free(r);
  return code;
}
