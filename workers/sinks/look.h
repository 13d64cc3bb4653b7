// A look over a batch before it is written: which columns come into use, which fields the table lacks, what type a guessed column has.
//
// Called by the table targets' `prepare`, and only while something can still change (table_is_settled).
#pragma once
#include "workers/sinks/batch.h"
#include "workers/sinks/table.h"

// Marks columns as used and settles guesses. Fields without a column are collected in `added` with the type of their first value; NULL:
// they are left alone. `name_most`: longest name, in bytes, that the database takes for a column. False: the batch has no row that a table
// could be made for (letters and tombstones say nothing of its columns).
bool batch_look(const struct batch *b, struct table *table, struct table *added, size_t name_most);
