// The input side of the SQL stage: takes records off the ring, and closes inputs: flags the last part, keeps the account and the brake,
// brings the resume note up to date.
//
// Invariant: the note's cursor stands behind the last input whose group is complete, so a successor takes up exactly there.
#include <string.h>

#include "proto/hash.h"
#include "shm/crash_point.h"
#include "workers/common/streams.h"
#include "workers/sql/stage.h"

enum { TURN_EVERY = 16 }; // records between two signs of life

static bool fail_ring(struct stage *s, const char *which, enum ring_fault fault) {
  error_set(&s->error, ERROR_FAULT, "ring", "the %s ring is damaged: %s", which, ring_fault_text(fault));
  return false;
}

static void tally_record(struct stage *s) {
  struct stage_tally *t = &s->tally;
  t->in++;
  t->bytes += s->view.length;
  if (s->good > 0)
    t->with_rows++;
  else if (s->dead > 0)
    t->dead_records++;
  else
    t->filtered++;
  t->out += s->good;
  t->dead_rows += s->dead;
}

static void brake_note(struct stage_brake *brake, bool dead) {
  brake->dead += (unsigned)dead - brake->window[brake->at];
  brake->window[brake->at] = dead;
  brake->at = (brake->at + 1) % STAGE_WINDOW;
  brake->alike = !dead ? 0 : brake->hash == brake->alike_hash ? brake->alike + 1 : 1;
  brake->alike_hash = brake->hash;
  bool alike = brake->alike >= STAGE_WINDOW && brake->stop_above <= 1; // above: nothing stops it, as when letters are retried
  if (brake->dead > brake->stop_above * STAGE_WINDOW || alike) brake->stop = true;
}

static void mark_clear(struct stage_marks *marks, uint32_t stream) {
  if (stream >= marks->room || marks->list[stream].kind == 0) return;
  marks->list[stream].kind = 0;
  marks->due--;
}

static void mark_set(struct stage_marks *marks, const struct record_header *header) {
  if (header->stream >= marks->room) {
    uint32_t room = header->stream + 16;
    marks->list = memory_resize(marks->list, room * sizeof *marks->list);
    memset(marks->list + marks->room, 0, (room - marks->room) * sizeof *marks->list);
    marks->room = room;
  }
  struct record_header *mark = &marks->list[header->stream];
  marks->due += mark->kind == 0;
  *mark = *header;
  mark->kind = RECORD_PROGRESS;
  mark->flags = RECORD_LAST;
  mark->part = mark->code = 0;
}

static void account_add(struct stage *s) {
  uint64_t *c = s->w->counters;
  const struct stage_tally *t = &s->tally;
  c[COUNT_IN] += t->in;
  c[COUNT_BYTES_IN] += t->bytes;
  c[COUNT_WITH_ROWS] += t->with_rows;
  c[COUNT_FILTERED] += t->filtered;
  c[COUNT_DEAD_RECORDS] += t->dead_records;
  c[COUNT_ROWS_MADE] += t->out + t->dead_rows;
  c[COUNT_OUT] += t->out;
  c[COUNT_DEAD_ROWS] += t->dead_rows;
}

// The group is complete: the note says up to where the input is done with.
static void group_done(struct stage *s) {
  struct ring_writer *out = &s->w->output;
  ring_group_end(out);
  if (out->published != out->group_end) return;
  // A quarter of a ring has published itself: then the inputs behind it are given back at once.
  s->covered = s->finished;
  ring_release(&s->w->input, s->covered);
}

static void note_fill(struct stage *s) {
  uint64_t *note = s->w->output.note;
  s->finished = s->view.end;
  worker_counters_note(s->w, note);
  note[STAGE_NOTE_CURSOR] = s->finished;
}

// The open input is complete. One that gave nothing leaves a mark, due at the end of the turn.
static void input_done(struct stage *s) {
  account_add(s);
  note_fill(s);
  s->in_input = false;
  if (s->parts == 0) {
    mark_set(&s->marks, &s->header);
    return;
  }
  s->last[offsetof(struct record_header, flags)] |= RECORD_LAST;
  mark_clear(&s->marks, s->stream);
  group_done(s);
  CRASH_POINT("sql.input_done");
}

void stage_done_alone(struct stage *s) {
  note_fill(s);
  s->in_record = false;
  group_done(s);
}

void stage_record_done(struct stage *s) {
  if (s->header.kind == RECORD_DATA) {
    tally_record(s);
    brake_note(&s->brake, s->dead > 0);
  }
  s->in_record = false;
  if (s->header.flags & RECORD_LAST) input_done(s);
}

static void input_begin(struct stage *s) {
  s->in_input = true;
  s->stream = s->header.stream;
  s->position = s->header.position;
  s->tally = (struct stage_tally){0};
  s->parts = 0;
  s->carried = 0;
}

static bool belongs_to_input(const struct record_header *h) {
  return h->kind == RECORD_DATA || h->kind == RECORD_DEAD;
}

bool stage_take(struct stage *s) {
  struct worker *w = s->w;
  struct ring_view view;
  if (!ring_next(&w->input, &view)) return w->input.fault == RING_OK ? false : fail_ring(s, "input", w->input.fault);
  struct record_header header;
  if (!record_read(view.payload, view.length, &header, &s->body, &s->body_end)) {
    error_set(&s->error, ERROR_FAULT, "record", "the input ring holds no record at %llu", (unsigned long long)view.position);
    return false;
  }
  if (s->in_input && (!belongs_to_input(&header) || header.stream != s->stream || header.position != s->position)) {
    error_set(&s->error, ERROR_FAULT, "record", "an input of stream %u has no last part at position %llu", s->stream,
              (unsigned long long)s->position);
    return false;
  }
  s->view = view;
  s->header = header;
  if (!belongs_to_input(&header))
    s->parts = 0;
  else if (!s->in_input)
    input_begin(s);
  s->good = s->dead = 0;
  s->rows = 0;
  s->in_record = true;
  s->record_mark = ring_mark(&w->output);
  bool aside = w->has_set_aside && worker_is_set_aside(w, header.stream, header.position);
  s->held = header.kind != RECORD_DATA || aside;
  return true;
}

// The hash that uuid() derives from: what identifies the stream, and this node.
static bool identity_find(struct stage *s) {
  if (s->has_identity && s->identity_stream == s->header.stream) return true;
  struct stream stream;
  if (!stream_get(&s->w->streams, s->header.stream, &stream, &s->error)) return false;
  const char *parts[] = {s->w->node, stream.source, stream.partition, stream.identity};
  s->identity = 0;
  // The terminators are hashed too, so that no two lists of names run together.
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) s->identity = hash_bytes(parts[i], strlen(parts[i]) + 1, s->identity);
  stream_free(&stream);
  s->identity_stream = s->header.stream;
  s->has_identity = true;
  return true;
}

bool stage_next(void *context, struct sql_record *record) {
  struct stage *s = context;
  if (s->in_record) stage_record_done(s);
  if ((s->left == 0 && !s->in_input) || s->brake.stop) return false;
  if (!stage_take(s) || s->held) return false;
  if (s->left > 0) s->left--;
  if (++s->taken % TURN_EVERY == 0) worker_turn(s->w);
  if (s->first || s->w->careful) worker_hand(s->w, s->header.stream, s->header.position);
  s->first = false;
  if (sql_engine_reads_identity(s->engine) && !identity_find(s)) return false;
  *record = (struct sql_record){
      .at = s->body,
      .end = s->body_end,
      .stream = s->identity,
      .position = s->header.position,
      .part = s->header.part,
      .tombstone = (s->header.flags & RECORD_DELETE) != 0,
      .time = s->header.time,
  };
  return true;
}

void stage_settle(struct stage *s) {
  struct worker *w = s->w;
  uint64_t before = w->output.published;
  CRASH_POINT("sql.before_publish");
  ring_publish(&w->output);
  CRASH_POINT("sql.published");
  if (w->output.published != before) {
    s->covered = s->finished;
    worker_did_work(w);
  }
  ring_release(&w->input, s->covered);
  worker_counters_show(w);
}
