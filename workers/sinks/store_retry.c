// The journal `retry:NODE`: statements that SQLite and PostgreSQL understand alike. See workers/common/store_retry.h.
#include "workers/common/store_retry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "proto/buffer.h"
#include "shm/crash_point.h"
#include "workers/sinks/store.h"

enum { PARAMS_MOST = 8 };

// A statement about one stream: $1 pipeline, $2 sink, $3 node, further ones behind them.
struct statement {
  struct buffer sql;
  const char *params[PARAMS_MOST];
  size_t count;
};

static struct statement begin(const struct store *s, const char *node) {
  return (struct statement){.params = {s->pipeline, s->sink, node}, .count = 3};
}

static bool run(struct store *s, struct statement *st, store_row *row, void *context, uint64_t *changed, struct error *e) {
  bool ok = s->database->run(s, STORE_LETTERS, buffer_cstring(&st->sql), st->params, st->count, row, context, changed, e);
  buffer_free(&st->sql);
  return ok;
}

// weir_retry in the schema of weir_dead; owned by the caller.
static char *counters_name(const struct store *s) {
  const char *letters = s->tables[STORE_LETTERS];
  size_t prefix = strlen(letters) - strlen("weir_dead");
  return memory_print("%.*sweir_retry", (int)prefix, letters);
}

// ---- marking

static bool make_tables(struct store *s, const char *counters, struct error *e) {
  struct statement st = {0};
  buffer_print(&st.sql,
               "CREATE TABLE IF NOT EXISTS %s (pipeline text NOT NULL, sink text NOT NULL, node text NOT NULL, id text NOT NULL, "
               "last bigint NOT NULL, PRIMARY KEY (pipeline, sink, node))",
               counters);
  if (!run(s, &st, NULL, NULL, NULL, e)) return false;
  buffer_print(&st.sql, "CREATE INDEX IF NOT EXISTS weir_dead_retry ON %s (pipeline, sink, node, retry) WHERE retry IS NOT NULL",
               s->tables[STORE_LETTERS]);
  return run(s, &st, NULL, NULL, NULL, e);
}

// The stream's row is there, and it is ours until the end of the transaction.
static bool counter_take(struct store *s, const char *node, const char *counters, struct error *e) {
  uint64_t random[2];
  char id[STORE_RETRY_ID];
  if (getrandom(random, sizeof random, 0) != sizeof random) {
    error_set(e, ERROR_ENVIRONMENT, "random", "no random number: %s", strerror(errno));
    return false;
  }
  snprintf(id, sizeof id, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
  struct statement st = begin(s, node);
  buffer_print(&st.sql, "INSERT INTO %s (pipeline, sink, node, id, last) VALUES ($1, $2, $3, $4, 0) ON CONFLICT DO NOTHING", counters);
  st.params[st.count++] = id;
  if (!run(s, &st, NULL, NULL, NULL, e)) return false;
  st = begin(s, node);
  buffer_print(&st.sql, "UPDATE %s SET last = last WHERE pipeline = $1 AND sink = $2 AND node = $3", counters);
  return run(s, &st, NULL, NULL, NULL, e);
}

static void put_param(struct statement *st, const char *before, const char *value, const char *behind) {
  st->params[st->count++] = value;
  buffer_print(&st->sql, "%s$%zu%s", before, st->count, behind);
}

static bool letters_mark(struct store *s, const char *node, const char *counters, const struct store_filter *f, uint64_t *marked,
                         struct error *e) {
  struct statement st = begin(s, node);
  const char *letters = s->tables[STORE_LETTERS];
  buffer_print(&st.sql,
               "UPDATE %s SET retry = c.last + n.rank FROM (SELECT last FROM %s WHERE pipeline = $1 AND sink = $2 AND node = $3) c, "
               "(SELECT id, row_number() OVER (ORDER BY first, source, partition, position, part, id) AS rank FROM %s "
               "WHERE pipeline = $1 AND sink = $2 AND node = $3 AND retry IS NULL AND NOT cut",
               letters, counters, letters);
  if (f->id) {
    put_param(&st, " AND substr(id, 1, length(CAST(", f->id, " AS text)))");
    buffer_print(&st.sql, " = $%zu", st.count);
  }
  if (f->code) put_param(&st, " AND code = ", f->code, "");
  if (f->since) put_param(&st, " AND last >= ", f->since, "");
  if (f->limit > 0) buffer_print(&st.sql, " ORDER BY first, source, partition, position, part, id LIMIT %" PRId64, f->limit);
  buffer_print(&st.sql, ") n WHERE %s.id = n.id", letters);
  return run(s, &st, NULL, NULL, marked, e);
}

static bool counter_move(struct store *s, const char *node, const char *counters, uint64_t marked, struct error *e) {
  struct statement st = begin(s, node);
  buffer_print(&st.sql, "UPDATE %s SET last = last + %" PRIu64 " WHERE pipeline = $1 AND sink = $2 AND node = $3", counters, marked);
  return run(s, &st, NULL, NULL, NULL, e);
}

bool store_retry_mark(struct store *s, const char *node, const struct store_filter *filter, uint64_t *marked, struct error *e) {
  *marked = 0;
  if (!s->database->has(s, STORE_LETTERS, e)) return !error_is_set(e);
  char *counters = counters_name(s);
  bool good = store_begin(s, e) && make_tables(s, counters, e) && counter_take(s, node, counters, e) &&
              letters_mark(s, node, counters, filter, marked, e) && counter_move(s, node, counters, *marked, e);
  CRASH_POINT("retry.before_mark_commit");
  good = good && store_commit(s, e);
  CRASH_POINT("retry.after_mark_commit");
  free(counters);
  return good;
}

// ---- reading

static bool tell_counter(void *context, const char *const *c) {
  struct store_retry *stream = context;
  stream->found = true;
  snprintf(stream->id, sizeof stream->id, "%s", c[0] ? c[0] : "");
  stream->last = c[1] ? strtoull(c[1], NULL, 10) : 0;
  return true;
}

bool store_retry_look(struct store *s, const char *node, struct store_retry *stream, struct error *e) {
  *stream = (struct store_retry){0};
  if (!s->database->has(s, STORE_LETTERS, e)) return !error_is_set(e);
  char *counters = counters_name(s);
  struct statement st = begin(s, node);
  buffer_print(&st.sql, "SELECT id, last FROM %s WHERE pipeline = $1 AND sink = $2 AND node = $3", counters);
  // A store in which nothing was ever marked has no counters yet.
  bool good = make_tables(s, counters, e) && run(s, &st, tell_counter, stream, NULL, e);
  buffer_free(&st.sql);
  free(counters);
  return good;
}

struct telling {
  store_retried_told *tell;
  void *context;
  struct buffer data;
};

static bool tell_retried(void *context, const char *const *c) {
  struct telling *t = context;
  store_unhex(c[6], &t->data);
  struct store_retried letter = {.number = c[0] ? strtoull(c[0], NULL, 10) : 0,
                                 .again = c[1] ? strtoll(c[1], NULL, 10) : -1,
                                 .first = c[2],
                                 .format = c[3],
                                 .reason = c[4],
                                 .code = c[5],
                                 .message = c[7] ? c[7] : "",
                                 .data = t->data.at,
                                 .length = t->data.length};
  t->tell(t->context, &letter);
  return true;
}

bool store_retry_read(struct store *s, const char *node, uint64_t after, unsigned most, store_retried_told *tell, void *context,
                      struct error *e) {
  struct telling t = {.tell = tell, .context = context};
  const char *message;
  if (!store_message(s, "message", &message, e)) return false;
  struct statement st = begin(s, node);
  buffer_print(&st.sql,
               "SELECT retry, again, first, format, reason, code, %s, %s FROM %s WHERE pipeline = $1 AND sink = "
               "$2 AND node = $3 "
               "AND retry > %" PRIu64 " ORDER BY retry LIMIT %u",
               s->database->hex, message, s->tables[STORE_LETTERS], after, most);
  bool good = run(s, &st, tell_retried, &t, NULL, e);
  buffer_free(&t.data);
  return good;
}

bool store_retry_done(struct store *s, const char *node, uint64_t upto, struct error *e) {
  struct statement st = begin(s, node);
  buffer_print(&st.sql, "DELETE FROM %s WHERE pipeline = $1 AND sink = $2 AND node = $3 AND retry <= %" PRIu64, s->tables[STORE_LETTERS],
               upto);
  return run(s, &st, NULL, NULL, NULL, e);
}
