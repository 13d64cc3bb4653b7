// What a sink knows of its target table: columns in order, their types, and which field of a record goes into which column.
//
// Called by the table targets (target_sqlite.c, target_postgres.c) and the check. Knows no database: a target translates its own type
// names into enum column_type and back.
//
// Invariant: column indexes are stable until table_clear; `used` only goes from false to true.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/job.h"
#include "proto/msgpack_guess.h"

enum column_type {
  COLUMN_TEXT,
  COLUMN_SMALLINT,
  COLUMN_INT,
  COLUMN_BIGINT,
  COLUMN_REAL,
  COLUMN_DOUBLE,
  COLUMN_NUMERIC,
  COLUMN_BOOLEAN,
  COLUMN_TIMESTAMP,
  COLUMN_DATE,
  COLUMN_JSON,
  COLUMN_BYTES,
  COLUMN_UUID,
  COLUMN_ANY,   // holds whatever comes, as SQLite's columns without a type
  COLUMN_OTHER, // a type that only the server can read from text
};
// The name in weir's language ("text", "bigint", ...); static.
const char *column_type_name(enum column_type type);
// "text", "int", "bigint", "double", "boolean", "timestamp", "date", "json", "bytes": the types of `columns:`. False: none of them.
bool column_type_find(const char *name, enum column_type *type);

struct column {
  char *name;
  size_t length; // of the name
  enum column_type type;
  bool not_null;
  bool generated;        // by the database: never sent
  bool filled;           // the database has a value for a row that gives none (a default, a sequence); of a table that was read
  bool used;             // some record had it (or `columns:` names it): it stands in the statements
  unsigned key;          // its place in the sink's key, from 1; 0: no part of it
  bool guessed;          // the type is not known: a number makes it double, anything else text
  uint32_t oid;          // PostgreSQL: of the base type
  uint32_t declared_oid; // PostgreSQL: of the type as declared, which may be a domain
  int64_t most;          // PostgreSQL, of a text: characters that it takes, as varchar(3) says; 0: any number
  char *cast;            // PostgreSQL, COLUMN_OTHER: the type to cast text to; else NULL
};

enum { TABLE_NO_COLUMN = -1, TABLE_TOLD_MAX = 256 };

struct table {
  const char *label; // the table's name for log lines; not owned
  bool deletes;      // tombstones delete what has their key; else they are dead letters
  struct column *columns;
  size_t count, room;
  int32_t *slots; // open-addressed hash of the names: column + 1, 0 empty
  size_t slot_count;
  size_t expected; // fields of every record, where the sink's input is a stage whose columns the planner knows; 0: records may differ
  bool looked;     // a record with that many fields was looked at, since the columns were last cleared
  struct msgpack_guess *order; // the n-th key of the last record and its column: the next record likely has the same order
  size_t order_room;
  char **without; // fields that are not for this table (`without:`): neither stored nor told
  size_t without_count;
  uint64_t ignored; // fields of records that no column took, so far
  char **told;      // the names of such fields, each told once
  size_t told_count;
};

// What the sink's settings say of the records: whether all have the same fields ("input_columns" and "input_columns_sure", which the plan
// fills in), and which are not for the table (`without`). Once, before the first column.
void table_expect(struct table *t, struct job_value settings);
bool table_leaves_out(const struct table *t, const char *name, size_t length);
void table_clear(struct table *t); // forgets the columns; what was told stays told
void table_free(struct table *t);
struct column *table_add(struct table *t, const char *name, enum column_type type);
int32_t table_find(const struct table *t, const char *name, size_t length); // TABLE_NO_COLUMN: absent
// The columns that are known before the first record: those that the planner knows the sink's input to have (settings map,
// "input_columns"), with the types that the sink's own `columns:` gives, and the others of `columns:`. Returns how many; -1 with e set.
int table_add_known_columns(struct table *t, struct job_value settings, struct error *e);
// Gives a guessed column the type that its first value shows. Nil shows nothing.
void table_guess(struct column *column, const uint8_t *at, const uint8_t *end);
// Marks the key. False with e set: a key column is not in the table.
bool table_mark_key(struct table *t, struct job_value key, struct error *e);
// The column at a place of the key, from 1; NULL behind the last.
const struct column *table_key_column(const struct table *t, unsigned place);
// The key's names as a JSON array; owned by the caller.
char *table_key_json(const struct table *t);
// ERROR_OPERATOR: an upsert finds no unique index on its key in the table `quoted`. `key`: quoted names; `index`: the name of an index to
// make and a blank behind it, "" where the database finds one.
void table_key_refuse(const char *quoted, const char *key, const char *index, bool view, struct error *e);
// True when no record can bring a column into use any more: nothing to look for before a batch.
bool table_is_settled(const struct table *t);

// Where one column's value lies in a record. `at` NULL: the record has no such field.
struct row_field {
  const uint8_t *at, *end;
};
// Told of a field that has no column. It must not add columns: `fields` has no room for them.
typedef void table_unknown(void *context, const char *name, uint32_t length, const uint8_t *at, const uint8_t *end);
// Fills fields[0..t->count), the last of repeated names wins; marks the columns it meets as used. `unknown` may be NULL: such fields are
// skipped. False: the body is not a map of texts to values.
bool table_map(struct table *t, const uint8_t *body, const uint8_t *end, struct row_field *fields, table_unknown *unknown, void *context);
// Counts a field that no column takes, and logs its name the first time.
void table_ignore(struct table *t, const char *name, uint32_t length);
// Logs how many there were, when there were any.
void table_tell_ignored(const struct table *t);
