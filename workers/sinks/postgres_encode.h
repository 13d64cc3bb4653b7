// Cells in PostgreSQL's binary form, as COPY BINARY and array parameters take them: a length, then the bytes.
// Source of the formats: the PostgreSQL manual (COPY, binary format) and the send/receive functions' documented layouts.
//
// Called by target_postgres.c. Types without a binary form of ours are sent as text and read by the server (COLUMN_OTHER).
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "workers/sinks/cell.h"
#include "workers/sinks/table.h"

// The type of a column by its oid.
enum column_type postgres_type_of(uint32_t oid);
// Element type and array type of the parameter that carries a column's values.
uint32_t postgres_element_oid(const struct column *c);
uint32_t postgres_array_oid(const struct column *c);
// True when two values of the column that are sent as different bytes are different to the server, too.
bool postgres_is_exact(const struct column *c);
// Appends one field. False: ERROR_DATA (nothing is appended).
bool postgres_encode(struct buffer *out, const struct column *c, const struct cell *cell, struct error *e);
// The head of a one-dimensional array of `count` elements; the fields follow.
void postgres_encode_array_head(struct buffer *out, const struct column *c, uint32_t count);
void postgres_encode_u32(struct buffer *out, uint32_t value);
void postgres_encode_u16(struct buffer *out, uint16_t value);
