// What the files of the SQL engine share among themselves. Nobody outside of workers/sql/ includes this.
//
//     engine.c        opens, steps, stops                  input_table.c   the input stream as a virtual table
//     connection.c    the SQLite connection, its limits    each_table.c    each(x)
//     lookups.c       tables that are joined by name       lookup_plan.c   how the plan reads them
//     discover.c      prepares; finds tables and columns   functions.c     now(), uuid(), hash(), ...
//     plan_check.c    what EXPLAIN says about the plan     rows.c          output rows, casts, checks
#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"
#include "workers/common/cells.h"
#include "workers/common/lookup_shape.h"
#include "workers/sql/engine.h"
#include "workers/sql/fields.h"

// Kinds that SQLite has no type for travel as subtypes of its values. They survive CASE, coalesce, max and scalar subqueries, not sorters.
enum { SUBTYPE_JSON = 'J', SUBTYPE_BOOL = 'b', SUBTYPE_TIME = 't', SUBTYPE_UINT = 'u' };

// The type name of the pointers by which a column hands its msgpack to each() without making JSON text.
extern const char SQL_POINTER[];

// A column that no SQL can name by accident: the first of each of our tables, read only by "*".
#define SQL_STAR_COLUMN LOOKUP_STAR

// How the plan uses the values of one column of a virtual table.
enum column_use {
  USE_VALUE,   // SQLite looks at it; the one that is needed most comes first
  USE_POINTER, // only each() looks at it
  USE_NOTHING, // nobody does: the output side copies its bytes from the record
};

struct sql_table_columns {
  struct field_names names;
  enum column_use *use; // by column of names; NULL while the plan is not known
};

// JSON text of a nested value of the present record, made at most once per record.
struct json_text {
  uint64_t record; // number of the record that it belongs to
  struct field_span span;
  struct buffer text;
};

enum { SQL_OPENED_MOST = 64 }; // cursors of a run that are remembered by their order

struct input_cursor;
struct each_cursor;

// Where an output column's bytes come from when they are copied; COPY_NOT: SQLite's value is taken.
enum copy_from { COPY_NOT, COPY_INPUT, COPY_EACH };
struct copy_source {
  enum copy_from from;
  unsigned each; // COPY_EACH: which cursor, counted in the order in which a run opens them
  size_t column; // of that table's names
};

struct output_column {
  char *name;
  uint8_t key[5 + LIMIT_NAME];
  uint32_t key_size;
  int statement_column;
  struct column_rule rule;
  bool plain;             // no rule: the value goes on as it is
  enum column_type known; // without a rule: what a plain column of a lookup is all the same; COLUMN_ANY: nothing is known
  struct copy_source copy;
};

#define STRIDE_NONE SIZE_MAX

struct output {
  struct output_column *columns;
  size_t count;
  uint8_t head[5]; // the row's map head
  uint32_t head_size;
  size_t taken;               // columns whose value is SQLite's
  size_t stride;              // bytes between the values of a row; 0: not looked at yet, STRIDE_NONE: not known
  struct field_span *written; // by column: where its value stands in the row written last
  char **checks;              // their names
  size_t check_count;
  sqlite3_stmt *check_statement; // one result column per check; parameter i + 1 is output column i
  bool *check_reads;             // by output column
  struct cell_tools tools;
  char why[512], reason[LIMIT_NAME + 640];
};

// A set of columns by which SQLite would build an index of its own.
struct wanted_index {
  const char **names; // into the shape
  size_t count;
};

struct attached_lookup {
  const struct lookup_shape *shape;
  char *path;    // NULL: an empty table in memory
  bool attached; // the SQL names it
  unsigned turn; // of the file that is read: part of its schema's name
  bool *reads;   // by column
  struct wanted_index *wants;
  size_t want_count;
};

struct sql_engine {
  sqlite3 *db;
  sqlite3_stmt *statement;
  char *sql;
  size_t input_index;
  char *form;
  bool batch;
  bool reads_identity; // it calls uuid()
  bool reads_clock;    // the SQL uses a function whose value SQLite may keep for a whole run
  bool makes_subtypes; // the SQL uses a function that may give a value with a subtype
  bool subtypes;       // some value of the record in hand may carry one
  bool gave_bytes;     // ... lies in it and is no text: a cast could make one of it
  int reprepared;      // SQLITE_STMTSTATUS_REPREPARE when the plan was checked

  struct attached_lookup *lookups; // as in the spec
  size_t lookup_count;
  bool scans_lookup; // the plan reads one as a whole for each record
  bool one_by_one;   // as asked

  struct sql_table_columns input_columns, each_columns;
  bool checking;        // `checks:` are being prepared: they may not read the stream
  bool declaring;       // our own declaration is being parsed: the authorizer lets it through
  char refused[256];    // why the authorizer said no; "" when it did not
  sqlite3_vtab *stream; // the virtual table of the input that is read
  sqlite3_vtab *each;
  char *stream_name;

  // The run.
  sql_next *next;
  void *context;
  bool stepping; // the statement is in the middle of a run
  bool has_record;
  struct sql_record record;
  uint64_t record_number;
  uint64_t uuid_calls;
  struct field_index input;
  const struct field_span **input_direct; // by column of input_columns: the key's value that is given as it is; NULL: nobody looks at it
  struct json_text *input_json;           // by column of input_columns
  bool *input_seen;                       // by column: one of the first SQL_LOOKED_AT records had it
  struct input_cursor *free_inputs;
  struct each_cursor *free_eaches, *all_eaches;
  struct each_cursor *opened[SQL_OPENED_MOST]; // each() cursors in the order in which this run opened them
  size_t opened_count;
  struct cell_tools tools; // for JSON inside virtual tables and functions
  struct buffer scratch;

  // Limits.
  uint64_t watched_record, watched_since;
  bool timed_out;
  void (*heartbeat)(void *);
  void *heartbeat_context;
  uint64_t timeout_ms, memory_bytes;

  struct output output;
  char failure[1024];
};
