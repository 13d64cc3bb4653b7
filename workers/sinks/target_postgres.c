// PostgreSQL as a target: rows, positions and dead letters in one transaction.
//
// Called by the sink core through struct target_kind. Three round trips a batch: BEGIN with the fence; the rows; COMMIT.
//
// Whoever waits long for a fence's row waits for an owner that hangs in the middle of a transaction (a frozen machine, an open COPY): its
// backend is ended by ours, which the same role may do.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/log.h"
#include "shm/crash_point.h"
#include "workers/clients/postgres.h"
#include "workers/sinks/look.h"
#include "workers/sinks/postgres_dead.h"
#include "workers/sinks/postgres_positions.h"
#include "workers/sinks/postgres_rows.h"
#include "workers/sinks/postgres_table.h"
#include "workers/sinks/table_settings.h"
#include "workers/sinks/target.h"

enum { STATEMENT_MOST_MS = 3600000 };

struct postgres_target {
  struct target base;
  struct table_settings settings;
  struct postgres_names names;
  char *application;
  uint64_t connect_ms, statement_ms;
  struct postgres *p; // NULL: closed
  bool fence_wanted;  // what we wait for is a fence's row
  struct table table;
  bool exists;       // the table is there; else `table` holds what is known of its columns
  uint32_t relation; // its oid
  struct postgres_rows rows;
  struct postgres_dead dead;
};

static struct postgres_target *own(struct target *t) {
  return (struct postgres_target *)t;
}

static struct target *target_make(const struct target_setup *setup, struct error *e) {
  (void)e;
  struct postgres_target *t = memory_get(sizeof *t);
  t->base = (struct target){.kind = &target_postgres, .setup = *setup};
  table_settings_read(&t->settings, setup->settings);
  t->table.label = t->settings.table;
  table_expect(&t->table, setup->settings);
  t->table.deletes = t->settings.deletes;
  postgres_names_make(&t->names, t->settings.table);
  t->application = memory_print("weir %s/%s", setup->pipeline, setup->sink);
  t->connect_ms = (uint64_t)job_int(setup->settings, "connect_timeout", 10000);
  t->statement_ms = (uint64_t)job_int(setup->settings, "statement_timeout", 60000);
  t->rows = (struct postgres_rows){.table = &t->table, .quoted = t->names.table, .upsert = t->settings.upsert};
  return &t->base;
}

static void target_close(struct target *base) {
  struct postgres_target *t = own(base);
  postgres_close(t->p);
  t->p = NULL;
}

static void target_free(struct target *base) {
  struct postgres_target *t = own(base);
  target_close(base);
  table_tell_ignored(&t->table);
  table_settings_free(&t->settings);
  postgres_names_free(&t->names);
  table_free(&t->table);
  postgres_rows_free(&t->rows);
  free(t->application);
  free(t);
}

// ---- waiting

static struct postgres_options options_of(const struct postgres_target *t) {
  return (struct postgres_options){
      .url = t->settings.url, .application = t->application, .connect_ms = t->connect_ms, .statement_ms = t->statement_ms};
}

// From a second connection, since ours waits. Only sessions of weir under the same role are ended.
static void end_blockers(struct postgres_target *t) {
  struct error e = {0};
  struct postgres_options options = options_of(t);
  struct postgres *other = postgres_open(&options, &e);
  char *sql = memory_print("SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity "
                           "WHERE pid = ANY (pg_blocking_pids(%d)) AND usename = current_user AND application_name LIKE 'weir %%'",
                           postgres_backend_pid(t->p));
  struct postgres_result *r = other ? postgres_query(other, sql, &e) : NULL;
  if (!r)
    log_say(LOG_LEVEL_WARN, "cannot end the sessions that hold the fence: %s", e.text);
  else if (postgres_int(r, 0, 0) > 0)
    log_say(LOG_LEVEL_WARN, "sessions of an earlier owner held the fence and were ended");
  postgres_result_free(r);
  postgres_close(other);
  free(sql);
}

static void tick(void *context, unsigned seconds) {
  struct postgres_target *t = context;
  const struct target_setup *setup = &t->base.setup;
  setup->tick(setup->context, t->fence_wanted ? "waiting for the fence in PostgreSQL" : "waiting for PostgreSQL", seconds);
  if (t->p && t->fence_wanted && seconds > 0 && seconds % TARGET_LOCK_SECONDS == 0) end_blockers(t);
}

// ---- opening

// The rows that the positions speak of are gone with their table: an upsert is filled again, an appended table asks the operator.
static bool begin_again_when_emptied(struct postgres_target *t, struct error *e) {
  uint64_t rows;
  bool empty = true;
  // The positions are read first: rows that they count are visible to the later look at the table. The other way round, another lane's
  // commit between the two would make a table look emptied.
  if (!postgres_positions_rows(t->p, t->names.positions, &t->base.setup, &rows, e)) return false;
  if (rows == 0 || (t->exists && (t->settings.go_on_when_emptied || t->settings.deletes))) return true;
  if (t->exists && !postgres_table_is_empty(t->p, t->names.table, &empty, e)) return false;
  if (!empty) return true;
  if (t->exists && !t->settings.upsert) {
    table_emptied(&t->base.setup, t->settings.table, rows, e);
    return false;
  }
  log_say(LOG_LEVEL_WARN, "table %s is %s, though rows were stored in it: it is filled again from the start", t->settings.table,
          t->exists ? "empty" : "gone");
  return postgres_positions_forget(t->p, t->names.positions, &t->base.setup, e);
}

static bool make_table(struct postgres_target *t, struct error *e) {
  char *sql = postgres_table_create_sql(&t->table, t->names.table);
  t->exists = postgres_exec(t->p, sql, e);
  if (t->exists) log_say(LOG_LEVEL_INFO, "table made: %s", sql);
  free(sql);
  return t->exists;
}

// Reads the table as it is now; where there is none, what is known of the one to be made.
static bool read_table(struct postgres_target *t, struct error *e) {
  table_clear(&t->table);
  if (!postgres_table_exists(t->p, t->names.table, &t->exists, e)) return false;
  if (t->exists)
    return postgres_table_read(t->p, t->names.table, &t->table, &t->relation, e) && table_mark_key(&t->table, t->settings.key, e);
  if (!t->settings.create) {
    error_set(e, ERROR_OPERATOR, "no-table", "table %s does not exist, and `create: false` forbids to make it", t->settings.table);
    return false;
  }
  int known = table_add_known_columns(&t->table, t->base.setup.settings, e);
  return known == 0 || (known > 0 && table_mark_key(&t->table, t->settings.key, e));
}

static bool is_known(const struct table *t) {
  for (size_t i = 0; i < t->count; i++)
    if (t->columns[i].guessed) return false;
  return t->count > 0;
}

// A table that weir has just made knows its oids only when it is read.
static bool make_and_read(struct postgres_target *t, struct error *e) {
  return make_table(t, e) && read_table(t, e);
}

static bool open_table(struct postgres_target *t, struct error *e) {
  if (!read_table(t, e) || !begin_again_when_emptied(t, e)) return false;
  if (!t->exists && is_known(&t->table) && !make_and_read(t, e)) return false;
  return !t->exists || !t->settings.upsert || postgres_table_check_key(t->p, t->names.table, &t->table, e);
}

static bool make_own_tables(struct postgres_target *t, struct error *e) {
  bool positions, dead;
  if (!postgres_table_exists(t->p, t->names.positions, &positions, e) || !postgres_table_exists(t->p, t->names.dead, &dead, e))
    return false;
  if (!positions && !postgres_positions_make(t->p, t->names.positions, e)) return false;
  return dead ? postgres_dead_mend(t->p, t->names.dead, e) : postgres_dead_make(t->p, t->names.dead, e);
}

// Lanes that start together make and change tables one after the other.
static bool begin_alone(struct postgres_target *t, struct error *e) {
  return postgres_exec(t->p, "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('weir', 0))", e);
}

// Ends a transaction of ours: commits it when the work in it went well.
static bool end(struct postgres_target *t, bool good, struct error *e) {
  if (good) return postgres_exec(t->p, "COMMIT", e);
  struct error rollback = {0};
  if (!postgres_is_sound(t->p) || !postgres_exec(t->p, "ROLLBACK", &rollback)) target_close(&t->base);
  return false;
}

static bool target_open(struct target *base, bool *fresh, struct error *e) {
  struct postgres_target *t = own(base);
  if (t->p && !postgres_is_sound(t->p)) target_close(base);
  *fresh = t->p == NULL;
  if (t->p) return true;
  struct postgres_options options = options_of(t);
  options.tick = tick;
  options.context = t;
  t->p = postgres_open(&options, e);
  if (!t->p) return false;
  log_say(LOG_LEVEL_INFO, "connected to PostgreSQL at %s: %s", postgres_place(t->p), postgres_line(t->p));
  t->dead = (struct postgres_dead){.table = t->names.dead, .most = base->setup.dead_store_bytes};
  if (end(t, begin_alone(t, e) && make_own_tables(t, e) && open_table(t, e), e)) return true;
  target_close(base);
  return false;
}

static bool target_attach(struct target *base, struct target_stream **streams, size_t count, struct error *e) {
  struct postgres_target *t = own(base);
  bool good = true;
  t->fence_wanted = true;
  for (size_t i = 0; i < count && good; i++) good = postgres_positions_attach(t->p, t->names.positions, &base->setup, streams[i], e);
  t->fence_wanted = false;
  return good;
}

static bool target_look(struct target *base, const struct target_stream *s, bool *there, uint64_t *epoch, struct target_totals *totals,
                        struct error *e) {
  return postgres_positions_look(own(base)->p, own(base)->names.positions, &base->setup, s, there, epoch, totals, e);
}

static bool target_start(struct target *base, struct target_stream *s, uint64_t start, struct error *e) {
  struct postgres_target *t = own(base);
  t->fence_wanted = true;
  bool good = postgres_positions_start(t->p, t->names.positions, &base->setup, s, start, e);
  t->fence_wanted = false;
  return good;
}

// ---- before a batch: the table fits its rows

static bool add_columns(struct postgres_target *t, const struct table *added, struct error *e) {
  for (size_t i = 0; i < added->count; i++) {
    const struct column *c = &added->columns[i];
    if (table_find(&t->table, c->name, c->length) != TABLE_NO_COLUMN) continue; // another lane was faster
    char *sql = postgres_table_add_sql(c, t->names.table);
    bool ok = postgres_exec(t->p, sql, e);
    if (ok) log_say(LOG_LEVEL_INFO, "column added: %s", sql);
    free(sql);
    if (!ok) return false;
  }
  return true;
}

static bool make_from_rows(struct postgres_target *t, const struct table *seen, struct error *e) {
  for (size_t i = 0; i < seen->count; i++) {
    const struct column *c = &seen->columns[i];
    if (table_find(&t->table, c->name, c->length) == TABLE_NO_COLUMN) table_add(&t->table, c->name, c->type);
  }
  return table_mark_key(&t->table, t->settings.key, e) && make_table(t, e);
}

// Makes or widens the table, then reads it as it is. `seen`: columns that the batch has and the table lacks.
static bool change_table(struct postgres_target *t, const struct batch *b, const struct table *seen, struct error *e) {
  bool good = begin_alone(t, e) && read_table(t, e);
  if (good && !t->exists) {
    batch_look(b, &t->table, NULL, 0); // types that can only be guessed
    good = make_from_rows(t, seen, e);
  } else if (good)
    good = add_columns(t, seen, e);
  return end(t, good && read_table(t, e), e);
}

static bool target_prepare(struct target *base, struct batch *b, struct error *e) {
  struct postgres_target *t = own(base);
  if (t->exists && !t->settings.evolve && table_is_settled(&t->table)) return true;
  // Tombstones look for the table that another lane may have made meanwhile.
  if (!t->exists && b->deletes > 0 && !read_table(t, e)) return false;
  struct table seen = {0};
  bool collect = !t->exists || t->settings.evolve, good = true;
  bool rows = batch_look(b, &t->table, collect ? &seen : NULL, POSTGRES_NAME_MOST);
  // What is known of a table that is not there yet is read again when a row comes.
  if (!rows && !t->exists) table_clear(&t->table);
  if (rows && (seen.count > 0 || (!t->exists && t->table.count > 0))) {
    good = change_table(t, b, &seen, e);
    if (good) batch_look(b, &t->table, NULL, 0); // what is in use now
  }
  table_free(&seen);
  return good;
}

// ---- the batch

static bool begin_fenced(struct postgres_target *t, const struct batch *b, struct target_streams *streams, struct error *e) {
  target_count(b, streams);
  t->fence_wanted = true;
  bool held = postgres_positions_move(t->p, t->names.positions, &t->base.setup, streams, e);
  t->fence_wanted = false;
  return held;
}

static bool has_changed(const struct target_streams *streams, const struct target_totals *before) {
  for (size_t i = 0; i < streams->count; i++)
    if (memcmp(&streams->at[i].next, &before[i], sizeof *before) != 0) return true;
  return false;
}

// The fence statement wrote the totals as they looked then; rows have died or been superseded since.
static bool correct_totals(struct postgres_target *t, const struct batch *b, struct target_streams *streams, struct error *e) {
  struct target_totals *before = memory_get((streams->count + 1) * sizeof *before);
  for (size_t i = 0; i < streams->count; i++) before[i] = streams->at[i].next;
  target_count(b, streams);
  bool ok = !has_changed(streams, before) || postgres_positions_totals(t->p, t->names.positions, streams, e);
  free(before);
  return ok;
}

static bool commit(struct postgres_target *t, struct error *e) {
  if (!t->exists) return postgres_exec(t->p, "COMMIT", e); // marks alone, before the first row
  char *sql = postgres_table_commit_sql(&t->table, t->relation);
  bool done = postgres_exec(t->p, sql, e);
  free(sql);
  if (!done && strcmp(e->code, "22012") == 0)
    error_set(e, ERROR_OUTAGE, "table-changed", "table %s was changed while it was in use: it is looked at again", t->settings.table);
  return done;
}

// Everything between the rows and the end of the commit.
static bool finish(struct postgres_target *t, const struct batch *b, struct target_streams *streams, struct error *e) {
  const struct target_setup *setup = &t->base.setup;
  CRASH_POINT("sink.after_rows");
  if (!postgres_dead_add_batch(&t->dead, t->p, setup, streams, b, e)) return false;
  CRASH_POINT("sink.after_dead");
  if (!correct_totals(t, b, streams, e) || !setup->may_commit(setup->context, b, e)) return false;
  CRASH_POINT("sink.before_commit");
  return commit(t, e);
}

static bool write_at_once(struct postgres_target *t, struct batch *b, struct target_streams *streams, struct error *e) {
  postgres_rows_take(&t->rows, t->p, b);
  CRASH_POINT("sink.before_fence");
  if (!begin_fenced(t, b, streams, e)) return false;
  CRASH_POINT("sink.after_fence");
  return postgres_rows_send(&t->rows, e) && finish(t, b, streams, e);
}

static bool write_searching(struct postgres_target *t, struct batch *b, struct target_streams *streams, struct error *e) {
  error_clear(e);
  return postgres_exec(t->p, "ROLLBACK", e) && begin_fenced(t, b, streams, e) && postgres_rows_search(&t->rows, e) &&
         finish(t, b, streams, e);
}

static bool target_commit(struct target *base, struct batch *b, struct target_streams *streams, struct error *e) {
  struct postgres_target *t = own(base);
  bool good = write_at_once(t, b, streams, e);
  if (!good && e->class == ERROR_DATA) good = write_searching(t, b, streams, e);
  if (good) {
    target_moved(streams);
    return true;
  }
  if (e->class == ERROR_DATA) e->class = ERROR_FAULT; // every row was tried alone: this cannot be one's fault
  if (strcmp(e->code, "57014") == 0 && t->statement_ms < STATEMENT_MOST_MS) t->statement_ms *= 2; // more time for the next try
  struct error rollback = {0};
  bool passing = strcmp(e->code, "40001") == 0 || strcmp(e->code, "40P01") == 0 || strcmp(e->code, "dead-full") == 0;
  // What may come from the connection, or leave it in an unknown state, ends it: the streams are taken over again then.
  if ((e->class == ERROR_OUTAGE && !passing) || !postgres_is_sound(t->p) || !postgres_exec(t->p, "ROLLBACK", &rollback)) target_close(base);
  return false;
}

static bool target_beat(struct target *base, struct target_streams *streams, struct error *e) {
  struct postgres_target *t = own(base);
  if (postgres_positions_beat(t->p, t->names.positions, &base->setup, streams, e)) return true;
  if (!postgres_is_sound(t->p)) target_close(base);
  return false;
}

static bool target_release(struct target *base, struct target_stream *const *streams, size_t count, struct error *e) {
  struct postgres_target *t = own(base);
  if (!t->p || !postgres_is_sound(t->p)) return true;
  return postgres_positions_release(t->p, t->names.positions, &base->setup, streams, count, e);
}

const struct target_kind target_postgres = {
    .name = "postgresql",
    .make = target_make,
    .open = target_open,
    .close = target_close,
    .attach = target_attach,
    .look = target_look,
    .start = target_start,
    .prepare = target_prepare,
    .commit = target_commit,
    .beat = target_beat,
    .release = target_release,
    .free = target_free,
};
