// Dead letters in PostgreSQL: table weir_dead beside the target's table.
//
// Called by target_postgres.c inside its transaction. An entry with the id of one that is there only renews its `last`.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"
#include "workers/clients/postgres.h"
#include "workers/sinks/target.h"

struct postgres_dead {
  const char *table; // quoted; not owned
  uint64_t most, bytes;
  bool counted; // `bytes` has been read from the table
};

// Inside a transaction that holds the creation lock.
bool postgres_dead_make(struct postgres *p, const char *table, struct error *e);
// A table of an earlier version gets the columns that it lacks.
bool postgres_dead_mend(struct postgres *p, const char *table, struct error *e);
// Adds all letters of a batch. ERROR_OUTAGE "dead-full" when they do not fit.
bool postgres_dead_add_batch(struct postgres_dead *d, struct postgres *p, const struct target_setup *setup,
                             const struct target_streams *streams, const struct batch *b, struct error *e);
