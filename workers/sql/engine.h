// The SQL engine: runs a user's SELECT over msgpack records, one input record alone at a time, and gives output rows as msgpack maps.
// It knows records and rows only; rings, workers and dead letters are the business of its callers.
//
// Called by: the SQL stage (stage_run.c, stage_check.c), the generate source, unit tests, fuzz and bench.
// One engine per thread; its memory limit is the process's (SQLite has one heap).
//
// Meaning: the SELECT is run on each input record alone. Where the prepared plan allows it (plan_check.h), many records go through one
// run of the statement ("batch form"); the rows are the same, in the same order, in both forms.
//
// A run, drawn:
//
//     sql_engine_start --> sql_engine_step --ROW-----> sql_engine_row (as often as wanted), then step again
//                            |  ^   |------FAILED---> the record in hand failed as a whole; start again goes on behind it
//                            |  '---'
//                            '-----------DONE-------> `next` said that there is no record now
//
// `next` is called whenever the record before is finished with; in the batch form from inside SQLite, so it must not block and must not
// call the engine. A record's bytes must stay until `next` is called again or the run is over. Rows always belong to the record given last.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "proto/job.h"
#include "proto/msgpack.h"

struct sql_engine;
struct lookup_shape;

// One input record.
struct sql_record {
  const uint8_t *at, *end; // its msgpack map
  uint64_t stream;         // hash of what identifies the stream: uuid() derives from it, the position and the part
  uint64_t position;
  uint32_t part;
  bool tombstone; // it holds a key alone: neither `checks` nor "not null" are asked of its rows
  int64_t time;   // microseconds UTC: what now() gives
};

// A table that the SQL may join by its name (lookup_shape.h). What is given here must stay as long as the engine.
struct sql_lookup {
  const struct lookup_shape *shape;
  const char *path; // its file; NULL: an empty table of that shape
};

struct sql_spec {
  const char *sql;
  const char *const *inputs; // names of the tables that the SQL may read; it must read exactly one of them
  size_t input_count;
  const struct sql_lookup *lookups;
  size_t lookup_count;
  struct job_value columns;  // map: name -> "TYPE [not null]"; absent: no casts
  struct job_value checks;   // map: name -> condition over the output columns; absent: none
  uint64_t timeout_ms;       // most CPU time for one record; 0: SQL_TIMEOUT_MS
  uint64_t memory_bytes;     // most memory of SQLite; 0: SQL_MEMORY_BYTES
  bool one_by_one;           // never take the batch form (tests compare the two)
  void (*heartbeat)(void *); // called now and then while one record takes long; NULL: not
  void *heartbeat_context;
};
enum { SQL_TIMEOUT_MS = 1000, SQL_MEMORY_BYTES = 64 << 20 };

// What is wrong with a spec, or worth knowing about it. `setting` is "sql", "columns.NAME" or "checks.NAME", `offset` a byte in its text
// (-1: the whole).
struct sql_problem {
  bool warning;
  char *setting, *text, *suggestion; // suggestion NULL: none
  long offset;
};
struct sql_problems {
  struct sql_problem *list;
  size_t count;
};
void sql_problems_free(struct sql_problems *problems);

// For a process that runs one thread and has not used SQLite yet: takes the locks out of it. Without effect when it is too late.
void sql_engine_single_thread(void);
// Prepares the SQL. NULL when it cannot be run: at least one problem that is no warning says why. sql_engine_free accepts NULL.
struct sql_engine *sql_engine_open(const struct sql_spec *spec, struct sql_problems *problems);
// The same for callers that only want the first reason: e is ERROR_CONFIG.
struct sql_engine *sql_engine_open_or_fail(const struct sql_spec *spec, struct error *e);
void sql_engine_free(struct sql_engine *engine);

// What the SQL turned out to be.
size_t sql_engine_input(const struct sql_engine *engine);        // index of the input that it reads
bool sql_engine_reads_identity(const struct sql_engine *engine); // it calls uuid(), so record.stream matters
bool sql_engine_is_batch(const struct sql_engine *engine);       // which form
const char *sql_engine_form(const struct sql_engine *engine);    // "batch" or "one by one: ORDER BY"
size_t sql_engine_columns(const struct sql_engine *engine);      // output columns, in the order in which rows hold them
const char *sql_engine_column_name(const struct sql_engine *engine, size_t column);
// As in `columns:`, or that of the lookup's column that it is; "" when neither says it.
const char *sql_engine_column_type(const struct sql_engine *engine, size_t column);
bool sql_engine_column_not_null(const struct sql_engine *engine, size_t column);
// The input column whose value it is, unchanged, as far as the plan shows it; NULL: none.
const char *sql_engine_column_origin(const struct sql_engine *engine, size_t column);

// Lookups, by their index in the spec. What the SQL reads of them:
bool sql_engine_reads_lookup(const struct sql_engine *engine, size_t lookup);
bool sql_engine_reads_lookup_column(const struct sql_engine *engine, size_t lookup, size_t column);
// Columns by which the plan would like to find rows and cannot: it would build an index of its own for each run. True: `names` gets them,
// as many times as there are such sets (set from 0 on).
bool sql_engine_lookup_wants(const struct sql_engine *engine, size_t lookup, size_t set, const char *const **names, size_t *count);
// The plan reads some lookup from its first to its last row for each record.
bool sql_engine_scans_lookup(const struct sql_engine *engine);
// Between two runs: another file takes the place of the one that is read. False: ERROR_OUTAGE, and the old one is still read, unless
// *broken: then the engine can only be freed.
bool sql_engine_swap_lookup(struct sql_engine *engine, size_t lookup, const char *path, bool *broken, struct error *e);

enum { SQL_LOOKED_AT = 1000 };
// Fields that the SQL reads and none of the first SQL_LOOKED_AT records had: a misspelt name looks like this. Returns how many; `names`
// gets them.
size_t sql_engine_absent(const struct sql_engine *engine, struct buffer *names);

typedef bool sql_next(void *context, struct sql_record *record); // false: none now

enum sql_step { SQL_STEP_ROW, SQL_STEP_DONE, SQL_STEP_FAILED };
enum sql_row { SQL_ROW_GOOD, SQL_ROW_NO_ROOM, SQL_ROW_BAD };

// Why a record or a row did not go on. The texts live until the next call of the engine.
struct sql_failure {
  const char *reason; // "column lon: 'abc' is not a double", or the name of the check
  const char *code;   // "sql", "limit", "cast", "check"
  const char *column; // "" when no one column is at fault
};

void sql_engine_start(struct sql_engine *engine, sql_next *next, void *context);
// FAILED: failure is set, the statement is reset.
enum sql_step sql_engine_step(struct sql_engine *engine, struct sql_failure *failure);
// Writes the row in hand as one msgpack map. NO_ROOM: it does not fit, w is spoilt: call again with more. BAD: failure is set.
enum sql_row sql_engine_row(struct sql_engine *engine, struct msgpack_writer *w, struct sql_failure *failure);
// Ends a run before it is DONE, from outside a step.
void sql_engine_stop(struct sql_engine *engine);

// All rows of one record, for callers without a ring: appends them to `out` one behind the other (msgpack maps) and counts them in *rows.
// False: the record failed, or one of its rows did: e is ERROR_DATA, `out` and *rows as before.
bool sql_engine_run(struct sql_engine *engine, const struct sql_record *record, struct buffer *out, size_t *rows, struct error *e);
