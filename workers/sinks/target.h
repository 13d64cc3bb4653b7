// A target: where a sink's rows, positions and dead letters become durable together. The core (sink.c) knows when, a target knows how.
//
// Implementations: target_sqlite.c, target_postgres.c (rows and positions in one transaction) and target_file.c (a file and a position
// file). Each keeps, in its own way, the table of positions and the table of dead letters described in README.md of this folder.
//
// Rules for every target:
// - Only the target deals epochs. Taking a stream over raises its epoch; every commit proves, inside the target and as its first step, that
//   the epoch and the position are still those of the writer. A commit of which that is not true changes nothing.
// - After any failed commit nothing of it is durable, or all of it: the core finds out by taking the streams over again.
// - A row that the target refuses is a dead letter in the same transaction; an outage never is.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/dead.h"
#include "proto/error.h"
#include "proto/job.h"
#include "workers/common/streams.h"
#include "workers/sinks/batch.h"

// What a stream has brought to this sink so far; stored with the position, so that the account is exact whatever dies when.
struct target_totals {
  uint64_t rows, superseded, dead;
};

// One stream as the target has it. Owned by the core.
struct target_stream {
  // the core's
  bool lost_told; // in the log
  const struct stream *stream;
  const struct target_stream *before; // the stream that this one follows under the same partition name; NULL: none
  // answered by attach and start, moved on by commit
  bool found;    // the target has a position for it
  bool lost;     // another instance has taken it over: commit or beat says so, its rows must be dropped
  bool given;    // the source has given it up: another instance goes on with it. Finished, too
  bool was_ours; // an earlier life of this sink held its fence
  bool unheard;  // given up, but that earlier life had not heard of it: what it has brought is still to be counted
  bool known;    // unheard, and `totals` are what it has brought: nobody has taken the stream over since
  uint64_t held; // unheard: the epoch that it had
  bool finished; // the target's row belongs to a later stream of the same partition
  int64_t row;   // the target's own number of the row, 0: none
  uint64_t epoch, position, start, witness;
  uint64_t since_ms; // where it was not found: when the first stream of its source began here (by the target's first epochs); 0: none has
  struct target_totals totals;
  // what the batch in hand will make of it: moves and next_position by the core, next by target_count
  bool moves;
  uint64_t next_position, next_witness;
  struct target_totals next;
};

struct target_streams {
  struct target_stream *at;
  size_t count;
};

// Called about once a second while a call waits for a server or a lock.
typedef void target_tick(void *context, const char *doing, unsigned seconds);
// Asked when all rows are written and before the commit: too many dead ones are no commit (ERROR_OPERATOR).
typedef bool target_may_commit(void *context, const struct batch *b, struct error *e);

// What a target is made from. Everything in it outlives the target.
struct target_setup {
  const char *pipeline, *sink, *edge, *state;
  const char *state_id; // of the state folder (owner.h)
  const char *owner;    // who we are, as it is stored and shown to others (owner.h)
  struct job_value settings;
  struct job_value job; // the whole: for the commands that messages offer (choices.h)
  unsigned lane, lanes;
  uint64_t dead_store_bytes;
  bool take_over;
  bool shared; // other instances may take over any of the source's streams at any time
  target_tick *tick;
  target_may_commit *may_commit;
  void *context; // of both
};

struct target;
struct target_kind {
  const char *name;
  struct target *(*make)(const struct target_setup *setup, struct error *e);
  // Connects, makes what is absent. Does nothing when it is open and sound. *fresh: it was opened anew, streams must be attached.
  bool (*open)(struct target *t, bool *fresh, struct error *e);
  void (*close)(struct target *t);
  // Takes streams over: raises the epoch where there is a row, reads it. ERROR_OPERATOR: another identity. ERROR_OUTAGE "owned": somebody
  // else was seen alive a moment ago, ask again in a second.
  bool (*attach)(struct target *t, struct target_stream **streams, size_t count, struct error *e);
  // Reads epoch and totals of a stream, and takes nothing over. *there: the target has the stream.
  bool (*look)(struct target *t, const struct target_stream *s, bool *there, uint64_t *epoch, struct target_totals *totals,
               struct error *e);
  // Gives a stream without a position its start, durably.
  bool (*start)(struct target *t, struct target_stream *s, uint64_t start, struct error *e);
  // Looks at the rows before the transaction: adds columns, makes the table. NULL: nothing to prepare.
  bool (*prepare)(struct target *t, struct batch *b, struct error *e);
  // One transaction: proves the fence of every stream that moves, writes LIVE rows, letters, positions. On success positions and totals of
  // `streams` are what is durable now. ERROR_FENCED: `lost` is set on those that are. ERROR_REWIND: a position was changed under us.
  bool (*commit)(struct target *t, struct batch *b, struct target_streams *streams, struct error *e);
  // Every TARGET_BEAT_SECONDS while nothing is committed: shows that the owner is alive where that costs no more than a statement
  // (PostgreSQL), and learns whether it still is the owner (errors as for commit). NULL: the target has no other writer.
  bool (*beat)(struct target *t, struct target_streams *streams, struct error *e);
  // Leaves these streams in good order (the end of the run, a stream that was given up): whoever comes next need not wait until this owner
  // has been silent for long. One statement, fenced by the epochs, which stay as they are; waits for nobody's lock. A failure is harmless:
  // the next one waits then. Does nothing when the target is not open. NULL: nobody could be made to wait.
  bool (*release)(struct target *t, struct target_stream *const *streams, size_t count, struct error *e);
  void (*free)(struct target *t);
};

// Every implementation begins with this.
struct target {
  const struct target_kind *kind;
  struct target_setup setup;
};

extern const struct target_kind target_sqlite, target_postgres, target_file, target_kafka;

enum { TARGET_OWNER_SILENT_SECONDS = 10, TARGET_LOCK_SECONDS = 5, TARGET_BEAT_SECONDS = 4 };

// Sets `next` of every stream from its totals and the rows of the batch as they are marked now.
void target_count(const struct batch *b, struct target_streams *streams);
// The error of a fence that did not hold: ERROR_FENCED when streams were lost by it, else ERROR_REWIND. Returns false.
bool target_fenced(size_t lost, struct error *e);
// Takes over what a commit has made durable: positions, witnesses, totals.
void target_moved(struct target_streams *streams);

// What a target has stored under a stream's key, as attach and start read it before they change anything.
struct target_stored {
  bool exists;                        // there is a row
  bool position;                      // ... with a position (without one: forgotten, only the epoch counts on)
  uint64_t at;                        // the position
  const char *identity, *fingerprint; // "" for "take what comes"
  const char *owner;
  int64_t silent_ms; // since the owner was last seen
};
enum target_verdict {
  VERDICT_TAKE, // it is this stream's: raise the epoch, go on from there
  VERDICT_NONE, // nothing of this stream: wait for its start
  VERDICT_WAIT, // somebody else was seen alive a moment ago (e is set, ERROR_OUTAGE "owned")
  VERDICT_LOST, // it was ours in this life, and somebody else has taken it over since
  VERDICT_STOP, // it is another stream's (e is set, ERROR_OPERATOR with the choices)
};
enum target_verdict target_judge(const struct target_setup *setup, const struct target_stream *s, const struct target_stored *stored,
                                 struct error *e);

// A dead letter on its way into a store.
struct dead_entry {
  char id[33]; // the same for the same origin, whenever it dies again
  const char *pipeline, *sink, *source, *partition, *identity;
  struct dead_letter letter; // texts with their lengths
  struct buffer message;     // holds the text of that name of a row's letter
  uint64_t position;
  uint32_t part;
  int64_t again; // which row of its record to ask for when it is retried; -1: all
  int64_t now;   // microseconds
};
// `row` is DEAD, or a LIVE letter from further up; the entry points into it. Freed by dead_entry_free.
void dead_entry_make(const struct target_setup *setup, const struct target_streams *streams, const struct batch *b,
                     const struct batch_row *row, struct dead_entry *entry);
void dead_entry_free(struct dead_entry *entry);
// A text of a letter as every store takes it: valid UTF-8 without NUL, what is not becomes '?'. As long as `text`; owned by the caller.
char *dead_text(const char *text, size_t length);
// What one entry counts against the size of the store.
uint64_t dead_entry_bytes(const struct dead_entry *entry);
enum { DEAD_ENTRY_OVERHEAD = 512 };
// ERROR_OUTAGE "dead-full", telling what to do.
void dead_store_full(struct job_value job, uint64_t bytes, uint64_t most, struct error *e);
