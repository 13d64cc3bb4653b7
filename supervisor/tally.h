// The numbers of the nodes: what the slots of all lanes say, read once. Called by status, account and progress.
//
// A node that runs in several lanes, or stands in several trees, has one tally: the sum. The names of the counters and their two invariants
// stand in shm/slot.h.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/slot.h"

struct instance;
struct plan;

struct tally {
  uint64_t counters[SLOT_COUNTERS];
  unsigned workers, restarts, cuts; // 0 workers: the node does not run (a topic without brokers, a node that nobody reads)
};

// One per node of the plan, owned by the caller.
struct tally *tally_take(const struct instance *i);
// IN = WITH_ROWS + FILTERED + DEAD_RECORDS and ROWS_MADE = OUT + DEAD_ROWS + SUPERSEDED + LATE: exact at every moment of rest.
bool tally_holds(const struct tally *t);
// Rows that all sources took in, and that all sinks have stored.
void tally_ends(const struct plan *plan, const struct tally *tallies, uint64_t *in, uint64_t *stored, uint64_t *dead);
