// A table of PostgreSQL as weir sees it: its columns read, the statements that make, widen and fill it.
//
// Called by target_postgres.c and the check of a table sink.
#pragma once
#include <stdbool.h>

#include "proto/error.h"
#include "workers/clients/postgres.h"
#include "workers/sinks/table.h"

enum { POSTGRES_NAME_MOST = 63 }; // longer names would be cut short, silently

// The names of a sink's tables, quoted. weir's own tables lie in the schema of the target's table, where it names one.
struct postgres_names {
  char *table, *positions, *dead;
};
void postgres_names_make(struct postgres_names *n, const char *table);
void postgres_names_free(struct postgres_names *n);

// Whether there is a table (or view) of this quoted name.
bool postgres_table_exists(struct postgres *p, const char *quoted, bool *exists, struct error *e);
// Adds the columns of the table, in its order. *relation: its oid, which another table of the same name would not have.
bool postgres_table_read(struct postgres *p, const char *quoted, struct table *t, uint32_t *relation, struct error *e);
bool postgres_table_is_empty(struct postgres *p, const char *quoted, bool *empty, struct error *e);
// ERROR_OPERATOR when no unique index has just the key's columns: ON CONFLICT would not work.
bool postgres_table_check_key(struct postgres *p, const char *quoted, const struct table *t, struct error *e);
// True when a column in use has a type that only the server reads: then rows go as text arrays and not by COPY.
bool postgres_table_needs_casts(const struct table *t);
// Statements, owned by the caller. Of a column whose type is still guessed a comment says what else it may become.
char *postgres_table_create_sql(const struct table *t, const char *quoted);
char *postgres_table_add_sql(const struct column *column, const char *quoted);
char *postgres_table_copy_sql(const struct table *t, const char *quoted);
// COMMIT, unless the table is another one by now, or a column in use has another type: then it fails with division by zero (22012), and
// nothing is committed. Values go in binary form, which means something else in another type.
char *postgres_table_commit_sql(const struct table *t, uint32_t relation);
// One array parameter for each used column, in order.
char *postgres_table_insert_sql(const struct table *t, const char *quoted, bool upsert);
// One array parameter for each column of the key, in the table's order.
char *postgres_table_delete_sql(const struct table *t, const char *quoted);
// True when keys that differ as bytes are different to the server, too: no column of the key holds two spellings for equal (1 and 1.0).
bool postgres_table_key_is_exact(const struct table *t);
