// SQLite: the one place of the workers' stores that knows its header. Opens, prepares, binds, steps, and says what an error means to weir.
//
// Called by: the sinks (SQLite tables, the dead-letter store, file positions), the journal, the command-line verbs that read them.
// One connection belongs to one thread of one process; open it after fork or exec, never before.
//
// Invariants: a connection opened for writing is in WAL mode with synchronous=FULL, so what sqlite_commit has returned true for survives
// power loss. Only the caller begins and ends transactions. A query belongs to its connection, which closes it.
//
// Errors: a busy, full, unreadable or unopenable database is ERROR_OUTAGE (wait, try again); a refused row (constraint, type, size) is
// ERROR_DATA; a missing table, a read-only or a corrupt file is ERROR_OPERATOR. Codes: "busy", "full", "io", "cantopen", "unique",
// "primary-key", "not-null", "check", "foreign-key", "datatype", "too-big", "constraint", "readonly", "corrupt", "notadb", "sqlite-N".
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

struct sqlite;       // a connection
struct sqlite_query; // a prepared statement

// SQLITE_TO_BUILD makes a file that nobody else sees until it is finished: without a journal, durable only by an fsync of the caller.
enum sqlite_mode { SQLITE_FOR_READING, SQLITE_FOR_WRITING, SQLITE_MAKE, SQLITE_TO_BUILD };
enum sqlite_kind { SQLITE_IS_NULL, SQLITE_IS_INT, SQLITE_IS_DOUBLE, SQLITE_IS_TEXT, SQLITE_IS_BLOB };
enum sqlite_outcome { SQLITE_FAILED = -1, SQLITE_END = 0, SQLITE_GOT_ROW = 1 };

// Opens a file; SQLITE_MAKE also makes it when absent, the other two do not. Waits at most `busy_ms` for another writer, at this and
// every later call. NULL with e set.
struct sqlite *sqlite_open(const char *path, enum sqlite_mode mode, unsigned busy_ms, struct error *e);
void sqlite_close(struct sqlite *db); // NULL is allowed; an open transaction is rolled back

// One or several statements without parameters and without rows wanted.
bool sqlite_exec(struct sqlite *db, const char *sql, struct error *e);

bool sqlite_begin(struct sqlite *db, struct error *e); // BEGIN IMMEDIATE: the write lock is ours from here on
// False: whether it is durable is unknown only for ERROR_OUTAGE with code "io"; otherwise nothing was kept after sqlite_rollback.
bool sqlite_commit(struct sqlite *db, struct error *e);
void sqlite_rollback(struct sqlite *db); // does nothing when no transaction is open
bool sqlite_in_transaction(const struct sqlite *db);
// Names that nest inside a transaction; the poison search uses one.
bool sqlite_savepoint(struct sqlite *db, struct error *e);
bool sqlite_savepoint_release(struct sqlite *db, struct error *e);
bool sqlite_savepoint_rollback(struct sqlite *db, struct error *e); // back to the savepoint, which is gone then

// Prepared once: the same text gives the same query again, reset. NULL with e set.
struct sqlite_query *sqlite_prepare(struct sqlite *db, const char *sql, struct error *e);

// Parameters count from 1. Text and bytes are not copied: they must stay until the query is stepped to its end or reset. NULL binds null.
void sqlite_bind_null(struct sqlite_query *q, int index);
void sqlite_bind_int(struct sqlite_query *q, int index, int64_t value);
void sqlite_bind_double(struct sqlite_query *q, int index, double value);
void sqlite_bind_text(struct sqlite_query *q, int index, const char *text, size_t length);
void sqlite_bind_cstring(struct sqlite_query *q, int index, const char *text);
void sqlite_bind_blob(struct sqlite_query *q, int index, const void *bytes, size_t length);

// One step. SQLITE_GOT_ROW: look at the columns, then step again or sqlite_reset. SQLITE_END and SQLITE_FAILED (e set): already reset,
// the parameters stay bound.
enum sqlite_outcome sqlite_step(struct sqlite_query *q, struct error *e);
// For statements that give no rows: steps to the end. False with e set.
bool sqlite_run(struct sqlite_query *q, struct error *e);
void sqlite_reset(struct sqlite_query *q);

// False: it may change something, or is no statement that gives rows; what stands behind the first statement counts too.
bool sqlite_is_query(const char *sql, struct sqlite_query *q);
const char *sqlite_column_name(const struct sqlite_query *q, int column);

// Columns of the present row, from 0. Text is terminated; text and blob are valid until the next step or reset ("" for null).
int sqlite_columns(const struct sqlite_query *q);
enum sqlite_kind sqlite_column_kind(struct sqlite_query *q, int column);
int64_t sqlite_column_int(struct sqlite_query *q, int column);
double sqlite_column_double(struct sqlite_query *q, int column);
const char *sqlite_column_text(struct sqlite_query *q, int column, size_t *length); // length may be NULL
const void *sqlite_column_blob(struct sqlite_query *q, int column, size_t *length);

int64_t sqlite_changes(const struct sqlite *db); // rows changed by the last INSERT, UPDATE or DELETE
int64_t sqlite_last_id(const struct sqlite *db); // rowid of the last INSERT

// Runs a query that gives one integer; `otherwise` when it gives no row or null. False with e set.
bool sqlite_one_int(struct sqlite *db, const char *sql, int64_t otherwise, int64_t *value, struct error *e);

// True when the file at the path is no longer the one that is open (removed, renamed, replaced): what is written now would be lost.
bool sqlite_has_moved(struct sqlite *db);
// Bytes of the database: its pages, without those on the free list.
bool sqlite_bytes_used(struct sqlite *db, uint64_t *bytes, struct error *e);
// A function of one argument that gives it back: a schema may only name functions that there are, whoever will call them.
bool sqlite_declare_function(struct sqlite *db, const char *name, struct error *e);
// "name" with its quotes doubled, owned by the caller: for table and column names.
char *sqlite_quote_name(const char *name);
const char *sqlite_library_version(void);

// Of the library that is loaded; for `weir version`.
const char *sqlite_version(void);
