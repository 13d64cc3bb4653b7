// See relax.h. The replacement is a kill: rings and durable positions make that exact, and it needs no second protocol.
#include "supervisor/relax.h"

#include "proto/clock.h"
#include "supervisor/instance.h"
#include "supervisor/lane.h"

#define RELAX_AFTER_NS UINT64_C(10000000000)

void relax_check(struct instance *i) {
  uint64_t now = clock_monotonic_ns();
  for (size_t l = 0; l < i->lane_count; l++) {
    for (size_t s = 0; s < i->lanes[l].seat_count; s++) {
      struct seat *seat = &i->lanes[l].seats[s];
      struct slot_words words;
      if (!seat->history.careful || seat->pid == 0 || seat->kill_reason || now - seat->started_ns < RELAX_AFTER_NS) continue;
      slot_words_get(&seat->slot, &words);
      if (!words.did_work) continue;
      seat->history.careful = false;
      seat->history.crashes = 0;
      seat_kill(seat, "record by record it went well: back to batches");
    }
  }
}
