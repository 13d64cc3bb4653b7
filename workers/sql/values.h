// Values on the border between msgpack and SQLite. Only inside workers/sql/.
#pragma once
#include "workers/sql/engine_parts.h"

// Gives a msgpack value to SQLite; an absent one (NULL) is null. Nested values become JSON text: in `cache` where there is one (once per
// record), else copied by SQLite. `lasting`: the value lies in the record, which outlives whatever SQLite makes of it, so text is not
// copied.
void sql_value_give(struct sql_engine *engine, sqlite3_context *context, const struct field_span *span, struct json_text *cache,
                    bool lasting);
// The same for a value that a record holds and whose bytes have been stepped over: the spellings that records are made of need no more than
// their first byte. False: it is none of those, take sql_value_give.
static inline bool sql_value_give_plain(sqlite3_context *context, const struct field_span *span) {
  const uint8_t *at = span->at;
  uint8_t head = *at;
  if (head >= MSGPACK_B_FIXTEXT && head < MSGPACK_B_NIL)
    sqlite3_result_text(context, (const char *)at + 1, head - MSGPACK_B_FIXTEXT, SQLITE_STATIC);
  else if (head == MSGPACK_B_TEXT8)
    sqlite3_result_text(context, (const char *)at + 2, at[1], SQLITE_STATIC);
  else if (head < MSGPACK_B_FIXMAP)
    sqlite3_result_int(context, head);
  else if (head == MSGPACK_B_UINT32)
    sqlite3_result_int64(context, msgpack_load32(at + 1));
  else if (head == MSGPACK_B_UINT16)
    sqlite3_result_int(context, msgpack_load16(at + 1));
  else if (head == MSGPACK_B_FLOAT64) {
    uint64_t bits = msgpack_load64(at + 1);
    double value;
    memcpy(&value, &bits, sizeof value);
    sqlite3_result_double(context, value);
  } else
    return false;
  return true;
}
// A value of SQLite as a cell. JSON text of subtype JSON is parsed with `tools`.
void sql_value_take(struct cell_tools *tools, sqlite3_value *value, struct cell *cell);
// Binds a msgpack value to a parameter, as sql_value_give does; text is not copied.
void sql_value_bind(sqlite3_stmt *statement, int parameter, const uint8_t *at, const uint8_t *end);
