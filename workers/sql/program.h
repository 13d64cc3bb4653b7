// A prepared statement as SQLite will run it, read back with EXPLAIN. Only inside workers/sql/.
//
// Opcodes change between releases of SQLite: whatever is not in the table of program.c makes the program "unknown", and an unknown program
// is run one record at a time with no value copied past SQLite. So a new release can make a stage slower, never wrong.
#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

enum op_kind {
  OP_PLAIN,     // has no loop and no memory of other rows
  OP_LOOP,      // begins a loop over a cursor
  OP_FILTER,    // VFilter
  OP_OPEN,      // VOpen
  OP_VALUE,     // VColumn
  OP_RESULT,    // ResultRow
  OP_ONCE,      // Once: what follows, up to p2, runs once
  OP_AGGREGATE, // keeps something over rows
  OP_AGGREGATE_END,
  OP_SORTER,
  OP_TEMPORARY,
  OP_COROUTINE,
  OP_LIMIT, // counts rows down
  OP_CALL,  // calls a function: p4 names it
  OP_SUBROUTINE,
  OP_PARAMETER, // Variable: p1 is its number
  OP_UNKNOWN,
};

struct op {
  const struct op_rule *rule; // NULL: not in our table
  enum op_kind kind;
  int p1, p2, p3, p4_number, p5;
  int arguments; // VFilter: how many
  char *p4;
};

struct program {
  struct op *ops;
  int count;
  bool known; // every opcode is in our table
};

// False: EXPLAIN failed (sqlite3_errmsg says why). program_free in every case.
bool program_read(sqlite3 *db, const char *sql, struct program *program);
void program_free(struct program *program);

// Its name in SQLite.
bool op_is(const struct op *op, const char *name);
bool op_reads(const struct op *op, int reg);
bool op_writes(const struct op *op, int reg);
