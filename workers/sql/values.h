// Values on the border between msgpack and SQLite. Only inside workers/sql/.
#pragma once
#include "workers/sql/engine_parts.h"

// Gives a msgpack value to SQLite; an absent one (NULL) is null. Nested values become JSON text: in `cache` where there is one (once per
// record), else copied by SQLite. `lasting`: the value lies in the record, which outlives whatever SQLite makes of it, so text is not
// copied.
void sql_value_give(struct sql_engine *engine, sqlite3_context *context, const struct field_span *span, struct json_text *cache,
                    bool lasting);
// A value of SQLite as a cell. JSON text of subtype JSON is parsed with `tools`.
void sql_value_take(struct cell_tools *tools, sqlite3_value *value, struct cell *cell);
// Binds a msgpack value to a parameter, as sql_value_give does; text is not copied.
void sql_value_bind(sqlite3_stmt *statement, int parameter, const uint8_t *at, const uint8_t *end);
