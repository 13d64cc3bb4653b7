// Dead letters in SQLite.
#include "workers/sinks/sqlite_dead.h"

#include <stdlib.h>

#include "proto/clock.h"

enum { TEXTS = 7 }; // of a letter

static const char table_sql[] = "CREATE TABLE IF NOT EXISTS weir_dead ("
                                "id text NOT NULL PRIMARY KEY, pipeline text NOT NULL, node text NOT NULL, sink text NOT NULL, "
                                "source text NOT NULL, partition text NOT NULL, identity text NOT NULL, position bigint NOT NULL, "
                                "part bigint NOT NULL, reason text NOT NULL, code text NOT NULL, column_name text NOT NULL, "
                                "constraint_name text NOT NULL, format text NOT NULL, data blob NOT NULL, cut boolean NOT NULL, "
                                "first timestamp NOT NULL, last timestamp NOT NULL, again bigint NOT NULL, retry bigint, message text)";

static const char add_sql[] = "INSERT INTO weir_dead (id, pipeline, node, sink, source, partition, identity, position, part, reason, code, "
                              "column_name, constraint_name, format, data, cut, first, last, again, message) "
                              "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?17, ?18, ?19) "
                              "ON CONFLICT (id) DO UPDATE SET last = excluded.last";

bool sqlite_dead_make(struct sqlite *db, struct error *e) {
  static const char has_sql[] = "SELECT count(*) FROM pragma_table_info('weir_dead') WHERE name = 'message'";
  int64_t has = 0;
  if (!sqlite_exec(db, table_sql, e) || !sqlite_one_int(db, has_sql, 0, &has, e)) return false;
  // Tables of earlier versions have no place for keys and headers.
  if (has > 0 || sqlite_exec(db, "ALTER TABLE weir_dead ADD COLUMN message text", e)) return true;
  // Another sink of the same file may have been faster.
  struct error ignored = {0};
  if (!sqlite_one_int(db, has_sql, 0, &has, &ignored) || has == 0) return false;
  error_clear(e);
  return true;
}

void sqlite_dead_use(struct sqlite_dead *store, struct sqlite *db, uint64_t most) {
  *store = (struct sqlite_dead){.db = db, .most = most};
}

// Reads what the store really holds: the first time, and whenever it seems to be full (somebody may have made room).
static bool measure(struct sqlite_dead *store, struct error *e) {
  char *sql = memory_print("SELECT coalesce(sum(length(data) + coalesce(length(message), 0) + %d), 0) FROM weir_dead", DEAD_ENTRY_OVERHEAD);
  int64_t bytes = 0;
  bool ok = sqlite_one_int(store->db, sql, 0, &bytes, e);
  free(sql);
  store->bytes = (uint64_t)bytes;
  store->counted = ok;
  return ok;
}

static bool has_room(struct sqlite_dead *store, uint64_t more, struct error *e) {
  if (!store->counted || store->bytes + more > store->most)
    if (!measure(store, e)) return false;
  if (store->bytes + more <= store->most) return true;
  dead_store_full(store->job, store->bytes, store->most, e);
  return false;
}

// The letter's own texts, made valid; they stay until the statement has run.
static void bind_texts(struct sqlite_query *q, const struct dead_letter *l, char *texts[TEXTS]) {
  const struct {
    int index;
    const char *text;
    uint32_t length;
  } all[TEXTS] = {{3, l->node, l->node_length},       {10, l->reason, l->reason_length},         {11, l->code, l->code_length},
                  {12, l->column, l->column_length},  {13, l->constraint, l->constraint_length}, {14, l->format, l->format_length},
                  {19, l->message, l->message_length}};
  for (size_t i = 0; i < TEXTS; i++) {
    texts[i] = dead_text(all[i].text, all[i].length);
    sqlite_bind_text(q, all[i].index, texts[i], all[i].length);
  }
  if (l->message_length == 0) sqlite_bind_null(q, 19);
}

bool sqlite_dead_add(struct sqlite_dead *store, const struct dead_entry *entry, struct error *e) {
  if (!has_room(store, dead_entry_bytes(entry), e)) return false;
  struct sqlite_query *q = sqlite_prepare(store->db, add_sql, e);
  if (!q) return false;
  const struct dead_letter *l = &entry->letter;
  char now[CLOCK_TEXT], *texts[TEXTS];
  clock_print(entry->now, now);
  sqlite_bind_cstring(q, 1, entry->id);
  sqlite_bind_cstring(q, 2, entry->pipeline);
  sqlite_bind_cstring(q, 4, entry->sink);
  sqlite_bind_cstring(q, 5, entry->source);
  sqlite_bind_cstring(q, 6, entry->partition);
  sqlite_bind_cstring(q, 7, entry->identity);
  sqlite_bind_int(q, 8, (int64_t)entry->position);
  sqlite_bind_int(q, 9, entry->part);
  sqlite_bind_blob(q, 15, l->data, l->data_length);
  sqlite_bind_int(q, 16, l->cut);
  sqlite_bind_cstring(q, 17, now);
  sqlite_bind_int(q, 18, entry->again);
  bind_texts(q, l, texts);
  bool good = sqlite_run(q, e);
  for (size_t i = 0; i < TEXTS; i++) free(texts[i]);
  if (!good) return false;
  store->bytes += dead_entry_bytes(entry);
  return true;
}

bool sqlite_dead_add_batch(struct sqlite_dead *store, const struct target_setup *setup, const struct target_streams *streams,
                           const struct batch *b, struct error *e) {
  if (!batch_has_letters(b)) return true;
  store->job = setup->job;
  for (size_t i = 0; i < b->count; i++) {
    const struct batch_row *row = &b->rows[i];
    if (row->state != ROW_DEAD && !(row->is_letter && row->state == ROW_LIVE)) continue;
    struct dead_entry entry;
    dead_entry_make(setup, streams, b, row, &entry);
    bool added = sqlite_dead_add(store, &entry, e);
    dead_entry_free(&entry);
    if (!added) {
      error_add(e, "storing a dead letter");
      store->counted = false; // what was added in this transaction is gone with it
      return false;
    }
  }
  return true;
}
