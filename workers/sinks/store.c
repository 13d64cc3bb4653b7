// Positions and dead letters for the verbs: statements that SQLite and PostgreSQL understand alike.
#include "workers/sinks/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"

enum { PARAMS_MOST = 12 };

// A statement on its way: its text, and its parameters in the order in which they stand there.
struct statement {
  struct buffer sql;
  const char *params[PARAMS_MOST];
  size_t count;
};

static void put(struct statement *st, const char *sql) {
  buffer_text(&st->sql, sql);
}

static void put_param(struct statement *st, const char *before, const char *value) {
  st->params[st->count++] = value;
  buffer_print(&st->sql, "%s$%zu", before, st->count);
}

static bool run(struct store *s, enum store_table table, struct statement *st, store_row *row, void *context, uint64_t *changed,
                struct error *e) {
  bool ok = s->database->run(s, table, buffer_cstring(&st->sql), st->params, st->count, row, context, changed, e);
  buffer_free(&st->sql);
  return ok;
}

void store_close(struct store *s) {
  if (!s) return;
  s->database->close(s);
  free(s->pipeline);
  free(s->sink);
  free(s->tables[0]);
  free(s->tables[1]);
  free(s);
}

bool store_begin(struct store *s, struct error *e) {
  return s->database->begin(s, e);
}

bool store_commit(struct store *s, struct error *e) {
  return s->database->commit(s, e);
}

static void put_time(struct statement *st, const struct store *s, const char *column) {
  buffer_print(&st->sql, "%s%s%s", s->database->time_open, column, s->database->time_close);
}

// WHERE with the names of this sink.
static void put_mine(struct statement *st, const struct store *s) {
  put_param(st, " WHERE pipeline = ", s->pipeline);
  put_param(st, " AND sink = ", s->sink);
}

// ---- positions

static void put_stream(struct statement *st, const char *source, const char *partition) {
  if (source) put_param(st, " AND source = ", source);
  if (partition) put_param(st, " AND partition = ", partition);
}

struct telling_positions {
  store_position_told *tell;
  void *context;
};

static int64_t number(const char *text) {
  return text ? strtoll(text, NULL, 10) : 0;
}

static bool tell_position(void *context, const char *const *c) {
  const struct telling_positions *t = context;
  struct store_position p = {.edge = c[0],
                             .source = c[1],
                             .partition = c[2],
                             .identity = c[3],
                             .owner = c[4],
                             .seen = c[5],
                             .has_position = c[6] != NULL,
                             .position = number(c[6]),
                             .start = number(c[7]),
                             .rows = number(c[8]),
                             .superseded = number(c[9]),
                             .dead = number(c[10])};
  t->tell(t->context, &p);
  return true;
}

bool store_positions(struct store *s, const char *source, const char *partition, store_position_told *tell, void *context,
                     struct error *e) {
  if (!s->database->has(s, STORE_POSITIONS, e)) return !error_is_set(e);
  struct telling_positions telling = {tell, context};
  struct statement st = {0};
  put(&st, "SELECT edge, source, partition, identity, owner, ");
  put_time(&st, s, "seen");
  put(&st, ", position, start, rows, superseded, dead FROM ");
  put(&st, s->tables[STORE_POSITIONS]);
  put_mine(&st, s);
  put_stream(&st, source, partition);
  put(&st, " ORDER BY source, partition, edge");
  return run(s, STORE_POSITIONS, &st, tell_position, &telling, NULL, e);
}

bool store_set(struct store *s, const char *source, const char *partition, const int64_t *position, uint64_t *changed, struct error *e) {
  *changed = 0;
  if (!s->database->has(s, STORE_POSITIONS, e)) return !error_is_set(e);
  struct statement st = {0};
  char digits[32];
  // What was stored before counts no more: the totals begin anew, as the rows do that will come.
  put(&st, "UPDATE ");
  put(&st, s->tables[STORE_POSITIONS]);
  put(&st, " SET epoch = epoch + 1, identity = '', fingerprint = '', witness = 0, rows = 0, superseded = 0, dead = 0, position = ");
  if (position) {
    snprintf(digits, sizeof digits, "%" PRId64, *position);
    put(&st, digits);
    put(&st, ", start = ");
    put(&st, digits);
  } else
    put(&st, "NULL");
  put_mine(&st, s);
  put_stream(&st, source, partition);
  return run(s, STORE_POSITIONS, &st, NULL, NULL, changed, e);
}

// ---- renaming

static void put_old(struct statement *st, const struct store *s, const struct store_rename *n) {
  put_param(st, " WHERE pipeline = ", n->pipeline_was ? n->pipeline_was : s->pipeline);
  put_param(st, " AND sink = ", n->sink_was ? n->sink_was : s->sink);
  if (n->source_was) put_param(st, " AND source = ", n->source_was);
}

static bool any_row(void *context, const char *const *columns) {
  *(bool *)context = strcmp(columns[0], "0") != 0;
  return true;
}

// Whether positions under the new names are there already.
static bool is_taken(struct store *s, const struct store_rename *n, bool *taken, struct error *e) {
  struct statement st = {0};
  put(&st, "SELECT count(*) FROM ");
  put(&st, s->tables[STORE_POSITIONS]);
  put_mine(&st, s);
  if (n->source_is) put_param(&st, " AND source = ", n->source_is);
  if (n->edge_is) put_param(&st, " AND edge = ", n->edge_is);
  return run(s, STORE_POSITIONS, &st, any_row, taken, NULL, e);
}

static bool rename_positions(struct store *s, const struct store_rename *n, uint64_t *changed, struct error *e) {
  struct statement st = {0};
  put(&st, "UPDATE ");
  put(&st, s->tables[STORE_POSITIONS]);
  put(&st, " SET epoch = epoch + 1, owner = ''");
  put_param(&st, ", pipeline = ", s->pipeline);
  put_param(&st, ", sink = ", s->sink);
  if (n->source_is) put_param(&st, ", source = ", n->source_is);
  if (n->edge_is)
    put_param(&st, ", edge = ", n->edge_is);
  else if (n->source_is) {
    // The edge begins with the source's name.
    put_param(&st, ", edge = ", n->source_is);
    put_param(&st, " || substr(edge, length(CAST(", n->source_was);
    put(&st, " AS text)) + 1)");
  }
  put_old(&st, s, n);
  if (n->edge_was) put_param(&st, " AND edge = ", n->edge_was);
  return run(s, STORE_POSITIONS, &st, NULL, NULL, changed, e);
}

static bool rename_letters(struct store *s, const struct store_rename *n, struct error *e) {
  if (n->edge_was) return true; // letters know no edge
  if (!s->database->has(s, STORE_LETTERS, e)) return !error_is_set(e);
  struct statement st = {0};
  put(&st, "UPDATE ");
  put(&st, s->tables[STORE_LETTERS]);
  put_param(&st, " SET pipeline = ", s->pipeline);
  put_param(&st, ", sink = ", s->sink);
  if (n->source_is) put_param(&st, ", source = ", n->source_is);
  put_old(&st, s, n);
  return run(s, STORE_LETTERS, &st, NULL, NULL, NULL, e);
}

bool store_rename(struct store *s, const struct store_rename *names, uint64_t *changed, struct error *e) {
  bool taken = false;
  *changed = 0;
  if (!s->database->has(s, STORE_POSITIONS, e)) return !error_is_set(e);
  if (!is_taken(s, names, &taken, e)) return false;
  if (taken) {
    error_set(e, ERROR_OPERATOR, "taken", "there are positions under the new name already: look with `weir positions show`");
    return false;
  }
  return rename_positions(s, names, changed, e) && rename_letters(s, names, e);
}

// ---- dead letters

// A letter that is on its way again is none any more (store_retry.h).
static void put_filter(struct statement *st, const struct store *s, const struct store_filter *f) {
  put_mine(st, s);
  put(st, " AND retry IS NULL");
  if (f->id) {
    put_param(st, " AND substr(id, 1, length(CAST(", f->id);
    put_param(st, " AS text))) = ", f->id);
  }
  if (f->node) put_param(st, " AND node = ", f->node);
  if (f->code) put_param(st, " AND code = ", f->code);
  if (f->since) put_param(st, " AND last >= ", f->since);
}

static bool any_message(void *context, const char *const *columns) {
  (void)columns;
  *(bool *)context = true;
  return true;
}

bool store_message(struct store *s, const char *name, const char **sql, struct error *e) {
  const char *const table[] = {s->tables[STORE_LETTERS]};
  bool has = false;
  if (!s->database->run(s, STORE_LETTERS, s->database->message_sql, table, 1, any_message, &has, NULL, e)) return false;
  *sql = has ? name : "NULL";
  return true;
}

struct telling_letters {
  store_letter_told *tell;
  void *context;
  struct buffer data;
};

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void store_unhex(const char *text, struct buffer *out) {
  buffer_clear(out);
  for (; text && hex_digit(text[0]) >= 0 && hex_digit(text[1]) >= 0; text += 2)
    buffer_byte(out, (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1])));
}

static bool truth(const char *text) {
  return text && (text[0] == 't' || text[0] == '1');
}

static bool tell_letter(void *context, const char *const *c) {
  struct telling_letters *t = context;
  store_unhex(c[15], &t->data);
  struct store_letter l = {.id = c[0],
                           .node = c[1],
                           .sink = c[2],
                           .source = c[3],
                           .partition = c[4],
                           .position = number(c[5]),
                           .part = number(c[6]),
                           .reason = c[7],
                           .code = c[8],
                           .column = c[9],
                           .constraint = c[10],
                           .format = c[11],
                           .first = c[12],
                           .last = c[13],
                           .cut = truth(c[14]),
                           .message = c[16] ? c[16] : "",
                           .data = t->data.at,
                           .length = t->data.length};
  return t->tell(t->context, &l);
}

bool store_letters(struct store *s, const struct store_filter *filter, bool data, store_letter_told *tell, void *context, struct error *e) {
  if (!s->database->has(s, STORE_LETTERS, e)) return !error_is_set(e);
  const char *message;
  if (!store_message(s, "message", &message, e)) return false;
  struct telling_letters telling = {.tell = tell, .context = context};
  struct statement st = {0};
  put(&st, "SELECT id, node, sink, source, partition, position, part, reason, code, column_name, constraint_name, format, ");
  put_time(&st, s, "first");
  put(&st, ", ");
  put_time(&st, s, "last");
  put(&st, ", cut, ");
  put(&st, data ? s->database->hex : "NULL");
  put(&st, ", ");
  put(&st, message);
  put(&st, " FROM ");
  put(&st, s->tables[STORE_LETTERS]);
  put_filter(&st, s, filter);
  put(&st, " ORDER BY first, source, partition, position, part, id");
  if (filter->limit > 0) buffer_print(&st.sql, " LIMIT %" PRId64, filter->limit);
  bool ok = run(s, STORE_LETTERS, &st, tell_letter, &telling, NULL, e);
  buffer_free(&telling.data);
  return ok;
}

bool store_drop(struct store *s, const struct store_filter *filter, uint64_t *dropped, struct error *e) {
  *dropped = 0;
  if (!s->database->has(s, STORE_LETTERS, e)) return !error_is_set(e);
  struct statement st = {0};
  put(&st, "DELETE FROM ");
  put(&st, s->tables[STORE_LETTERS]);
  if (filter->limit > 0) {
    put(&st, " WHERE id IN (SELECT id FROM ");
    put(&st, s->tables[STORE_LETTERS]);
    put_filter(&st, s, filter);
    buffer_print(&st.sql, " ORDER BY first, source, partition, position, part, id LIMIT %" PRId64 ")", filter->limit);
  } else
    put_filter(&st, s, filter);
  return run(s, STORE_LETTERS, &st, NULL, NULL, dropped, e);
}
