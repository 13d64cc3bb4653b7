// Dead letters in SQLite: table weir_dead, in the database of a SQLite table sink or in the state folder's dead.db.
//
// Called by target_sqlite.c and target_file.c inside a transaction of theirs, and by the dlq verb. An entry with the id of one that is
// there only renews its `last`: a dead letter is the same however often its input is replayed.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"
#include "workers/clients/sqlite.h"
#include "workers/sinks/target.h"

struct sqlite_dead {
  struct sqlite *db;    // not owned
  uint64_t most;        // bytes
  struct job_value job; // of the sink that adds letters, for messages
  uint64_t bytes;       // held, as far as known
  bool counted;         // `bytes` has been read from the store
};

bool sqlite_dead_make(struct sqlite *db, struct error *e);
void sqlite_dead_use(struct sqlite_dead *store, struct sqlite *db, uint64_t most);
// ERROR_OUTAGE "dead-full" when it does not fit.
bool sqlite_dead_add(struct sqlite_dead *store, const struct dead_entry *entry, struct error *e);
// Adds all letters of a batch.
bool sqlite_dead_add_batch(struct sqlite_dead *store, const struct target_setup *setup, const struct target_streams *streams,
                           const struct batch *b, struct error *e);
