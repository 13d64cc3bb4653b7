// Output rows: names, casts, checks, and the msgpack of each row. Only inside workers/sql/.
#pragma once
#include "workers/sql/engine_parts.h"

// Reads the columns off engine->statement and `columns:`. False: at least one problem (that is no warning) is added.
// Which columns are copied and which are SQLite's, now that it is known; again whenever that changes.
void sql_output_bind(struct sql_engine *engine);
bool sql_output_open(struct sql_engine *engine, const struct sql_spec *spec, struct sql_problems *problems);
void sql_output_free(struct sql_engine *engine);

// The row in hand, as sql_engine_row.
enum sql_row sql_output_row(struct sql_engine *engine, struct msgpack_writer *w, struct sql_failure *failure);
// What the last error of the connection means for the record in hand.
void sql_failure_set(struct sql_engine *engine, int code, struct sql_failure *failure);
// The output columns' names, for suggestions; the caller frees the array.
const char *const *sql_output_names(const struct output *output);
