// Positions in SQLite: table weir_positions, in the database of a SQLite table sink or in the state folder's sinks.db.
//
// Called by target_sqlite.c and target_file.c. The fence: the database's write lock makes a transaction alone, and its first statement
// must find epoch and position as this writer left them.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"
#include "workers/clients/sqlite.h"
#include "workers/sinks/target.h"

bool sqlite_positions_make(struct sqlite *db, struct error *e);
// Both in transactions of their own; as `attach` and `start` of target.h.
bool sqlite_positions_attach(struct sqlite *db, const struct target_setup *setup, struct target_stream **streams, size_t count,
                             struct error *e);
bool sqlite_positions_start(struct sqlite *db, const struct target_setup *setup, struct target_stream *s, uint64_t start, struct error *e);
// As `look` of target.h.
bool sqlite_positions_look(struct sqlite *db, const struct target_setup *setup, const struct target_stream *s, bool *there, uint64_t *epoch,
                           struct target_totals *totals, struct error *e);
// In a transaction of its own; as `release` of target.h.
bool sqlite_positions_release(struct sqlite *db, const struct target_setup *setup, struct target_stream *const *streams, size_t count,
                              struct error *e);
// Inside a transaction, first: proves the fence of every stream that moves and moves it. ERROR_FENCED: `lost` says which; ERROR_REWIND: a
// position was changed under us. The caller rolls back.
bool sqlite_positions_move(struct sqlite *db, const struct target_setup *setup, struct target_streams *streams, struct error *e);
// The same proof for every stream that is held, without moving or writing anything; errors alike.
bool sqlite_positions_hold(struct sqlite *db, const struct target_setup *setup, struct target_streams *streams, struct error *e);
// Inside the same transaction, last: writes `next` again after target_count found other numbers than at the start.
bool sqlite_positions_totals(struct sqlite *db, const struct target_streams *streams, struct error *e);
// Rows that this sink has stored, over all its streams: with an absent or empty table they are gone.
bool sqlite_positions_rows(struct sqlite *db, const struct target_setup *setup, uint64_t *rows, struct error *e);
// Inside a transaction: the streams that brought rows have no position any more, they begin again. Epochs count on.
bool sqlite_positions_forget(struct sqlite *db, const struct target_setup *setup, struct error *e);
