// The journal in SQLite. See journal.h for the tables and the invariant.
#include "workers/sources/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "proto/hash.h"
#include "shm/crash_point.h"
#include "workers/clients/sqlite.h"

enum {
  BUSY_MS = 5000,
  // A key seen again is written again only when its mark is this old: a poll that finds nothing new does not rewrite the whole set.
  SEEN_EVERY_S = 3600,
};

struct journal {
  struct sqlite *db;
  char *path;
  char identity[JOURNAL_IDENTITY];
  struct journal_totals totals, committed;
};

static const char schema[] = "CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, identity TEXT NOT NULL,"
                             " next INTEGER NOT NULL, trimmed INTEGER NOT NULL, polls INTEGER NOT NULL, unchanged INTEGER NOT NULL,"
                             " bytes INTEGER NOT NULL, fingerprint TEXT NOT NULL DEFAULT '');"
                             "CREATE TABLE records (position INTEGER PRIMARY KEY, kind INTEGER NOT NULL, arrival INTEGER NOT NULL,"
                             " newest INTEGER NOT NULL, body BLOB NOT NULL);"
                             "CREATE INDEX records_old ON records (position) WHERE newest = 0;"
                             "CREATE TABLE seen (key BLOB PRIMARY KEY, hash INTEGER NOT NULL, position INTEGER NOT NULL,"
                             " at INTEGER NOT NULL) WITHOUT ROWID;"
                             "CREATE TABLE requests (hash INTEGER PRIMARY KEY, etag TEXT, modified TEXT, cursor TEXT);";

// The file exists with the right mode before SQLite opens it; its side files take the mode over.
static bool file_make(const char *path, struct error *e) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0) return close(fd) == 0;
  error_set(e, ERROR_ENVIRONMENT, "state", "cannot open the journal \"%s\": %s", path, strerror(errno));
  return false;
}

static bool identity_make(char *text, struct error *e) {
  uint64_t random[2];
  if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
    error_set(e, ERROR_ENVIRONMENT, "random", "the system gives no random numbers: %s", strerror(errno));
    return false;
  }
  char *made = memory_print("journal:%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
  strcpy(text, made);
  free(made);
  return true;
}

// Tables and their one row of meta, or nothing: a kill in between leaves an empty file, which is made again.
static bool schema_make(struct journal *j, struct error *e) {
  char identity[JOURNAL_IDENTITY];
  if (!identity_make(identity, e) || !sqlite_begin(j->db, e)) return false;
  struct sqlite_query *q =
      sqlite_exec(j->db, schema, e) ? sqlite_prepare(j->db, "INSERT INTO meta VALUES (1, ?, ?, 1, 0, 0, 0, 0, '')", e) : NULL;
  if (!q) return false;
  sqlite_bind_int(q, 1, JOURNAL_FORMAT);
  sqlite_bind_cstring(q, 2, identity);
  return sqlite_run(q, e) && sqlite_commit(j->db, e);
}

// A journal of an earlier version does not say with which settings it was filled.
static bool meta_mend(struct journal *j, struct error *e) {
  int64_t has = 0;
  if (!sqlite_one_int(j->db, "SELECT count(*) FROM pragma_table_info('meta') WHERE name = 'fingerprint'", 0, &has, e)) return false;
  return has > 0 || sqlite_exec(j->db, "ALTER TABLE meta ADD COLUMN fingerprint TEXT NOT NULL DEFAULT ''", e);
}

static bool meta_load(struct journal *j, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(j->db, "SELECT format, identity, next, trimmed, polls, unchanged, bytes FROM meta", e);
  if (!q) return false;
  if (sqlite_step(q, e) != SQLITE_GOT_ROW) {
    if (!error_is_set(e)) error_set(e, ERROR_OPERATOR, "journal", "the journal \"%s\" has no row in meta", j->path);
    return false;
  }
  int64_t format = sqlite_column_int(q, 0);
  size_t length;
  const char *identity = sqlite_column_text(q, 1, &length);
  bool good = format == JOURNAL_FORMAT && length > 0 && length < sizeof j->identity;
  if (good) memcpy(j->identity, identity, length + 1);
  j->totals = (struct journal_totals){.next = (uint64_t)sqlite_column_int(q, 2),
                                      .trimmed = (uint64_t)sqlite_column_int(q, 3),
                                      .polls = (uint64_t)sqlite_column_int(q, 4),
                                      .unchanged = (uint64_t)sqlite_column_int(q, 5),
                                      .bytes = (uint64_t)sqlite_column_int(q, 6)};
  j->committed = j->totals;
  sqlite_reset(q);
  if (!good)
    error_set(e, ERROR_OPERATOR, "format", "the journal \"%s\" has format %lld; this weir reads format %d", j->path, (long long)format,
              JOURNAL_FORMAT);
  return good;
}

struct journal *journal_open(const char *path, struct error *e) {
  struct journal *j = memory_get(sizeof *j);
  j->path = memory_text(path);
  int64_t tables = 0;
  bool good = file_make(path, e) && (j->db = sqlite_open(path, SQLITE_FOR_WRITING, BUSY_MS, e));
  good = good && sqlite_one_int(j->db, "SELECT count(*) FROM sqlite_schema", 0, &tables, e);
  good = good && (tables > 0 || schema_make(j, e)) && meta_load(j, e) && meta_mend(j, e);
  if (good) return j;
  error_add(e, "opening the journal");
  journal_close(j);
  return NULL;
}

void journal_close(struct journal *j) {
  if (!j) return;
  sqlite_close(j->db);
  free(j->path);
  free(j);
}

bool journal_is_of(struct journal *j, const char *fingerprint, bool *is, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(j->db, "SELECT next = 1 OR fingerprint IN ('', ?1) FROM meta", e);
  if (!q) return false;
  sqlite_bind_cstring(q, 1, fingerprint);
  bool good = sqlite_step(q, e) == SQLITE_GOT_ROW;
  *is = good && sqlite_column_int(q, 0) != 0;
  sqlite_reset(q);
  return good;
}

bool journal_sign(struct journal *j, const char *fingerprint, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(j->db, "UPDATE meta SET fingerprint = ?1 WHERE fingerprint <> ?1", e);
  if (!q) return false;
  sqlite_bind_cstring(q, 1, fingerprint);
  return sqlite_run(q, e);
}

const char *journal_identity(const struct journal *j) {
  return j->identity;
}

const struct journal_totals *journal_totals(const struct journal *j) {
  return &j->totals;
}

bool journal_in_place(struct journal *j) {
  return !sqlite_has_moved(j->db);
}

bool journal_begin(struct journal *j, struct error *e) {
  // The counters are read under the write lock: whether a commit that failed with an I/O error is in the file, only the file knows.
  if (!sqlite_begin(j->db, e)) return false;
  if (meta_load(j, e)) return true;
  sqlite_rollback(j->db);
  return false;
}

bool journal_in_transaction(const struct journal *j) {
  return sqlite_in_transaction(j->db);
}

void journal_rollback(struct journal *j) {
  sqlite_rollback(j->db);
  j->totals = j->committed;
}

static bool meta_store(struct journal *j, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(j->db, "UPDATE meta SET next = ?, trimmed = ?, polls = ?, unchanged = ?, bytes = ?", e);
  if (!q) return false;
  sqlite_bind_int(q, 1, (int64_t)j->totals.next);
  sqlite_bind_int(q, 2, (int64_t)j->totals.trimmed);
  sqlite_bind_int(q, 3, (int64_t)j->totals.polls);
  sqlite_bind_int(q, 4, (int64_t)j->totals.unchanged);
  sqlite_bind_int(q, 5, (int64_t)j->totals.bytes);
  return sqlite_run(q, e);
}

bool journal_commit(struct journal *j, struct error *e) {
  bool stored = meta_store(j, e);
  CRASH_POINT("source.before_journal_commit");
  if (!stored || !sqlite_commit(j->db, e)) {
    journal_rollback(j);
    error_add(e, "committing to the journal");
    return false;
  }
  CRASH_POINT("source.after_journal_commit");
  j->committed = j->totals;
  return true;
}

static bool record_insert(struct journal *j, const struct journal_record *record, bool newest, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(j->db, "INSERT INTO records VALUES (?, ?, ?, ?, ?)", e);
  if (!q) return false;
  sqlite_bind_int(q, 1, (int64_t)j->totals.next);
  sqlite_bind_int(q, 2, record->kind);
  sqlite_bind_int(q, 3, record->arrival);
  sqlite_bind_int(q, 4, newest);
  sqlite_bind_blob(q, 5, record->body, record->length);
  if (!sqlite_run(q, e)) return false;
  j->totals.next++;
  return true;
}

// What is remembered of a key.
struct seen {
  bool known;
  int64_t hash, position, at;
};

static bool seen_get(struct journal *j, const void *key, size_t length, struct seen *seen, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(j->db, "SELECT hash, position, at FROM seen WHERE key = ?", e);
  *seen = (struct seen){0};
  if (!q) return false;
  sqlite_bind_blob(q, 1, key, length);
  enum sqlite_outcome outcome = sqlite_step(q, e);
  if (outcome != SQLITE_GOT_ROW) return outcome == SQLITE_END;
  *seen = (struct seen){true, sqlite_column_int(q, 0), sqlite_column_int(q, 1), sqlite_column_int(q, 2)};
  sqlite_reset(q);
  return true;
}

static bool seen_put(struct journal *j, const void *key, size_t length, const struct seen *seen, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(j->db,
                                          "INSERT INTO seen VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET hash = excluded.hash, "
                                          "position = excluded.position, at = excluded.at",
                                          e);
  if (!q) return false;
  sqlite_bind_blob(q, 1, key, length);
  sqlite_bind_int(q, 2, seen->hash);
  sqlite_bind_int(q, 3, seen->position);
  sqlite_bind_int(q, 4, seen->at);
  return sqlite_run(q, e);
}

bool journal_add(struct journal *j, const struct journal_record *record, const void *key, size_t key_length, struct error *e) {
  if (!key) return record_insert(j, record, false, e);
  struct seen before, now = {true, (int64_t)hash_bytes(record->body, record->length, 0), (int64_t)j->totals.next, record->arrival};
  if (!seen_get(j, key, key_length, &before, e)) return false;
  if (before.known && before.hash == now.hash) {
    j->totals.unchanged++;
    now.position = before.position;
    bool fresh = now.at - before.at < (int64_t)SEEN_EVERY_S * 1000000;
    return fresh || seen_put(j, key, key_length, &now, e);
  }
  if (before.known) {
    struct sqlite_query *q = sqlite_prepare(j->db, "UPDATE records SET newest = 0 WHERE position = ?", e);
    if (!q) return false;
    sqlite_bind_int(q, 1, before.position);
    if (!sqlite_run(q, e)) return false;
  }
  return record_insert(j, record, true, e) && seen_put(j, key, key_length, &now, e);
}

void journal_polled(struct journal *j, uint64_t bytes, bool complete) {
  j->totals.bytes += bytes;
  j->totals.polls += complete;
}

bool journal_forget(struct journal *j, int64_t before, struct error *e) {
  struct sqlite_query *q =
      sqlite_prepare(j->db, "UPDATE records SET newest = 0 WHERE position IN (SELECT position FROM seen WHERE at < ?)", e);
  if (!q) return false;
  sqlite_bind_int(q, 1, before);
  if (!sqlite_run(q, e) || !(q = sqlite_prepare(j->db, "DELETE FROM seen WHERE at < ?", e))) return false;
  sqlite_bind_int(q, 1, before);
  return sqlite_run(q, e);
}

void journal_request_free(struct journal_request *request) {
  free(request->etag);
  free(request->modified);
  free(request->cursor);
  *request = (struct journal_request){0};
}

static char *text_or_none(struct sqlite_query *q, int column) {
  return sqlite_column_kind(q, column) == SQLITE_IS_NULL ? NULL : memory_text(sqlite_column_text(q, column, NULL));
}

bool journal_request_get(struct journal *j, uint64_t hash, struct journal_request *request, struct error *e) {
  *request = (struct journal_request){0};
  struct sqlite_query *q = sqlite_prepare(j->db, "SELECT etag, modified, cursor FROM requests WHERE hash = ?", e);
  if (!q) return false;
  sqlite_bind_int(q, 1, (int64_t)hash);
  enum sqlite_outcome outcome = sqlite_step(q, e);
  if (outcome != SQLITE_GOT_ROW) return outcome == SQLITE_END;
  *request = (struct journal_request){text_or_none(q, 0), text_or_none(q, 1), text_or_none(q, 2)};
  sqlite_reset(q);
  return true;
}

bool journal_request_set(struct journal *j, uint64_t hash, const struct journal_request *request, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(j->db, "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?)", e);
  if (!q) return false;
  const char *const texts[] = {request->etag, request->modified, request->cursor};
  sqlite_bind_int(q, 1, (int64_t)hash);
  for (int i = 0; i < 3; i++) {
    if (texts[i])
      sqlite_bind_cstring(q, i + 2, texts[i]);
    else
      sqlite_bind_null(q, i + 2);
  }
  return sqlite_run(q, e);
}

bool journal_read(struct journal *j, uint64_t position, journal_visit *visit, void *context, struct error *e) {
  struct sqlite_query *q =
      sqlite_prepare(j->db, "SELECT position, kind, arrival, body FROM records WHERE position > ? ORDER BY position", e);
  if (!q) return false;
  sqlite_bind_int(q, 1, (int64_t)position);
  for (;;) {
    enum sqlite_outcome outcome = sqlite_step(q, e);
    if (outcome != SQLITE_GOT_ROW) return outcome == SQLITE_END;
    struct journal_record record = {.position = (uint64_t)sqlite_column_int(q, 0),
                                    .kind = sqlite_column_int(q, 1) == JOURNAL_DEAD ? JOURNAL_DEAD : JOURNAL_DATA,
                                    .arrival = sqlite_column_int(q, 2)};
    record.body = sqlite_column_blob(q, 3, &record.length);
    if (visit(context, &record)) continue;
    sqlite_reset(q);
    return true;
  }
}

static bool trim_rows(struct journal *j, uint64_t upto, int64_t before, struct error *e) {
  static const char where[] = "FROM records WHERE newest = 0 AND position <= ? AND arrival < ?";
  char *sql = memory_print("SELECT max(position) %s", where);
  struct sqlite_query *q = sqlite_prepare(j->db, sql, e);
  free(sql);
  if (!q) return false;
  sqlite_bind_int(q, 1, (int64_t)upto);
  sqlite_bind_int(q, 2, before);
  if (sqlite_step(q, e) != SQLITE_GOT_ROW) return false;
  uint64_t last = (uint64_t)sqlite_column_int(q, 0);
  sqlite_reset(q);
  if (last > j->totals.trimmed) j->totals.trimmed = last;
  sql = memory_print("DELETE %s", where);
  q = sqlite_prepare(j->db, sql, e);
  free(sql);
  if (!q) return false;
  sqlite_bind_int(q, 1, (int64_t)upto);
  sqlite_bind_int(q, 2, before);
  CRASH_POINT("source.before_trim");
  return sqlite_run(q, e);
}

bool journal_trim(struct journal *j, uint64_t upto, int64_t before, struct error *e) {
  int64_t any = 0;
  // Most polls have nothing to trim: then nothing is written.
  if (!sqlite_one_int(j->db, "SELECT position FROM records WHERE newest = 0 ORDER BY position LIMIT 1", 0, &any, e)) return false;
  if (any == 0 || (uint64_t)any > upto) return true;
  if (!journal_begin(j, e)) return false;
  if (trim_rows(j, upto, before, e) && journal_commit(j, e)) return true;
  journal_rollback(j);
  error_add(e, "trimming the journal");
  return false;
}

bool journal_before(struct journal *j, int64_t micros, uint64_t *position, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(j->db, "SELECT min(position) FROM records WHERE arrival >= ?", e);
  if (!q) return false;
  sqlite_bind_int(q, 1, micros);
  if (sqlite_step(q, e) != SQLITE_GOT_ROW) return false;
  bool none = sqlite_column_kind(q, 0) == SQLITE_IS_NULL;
  *position = none ? j->totals.next - 1 : (uint64_t)sqlite_column_int(q, 0) - 1;
  sqlite_reset(q);
  return true;
}
