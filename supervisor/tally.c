// See tally.h.
#include "supervisor/tally.h"

#include "proto/error.h"
#include "supervisor/instance.h"
#include "supervisor/lane.h"

size_t tally_count(const struct plan *plan) {
  return 2 * plan->node_count;
}

struct tally *tally_take(const struct instance *i) {
  struct tally *tallies = memory_get((tally_count(i->plan) + 1) * sizeof *tallies);
  for (size_t l = 0; l < i->lane_count; l++) {
    for (size_t s = 0; s < i->lanes[l].seat_count; s++) {
      const struct seat *seat = &i->lanes[l].seats[s];
      struct tally *t = &tallies[2 * seat->plan->node + (seat->plan->kind->role == WORKER_PRODUCER)];
      struct slot_words words;
      slot_words_get(&seat->slot, &words);
      for (int c = 0; c < SLOT_COUNTERS; c++) t->counters[c] += seat->kept[c] + words.counters[c];
      t->node = seat->node;
      t->kind = seat->plan->kind;
      t->workers++;
      t->restarts += seat->spawned > 0 ? seat->spawned - 1 : 0;
      t->cuts += i->lanes[l].cuts;
    }
  }
  return tallies;
}

bool tally_holds(const struct tally *t) {
  const uint64_t *c = t->counters;
  return c[COUNT_IN] == c[COUNT_WITH_ROWS] + c[COUNT_FILTERED] + c[COUNT_DEAD_RECORDS] &&
         c[COUNT_ROWS_MADE] == c[COUNT_OUT] + c[COUNT_DEAD_ROWS] + c[COUNT_SUPERSEDED] + c[COUNT_LATE];
}

void tally_ends(const struct plan *plan, const struct tally *tallies, uint64_t *in, uint64_t *stored, uint64_t *dead) {
  *in = *stored = *dead = 0;
  for (size_t n = 0; n < tally_count(plan); n++) {
    const struct plan_node *node = tallies[n].node;
    if (tallies[n].workers == 0) continue;
    if (!node->copies) *dead += tallies[n].counters[COUNT_DEAD_ROWS];
    bool between = (node->kind && node->reader) || node->copies;
    if (tallies[n].kind->role == WORKER_PRODUCER && !between) *in += tallies[n].counters[COUNT_IN];
    if (tallies[n].kind->role == WORKER_SINKER && !between) *stored += tallies[n].counters[COUNT_OUT];
  }
}
