// The worker runtime: what every worker process has in common, whatever its role. It opens what the supervisor handed over (job, slot,
// rings, bell), keeps the account, sleeps and wakes, and turns the end of the work into an exit code.
//
// Called by supervisor/main.c (worker_enter, through the role `--worker`) and by every worker. One `struct worker` a process.
// Invariant: a worker never blocks outside worker_wait / worker_pause (database calls excepted, which arm a deadline before).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/job.h"
#include "shm/register.h"
#include "shm/ring.h"
#include "shm/slot.h"
#include "shm/words.h"

struct event_base;

// What the supervisor does after each is decided by these codes; any signal and any other code counts as a crash.
enum worker_exit {
  WORKER_EXIT_DONE = 0,         // the end of the run has passed through
  WORKER_EXIT_CONFIG = 2,       // the job cannot be done as configured: the pipeline stops, exit 2
  WORKER_EXIT_AGAIN = 64,       // something passing: start again with backoff
  WORKER_EXIT_OPERATOR = 65,    // needs a decision (slot error text says which): the pipeline stops, exit 1
  WORKER_EXIT_REWIND = 66,      // the target lost acknowledged rows: cut this lane, start it from durable positions
  WORKER_EXIT_FENCED = 67,      // every stream of this sink belongs to another instance now: the instance stops, exit 1
  WORKER_EXIT_ENVIRONMENT = 68, // this machine: the pipeline stops, exit 3
  WORKER_EXIT_LIMIT = 70,       // its own limit (memory, time) in the middle of a record: counts against the record
  WORKER_EXIT_MEMORY = EXIT_OUT_OF_MEMORY,
};

// Who writes which descriptor: the job's map `fds` holds, where they apply (all opened by the supervisor, inherited across exec):
//   slot, bell, lock          every worker
//   in_ring, in_index, in_bell (the bell of the parent)                        transformer, sinker
//   out_ring, out_bells [one per child, in reader order]                       producer, transformer
//   streams (register)        producer writes, all others read
//   source_words (words)      producer writes, sinkers read: the resolved starts (streams.h)
//   feedback [words, one per sink of the lane]                                 producer reads
//   lookup (words)            lookup writes; transformers find those that they join in the job's `lookups`
//   own_feedback (words), source_bell                                          sinker writes / rings
enum { WORKER_NOTE_COUNTERS = 0, WORKER_NOTE_OWN = SLOT_COUNTERS }; // ring notes: the counters first, then the role's own words

struct worker {
  struct job job;
  struct job_value settings; // the node's settings, typed, defaults filled in
  char *role, *kind, *pipeline, *node, *source, *edge, *state, *fingerprint;
  unsigned node_index, lane, lanes, generation;
  bool careful;       // replay record by record: handle, publish (commit) and release each input by itself
  bool has_set_aside; // one input is to become a dead letter unseen: it killed three workers
  uint64_t set_aside_stream, set_aside_position;
  bool once; // --once: a source takes what is there, then sends the end of the run
  bool take_over;

  struct slot slot;
  int bell, lock;
  bool has_input, has_output;
  struct ring_reader input;
  struct ring_writer output;
  struct shared_register streams;
  struct words source_words;
  struct words own_feedback; // sinker
  struct words lookup;       // lookup: what it tells about its table (lookup_words.h)
  struct words *feedback;
  unsigned feedbacks; // producer: one per sink of the lane
  int source_bell;

  uint64_t counters[SLOT_COUNTERS]; // private truth; restored from the note at the start, mirrored to note and slot by the calls below
  struct event_base *base;
  bool bell_rang;
  struct worker_events *events; // private to worker.c
};

typedef int worker_main(struct worker *w); // returns an enum worker_exit

// Entry of the re-executed program: reads JOB_FD, attaches everything, finds the kind in workers.h, runs it, reports, returns the exit
// code.
int worker_enter(void);

// One turn of a worker's loop: renews the hang deadline (slot) and returns true when the supervisor asked a source to stop. No system call
// except a clock read by vDSO.
bool worker_turn(struct worker *w);
// True when whoever writes what this source reads has finished (SLOT_FINISH): with --once it ends at what is there now.
bool worker_finish_asked(const struct worker *w);
// Sleeps until the bell rings, an event of w->base fires, or `timeout_ms` passes (-1: no limit). The state shown meanwhile is `state`
// (SLOT_IDLE, SLOT_BLOCKED, SLOT_WAITING) with `doing` (may be NULL). The bell is cleared before this returns. Sleeping is never a hang.
void worker_wait(struct worker *w, int timeout_ms, enum slot_state state, const char *doing);
// The same, but until `timeout_ms` has passed or a stop was asked, whatever rings: backing off, waiting for the next poll.
// True: the time is over; false: stop was asked.
bool worker_pause(struct worker *w, uint64_t timeout_ms, const char *doing);
// Before a call that may block inside a library (COMMIT, connect): this worker is hung only `seconds` from now.
void worker_busy_until(struct worker *w, unsigned seconds, const char *doing);

// Rings another worker's bell (its eventfd). Never blocks, never fails (a full eventfd is a rung bell).
void bell_ring(int fd);

// The account. worker_counters_note copies w->counters into a ring note's first words (call it before ring_group_end / ring_release);
// worker_counters_show mirrors them into the slot (after ring_publish / ring_release); _load takes them back at the start.
void worker_counters_note(const struct worker *w, uint64_t *note);
void worker_counters_load(struct worker *w, const uint64_t *note);
void worker_counters_show(struct worker *w);

// The input in hand, for the supervisor's poison rule; stream UINT64_MAX: none in hand.
void worker_hand(struct worker *w, uint64_t stream, uint64_t position);
// True when this input is the one to set aside.
bool worker_is_set_aside(const struct worker *w, uint64_t stream, uint64_t position);

// First successful work: a death after this is restarted at once.
void worker_did_work(struct worker *w);
// Logs an error (with its class and code) and shows it in the slot.
void worker_show_error(struct worker *w, const struct error *e, const char *message);
// The exit code for an error that ends the worker; logs and shows it.
int worker_fail(struct worker *w, const struct error *e);

// Backoff with jitter: 100 ms, doubling to `most_ms`; reset when something worked.
struct backoff {
  uint64_t next_ms, most_ms;
  unsigned tries;
};
uint64_t backoff_next(struct backoff *b); // milliseconds to wait now
void backoff_reset(struct backoff *b);

// Output helpers shared by producers and transformers. All write into w->output.
// Waits (ring full) until `size` payload bytes fit; shows BLOCKED. False: size can never fit, or the ring is faulty (e is set).
bool worker_output_room(struct worker *w, uint32_t size, struct error *e);
