// A table of SQLite as weir sees it: its columns read, the statements that make, widen and fill it.
//
// Called by target_sqlite.c and the check of a table sink.
#pragma once
#include <stdbool.h>

#include "proto/error.h"
#include "proto/job.h"
#include "workers/clients/sqlite.h"
#include "workers/sinks/table.h"

// Adds the columns of the table, in its order. *exists false: there is none (and nothing is added).
bool sqlite_table_read(struct sqlite *db, const char *name, struct table *t, bool *exists, struct error *e);
bool sqlite_table_is_empty(struct sqlite *db, const char *name, bool *empty, struct error *e);
// ERROR_OPERATOR when no unique index has just the key's columns: ON CONFLICT would not work.
bool sqlite_table_check_key(struct sqlite *db, const char *name, const struct table *t, struct error *e);
// Statements, owned by the caller. Of a column whose type is still guessed a comment says what else it may become.
char *sqlite_table_create_sql(const struct table *t, const char *name);
char *sqlite_table_add_sql(const struct column *column, const char *name);
char *sqlite_table_delete_sql(const struct table *t, const char *name); // a parameter for each column of the key, in the table's order
char *sqlite_table_insert_sql(const struct table *t, const char *name, bool upsert); // a parameter for each used column, in order
