// See lookups.h for the manual page.
#include "supervisor/lookups.h"

#include <event2/event.h>
#include <stdlib.h>

#include "shm/words.h"
#include "supervisor/instance.h"
#include "supervisor/lane.h"
#include "workers/workers.h"

bool lookups_open(struct instance *i, struct error *e) {
  i->lookups = memory_get((i->plan->lookup_count + 1) * sizeof *i->lookups);
  for (size_t l = 0; l < i->plan->lookup_count; l++) lane_seats(i, &i->lookups[i->lookup_count++], &i->plan->lookups[l], 0);
  for (size_t l = 0; l < i->lookup_count; l++)
    if (!seat_open(&i->lookups[l].seats[0], e)) return false;
  return true;
}

void lookups_close(struct instance *i) {
  for (size_t l = 0; l < i->lookup_count; l++) lane_free(&i->lookups[l]);
  free(i->lookups);
  if (i->lookups_limit) event_free(i->lookups_limit);
  i->lookups_limit = NULL;
  i->lookups = NULL;
  i->lookup_count = 0;
}

void lookups_start(struct instance *i) {
  for (size_t l = 0; l < i->lookup_count; l++) lane_start(&i->lookups[l]);
}

void lookups_kill(struct instance *i, const char *reason) {
  for (size_t l = 0; l < i->lookup_count; l++)
    if (i->lookups[l].seats[0].state != SEAT_ENDED) seat_dismiss(&i->lookups[l].seats[0], reason);
}

static void time_over(int fd, short what, void *context) {
  (void)fd, (void)what;
  lookups_kill(context, "nothing joins it any more");
  stop_check(context);
}

static void ask(struct seat *seat) {
  seat->dismissed = true;
  if (seat->pid == 0) {
    seat_end(seat);
    return;
  }
  slot_command_set(&seat->slot, SLOT_STOP);
  bell_ring(seat->bell);
}

void lookups_end(struct instance *i) {
  struct timeval limit = {.tv_usec = LOOKUPS_END_MS * 1000};
  bool asked = false;
  for (size_t l = 0; l < i->lookup_count; l++) {
    struct seat *seat = &i->lookups[l].seats[0];
    if (seat->state == SEAT_ENDED || seat->dismissed) continue;
    ask(seat);
    asked = true;
  }
  if (!asked) return;
  // One that is away from its loop, in a call of a library, does not hear us.
  i->lookups_limit = evtimer_new(i->base, time_over, i);
  if (!i->lookups_limit || evtimer_add(i->lookups_limit, &limit) != 0) lookups_kill(i, "no timer could be set");
}

bool lookups_ended(const struct instance *i) {
  for (size_t l = 0; l < i->lookup_count; l++)
    if (i->lookups[l].seats[0].state != SEAT_ENDED) return false;
  return true;
}

const struct seat *lookup_seat(const struct instance *i, size_t node) {
  for (size_t l = 0; l < i->lookup_count; l++)
    if (i->lookups[l].seats[0].plan->node == node) return &i->lookups[l].seats[0];
  return NULL;
}

void lookup_look(const struct seat *seat, struct lookup_table *table) {
  struct words words;
  *table = (struct lookup_table){0};
  if (words_attach(&words, seat->feedback, false) != 0) return;
  table->generation = words_load(&words, LOOKUP_GENERATION);
  table->rows = words_load(&words, LOOKUP_ROWS);
  table->bytes = words_load(&words, LOOKUP_BYTES);
  table->loaded = (int64_t)words_load(&words, LOOKUP_LOADED);
  table->confirmed = (int64_t)words_load(&words, LOOKUP_CONFIRMED);
  words_detach(&words);
}
