// The common part of all sources: see source.h for the protocol and the layout of the note.
//
// Invariant: the note staged in w->output.note describes exactly the complete groups in front of w->output.group_end, at every call of
// ring_group_end and ring_publish. Only this file and source_input.c touch it.
#include "workers/sources/source.h"

#include <stdlib.h>
#include <string.h>

#include "proto/hash.h"
#include "proto/limits.h"
#include "shm/crash_point.h"
#include "workers/common/feedback.h"

enum { WITNESS_SHIFT = 48 };

uint64_t source_witness(const void *bytes, uint64_t length) {
  uint64_t covered = length < SOURCE_WITNESS_BYTES ? length : SOURCE_WITNESS_BYTES;
  uint64_t hash = hash_bytes((const char *)bytes + (length - covered), (size_t)covered, 0);
  return covered << WITNESS_SHIFT | (hash & (((uint64_t)1 << WITNESS_SHIFT) - 1));
}

uint64_t source_witness_length(uint64_t witness) {
  return witness >> WITNESS_SHIFT;
}

static uint64_t *note_of_end(const struct source *s) {
  return s->w->output.note + WORKER_NOTE_OWN + 2 * s->most;
}

static bool streams_load(struct source *s, struct error *e) {
  uint64_t count = register_count(&s->w->streams);
  if (count > s->most) {
    error_set(e, ERROR_FAULT, "streams", "the lane's stream table has %llu entries, the ring's note has room for %llu",
              (unsigned long long)count, (unsigned long long)s->most);
    return false;
  }
  for (uint64_t i = 0; i < count; i++) {
    struct source_stream *stream = &s->streams[i];
    if (!stream_get(&s->w->streams, i, &stream->entry, e)) return false;
    stream->position = source_note(s, i)[0];
    stream->witness = source_note(s, i)[1];
    // Position 0 is "not begun" or "begun at 0 with nothing published": settling it (again) is right for both.
    stream->begun = stream->position > 0;
    stream->given = words_load(&s->w->source_words, source_word(i, STREAM_START_STATE)) == STREAM_GIVEN_UP;
    // A predecessor may have died between publishing and saying so.
    if (stream->begun) words_store(&s->w->source_words, source_word(i, STREAM_ISSUED), stream->position);
    s->count = i + 1;
  }
  return true;
}

bool source_open(struct source *s, struct worker *w, const struct source_kind *kind, uint64_t extra, struct error *e) {
  *s = (struct source){.w = w, .kind = *kind};
  uint64_t fixed = WORKER_NOTE_OWN + 1 + extra;
  if (w->output.words < fixed + 2) {
    error_set(e, ERROR_FAULT, "ring", "the ring's note has %u words, this source needs %llu", w->output.words,
              (unsigned long long)(fixed + 2));
    return false;
  }
  s->most = (w->output.words - fixed) / 2;
  if (s->most > LIMIT_STREAMS) s->most = LIMIT_STREAMS;
  s->streams = memory_get((size_t)s->most * sizeof *s->streams);
  s->extra = note_of_end(s) + 1;
  s->resumed = w->output.published > 0;
  worker_counters_load(w, w->output.note);
  s->ended = *note_of_end(s) != 0;
  s->dead_node = w->node;
  s->stop_above = job_double(job_root(&w->job), "stop_above", 0.5);
  return streams_load(s, e);
}

void source_close(struct source *s) {
  for (uint64_t i = 0; i < s->count; i++) stream_free(&s->streams[i].entry);
  free(s->streams);
  s->streams = NULL;
  s->count = 0;
}

int64_t source_find(const struct source *s, const char *partition) {
  for (uint64_t i = s->count; i > 0; i--)
    if (strcmp(s->streams[i - 1].entry.partition, partition) == 0) return (int64_t)(i - 1);
  return -1;
}

int64_t source_stream(struct source *s, const char *partition, const char *identity, int64_t replaces, bool later, struct error *e) {
  int64_t known = source_find(s, partition);
  if (known >= 0 && !s->streams[known].given && strcmp(s->streams[known].entry.identity, identity) == 0) return known;
  if (s->count == s->most) {
    error_set(e, ERROR_ENVIRONMENT, "streams", "a lane carries at most %llu streams (partition \"%s\" is one more): use more lanes",
              (unsigned long long)s->most, partition);
    return -1;
  }
  struct stream entry = {.source = memory_text(s->w->source),
                         .partition = memory_text(partition),
                         .identity = memory_text(identity),
                         .fingerprint = memory_text(s->w->fingerprint),
                         .replaces = replaces};
  CRASH_POINT("source.before_append");
  int64_t handle = stream_append(&s->w->streams, &entry, e);
  CRASH_POINT("source.after_append");
  if (handle != (int64_t)s->count) {
    stream_free(&entry);
    if (handle >= 0) error_set(e, ERROR_FAULT, "streams", "the lane's stream table has another writer");
    return -1;
  }
  s->streams[s->count++] = (struct source_stream){.entry = entry, .later = later};
  return handle;
}

// A record without body, in a group of its own, visible at once.
static bool mark_publish(struct source *s, enum record_kind kind, uint64_t stream, struct error *e) {
  struct ring_writer *out = &s->w->output;
  struct record_header header = {.kind = (uint8_t)kind, .flags = RECORD_LAST, .stream = (uint32_t)stream};
  if (!worker_output_room(s->w, sizeof header, e)) return false;
  uint8_t *at = ring_reserve(out, sizeof header);
  if (!at) {
    error_set(e, ERROR_FAULT, "ring", "the output ring is damaged: %s", ring_fault_text(out->fault));
    return false;
  }
  record_write(at, &header);
  ring_commit(out, sizeof header);
  worker_counters_note(s->w, out->note);
  ring_group_end(out);
  ring_publish(out);
  return true;
}

static bool is_pending(const struct source_stream *one) {
  return !one->begun && !one->given;
}

// Waits until every sink has answered every pending stream at least as far as `state`. False: stop.
static bool answers_wait(struct source *s, enum feedback_state least) {
  for (;;) {
    if (source_turn(s)) return false;
    bool all = true;
    for (uint64_t i = 0; all && i < s->count; i++) {
      if (!is_pending(&s->streams[i])) continue;
      for (unsigned sink = 0; all && sink < s->w->feedbacks; sink++) {
        struct feedback_answer a;
        feedback_get(&s->w->feedback[sink], i, &a);
        all = a.state >= least;
      }
    }
    if (all) return true;
    worker_wait(s->w, -1, SLOT_WAITING, "waiting for the positions of the sinks");
  }
}

// True when a sink has a start stored for this stream: the least of them wins over the settings.
static bool stored_start(const struct source *s, uint64_t stream, uint64_t *start) {
  bool found = false;
  for (unsigned sink = 0; sink < s->w->feedbacks; sink++) {
    struct feedback_answer a;
    feedback_get(&s->w->feedback[sink], stream, &a);
    if (a.state != FEEDBACK_KNOWN && a.state != FEEDBACK_READY) continue;
    if (!found || a.start < *start) *start = a.start;
    found = true;
  }
  return found;
}

// When the source began at some sink, as the answers of those say that have not this stream.
static int64_t began_ms(const struct source *s, uint64_t stream) {
  uint64_t since = 0;
  for (unsigned sink = 0; sink < s->w->feedbacks; sink++) {
    struct feedback_answer a;
    feedback_get(&s->w->feedback[sink], stream, &a);
    if (a.state == FEEDBACK_NONE && a.start > 0 && (since == 0 || a.start < since)) since = a.start;
  }
  return since <= INT64_MAX ? (int64_t)since : 0;
}

static bool start_resolve(struct source *s, uint64_t stream, bool ran_before, struct error *e) {
  struct words *words = &s->w->source_words;
  if (words->count < (stream + 1) * STREAM_WORDS) {
    error_set(e, ERROR_FAULT, "words", "the source has %u words, stream %llu needs more", words->count, (unsigned long long)stream);
    return false;
  }
  if (words_load(words, source_word(stream, STREAM_START_STATE)) == STREAM_RESOLVED) return true;
  uint64_t start = 0;
  // A partition that appeared while this source was running, or between two runs of it, starts at its beginning: it belongs to what comes
  // after the start that was resolved once.
  bool beginning = s->streams[stream].later || ran_before;
  s->streams[stream].since_ms = began_ms(s, stream);
  if (!stored_start(s, stream, &start) && !beginning && !s->kind.start(s->kind.owner, stream, &start, e)) return false;
  words_store(words, source_word(stream, STREAM_START), start);
  CRASH_POINT("source.start_resolved");
  words_store(words, source_word(stream, STREAM_START_STATE), STREAM_RESOLVED);
  return true;
}

static bool stream_begin(struct source *s, uint64_t stream, struct error *e) {
  struct source_stream *one = &s->streams[stream];
  uint64_t least = words_load(&s->w->source_words, source_word(stream, STREAM_START)), witness = 0;
  for (unsigned sink = 0; sink < s->w->feedbacks; sink++) {
    struct feedback_answer a;
    feedback_get(&s->w->feedback[sink], stream, &a);
    if (!s->kind.check(s->kind.owner, stream, a.position, a.witness, e)) return false;
    if (sink > 0 && a.position >= least) continue;
    least = a.position;
    witness = a.witness;
  }
  one->position = least;
  one->witness = witness;
  one->begun = true;
  source_note(s, stream)[0] = least;
  source_note(s, stream)[1] = witness;
  return true;
}

bool source_settle(struct source *s, struct error *e) {
  uint64_t first = s->count;
  for (uint64_t i = s->count; i > 0; i--)
    if (is_pending(&s->streams[i - 1])) first = i - 1;
  if (first == s->count) return true;
  if (!mark_publish(s, RECORD_STREAM, first, e)) return false;
  CRASH_POINT("source.announced");
  if (!answers_wait(s, FEEDBACK_NONE)) return false;
  bool ran_before = false;
  uint64_t start;
  for (uint64_t i = 0; i < s->count; i++) ran_before = ran_before || s->streams[i].begun || stored_start(s, i, &start);
  for (uint64_t i = first; i < s->count; i++)
    if (is_pending(&s->streams[i]) && !start_resolve(s, i, ran_before, e)) return false;
  if (!mark_publish(s, RECORD_STREAM, first, e)) return false;
  if (!answers_wait(s, FEEDBACK_READY)) return false;
  CRASH_POINT("source.all_ready");
  for (uint64_t i = first; i < s->count; i++)
    if (is_pending(&s->streams[i]) && !stream_begin(s, i, e)) return false;
  return true;
}

bool source_give_up(struct source *s, uint64_t stream, struct error *e) {
  source_publish(s);
  words_store(&s->w->source_words, source_word(stream, STREAM_START_STATE), STREAM_GIVEN_UP);
  s->streams[stream].given = true;
  return mark_publish(s, RECORD_STREAM, stream, e);
}

bool source_end(struct source *s, struct error *e) {
  if (s->ended) return true;
  source_publish(s);
  *note_of_end(s) = 1;
  if (!mark_publish(s, RECORD_END, 0, e)) return false;
  CRASH_POINT("source.end_published");
  s->ended = true;
  worker_counters_show(s->w);
  return true;
}

int source_leave(struct source *s, bool good, const struct error *e) {
  if (good) return WORKER_EXIT_DONE;
  if (s->streams && s->w->output.fault == RING_OK) source_publish(s);
  return worker_fail(s->w, e);
}

bool source_turn(struct source *s) {
  if (worker_turn(s->w)) s->stop = true;
  return s->stop;
}
