// One value on its way into a column: a field's msgpack turned into what the column's type holds, or a reason why it cannot be.
//
// Called by the table targets for each field of each row. Never allocates for numbers, times and plain text (those point into the ring);
// text that has to be made (JSON, digits of a number in a text column) lies in the scratch buffer given.
//
// Rule: a value is converted only where nothing is lost and nothing is guessed. "7" is 7 for an int column, 7.5 is not, and a number is no
// time (seconds? milliseconds?). What does not fit is ERROR_DATA with code "cast" or "range": the row becomes a dead letter.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "workers/sinks/table.h"

enum cell_kind { CELL_NULL, CELL_BOOL, CELL_INT, CELL_DOUBLE, CELL_TEXT, CELL_BYTES, CELL_TIME, CELL_DAY };

struct cell {
  enum cell_kind kind;
  size_t length; // CELL_TEXT, CELL_BYTES
  union {
    bool boolean;
    int64_t i; // CELL_INT; CELL_TIME: microseconds since 1970; CELL_DAY: days since 1970
    double d;
    const uint8_t *bytes; // CELL_TEXT, CELL_BYTES: into the record or the scratch buffer; not terminated
  };
};

// What each type gives: TEXT, JSON, NUMERIC, OTHER -> CELL_TEXT; SMALLINT, INT, BIGINT -> CELL_INT in range; REAL, DOUBLE -> CELL_DOUBLE;
// BOOLEAN -> CELL_BOOL; TIMESTAMP -> CELL_TIME; DATE -> CELL_DAY; BYTES -> CELL_BYTES; UUID -> CELL_BYTES of 16; ANY -> what the value is
// (nested ones: CELL_TEXT). Nil and an absent field (at NULL) give CELL_NULL in all of them.
bool cell_convert(enum column_type type, const uint8_t *at, const uint8_t *end, struct buffer *scratch, struct cell *cell, struct error *e);
