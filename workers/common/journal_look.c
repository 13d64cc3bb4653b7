// A look into a source's journal from outside.
#include "workers/common/journal_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "workers/clients/sqlite.h"

enum { BUSY_MS = 5000 };

struct span {
  int64_t last, trimmed; // the highest position given out, and the highest one removed
  int64_t keyed;         // newest records stay, wherever they lie
};

static bool ends_read(struct sqlite *db, struct span *span, struct error *e) {
  return sqlite_one_int(db, "SELECT next - 1 FROM meta", 0, &span->last, e) &&
         sqlite_one_int(db, "SELECT trimmed FROM meta", 0, &span->trimmed, e) &&
         sqlite_one_int(db, "SELECT EXISTS (SELECT 1 FROM seen)", 0, &span->keyed, e);
}

static bool goal_find(const struct position_ask *ask, const struct span *span, struct position_answer *answer, struct error *e) {
  int64_t begin = span->keyed ? 0 : span->trimmed;
  answer->to = ask->goal == POSITION_AT ? ask->at : ask->goal == POSITION_LATEST ? span->last : begin;
  if (answer->to >= begin && answer->to <= span->last) return true;
  if (answer->to < begin)
    error_set(e, ERROR_OPERATOR, "position", "the journal holds only what is behind position %lld: %lld would be an error at the next run",
              (long long)begin, (long long)answer->to);
  else
    error_set(e, ERROR_OPERATOR, "position", "the journal has given out positions up to %lld: %lld would be an error at the next run",
              (long long)span->last, (long long)answer->to);
  return false;
}

static bool records_count(struct sqlite *db, int64_t from, int64_t to, struct position_answer *answer, struct error *e) {
  struct sqlite_query *q =
      sqlite_prepare(db, "SELECT count(*), min(arrival), max(arrival) FROM records WHERE position > ?1 AND position <= ?2", e);
  if (!q) return false;
  sqlite_bind_int(q, 1, from < to ? from : to);
  sqlite_bind_int(q, 2, from < to ? to : from);
  if (sqlite_step(q, e) != SQLITE_GOT_ROW) return false;
  answer->records = sqlite_column_int(q, 0);
  answer->first = sqlite_column_int(q, 1);
  answer->until = sqlite_column_int(q, 2);
  answer->what = "records of the journal";
  answer->counted = true;
  sqlite_reset(q);
  return true;
}

// Without the journal nothing can be counted; an older one may be about to be put back.
static bool no_journal(const struct position_ask *ask, struct position_answer *answer, struct error *e) {
  answer->to = ask->goal == POSITION_AT ? ask->at : 0;
  snprintf(answer->why, sizeof answer->why, "the state folder has no journal of it");
  if (ask->goal != POSITION_LATEST) return true;
  error_set(e, ERROR_OPERATOR, "position", "`latest` is not known: the state folder has no journal of source %s", ask->source);
  return false;
}

bool journal_position_look(const struct position_ask *ask, struct position_answer *answer, struct error *e) {
  char *path = memory_print("%s/journal-%s.db", ask->state, ask->source);
  struct span span;
  bool there = access(path, F_OK) == 0, good = false;
  struct sqlite *db = there ? sqlite_open(path, SQLITE_FOR_READING, BUSY_MS, e) : NULL;
  if (db) good = ends_read(db, &span, e) && goal_find(ask, &span, answer, e) && records_count(db, ask->from, answer->to, answer, e);
  sqlite_close(db);
  free(path);
  return there ? good : no_journal(ask, answer, e);
}
