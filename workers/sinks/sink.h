// The sink core: takes rows from the ring, decides when a batch is committed, and keeps ring, positions, account and feedback in step.
// What a commit is at a target stands in target.h.
//
// Called by table_sink.c and file_sink.c. Parts: sink.c (loop and commit), sink_streams.c (streams, from question to fence), brake.c,
// letter_log.c (what died, in the log).
//
// The order of a commit, with a crash point between any two steps; whatever dies where, nothing is lost or doubled:
//
//   target: fence, rows, dead letters, positions, COMMIT   killed before: nothing happened. Behind: the rows are in, the successor finds
//   account from the target's totals                        the position under its fence and skips what it covers
//   feedback word per stream                                (the source trims later: harmless)
//   ring_release with note                                  (the ring is read again: skipped)
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workers/common/feedback.h"
#include "workers/common/worker.h"
#include "workers/sinks/batch.h"
#include "workers/sinks/brake.h"
#include "workers/sinks/letter_log.h"
#include "workers/sinks/target.h"

// The reader's note of a sink, behind the counters: how many streams of the register its sums cover, and the sums of their totals. A
// successor finds the rows that were committed and not yet counted as the difference to the target's totals. Last: 1 when the end of the
// run has been released, behind which nothing comes.
// SINK_NOTE_LEFT_OUT: how many of those streams the sums leave out, because other instances go on with them.
enum sink_note {
  SINK_NOTE_STREAMS,
  SINK_NOTE_ROWS,
  SINK_NOTE_SUPERSEDED,
  SINK_NOTE_DEAD,
  SINK_NOTE_ENDED,
  SINK_NOTE_LEFT_OUT,
  SINK_NOTE_OWN_WORDS
};
enum { SINK_NOTE_WORDS = WORKER_NOTE_OWN + SINK_NOTE_OWN_WORDS };

struct sink {
  struct worker *w;
  struct target *target;
  struct batch batch;
  struct brake brake;
  struct letter_log letter_log;
  char *state_id, *owner;

  bool shared;                   // other instances may take streams over at any time
  struct stream *infos;          // by handle, as announced
  struct target_streams streams; // by handle
  struct target_totals *counted; // by handle: totals that the counters hold
  size_t streams_room;
  size_t covered; // streams that the note's sums cover

  uint64_t most_rows, most_bytes, half_ring, wait_ns; // limits of a batch
  uint8_t dead_nodes[UINT16_MAX / 8 + 1];             // whose dead letters are stored here

  bool ended;    // the end of the run has passed
  bool in_input; // between the first and the last part of an input
  bool moves;    // some stream moves
  uint64_t committed_ns, commit_cost_ns, marks_ns, beat_ns;
  uint64_t committed_rows; // of the last commit
  bool connected;          // once in this life
  struct backoff backoff;
};

// The whole life of a sink worker. Returns its exit code.
int sink_run(struct worker *w, const struct target_kind *kind);

// ---- parts (sink_streams.c)

// The note leaves out the streams that were given up: the next life has nothing of them to count any more.
void sink_streams_forgotten(struct sink *s);
// Connects where needed and takes over the streams; waits out outages. False: e ends the worker.
bool sink_connect(struct sink *s, struct error *e);
// The stream table has changed: answers new streams, gives resolved ones their start. Waits out outages.
bool sink_streams_changed(struct sink *s, struct error *e);
// Streams of a shared source that are another instance's now: counts how many totals the sums leave out.
bool sink_is_left_out(const struct sink *s, size_t handle);
// Tells the log, and in a shared chain the source, which streams another instance has taken over.
void sink_tell_lost(struct sink *s);
// Counts what the targets' totals say beyond what was counted.
void sink_account(struct sink *s);
void sink_streams_free(struct sink *s);
// Something worked: the next outage begins anew.
void sink_works(struct sink *s);
// Shows the outage and waits with backoff. False: it is none, e ends the worker.
bool sink_wait_out(struct sink *s, struct error *e);
