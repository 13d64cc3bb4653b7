// What a running instance says of itself, and how the commands show it.
//
// NAME          status - one JSON object; a table for people
// DESCRIPTION   status_json writes what `weir status --json` prints: pipeline, state (starting, running, stopping, failed), pid, host,
//               since, file, state_folder, and nodes[], one for each worker: name, kind, role, source, edge, lane, pid (null: nobody
//               now), state, doing, restarts, in, out, filtered, superseded, late, dead, with_rows, dead_records, rows_made, bytes_in,
//               failed_polls, ring_fill (0..1, of the ring it reads; of a source the one it writes), position, lag_s (age of the oldest
//               record that it has not committed, 0 at rest), last_error (null: none). status_account_json has one entry for each node,
//               summed over lanes, without what belongs to a process.
// DIAGNOSTICS   status_table returns false for an answer that is no status.
#pragma once
#include <stdbool.h>

#include "proto/buffer.h"

struct instance;

void status_json(const struct instance *i, struct buffer *out);
void status_account_json(const struct instance *i, struct buffer *out);
// `answer`: the JSON of status_json or status_account_json.
bool status_table(const struct buffer *answer, struct buffer *out);
