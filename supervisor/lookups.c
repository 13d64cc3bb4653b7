// See lookups.h for the manual page.
#include "supervisor/lookups.h"

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
  i->lookups = NULL;
  i->lookup_count = 0;
}

void lookups_start(struct instance *i) {
  for (size_t l = 0; l < i->lookup_count; l++) lane_start(&i->lookups[l]);
}

void lookups_end(struct instance *i, const char *reason) {
  for (size_t l = 0; l < i->lookup_count; l++)
    if (!i->lookups[l].seats[0].dismissed) seat_dismiss(&i->lookups[l].seats[0], reason);
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
