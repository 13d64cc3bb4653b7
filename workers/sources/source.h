// What every source has in common: it announces its streams, learns where to begin, publishes inputs, and resumes where its last life
// ended.
//
// Called by: file_source.c, generate_source.c, http_source.c. Knows nothing of what an input is.
//
// Announcing a stream (the protocol of workers/common/streams.h, seen from this side):
//
//   source_stream  --append to the register-->  PENDING
//   source_settle  PENDING: publish RECORD_STREAM, wait until every sink has said NONE or KNOWN; resolve the start and store it in the
//                  source's words; publish RECORD_STREAM, wait until every sink is READY; check what the sinks have  -->  BEGUN
//   A stream whose position stands in the writer note of the ring was begun by an earlier life of this worker: it is BEGUN at once.
//
// The writer note: the counters, then two words a stream (last position finished, its witness), then one word that says that the end of
// the run is published, then the words that the kind of source asked for. What the note says is what lies in the ring, no more, no less.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/dead.h"
#include "proto/error.h"
#include "proto/record.h"
#include "workers/common/streams.h"
#include "workers/common/worker.h"

struct source_stream {
  struct stream entry; // owned
  uint64_t position;   // of the last input in the ring: reading goes on behind it
  uint64_t witness;
  bool begun;
  bool later;       // found while the source was running: it starts at its beginning
  int64_t since_ms; // no sink has it: when a sink got its first stream of this source; 0: none has any
  bool given;       // up: the partition belongs to another instance now
};

// What the kind of source knows about its streams.
struct source_kind {
  void *owner;
  // The position at which a stream starts that no sink has ever seen, as the settings want it. `latest` was resolved when the sinks got
  // the first stream of this source (source_stream.since_ms), if they have one: where the kind knows times, it is that time.
  bool (*start)(void *owner, uint64_t stream, uint64_t *position, struct error *e);
  // Can the source go on behind this position of a sink? False: ERROR_OPERATOR with the choices spelled out.
  bool (*check)(void *owner, uint64_t stream, uint64_t position, uint64_t witness, struct error *e);
};

// The brake: which of the last inputs became dead letters. A file of another kind, or a changed API, must not drain into them.
enum { SOURCE_WINDOW = 1000 };

struct source {
  struct worker *w;
  struct source_kind kind;
  struct source_stream *streams; // by handle
  uint64_t count, most;          // streams known; how many the ring's note has room for
  uint64_t *extra;               // the kind's own words of the note
  bool stop;                     // a stop was asked
  bool ended;                    // the end of the run is in the ring already: an earlier life finished the work
  bool resumed;                  // an earlier life of this worker has published
  // The input in hand: its parts so far, and the flags of the last one in the ring, not published yet.
  uint32_t parts, dead_parts;
  uint8_t *last_flags;
  uint64_t last_position;         // of the last input, whatever its stream: shown only
  const char *dead_node;          // under which node its dead letters are filed: its own, but for the retry of another one's
  const struct json_parser *json; // what its inputs are parsed with, when they are JSON: its numbers that stay text are counted
  uint64_t text_numbers;          // of that parser, as far as they are counted
  double stop_above;
  uint8_t window[SOURCE_WINDOW]; // by number of the input modulo the window: 1 = it died
  uint32_t window_at, window_dead;
};

// Takes up the ring where the last life left it. `extra` words of the note are the kind's own.
bool source_open(struct source *s, struct worker *w, const struct source_kind *kind, uint64_t extra, struct error *e);
void source_close(struct source *s);

// The handle of the stream (partition, identity): the one in the register, else a new entry, PENDING. Negative: e.
int64_t source_stream(struct source *s, const char *partition, const char *identity, int64_t replaces, bool later, struct error *e);
// The latest stream of this partition; negative when there is none.
int64_t source_find(const struct source *s, const char *partition);
// Carries all PENDING streams to BEGUN; waits for the sinks. False: e, or (no error set) a stop was asked.
bool source_settle(struct source *s, struct error *e);

// The partition was taken away: the sinks forget the stream.
bool source_give_up(struct source *s, uint64_t stream, struct error *e);

// Bytes that the body of one record may have in this ring.
uint32_t source_body_max(const struct source *s);
// Bytes that it may carry of its message: a quarter of that, so that no key crowds out the fields.
uint32_t source_message_max(const struct source *s);

// An input and its records. Each record: source_part_begin, the body is written, source_part_end or _abort; then source_input_end for the
// whole input. All parts of an input become visible together.
struct source_input {
  uint64_t stream, position, witness;
  int64_t time;   // microseconds
  uint64_t bytes; // read from outside for it
  // What each of its records carries of the message that it is (proto/message_tail.h); NULL or empty: it is none. It goes behind the body
  // where the room that was asked for is enough for both, else it stays out.
  const struct buffer *message;
  bool tombstone; // its records delete what has their key (RECORD_DELETE)
  bool retry;     // it is a dead letter that goes on: of what its node makes of it only row number `again` is wanted
  uint32_t again; // RECORD_PART_ALL: every row
};
// Opens a record with `room` bytes for its body (at most source_body_max); waits while the ring is full. NULL: e.
uint8_t *source_part_begin(struct source *s, uint32_t room, struct error *e);
void source_part_abort(struct source *s);
void source_part_end(struct source *s, const struct source_input *input, uint32_t length);
// What cannot go on: a dead letter with its original bytes, cut where they do not fit.
struct source_dead {
  const char *code, *reason;
  const char *format;  // "raw" (NULL too): as the source read them; "msgpack"; "tombstone": msgpack of a record that deletes
  const char *message; // what the input was in its topic (proto/dead_message.h); NULL: it comes from none
  const void *bytes;
  uint64_t length;
  bool cut; // the bytes are not all of it
};
bool source_part_dead(struct source *s, const struct source_input *input, const struct source_dead *dead, struct error *e);
// Takes back the parts of the input in hand.
void source_parts_abort(struct source *s);
// Bytes of the ring that the parts of one input may still take; at 0 the input is too large for it.
uint64_t source_parts_room(const struct source *s);
// The input is complete (with no part it counts as filtered). False: too many of the last inputs became dead letters (ERROR_OPERATOR).
bool source_input_end(struct source *s, const struct source_input *input, struct error *e);
// Counts the numbers that stayed text since the last call; source_input_end does it, too.
void source_count_numbers(struct source *s);
// The common case, one record that is a dead letter: source_part_dead and source_input_end.
bool source_input_dead(struct source *s, const struct source_input *input, const struct source_dead *dead, struct error *e);
// Tells the sinks how far a stream is whose last inputs gave no record.
bool source_progress(struct source *s, uint64_t stream, struct error *e);
// The stream has nothing up to this position that will ever be an input: tells the sinks so. `witness`: of that position.
bool source_skip(struct source *s, uint64_t stream, uint64_t position, uint64_t witness, struct error *e);

// For sources that have other things to do while the ring is full: is there room for a body of this size now? False: *wanted is what to
// pass to source_sleep.
bool source_has_room(struct source *s, uint32_t room, uint32_t *wanted);
// Announces to the readers that the source is about to sleep for that room (publishes first). False: there is room now, do not sleep.
bool source_sleep(struct source *s, uint32_t wanted);
// Shows all inputs that are ended; before every sleep and at the end of each turn that took something.
void source_publish(struct source *s);
// The end of the run; nothing may follow.
bool source_end(struct source *s, struct error *e);

// The exit code of a source that has finished (`good`) or failed with e: what was taken before the failure is published first.
int source_leave(struct source *s, bool good, const struct error *e);

// Where a stream's words stand: in the ring's note (position, witness), and among the source's words.
static inline uint64_t *source_note(const struct source *s, uint64_t stream) {
  return s->w->output.note + WORKER_NOTE_OWN + 2 * stream;
}
static inline uint32_t source_word(uint64_t stream, enum stream_word which) {
  return (uint32_t)(stream * STREAM_WORDS + which);
}

// The turn of a source's loop: renews the hang deadline, remembers a wish to stop. True: stop.
bool source_turn(struct source *s);
// The check value of the `length` bytes at `bytes` that lie in front of a position: their number (at most SOURCE_WITNESS_BYTES of them
// count, the last ones) and a hash.
enum { SOURCE_WITNESS_BYTES = 1024 };
uint64_t source_witness(const void *bytes, uint64_t length);
// How many bytes in front of the position the witness covers; 0 for no witness.
uint64_t source_witness_length(uint64_t witness);
