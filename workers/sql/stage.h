// What the files of the SQL stage's worker share: stage_run.c (the loop), stage_input.c (records in, inputs done), stage_output.c (rows,
// dead letters and marks out), stage_lookups.c (tables that are joined). Only inside workers/sql/.
//
// Words: a record is one entry of the input ring; an input is all records of one (stream, position), the last one flagged. Behind a source
// an input is one record; behind another stage it may be several. All that an input gives is one group of the output ring.
#pragma once
#include "proto/buffer.h"
#include "proto/record.h"
#include "workers/common/lookup_shape.h"
#include "workers/common/worker.h"
#include "workers/sql/engine.h"

// The writer's note, behind the counters: the cursor behind the last input that is done; 1 when the end of the run has been passed on.
enum stage_note { STAGE_NOTE_CURSOR = WORKER_NOTE_OWN, STAGE_NOTE_ENDED, STAGE_NOTE_WORDS };
enum { STAGE_BATCH = 512, STAGE_WINDOW = 1000 };

// What the records of the open input have given so far; added to the account when the input is done.
struct stage_tally {
  uint64_t in, with_rows, filtered, dead_records, out, dead_rows, bytes;
};

// The brake: how many of the last STAGE_WINDOW records gave a dead letter.
struct stage_brake {
  double stop_above;
  uint8_t window[STAGE_WINDOW];
  unsigned at, dead;
  uint64_t hash, alike_hash; // of the last reason; of that with which the last records failed
  unsigned alike;            // records in a row that failed so
  bool stop;
  char reason[256]; // of the last dead letter
};

// Streams whose last input gave nothing: their progress mark is due at the end of the turn.
struct stage_marks {
  struct record_header *list; // by stream handle; kind 0: none due
  uint32_t room;
  uint32_t due;
};

// A lookup that the SQL joins.
struct stage_lookup {
  char *name, *path; // of the file that is attached
  struct lookup_shape shape;
  struct words words;
  uint64_t generation; // of that file
};

struct stage {
  struct worker *w;
  struct sql_engine *engine;
  struct stage_lookup *lookups;
  size_t lookup_count;
  bool ended;         // the end of the run has passed
  struct error error; // what ends the worker

  // The record in hand, and the input that it belongs to.
  struct ring_view view;
  struct record_header header;
  const uint8_t *body, *body_end; // behind it lies what the record carries of its message
  struct buffer message;          // the same as a text, for a dead letter
  bool in_record, in_input;
  bool held; // the record in hand is not for the engine: the loop deals with it
  uint32_t stream;
  uint64_t position;
  struct stage_tally tally;
  unsigned good, dead;  // rows of the record in hand
  uint32_t rows;        // rows that the record has given, passed on or not
  uint32_t parts;       // parts that the input has put into the group
  uint64_t carried;     // bytes of its message that its rows carry
  uint64_t record_mark; // where the record's first part stands in the group
  uint8_t *last;        // header of the last part written

  unsigned left; // records that this batch may still take
  bool first;    // the batch has not taken any yet
  unsigned taken;
  bool told;         // which fields no record had
  uint64_t finished; // ring position behind the last input that is done
  uint64_t covered;  // the same, as the note says that was published last: what may be given back
  uint32_t guess;    // bytes for the next row
  uint64_t identity; // of identity_stream, for uuid()
  uint32_t identity_stream;
  bool has_identity;
  struct stage_marks marks;
  struct stage_brake brake;
};

// Input (stage_input.c).
bool stage_next(void *stage, struct sql_record *record); // sql_next
bool stage_take(struct stage *s);                        // the next record into hand; false: none, or s->error is set
void stage_record_done(struct stage *s);
void stage_done_alone(struct stage *s); // a record that belongs to no input has been passed on
void stage_settle(struct stage *s);     // publishes what is complete and gives the inputs behind it back

// Lookups (stage_lookups.c). False: s->error is set.
bool stage_lookups_open(struct stage *s); // waits until each has been loaded
bool stage_lookups_look(struct stage *s); // between two batches: newer files take the place of older ones
void stage_lookups_close(struct stage *s);
// For sql_spec; owned by the caller, NULL when there are none.
struct sql_lookup *stage_lookups_spec(const struct stage *s);

// Output (stage_output.c). False: s->error is set.
bool stage_row(struct stage *s);
// The record in hand failed as a whole: what it gave is taken back, a dead letter takes its place.
bool stage_record_dead(struct stage *s, const char *reason, const char *code);
bool stage_pass_on(struct stage *s); // the record in hand, as it is
bool stage_marks_write(struct stage *s);
