// The connection and its guard.
//
// User SQL is somebody else's program: it may compute, and read our virtual tables, and nothing else. What it may use is listed (functions,
// tables, kinds of statement); whatever is not on a list is refused, so that a newer SQLite does not open a door.
//
// Functions that would give another value on replay are not on the list, or take their value from the record: SQLite's clock is replaced
// by the record's time through a VFS of our own (no file is ever opened through it).
#include "workers/sql/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/limits.h"
#include "workers/sql/input_table.h"
#include "workers/sql/lookups.h"

enum {
  SQL_TEXT_MOST = 1 << 20,     // bytes of a statement
  SQL_PATTERN_MOST = 1000,     // bytes of a LIKE pattern: matching is quadratic and cannot be interrupted
  SQL_OPCODES_PER_LOOK = 1000, // instructions between two looks at the time limit
};

static int64_t clock_now; // of the one connection that is running

void sql_clock_set(int64_t micros) {
  clock_now = micros;
}

// Julian days in milliseconds; 1970-01-01 is day 2440587.5.
static int clock_int64(sqlite3_vfs *vfs, sqlite3_int64 *millis) {
  (void)vfs;
  *millis = clock_now / 1000 + 210866760000000;
  return SQLITE_OK;
}

static int clock_double(sqlite3_vfs *vfs, double *days) {
  sqlite3_int64 millis;
  clock_int64(vfs, &millis);
  *days = (double)millis / 86400000.0;
  return SQLITE_OK;
}

// The system's VFS with another clock, registered once a process.
static const char *clock_vfs(void) {
  static sqlite3_vfs vfs;
  if (vfs.zName) return vfs.zName;
  const sqlite3_vfs *system = sqlite3_vfs_find(NULL);
  if (!system) return NULL;
  vfs = *system;
  vfs.pNext = NULL;
  vfs.zName = "weir-clock";
  vfs.xCurrentTime = clock_double;
  vfs.xCurrentTimeInt64 = clock_int64;
  return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? vfs.zName : NULL;
}

// In alphabetical order, for bsearch.
static const char *const allowed_functions[] = {
    "->",
    "->>",
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "avg",
    "ceil",
    "ceiling",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "cos",
    "cosh",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "degrees",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "format",
    "glob",
    "group_concat",
    "hash",
    "hex",
    "ifnull",
    "iif",
    "instr",
    "json",
    "json_array",
    "json_array_length",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_patch",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_type",
    "json_valid",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "max",
    "min",
    "mod",
    "now",
    "nth_value",
    "ntile",
    "nullif",
    "octet_length",
    "parse_time",
    "percent_rank",
    "pi",
    "pow",
    "power",
    "printf",
    "quote",
    "radians",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "sin",
    "sinh",
    "soundex",
    "sqrt",
    "strftime",
    "string_agg",
    "substr",
    "substring",
    "subtype",
    "sum",
    "tan",
    "tanh",
    "time",
    "timediff",
    "total",
    "trim",
    "trunc",
    "typeof",
    "unescape_html",
    "unhex",
    "unicode",
    "unixepoch",
    "unlikely",
    "upper",
    "uuid",
    "zeroblob",
};
// SQLite keeps what these give for a whole run of the statement.
static const char *const clock_functions[] = {
    "current_date", "current_time", "current_timestamp", "date", "datetime", "julianday", "strftime", "time", "timediff", "unixepoch",
};

// Their values have subtypes, as those of all functions named json... have.
static const char *const subtype_functions[] = {"->", "->>", "now", "parse_time"};

static int name_compare(const void *a, const void *b) {
  return sqlite3_stricmp(a, *(const char *const *)b);
}

static bool name_in(const char *name, const char *const *list, size_t count) {
  return bsearch(name, list, count, sizeof *list, name_compare) != NULL;
}
#define NAME_IN(name, list) name_in(name, list, sizeof(list) / sizeof *(list))

static int refuse(struct sql_engine *engine, const char *format, const char *name) {
  if (engine->refused[0] == '\0') sqlite3_snprintf(sizeof engine->refused, engine->refused, format, name);
  return SQLITE_DENY;
}

static int guard_function(struct sql_engine *engine, const char *name) {
  if (NAME_IN(name, clock_functions)) engine->reads_clock = true;
  if (sqlite3_stricmp(name, "uuid") == 0) engine->reads_identity = true;
  if (NAME_IN(name, subtype_functions) || sqlite3_strnicmp(name, "json", 4) == 0) engine->makes_subtypes = true;
  if (NAME_IN(name, allowed_functions)) return SQLITE_OK;
  if (sqlite3_stricmp(name, "random") == 0 || sqlite3_stricmp(name, "randomblob") == 0)
    return refuse(engine, "%s() gives another value each time a record is replayed: use hash(uuid())", name);
  return refuse(engine, "the function %s() is not allowed here", name);
}

static int guard_read(struct sql_engine *engine, const char *table, const char *column) {
  bool stream = engine->stream_name && sqlite3_stricmp(table, engine->stream_name) == 0;
  if (stream && engine->checking) return refuse(engine, "a check looks at the row only%s", "");
  if (sqlite3_strnicmp(table, "sqlite_", 7) == 0) return refuse(engine, "tables of SQLite's own are not allowed here%s", "");
  if (engine->checking && sql_lookup_of(engine, table)) return refuse(engine, "a check looks at the row only%s", "");
  if (sql_lookup_of(engine, table) && column) {
    if (column[0] == LOOKUP_HIDDEN) return refuse(engine, "\"*\" is not possible here%s: name the columns", "");
    sql_lookup_note(engine, table, column);
    return SQLITE_OK;
  }
  static const char *const helpers[] = {"each", "json_each", "json_tree"};
  // A table of which no column is read: it may be a name that the SQL gave to a subquery. Tables of SQLite that exist by themselves are
  // either connected already or cannot be, because their declaration would not pass this guard.
  if (column && column[0] == '\0') return SQLITE_OK;
  if (!stream && !NAME_IN(table, helpers)) return refuse(engine, "the table \"%s\" is not allowed here", table);
  if (column && strcmp(column, SQL_STAR_COLUMN) == 0)
    return refuse(engine, "\"*\" is not possible, because records have no fixed fields%s: name the columns", "");
  return SQLITE_OK;
}

static int guard(void *context, int action, const char *first, const char *second, const char *database, const char *inner) {
  struct sql_engine *engine = context;
  (void)database, (void)inner;
  if (engine->declaring) return SQLITE_OK;
  switch (action) {
  case SQLITE_SELECT:
  case SQLITE_RECURSIVE: return SQLITE_OK;
  case SQLITE_READ: return guard_read(engine, first, second);
  case SQLITE_FUNCTION: return guard_function(engine, second);
  case SQLITE_ATTACH:
  case SQLITE_DETACH: return refuse(engine, "%s is not allowed here", action == SQLITE_ATTACH ? "ATTACH" : "DETACH");
  case SQLITE_PRAGMA: return refuse(engine, "PRAGMA %s is not allowed here", first ? first : "");
  default: return refuse(engine, "only a SELECT is allowed here%s: it may not change anything", "");
  }
}

void sql_connection_guard(struct sql_engine *engine) {
  sqlite3_set_authorizer(engine->db, guard, engine);
}

// The CPU time of this thread, so that a record does not pay for the time in which this process was suspended or waiting.
static uint64_t cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// The clock is read only when the same record was met before: ordinary records never cost that.
static int look_at_time(void *context) {
  struct sql_engine *engine = context;
  if (engine->watched_record != engine->record_number) {
    engine->watched_record = engine->record_number;
    engine->watched_since = 0;
    return 0;
  }
  if (engine->heartbeat) engine->heartbeat(engine->heartbeat_context);
  uint64_t now = cpu_ns();
  if (engine->watched_since == 0) engine->watched_since = now;
  engine->timed_out = now - engine->watched_since > engine->timeout_ms * 1000000;
  return engine->timed_out;
}

static void limits_set(sqlite3 *db) {
  sqlite3_limit(db, SQLITE_LIMIT_LENGTH, LIMIT_RECORD);
  sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, SQL_TEXT_MOST);
  sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, SQL_LOOKUPS_MOST + 1); // only lookups.c attaches, one more while it changes one
  sqlite3_limit(db, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, SQL_PATTERN_MOST);
  sqlite3_limit(db, SQLITE_LIMIT_WORKER_THREADS, 0);
  // Double quotes mean names only: a misspelt "column" is an error, not a text.
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, (int *)NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, (int *)NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, (int *)NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, (int *)NULL);
}

static bool failed(struct sql_engine *engine, struct error *e) {
  error_set(e, ERROR_ENVIRONMENT, "sqlite", "SQLite cannot be set up: %s", engine->db ? sqlite3_errmsg(engine->db) : "out of memory");
  return false;
}

bool sql_connection_open(struct sql_engine *engine, struct error *e) {
  // Not SQLITE_OPEN_MEMORY: files that are attached would be in memory, too.
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI;
  const char *vfs = clock_vfs();
  if (!vfs || sqlite3_open_v2(":memory:", &engine->db, flags, vfs) != SQLITE_OK) return failed(engine, e);
  limits_set(engine->db);
  // Sorters stay in memory, and the JSON tables are connected before the guard: their own declarations would not pass it.
  if (sqlite3_exec(engine->db, "PRAGMA temp_store=MEMORY; SELECT 1 FROM json_each('1'), json_tree('1')", NULL, NULL, NULL) != SQLITE_OK ||
      sql_functions_register(engine) != SQLITE_OK || sql_each_declare(engine) != SQLITE_OK)
    return failed(engine, e);
  sqlite3_progress_handler(engine->db, SQL_OPCODES_PER_LOOK, look_at_time, engine);
  sqlite3_hard_heap_limit64((sqlite3_int64)engine->memory_bytes);
  return true;
}

void sql_connection_close(struct sql_engine *engine) {
  sqlite3_close(engine->db);
  engine->db = NULL;
}
