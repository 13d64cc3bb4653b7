// One record as a row of the target's table: every used column's value, converted. Memory is kept from row to row.
//
// Called by the table targets while they write a batch.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "proto/buffer.h"
#include "workers/sinks/batch.h"
#include "workers/sinks/cell.h"
#include "workers/sinks/table.h"

struct row {
  struct row_field *fields; // by column
  struct cell *cells;       // by column; only those of used columns mean something
  struct buffer *scratch;   // by column
  size_t room;
  struct error why; // of the row in hand; kept here, because clearing one for each row would cost more than reading it
};

void row_free(struct row *r);
// Reads the record into cells (of a tombstone the key alone) and kills the row in the batch when it cannot be read, has no field that the
// table has, or a key column is null, or when it is a tombstone and the table takes none. True: the cells are good.
bool row_read_or_kill(struct row *r, struct table *t, struct batch *b, struct batch_row *record);
// The same in two steps, for targets that take values out of the record themselves: where the fields lie (never of a tombstone), then one
// column at a time as a cell.
bool row_map_or_kill(struct row *r, struct table *t, struct batch *b, struct batch_row *record);
bool row_cell_or_kill(struct row *r, const struct table *t, size_t column, struct batch *b, struct batch_row *record);
