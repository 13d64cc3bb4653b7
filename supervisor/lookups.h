// The lookup workers of an instance.
//
// NAME          lookups - start, find and end the workers that load tables to be joined
// DESCRIPTION   Each lookup that some chain joins has one worker, in a lane of its own with one seat: it is started, watched, restarted and
//               reaped like any other, but has no rings. Its row of words outlives it and is mapped by the transformers that join it. The
//               lookups run until all other lanes have ended, because a transformer that is started again may wait for one; then they are
//               asked to end, and killed when that takes them longer than LOOKUPS_END_MS, which is harmless: what they were building
//               has no name yet.
// DIAGNOSTICS   ERROR_ENVIRONMENT when memory or descriptors cannot be made.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

struct instance;
struct seat;

bool lookups_open(struct instance *i, struct error *e);
void lookups_close(struct instance *i);
void lookups_start(struct instance *i);
enum { LOOKUPS_END_MS = 500 };
void lookups_end(struct instance *i);                      // no successors from here on
void lookups_kill(struct instance *i, const char *reason); // `reason` is static
bool lookups_ended(const struct instance *i);
// The seat of the lookup that is the plan's node of that index; it is among those that run.
const struct seat *lookup_seat(const struct instance *i, size_t node);

// What its worker tells about its table.
struct lookup_table {
  uint64_t generation; // 0: nothing is loaded yet
  uint64_t rows, bytes;
  int64_t loaded, confirmed; // microseconds UTC
};
void lookup_look(const struct seat *seat, struct lookup_table *table);
