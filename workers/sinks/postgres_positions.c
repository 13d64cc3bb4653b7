// Positions in PostgreSQL.
//
// The first epoch of a row is the time in milliseconds, as in SQLite: a table that was dropped and made anew never deals an epoch again.
#include "workers/sinks/postgres_positions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/sinks/owner.h"

bool postgres_positions_make(struct postgres *p, const char *table, struct error *e) {
  char *sql =
      memory_print("CREATE TABLE %s (id bigint GENERATED ALWAYS AS IDENTITY UNIQUE, pipeline text NOT NULL, sink text NOT NULL, "
                   "edge text NOT NULL, source text NOT NULL, partition text NOT NULL, epoch bigint NOT NULL, position bigint, "
                   "start bigint, identity text NOT NULL, fingerprint text NOT NULL, witness bigint NOT NULL, rows bigint NOT NULL, "
                   "superseded bigint NOT NULL, dead bigint NOT NULL, owner text NOT NULL, seen timestamptz NOT NULL, "
                   "PRIMARY KEY (pipeline, sink, edge, source, partition)) WITH (fillfactor = 50)",
                   table);
  bool ok = postgres_exec(p, sql, e);
  free(sql);
  return ok;
}

// Sends a statement made of `format` with the table's name in it.
static struct postgres_result *call(struct postgres *p, const char *format, const char *table, const struct postgres_param *params,
                                    size_t count, struct error *e) {
  size_t room = strlen(format) + strlen(table) + 1;
  char *sql = memory_get(room);
  const char *mark = strstr(format, "%s");
  snprintf(sql, room, "%.*s%s%s", (int)(mark - format), format, table, mark + 2);
  struct postgres_result *r = postgres_call(p, sql, params, count, e);
  free(sql);
  return r;
}

enum { KEY_PARAMS = 5 };

static void put_key(struct postgres_param *params, const struct target_setup *setup, const struct stream *stream) {
  const char *texts[KEY_PARAMS] = {setup->pipeline, setup->sink, setup->edge, stream->source, stream->partition};
  for (size_t i = 0; i < KEY_PARAMS; i++) params[i] = (struct postgres_param){.bytes = texts[i]};
}

static bool look(struct postgres *p, const char *table, const struct target_setup *setup, struct target_stream *s,
                 enum target_verdict *verdict, struct error *e) {
  static const char sql[] = "SELECT id, position, identity, fingerprint, owner, "
                            "(extract(epoch FROM clock_timestamp() - seen) * 1000)::bigint FROM %s "
                            "WHERE pipeline = $1 AND sink = $2 AND edge = $3 AND source = $4 AND partition = $5";
  struct postgres_param key[KEY_PARAMS];
  put_key(key, setup, s->stream);
  struct postgres_result *r = call(p, sql, table, key, KEY_PARAMS, e);
  if (!r) return false;
  struct target_stored stored = {.identity = "", .fingerprint = "", .owner = ""};
  s->row = 0;
  if (postgres_rows(r) > 0) {
    s->row = postgres_int(r, 0, 0);
    stored = (struct target_stored){.exists = true,
                                    .position = !postgres_is_null(r, 0, 1),
                                    .at = (uint64_t)postgres_int(r, 0, 1),
                                    .identity = postgres_text(r, 0, 2),
                                    .fingerprint = postgres_text(r, 0, 3),
                                    .owner = postgres_text(r, 0, 4),
                                    .silent_ms = postgres_int(r, 0, 5)};
  }
  *verdict = target_judge(setup, s, &stored, e);
  postgres_result_free(r);
  return *verdict == VERDICT_TAKE || *verdict == VERDICT_NONE || *verdict == VERDICT_LOST;
}

// What a statement about one row returns: id, epoch, position, start, witness, rows, superseded, dead.
static const char returning[] = " RETURNING id, epoch, position, start, witness, rows, superseded, dead";

static void take_row(struct target_stream *s, const struct postgres_result *r) {
  s->found = !postgres_is_null(r, 0, 2);
  s->row = postgres_int(r, 0, 0);
  s->epoch = (uint64_t)postgres_int(r, 0, 1);
  s->position = (uint64_t)postgres_int(r, 0, 2);
  s->start = (uint64_t)postgres_int(r, 0, 3);
  s->witness = (uint64_t)postgres_int(r, 0, 4);
  s->totals = (struct target_totals){
      .rows = (uint64_t)postgres_int(r, 0, 5), .superseded = (uint64_t)postgres_int(r, 0, 6), .dead = (uint64_t)postgres_int(r, 0, 7)};
}

static char *number(int64_t value) {
  return memory_print("%" PRId64, value);
}

// Raises the epoch. The statement waits for whoever holds the row, so what it returns is the truth, not what `look` has seen.
static bool take(struct postgres *p, const char *table, const struct target_setup *setup, struct target_stream *s, struct error *e) {
  char *sql = memory_print("UPDATE %s SET epoch = epoch + 1, identity = $2, fingerprint = $3, owner = $4, seen = clock_timestamp() "
                           "WHERE id = $1%s",
                           table, returning);
  char *row = number(s->row);
  struct postgres_param params[] = {
      {.bytes = row}, {.bytes = s->stream->identity}, {.bytes = s->stream->fingerprint}, {.bytes = setup->owner}};
  struct postgres_result *r = postgres_call(p, sql, params, 4, e);
  if (r && postgres_rows(r) > 0) take_row(s, r);
  postgres_result_free(r);
  free(row);
  free(sql);
  return r != NULL;
}

bool postgres_positions_look(struct postgres *p, const char *table, const struct target_setup *setup, const struct target_stream *s,
                             bool *there, uint64_t *epoch, struct target_totals *totals, struct error *e) {
  static const char sql[] = "SELECT epoch, rows, superseded, dead FROM %s "
                            "WHERE pipeline = $1 AND sink = $2 AND edge = $3 AND source = $4 AND partition = $5";
  struct postgres_param key[KEY_PARAMS];
  put_key(key, setup, s->stream);
  struct postgres_result *r = call(p, sql, table, key, KEY_PARAMS, e);
  if (!r) return false;
  *there = postgres_rows(r) > 0;
  if (*there) {
    *epoch = (uint64_t)postgres_int(r, 0, 0);
    *totals = (struct target_totals){
        .rows = (uint64_t)postgres_int(r, 0, 1), .superseded = (uint64_t)postgres_int(r, 0, 2), .dead = (uint64_t)postgres_int(r, 0, 3)};
  }
  postgres_result_free(r);
  return true;
}

// The first epoch of a row is the time at which it was made; taking it over adds one each time.
static bool look_since(struct postgres *p, const char *table, const struct target_setup *setup, struct target_stream *s, struct error *e) {
  static const char sql[] = "SELECT coalesce(min(epoch), 0) FROM %s WHERE pipeline = $1 AND sink = $2 AND edge = $3 AND source = $4 AND "
                            "partition <> $5 AND position IS NOT NULL";
  struct postgres_param key[KEY_PARAMS];
  put_key(key, setup, s->stream);
  struct postgres_result *r = call(p, sql, table, key, KEY_PARAMS, e);
  if (r) s->since_ms = (uint64_t)postgres_int(r, 0, 0);
  postgres_result_free(r);
  return r != NULL;
}

bool postgres_positions_attach(struct postgres *p, const char *table, const struct target_setup *setup, struct target_stream *s,
                               struct error *e) {
  enum target_verdict verdict;
  struct target_stream before = *s;
  s->found = s->lost = false;
  if (!look(p, table, setup, s, &verdict, e)) return false;
  if (verdict == VERDICT_LOST) {
    *s = before; // what we brought stays in the account
    s->lost = true;
    return true;
  }
  s->position = s->start = s->witness = 0;
  s->totals = (struct target_totals){0};
  s->since_ms = 0;
  if (verdict == VERDICT_TAKE) return take(p, table, setup, s, e);
  return s->row != 0 || look_since(p, table, setup, s, e); // one that was forgotten on purpose begins as if nothing had been
}

static bool start_row(struct postgres *p, const char *table, const struct target_setup *setup, struct target_stream *s, uint64_t start,
                      bool *stored, struct error *e) {
  // A row with a position of this very stream is somebody's who was faster: it is left alone, and looked at again.
  char *sql = memory_print(
      "INSERT INTO %s AS w (pipeline, sink, edge, source, partition, epoch, position, start, identity, fingerprint, witness, rows, "
      "superseded, dead, owner, seen) VALUES ($1, $2, $3, $4, $5, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, $6, $6, $7, $8, "
      "0, "
      "0, 0, 0, $9, clock_timestamp()) ON CONFLICT (pipeline, sink, edge, source, partition) DO UPDATE SET epoch = w.epoch + 1, "
      "position = excluded.position, start = excluded.start, identity = excluded.identity, fingerprint = excluded.fingerprint, "
      "witness = 0, owner = excluded.owner, seen = excluded.seen WHERE w.position IS NULL OR w.identity <> excluded.identity%s",
      table, returning);
  char *at = number((int64_t)start);
  struct postgres_param params[KEY_PARAMS + 4];
  put_key(params, setup, s->stream);
  params[5] = (struct postgres_param){.bytes = at};
  params[6] = (struct postgres_param){.bytes = s->stream->identity};
  params[7] = (struct postgres_param){.bytes = s->stream->fingerprint};
  params[8] = (struct postgres_param){.bytes = setup->owner};
  struct postgres_result *r = postgres_call(p, sql, params, KEY_PARAMS + 4, e);
  *stored = r && postgres_rows(r) > 0;
  if (*stored) take_row(s, r);
  postgres_result_free(r);
  free(at);
  free(sql);
  return r != NULL;
}

bool postgres_positions_start(struct postgres *p, const char *table, const struct target_setup *setup, struct target_stream *s,
                              uint64_t start, struct error *e) {
  enum target_verdict verdict;
  bool stored = false;
  while (!stored) {
    if (!look(p, table, setup, s, &verdict, e)) return false;
    if (verdict == VERDICT_TAKE) return take(p, table, setup, s, e);
    s->lost = verdict == VERDICT_LOST;
    if (s->lost) return true;
    if (!start_row(p, table, setup, s, start, &stored, e)) return false;
  }
  return true;
}

// ---- the fence

// (id, epoch, old position, new position, witness, rows, superseded, dead), ... of the streams that move; numbers only.
static size_t add_moves(struct buffer *sql, const struct target_streams *streams) {
  size_t count = 0;
  for (size_t i = 0; i < streams->count; i++) {
    const struct target_stream *s = &streams->at[i];
    if (!s->moves) continue;
    buffer_print(sql,
                 "%s(%" PRId64 "::bigint, %" PRIu64 "::bigint, %" PRIu64 "::bigint, %" PRIu64 "::bigint, %" PRId64 "::bigint, %" PRIu64
                 "::bigint, %" PRIu64 "::bigint, %" PRIu64 "::bigint)",
                 count++ ? ", " : "", s->row, s->epoch, s->position, s->next_position, (int64_t)s->next_witness, s->next.rows,
                 s->next.superseded, s->next.dead);
  }
  return count;
}

static bool is_held(const struct target_stream *s) {
  return s->found && !s->lost && !s->finished;
}

// A fence did not hold: who has the rows now. All streams that this sink still holds are looked at.
static bool see_why(struct postgres *p, const char *table, const struct target_setup *setup, struct target_streams *streams,
                    struct error *e) {
  size_t lost = 0;
  for (size_t i = 0; i < streams->count; i++) {
    struct target_stream *s = &streams->at[i];
    if (!is_held(s)) continue;
    char *row = number(s->row);
    struct postgres_param param = {.bytes = row};
    struct postgres_result *r = call(p, "SELECT epoch, owner FROM %s WHERE id = $1", table, &param, 1, e);
    free(row);
    if (!r) return false;
    s->lost = postgres_rows(r) > 0 && (uint64_t)postgres_int(r, 0, 0) != s->epoch && strcmp(postgres_text(r, 0, 1), setup->owner) != 0;
    lost += s->lost;
    postgres_result_free(r);
  }
  return target_fenced(lost, e);
}

bool postgres_positions_move(struct postgres *p, const char *table, const struct target_setup *setup, struct target_streams *streams,
                             struct error *e) {
  struct buffer sql = {0};
  buffer_text(&sql, "BEGIN; WITH want (id, epoch, was, becomes, witness, rows, superseded, dead) AS (VALUES ");
  size_t count = add_moves(&sql, streams);
  // Division by zero is how the statement fails in the server: nothing behind it is executed, whatever was sent already.
  buffer_print(&sql,
               "), moved AS (UPDATE %s AS w SET position = want.becomes, witness = want.witness, rows = want.rows, "
               "superseded = want.superseded, dead = want.dead, seen = clock_timestamp() FROM want "
               "WHERE w.id = want.id AND w.epoch = want.epoch AND w.position = want.was RETURNING 1) "
               "SELECT 1 / (count(*) = %zu)::int FROM moved",
               table, count);
  bool held = postgres_exec(p, buffer_cstring(&sql), e);
  buffer_free(&sql);
  if (held || !postgres_is_sound(p)) return held;
  struct error rollback = {0};
  if (!postgres_exec(p, "ROLLBACK", &rollback))
    *e = rollback;
  else if (strcmp(e->code, "22012") == 0)
    return see_why(p, table, setup, streams, e);
  return false;
}

bool postgres_positions_totals(struct postgres *p, const char *table, const struct target_streams *streams, struct error *e) {
  struct buffer sql = {0};
  buffer_print(&sql, "UPDATE %s AS w SET rows = n.rows, superseded = n.superseded, dead = n.dead FROM (VALUES ", table);
  add_moves(&sql, streams);
  buffer_text(&sql, ") AS n (id, epoch, was, becomes, witness, rows, superseded, dead) WHERE w.id = n.id");
  bool ok = postgres_exec(p, buffer_cstring(&sql), e);
  buffer_free(&sql);
  return ok;
}

bool postgres_positions_beat(struct postgres *p, const char *table, const struct target_setup *setup, struct target_streams *streams,
                             struct error *e) {
  struct buffer sql = {0};
  size_t count = 0;
  buffer_print(&sql, "WITH u AS (UPDATE %s AS w SET seen = clock_timestamp() FROM (VALUES ", table);
  for (size_t i = 0; i < streams->count; i++) {
    const struct target_stream *s = &streams->at[i];
    if (is_held(s)) buffer_print(&sql, "%s(%" PRId64 "::bigint, %" PRIu64 "::bigint)", count++ ? ", " : "", s->row, s->epoch);
  }
  buffer_text(&sql, ") AS n (id, epoch) WHERE w.id = n.id AND w.epoch = n.epoch RETURNING 1) SELECT count(*) FROM u");
  struct postgres_result *r = count > 0 ? postgres_query(p, buffer_cstring(&sql), e) : NULL;
  bool good = count == 0 || r, all = !r || (size_t)postgres_int(r, 0, 0) == count;
  postgres_result_free(r);
  buffer_free(&sql);
  return good && (all || see_why(p, table, setup, streams, e));
}

bool postgres_positions_release(struct postgres *p, const char *table, const struct target_setup *setup,
                                struct target_stream *const *streams, size_t count, struct error *e) {
  struct buffer sql = {0};
  // A row that somebody has locked is being taken over: it is left to him.
  buffer_print(&sql, "UPDATE %s SET owner = $1 WHERE id IN (SELECT w.id FROM %s AS w, (VALUES ", table, table);
  for (size_t i = 0; i < count; i++)
    buffer_print(&sql, "%s(%" PRId64 "::bigint, %" PRIu64 "::bigint)", i ? ", " : "", streams[i]->row, streams[i]->epoch);
  buffer_text(&sql, ") AS n (id, epoch) WHERE w.id = n.id AND w.epoch = n.epoch FOR UPDATE OF w SKIP LOCKED)");
  char *left = owner_left(setup->owner);
  struct postgres_param param = {.bytes = left};
  struct postgres_result *r = postgres_call(p, buffer_cstring(&sql), &param, 1, e);
  postgres_result_free(r);
  free(left);
  buffer_free(&sql);
  return r != NULL;
}

// ---- all streams of a sink

bool postgres_positions_rows(struct postgres *p, const char *table, const struct target_setup *setup, uint64_t *rows, struct error *e) {
  struct postgres_param params[] = {{.bytes = setup->pipeline}, {.bytes = setup->sink}};
  struct postgres_result *r =
      call(p, "SELECT coalesce(sum(rows), 0)::bigint FROM %s WHERE pipeline = $1 AND sink = $2", table, params, 2, e);
  if (r) *rows = (uint64_t)postgres_int(r, 0, 0);
  postgres_result_free(r);
  return r != NULL;
}

bool postgres_positions_forget(struct postgres *p, const char *table, const struct target_setup *setup, struct error *e) {
  static const char sql[] = "UPDATE %s SET epoch = epoch + 1, position = NULL, rows = 0, superseded = 0, dead = 0 "
                            "WHERE pipeline = $1 AND sink = $2 AND rows > 0";
  struct postgres_param params[] = {{.bytes = setup->pipeline}, {.bytes = setup->sink}};
  struct postgres_result *r = call(p, sql, table, params, 2, e);
  postgres_result_free(r);
  return r != NULL;
}
