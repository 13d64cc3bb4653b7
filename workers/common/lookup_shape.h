// The shape of a lookup: the columns, types and indexes of its table, as the pipeline file gives them, and the SQL that makes such a table.
//
// Called by: the lookup workers, which build a file of this shape, and the SQL engine, which attaches it (or makes an empty one, to check a
// SELECT without it). Knows nothing of SQLite's interface; it writes text.
//
// A value of type boolean, timestamp or json lies in a column whose name begins with LOOKUP_HIDDEN, and the column that SQL sees is
// generated from it by a function (lookup_function), which gives the value its kind back. Columns of a key are never generated, so that
// their index is one of plain values. The first column of every table is LOOKUP_STAR: only "*" ever reads it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "proto/job.h"
#include "workers/common/cells.h"

#define LOOKUP_HIDDEN '\001'
#define LOOKUP_STAR   "\001*"
enum { LOOKUP_COLUMNS_MOST = 256, LOOKUP_INDEXES_MOST = 16, LOOKUP_FORMAT = 1 };

struct lookup_column {
  char *name;
  struct column_rule rule;
  bool generated;
};

// A list of columns, by their numbers.
struct lookup_index {
  size_t *columns;
  size_t count;
};

struct lookup_shape {
  char *name;
  struct lookup_column *columns;
  size_t column_count;
  struct lookup_index *indexes; // the first one is the key's
  size_t index_count;
};

// Reads `columns`, `key` and `indexes` (lists of names, filled in by the plan) of a lookup's settings. False: ERROR_CONFIG, its code is the
// setting. lookup_shape_free in every case.
bool lookup_shape_load(struct lookup_shape *shape, const char *name, struct job_value settings, struct error *e);
void lookup_shape_free(struct lookup_shape *shape);
// The number of a column, in any case of its letters; column_count when there is none.
size_t lookup_column_find(const struct lookup_shape *shape, const char *name);
// True when some column is generated.
bool lookup_shape_generates(const struct lookup_shape *shape);

// Columns that are generated are not indexed: an index would give their values without their kind.
bool lookup_index_possible(const struct lookup_shape *shape, const struct lookup_index *index);

// The function that gives a value of this type its kind back; NULL: the type needs none.
const char *lookup_function(enum column_type type);
// CREATE TABLE "schema"."name"; schema NULL: of the connection itself.
void lookup_table_sql(const struct lookup_shape *shape, const char *schema, struct buffer *out);
// INSERT with one parameter per column, in their order.
void lookup_insert_sql(const struct lookup_shape *shape, struct buffer *out);
// All CREATE INDEX, separated by semicolons.
void lookup_indexes_sql(const struct lookup_shape *shape, const char *schema, struct buffer *out);

// Where the file of a generation lies: STATE/lookups/NAME.GENERATION.db. Owned by the caller.
char *lookup_folder(const char *state);
char *lookup_path(const char *state, const char *name, uint64_t generation);
