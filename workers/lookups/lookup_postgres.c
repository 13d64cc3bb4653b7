// A table out of PostgreSQL: the rows of one SELECT, in a read-only transaction, through a cursor, so that the server's answer never lies
// in memory as a whole.
#include <stdlib.h>
#include <string.h>

#include "workers/clients/postgres.h"
#include "workers/lookups/lookup.h"

enum { FETCH_ROWS = 1000, CONNECT_MS = 10000, FETCH_SECONDS = 600 };

struct select {
  struct lookup_load *l;
  struct postgres *link;
  bool *bytes; // by result column: the table's column holds bytes
  struct buffer record;
  struct buffer hex;
};

static void tick(void *context, unsigned seconds) {
  struct lookup_load *l = context;
  (void)seconds;
  l->busy(l->context, FETCH_SECONDS, NULL);
}

static int nibble(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// "\x0102" as bytes; false: it is something else.
static bool hex_read(const char *text, size_t length, struct buffer *out) {
  buffer_clear(out);
  if (length < 2 || length % 2 != 0 || text[0] != '\\' || text[1] != 'x') return false;
  for (size_t i = 2; i < length; i += 2) {
    int high = nibble(text[i]), low = nibble(text[i + 1]);
    if (high < 0 || low < 0) return false;
    buffer_byte(out, (uint8_t)(high << 4 | low));
  }
  return true;
}

static void value_put(struct select *s, const struct postgres_result *r, size_t row, int column, struct msgpack_writer *w) {
  const char *text = postgres_text(r, row, column);
  size_t length = postgres_length(r, row, column);
  if (postgres_is_null(r, row, column))
    msgpack_write_nil(w);
  else if (s->bytes[column] && hex_read(text, length, &s->hex))
    msgpack_write_bytes(w, s->hex.at, (uint32_t)s->hex.length);
  else
    msgpack_write_text(w, text, (uint32_t)length);
}

static bool row_take(struct select *s, const struct postgres_result *r, size_t row, struct error *e) {
  int columns = postgres_columns(r);
  size_t room = 16;
  for (int i = 0; i < columns; i++) room += strlen(postgres_column_name(r, i)) + postgres_length(r, row, i) + 16;
  buffer_clear(&s->record);
  buffer_reserve(&s->record, room);
  struct msgpack_writer w = {.at = s->record.at, .end = s->record.at + s->record.room};
  msgpack_write_map(&w, (uint32_t)columns);
  for (int i = 0; i < columns; i++) {
    msgpack_write_cstring(&w, postgres_column_name(r, i));
    value_put(s, r, row, i, &w);
  }
  return lookup_build_row(s->l->build, s->record.at, w.at, e);
}

static const char *name_of(const void *result, int column) {
  return postgres_column_name(result, column);
}

// The first answer tells the columns.
static bool columns_take(struct select *s, const struct postgres_result *r, struct error *e) {
  const struct lookup_shape *shape = s->l->build->shape;
  if (s->bytes) return true;
  s->bytes = memory_get(((size_t)postgres_columns(r) + 1) * sizeof *s->bytes);
  for (int i = 0; i < postgres_columns(r); i++) {
    size_t column = lookup_column_find(shape, postgres_column_name(r, i));
    s->bytes[i] = column < shape->column_count && shape->columns[column].rule.type == COLUMN_BYTES;
  }
  return lookup_columns_there(shape, r, postgres_columns(r), name_of, e);
}

static enum lookup_outcome rows_take(struct select *s, const struct postgres_result *r, struct error *e) {
  if (!columns_take(s, r, e)) return LOOKUP_LOAD_FAILED;
  for (size_t row = 0; row < postgres_rows(r); row++)
    if (!row_take(s, r, row, e)) return error_is_set(e) ? LOOKUP_LOAD_FAILED : LOOKUP_LOAD_STOPPED;
  return LOOKUP_LOAD_DONE;
}

// The cursor is declared with the extended protocol, which takes one statement only: whatever stands behind the SELECT is refused there.
static bool cursor_open(struct select *s, struct error *e) {
  char *sql = job_text(s->l->settings, "sql", ""), *declare = memory_print("DECLARE weir NO SCROLL CURSOR FOR %s", sql);
  bool open = postgres_exec(s->link, "BEGIN TRANSACTION READ ONLY", e);
  struct postgres_result *r = open ? postgres_call(s->link, declare, NULL, 0, e) : NULL;
  postgres_result_free(r);
  free(declare);
  free(sql);
  return r != NULL;
}

static enum lookup_outcome cursor_read(struct select *s, struct error *e) {
  char *fetch = memory_print("FETCH %d FROM weir", FETCH_ROWS);
  enum lookup_outcome outcome = LOOKUP_LOAD_DONE;
  for (bool more = true; more && outcome == LOOKUP_LOAD_DONE;) {
    struct postgres_result *r = postgres_call(s->link, fetch, NULL, 0, e);
    outcome = r ? rows_take(s, r, e) : LOOKUP_LOAD_FAILED;
    more = r && postgres_rows(r) == FETCH_ROWS;
    postgres_result_free(r);
  }
  free(fetch);
  return outcome;
}

enum lookup_outcome lookup_postgres_load(struct lookup_load *l, struct error *e) {
  char *url = job_text(l->settings, "url", "");
  struct postgres_options options = {.url = url,
                                     .application = "weir lookup",
                                     .connect_ms = (uint64_t)job_int(l->settings, "connect_timeout", CONNECT_MS),
                                     .statement_ms = (uint64_t)job_int(l->settings, "statement_timeout", 60000),
                                     .tick = tick,
                                     .context = l};
  struct select s = {.l = l};
  enum lookup_outcome outcome = LOOKUP_LOAD_FAILED;
  l->busy(l->context, FETCH_SECONDS, "reading from PostgreSQL");
  s.link = postgres_open(&options, e);
  if (s.link) l->line = memory_print("%s: %s", postgres_place(s.link), postgres_line(s.link));
  if (s.link && cursor_open(&s, e)) outcome = cursor_read(&s, e);
  // A connection that ends takes its transaction and its cursor with it.
  postgres_close(s.link);
  free(s.bytes);
  buffer_free(&s.record);
  buffer_free(&s.hex);
  free(url);
  return outcome;
}
