// A lane: one copy of a chain, as a tree of seats joined by rings. A seat is the place of one worker: its node, and the memory (slot, bell,
// output ring, feedback) that outlives the processes which sit in it one after the other.
//
// NAME          lane - make, start, cut a tree of workers
// DESCRIPTION   The supervisor creates all shared memory and holds every descriptor; beyond the slots, which it maps to read what workers
//               tell, it keeps out of it. Never two processes in one seat: a successor is spawned only after waitpid has returned the
//               predecessor (reap.c is the only caller of seat_spawn besides the start). A cut (the target lost rows that it had
//               acknowledged) kills all workers of the lane, throws its memory away, and starts from what is durable. The lane's numbers
//               start anew with it: what was in its rings is read again and counted again, so that the account stays exact for what has
//               been done since; the log line of the cut tells the numbers before.
//
//   seat:   EMPTY --seat_spawn--> RUNNING --reaped--> EMPTY | ENDED        ENDED: finished in order, failed, or given up at a stop
//
// DIAGNOSTICS   ERROR_ENVIRONMENT when memory or descriptors cannot be made.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/error.h"
#include "shm/slot.h"
#include "supervisor/plan.h"
#include "supervisor/restart.h"
#include "supervisor/worker_output.h"

struct event;
struct instance;
struct lane;

enum seat_state { SEAT_EMPTY, SEAT_RUNNING, SEAT_ENDED };

struct seat {
  struct lane *lane;
  const struct plan_worker *plan;
  const struct plan_node *node;
  char *name; // "cleaned/0": node and lane, as the log says it
  enum seat_state state;
  bool failed;      // ended because somebody has to decide (exit code of the pipeline)
  bool dismissed;   // killed for good: nobody comes after it
  pid_t pid;        // 0: nobody sits here
  unsigned spawned; // processes so far: the next one's generation
  uint64_t started_ns;
  int slot_fd, bell, ring, feedback; // -1: has none; the feedback of a lookup is the row of words that it writes
  struct slot slot;
  struct restart history;
  struct worker_output output;
  struct event *timer;          // the successor's start, when it has to wait
  const char *kill_reason;      // static: why we killed it, for the log line of its death; NULL when we did not
  uint64_t kept[SLOT_COUNTERS]; // what earlier runs of a lane that is started anew have counted
};

struct lane {
  struct instance *instance;
  const struct plan_chain *chain;
  unsigned number;
  struct seat *seats; // as in chain->workers: parents before children, 0 is the source
  size_t seat_count;
  int streams, source_words;
  bool cutting;     // its workers are being killed for a new start
  bool given_up;    // one of its workers failed: what is in the rings drains as far as it can
  unsigned cuts;    // how often it was started from durable positions again
  uint64_t wait_ms; // before the start after the cut under way
  uint64_t done_ns; // draining: since when everything is stored; 0: something is left
};

// Makes all lanes of the plan with their memory; starts nobody.
bool lanes_open(struct instance *i, struct error *e);
void lanes_close(struct instance *i);
// The parts of it, for who makes lanes of another sort (lookups.c): seats without memory; a seat's memory; all of it given back.
void lane_seats(struct instance *i, struct lane *lane, const struct plan_chain *chain, unsigned number);
bool seat_open(struct seat *seat, struct error *e);
void lane_free(struct lane *lane);
// One more lane while the instance runs, for a chain of a retry. NULL: e. There is room for every chain that the plan has room for.
struct lane *lane_add(struct instance *i, const struct plan_chain *chain, struct error *e);
// All seats of the lane have ended: its rings are given back, what it has counted stays.
void lane_rest(struct lane *lane);
// The same state: it gets new memory, to be started once more. What it has counted is kept. False: as it was.
bool lane_renew(struct lane *lane, struct error *e);
// Starts every seat of the lane.
void lane_start(struct lane *lane);
// Whoever waits for a new start gets it now: the lane has to drain.
void lane_hurry(struct lane *lane);
// Kills the lane's workers; lane_reaped starts it anew when the last one is gone.
void lane_cut(struct lane *lane, uint64_t wait_ms);
void lane_reaped(struct lane *lane);

void seat_spawn(struct seat *seat);
// Starts the successor after a while.
void seat_spawn_later(struct seat *seat, uint64_t ms);
// No process sits here any more and none will.
void seat_end(struct seat *seat);
// SIGKILL; what follows is decided when it has been reaped. `reason` is static.
void seat_kill(struct seat *seat, const char *reason);
// The same for good: the seat ends with this process, or at once when it is empty.
void seat_dismiss(struct seat *seat, const char *reason);
struct seat *seat_parent(const struct seat *seat); // NULL for the source
bool seat_is_sink(const struct seat *seat);
bool seat_is_below(const struct seat *seat, const struct seat *above);
// Bytes in the ring that it reads, not yet released by it; the capacity through *capacity. 0 for a source.
uint64_t seat_backlog(const struct seat *seat, uint64_t *capacity);
// Wakes everybody who may wait for this seat: parent, children, the source, the sinks.
void seat_ring_neighbours(const struct seat *seat);

struct seat *seat_of_pid(struct instance *i, pid_t pid);
bool lanes_ended(const struct instance *i); // every seat of every lane has ended
