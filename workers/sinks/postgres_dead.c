// Dead letters in PostgreSQL.
#include "workers/sinks/postgres_dead.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/clock.h"

enum { GROUP = 32, PARAMS = 19, TEXT_OID = 25, BYTEA_OID = 17 };

bool postgres_dead_make(struct postgres *p, const char *table, struct error *e) {
  char *sql = memory_print("CREATE TABLE %s (id text NOT NULL PRIMARY KEY, pipeline text NOT NULL, node text NOT NULL, sink text NOT NULL, "
                           "source text NOT NULL, partition text NOT NULL, identity text NOT NULL, position bigint NOT NULL, "
                           "part bigint NOT NULL, reason text NOT NULL, code text NOT NULL, column_name text NOT NULL, "
                           "constraint_name text NOT NULL, format text NOT NULL, data bytea NOT NULL, cut boolean NOT NULL, "
                           "first timestamptz NOT NULL, last timestamptz NOT NULL, again bigint NOT NULL, retry bigint, message text)",
                           table);
  bool ok = postgres_exec(p, sql, e);
  free(sql);
  return ok;
}

// Asked before it is changed: ALTER TABLE needs the owner's right and a lock, which a table that is complete must not cost.
bool postgres_dead_mend(struct postgres *p, const char *table, struct error *e) {
  static const char ask[] =
      "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'message' AND NOT attisdropped";
  const struct postgres_param name = {.bytes = table};
  char *add = memory_print("ALTER TABLE %s ADD COLUMN IF NOT EXISTS message text", table);
  struct postgres_result *r = postgres_call(p, ask, &name, 1, e);
  bool good = r && (postgres_int(r, 0, 0) > 0 || postgres_exec(p, add, e));
  // The table is somebody else's, who has let us write it.
  if (!good && strcmp(e->code, "42501") == 0)
    error_set(e, ERROR_OPERATOR, "42501", "table %s is one of an earlier weir, and this role may not change it: let its owner run `%s;`",
              table, add);
  postgres_result_free(r);
  free(add);
  return good;
}

// One entry's parameters. Texts are copied and made valid: PostgreSQL takes no other.
struct letter {
  struct postgres_param params[PARAMS];
  char *texts[PARAMS];
};

static void put_text(struct letter *l, size_t index, const char *text, size_t length) {
  char *copy = dead_text(text, length);
  l->texts[index] = copy;
  l->params[index] = (struct postgres_param){.bytes = copy, .length = length, .type = TEXT_OID};
}

static void put_cstring(struct letter *l, size_t index, const char *text) {
  put_text(l, index, text, strlen(text));
}

static void put_number(struct letter *l, size_t index, uint64_t value) {
  l->texts[index] = memory_print("%" PRIu64, value);
  l->params[index] = (struct postgres_param){.bytes = l->texts[index]};
}

static void letter_make(struct letter *l, const struct dead_entry *entry) {
  const struct dead_letter *d = &entry->letter;
  char now[CLOCK_TEXT];
  clock_print(entry->now, now);
  memset(l, 0, sizeof *l);
  put_cstring(l, 0, entry->id);
  put_cstring(l, 1, entry->pipeline);
  put_text(l, 2, d->node, d->node_length);
  put_cstring(l, 3, entry->sink);
  put_cstring(l, 4, entry->source);
  put_cstring(l, 5, entry->partition);
  put_cstring(l, 6, entry->identity);
  put_number(l, 7, entry->position);
  put_number(l, 8, entry->part);
  put_text(l, 9, d->reason, d->reason_length);
  put_text(l, 10, d->code, d->code_length);
  put_text(l, 11, d->column, d->column_length);
  put_text(l, 12, d->constraint, d->constraint_length);
  put_text(l, 13, d->format, d->format_length);
  const char *data = d->data_length ? (const char *)d->data : "";
  l->params[14] = (struct postgres_param){.bytes = data, .length = d->data_length, .type = BYTEA_OID, .binary = true};
  l->params[15] = (struct postgres_param){.bytes = d->cut ? "t" : "f"};
  put_cstring(l, 16, now);
  l->params[16].type = 0;
  l->texts[17] = memory_print("%" PRId64, entry->again);
  l->params[17] = (struct postgres_param){.bytes = l->texts[17]};
  if (d->message_length > 0) put_text(l, 18, d->message, d->message_length);
}

static void letter_free(struct letter *l) {
  for (size_t i = 0; i < PARAMS; i++) free(l->texts[i]);
}

static bool measure(struct postgres_dead *d, struct postgres *p, struct error *e) {
  char *sql = memory_print("SELECT coalesce(sum(octet_length(data) + coalesce(octet_length(message), 0) + %d), 0)::bigint FROM %s",
                           DEAD_ENTRY_OVERHEAD, d->table);
  struct postgres_result *r = postgres_query(p, sql, e);
  if (r) d->bytes = (uint64_t)postgres_int(r, 0, 0);
  d->counted = r != NULL;
  postgres_result_free(r);
  free(sql);
  return r != NULL;
}

static bool has_room(struct postgres_dead *d, struct postgres *p, struct job_value job, uint64_t more, struct error *e) {
  if ((!d->counted || d->bytes + more > d->most) && !measure(d, p, e)) return false;
  if (d->bytes + more <= d->most) return true;
  dead_store_full(job, d->bytes, d->most, e);
  return false;
}

static bool is_letter(const struct batch_row *row) {
  return row->state == ROW_DEAD || (row->is_letter && row->state == ROW_LIVE);
}

// Sends up to GROUP entries in one round trip; *at moves behind the last row looked at.
static bool add_group(struct postgres_dead *d, struct postgres *p, const struct target_setup *setup, const struct target_streams *streams,
                      const struct batch *b, size_t *at, const char *sql, struct error *e) {
  struct letter *letters = memory_get(GROUP * sizeof *letters);
  struct postgres_statement statements[GROUP];
  size_t count = 0, failed;
  uint64_t bytes = 0;
  for (; *at < b->count && count < GROUP; ++*at) {
    if (!is_letter(&b->rows[*at])) continue;
    struct dead_entry entry;
    dead_entry_make(setup, streams, b, &b->rows[*at], &entry);
    bytes += dead_entry_bytes(&entry);
    letter_make(&letters[count], &entry);
    dead_entry_free(&entry);
    statements[count] = (struct postgres_statement){.sql = sql, .params = letters[count].params, .count = PARAMS};
    count++;
  }
  bool ok = count == 0 || (has_room(d, p, setup->job, bytes, e) && postgres_run(p, statements, count, &failed, e));
  if (ok) d->bytes += bytes;
  for (size_t i = 0; i < count; i++) letter_free(&letters[i]);
  free(letters);
  return ok;
}

bool postgres_dead_add_batch(struct postgres_dead *d, struct postgres *p, const struct target_setup *setup,
                             const struct target_streams *streams, const struct batch *b, struct error *e) {
  if (!batch_has_letters(b)) return true;
  char *sql = memory_print(
      "INSERT INTO %s (id, pipeline, node, sink, source, partition, identity, position, part, reason, code, column_name, "
      "constraint_name, format, data, cut, first, last, again, message) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
      "$13, $14, $15, $16, $17, $17, $18, $19) ON CONFLICT (id) DO UPDATE SET last = excluded.last",
      d->table);
  bool ok = true;
  for (size_t at = 0; ok && at < b->count;) ok = add_group(d, p, setup, streams, b, &at, sql, e);
  free(sql);
  if (ok) return true;
  error_add(e, "storing dead letters");
  if (e->class == ERROR_DATA) e->class = ERROR_FAULT; // a letter cannot become a letter
  d->counted = false;                                 // what was added in this transaction is gone with it
  return false;
}
