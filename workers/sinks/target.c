// What all targets decide alike: whose a stored position is, what a batch adds to the totals, what a dead letter is called.
#include "workers/sinks/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/hash.h"
#include "proto/limits.h"
#include "proto/message_tail.h"
#include "proto/record.h"
#include "proto/utf8.h"
#include "workers/common/choices.h"
#include "workers/sinks/owner.h"

void target_count(const struct batch *b, struct target_streams *streams) {
  for (size_t i = 0; i < streams->count; i++) streams->at[i].next = streams->at[i].totals;
  for (size_t i = 0; i < b->count; i++) {
    const struct batch_row *row = &b->rows[i];
    struct target_totals *next = &streams->at[row->stream].next;
    if (row->is_letter) continue;
    if (row->state == ROW_LIVE)
      next->rows++;
    else if (row->state == ROW_SUPERSEDED)
      next->superseded++;
    else if (row->state == ROW_DEAD)
      next->dead++;
  }
}

bool target_fenced(size_t lost, struct error *e) {
  if (lost > 0)
    error_set(e, ERROR_FENCED, "fenced", "%zu of this sink's streams belong to another instance now", lost);
  else
    error_set(e, ERROR_REWIND, "moved",
              "a stored position is not where this sink left it: it was set, its table is gone, or the database was restored");
  return false;
}

void target_moved(struct target_streams *streams) {
  for (size_t i = 0; i < streams->count; i++) {
    struct target_stream *s = &streams->at[i];
    if (!s->moves) continue;
    s->position = s->next_position;
    s->witness = s->next_witness;
    s->totals = s->next;
    s->moves = false;
  }
}

static void set_choices(const struct target_setup *setup, const struct stream *s, const char *what, uint64_t at, struct error *e) {
  char *set = choice_positions(setup->job, setup->sink), *partition = choice_quote(s->partition);
  error_set(
      e, ERROR_OPERATOR, "identity",
      "sink %s holds position %" PRIu64 " of source %s, partition \"%s\", but %s. Nothing was changed. Choices: bring back what was "
      "there (state folder, file, settings); or `%s --source %s --partition %s --to earliest` (everything again), `--to latest` (what "
      "its journal does not hold yet), `--to %" PRIu64 "` (go on there, you know that it fits)",
      setup->sink, at, s->source, s->partition, what, set, s->source, partition, at);
  free(set);
  free(partition);
}

// True when the identity is that of a stream which `s` follows.
static bool is_earlier(const struct target_stream *s, const char *identity) {
  for (const struct target_stream *b = s->before; b; b = b->before)
    if (strcmp(b->stream->identity, identity) == 0) return true;
  return false;
}

enum target_verdict target_judge(const struct target_setup *setup, const struct target_stream *s, const struct target_stored *stored,
                                 struct error *e) {
  if (!stored->exists) return VERDICT_NONE;
  const struct stream *announced = s->stream;
  bool foreign = stored->owner[0] != '\0' && !owner_is_state(stored->owner, setup->state_id);
  // Who held the fence and finds another's name has been taken over: he must not wait for it and take it back.
  if (foreign && (s->epoch > 0 || (setup->shared && s->was_ours))) return VERDICT_LOST;
  // Of a shared source the group says whose a partition is, and it has said ours: the other one is to go.
  if (foreign && !setup->take_over && !setup->shared && !owner_has_left(stored->owner) &&
      stored->silent_ms < TARGET_OWNER_SILENT_SECONDS * 1000) {
    error_set(e, ERROR_OUTAGE, "owned",
              "source %s, partition \"%s\" belongs to a running instance (%s); waiting until it has been silent for %d s (--take-over "
              "does not wait)",
              announced->source, announced->partition, stored->owner, TARGET_OWNER_SILENT_SECONDS);
    return VERDICT_WAIT;
  }
  if (!stored->position) return VERDICT_NONE;
  bool any = stored->identity[0] == '\0';
  bool other = !any && strcmp(stored->identity, announced->identity) != 0;
  if (other && is_earlier(s, stored->identity)) return VERDICT_NONE;
  if (other) {
    char what[256];
    snprintf(what, sizeof what, "its identity is not the one stored (stored %.80s, found %.80s): the state folder or the file was replaced",
             stored->identity, announced->identity);
    set_choices(setup, announced, what, stored->at, e);
    return VERDICT_STOP;
  }
  if (stored->fingerprint[0] != '\0' && strcmp(stored->fingerprint, announced->fingerprint) != 0) {
    set_choices(setup, announced, "the settings of the source that decide what flows have changed since", stored->at, e);
    return VERDICT_STOP;
  }
  return VERDICT_TAKE;
}

static uint64_t hash_text(const char *text, size_t length, uint64_t seed) {
  // The length goes in first, so that "ab","c" and "a","bc" differ.
  return hash_bytes(text, length, hash_bytes(&length, sizeof length, seed));
}

static void entry_id(struct dead_entry *entry) {
  uint64_t part[2] = {entry->position, entry->part}, half[2];
  for (uint64_t i = 0; i < 2; i++) {
    uint64_t h = i + 1;
    h = hash_text(entry->pipeline, strlen(entry->pipeline), h);
    h = hash_text(entry->letter.node, entry->letter.node_length, h);
    h = hash_text(entry->source, strlen(entry->source), h);
    h = hash_text(entry->partition, strlen(entry->partition), h);
    h = hash_text(entry->identity, strlen(entry->identity), h);
    half[i] = hash_bytes(part, sizeof part, h);
  }
  snprintf(entry->id, sizeof entry->id, "%016" PRIx64 "%016" PRIx64, half[0], half[1]);
}

// Lengths of a letter whose texts are terminated.
static void set_lengths(struct dead_letter *l) {
  l->node_length = (uint32_t)strlen(l->node);
  l->reason_length = (uint32_t)strlen(l->reason);
  l->code_length = (uint32_t)strlen(l->code);
  l->format_length = (uint32_t)strlen(l->format);
  l->column_length = (uint32_t)strlen(l->column);
  l->constraint_length = (uint32_t)strlen(l->constraint);
  l->message_length = (uint32_t)strlen(l->message);
}

static void set_data(struct dead_letter *l, const struct batch_row *row) {
  size_t length = (size_t)(row->end - row->body);
  l->cut = length > LIMIT_DEAD_DATA;
  l->data = row->body;
  l->data_length = l->cut ? LIMIT_DEAD_DATA : (uint32_t)length;
}

// A letter from further up. One that cannot be read is kept as it came: dropping it would be a loss.
static void read_letter(const char *sink, const struct batch_row *row, struct dead_letter *letter) {
  if (dead_read(row->body, row->end, letter)) return;
  *letter = (struct dead_letter){
      .node = sink, .reason = "unreadable dead letter", .code = "msgpack", .format = "raw", .column = "", .constraint = "", .message = ""};
  set_lengths(letter);
  set_data(letter, row);
}

static void own_letter(const char *sink, const struct batch *b, const struct batch_row *row, struct dead_entry *entry) {
  const struct batch_letter *why = &b->letters[row->letter];
  struct dead_letter *letter = &entry->letter;
  message_tail_text(row->end, row->message, &entry->message);
  *letter = (struct dead_letter){.node = sink,
                                 .reason = why->reason,
                                 .code = why->code,
                                 .column = why->column,
                                 .constraint = why->constraint,
                                 .format = row->is_delete ? "tombstone" : "msgpack",
                                 .message = buffer_cstring(&entry->message)};
  set_lengths(letter);
  set_data(letter, row);
}

void dead_entry_make(const struct target_setup *setup, const struct target_streams *streams, const struct batch *b,
                     const struct batch_row *row, struct dead_entry *entry) {
  const struct stream *stream = streams->at[row->stream].stream;
  *entry = (struct dead_entry){.pipeline = setup->pipeline,
                               .sink = setup->sink,
                               .source = stream->source,
                               .partition = stream->partition,
                               .identity = stream->identity,
                               .position = row->position,
                               .part = row->part,
                               .again = row->again == RECORD_PART_ALL ? -1 : (int64_t)row->again,
                               .now = clock_micros()};
  if (row->is_letter)
    read_letter(setup->sink, row, &entry->letter);
  else
    own_letter(setup->sink, b, row, entry);
  entry_id(entry);
}

void dead_entry_free(struct dead_entry *entry) {
  buffer_free(&entry->message);
}

char *dead_text(const char *text, size_t length) {
  char *copy = memory_text_n(text, length);
  for (size_t at = 0; at < length; at++)
    if (text[at] == '\0') copy[at] = '?';
  utf8_mend((uint8_t *)copy, length);
  return copy;
}

uint64_t dead_entry_bytes(const struct dead_entry *entry) {
  return DEAD_ENTRY_OVERHEAD + (uint64_t)entry->letter.data_length + entry->letter.message_length;
}

void dead_store_full(struct job_value job, uint64_t bytes, uint64_t most, struct error *e) {
  char *list = choice_command(job, "dlq list"), *retry = choice_command(job, "dlq retry"), *drop = choice_command(job, "dlq drop");
  error_set(e, ERROR_OUTAGE, "dead-full",
            "the store of dead letters is full (%" PRIu64 " of %" PRIu64
            " bytes, dead_letters.max_bytes): look with `%s`, make room with `%s` or `%s`",
            bytes, most, list, retry, drop);
  free(list);
  free(retry);
  free(drop);
}
