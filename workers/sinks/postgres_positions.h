// Positions in PostgreSQL: table weir_positions beside the target's table.
//
// Called by target_postgres.c. The fence is a row lock: taking over waits for a transaction of the last owner that is still alive, then
// sees its result; a commit's first statement fails in the server when epoch or position are not this writer's any more.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "workers/clients/postgres.h"
#include "workers/sinks/target.h"

// Inside a transaction that holds the creation lock.
bool postgres_positions_make(struct postgres *p, const char *table, struct error *e);
bool postgres_positions_attach(struct postgres *p, const char *table, const struct target_setup *setup, struct target_stream *s,
                               struct error *e);
// As `look` of target.h.
bool postgres_positions_look(struct postgres *p, const char *table, const struct target_setup *setup, const struct target_stream *s,
                             bool *there, uint64_t *epoch, struct target_totals *totals, struct error *e);
bool postgres_positions_start(struct postgres *p, const char *table, const struct target_setup *setup, struct target_stream *s,
                              uint64_t start, struct error *e);
// BEGIN and the fence of every stream that moves, in one round trip. On failure the transaction is rolled back and `lost` set; ERROR_FENCED
// or ERROR_REWIND when it was the fence.
bool postgres_positions_move(struct postgres *p, const char *table, const struct target_setup *setup, struct target_streams *streams,
                             struct error *e);
// Later in the transaction: writes `next` again after target_count found other numbers.
bool postgres_positions_totals(struct postgres *p, const char *table, const struct target_streams *streams, struct error *e);
// Renews `seen` of all streams that are held. Errors as postgres_positions_move: an idle owner learns here that it is none any more.
bool postgres_positions_beat(struct postgres *p, const char *table, const struct target_setup *setup, struct target_streams *streams,
                             struct error *e);
// As `release` of target.h.
bool postgres_positions_release(struct postgres *p, const char *table, const struct target_setup *setup,
                                struct target_stream *const *streams, size_t count, struct error *e);
bool postgres_positions_rows(struct postgres *p, const char *table, const struct target_setup *setup, uint64_t *rows, struct error *e);
bool postgres_positions_forget(struct postgres *p, const char *table, const struct target_setup *setup, struct error *e);
