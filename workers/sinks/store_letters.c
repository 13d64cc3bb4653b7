// Numbers for dead letters: statements that SQLite and PostgreSQL understand alike. See workers/common/store_letters.h.
#include "workers/common/store_letters.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "proto/buffer.h"
#include "shm/crash_point.h"
#include "workers/sinks/store.h"

enum { PARAMS_MOST = 4 };

// The two tables, in the schema of weir_dead.
struct names {
  char *numbers, *counters;
};

// A statement about this sink: $1 pipeline, $2 sink, further ones behind them.
struct statement {
  struct buffer sql;
  const char *params[PARAMS_MOST];
  size_t count;
};

static struct names names_of(const struct store *s) {
  const char *letters = s->tables[STORE_LETTERS];
  int prefix = (int)(strlen(letters) - strlen("weir_dead"));
  return (struct names){.numbers = memory_print("%.*sweir_copied", prefix, letters),
                        .counters = memory_print("%.*sweir_copies", prefix, letters)};
}

static void names_free(struct names *n) {
  free(n->numbers);
  free(n->counters);
}

static struct statement begin(const struct store *s) {
  return (struct statement){.params = {s->pipeline, s->sink}, .count = 2};
}

static bool run(struct store *s, struct statement *st, store_row *row, void *context, struct error *e) {
  bool ok = s->database->run(s, STORE_LETTERS, buffer_cstring(&st->sql), st->params, st->count, row, context, NULL, e);
  buffer_free(&st->sql);
  return ok;
}

// ---- numbering

static bool tables_make(struct store *s, const struct names *n, struct error *e) {
  struct statement st = {0};
  buffer_print(&st.sql,
               "CREATE TABLE IF NOT EXISTS %s (pipeline text NOT NULL, sink text NOT NULL, id text NOT NULL, last bigint NOT NULL, "
               "PRIMARY KEY (pipeline, sink))",
               n->counters);
  if (!run(s, &st, NULL, NULL, e)) return false;
  buffer_print(&st.sql,
               "CREATE TABLE IF NOT EXISTS %s (pipeline text NOT NULL, sink text NOT NULL, number bigint NOT NULL, letter text NOT NULL, "
               "PRIMARY KEY (pipeline, sink, number), UNIQUE (pipeline, sink, letter))",
               n->numbers);
  return run(s, &st, NULL, NULL, e);
}

// The counter's row is there, and it is ours until the end of the transaction.
static bool counter_take(struct store *s, const struct names *n, struct error *e) {
  uint64_t random[2];
  char id[STORE_LETTERS_ID];
  if (getrandom(random, sizeof random, 0) != sizeof random) {
    error_set(e, ERROR_ENVIRONMENT, "random", "no random number: %s", strerror(errno));
    return false;
  }
  snprintf(id, sizeof id, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
  struct statement st = begin(s);
  buffer_print(&st.sql, "INSERT INTO %s (pipeline, sink, id, last) VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING", n->counters);
  st.params[st.count++] = id;
  if (!run(s, &st, NULL, NULL, e)) return false;
  st = begin(s);
  buffer_print(&st.sql, "UPDATE %s SET last = last WHERE pipeline = $1 AND sink = $2", n->counters);
  return run(s, &st, NULL, NULL, e);
}

static bool letters_number(struct store *s, const struct names *n, struct error *e) {
  struct statement st = begin(s);
  buffer_print(&st.sql,
               "INSERT INTO %s (pipeline, sink, number, letter) SELECT d.pipeline, d.sink, c.last + row_number() OVER (ORDER BY d.first, "
               "d.source, d.partition, d.position, d.part, d.id), d.id FROM %s d, %s c WHERE d.pipeline = $1 AND d.sink = $2 "
               "AND c.pipeline = $1 AND c.sink = $2 "
               "AND NOT EXISTS (SELECT 1 FROM %s k WHERE k.pipeline = $1 AND k.sink = $2 AND k.letter = d.id)",
               n->numbers, s->tables[STORE_LETTERS], n->counters, n->numbers);
  return run(s, &st, NULL, NULL, e);
}

static bool counter_move(struct store *s, const struct names *n, struct error *e) {
  struct statement st = begin(s);
  buffer_print(
      &st.sql,
      "UPDATE %s SET last = (SELECT max(k.number) FROM %s k WHERE k.pipeline = $1 AND k.sink = $2) WHERE pipeline = $1 AND sink = $2 "
      "AND last < (SELECT max(k.number) FROM %s k WHERE k.pipeline = $1 AND k.sink = $2)",
      n->counters, n->numbers, n->numbers);
  return run(s, &st, NULL, NULL, e);
}

static bool tell_counter(void *context, const char *const *c) {
  struct store_copies *stream = context;
  stream->found = true;
  snprintf(stream->id, sizeof stream->id, "%s", c[0] ? c[0] : "");
  stream->last = c[1] ? strtoull(c[1], NULL, 10) : 0;
  return true;
}

static bool counter_read(struct store *s, const struct names *n, struct store_copies *stream, struct error *e) {
  struct statement st = begin(s);
  buffer_print(&st.sql, "SELECT id, last FROM %s WHERE pipeline = $1 AND sink = $2", n->counters);
  return run(s, &st, tell_counter, stream, e);
}

bool store_letters_number(struct store *s, struct store_copies *stream, struct error *e) {
  *stream = (struct store_copies){0};
  if (!s->database->has(s, STORE_LETTERS, e)) return !error_is_set(e);
  struct names n = names_of(s);
  bool good = store_begin(s, e) && tables_make(s, &n, e) && counter_take(s, &n, e) && letters_number(s, &n, e) && counter_move(s, &n, e) &&
              counter_read(s, &n, stream, e);
  CRASH_POINT("letters.before_number_commit");
  good = good && store_commit(s, e);
  CRASH_POINT("letters.after_number_commit");
  names_free(&n);
  return good;
}

// ---- reading

struct telling {
  store_copy_told *tell;
  void *context;
  struct buffer data;
};

static bool tell_copy(void *context, const char *const *c) {
  struct telling *t = context;
  store_unhex(c[14], &t->data);
  struct store_copy copy = {.number = c[0] ? strtoull(c[0], NULL, 10) : 0,
                            .gone = c[1] == NULL,
                            .id = c[1],
                            .node = c[2],
                            .reason = c[3],
                            .code = c[4],
                            .source = c[5],
                            .partition = c[6],
                            .position = c[7] ? strtoll(c[7], NULL, 10) : 0,
                            .part = c[8] ? strtoll(c[8], NULL, 10) : 0,
                            .cut = c[9] && (c[9][0] == 't' || c[9][0] == '1'),
                            .column = c[10],
                            .constraint = c[11],
                            .format = c[12],
                            .first = c[13],
                            .message = c[15],
                            .data = t->data.at,
                            .length = t->data.length};
  t->tell(t->context, &copy);
  return true;
}

bool store_letters_read(struct store *s, uint64_t after, unsigned most, store_copy_told *tell, void *context, struct error *e) {
  const char *message;
  if (!store_message(s, "d.message", &message, e)) return false;
  struct telling t = {.tell = tell, .context = context};
  struct names n = names_of(s);
  struct statement st = begin(s);
  buffer_print(&st.sql,
               "SELECT k.number, d.id, d.node, d.reason, d.code, d.source, d.partition, d.position, d.part, d.cut, d.column_name, "
               "d.constraint_name, d.format, %sd.first%s, %s, %s "
               "FROM %s k LEFT JOIN %s d ON d.id = k.letter WHERE k.pipeline = $1 AND k.sink = $2 AND k.number > %" PRIu64
               " ORDER BY k.number LIMIT %u",
               s->database->time_open, s->database->time_close, s->database->hex, message, n.numbers, s->tables[STORE_LETTERS], after,
               most);
  bool good = run(s, &st, tell_copy, &t, e);
  buffer_free(&t.data);
  names_free(&n);
  return good;
}

bool store_letters_forget(struct store *s, uint64_t upto, struct error *e) {
  struct names n = names_of(s);
  struct statement st = begin(s);
  buffer_print(&st.sql,
               "DELETE FROM %s WHERE pipeline = $1 AND sink = $2 AND number <= %" PRIu64
               " AND NOT EXISTS (SELECT 1 FROM %s d WHERE d.id = letter)",
               n.numbers, upto, s->tables[STORE_LETTERS]);
  bool good = run(s, &st, NULL, NULL, e);
  names_free(&n);
  return good;
}
