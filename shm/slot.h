// The slot: what a worker tells its supervisor while it works, and the one word by which the supervisor tells it to stop. One memfd per
// worker slot (a role of a node in a lane); it outlives the worker, so what a dead worker was doing can still be read.
//
// Two pages with one writer each. The supervisor maps both (its own read-write); the worker maps its own page read-write, the other
// read-only. Texts are shown under a version word (odd while being changed); a reader that finds it odd or changed reads again, a few
// times, then shows what it has: display only, no decision hangs on a text.
//
// Called by: workers (through workers/worker.h), the supervisor.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum slot_command { // supervisor -> worker
  SLOT_RUN = 0,
  SLOT_STOP = 1, // a source: take no more input, send the end of the run, finish. Others follow the end of the run in their ring.
  // A source with --once whose input is written by others of the same run: they are finished, so ask where the input ends now, read up to
  // there, then send the end of the run. Set once; only SLOT_STOP may follow.
  SLOT_FINISH = 2,
};

// worker -> supervisor. `weir status` shows these names.
//
//   STARTING --first look at its input--> IDLE <--> RUNNING        WAITING: for something outside (server, lock, next poll), with a
//   deadline
//                                          |  \---> BLOCKED        BLOCKED: the ring behind it is full
//                                          \------> WAITING        STOPPED: finished in order     FAILED: needs an operator
enum slot_state { SLOT_STARTING, SLOT_RUNNING, SLOT_IDLE, SLOT_WAITING, SLOT_BLOCKED, SLOT_STOPPED, SLOT_FAILED };
const char *slot_state_name(enum slot_state state); // "starting", ... as design.md spells them

enum slot_counter {   // the account; each an exact number of the node's own work, mirrored from the ring note after each publish or release
  COUNT_IN,           // inputs taken: a source's lines or documents, a stage's records, a sink's rows
  COUNT_WITH_ROWS,    // inputs that gave at least one row
  COUNT_FILTERED,     // inputs that gave none, by intent (WHERE, unchanged since the last poll)
  COUNT_DEAD_RECORDS, // inputs that gave none but dead letters
  COUNT_ROWS_MADE,    // rows made of them
  COUNT_OUT,          // rows passed on, or durable at the target
  COUNT_DEAD_ROWS,    // rows that became dead letters
  COUNT_SUPERSEDED,   // rows replaced by a later one of the same key in the same batch
  COUNT_LATE,         // for windows; 0 until they exist
  COUNT_BYTES_IN,     // bytes read from outside or from the ring
  COUNT_FAILED_POLLS, // polls, connections or commits that failed and were tried again
  // Told once in the log, counted here; a worker killed between a commit and its note takes the counts of that batch with it.
  COUNT_IGNORED_FIELDS, // fields of stored rows that no column of the table takes
  COUNT_TEXT_NUMBERS,   // numbers of the input that fit no type and stay text
  SLOT_COUNTERS
};
// Invariants at rest: IN = WITH_ROWS + FILTERED + DEAD_RECORDS; ROWS_MADE = OUT + DEAD_ROWS + SUPERSEDED + LATE.

enum { SLOT_TEXT = 1536 }; // room for the longest message that spells choices out

struct slot_supervisor_page {
  // Supervisor: release store. Worker: acquire load, at each turn of its loop (no system call).
  _Atomic uint32_t command;
};

struct slot_worker_page {
  // All written by the worker, relaxed where only shown; read by the supervisor.
  _Atomic uint32_t state;       // enum slot_state
  _Atomic uint32_t did_work;    // 1 once it has published or committed anything: a death before that is throttled (release / acquire)
  _Atomic uint64_t deadline_ns; // CLOCK_MONOTONIC; the worker is hung when this has passed (0: not armed). Renewed each turn.
  _Atomic uint64_t counters[SLOT_COUNTERS];
  // Origin of the input in hand, stored before it is looked at: names the poison record after a crash. hand_stream = stream + 1, 0 = none.
  _Atomic uint64_t hand_stream, hand_position;
  _Atomic uint64_t position;     // last position finished (shown only)
  _Atomic uint64_t oldest_ns;    // CLOCK_REALTIME arrival of the oldest record not yet committed, 0 at rest
  _Atomic uint32_t version;      // of the texts below: odd while they change
  _Atomic char doing[SLOT_TEXT]; // "waiting for server 127.0.0.1:5432, next try in 3 s"
  _Atomic char error[SLOT_TEXT]; // last error, kept after death; "" when none
};

struct slot {
  struct slot_supervisor_page *command_page; // shared
  struct slot_worker_page *page;             // shared
};

int slot_create(void); // sealed memfd or -errno
// `supervisor`: maps the command page writable and the worker's page read-only; else the other way round. 0 or -errno.
int slot_attach(struct slot *s, int memfd, bool supervisor);
void slot_detach(struct slot *s);

void slot_command_set(struct slot *s, enum slot_command command); // supervisor
enum slot_command slot_command_get(const struct slot *s);         // worker

void slot_state_set(struct slot *s, enum slot_state state);
void slot_doing_set(struct slot *s, const char *text); // truncated at SLOT_TEXT - 1
void slot_error_set(struct slot *s, const char *text);
// Supervisor: a copy of a text; `out` holds SLOT_TEXT bytes; always terminated, control characters replaced by spaces.
void slot_doing_get(const struct slot *s, char *out);
void slot_error_get(const struct slot *s, char *out);
// Supervisor, after a worker died: makes the page ready for its successor (hand, did_work, deadline) — the page's one writer is dead then.
// It needs a writable mapping: slot_attach for a successor does it in the worker itself.
void slot_worker_begin(struct slot *s);

// The words of the worker's page, one by one. Setters are the worker's.
void slot_deadline_set(struct slot *s, uint64_t monotonic_ns); // 0: cannot hang now
void slot_counters_set(struct slot *s, const uint64_t counters[SLOT_COUNTERS]);
void slot_hand_set(struct slot *s, uint64_t stream, uint64_t position); // stream UINT64_MAX: nothing in hand
void slot_did_work_set(struct slot *s);
void slot_position_set(struct slot *s, uint64_t position);
void slot_oldest_set(struct slot *s, uint64_t realtime_ns);

// All words at once, for the supervisor; each is whole, together they are a snapshot only while the worker rests.
struct slot_words {
  enum slot_state state;
  bool did_work, has_hand;
  uint64_t deadline_ns, hand_stream, hand_position, position, oldest_ns;
  uint64_t counters[SLOT_COUNTERS];
};
void slot_words_get(const struct slot *s, struct slot_words *out);
