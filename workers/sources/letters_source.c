// The letters source: follows the dead letters of one sink's store and gives each as a record, in the order in which they became visible
// there (workers/common/store_letters.h). The plan puts it in front of the topic of `dead_letters.topic`; no file can name it.
//
// A record: value (the original bytes; of a record JSON), reason, code, node, origin (JSON), format, id, and where they apply column,
// constraint, cut, message (proto/dead_message.h): as a topic that is written tells its own dead letters. One stream: partition = the
// sink's name and the identity of the store's numbering, position = the number. So a store that is made anew, or another instance's, is a
// stream of its own: all of its letters are copied, and those of the other one are not copied again.
//
// Settings: sink text, kind text, settings map (of that sink).
//
// It looks for new letters once a second; when a look takes long, because there are many, it looks less often. With --once it goes on until
// all chains that store letters there have ended (SLOT_FINISH). Killed at any point: numbers lie in the store, positions at the topic.
#include "workers/sources/letters_source.h"

#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/msgpack.h"
#include "shm/crash_point.h"
#include "workers/common/choices.h"
#include "workers/common/feedback.h"
#include "workers/common/store_letters.h"
#include "workers/sources/source.h"

enum {
  READ_MOST = 32,
  LOOK_MS = 1000,
  LOOK_SHARE = 20, // of the time, one part at most goes into looking
  LOOK_MOST_MS = 60000,
  FORGET_MS = 600000,
  STORE_SECONDS = 180,
  BACKOFF_MOST_MS = 10000,
  TEXT_MOST = 4096,
  TEXTS_MOST = 10, // of a record
};

// A letter out of the store, copied: nothing of the store stays open while the ring is waited for.
struct letter {
  uint64_t number;
  bool gone;
  int64_t time;
  struct buffer body; // the record
};

struct letters {
  struct worker *w;
  struct source source;
  struct error *e;
  char *sink, *kind;
  struct store *store;        // NULL: closed
  struct store_copies copies; // what the last look has found
  int64_t stream;             // -1: the store has had no letter yet
  uint64_t look_ms;           // how long the last look took
  uint64_t forgot_ns;         // when numbers were forgotten last
  struct letter letters[READ_MOST];
  unsigned letter_count;
  struct backoff backoff;
};

// ---- the store

static bool store_ready(struct letters *l) {
  if (l->store) return true;
  const struct worker_kind *kind = worker_kind_find(WORKER_SINKER, l->kind);
  if (!kind || !kind->store) {
    error_set(l->e, ERROR_FAULT, "settings", "sinks of type %s keep no dead letters", l->kind);
    return false;
  }
  struct store_place place = {
      .pipeline = l->w->pipeline, .sink = l->sink, .state = l->w->state, .settings = job_get(l->w->settings, "settings")};
  l->store = kind->store(&place, l->e);
  return l->store != NULL;
}

static void store_away(struct letters *l) {
  store_close(l->store);
  l->store = NULL;
}

typedef bool store_step(struct letters *l);

// Asks until the store answers. False: e, or (no error set) a stop was asked.
static bool store_ask(struct letters *l, store_step *step) {
  for (;;) {
    worker_busy_until(l->w, STORE_SECONDS, NULL);
    if (store_ready(l) && step(l)) {
      backoff_reset(&l->backoff);
      return !source_turn(&l->source);
    }
    store_away(l);
    if (l->e->class != ERROR_OUTAGE) return false;
    if (l->backoff.tries == 0) worker_show_error(l->w, l->e, "the store of dead letters does not answer as it should");
    char *doing = memory_print("waiting for the store of sink %s: %s", l->sink, l->e->text);
    error_clear(l->e);
    bool waited = worker_pause(l->w, backoff_next(&l->backoff), doing);
    free(doing);
    if (waited) continue;
    l->source.stop = true;
    return false;
  }
}

static bool letters_look(struct letters *l) {
  uint64_t began = clock_monotonic_ns();
  if (!store_letters_number(l->store, &l->copies, l->e)) return false;
  l->look_ms = (clock_monotonic_ns() - began) / 1000000;
  // A store without letters may be one that is not there yet: the next look opens it anew.
  if (!l->copies.found) store_away(l);
  return true;
}

static bool letters_forget(struct letters *l) {
  uint64_t upto = feedback_minimum(l->w->feedback, l->w->feedbacks, (uint64_t)l->stream);
  l->forgot_ns = clock_monotonic_ns();
  return store_letters_forget(l->store, upto, l->e);
}

// ---- letters as records

static void text_put(struct msgpack_writer *w, const char *key, const char *value) {
  size_t length = strnlen(value ? value : "", TEXT_MOST);
  while (length > 0 && value[length] != '\0' && ((unsigned char)value[length] & 0xc0) == 0x80) length--; // no half character
  msgpack_write_cstring(w, key);
  msgpack_write_text(w, value ? value : "", (uint32_t)length);
}

// {"pipeline": .., "sink": .., "source": .., "partition": .., "position": .., "part": ..} as JSON.
static void origin_make(const struct letters *l, const struct store_copy *c, struct buffer *json) {
  uint8_t bytes[4 * (TEXT_MOST + 32)];
  struct msgpack_writer w = {.at = bytes, .end = bytes + sizeof bytes};
  const uint8_t *at = bytes;
  msgpack_write_map(&w, 6);
  text_put(&w, "pipeline", l->w->pipeline);
  text_put(&w, "sink", l->sink);
  text_put(&w, "source", c->source);
  text_put(&w, "partition", c->partition);
  msgpack_write_cstring(&w, "position");
  msgpack_write_int(&w, c->position);
  msgpack_write_cstring(&w, "part");
  msgpack_write_int(&w, c->part);
  msgpack_to_json(&at, w.at, json);
}

static bool is_format(const struct store_copy *c, const char *format) {
  return c->format && strcmp(c->format, format) == 0;
}

static bool is_record(const struct store_copy *c) {
  bool packed = is_format(c, "tombstone") || is_format(c, "msgpack");
  return packed && !c->cut && c->length > 0 && msgpack_valid(c->data, c->data + c->length);
}

// A record of weir's own is told as JSON: that is what its readers can read. Whatever else died stays as it was.
// Returns the format that the value has then.
static const char *value_make(const struct store_copy *c, struct buffer *value) {
  const uint8_t *at = c->data, *end = c->data + c->length;
  if (is_record(c) && msgpack_to_json(&at, end, value) && at == end) return is_format(c, "tombstone") ? c->format : "json";
  buffer_clear(value);
  buffer_add(value, c->data, c->length);
  return c->format;
}

static void record_make(const struct letters *l, const struct store_copy *c, struct buffer *out) {
  struct buffer origin = {0}, value = {0};
  const char *message = c->message ? c->message : "";
  uint32_t pairs = 8;
  origin_make(l, c, &origin);
  const char *format = value_make(c, &value);
  buffer_clear(out);
  buffer_reserve(out, value.length + origin.length + strlen(message) + TEXTS_MOST * (TEXT_MOST + 32));
  struct msgpack_writer w = {.at = out->at, .end = out->at + out->room};
  uint8_t *opened = msgpack_map_open(&w);
  msgpack_write_cstring(&w, "value");
  msgpack_write_bytes(&w, value.at, (uint32_t)value.length);
  text_put(&w, "reason", c->reason);
  text_put(&w, "code", c->code);
  text_put(&w, "node", c->node);
  msgpack_write_cstring(&w, "origin");
  msgpack_write_text(&w, (const char *)origin.at, (uint32_t)origin.length);
  msgpack_write_cstring(&w, "message");
  msgpack_write_text(&w, message, (uint32_t)strlen(message));
  text_put(&w, "format", format);
  text_put(&w, "id", c->id);
  const char *const rest[][2] = {{"column", c->column}, {"constraint", c->constraint}, {"cut", c->cut ? "true" : ""}};
  for (size_t i = 0; i < sizeof rest / sizeof *rest; i++) {
    if (!rest[i][1] || !*rest[i][1]) continue;
    text_put(&w, rest[i][0], rest[i][1]);
    pairs++;
  }
  msgpack_map_close(opened, pairs);
  out->length = (size_t)(w.at - out->at);
  buffer_free(&origin);
  buffer_free(&value);
}

static void letter_keep(void *context, const struct store_copy *c) {
  struct letters *l = context;
  struct letter *one = &l->letters[l->letter_count++];
  one->number = c->number;
  one->gone = c->gone;
  one->time = clock_micros();
  if (c->gone) return;
  clock_parse(c->first, strlen(c->first), &one->time);
  record_make(l, c, &one->body);
}

static bool letters_read(struct letters *l) {
  l->letter_count = 0;
  return store_letters_read(l->store, l->source.streams[l->stream].position, READ_MOST, letter_keep, l, l->e);
}

// What was dropped before it was read gives nothing; what does not fit into the ring stays in the store alone.
static bool letter_send(struct letters *l, const struct letter *one) {
  struct source_input input = {.stream = (uint64_t)l->stream, .position = one->number, .time = one->time, .bytes = one->body.length};
  worker_hand(l->w, input.stream, input.position);
  bool set_aside = worker_is_set_aside(l->w, input.stream, input.position);
  if (!one->gone && (set_aside || one->body.length > source_body_max(&l->source))) {
    struct source_dead dead = {.code = set_aside ? "poison" : "too-large",
                               .reason = set_aside ? "this letter killed the worker that copied it, again and again"
                                                   : "the letter is larger than a quarter of the ring (setting ring)",
                               .format = "msgpack",
                               .bytes = one->body.at,
                               .length = one->body.length};
    return source_input_dead(&l->source, &input, &dead, l->e);
  }
  if (!one->gone) {
    uint8_t *body = source_part_begin(&l->source, (uint32_t)one->body.length, l->e);
    if (!body) return false;
    memcpy(body, one->body.at, one->body.length);
    source_part_end(&l->source, &input, (uint32_t)one->body.length);
  }
  return source_input_end(&l->source, &input, l->e);
}

// Sends everything that has a number.
static bool letters_send(struct letters *l) {
  do {
    if (!store_ask(l, letters_read)) return false;
    for (unsigned i = 0; i < l->letter_count; i++)
      if (!letter_send(l, &l->letters[i])) return false;
    bool silent = l->letter_count > 0 && l->letters[l->letter_count - 1].gone;
    if (silent && !source_progress(&l->source, (uint64_t)l->stream, l->e)) return false;
    source_publish(&l->source);
    CRASH_POINT("letters.after_publish");
  } while (l->letter_count > 0);
  return true;
}

// ---- the whole

static bool start_of(void *owner, uint64_t stream, uint64_t *position, struct error *e) {
  (void)owner, (void)stream, (void)e;
  *position = 0; // the letters that are there already are copied, too
  return true;
}

// A position above what was given out: letters that come would be taken for copied ones.
static bool position_check(void *owner, uint64_t stream, uint64_t position, uint64_t witness, struct error *e) {
  struct letters *l = owner;
  (void)stream, (void)witness;
  if (position <= l->copies.last) return true;
  // While the topic was waited for another instance has gone on with the same store: only what that has given out by now counts.
  if (!store_ask(l, letters_look)) return false;
  if (position <= l->copies.last) return true;
  char *set = choice_positions(job_root(&l->w->job), NULL);
  error_set(e, ERROR_OPERATOR, "identity",
            "the topic of dead letters has %llu letters of sink %s, but its store has given out %llu numbers only: it was restored from an "
            "older copy. Nothing was changed. Choice: `%s --source %s --to %llu`",
            (unsigned long long)position, l->sink, (unsigned long long)l->copies.last, set, l->w->source,
            (unsigned long long)l->copies.last);
  free(set);
  return false;
}

static bool stream_open(struct letters *l) {
  char *partition = memory_print("%s/%s", l->sink, l->copies.id);
  l->stream = source_stream(&l->source, partition, l->copies.id, -1, false, l->e);
  free(partition);
  return l->stream >= 0 && source_settle(&l->source, l->e);
}

static bool is_old(const struct letters *l) {
  return clock_monotonic_ns() - l->forgot_ns > FORGET_MS * UINT64_C(1000000);
}

static int pause_ms(const struct letters *l) {
  uint64_t ms = l->look_ms * LOOK_SHARE;
  return ms < LOOK_MS ? LOOK_MS : ms > LOOK_MOST_MS ? LOOK_MOST_MS : (int)ms;
}

// One look, and everything that it found. False: e, or a stop was asked.
static bool turn(struct letters *l) {
  if (!store_ask(l, letters_look)) return false;
  if (!l->copies.found) return true;
  if (l->stream < 0 && !stream_open(l)) return false;
  return letters_send(l) && (!is_old(l) || store_ask(l, letters_forget));
}

static bool letters_follow(struct letters *l) {
  for (;;) {
    // Asked before the look: what its writers have stored until then is seen by it.
    bool last = l->w->once && worker_finish_asked(l->w);
    if (!turn(l)) return false;
    if (last) return true;
    uint64_t until = clock_monotonic_ns() + (uint64_t)pause_ms(l) * 1000000;
    while (!source_turn(&l->source) && clock_monotonic_ns() < until && !(l->w->once && worker_finish_asked(l->w)))
      worker_wait(l->w, pause_ms(l), SLOT_IDLE, NULL);
    if (l->source.stop) return false;
  }
}

static bool source_work(struct letters *l) {
  struct source_kind kind = {.owner = l, .start = start_of, .check = position_check};
  l->sink = job_text(l->w->settings, "sink", "");
  l->kind = job_text(l->w->settings, "kind", "");
  if (!source_open(&l->source, l->w, &kind, 0, l->e)) return false;
  if (l->source.ended) return true;
  // A stop that was asked is no failure: what was not sent keeps its number.
  if (!letters_follow(l) && (error_is_set(l->e) || !l->source.stop)) return false;
  return source_end(&l->source, l->e);
}

int letters_source_run(struct worker *w) {
  struct error e = {0};
  struct letters *l = memory_get(sizeof *l);
  *l = (struct letters){.w = w, .source = {.w = w}, .e = &e, .stream = -1, .backoff = {.most_ms = BACKOFF_MOST_MS}};
  int code = source_leave(&l->source, source_work(l), &e);
  source_close(&l->source);
  for (unsigned i = 0; i < READ_MOST; i++) buffer_free(&l->letters[i].body);
  store_away(l);
  free(l->sink);
  free(l->kind);
  free(l);
  return code;
}
