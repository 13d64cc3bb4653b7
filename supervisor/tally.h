// The numbers of the nodes: what the slots of all lanes say, read once. Called by status, account and progress.
//
// A node that runs in several lanes, or stands in several trees, has one tally: the sum. A topic that is written and read has two, the
// writer's before the reader's. The names of the counters and their two invariants
// stand in shm/slot.h.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/slot.h"

struct instance;
struct plan;
struct plan_node;
struct worker_kind;

struct tally {
  const struct plan_node *node;
  const struct worker_kind *kind; // NULL like workers 0
  uint64_t counters[SLOT_COUNTERS];
  unsigned workers, restarts, cuts; // 0 workers: the node does not run (a topic without brokers, a node that nobody reads)
};

size_t tally_count(const struct plan *plan);
// tally_count of them, in the order of the file; owned by the caller.
struct tally *tally_take(const struct instance *i);
// IN = WITH_ROWS + FILTERED + DEAD_RECORDS and ROWS_MADE = OUT + DEAD_ROWS + SUPERSEDED + LATE: exact at every moment of rest.
bool tally_holds(const struct tally *t);
// Rows that came from outside, and that were stored for good: topics between chains of this pipeline count for neither.
void tally_ends(const struct plan *plan, const struct tally *tallies, uint64_t *in, uint64_t *stored, uint64_t *dead);
