// See hang.h for the manual page.
#include "supervisor/hang.h"

#include "supervisor/instance.h"
#include "supervisor/lane.h"
#include "supervisor/say.h"

static void seat_hung(struct seat *seat, uint64_t late_ns) {
  struct log_line l;
  char doing[SLOT_TEXT];
  slot_doing_get(&seat->slot, doing);
  say_begin(seat->lane->instance, &l, LOG_LEVEL_WARN, "worker hangs", seat);
  if (doing[0]) log_text(&l, "doing", doing);
  log_uint(&l, "late_ms", late_ns / 1000000);
  log_text(&l, "next", "kill it");
  log_end(&l);
  seat_kill(seat, "it hung");
}

static void seat_check(struct seat *seat, uint64_t now) {
  struct slot_words words;
  if (seat->pid == 0 || seat->kill_reason) return;
  slot_words_get(&seat->slot, &words);
  // A deadline from before its start is its predecessor's: it has not come to its slot yet.
  if (words.deadline_ns > seat->started_ns && words.deadline_ns < now) seat_hung(seat, now - words.deadline_ns);
}

void hang_check(struct instance *i, uint64_t now) {
  for (size_t l = 0; l < i->lane_count; l++)
    for (size_t s = 0; s < i->lanes[l].seat_count; s++) seat_check(&i->lanes[l].seats[s], now);
  for (size_t l = 0; l < i->lookup_count; l++) seat_check(&i->lookups[l].seats[0], now);
}
