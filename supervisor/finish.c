// See finish.h for the manual page.
#include "supervisor/finish.h"

#include "supervisor/instance.h"
#include "supervisor/lane.h"

static bool has_ended(const struct lane *lane) {
  for (size_t s = 0; s < lane->seat_count; s++)
    if (lane->seats[s].state != SEAT_ENDED) return false;
  return true;
}

// Whether a lane that writes what this one reads is still there.
static bool is_fed(const struct instance *i, const struct lane *lane) {
  for (size_t l = 0; l < i->lane_count; l++)
    if (!has_ended(&i->lanes[l]) && plan_chain_feeds(i->plan, i->lanes[l].chain, lane->chain)) return true;
  return false;
}

void finish_check(struct instance *i) {
  if (!i->options.once || i->stop.phase != STOP_RUNNING) return;
  for (size_t l = 0; l < i->lane_count; l++) {
    struct lane *lane = &i->lanes[l];
    struct seat *source = &lane->seats[0];
    if (!lane->chain->fed || source->state == SEAT_ENDED || lane->cutting || is_fed(i, lane)) continue;
    if (slot_command_get(&source->slot) == SLOT_FINISH) continue;
    slot_command_set(&source->slot, SLOT_FINISH);
    bell_ring(source->bell);
  }
}
