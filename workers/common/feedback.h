// Feedback: what each sink tells the lane's source about each stream, in words of its own that the source maps read-only.
// FEEDBACK_WORDS words per stream; the others of an answer are stored before FEEDBACK_STATE (release), so a source that has loaded the
// state (acquire) sees them. FEEDBACK_POSITION alone moves on afterwards, only forwards within one life of the lane.
// The sink rings the source's bell after every change of state. After a commit it does not: a source looks at positions when it trims its
// journal (at each poll and at the end), so nobody waits for them.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "shm/words.h"

// LOST and FORGOTTEN are of a shared source only: another instance has taken the stream over; the source has given the stream up and the
// sink has heard of it. The second is for the sink's own successor: until it stands there what the stream has brought is his to count.
enum feedback_state { FEEDBACK_UNKNOWN = 0, FEEDBACK_NONE, FEEDBACK_KNOWN, FEEDBACK_READY, FEEDBACK_LOST, FEEDBACK_FORGOTTEN };
enum feedback_word { FEEDBACK_STATE, FEEDBACK_POSITION, FEEDBACK_WITNESS, FEEDBACK_STARTED_AT, FEEDBACK_EPOCH, FEEDBACK_WORDS };
// FEEDBACK_STARTED_AT: the stored start (in KNOWN and READY); in NONE the time in milliseconds at which the sink got its first stream of
// this source, 0 when it has none: what has no position then was added later, or was passed over by a death before its start was stored.

// FEEDBACK_EPOCH: under which the sink holds the fence of a READY stream. For its successor alone.

struct feedback_answer {
  enum feedback_state state;
  uint64_t position, witness, start, epoch;
};

void feedback_get(const struct words *w, uint64_t stream, struct feedback_answer *a);    // source
void feedback_answer(struct words *w, uint64_t stream, const struct feedback_answer *a); // sink: state last
void feedback_epoch(struct words *w, uint64_t stream, uint64_t epoch);                   // sink, after it has taken the fence again
void feedback_end(struct words *w, uint64_t stream, enum feedback_state how);            // sink: LOST or FORGOTTEN
void feedback_position(struct words *w, uint64_t stream, uint64_t position);             // sink, after each commit
// Source: the least committed position over all sinks, 0 when some sink has not answered yet.
uint64_t feedback_minimum(const struct words *sinks, unsigned count, uint64_t stream);
// Source: true when some sink has lost the stream.
bool feedback_is_lost(const struct words *sinks, unsigned count, uint64_t stream);
