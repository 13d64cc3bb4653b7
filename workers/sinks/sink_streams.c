// Streams of a sink: from the source's question over the fence to the answer (workers/common/streams.h draws it), and again after every
// reconnect.
//
// Invariant: a stream's feedback never goes back. A target that has less than was acknowledged has lost rows: ERROR_REWIND.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/limits.h"
#include "proto/log.h"
#include "shm/crash_point.h"
#include "workers/sinks/sink.h"

// ---- the table of streams

static void streams_reserve(struct sink *s, size_t count) {
  if (count <= s->streams_room) return;
  size_t room = s->streams_room ? s->streams_room : 8;
  while (room < count) room *= 2;
  s->infos = memory_resize(s->infos, room * sizeof *s->infos);
  s->streams.at = memory_resize(s->streams.at, room * sizeof *s->streams.at);
  s->counted = memory_resize(s->counted, room * sizeof *s->counted);
  s->streams_room = room;
}

// Pointers between streams, again after the arrays have moved.
static void link_streams(struct sink *s) {
  for (size_t i = 0; i < s->streams.count; i++) {
    struct target_stream *stream = &s->streams.at[i];
    int64_t before = s->infos[i].replaces;
    stream->stream = &s->infos[i];
    stream->before = before >= 0 && (size_t)before < i ? &s->streams.at[before] : NULL;
  }
}

static bool is_given_up(const struct sink *s, size_t handle) {
  uint32_t base = (uint32_t)(handle * STREAM_WORDS);
  if (base + STREAM_WORDS > s->w->source_words.count) return false;
  return words_load(&s->w->source_words, base + STREAM_START_STATE) == STREAM_GIVEN_UP;
}

// Takes in what the source has appended since.
static bool load_streams(struct sink *s, struct error *e) {
  uint64_t count = register_count(&s->w->streams);
  if (count > s->w->own_feedback.count / FEEDBACK_WORDS) {
    error_set(e, ERROR_FAULT, "streams", "%" PRIu64 " streams, but feedback words for %u only", count,
              s->w->own_feedback.count / FEEDBACK_WORDS);
    return false;
  }
  streams_reserve(s, (size_t)count);
  while (s->streams.count < count) {
    size_t handle = s->streams.count;
    if (!stream_get(&s->w->streams, handle, &s->infos[handle], e)) return false;
    // What was ours then is ours or has been taken from us. What was given up before this life began has nothing to do with us, but for
    // what an earlier life has stored of it: where that one has not come to the record that says so, it may have died before it counted.
    struct feedback_answer told;
    feedback_get(&s->w->own_feedback, handle, &told);
    bool ours = told.state == FEEDBACK_READY, given = is_given_up(s, handle);
    s->streams.at[handle] =
        (struct target_stream){.given = given, .finished = given, .was_ours = ours, .unheard = given && ours, .held = told.epoch};
    s->counted[handle] = (struct target_totals){0};
    s->streams.count++;
  }
  link_streams(s);
  return true;
}

bool sink_is_left_out(const struct sink *s, size_t handle) {
  return s->streams.at[handle].lost || s->streams.at[handle].given;
}

void sink_tell_lost(struct sink *s) {
  bool news = false;
  for (size_t i = 0; i < s->streams.count; i++) {
    struct target_stream *stream = &s->streams.at[i];
    if (!stream->lost || stream->lost_told) continue;
    stream->lost_told = true;
    log_say(s->shared ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
            "source %s, partition \"%s\" belongs to another instance now: its records are dropped here", s->infos[i].source,
            s->infos[i].partition);
    if (!s->shared) continue;
    feedback_end(&s->w->own_feedback, i, FEEDBACK_LOST);
    news = true;
  }
  if (news) bell_ring(s->w->source_bell);
}

void sink_streams_free(struct sink *s) {
  for (size_t i = 0; i < s->streams.count; i++) stream_free(&s->infos[i]);
  free(s->infos);
  free(s->streams.at);
  free(s->counted);
}

// ---- the account

static void count(struct sink *s, const struct target_totals *now, const struct target_totals *before) {
  uint64_t *c = s->w->counters;
  // Differences wrap: a target that went back to an older state takes back what it no longer holds.
  uint64_t rows = now->rows - before->rows, superseded = now->superseded - before->superseded, dead = now->dead - before->dead;
  c[COUNT_IN] += rows + superseded + dead;
  c[COUNT_WITH_ROWS] += rows + superseded;
  c[COUNT_DEAD_RECORDS] += dead;
  c[COUNT_ROWS_MADE] += rows + superseded + dead;
  c[COUNT_OUT] += rows;
  c[COUNT_SUPERSEDED] += superseded;
  c[COUNT_DEAD_ROWS] += dead;
}

void sink_account(struct sink *s) {
  for (size_t i = 0; i < s->covered; i++) {
    count(s, &s->streams.at[i].totals, &s->counted[i]);
    s->counted[i] = s->streams.at[i].totals;
  }
}

// What streams have brought that were given up unheard. Asked before anybody takes them over: under another epoch the totals are another's.
static bool look_at_unheard(struct sink *s, struct error *e) {
  for (size_t i = 0; i < s->streams.count; i++) {
    struct target_stream *stream = &s->streams.at[i];
    bool there;
    uint64_t epoch;
    struct target_totals totals;
    if (!stream->unheard) continue;
    if (!s->target->kind->look(s->target, stream, &there, &epoch, &totals, e)) return false;
    stream->known = there && epoch == stream->held;
    if (stream->known) stream->totals = totals;
  }
  return true;
}

static struct target_totals sum_of(const struct target_totals *totals, size_t count) {
  struct target_totals sum = {0};
  for (size_t i = 0; i < count; i++) {
    sum.rows += totals[i].rows;
    sum.superseded += totals[i].superseded;
    sum.dead += totals[i].dead;
  }
  return sum;
}

// Streams that were attached before this worker began: what their totals hold beyond the note was committed by a predecessor and not
// counted. Streams attached now for the first time count from what they have now.
static void cover_streams(struct sink *s) {
  const uint64_t *note = s->w->input.note + WORKER_NOTE_OWN;
  if (s->covered == 0 && note[SINK_NOTE_STREAMS] > 0 && note[SINK_NOTE_STREAMS] <= s->streams.count) {
    s->covered = note[SINK_NOTE_STREAMS];
    uint64_t left_out = 0;
    for (size_t i = 0; i < s->covered; i++) {
      left_out += sink_is_left_out(s, i) && !s->streams.at[i].known;
      s->counted[i] = s->streams.at[i].totals;
    }
    struct target_totals now = sum_of(s->counted, s->covered);
    struct target_totals before = {note[SINK_NOTE_ROWS], note[SINK_NOTE_SUPERSEDED], note[SINK_NOTE_DEAD]};
    // Other streams are left out now than were when the note was written: the sums say nothing about each other.
    if (left_out == note[SINK_NOTE_LEFT_OUT]) count(s, &now, &before);
  }
  for (size_t i = 0; i < s->streams.count; i++) {
    struct target_stream *stream = &s->streams.at[i];
    if (!stream->unheard) continue;
    stream->unheard = stream->known = false;
    stream->totals = (struct target_totals){0};
    if (i < s->covered) s->counted[i] = stream->totals;
  }
  for (; s->covered < s->streams.count; s->covered++) s->counted[s->covered] = s->streams.at[s->covered].totals;
}

// ---- taking over

static bool is_followed(const struct sink *s, size_t handle) {
  for (size_t i = handle + 1; i < s->streams.count; i++)
    if (s->infos[i].replaces == (int64_t)handle) return true;
  return false;
}

// A rotated file has the place of the one before it: who is found there makes all earlier ones finished. Latest first, one by one.
static bool attach_chains(struct sink *s, size_t from, struct error *e) {
  for (size_t i = s->streams.count; i-- > from;) {
    struct target_stream *stream = &s->streams.at[i];
    if (!stream->before && !is_followed(s, i)) continue;
    if (stream->finished || stream->lost) continue;
    if (!s->target->kind->attach(s->target, &stream, 1, e)) return false;
    for (struct target_stream *b = &s->streams.at[i]; stream->found && s->infos[b - s->streams.at].replaces >= 0;) {
      b = &s->streams.at[s->infos[b - s->streams.at].replaces];
      b->finished = true;
      if (b->known) continue;                // counted first, from what it had before
      b->totals = (struct target_totals){0}; // the row goes on counting under its new owner
      if (i >= s->covered) s->counted[b - s->streams.at] = (struct target_totals){0};
    }
  }
  return true;
}

static bool attach_streams(struct sink *s, size_t from, struct error *e) {
  struct target_stream **list = memory_get((s->streams.count + 1) * sizeof *list);
  size_t count = 0;
  for (size_t i = from; i < s->streams.count; i++) {
    struct target_stream *stream = &s->streams.at[i];
    bool chained = stream->before || is_followed(s, i);
    if (!chained && !stream->lost && !stream->finished) list[count++] = stream;
  }
  bool ok = count == 0 || s->target->kind->attach(s->target, list, count, e);
  free(list);
  return ok && attach_chains(s, from, e);
}

// What the source is told of a stream now. A stream that was READY before and is behind, or gone, has lost acknowledged rows.
static bool answer(struct sink *s, size_t handle, bool *news, struct error *e) {
  struct target_stream *stream = &s->streams.at[handle];
  struct feedback_answer told, now = {.state = FEEDBACK_NONE, .start = stream->since_ms};
  if (stream->finished || stream->lost) return true;
  feedback_get(&s->w->own_feedback, handle, &told);
  if (told.state == FEEDBACK_READY && (!stream->found || stream->position < told.position)) {
    error_set(e, ERROR_REWIND, "rewind",
              "the target has lost what it had acknowledged: source %s, partition \"%s\" is at %" PRIu64 ", it was at %" PRIu64,
              s->infos[handle].source, s->infos[handle].partition, stream->found ? stream->position : 0, told.position);
    return false;
  }
  if (told.state == FEEDBACK_READY) {
    feedback_epoch(&s->w->own_feedback, handle, stream->epoch);
    feedback_position(&s->w->own_feedback, handle, stream->position);
  } else {
    if (stream->found)
      now = (struct feedback_answer){
          .state = FEEDBACK_KNOWN, .position = stream->position, .witness = stream->witness, .start = stream->start};
    feedback_answer(&s->w->own_feedback, handle, &now);
    *news = true;
  }
  return true;
}

static bool answer_all(struct sink *s, size_t from, struct error *e) {
  bool news = false;
  for (size_t i = from; i < s->streams.count; i++)
    if (!answer(s, i, &news, e)) return false;
  CRASH_POINT("sink.after_answer");
  if (news) bell_ring(s->w->source_bell);
  return true;
}

// One try: opens, and takes over all streams known when the connection is new.
static bool connect_once(struct sink *s, struct error *e) {
  bool fresh;
  worker_busy_until(s->w, 60, NULL);
  if (!s->target->kind->open(s->target, &fresh, e)) return false;
  if (!fresh) return true;
  if (load_streams(s, e) && look_at_unheard(s, e) && attach_streams(s, 0, e) && answer_all(s, 0, e)) {
    cover_streams(s);
    sink_account(s);
    return true;
  }
  s->target->kind->close(s->target); // half taken over is not taken over
  return false;
}

void sink_works(struct sink *s) {
  if (s->backoff.tries > 0) log_say(LOG_LEVEL_INFO, "the target works again, after %u tries", s->backoff.tries);
  backoff_reset(&s->backoff);
}

bool sink_wait_out(struct sink *s, struct error *e) {
  if (e->class != ERROR_OUTAGE) return false;
  bool first = s->backoff.tries == 0;
  bool owned = strcmp(e->code, "owned") == 0;
  uint64_t wait_ms = owned ? 1000 : backoff_next(&s->backoff);
  s->w->counters[COUNT_FAILED_POLLS] += !owned;
  worker_counters_show(s->w);
  // One line at the beginning of an outage, then one a while; the slot shows it all along.
  if (first || s->backoff.tries % 16 == 0)
    worker_show_error(s->w, e, owned ? "waiting for a fence" : "the target does not answer as it should");
  if (owned) s->backoff.tries++;
  char *doing = memory_print("waiting for the target, next try in %" PRIu64 " ms: %s", wait_ms, e->text);
  worker_pause(s->w, wait_ms, doing);
  free(doing);
  error_clear(e);
  return true;
}

// A right that the target's owner has not given, by the words of PostgreSQL and of Kafka (topic, group, cluster, transactional id).
static bool is_missing_right(const struct error *e) {
  static const char *const codes[] = {"42501", "kafka-29", "kafka-30", "kafka-31", "kafka-53"};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (strcmp(e->code, codes[i]) == 0) return true;
  return false;
}

bool sink_connect(struct sink *s, struct error *e) {
  while (!connect_once(s, e)) {
    // At the start somebody is there to read why weir ended; later what was taken may be given back.
    if (s->connected && is_missing_right(e)) e->class = ERROR_OUTAGE;
    if (!sink_wait_out(s, e)) return false;
  }
  s->connected = true;
  return true;
}

// ---- new streams and their starts

static bool is_resolved(const struct sink *s, size_t handle, uint64_t *start) {
  uint32_t base = (uint32_t)(handle * STREAM_WORDS);
  if (base + STREAM_WORDS > s->w->source_words.count) return false;
  if (words_load(&s->w->source_words, base + STREAM_START_STATE) != 1) return false;
  *start = words_load(&s->w->source_words, base + STREAM_START);
  return true;
}

// The stream takes the place of the one before it: what that one had brought counts on under the new one.
static void inherit(struct sink *s, size_t handle) {
  int64_t before = s->infos[handle].replaces;
  if (before < 0 || (size_t)before >= handle) return;
  s->streams.at[before].finished = true;
  s->streams.at[before].totals = s->counted[before] = (struct target_totals){0};
}

static bool settle(struct sink *s, size_t handle, bool *news, struct error *e) {
  struct target_stream *stream = &s->streams.at[handle];
  struct feedback_answer told;
  uint64_t start;
  if (stream->finished || stream->lost || !is_resolved(s, handle, &start)) return true;
  feedback_get(&s->w->own_feedback, handle, &told);
  if (told.state == FEEDBACK_READY) return true;
  if (!stream->found) {
    CRASH_POINT("sink.before_start");
    if (!s->target->kind->start(s->target, stream, start, e)) return false;
    inherit(s, handle);
    s->counted[handle] = stream->totals;
    CRASH_POINT("sink.after_start");
  }
  struct feedback_answer ready = {
      .state = FEEDBACK_READY, .position = stream->position, .witness = stream->witness, .start = stream->start, .epoch = stream->epoch};
  feedback_answer(&s->w->own_feedback, handle, &ready);
  *news = true;
  return true;
}

// The source has given the stream up, all that came before is durable, or lost. Whoever gets it next need not wait for us.
static void forget(struct sink *s, size_t handle) {
  struct target_stream *stream = &s->streams.at[handle];
  struct error e = {0};
  if (stream->found && !stream->lost && !stream->finished && s->target->kind->release &&
      !s->target->kind->release(s->target, &stream, 1, &e))
    log_say(LOG_LEVEL_INFO, "partition \"%s\" could not be left in good order: %s", s->infos[handle].partition, e.text);
  stream->given = stream->finished = true;
  stream->totals = s->counted[handle] = (struct target_totals){0};
}

void sink_streams_forgotten(struct sink *s) {
  for (size_t i = 0; i < s->streams.count; i++) {
    struct feedback_answer told;
    feedback_get(&s->w->own_feedback, i, &told);
    if (s->streams.at[i].given && told.state == FEEDBACK_READY) feedback_end(&s->w->own_feedback, i, FEEDBACK_FORGOTTEN);
  }
}

static bool take_in_streams(struct sink *s, struct error *e) {
  size_t from = s->streams.count;
  bool news = false;
  if (!load_streams(s, e)) return false;
  if (!attach_streams(s, from, e) || !answer_all(s, from, e)) {
    // Those that came now count as not seen yet: the next try loads them again.
    while (s->streams.count > from) stream_free(&s->infos[--s->streams.count]);
    return false;
  }
  cover_streams(s);
  for (size_t i = 0; i < s->streams.count; i++) {
    if (!s->streams.at[i].given && is_given_up(s, i)) forget(s, i);
    if (!settle(s, i, &news, e)) return false;
  }
  if (news) bell_ring(s->w->source_bell);
  return true;
}

bool sink_streams_changed(struct sink *s, struct error *e) {
  for (;;) {
    if (!sink_connect(s, e)) return false;
    if (take_in_streams(s, e)) break;
    if (!sink_wait_out(s, e)) return false;
  }
  sink_works(s);
  return true;
}
