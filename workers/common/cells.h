// Cells: one value of an output row on its way from SQLite or from the record into msgpack, and the casts of `columns:`.
//
// Called by: the SQL stage (rows.c; column_rule_parse for its settings) and the lookups, whose columns are cast by the same rules. Knows
// nothing of SQLite.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/json.h"
#include "proto/msgpack.h"

enum column_type {
  COLUMN_ANY, // not given: the value keeps its kind
  COLUMN_TEXT,
  COLUMN_INT,
  COLUMN_BIGINT,
  COLUMN_DOUBLE,
  COLUMN_BOOLEAN,
  COLUMN_TIMESTAMP,
  COLUMN_DATE,
  COLUMN_JSON,
  COLUMN_BYTES,
};

struct column_rule {
  enum column_type type;
  bool not_null;
};

// "TYPE [not null]", in any case, blanks between. False: it is something else.
bool column_rule_parse(const char *text, struct column_rule *rule);
const char *cell_type_name(enum column_type type); // "" for COLUMN_ANY

// `value` is what msgpack_read gives. A container's bytes, and those of any value that comes as msgpack, are [raw, raw_end); otherwise raw
// is NULL.
struct cell {
  struct msgpack_value value;
  const uint8_t *raw, *raw_end;
};

// What casts need, kept between rows: the results of one cast live until the next one with the same tools.
struct cell_tools {
  struct json_parser *json; // made when first needed
  struct buffer text, msgpack;
};
void cell_tools_free(struct cell_tools *tools);
// Parses JSON text into tools->msgpack. False: it is not JSON (or over its limits).
bool cell_parse_json(struct cell_tools *tools, const uint8_t *text, size_t length, const uint8_t **at, const uint8_t **end);

// One msgpack value as a cell. False: broken.
bool cell_of(const uint8_t *at, const uint8_t *end, struct cell *cell);
void cell_write(const struct cell *cell, struct msgpack_writer *w);
// Turns the cell into its column's type. False: it does not fit; `why` (of `room` bytes) says "'abc' is not a double".
bool cell_cast(struct cell_tools *tools, const struct column_rule *rule, struct cell *cell, char *why, size_t room);
