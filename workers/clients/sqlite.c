// SQLite, the connection: opening, transactions, prepared queries. Contract in sqlite.h.
//
// Result codes are turned into weir's error classes in one table below; nothing else of the program looks at a number of SQLite's.
#include "workers/clients/sqlite.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/limits.h"
#include "proto/memory.h"

struct sqlite_query {
  sqlite3_stmt *statement;
  struct sqlite *db;
  int bind_failure; // of a parameter since the last step; SQLITE_OK: none
  char *text;       // as given to sqlite_prepare: its name in the cache
};

struct sqlite {
  sqlite3 *handle;
  struct sqlite_query **queries; // owned; pointers given out stay valid while the list grows
  size_t query_count, query_room;
};

struct meaning {
  int code; // extended result code, or the primary one for all of its family
  enum error_class class;
  const char *name;
};

// Extended codes stand before their family: the first match counts.
static const struct meaning meanings[] = {
    {SQLITE_CONSTRAINT_UNIQUE, ERROR_DATA, "unique"},
    {SQLITE_CONSTRAINT_ROWID, ERROR_DATA, "primary-key"},
    {SQLITE_CONSTRAINT_PRIMARYKEY, ERROR_DATA, "primary-key"},
    {SQLITE_CONSTRAINT_NOTNULL, ERROR_DATA, "not-null"},
    {SQLITE_CONSTRAINT_CHECK, ERROR_DATA, "check"},
    {SQLITE_CONSTRAINT_FOREIGNKEY, ERROR_DATA, "foreign-key"},
    {SQLITE_CONSTRAINT_DATATYPE, ERROR_DATA, "datatype"},
    {SQLITE_CONSTRAINT_TRIGGER, ERROR_DATA, "trigger"},
    {SQLITE_CONSTRAINT, ERROR_DATA, "constraint"},
    {SQLITE_MISMATCH, ERROR_DATA, "datatype"},
    {SQLITE_TOOBIG, ERROR_DATA, "too-big"},
    {SQLITE_BUSY, ERROR_OUTAGE, "busy"},
    {SQLITE_LOCKED, ERROR_OUTAGE, "busy"},
    {SQLITE_PROTOCOL, ERROR_OUTAGE, "busy"},
    {SQLITE_SCHEMA, ERROR_OUTAGE, "schema"},
    {SQLITE_FULL, ERROR_OUTAGE, "full"},
    {SQLITE_IOERR, ERROR_OUTAGE, "io"},
    {SQLITE_CANTOPEN, ERROR_OUTAGE, "cantopen"},
    {SQLITE_READONLY, ERROR_OPERATOR, "readonly"},
    {SQLITE_PERM, ERROR_OPERATOR, "readonly"},
    {SQLITE_AUTH, ERROR_OPERATOR, "auth"},
    {SQLITE_CORRUPT, ERROR_OPERATOR, "corrupt"},
    {SQLITE_NOTADB, ERROR_OPERATOR, "notadb"},
    {SQLITE_ERROR, ERROR_OPERATOR, "sql"},
};

static void set_error(sqlite3 *handle, int code, struct error *e) {
  if (code == SQLITE_NOMEM || code == SQLITE_IOERR_NOMEM) memory_exhausted(0);
  const char *text = handle && sqlite3_errcode(handle) != SQLITE_OK ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
  for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
    if (meanings[i].code == code || meanings[i].code == (code & 0xff)) {
      error_set(e, meanings[i].class, meanings[i].name, "SQLite: %s", text);
      return;
    }
  char name[ERROR_CODE];
  snprintf(name, sizeof name, "sqlite-%d", code);
  error_set(e, ERROR_FAULT, name, "SQLite: %s", text);
}

// Write-ahead logging lets readers read while we write. Only synchronous=FULL makes a commit durable before it returns.
static bool prepare_for_writing(struct sqlite *db, struct error *e) {
  return sqlite_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY", e);
}

static bool prepare_mode(struct sqlite *db, enum sqlite_mode mode, struct error *e) {
  switch (mode) {
  case SQLITE_FOR_READING: return true;
  case SQLITE_FOR_WRITING:
  case SQLITE_MAKE: return prepare_for_writing(db, e);
  case SQLITE_TO_BUILD:
    return sqlite_exec(db, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE; PRAGMA temp_store=MEMORY", e);
  }
  return false;
}

// SQLite says only that it cannot open the file; of a folder that is not there nobody would think first.
static void add_absent_folder(const char *path, struct error *e) {
  char *folder = memory_text(path), *slash = strrchr(folder, '/');
  if (slash) *(slash == folder ? slash + 1 : slash) = '\0';
  if (strcmp(e->code, "cantopen") == 0 && slash && access(folder, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
    error_add(e, "the folder %s is not there", folder);
  free(folder);
}

static struct sqlite *open_failed(struct sqlite *db, const char *path, struct error *e) {
  add_absent_folder(path, e);
  error_add(e, "opening %s", path);
  sqlite_close(db);
  return NULL;
}

struct sqlite *sqlite_open(const char *path, enum sqlite_mode mode, unsigned busy_ms, struct error *e) {
  int flags = SQLITE_OPEN_NOMUTEX;
  if (mode == SQLITE_FOR_READING) flags |= SQLITE_OPEN_READONLY;
  if (mode == SQLITE_FOR_WRITING) flags |= SQLITE_OPEN_READWRITE;
  if (mode == SQLITE_MAKE || mode == SQLITE_TO_BUILD) flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  struct sqlite *db = memory_get(sizeof *db);
  int rc = sqlite3_open_v2(path, &db->handle, flags, NULL);
  if (rc != SQLITE_OK) {
    set_error(db->handle, rc, e);
    return open_failed(db, path, e);
  }
  sqlite3_extended_result_codes(db->handle, 1);
  sqlite3_busy_timeout(db->handle, (int)busy_ms);
  sqlite3_limit(db->handle, SQLITE_LIMIT_LENGTH, 4 * LIMIT_RECORD);
  sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DML, 0, (int *)NULL);
  sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DDL, 0, (int *)NULL);
  // Opening reads nothing: only this tells whether the file can be read and is a database.
  return sqlite_exec(db, "PRAGMA schema_version", e) && prepare_mode(db, mode, e) ? db : open_failed(db, path, e);
}

void sqlite_close(struct sqlite *db) {
  if (!db) return;
  for (size_t i = 0; i < db->query_count; i++) {
    sqlite3_finalize(db->queries[i]->statement);
    free(db->queries[i]->text);
    free(db->queries[i]);
  }
  free(db->queries);
  sqlite3_close_v2(db->handle);
  free(db);
}

bool sqlite_exec(struct sqlite *db, const char *sql, struct error *e) {
  int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
  if (rc == SQLITE_OK) return true;
  set_error(db->handle, rc, e);
  return false;
}

bool sqlite_begin(struct sqlite *db, struct error *e) {
  return sqlite_exec(db, "BEGIN IMMEDIATE", e);
}

bool sqlite_commit(struct sqlite *db, struct error *e) {
  return sqlite_exec(db, "COMMIT", e);
}

void sqlite_rollback(struct sqlite *db) {
  if (!sqlite_in_transaction(db)) return; // some errors have rolled back already
  // A rollback in memory and in the WAL can only fail with the file gone; the transaction ends then with the connection.
  sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

bool sqlite_in_transaction(const struct sqlite *db) {
  return sqlite3_get_autocommit(db->handle) == 0;
}

bool sqlite_savepoint(struct sqlite *db, struct error *e) {
  return sqlite_exec(db, "SAVEPOINT weir", e);
}

bool sqlite_savepoint_release(struct sqlite *db, struct error *e) {
  return sqlite_exec(db, "RELEASE weir", e);
}

bool sqlite_savepoint_rollback(struct sqlite *db, struct error *e) {
  return sqlite_exec(db, "ROLLBACK TO weir; RELEASE weir", e);
}

static struct sqlite_query *query_find(struct sqlite *db, const char *sql) {
  for (size_t i = 0; i < db->query_count; i++)
    if (strcmp(db->queries[i]->text, sql) == 0) return db->queries[i];
  return NULL;
}

struct sqlite_query *sqlite_prepare(struct sqlite *db, const char *sql, struct error *e) {
  struct sqlite_query *q = query_find(db, sql);
  if (q) {
    sqlite_reset(q);
    return q;
  }
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
  if (rc != SQLITE_OK) {
    set_error(db->handle, rc, e);
    return NULL;
  }
  if (db->query_count == db->query_room) {
    db->query_room = db->query_room ? db->query_room * 2 : 16;
    db->queries = memory_resize(db->queries, db->query_room * sizeof *db->queries);
  }
  q = memory_get(sizeof *q);
  *q = (struct sqlite_query){.statement = statement, .db = db, .text = memory_text(sql)};
  db->queries[db->query_count++] = q;
  return q;
}

// A bind fails for a wrong index (ours) or a value over the length limit; the parameter is null then, so the next step must not run.
static void note_bind(struct sqlite_query *q, int rc) {
  if (rc == SQLITE_NOMEM) memory_exhausted(0);
  if (rc != SQLITE_OK) q->bind_failure = rc;
}

void sqlite_bind_null(struct sqlite_query *q, int index) {
  note_bind(q, sqlite3_bind_null(q->statement, index));
}

void sqlite_bind_int(struct sqlite_query *q, int index, int64_t value) {
  note_bind(q, sqlite3_bind_int64(q->statement, index, value));
}

void sqlite_bind_double(struct sqlite_query *q, int index, double value) {
  note_bind(q, sqlite3_bind_double(q->statement, index, value));
}

void sqlite_bind_text(struct sqlite_query *q, int index, const char *text, size_t length) {
  note_bind(q, sqlite3_bind_text64(q->statement, index, text, length, SQLITE_STATIC, SQLITE_UTF8));
}

void sqlite_bind_cstring(struct sqlite_query *q, int index, const char *text) {
  note_bind(q, sqlite3_bind_text(q->statement, index, text, -1, SQLITE_STATIC));
}

void sqlite_bind_blob(struct sqlite_query *q, int index, const void *bytes, size_t length) {
  // A pointer that is NULL would bind null; an empty blob is not null.
  note_bind(q, sqlite3_bind_blob64(q->statement, index, length ? bytes : "", length, SQLITE_STATIC));
}

enum sqlite_outcome sqlite_step(struct sqlite_query *q, struct error *e) {
  if (q->bind_failure != SQLITE_OK) {
    set_error(NULL, q->bind_failure, e);
    q->bind_failure = SQLITE_OK;
    sqlite3_reset(q->statement);
    return SQLITE_FAILED;
  }
  int rc = sqlite3_step(q->statement);
  if (rc == SQLITE_ROW) return SQLITE_GOT_ROW;
  if (rc != SQLITE_DONE) set_error(q->db->handle, rc, e);
  sqlite3_reset(q->statement);
  return rc == SQLITE_DONE ? SQLITE_END : SQLITE_FAILED;
}

bool sqlite_run(struct sqlite_query *q, struct error *e) {
  enum sqlite_outcome outcome;
  do outcome = sqlite_step(q, e);
  while (outcome == SQLITE_GOT_ROW);
  return outcome == SQLITE_END;
}

void sqlite_reset(struct sqlite_query *q) {
  sqlite3_reset(q->statement);
}

int sqlite_columns(const struct sqlite_query *q) {
  return sqlite3_column_count(q->statement);
}

const char *sqlite_column_name(const struct sqlite_query *q, int column) {
  const char *name = sqlite3_column_name(q->statement, column);
  if (!name) memory_exhausted(0);
  return name;
}

bool sqlite_is_query(const char *sql, struct sqlite_query *q) {
  const char *tail = sql + strlen(sqlite3_sql(q->statement));
  return sqlite3_stmt_readonly(q->statement) && !sqlite3_stmt_isexplain(q->statement) && sqlite3_column_count(q->statement) > 0 &&
         tail[strspn(tail, " \t\r\n;")] == '\0';
}

enum sqlite_kind sqlite_column_kind(struct sqlite_query *q, int column) {
  switch (sqlite3_column_type(q->statement, column)) {
  case SQLITE_INTEGER: return SQLITE_IS_INT;
  case SQLITE_FLOAT: return SQLITE_IS_DOUBLE;
  case SQLITE_TEXT: return SQLITE_IS_TEXT;
  case SQLITE_BLOB: return SQLITE_IS_BLOB;
  default: return SQLITE_IS_NULL;
  }
}

int64_t sqlite_column_int(struct sqlite_query *q, int column) {
  return sqlite3_column_int64(q->statement, column);
}

double sqlite_column_double(struct sqlite_query *q, int column) {
  return sqlite3_column_double(q->statement, column);
}

const char *sqlite_column_text(struct sqlite_query *q, int column, size_t *length) {
  const char *text = (const char *)sqlite3_column_text(q->statement, column);
  if (length) *length = text ? (size_t)sqlite3_column_bytes(q->statement, column) : 0;
  return text ? text : "";
}

const void *sqlite_column_blob(struct sqlite_query *q, int column, size_t *length) {
  const void *bytes = sqlite3_column_blob(q->statement, column);
  if (length) *length = bytes ? (size_t)sqlite3_column_bytes(q->statement, column) : 0;
  return bytes ? bytes : "";
}

int64_t sqlite_changes(const struct sqlite *db) {
  return sqlite3_changes64(db->handle);
}

int64_t sqlite_last_id(const struct sqlite *db) {
  return sqlite3_last_insert_rowid(db->handle);
}

bool sqlite_one_int(struct sqlite *db, const char *sql, int64_t otherwise, int64_t *value, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, sql, e);
  if (!q) return false;
  *value = otherwise;
  enum sqlite_outcome outcome = sqlite_step(q, e);
  if (outcome == SQLITE_GOT_ROW) {
    if (sqlite_column_kind(q, 0) != SQLITE_IS_NULL) *value = sqlite_column_int(q, 0);
    sqlite_reset(q);
  }
  return outcome != SQLITE_FAILED;
}

bool sqlite_has_moved(struct sqlite *db) {
  int moved = 0;
  return sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0;
}

bool sqlite_bytes_used(struct sqlite *db, uint64_t *bytes, struct error *e) {
  int64_t pages, free_pages, page_size;
  if (!sqlite_one_int(db, "PRAGMA page_count", 0, &pages, e) || !sqlite_one_int(db, "PRAGMA freelist_count", 0, &free_pages, e) ||
      !sqlite_one_int(db, "PRAGMA page_size", 0, &page_size, e))
    return false;
  *bytes = (uint64_t)(pages - free_pages) * (uint64_t)page_size;
  return true;
}

static void give_back(sqlite3_context *context, int count, sqlite3_value **values) {
  (void)count;
  sqlite3_result_value(context, values[0]);
}

bool sqlite_declare_function(struct sqlite *db, const char *name, struct error *e) {
  int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
  int rc = sqlite3_create_function_v2(db->handle, name, 1, flags, NULL, give_back, NULL, NULL, NULL);
  if (rc == SQLITE_OK) return true;
  set_error(db->handle, rc, e);
  return false;
}

char *sqlite_quote_name(const char *name) {
  char *quoted = memory_get(2 * strlen(name) + 3), *at = quoted;
  *at++ = '"';
  for (; *name; name++) {
    if (*name == '"') *at++ = '"';
    *at++ = *name;
  }
  *at++ = '"';
  *at = '\0';
  return quoted;
}

const char *sqlite_library_version(void) {
  return sqlite3_libversion();
}

const char *sqlite_version(void) {
  return sqlite3_libversion();
}
