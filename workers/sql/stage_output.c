// The output side of the SQL stage: rows, dead letters, marks and what is passed on, written in place into the output ring.
//
// Invariant: no group grows beyond half the ring, because a reader may hold the other half until it commits. Waiting for room happens here
// only, between two steps of the statement, never inside SQLite.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/dead.h"
#include "proto/hash.h"
#include "proto/limits.h"
#include "proto/message_tail.h"
#include "workers/sql/stage.h"

enum { GUESS_LEAST = 512, HEADER = sizeof(struct record_header), REASON_SHORT = 120, CARRIED_SHARE = 8 };

// The largest payload that the open group may still take.
static uint32_t room_left(const struct stage *s) {
  const struct ring_writer *out = &s->w->output;
  uint64_t most = ring_record_max(out->capacity), used = ring_group_bytes(out), group = ring_group_max(out->capacity);
  uint64_t left = group > used + RING_FRAME ? group - used - RING_FRAME : 0;
  if (most > LIMIT_RECORD + HEADER) most = LIMIT_RECORD + HEADER;
  return (uint32_t)(left < most ? left : most);
}

// `size` payload bytes in the ring; waits for them. NULL: s->error is set.
static uint8_t *reserve(struct stage *s, uint32_t size) {
  struct ring_writer *out = &s->w->output;
  for (;;) {
    uint8_t *at = ring_reserve(out, size);
    if (at) return at;
    // Complete inputs go first, so that nobody waits for what is ready; the open group stays as it is.
    stage_settle(s);
    if (!worker_output_room(s->w, size, &s->error)) return NULL;
  }
}

static void commit_part(struct stage *s, uint8_t *payload, const struct record_header *header, uint32_t size) {
  record_write(payload, header);
  ring_commit(&s->w->output, size);
  s->last = payload;
  s->parts++;
}

static struct record_header part_header(const struct stage *s, enum record_kind kind) {
  struct record_header header = s->header;
  header.kind = (uint8_t)kind;
  header.flags = kind == RECORD_DATA ? s->header.flags & RECORD_DELETE : 0;
  header.message = 0;
  header.part = s->parts;
  header.code = 0;
  return header;
}

static void brake_reason(struct stage_brake *brake, const char *reason, const char *code) {
  brake->hash = hash_bytes(reason, strlen(reason), hash_bytes(code, strlen(code), 0));
  snprintf(brake->reason, sizeof brake->reason, "%s", reason);
}

// What a letter needs least goes first until it fits: what it was in its topic, the end of the reason; its data is cut by whoever writes
// it, and a letter that is cut cannot be retried.
static void letter_fit(struct dead_letter *letter, char *reason, uint32_t most) {
  if (HEADER + dead_size(letter) > most) letter->message = NULL;
  if (HEADER + dead_size(letter) > most) reason[REASON_SHORT] = '\0';
}

// A dead letter as the next part of the open group. `again` is the part to ask for when it is retried. False with no error: no room in the
// group.
static bool dead_write_part(struct stage *s, const struct sql_failure *why, uint32_t again) {
  char reason[1024];
  snprintf(reason, sizeof reason, "%s", why->reason);
  const char *format = s->header.flags & RECORD_DELETE ? "tombstone" : "msgpack";
  struct dead_letter letter = {.node = s->w->node, .reason = reason, .code = why->code, .column = why->column, .format = format};
  message_tail_text(s->body_end, s->header.message, &s->message);
  letter.message = buffer_cstring(&s->message);
  letter.data = s->body;
  letter.data_length = (uint32_t)(s->body_end - s->body);
  uint32_t most = room_left(s), data_size = letter.data_length < LIMIT_DEAD_DATA ? letter.data_length : LIMIT_DEAD_DATA;
  letter_fit(&letter, reason, most);
  uint32_t size = HEADER + dead_size(&letter), fixed = size - data_size;
  if (fixed > most) return false;
  if (size > most) size = most;
  uint8_t *payload = reserve(s, size);
  if (!payload) return false;
  struct msgpack_writer w = {.at = payload + HEADER, .end = payload + size};
  dead_write(&w, &letter, size - fixed);
  struct record_header header = part_header(s, RECORD_DEAD);
  header.node = (uint16_t)s->w->node_index;
  header.code = again;
  commit_part(s, payload, &header, (uint32_t)(w.at - payload));
  return true;
}

// The whole group is taken back: the records before this one count as dead too.
static void group_taken_back(struct stage *s) {
  ring_group_abort(&s->w->output);
  struct stage_tally *t = &s->tally;
  t->dead_records += t->with_rows;
  t->with_rows = t->out = t->dead_rows = 0;
  s->parts = 0;
}

static bool record_dead(struct stage *s, const struct sql_failure *why) {
  ring_rollback(&s->w->output, s->record_mark);
  s->parts -= s->good + s->dead;
  s->good = 0;
  s->dead = 1;
  brake_reason(&s->brake, why->reason, why->code);
  // A retried record that fails again is still wanted for the same part.
  uint32_t again = s->header.flags & RECORD_RETRY ? s->header.code : RECORD_PART_ALL;
  if (dead_write_part(s, why, again)) return true;
  if (error_is_set(&s->error)) return false;
  group_taken_back(s);
  if (dead_write_part(s, why, again)) return true;
  if (!error_is_set(&s->error))
    error_set(&s->error, ERROR_OPERATOR, "ring", "a ring of %llu bytes is too small for a dead letter",
              (unsigned long long)s->w->output.capacity);
  return false;
}

bool stage_record_dead(struct stage *s, const char *reason, const char *code) {
  return record_dead(s, &(struct sql_failure){.reason = reason, .code = code, .column = ""});
}

static bool too_large(struct stage *s) {
  unsigned long long capacity = s->w->output.capacity;
  bool group = ring_group_bytes(&s->w->output) > 0;
  char reason[160];
  snprintf(reason, sizeof reason, "the input's rows exceed %s of a ring of %llu bytes: set ring to %llu or more",
           group ? "half" : "a quarter", capacity, capacity * 2);
  sql_engine_stop(s->engine);
  return stage_record_dead(s, reason, "too-large");
}

// A row that failed by itself; the others of its record go on.
static bool row_dead(struct stage *s, const struct sql_failure *why) {
  s->dead++;
  brake_reason(&s->brake, why->reason, why->code);
  if (dead_write_part(s, why, s->rows)) return true;
  if (error_is_set(&s->error)) return false;
  s->dead--;
  return too_large(s);
}

static bool is_wanted(const struct stage *s) {
  if (!(s->header.flags & RECORD_RETRY) || s->header.code == RECORD_PART_ALL) return true;
  return s->rows == s->header.code;
}

// What the row in hand is to carry of its message. Of an input that becomes many rows only the first ones carry it: not all of them
// together may take the room of the group from the fields.
static uint16_t message_due(const struct stage *s) {
  uint64_t most = ring_group_max(s->w->output.capacity) / CARRIED_SHARE;
  return s->carried + s->header.message <= most ? s->header.message : 0;
}

// One attempt to write the row in hand into `size` bytes, with what it carries of its message; without it only where there is no more room
// to be had.
static enum sql_row try_row(struct stage *s, uint32_t size, bool last, struct sql_failure *failure) {
  uint8_t *payload = reserve(s, size);
  if (!payload) return SQL_ROW_NO_ROOM;
  struct msgpack_writer w = {.at = payload + HEADER, .end = payload + size};
  enum sql_row result = sql_engine_row(s->engine, &w, failure);
  if (result != SQL_ROW_GOOD) {
    ring_abort(&s->w->output);
    return result;
  }
  struct record_header header = part_header(s, RECORD_DATA);
  uint32_t used = (uint32_t)(w.at - payload);
  uint16_t message = message_due(s);
  if (message > size - used && !last) {
    ring_abort(&s->w->output);
    return SQL_ROW_NO_ROOM;
  }
  if (message > 0 && message <= size - used) {
    memcpy(w.at, s->body_end, message);
    header.message = message;
    used += message;
    s->carried += message;
  }
  commit_part(s, payload, &header, used);
  s->good++;
  s->guess = used * 2 > GUESS_LEAST ? used * 2 : GUESS_LEAST;
  return SQL_ROW_GOOD;
}

static bool write_row(struct stage *s) {
  struct sql_failure failure;
  for (uint32_t size = s->guess ? s->guess : GUESS_LEAST;; size *= 2) {
    uint32_t most = room_left(s);
    if (most <= HEADER) return too_large(s);
    if (size > most) size = most;
    switch (try_row(s, size, size == most, &failure)) {
    case SQL_ROW_GOOD: return true;
    case SQL_ROW_BAD: return row_dead(s, &failure);
    case SQL_ROW_NO_ROOM: break;
    }
    if (error_is_set(&s->error)) return false;
    if (size == most) return too_large(s);
  }
}

bool stage_row(struct stage *s) {
  bool written = is_wanted(s) ? write_row(s) : true;
  s->rows++;
  return written;
}

// A dead letter from a larger ring than this one: its data is cut to what fits.
static bool pass_on_shortened(struct stage *s) {
  struct dead_letter old;
  if (s->header.kind != RECORD_DEAD || !dead_read(s->body, s->body_end, &old)) {
    error_set(&s->error, ERROR_FAULT, "record", "a record of %u bytes cannot be passed on through this ring", s->view.length);
    return false;
  }
  uint32_t most = room_left(s), other = (uint32_t)(s->body_end - s->body) - old.data_length + HEADER;
  // What a reader could not read needs its message to be read again; anything else needs its data.
  bool is_raw = old.format_length == 3 && memcmp(old.format, "raw", 3) == 0, without = other >= most || !is_raw;
  bool cut = old.cut || (is_raw && without);
  if (without) {
    other -= old.message_length;
    old.message_length = 0;
  }
  if (other >= most || !(s->last = reserve(s, most))) {
    if (!error_is_set(&s->error)) error_set(&s->error, ERROR_OPERATOR, "ring", "a ring is too small for a dead letter");
    return false;
  }
  char *texts[] = {memory_text_n(old.node, old.node_length),      memory_text_n(old.reason, old.reason_length),
                   memory_text_n(old.code, old.code_length),      memory_text_n(old.format, old.format_length),
                   memory_text_n(old.column, old.column_length),  memory_text_n(old.constraint, old.constraint_length),
                   memory_text_n(old.message, old.message_length)};
  struct dead_letter letter = {.node = texts[0],
                               .reason = texts[1],
                               .code = texts[2],
                               .format = texts[3],
                               .column = texts[4],
                               .constraint = texts[5],
                               .message = texts[6],
                               .data = old.data,
                               .data_length = old.data_length,
                               .cut = cut};
  struct msgpack_writer w = {.at = s->last + HEADER, .end = s->last + most};
  dead_write(&w, &letter, most - other > 64 ? most - other - 64 : 0);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
  commit_part(s, s->last, &s->header, (uint32_t)(w.at - s->last));
  return true;
}

bool stage_pass_on(struct stage *s) {
  if (s->view.length > room_left(s)) return pass_on_shortened(s);
  uint8_t *payload = reserve(s, s->view.length);
  if (!payload) return false;
  memcpy(payload, s->view.payload, s->view.length);
  struct record_header header = s->header;
  // The flag is set again when the input is done, on whatever is its last part by then.
  if (header.kind == RECORD_DEAD) header.flags = 0;
  commit_part(s, payload, &header, s->view.length);
  return true;
}

bool stage_marks_write(struct stage *s) {
  struct ring_writer *out = &s->w->output;
  for (uint32_t i = 0; i < s->marks.room && s->marks.due > 0; i++) {
    struct record_header *mark = &s->marks.list[i];
    if (mark->kind == 0) continue;
    uint8_t *payload = reserve(s, HEADER);
    if (!payload) return false;
    record_write(payload, mark);
    ring_commit(out, HEADER);
    ring_group_end(out);
    mark->kind = 0;
    s->marks.due--;
  }
  return true;
}
