// A look into a source's journal from outside.
#include "workers/common/journal_look.h"

#include <stdlib.h>
#include <unistd.h>

#include "workers/clients/sqlite.h"

enum { BUSY_MS = 5000 };

static bool look(struct sqlite *db, int64_t from, int64_t to, struct journal_span *span, struct error *e) {
  if (!sqlite_one_int(db, "SELECT next - 1 FROM meta", 0, &span->last, e)) return false;
  struct sqlite_query *q =
      sqlite_prepare(db, "SELECT count(*), min(arrival), max(arrival) FROM records WHERE position > ?1 AND position <= ?2", e);
  if (!q) return false;
  sqlite_bind_int(q, 1, from);
  sqlite_bind_int(q, 2, to);
  if (sqlite_step(q, e) != SQLITE_GOT_ROW) return false;
  span->records = sqlite_column_int(q, 0);
  span->first = sqlite_column_int(q, 1);
  span->until = sqlite_column_int(q, 2);
  sqlite_reset(q);
  return true;
}

bool journal_look(const char *state, const char *source, int64_t from, int64_t to, struct journal_span *span, struct error *e) {
  char *path = memory_print("%s/journal-%s.db", state, source);
  error_clear(e);
  *span = (struct journal_span){0};
  bool there = access(path, F_OK) == 0, good = false;
  struct sqlite *db = there ? sqlite_open(path, SQLITE_FOR_READING, BUSY_MS, e) : NULL;
  if (db) good = look(db, from, to, span, e);
  sqlite_close(db);
  free(path);
  return good;
}
