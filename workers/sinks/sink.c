// The sink core: the loop of a sink worker and its commit. The contract and the order of a commit stand in sink.h.
//
// Invariant: a batch is cut at an input's end only, so a position never covers half an input. Nothing is released from the ring before it
// is durable at the target.
#include "workers/sinks/sink.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/log.h"
#include "proto/record.h"
#include "shm/crash_point.h"
#include "workers/common/state_id.h"
#include "workers/sinks/owner.h"

enum { COMMIT_SECONDS = 120, MARKS_SECONDS = 1, BACKOFF_MOST_MS = 10000, REST_ROW_NS = 50000, REST_MOST_NS = 10000000 };
static const uint64_t second_ns = 1000000000;

// What the record just taken asks for.
enum taken { TAKEN_ROW, TAKEN_CONTROL, TAKEN_BAD };

// ---- one record

static bool stores_letters_of(const struct sink *s, uint16_t node) {
  return s->dead_nodes[node / 8] >> node % 8 & 1;
}

static bool bad_record(struct error *e, const char *why, const struct record_header *h) {
  error_set(e, ERROR_FAULT, "record", "%s (kind %u, stream %" PRIu32 ", position %" PRIu64 ", part %" PRIu32 ")", why, h->kind, h->stream,
            h->position, h->part);
  return false;
}

// Whether a record's input is durable here already, or no business of this sink any more.
static bool is_passed(const struct target_stream *stream, uint64_t position) {
  return stream->finished || stream->lost || position <= stream->position;
}

static bool check_order(const struct sink *s, const struct record_header *h, struct error *e) {
  if (h->stream >= s->streams.count) return bad_record(e, "a record of a stream that was never announced", h);
  const struct target_stream *stream = &s->streams.at[h->stream];
  if (is_passed(stream, h->position)) return true;
  if (!stream->found) return bad_record(e, "a record before the start of its stream", h);
  uint64_t last = stream->moves ? stream->next_position : stream->position;
  if (h->position <= last) return bad_record(e, "a position that does not rise", h);
  return true;
}

static void add_row(struct sink *s, const struct record_header *h, const uint8_t *body, const uint8_t *end) {
  struct batch_row *row = batch_add(&s->batch);
  row->body = body;
  row->end = end;
  row->position = h->position;
  row->stream = h->stream;
  row->part = h->part;
  row->message = h->kind == RECORD_DATA ? h->message : 0;
  row->again = h->kind == RECORD_DEAD ? h->code : RECORD_PART_ALL;
  row->is_letter = h->kind == RECORD_DEAD;
  row->is_delete = h->kind == RECORD_DATA && (h->flags & RECORD_DELETE) != 0;
  s->batch.deletes += row->is_delete;
  row->set_aside = worker_is_set_aside(s->w, h->stream, h->position);
  if (s->batch.first_ns != 0) return;
  s->batch.first_ns = clock_monotonic_ns();
  slot_oldest_set(&s->w->slot, (uint64_t)clock_micros() * 1000);
}

// The input is complete: the batch may end here, and its stream moves behind it.
static void end_input(struct sink *s, const struct record_header *h, const struct ring_view *view) {
  struct target_stream *stream = &s->streams.at[h->stream];
  s->in_input = false;
  s->batch.end = view->end;
  if (is_passed(stream, h->position)) return;
  stream->moves = s->moves = true;
  stream->next_position = h->position;
  stream->next_witness = h->witness;
}

static enum taken take(struct sink *s, const struct ring_view *view, struct record_header *h, struct error *e) {
  const uint8_t *body, *end;
  if (!record_read(view->payload, view->length, h, &body, &end)) {
    error_set(e, ERROR_FAULT, "record", "the input ring holds something that is no record at %" PRIu64, view->position);
    return TAKEN_BAD;
  }
  switch ((enum record_kind)h->kind) {
  case RECORD_STREAM:
  case RECORD_BARRIER:
  case RECORD_END:
    if (!s->in_input) return TAKEN_CONTROL;
    bad_record(e, "an input is cut short", h);
    return TAKEN_BAD;
  case RECORD_PROGRESS:
    if (!check_order(s, h, e)) return TAKEN_BAD;
    end_input(s, h, view);
    return TAKEN_ROW;
  case RECORD_DATA:
  case RECORD_DEAD: break;
  }
  if (!check_order(s, h, e)) return TAKEN_BAD;
  if (!s->in_input) worker_hand(s->w, h->stream, h->position);
  s->in_input = true;
  bool wanted = h->kind == RECORD_DATA || stores_letters_of(s, h->node);
  if (wanted && !is_passed(&s->streams.at[h->stream], h->position)) add_row(s, h, body, end);
  if (h->flags & RECORD_LAST) end_input(s, h, view);
  return TAKEN_ROW;
}

// ---- the commit

static void drop_rows(struct sink *s) {
  s->moves = false;
  for (size_t i = 0; i < s->streams.count; i++) {
    struct target_stream *stream = &s->streams.at[i];
    if (stream->moves && is_passed(stream, stream->next_position)) stream->moves = false;
    s->moves = s->moves || stream->moves;
  }
  for (size_t i = 0; i < s->batch.count; i++) {
    struct batch_row *row = &s->batch.rows[i];
    if (is_passed(&s->streams.at[row->stream], row->position)) row->state = ROW_GONE;
  }
}

static bool all_lost(const struct sink *s) {
  size_t live = 0;
  for (size_t i = 0; i < s->streams.count; i++) live += !s->streams.at[i].lost && !s->streams.at[i].finished;
  // In a shared chain streams come and go: having none is no reason to end.
  return live == 0 && !s->shared;
}

// Waits out what may pass and takes the streams over again. At the start a missing table or privilege ends the run; in the middle of it
// somebody may just be repairing it, so it counts as an outage then: wait, push back. False: e ends the worker.
static bool endure(struct sink *s, struct error *e) {
  if (e->class == ERROR_OPERATOR && strcmp(e->code, "brake") != 0) {
    e->class = ERROR_OUTAGE;
    s->target->kind->close(s->target);
  }
  if (!sink_wait_out(s, e) || !sink_connect(s, e)) return false;
  sink_tell_lost(s);
  // While we were away another instance may have taken everything over.
  if (s->streams.count == 0 || !all_lost(s)) return true;
  error_set(e, ERROR_FENCED, "fenced", "all of this sink's streams belong to another instance now");
  return false;
}

// What the failure of a commit means. True: try again; what is durable, or lost, has been dropped from the batch.
static bool get_over(struct sink *s, struct error *e) {
  if (e->class == ERROR_FENCED) {
    sink_tell_lost(s);
    drop_rows(s);
    if (all_lost(s)) return false;
    error_clear(e);
    // A target whose fences are one for each stream may have been closed over it; where one was lost, so may others.
    if (!sink_connect(s, e)) return false;
    sink_tell_lost(s);
    drop_rows(s);
    if (!all_lost(s)) return true;
    error_set(e, ERROR_FENCED, "fenced", "all of this sink's streams belong to another instance now");
    return false;
  }
  if (!endure(s, e)) return false;
  drop_rows(s);
  return true;
}

static bool write_batch(struct sink *s, struct error *e) {
  const struct target_kind *kind = s->target->kind;
  while (s->moves) {
    batch_begin(&s->batch);
    worker_busy_until(s->w, COMMIT_SECONDS, NULL);
    if ((!kind->prepare || kind->prepare(s->target, &s->batch, e)) && kind->commit(s->target, &s->batch, &s->streams, e)) return true;
    if (!get_over(s, e)) return false;
  }
  return true;
}

static void note_and_release(struct sink *s, uint64_t upto) {
  struct worker *w = s->w;
  w->counters[COUNT_BYTES_IN] += upto - w->input.head;
  worker_counters_note(w, w->input.note);
  uint64_t *own = w->input.note + WORKER_NOTE_OWN;
  memset(own, 0, SINK_NOTE_OWN_WORDS * sizeof *own);
  own[SINK_NOTE_STREAMS] = s->covered;
  for (size_t i = 0; i < s->covered; i++) {
    if (sink_is_left_out(s, i)) {
      own[SINK_NOTE_LEFT_OUT]++;
      continue;
    }
    own[SINK_NOTE_ROWS] += s->counted[i].rows;
    own[SINK_NOTE_SUPERSEDED] += s->counted[i].superseded;
    own[SINK_NOTE_DEAD] += s->counted[i].dead;
  }
  own[SINK_NOTE_ENDED] = s->ended;
  ring_release(&w->input, upto);
  worker_counters_show(w);
}

static void tell_positions(struct sink *s) {
  for (size_t i = 0; i < s->streams.count; i++) {
    struct target_stream *stream = &s->streams.at[i];
    if (!stream->found || stream->finished || stream->lost) continue;
    feedback_position(&s->w->own_feedback, i, stream->position);
    slot_position_set(&s->w->slot, stream->position);
  }
}

// What the rows that are stored now had and the table has not.
static void count_ignored(struct sink *s) {
  for (size_t i = 0; i < s->batch.count; i++)
    if (s->batch.rows[i].state == ROW_LIVE) s->w->counters[COUNT_IGNORED_FIELDS] += s->batch.rows[i].ignored;
}

// Makes everything up to the last complete input durable and gives the ring back.
static bool commit(struct sink *s, struct error *e) {
  uint64_t began = clock_monotonic_ns();
  bool had_rows = s->batch.count > 0, moved = s->moves;
  if (!moved && s->batch.end <= s->w->input.head) return true; // nothing is held
  if (!write_batch(s, e)) return false;
  CRASH_POINT("sink.after_commit");
  if (had_rows) brake_note(&s->brake, &s->batch);
  if (had_rows) letter_log_batch(&s->letter_log, s->w->node, &s->batch, &s->streams);
  count_ignored(s);
  sink_account(s);
  CRASH_POINT("sink.after_account");
  if (moved) tell_positions(s);
  CRASH_POINT("sink.after_feedback");
  if (s->batch.end > s->w->input.head) note_and_release(s, s->batch.end);
  CRASH_POINT("sink.after_release");
  s->committed_rows = s->batch.count;
  batch_clear(&s->batch);
  s->moves = false;
  worker_hand(s->w, UINT64_MAX, 0);
  slot_oldest_set(&s->w->slot, 0);
  if (!moved) return true;
  worker_did_work(s->w);
  sink_works(s);
  s->committed_ns = s->marks_ns = s->beat_ns = clock_monotonic_ns();
  s->commit_cost_ns = s->committed_ns - began;
  return true;
}

// ---- when

static bool is_full(const struct sink *s) {
  if (s->in_input) return false; // the rest of an input is in the ring already: all its parts are published at once
  uint64_t held = s->w->input.cursor - s->w->input.head;
  if (s->w->careful && held > 0) return true;
  return s->batch.count >= s->most_rows || held >= s->most_bytes || held >= s->half_ring;
}

// How long a sink rests after a commit. What comes while a commit runs is the next batch by itself, so the rest is short: an eighth of what
// the last commit took, which leaves a slow target some air. A steady stream is worth a few milliseconds more, the more of it there is:
// a commit costs server and disk the same for ten rows as for a hundred, and what it takes from the machine delays all that comes.
static uint64_t rest_ns(const struct sink *s) {
  uint64_t for_rows = s->committed_rows * REST_ROW_NS;
  uint64_t rest = s->commit_cost_ns / 8 + (for_rows < REST_MOST_NS ? for_rows : REST_MOST_NS);
  return rest < s->wait_ns ? rest : s->wait_ns;
}

// When what is held must be committed though no more comes: rows at once after a rest, and never later than `commit_every`. Marks alone
// once a second.
static uint64_t due_ns(const struct sink *s) {
  if (s->batch.count == 0) return s->moves ? s->marks_ns + MARKS_SECONDS * second_ns : UINT64_MAX;
  uint64_t rest = rest_ns(s);
  uint64_t by_rest = s->committed_ns + rest, by_age = s->batch.first_ns + s->wait_ns;
  return by_rest < by_age ? by_rest : by_age;
}

// A short rest is slept through: being woken for each record that comes meanwhile would only show that it is not over yet. It ends by the
// clock, so nothing can be missed; the ring holds what comes.
static bool is_resting(const struct sink *s, uint64_t now) {
  uint64_t until = s->batch.count > 0 ? due_ns(s) : 0;
  return until > now && until - now <= REST_MOST_NS;
}

static bool beat(struct sink *s, uint64_t now, struct error *e) {
  const struct target_kind *kind = s->target->kind;
  if (!kind->beat || now < s->beat_ns + TARGET_BEAT_SECONDS * second_ns) return true;
  s->beat_ns = now;
  worker_busy_until(s->w, COMMIT_SECONDS, NULL);
  return kind->beat(s->target, &s->streams, e) || get_over(s, e);
}

static int sleep_ms(const struct sink *s, uint64_t now) {
  uint64_t until = due_ns(s);
  if (s->target->kind->beat && s->beat_ns + TARGET_BEAT_SECONDS * second_ns < until) until = s->beat_ns + TARGET_BEAT_SECONDS * second_ns;
  if (until == UINT64_MAX) return -1;
  return until <= now ? 0 : (int)((until - now) / 1000000 + 1);
}

// ---- the loop

// A record that is no row: everything before it is made durable first.
static bool obey(struct sink *s, const struct record_header *h, const struct ring_view *view, struct error *e) {
  if (!commit(s, e)) return false;
  if (h->kind == RECORD_STREAM && !sink_streams_changed(s, e)) return false;
  CRASH_POINT("sink.before_control_release");
  s->ended = h->kind == RECORD_END;
  note_and_release(s, view->end);
  sink_streams_forgotten(s);
  CRASH_POINT("sink.after_control_release");
  return true;
}

// Takes what is there until the batch is full. *empty: the ring had no more.
static bool fill(struct sink *s, bool *empty, struct error *e) {
  struct ring_view view;
  struct record_header h;
  *empty = false;
  while (!s->ended && !is_full(s)) {
    if (!ring_next(&s->w->input, &view)) {
      *empty = true;
      return true;
    }
    enum taken taken = take(s, &view, &h, e);
    if (taken == TAKEN_BAD || (taken == TAKEN_CONTROL && !obey(s, &h, &view, e))) return false;
  }
  return true;
}

static bool run(struct sink *s, struct error *e) {
  struct worker *w = s->w;
  bool empty;
  while (!s->ended) {
    worker_turn(w);
    if (!fill(s, &empty, e)) return false;
    if (w->input.fault != RING_OK) {
      error_set(e, ERROR_FAULT, "ring", "the input ring is damaged: %s", ring_fault_text(w->input.fault));
      return false;
    }
    uint64_t now = clock_monotonic_ns();
    letter_log_tell(&s->letter_log, now, false);
    if (!s->ended && (is_full(s) || (!s->in_input && due_ns(s) <= now))) {
      if (!commit(s, e)) return false;
      continue;
    }
    // Inputs that all were durable before, or were no business of ours, leave the ring without a commit.
    if (s->batch.count == 0 && !s->moves && s->batch.end > w->input.head) note_and_release(s, s->batch.end);
    if (!beat(s, now, e)) return false;
    if (empty && (is_resting(s, now) || ring_reader_sleep(&w->input))) worker_wait(w, sleep_ms(s, clock_monotonic_ns()), SLOT_IDLE, NULL);
  }
  return true;
}

// ---- beginning and end

static void tick(void *context, const char *doing, unsigned seconds) {
  struct sink *s = context;
  char *text = memory_print("%s, for %u s", doing, seconds);
  worker_busy_until(s->w, COMMIT_SECONDS, text);
  free(text);
}

static bool may_commit(void *context, const struct batch *b, struct error *e) {
  return brake_allows(&((struct sink *)context)->brake, b, e);
}

static void read_limits(struct sink *s) {
  struct job_value settings = s->w->settings, root = job_root(&s->w->job);
  s->most_rows = (uint64_t)job_int(settings, "rows", 50000);
  s->most_bytes = (uint64_t)job_int(settings, "bytes", 4 << 20);
  s->wait_ns = (uint64_t)job_int(settings, "commit_every", 100) * 1000000;
  s->half_ring = s->w->input.capacity / 2;
  s->brake.stop_above = job_double(root, "stop_above", 0.5);
  s->backoff.most_ms = BACKOFF_MOST_MS;
  s->letter_log.topic = job_text(settings, "dead_topic", NULL);
  struct job_walk walk = job_walk_start(job_get(root, "dead_nodes"));
  struct job_value node;
  while (job_walk_next(&walk, NULL, &node)) {
    int64_t index = job_value_int(node, -1);
    if (index >= 0 && index <= UINT16_MAX) s->dead_nodes[index / 8] |= (uint8_t)(1 << index % 8);
  }
}

static bool begin(struct sink *s, const struct target_kind *kind, struct error *e) {
  struct worker *w = s->w;
  if (w->input.words < SINK_NOTE_WORDS) {
    error_set(e, ERROR_FAULT, "ring", "the input ring's notes have %u words, a sink needs %d", w->input.words, SINK_NOTE_WORDS);
    return false;
  }
  worker_counters_load(w, w->input.note);
  // Killed behind the end of the run: all is durable and counted, and nothing comes any more.
  s->ended = w->input.note[WORKER_NOTE_OWN + SINK_NOTE_ENDED] != 0;
  if (s->ended) return true;
  s->batch.end = w->input.head;
  s->connected = w->input.note[WORKER_NOTE_OWN + SINK_NOTE_STREAMS] > 0; // an earlier life was
  s->shared = job_bool(job_root(&w->job), "shared", false);
  s->state_id = state_id(w->state, e);
  if (!s->state_id) return false;
  s->owner = owner_text(s->state_id);
  struct target_setup setup = {.pipeline = w->pipeline,
                               .sink = w->node,
                               .edge = w->edge,
                               .state = w->state,
                               .state_id = s->state_id,
                               .owner = s->owner,
                               .settings = w->settings,
                               .job = job_root(&w->job),
                               .lane = w->lane,
                               .lanes = w->lanes,
                               .dead_store_bytes = (uint64_t)job_int(job_root(&w->job), "dead_store_bytes", 1 << 30),
                               .take_over = w->take_over,
                               .shared = s->shared,
                               .tick = tick,
                               .may_commit = may_commit,
                               .context = s};
  s->target = kind->make(&setup, e);
  if (!s->target || !sink_connect(s, e)) return false;
  sink_tell_lost(s);
  return true;
}

// The end of the run has passed and all is durable: who starts next on this target, with whatever state folder, need not wait for us.
static void leave(struct sink *s) {
  if (!s->target || !s->target->kind->release) return;
  struct target_stream **list = memory_get((s->streams.count + 1) * sizeof *list);
  size_t count = 0;
  for (size_t i = 0; i < s->streams.count; i++) {
    struct target_stream *stream = &s->streams.at[i];
    if (stream->found && !stream->lost && !stream->finished) list[count++] = stream;
  }
  struct error e = {0};
  worker_busy_until(s->w, COMMIT_SECONDS, "leaving its streams");
  if (count > 0 && !s->target->kind->release(s->target, list, count, &e))
    log_say(LOG_LEVEL_INFO, "the streams could not be left: who starts next with another state folder waits for %d s (%s)",
            TARGET_OWNER_SILENT_SECONDS, e.text);
  free(list);
}

int sink_run(struct worker *w, const struct target_kind *kind) {
  struct sink *s = memory_get(sizeof *s);
  struct error e = {0};
  *s = (struct sink){.w = w};
  read_limits(s);
  bool good = begin(s, kind, &e) && run(s, &e);
  if (good) leave(s);
  // Of the instances that have one store of letters, one copies it: who was taken over begins again, where it waits until that one is
  // silent.
  if (e.class == ERROR_FENCED && job_bool(job_root(&w->job), "takes_turns", false)) e.class = ERROR_REWIND;
  letter_log_tell(&s->letter_log, clock_monotonic_ns(), true);
  if (s->target) s->target->kind->free(s->target);
  batch_free(&s->batch);
  sink_streams_free(s);
  free(s->state_id);
  free(s->owner);
  free(s->letter_log.topic);
  free(s);
  return good ? WORKER_EXIT_DONE : worker_fail(w, &e);
}
