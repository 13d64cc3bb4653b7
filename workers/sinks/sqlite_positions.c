// Positions in SQLite.
//
// The first epoch of a row is the time in milliseconds, not 1: a database that was removed and made anew never deals an epoch again that a
// sleeping writer of the old one may still hold. For the same reason forgetting a position keeps the row.
#include "workers/sinks/sqlite_positions.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "workers/sinks/owner.h"

static const char table_sql[] = "CREATE TABLE IF NOT EXISTS weir_positions ("
                                "id INTEGER PRIMARY KEY AUTOINCREMENT, pipeline text NOT NULL, sink text NOT NULL, edge text NOT NULL, "
                                "source text NOT NULL, partition text NOT NULL, epoch bigint NOT NULL, position bigint, start bigint, "
                                "identity text NOT NULL, fingerprint text NOT NULL, witness bigint NOT NULL, rows bigint NOT NULL, "
                                "superseded bigint NOT NULL, dead bigint NOT NULL, owner text NOT NULL, seen timestamp NOT NULL, "
                                "UNIQUE (pipeline, sink, edge, source, partition))";

static const char look_sql[] = "SELECT id, epoch, position, start, identity, fingerprint, witness, rows, superseded, dead, owner, seen "
                               "FROM weir_positions WHERE pipeline = ?1 AND sink = ?2 AND edge = ?3 AND source = ?4 AND partition = ?5";

// The first epoch of a row is the time at which it was made; taking it over adds one each time.
static const char since_sql[] = "SELECT coalesce(min(epoch), 0) FROM weir_positions WHERE pipeline = ?1 AND sink = ?2 AND edge = ?3 AND "
                                "source = ?4 AND partition <> ?5 AND position IS NOT NULL";

static const char take_sql[] = "UPDATE weir_positions SET epoch = epoch + 1, identity = ?2, fingerprint = ?3, owner = ?4, seen = ?5 "
                               "WHERE id = ?1 RETURNING epoch";

static const char start_sql[] =
    "INSERT INTO weir_positions (pipeline, sink, edge, source, partition, epoch, position, start, identity, fingerprint, witness, rows, "
    "superseded, dead, owner, seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, 0, 0, 0, 0, ?10, ?11) "
    "ON CONFLICT (pipeline, sink, edge, source, partition) DO UPDATE SET epoch = epoch + 1, position = excluded.position, "
    "start = excluded.start, identity = excluded.identity, fingerprint = excluded.fingerprint, witness = 0, owner = excluded.owner, "
    "seen = excluded.seen RETURNING id, epoch, rows, superseded, dead";

static const char move_sql[] = "UPDATE weir_positions SET position = ?4, witness = ?5, rows = ?6, superseded = ?7, dead = ?8, seen = ?9 "
                               "WHERE id = ?1 AND epoch = ?2 AND position = ?3";

static const char hold_sql[] = "SELECT 1 FROM weir_positions WHERE id = ?1 AND epoch = ?2 AND position = ?3";

static const char release_sql[] = "UPDATE weir_positions SET owner = ?3 WHERE id = ?1 AND epoch = ?2";

static const char owner_sql[] = "SELECT owner FROM weir_positions WHERE id = ?1";

static const char totals_sql[] = "UPDATE weir_positions SET rows = ?2, superseded = ?3, dead = ?4 WHERE id = ?1";

static const char forget_sql[] = "UPDATE weir_positions SET epoch = epoch + 1, position = NULL, rows = 0, superseded = 0, dead = 0 "
                                 "WHERE pipeline = ?1 AND sink = ?2 AND rows > 0";

static const char rows_sql[] = "SELECT coalesce(sum(rows), 0) FROM weir_positions WHERE pipeline = ?1 AND sink = ?2";

bool sqlite_positions_make(struct sqlite *db, struct error *e) {
  return sqlite_exec(db, table_sql, e);
}

// One step of a statement that always gives a row.
static bool step_row(struct sqlite_query *q, struct error *e) {
  enum sqlite_outcome outcome = sqlite_step(q, e);
  if (outcome == SQLITE_END) error_set(e, ERROR_FAULT, "", "a statement about weir_positions gave no row");
  return outcome == SQLITE_GOT_ROW;
}

static void bind_key(struct sqlite_query *q, const struct target_setup *setup, const struct stream *stream) {
  sqlite_bind_cstring(q, 1, setup->pipeline);
  sqlite_bind_cstring(q, 2, setup->sink);
  sqlite_bind_cstring(q, 3, setup->edge);
  sqlite_bind_cstring(q, 4, stream->source);
  sqlite_bind_cstring(q, 5, stream->partition);
}

static int64_t silent_ms(const char *seen, size_t length) {
  int64_t micros;
  if (!clock_parse(seen, length, &micros)) return INT64_MAX;
  return (clock_micros() - micros) / 1000;
}

// Reads the stream's row into `s` and judges it. The texts of `stored` end with the query, so the judgement is made here.
static bool look(struct sqlite *db, const struct target_setup *setup, struct target_stream *s, enum target_verdict *verdict,
                 struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, look_sql, e);
  if (!q) return false;
  bind_key(q, setup, s->stream);
  struct target_stored stored = {.identity = "", .fingerprint = "", .owner = ""};
  s->row = 0;
  enum sqlite_outcome outcome = sqlite_step(q, e);
  if (outcome == SQLITE_FAILED) return false;
  if (outcome == SQLITE_GOT_ROW) {
    size_t length;
    stored.exists = true;
    stored.position = sqlite_column_kind(q, 2) != SQLITE_IS_NULL;
    stored.at = (uint64_t)sqlite_column_int(q, 2);
    stored.identity = sqlite_column_text(q, 4, NULL);
    stored.fingerprint = sqlite_column_text(q, 5, NULL);
    stored.owner = sqlite_column_text(q, 10, NULL);
    const char *seen = sqlite_column_text(q, 11, &length);
    stored.silent_ms = silent_ms(seen, length);
    s->row = sqlite_column_int(q, 0);
    s->position = stored.at;
    s->start = (uint64_t)sqlite_column_int(q, 3);
    s->witness = (uint64_t)sqlite_column_int(q, 6);
    s->totals = (struct target_totals){.rows = (uint64_t)sqlite_column_int(q, 7),
                                       .superseded = (uint64_t)sqlite_column_int(q, 8),
                                       .dead = (uint64_t)sqlite_column_int(q, 9)};
  }
  *verdict = target_judge(setup, s, &stored, e);
  sqlite_reset(q);
  return *verdict == VERDICT_TAKE || *verdict == VERDICT_NONE || *verdict == VERDICT_LOST;
}

static bool take(struct sqlite *db, const struct target_setup *setup, struct target_stream *s, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, take_sql, e);
  if (!q) return false;
  char now[CLOCK_TEXT];
  clock_print(clock_micros(), now);
  sqlite_bind_int(q, 1, s->row);
  sqlite_bind_cstring(q, 2, s->stream->identity);
  sqlite_bind_cstring(q, 3, s->stream->fingerprint);
  sqlite_bind_cstring(q, 4, setup->owner);
  sqlite_bind_cstring(q, 5, now);
  if (!step_row(q, e)) return false;
  s->epoch = (uint64_t)sqlite_column_int(q, 0);
  s->found = true;
  sqlite_reset(q);
  return true;
}

static bool look_since(struct sqlite *db, const struct target_setup *setup, struct target_stream *s, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, since_sql, e);
  if (!q) return false;
  bind_key(q, setup, s->stream);
  if (!step_row(q, e)) return false;
  s->since_ms = (uint64_t)sqlite_column_int(q, 0);
  sqlite_reset(q);
  return true;
}

static bool attach_one(struct sqlite *db, const struct target_setup *setup, struct target_stream *s, struct error *e) {
  enum target_verdict verdict;
  struct target_stream before = *s;
  s->found = s->lost = false;
  if (!look(db, setup, s, &verdict, e)) return false;
  if (verdict == VERDICT_LOST) {
    *s = before; // what we brought stays in the account
    s->lost = true;
    return true;
  }
  if (verdict == VERDICT_TAKE) return take(db, setup, s, e);
  s->position = s->start = s->witness = 0;
  s->totals = (struct target_totals){0};
  s->since_ms = 0;
  return s->row != 0 || look_since(db, setup, s, e); // one that was forgotten on purpose begins as if nothing had been
}

bool sqlite_positions_look(struct sqlite *db, const struct target_setup *setup, const struct target_stream *s, bool *there, uint64_t *epoch,
                           struct target_totals *totals, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, look_sql, e);
  if (!q) return false;
  bind_key(q, setup, s->stream);
  enum sqlite_outcome outcome = sqlite_step(q, e);
  *there = outcome == SQLITE_GOT_ROW;
  if (!*there) return outcome != SQLITE_FAILED;
  *epoch = (uint64_t)sqlite_column_int(q, 1);
  *totals = (struct target_totals){.rows = (uint64_t)sqlite_column_int(q, 7),
                                   .superseded = (uint64_t)sqlite_column_int(q, 8),
                                   .dead = (uint64_t)sqlite_column_int(q, 9)};
  sqlite_reset(q);
  return true;
}

// Ends a transaction of ours: commits it when the work in it went well.
static bool end(struct sqlite *db, bool good, struct error *e) {
  if (good && sqlite_commit(db, e)) return true;
  sqlite_rollback(db);
  return false;
}

bool sqlite_positions_attach(struct sqlite *db, const struct target_setup *setup, struct target_stream **streams, size_t count,
                             struct error *e) {
  if (!sqlite_begin(db, e)) return false;
  bool good = true;
  for (size_t i = 0; i < count && good; i++) good = attach_one(db, setup, streams[i], e);
  return end(db, good, e);
}

static bool start_row(struct sqlite *db, const struct target_setup *setup, struct target_stream *s, uint64_t start, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, start_sql, e);
  if (!q) return false;
  char now[CLOCK_TEXT];
  clock_print(clock_micros(), now);
  bind_key(q, setup, s->stream);
  sqlite_bind_int(q, 6, clock_micros() / 1000);
  sqlite_bind_int(q, 7, (int64_t)start);
  sqlite_bind_cstring(q, 8, s->stream->identity);
  sqlite_bind_cstring(q, 9, s->stream->fingerprint);
  sqlite_bind_cstring(q, 10, setup->owner);
  sqlite_bind_cstring(q, 11, now);
  if (!step_row(q, e)) return false;
  s->row = sqlite_column_int(q, 0);
  s->epoch = (uint64_t)sqlite_column_int(q, 1);
  s->totals = (struct target_totals){.rows = (uint64_t)sqlite_column_int(q, 2),
                                     .superseded = (uint64_t)sqlite_column_int(q, 3),
                                     .dead = (uint64_t)sqlite_column_int(q, 4)};
  sqlite_reset(q);
  s->found = true;
  s->position = s->start = start;
  s->witness = 0;
  return true;
}

bool sqlite_positions_start(struct sqlite *db, const struct target_setup *setup, struct target_stream *s, uint64_t start, struct error *e) {
  if (!sqlite_begin(db, e)) return false;
  enum target_verdict verdict;
  bool good = look(db, setup, s, &verdict, e);
  // Somebody may have stored a start since we looked: then that one counts.
  s->lost = good && verdict == VERDICT_LOST;
  if (good && !s->lost) good = verdict == VERDICT_TAKE ? take(db, setup, s, e) : start_row(db, setup, s, start, e);
  return end(db, good, e);
}

static bool move_one(struct sqlite *db, const struct target_stream *s, const char *now, bool *held, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, move_sql, e);
  if (!q) return false;
  sqlite_bind_int(q, 1, s->row);
  sqlite_bind_int(q, 2, (int64_t)s->epoch);
  sqlite_bind_int(q, 3, (int64_t)s->position);
  sqlite_bind_int(q, 4, (int64_t)s->next_position);
  sqlite_bind_int(q, 5, (int64_t)s->next_witness);
  sqlite_bind_int(q, 6, (int64_t)s->next.rows);
  sqlite_bind_int(q, 7, (int64_t)s->next.superseded);
  sqlite_bind_int(q, 8, (int64_t)s->next.dead);
  sqlite_bind_cstring(q, 9, now);
  if (!sqlite_run(q, e)) return false;
  *held = sqlite_changes(db) == 1;
  return true;
}

// The fence did not hold. Somebody else's name in the row: the stream is lost to him. Ours, or no row: an operator or a restored database
// has changed the position under us.
static bool see_why(struct sqlite *db, const struct target_setup *setup, struct target_stream *s, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, owner_sql, e);
  if (!q) return false;
  sqlite_bind_int(q, 1, s->row);
  enum sqlite_outcome outcome = sqlite_step(q, e);
  if (outcome == SQLITE_FAILED) return false;
  s->lost = outcome == SQLITE_GOT_ROW && strcmp(sqlite_column_text(q, 0, NULL), setup->owner) != 0;
  sqlite_reset(q);
  return true;
}

bool sqlite_positions_move(struct sqlite *db, const struct target_setup *setup, struct target_streams *streams, struct error *e) {
  char now[CLOCK_TEXT];
  clock_print(clock_micros(), now);
  size_t refused = 0, lost = 0;
  for (size_t i = 0; i < streams->count; i++) {
    struct target_stream *s = &streams->at[i];
    bool held;
    if (!s->moves) continue;
    if (!move_one(db, s, now, &held, e)) return false;
    if (held) continue;
    refused++;
    if (!see_why(db, setup, s, e)) return false;
    lost += s->lost;
  }
  return refused == 0 || target_fenced(lost, e);
}

static bool is_held(struct sqlite *db, const struct target_stream *s, bool *held, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, hold_sql, e);
  if (!q) return false;
  sqlite_bind_int(q, 1, s->row);
  sqlite_bind_int(q, 2, (int64_t)s->epoch);
  sqlite_bind_int(q, 3, (int64_t)s->position);
  enum sqlite_outcome outcome = sqlite_step(q, e);
  *held = outcome == SQLITE_GOT_ROW;
  if (*held) sqlite_reset(q);
  return outcome != SQLITE_FAILED;
}

bool sqlite_positions_hold(struct sqlite *db, const struct target_setup *setup, struct target_streams *streams, struct error *e) {
  size_t refused = 0, lost = 0;
  for (size_t i = 0; i < streams->count; i++) {
    struct target_stream *s = &streams->at[i];
    bool held;
    if (!s->found || s->lost || s->finished) continue;
    if (!is_held(db, s, &held, e)) return false;
    if (held) continue;
    refused++;
    if (!see_why(db, setup, s, e)) return false;
    lost += s->lost;
  }
  return refused == 0 || target_fenced(lost, e);
}

bool sqlite_positions_totals(struct sqlite *db, const struct target_streams *streams, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, totals_sql, e);
  if (!q) return false;
  for (size_t i = 0; i < streams->count; i++) {
    const struct target_stream *s = &streams->at[i];
    if (!s->moves) continue;
    sqlite_bind_int(q, 1, s->row);
    sqlite_bind_int(q, 2, (int64_t)s->next.rows);
    sqlite_bind_int(q, 3, (int64_t)s->next.superseded);
    sqlite_bind_int(q, 4, (int64_t)s->next.dead);
    if (!sqlite_run(q, e)) return false;
  }
  return true;
}

bool sqlite_positions_release(struct sqlite *db, const struct target_setup *setup, struct target_stream *const *streams, size_t count,
                              struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, release_sql, e);
  if (!q || !sqlite_begin(db, e)) return false;
  char *left = owner_left(setup->owner);
  bool good = true;
  for (size_t i = 0; i < count && good; i++) {
    sqlite_bind_int(q, 1, streams[i]->row);
    sqlite_bind_int(q, 2, (int64_t)streams[i]->epoch);
    sqlite_bind_cstring(q, 3, left);
    good = sqlite_run(q, e);
  }
  good = end(db, good, e);
  free(left);
  return good;
}

bool sqlite_positions_forget(struct sqlite *db, const struct target_setup *setup, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, forget_sql, e);
  if (!q) return false;
  sqlite_bind_cstring(q, 1, setup->pipeline);
  sqlite_bind_cstring(q, 2, setup->sink);
  return sqlite_run(q, e);
}

bool sqlite_positions_rows(struct sqlite *db, const struct target_setup *setup, uint64_t *rows, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(db, rows_sql, e);
  if (!q) return false;
  sqlite_bind_cstring(q, 1, setup->pipeline);
  sqlite_bind_cstring(q, 2, setup->sink);
  if (!step_row(q, e)) return false;
  *rows = (uint64_t)sqlite_column_int(q, 0);
  sqlite_reset(q);
  return true;
}
