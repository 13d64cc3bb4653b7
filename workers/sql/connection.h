// The engine's SQLite connection: an empty database in memory that can read nothing but our virtual tables. Only inside workers/sql/.
#pragma once
#include "workers/sql/engine_parts.h"

// Opens engine->db with its limits, clock and functions. False with e set.
bool sql_connection_open(struct sql_engine *engine, struct error *e);
void sql_connection_close(struct sql_engine *engine);
// From here on only what a SELECT over our tables needs is allowed; engine->refused says why something was not.
void sql_connection_guard(struct sql_engine *engine);
// What date('now') and CURRENT_TIMESTAMP show: the time of the record in hand.
void sql_clock_set(int64_t micros);
// Functions of our own: unescape_html, parse_time, now, uuid, hash. SQLite's code.
int sql_functions_register(struct sql_engine *engine);
