// The batch: rows taken from the ring and not yet durable. It points into the ring and copies no record; the ring is released when the
// batch is committed, never before.
//
// Called by the sink core (sink.c), which fills it, and the targets, which write it and decide about each row.
//
//   LIVE --cannot be written--> DEAD          LIVE --a later row of the batch has its key--> SUPERSEDED
//                                             LIVE --a tombstone, and there is no table yet--> SUPERSEDED
//   any  --durable already, or its stream's fence is lost--> GONE          batch_begin: all but GONE are LIVE again
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

enum row_state { ROW_LIVE, ROW_DEAD, ROW_SUPERSEDED, ROW_GONE };

struct batch_row {
  const uint8_t *body, *end; // in the ring
  uint64_t position;
  uint32_t stream, part;
  uint32_t again;   // a dead letter from further up: which of its node's rows to ask for when it is retried (RECORD_PART_ALL: all)
  uint32_t letter;  // index in letters; only while DEAD and no stored letter
  uint16_t message; // bytes behind `end`, of the message that it came from (proto/message_tail.h); 0: none
  uint16_t ignored; // fields that no column of the table takes, as far as they were counted
  uint8_t state;    // enum row_state
  bool is_letter;   // a dead letter from further up: its body is stored as it is, it is no row of this sink
  bool is_delete;   // a tombstone: what has its key is to go (RECORD_DELETE)
  bool set_aside;   // its input killed its worker too often: a dead letter unseen
};

// Why a row of this sink is dead. Texts are owned.
struct batch_letter {
  char *reason, *code, *column, *constraint;
};

struct batch {
  struct batch_row *rows;
  size_t count, room;
  struct batch_letter *letters;
  size_t letter_count, letter_room;
  size_t deletes;    // rows that are tombstones
  uint64_t bytes;    // of the ring, headers and control records included
  uint64_t end;      // ring position behind the last complete input
  uint64_t first_ns; // monotonic, when its first row came; 0: it has none
};

void batch_free(struct batch *b);
struct batch_row *batch_add(struct batch *b);
void batch_clear(struct batch *b); // after it is durable
// Before each attempt to write it.
void batch_begin(struct batch *b);
// The row cannot be written. `column` and `constraint` may be NULL.
void batch_kill(struct batch *b, struct batch_row *row, const char *reason, const char *code, const char *column, const char *constraint);
bool batch_has_letters(const struct batch *b); // something for the dead-letter store
