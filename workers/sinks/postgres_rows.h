// Rows of a batch into a table of PostgreSQL: COPY for append, one INSERT over arrays for upsert, and the search for rows that are refused.
//
// Called by target_postgres.c inside its transaction, behind the fence.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "workers/clients/postgres.h"
#include "workers/sinks/batch.h"
#include "workers/sinks/keys.h"
#include "workers/sinks/row.h"
#include "workers/sinks/table.h"

struct postgres_rows {
  struct table *table;
  const char *quoted; // the table's name
  bool upsert;
  // of the batch in hand
  struct postgres *p;
  struct batch *b;
  uint32_t *order; // rows of the batch, in the order in which they are sent
  size_t *places;  // by row of the batch: where its encoded fields begin
  size_t *cursors; // by place in the order, while arrays are made
  uint32_t *sent;  // COPY: which place of the order each line was
  size_t count, room, line_count;
  bool arrays_used; // not COPY
  size_t most;      // rows of one statement over arrays
  bool deletes;     // tombstones are among the rows, and the table takes them
  struct row row;
  struct keys keys;
  struct buffer encoded, chunk;
  struct buffer *arrays; // by used column
  struct postgres_param *params;
  size_t array_room;
};

void postgres_rows_free(struct postgres_rows *r);
// Reads and orders the rows. Those that cannot be converted are killed, those that a later one replaces marked.
void postgres_rows_take(struct postgres_rows *r, struct postgres *p, struct batch *b);
// All rows in one statement. ERROR_DATA: a row was refused, and the transaction with it; go on with postgres_rows_search in a new one.
bool postgres_rows_send(struct postgres_rows *r, struct error *e);
// Finds and kills the rows that are refused, writes all others: savepoints in one transaction, the named line or halving.
bool postgres_rows_search(struct postgres_rows *r, struct error *e);
