// See tick.h for the manual page.
#include "supervisor/tick.h"

#include <event2/event.h>

#include "proto/clock.h"
#include "supervisor/drain.h"
#include "supervisor/hang.h"
#include "supervisor/instance.h"
#include "supervisor/lane.h"
#include "supervisor/relax.h"
#include "supervisor/say.h"

// Every worker has looked at its input once.
static bool all_up(const struct instance *i) {
  for (size_t l = 0; l < i->lane_count; l++) {
    for (size_t s = 0; s < i->lanes[l].seat_count; s++) {
      const struct seat *seat = &i->lanes[l].seats[s];
      struct slot_words words;
      slot_words_get(&seat->slot, &words);
      if (seat->state != SEAT_ENDED && (seat->pid == 0 || words.state == SLOT_STARTING)) return false;
    }
  }
  return true;
}

static void ready_check(struct instance *i) {
  if (i->ready || !all_up(i)) return;
  i->ready = true;
  notify_say(&i->notify, "READY=1\nSTATUS=all workers are up");
}

static void timer_set(struct instance *i) {
  long ms = i->ready ? TICK_MS : TICK_START_MS;
  struct timeval step = {.tv_usec = ms * 1000};
  event_add(i->tick.event, &step);
}

static void tick(int fd, short what, void *context) {
  (void)fd, (void)what;
  struct instance *i = context;
  uint64_t now = clock_monotonic_ns();
  if (now - i->tick.last_ns > TICK_LATE_MS * UINT64_C(1000000)) i->tick.grace_ns = now + TICK_GRACE_MS * UINT64_C(1000000);
  i->tick.last_ns = now;
  ready_check(i);
  if (now >= i->tick.grace_ns) hang_check(i, now);
  relax_check(i);
  drain_check(i, now);
  notify_watchdog(&i->notify, now);
  progress_step(i, now);
  timer_set(i);
}

bool tick_open(struct instance *i, struct error *e) {
  i->tick.last_ns = clock_monotonic_ns();
  i->tick.event = evtimer_new(i->base, tick, i);
  if (i->tick.event) {
    timer_set(i);
    return true;
  }
  error_set(e, ERROR_ENVIRONMENT, "timer", "cannot make a timer");
  return false;
}

void tick_close(struct instance *i) {
  if (i->tick.event) event_free(i->tick.event);
}
