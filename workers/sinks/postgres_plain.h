// The short way of a value into PostgreSQL's binary form: straight out of the record, where its kind is what the column holds.
//
// Called by postgres_rows.c for each field; what is not that simple takes the way over a cell (cell.h, postgres_encode.h), which also says
// what is wrong. Both ways give the same bytes.
#pragma once
#include <stdint.h>

#include "workers/sinks/table.h"

enum { POSTGRES_PLAIN_MORE = 12 }; // bytes that a field may be longer than its value in the record

// The field at `to`, where there must be room for the value's bytes and POSTGRES_PLAIN_MORE; `at` NULL: null. Returns the place behind it;
// NULL: not that simple, nothing was written that counts. `end` is the end of the value, which has been stepped over once.
uint8_t *postgres_put_plain(uint8_t *to, const struct column *c, const uint8_t *at, const uint8_t *end);
