// SQLite as a target: rows, positions and dead letters in one transaction of one file.
//
// Called by the sink core through struct target_kind. The transaction is BEGIN IMMEDIATE, so nobody else writes while it runs, and a row
// that the database refuses fails alone: there is nothing to search for.
//
// A file that was removed or replaced while it is open would take everything and keep nothing: each commit looks for that (ERROR_REWIND).
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/limits.h"
#include "proto/log.h"
#include "shm/crash_point.h"
#include "workers/clients/sqlite.h"
#include "workers/sinks/keys.h"
#include "workers/sinks/look.h"
#include "workers/sinks/row.h"
#include "workers/sinks/sqlite_dead.h"
#include "workers/sinks/sqlite_positions.h"
#include "workers/sinks/sqlite_table.h"
#include "workers/sinks/table_settings.h"
#include "workers/sinks/target.h"
#include "workers/sinks/url.h"

enum { BUSY_MS = 2000 };

struct sqlite_target {
  struct target base;
  struct table_settings settings;
  char *path;
  struct sqlite *db; // NULL: closed
  struct table table;
  bool exists;           // the table is there; else `table` holds what is known of its columns
  char *insert_sql;      // for the columns in use
  size_t insert_columns; // how many those are
  int64_t schema;        // SQLite's count of changes to tables, when ours was looked at
  int64_t data_version;  // SQLite's mark of other connections' writes, when the fence was looked at; 0: never
  struct row row;
  struct keys keys;
  struct sqlite_dead dead;
};

static struct sqlite_target *own(struct target *t) {
  return (struct sqlite_target *)t;
}

static struct target *target_make(const struct target_setup *setup, struct error *e) {
  (void)e;
  struct sqlite_target *t = memory_get(sizeof *t);
  t->base = (struct target){.kind = &target_sqlite, .setup = *setup};
  table_settings_read(&t->settings, setup->settings);
  t->table.label = t->settings.table;
  table_expect(&t->table, setup->settings);
  t->table.deletes = t->settings.deletes;
  t->path = url_sqlite_path(t->settings.url);
  return &t->base;
}

static void target_close(struct target *base) {
  struct sqlite_target *t = own(base);
  sqlite_close(t->db);
  t->db = NULL;
  t->data_version = 0; // it counts for one connection
}

static void target_free(struct target *base) {
  struct sqlite_target *t = own(base);
  target_close(base);
  table_tell_ignored(&t->table);
  table_free(&t->table);
  table_settings_free(&t->settings);
  row_free(&t->row);
  keys_free(&t->keys);
  free(t->path);
  free(t->insert_sql);
  free(t);
}

// ---- opening

// The rows that the positions speak of are gone with their table: an upsert is filled again, an appended table asks the operator.
static bool begin_again_when_emptied(struct sqlite_target *t, struct error *e) {
  uint64_t rows;
  bool empty = true;
  if (t->exists && !sqlite_table_is_empty(t->db, t->settings.table, &empty, e)) return false;
  if (!empty) return true;
  if (!sqlite_positions_rows(t->db, &t->base.setup, &rows, e)) return false;
  if (rows == 0 || (t->exists && (t->settings.go_on_when_emptied || t->settings.deletes))) return true;
  if (t->exists && !t->settings.upsert) {
    table_emptied(&t->base.setup, t->settings.table, rows, e);
    return false;
  }
  log_say(LOG_LEVEL_WARN, "table %s is %s, though rows were stored in it: it is filled again from the start", t->settings.table,
          t->exists ? "empty" : "gone");
  return sqlite_positions_forget(t->db, &t->base.setup, e);
}

static bool make_table(struct sqlite_target *t, struct error *e) {
  char *sql = sqlite_table_create_sql(&t->table, t->settings.table);
  t->exists = sqlite_exec(t->db, sql, e);
  if (t->exists) log_say(LOG_LEVEL_INFO, "table made: %s", sql);
  free(sql);
  return t->exists;
}

// Reads the table as it is now; where there is none, what is known of the one to be made.
static bool read_table(struct sqlite_target *t, struct error *e) {
  table_clear(&t->table);
  if (!sqlite_table_read(t->db, t->settings.table, &t->table, &t->exists, e)) return false;
  if (t->exists) return table_mark_key(&t->table, t->settings.key, e);
  if (!t->settings.create) {
    error_set(e, ERROR_OPERATOR, "no-table", "table %s does not exist, and `create: false` forbids to make it", t->settings.table);
    return false;
  }
  int known = table_add_known_columns(&t->table, t->base.setup.settings, e);
  return known == 0 || (known > 0 && table_mark_key(&t->table, t->settings.key, e));
}

// True when the table can be made before the first record: names and types are known.
static bool is_known(const struct table *t) {
  for (size_t i = 0; i < t->count; i++)
    if (t->columns[i].guessed) return false;
  return t->count > 0;
}

static bool open_table(struct sqlite_target *t, struct error *e) {
  if (!read_table(t, e) || !begin_again_when_emptied(t, e)) return false;
  if (!t->exists && is_known(&t->table) && !make_table(t, e)) return false;
  return !t->exists || !t->settings.upsert || sqlite_table_check_key(t->db, t->settings.table, &t->table, e);
}

static bool schema_of(struct sqlite_target *t, int64_t *schema, struct error *e) {
  return sqlite_one_int(t->db, "PRAGMA schema_version", 0, schema, e);
}

static bool make_all(struct sqlite_target *t, struct error *e) {
  if (!sqlite_begin(t->db, e)) return false;
  if (sqlite_positions_make(t->db, e) && sqlite_dead_make(t->db, e) && open_table(t, e) && schema_of(t, &t->schema, e) &&
      sqlite_commit(t->db, e))
    return true;
  sqlite_rollback(t->db);
  return false;
}

static bool target_open(struct target *base, bool *fresh, struct error *e) {
  struct sqlite_target *t = own(base);
  *fresh = t->db == NULL;
  if (t->db) return true;
  t->db = sqlite_open(t->path, SQLITE_MAKE, BUSY_MS, e);
  if (t->db && make_all(t, e)) {
    sqlite_dead_use(&t->dead, t->db, base->setup.dead_store_bytes);
    return true;
  }
  target_close(base);
  return false;
}

static bool target_attach(struct target *base, struct target_stream **streams, size_t count, struct error *e) {
  return sqlite_positions_attach(own(base)->db, &base->setup, streams, count, e);
}

static bool target_look(struct target *base, const struct target_stream *s, bool *there, uint64_t *epoch, struct target_totals *totals,
                        struct error *e) {
  return sqlite_positions_look(own(base)->db, &base->setup, s, there, epoch, totals, e);
}

static bool target_start(struct target *base, struct target_stream *s, uint64_t start, struct error *e) {
  return sqlite_positions_start(own(base)->db, &base->setup, s, start, e);
}

// ---- before a batch: the table fits its rows

static bool add_columns(struct sqlite_target *t, const struct table *added, struct error *e) {
  for (size_t i = 0; i < added->count; i++) {
    const struct column *c = &added->columns[i];
    if (table_find(&t->table, c->name, c->length) != TABLE_NO_COLUMN) continue; // another lane was faster
    char *sql = sqlite_table_add_sql(c, t->settings.table);
    bool ok = sqlite_exec(t->db, sql, e);
    if (ok) log_say(LOG_LEVEL_INFO, "column added: %s", sql);
    free(sql);
    if (!ok) return false;
  }
  return true;
}

static bool make_from_rows(struct sqlite_target *t, const struct table *seen, struct error *e) {
  for (size_t i = 0; i < seen->count; i++) {
    const struct column *c = &seen->columns[i];
    if (table_find(&t->table, c->name, c->length) == TABLE_NO_COLUMN) table_add(&t->table, c->name, c->type);
  }
  return table_mark_key(&t->table, t->settings.key, e) && make_table(t, e);
}

// Makes or widens the table, then reads it as it is. `seen`: columns that the batch has and the table lacks.
static bool change_table(struct sqlite_target *t, const struct batch *b, const struct table *seen, struct error *e) {
  if (!sqlite_begin(t->db, e)) return false;
  bool good = read_table(t, e);
  if (good && !t->exists) {
    batch_look(b, &t->table, NULL, 0); // types that can only be guessed
    good = make_from_rows(t, seen, e);
  } else if (good)
    good = add_columns(t, seen, e);
  if (good && read_table(t, e) && schema_of(t, &t->schema, e) && sqlite_commit(t->db, e)) return true;
  sqlite_rollback(t->db);
  return false;
}

// Somebody has made, changed or dropped a table: ours is looked at as at the start. What was stored in one that is gone is gone with it.
static bool look_again(struct sqlite_target *t, struct error *e) {
  int64_t schema;
  if (!schema_of(t, &schema, e)) return false;
  return schema == t->schema || make_all(t, e);
}

static bool target_prepare(struct target *base, struct batch *b, struct error *e) {
  struct sqlite_target *t = own(base);
  if (!look_again(t, e)) return false;
  if (t->exists && !t->settings.evolve && table_is_settled(&t->table)) return true;
  struct table seen = {0};
  bool collect = !t->exists || t->settings.evolve, good = true;
  bool rows = batch_look(b, &t->table, collect ? &seen : NULL, LIMIT_NAME);
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

// The statements of a batch.
struct writing {
  struct sqlite_query *insert, *remove; // `remove` NULL: the batch deletes nothing
};

static bool prepare_delete(struct sqlite_target *t, struct sqlite_query **q, struct error *e) {
  char *sql = sqlite_table_delete_sql(&t->table, t->settings.table);
  *q = sqlite_prepare(t->db, sql, e);
  free(sql);
  return *q != NULL;
}

static bool prepare_insert(struct sqlite_target *t, struct sqlite_query **q, struct error *e) {
  size_t used = 0;
  for (size_t i = 0; i < t->table.count; i++) used += t->table.columns[i].used;
  if (!t->insert_sql || used != t->insert_columns) {
    free(t->insert_sql);
    t->insert_sql = sqlite_table_insert_sql(&t->table, t->settings.table, t->settings.upsert);
    t->insert_columns = used;
  }
  *q = sqlite_prepare(t->db, t->insert_sql, e);
  return *q != NULL;
}

// Times are stored as ISO-8601 text, which sorts and reads well; it lies in the column's scratch buffer until the row is in.
static void bind_time(struct sqlite_query *q, int index, struct buffer *scratch, const struct cell *c) {
  buffer_clear(scratch);
  buffer_reserve(scratch, CLOCK_TEXT);
  int64_t micros = c->kind == CELL_DAY ? c->i * 86400 * 1000000 : c->i;
  scratch->length = clock_print(micros, (char *)scratch->at);
  sqlite_bind_text(q, index, (const char *)scratch->at, c->kind == CELL_DAY ? strlen("2025-11-08") : scratch->length);
}

static void bind_cell(struct sqlite_query *q, int index, struct buffer *scratch, const struct cell *c) {
  switch (c->kind) {
  case CELL_NULL: sqlite_bind_null(q, index); return;
  case CELL_BOOL: sqlite_bind_int(q, index, c->boolean); return;
  case CELL_INT: sqlite_bind_int(q, index, c->i); return;
  case CELL_DOUBLE: sqlite_bind_double(q, index, c->d); return;
  case CELL_TEXT: sqlite_bind_text(q, index, (const char *)c->bytes, c->length); return;
  case CELL_BYTES: sqlite_bind_blob(q, index, c->bytes, c->length); return;
  case CELL_TIME:
  case CELL_DAY: bind_time(q, index, scratch, c); return;
  }
}

static bool insert_row(struct sqlite_target *t, struct sqlite_query *q, struct error *e) {
  int index = 1;
  for (size_t i = 0; i < t->table.count; i++)
    if (t->table.columns[i].used) bind_cell(q, index++, &t->row.scratch[i], &t->row.cells[i]);
  return sqlite_run(q, e);
}

static bool delete_row(struct sqlite_target *t, struct sqlite_query *q, struct error *e) {
  int index = 1;
  for (size_t i = 0; i < t->table.count; i++)
    if (t->table.columns[i].key) bind_cell(q, index++, &t->row.scratch[i], &t->row.cells[i]);
  return sqlite_run(q, e);
}

// "UNIQUE constraint failed: events.id, events.lon" or "CHECK constraint failed: positive": what stands behind the colon.
static const char *constraint_of(const char *text) {
  static const char mark[] = "constraint failed: ";
  const char *found = strstr(text, mark);
  return found ? found + strlen(mark) : NULL;
}

static void kill_refused(struct batch *b, struct batch_row *row, const struct error *e) {
  const char *constraint = constraint_of(e->text);
  const char *column = constraint && strcmp(e->code, "not-null") == 0 ? strrchr(constraint, '.') : NULL;
  batch_kill(b, row, e->text, e->code, column ? column + 1 : NULL, constraint);
}

// Marks the rows that a later one of the batch replaces.
static void mark_superseded(struct sqlite_target *t, struct batch *b) {
  keys_begin(&t->keys, b->count);
  for (uint32_t i = 0; i < b->count; i++) {
    if (b->rows[i].state != ROW_LIVE || b->rows[i].is_letter || !row_read_or_kill(&t->row, &t->table, b, &b->rows[i])) continue;
    uint32_t earlier = keys_put(&t->keys, &t->table, &t->row, i);
    if (earlier != KEY_NONE) b->rows[earlier].state = ROW_SUPERSEDED;
  }
}

// Writes one row. A row that the database refuses is dead, and the one that it had superseded comes back in its place.
static bool write_row(struct sqlite_target *t, const struct writing *q, struct batch *b, uint32_t index, struct error *e) {
  while (index != KEY_NONE) {
    struct batch_row *row = &b->rows[index];
    row->state = ROW_LIVE;
    if (row_read_or_kill(&t->row, &t->table, b, row)) {
      if (row->is_delete ? delete_row(t, q->remove, e) : insert_row(t, q->insert, e)) return true;
      if (e->class != ERROR_DATA) return false;
      kill_refused(b, row, e);
      error_clear(e);
    }
    index = t->settings.upsert ? t->keys.entries[index].previous : KEY_NONE;
  }
  return true;
}

// Without a table: every row is one that no table can be made of. There is nothing that a tombstone could delete, and it is no row that was
// stored.
static bool kill_all(struct sqlite_target *t, struct batch *b) {
  for (size_t i = 0; i < b->count; i++) {
    struct batch_row *row = &b->rows[i];
    if (row->state != ROW_LIVE || row->is_letter) continue;
    if (row->is_delete && t->table.deletes)
      row->state = ROW_SUPERSEDED;
    else
      row_read_or_kill(&t->row, &t->table, b, row);
  }
  return true;
}

static bool write_rows(struct sqlite_target *t, struct batch *b, struct error *e) {
  struct writing q = {0};
  if (!t->exists) return kill_all(t, b); // no record has had a field yet
  if (t->settings.upsert) mark_superseded(t, b);
  if (!prepare_insert(t, &q.insert, e) || (b->deletes > 0 && t->table.deletes && !prepare_delete(t, &q.remove, e))) return false;
  for (uint32_t i = 0; i < b->count; i++) {
    if (b->rows[i].state != ROW_LIVE || b->rows[i].is_letter) continue;
    if (!write_row(t, &q, b, i, e)) return false;
  }
  return true;
}

// Under the write lock nothing changes any more.
static bool is_unchanged(struct sqlite_target *t, struct error *e) {
  int64_t schema;
  if (!schema_of(t, &schema, e)) return false;
  if (schema == t->schema) return true;
  error_set(e, ERROR_OUTAGE, "table-changed", "tables were changed a moment ago: table %s is looked at again", t->settings.table);
  return false;
}

static bool write_all(struct sqlite_target *t, struct batch *b, struct target_streams *streams, struct error *e) {
  const struct target_setup *setup = &t->base.setup;
  if (!is_unchanged(t, e)) return false;
  target_count(b, streams);
  if (!sqlite_positions_move(t->db, setup, streams, e)) return false;
  CRASH_POINT("sink.after_fence");
  if (!write_rows(t, b, e)) return false;
  CRASH_POINT("sink.after_rows");
  if (!sqlite_dead_add_batch(&t->dead, setup, streams, b, e)) return false;
  CRASH_POINT("sink.after_dead");
  target_count(b, streams); // rows may have died or been superseded meanwhile
  if (!sqlite_positions_totals(t->db, streams, e) || !setup->may_commit(setup->context, b, e)) return false;
  CRASH_POINT("sink.before_commit");
  return sqlite_commit(t->db, e);
}

static bool target_commit(struct target *base, struct batch *b, struct target_streams *streams, struct error *e) {
  struct sqlite_target *t = own(base);
  if (sqlite_has_moved(t->db)) {
    error_set(e, ERROR_REWIND, "moved", "the file %s was removed or replaced while it was in use", t->path);
    return false;
  }
  CRASH_POINT("sink.before_fence");
  if (!sqlite_begin(t->db, e)) return false;
  if (write_all(t, b, streams, e)) {
    target_moved(streams);
    return true;
  }
  sqlite_rollback(t->db);
  // After a failed write nothing is known of the connection: it is opened again, and the streams are taken over again.
  bool known = strcmp(e->code, "busy") == 0 || strcmp(e->code, "dead-full") == 0 || strcmp(e->code, "table-changed") == 0;
  if (e->class == ERROR_OUTAGE && !known) target_close(base);
  return false;
}

// An idle owner that was taken over learns it here. It only looks, and only when somebody else has written the file; a look that fails says
// nothing: the next commit will.
static bool target_beat(struct target *base, struct target_streams *streams, struct error *e) {
  struct sqlite_target *t = own(base);
  struct error why = {0};
  int64_t version;
  if (!t->db || !sqlite_one_int(t->db, "PRAGMA data_version", 0, &version, &why) || version == t->data_version) return true;
  if (!sqlite_positions_hold(t->db, &base->setup, streams, &why)) {
    if (why.class != ERROR_FENCED && why.class != ERROR_REWIND) return true;
    *e = why;
    return false;
  }
  t->data_version = version;
  return true;
}

static bool target_release(struct target *base, struct target_stream *const *streams, size_t count, struct error *e) {
  struct sqlite_target *t = own(base);
  return !t->db || sqlite_positions_release(t->db, &base->setup, streams, count, e);
}

const struct target_kind target_sqlite = {
    .name = "sqlite",
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
