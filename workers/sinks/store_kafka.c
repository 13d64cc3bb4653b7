// The store of a topic sink, for the verbs: positions are records of weir_positions, letters lie in the state folder (or in a topic of
// their own, which no verb touches).
//
// Positions are loaded into a table in memory, so that store.c's statements run on them as on any database. What a transaction has changed
// is written back by store_kafka_write.c.
#include "workers/sinks/store_kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"

enum { BUSY_MS = 10000, WAIT_MS = 30000 };

static struct kafka_store *own(struct store *s) {
  return (struct kafka_store *)s;
}

// ---- the table in memory

static const char table_sql[] =
    "CREATE TABLE weir_positions (id INTEGER PRIMARY KEY, pipeline text NOT NULL, sink text NOT NULL, "
    "edge text NOT NULL, source text NOT NULL, partition text NOT NULL, epoch bigint NOT NULL, "
    "position bigint, start bigint, identity text NOT NULL, fingerprint text NOT NULL, witness bigint NOT NULL, "
    "rows bigint NOT NULL, superseded bigint NOT NULL, dead bigint NOT NULL, owner text NOT NULL, "
    "seen timestamp NOT NULL, UNIQUE (pipeline, sink, edge, source, partition))";

static bool insert(struct kafka_store *s, size_t index, struct error *e) {
  static const char sql[] = "INSERT INTO weir_positions (id, pipeline, sink, edge, source, partition, epoch, position, start, identity, "
                            "fingerprint, witness, rows, superseded, dead, owner, seen) "
                            "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
  struct sqlite_query *q = sqlite_prepare(s->memory, sql, e);
  if (!q) return false;
  const struct kafka_position *row = &s->loaded.at[index];
  char seen[CLOCK_TEXT];
  clock_print(row->seen_ms * 1000, seen);
  const char *texts[] = {row->pipeline, row->sink, row->edge, row->source, row->partition};
  sqlite_bind_int(q, 1, (int64_t)index + 1);
  for (int i = 0; i < 5; i++) sqlite_bind_cstring(q, i + 2, texts[i]);
  sqlite_bind_int(q, 7, (int64_t)row->epoch);
  if (row->has_position)
    sqlite_bind_int(q, 8, (int64_t)row->position);
  else
    sqlite_bind_null(q, 8);
  sqlite_bind_int(q, 9, (int64_t)row->start);
  sqlite_bind_cstring(q, 10, row->identity);
  sqlite_bind_cstring(q, 11, row->fingerprint);
  sqlite_bind_int(q, 12, (int64_t)row->witness);
  sqlite_bind_int(q, 13, (int64_t)row->totals.rows);
  sqlite_bind_int(q, 14, (int64_t)row->totals.superseded);
  sqlite_bind_int(q, 15, (int64_t)row->totals.dead);
  sqlite_bind_cstring(q, 16, row->owner);
  sqlite_bind_cstring(q, 17, seen);
  return sqlite_run(q, e);
}

struct reading {
  struct kafka_store *s;
  struct error e; // the first
};

static void take(void *context, const struct kafka_record *record) {
  struct reading *r = context;
  if (!error_is_set(&r->e)) kafka_positions_take(&r->s->loaded, record, &r->e);
}

bool kafka_store_load(struct kafka_store *s, struct error *e) {
  struct reading r = {.s = s};
  kafka_positions_clear(&s->loaded);
  for (int32_t i = 0; i < s->partitions; i++)
    if (!kafka_partition_read(s->admin, KAFKA_POSITIONS_TOPIC, i, take, &r, e)) return false;
  if (error_is_set(&r.e)) {
    *e = r.e;
    return false;
  }
  if (!sqlite_exec(s->memory, "DELETE FROM weir_positions", e)) return false;
  for (size_t i = 0; i < s->loaded.count; i++)
    if (!insert(s, i, e)) return false;
  return true;
}

// ---- what store.c asks

static bool store_has(struct store *base, enum store_table table, struct error *e) {
  struct kafka_store *s = own(base);
  error_clear(e);
  return table == STORE_POSITIONS ? s->partitions > 0 : store_sqlite_has(s->letters, table, e);
}

static void remember(struct kafka_store *s, const char *sql, const char *const *params, size_t count) {
  s->changes = memory_resize(s->changes, (s->change_count + 1) * sizeof *s->changes);
  struct kafka_statement *st = &s->changes[s->change_count++];
  *st = (struct kafka_statement){.sql = memory_text(sql), .params = memory_get((count + 1) * sizeof *st->params), .count = count};
  for (size_t i = 0; i < count; i++) st->params[i] = params[i] ? memory_text(params[i]) : NULL;
}

void kafka_store_forget(struct kafka_store *s) {
  for (size_t i = 0; i < s->change_count; i++) {
    for (size_t k = 0; k < s->changes[i].count; k++) free(s->changes[i].params[k]);
    free(s->changes[i].params);
    free(s->changes[i].sql);
  }
  free(s->changes);
  s->changes = NULL;
  s->change_count = 0;
}

static bool store_run(struct store *base, enum store_table table, const char *sql, const char *const *params, size_t count, store_row *row,
                      void *context, uint64_t *changed, struct error *e) {
  struct kafka_store *s = own(base);
  if (table == STORE_LETTERS) return store_sqlite_run(s->letters, sql, params, count, row, context, changed, e);
  bool changes = strncmp(sql, "SELECT", 6) != 0;
  if (changes) remember(s, sql, params, count);
  if (!store_sqlite_run(s->memory, sql, params, count, row, context, changed, e)) return false;
  if (!changes || s->in_transaction) return true;
  bool good = kafka_store_write(s, e);
  kafka_store_forget(s);
  return good;
}

static bool store_begin_all(struct store *base, struct error *e) {
  struct kafka_store *s = own(base);
  s->in_transaction = true;
  return !s->letters || sqlite_begin(s->letters, e);
}

// Letters first: doing it again changes nothing in them.
static bool store_commit_all(struct store *base, struct error *e) {
  struct kafka_store *s = own(base);
  bool good = (!s->letters || sqlite_commit(s->letters, e)) && (s->change_count == 0 || kafka_store_write(s, e));
  kafka_store_forget(s);
  s->in_transaction = false;
  return good;
}

static void store_close_all(struct store *base) {
  struct kafka_store *s = own(base);
  kafka_store_forget(s);
  kafka_admin_close(s->admin);
  sqlite_close(s->memory);
  sqlite_close(s->letters);
  kafka_positions_free(&s->loaded);
  topic_settings_free(&s->settings);
}

static const struct store_database database = {
    .run = store_run,
    .has = store_has,
    .begin = store_begin_all,
    .commit = store_commit_all,
    .close = store_close_all,
    .hex = "hex(data)",
    .message_sql = "SELECT 1 FROM pragma_table_info($1) WHERE name = 'message'",
    .time_open = "",
    .time_close = "",
};

// ---- opening

static bool open_letters(struct kafka_store *s, const struct store_place *place, struct error *e) {
  char *path = memory_print("%s/dead.db", place->state);
  // Nothing has been stored yet where there is no file.
  if (access(path, F_OK) == 0) s->letters = sqlite_open(path, SQLITE_FOR_WRITING, BUSY_MS, e);
  free(path);
  return !error_is_set(e);
}

static bool open_positions(struct kafka_store *s, struct error *e) {
  struct kafka_topic topic;
  struct kafka_admin_setup setup = {.kafka = s->settings.kafka, .client = "weir positions", .view = KAFKA_COMMITTED, .wait_ms = WAIT_MS};
  kafka_positions_make(&s->loaded, NULL, NULL);
  s->memory = sqlite_open(":memory:", SQLITE_MAKE, 0, e);
  if (!s->memory || !sqlite_exec(s->memory, table_sql, e)) return false;
  s->admin = kafka_admin_open(&setup, e);
  if (!s->admin || !kafka_topic_look_well(s->admin, KAFKA_POSITIONS_TOPIC, &topic, e)) return false;
  s->partitions = topic.partitions;
  return kafka_store_load(s, e);
}

struct store *store_kafka_open(const struct store_place *place, struct error *e) {
  struct topic_settings settings;
  if (!topic_settings_read(&settings, place->settings, e)) return NULL;
  struct kafka_store *s = memory_get(sizeof *s);
  s->settings = settings;
  s->base = (struct store){.database = &database, .pipeline = memory_text(place->pipeline), .sink = memory_text(place->sink)};
  s->base.tables[STORE_POSITIONS] = memory_text("weir_positions");
  s->base.tables[STORE_LETTERS] = memory_text("weir_dead");
  if (open_letters(s, place, e) && open_positions(s, e)) return &s->base;
  store_close(&s->base);
  return NULL;
}
