// The streams of a lane: which partitions its source reads, and where each began. Written by the lane's source, read by its sinks.
//
// Register entry (msgpack map): source text, partition text, identity text (the part that does not change with the position: a journal's
// random id, "device:inode" of a file), fingerprint text, replaces int (handle of an earlier stream with the same partition name that was
// read to its end before this one begins, -1 none: a rotated file). The handle of a stream is its index in the
// register.
//
// Source words, STREAM_WORDS per stream: what the source resolved. STREAM_START_STATE is stored last.
//
// Life of a stream, drawn per sink (its feedback words, feedback.h):
//
//   source: append entry, publish RECORD_STREAM
//      sink: ASKED nothing yet --looks at its target under the fence--> KNOWN (position, witness, start)   or   NONE (no row there)
//                                                                  \--> REFUSED (another identity; the sink exits with
//                                                                  WORKER_EXIT_OPERATOR)
//   source: all sinks answered. Start = the stored start of any KNOWN sink, else resolved now (earliest 0, latest, a time; where sinks have
//           other streams of this source, `latest` means the time at which they got the first one);
//           stores it in its words, publishes RECORD_STREAM
//      sink: NONE --inserts its row with position = start, durable--> READY;  KNOWN -> READY
//   source: all sinks READY: checks the witness of each, begins at the minimum of their positions. A position above what the source
//           has, or below the first it still has: ERROR_OPERATOR, choices spelled out.
//
// Where several instances share a source (a consumer group deals its partitions out), a stream ends like this:
//
//   source: the partition was taken away: what is in the ring is waited for, within bounds; STREAM_START_STATE = given up, publishes
//           RECORD_STREAM
//      sink: forgets the stream: drops what still comes of it, shows no sign of life for it, is no loser of it
//   sink: another instance has taken the fence --> LOST; the source, where the group says that the partition is its own, gives it up and
//           announces it anew
//   A partition that comes back is a new stream that `replaces` the one given up.
//
// A position p means: every input with position <= p is durable at that sink. Positions of inputs start at 1; a start of 0 is "from the
// beginning". For files the position of an input is the byte offset BEHIND it (so the position is where reading goes on); for a journal its
// row number. The witness of a position is a 64-bit value by which the source recognises that the bytes before it are still the same (0:
// none).
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"
#include "shm/register.h"
#include "shm/words.h"

struct stream {
  char *source, *partition, *identity, *fingerprint; // owned
  int64_t replaces;
};

enum stream_start_state { STREAM_UNRESOLVED = 0, STREAM_RESOLVED = 1, STREAM_GIVEN_UP = 2 };
enum stream_word { STREAM_START, STREAM_START_STATE, STREAM_ISSUED, STREAM_OLDEST_TIME, STREAM_WORDS };
// STREAM_START_STATE: 0 not resolved, 1 resolved, 2 given up. STREAM_ISSUED: highest position given out so far (for lag).

// Source: appends; returns the handle, or -1 with e (table full: ERROR_ENVIRONMENT).
int64_t stream_append(struct shared_register *r, const struct stream *s, struct error *e);
// Anyone: a copy of entry `handle`. False: absent or garbage (e set).
bool stream_get(struct shared_register *r, uint64_t handle, struct stream *s, struct error *e);
void stream_free(struct stream *s);
