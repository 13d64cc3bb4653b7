// Rows of a batch into a table of PostgreSQL.
//
// COPY: rows are encoded straight from the ring into pieces of 64 KiB and sent while the server reads the one before; no copy of the
// batch. Arrays: rows are encoded once, ordered by their keys (all writers in one order meet no deadlock), then dealt out column by column.
#include "workers/sinks/postgres_rows.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "workers/sinks/postgres_encode.h"
#include "workers/sinks/postgres_plain.h"
#include "workers/sinks/postgres_table.h"

// Rows of one statement over arrays: the server lays them down before it reads them, and thousands fit into its work_mem.
enum { STATEMENT_ROWS = 2000, AHEAD = 3, AHEAD_LINES = 4 };
#define NOT_NAMED SIZE_MAX

void postgres_rows_free(struct postgres_rows *r) {
  for (size_t i = 0; i < r->array_room; i++) buffer_free(&r->arrays[i]);
  free(r->arrays);
  free(r->params);
  free(r->order);
  free(r->places);
  free(r->cursors);
  free(r->sent);
  row_free(&r->row);
  keys_free(&r->keys);
  buffer_free(&r->encoded);
  buffer_free(&r->chunk);
}

static void reserve(struct postgres_rows *r, size_t rows, size_t columns) {
  if (rows > r->room) {
    r->order = memory_resize(r->order, rows * sizeof *r->order);
    r->places = memory_resize(r->places, rows * sizeof *r->places);
    r->cursors = memory_resize(r->cursors, rows * sizeof *r->cursors);
    r->sent = memory_resize(r->sent, rows * sizeof *r->sent);
    r->room = rows;
  }
  if (columns > r->array_room) {
    r->arrays = memory_resize(r->arrays, columns * sizeof *r->arrays);
    r->params = memory_resize(r->params, columns * sizeof *r->params);
    memset(r->arrays + r->array_room, 0, (columns - r->array_room) * sizeof *r->arrays);
    r->array_room = columns;
  }
}

// ---- one row

// One field over its cell. False: the row is dead.
static bool encode_cell(struct postgres_rows *r, struct batch_row *record, size_t i, struct buffer *out) {
  const struct column *column = &r->table->columns[i];
  if (postgres_encode(out, column, &r->row.cells[i], &r->row.why)) return true;
  batch_kill(r->b, record, r->row.why.text, r->row.why.code, column->name, NULL);
  return false;
}

// The key of a tombstone.
static bool encode_key(struct postgres_rows *r, struct batch_row *record, struct buffer *out) {
  if (!row_read_or_kill(&r->row, r->table, r->b, record)) return false;
  for (size_t i = 0; i < r->table->count; i++)
    if (r->table->columns[i].key && !encode_cell(r, record, i, out)) return false;
  return true;
}

// Room for a row's plain fields, however they lie in the record.
static void room_for_fields(const struct postgres_rows *r, const struct batch_row *record, struct buffer *out) {
  buffer_reserve(out, (size_t)(record->end - record->body) + r->table->count * POSTGRES_PLAIN_MORE);
}

static bool encode_fields(struct postgres_rows *r, struct batch_row *record, struct buffer *out) {
  if (!row_map_or_kill(&r->row, r->table, r->b, record)) return false;
  room_for_fields(r, record, out);
  for (size_t i = 0; i < r->table->count; i++) {
    const struct column *column = &r->table->columns[i];
    const struct row_field *field = &r->row.fields[i];
    if (!column->used) continue;
    // What is compared, and what is not so plain, becomes a cell.
    uint8_t *behind = column->key ? NULL : postgres_put_plain(out->at + out->length, column, field->at, field->end);
    if (behind) {
      out->length = (size_t)(behind - out->at);
      continue;
    }
    if (!row_cell_or_kill(&r->row, r->table, i, r->b, record) || !encode_cell(r, record, i, out)) return false;
    room_for_fields(r, record, out);
  }
  return true;
}

// Appends the fields of all used columns, or kills the row and leaves `out` as it was.
static bool encode_row(struct postgres_rows *r, struct batch_row *record, struct buffer *out) {
  size_t before = out->length;
  if (record->is_delete ? encode_key(r, record, out) : encode_fields(r, record, out)) return true;
  out->length = before;
  return false;
}

static uint16_t used_columns(const struct table *t) {
  size_t used = 0;
  for (size_t i = 0; i < t->count; i++) used += t->columns[i].used;
  return (uint16_t)used;
}

// ---- taking a batch

static int by_key(const void *a, const void *b, void *keys) {
  return keys_compare(keys, *(const uint32_t *)a, *(const uint32_t *)b);
}

// Tombstones first, each kind by its keys: two statements take all rows of a batch in which no key repeats.
static int by_kind_and_key(const void *a, const void *b, void *rows) {
  const struct postgres_rows *r = rows;
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  bool x_deletes = r->b->rows[x].is_delete, y_deletes = r->b->rows[y].is_delete;
  return x_deletes != y_deletes ? y_deletes - x_deletes : keys_compare(&r->keys, x, y);
}

static int by_arrival(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

// The records were written by another processor, whose cache they lie in: they are called for a little ahead.
static void call_for(const struct postgres_rows *r, size_t row) {
  if (row >= r->b->count) return;
  const uint8_t *body = r->b->rows[row].body;
  for (size_t line = 0; line < AHEAD_LINES; line++) __builtin_prefetch(body + line * 64);
}

static bool is_to_write(const struct batch_row *row) {
  return row->state == ROW_LIVE && !row->is_letter;
}

// Without a table there is nothing that a tombstone could delete: it is done without a word to the server, and is no row that was stored.
static bool is_done(const struct postgres_rows *r, const struct batch_row *row) {
  return row->is_delete && r->deletes && r->table->count == 0;
}

static void encode_all(struct postgres_rows *r) {
  buffer_clear(&r->encoded);
  if (r->upsert) keys_begin(&r->keys, r->b->count);
  for (uint32_t i = 0; i < r->b->count; i++) {
    struct batch_row *row = &r->b->rows[i];
    if (!is_to_write(row)) continue;
    if (is_done(r, row)) {
      row->state = ROW_SUPERSEDED;
      continue;
    }
    call_for(r, i + AHEAD);
    r->places[i] = r->encoded.length;
    if (!encode_row(r, row, &r->encoded) || !r->upsert) continue;
    uint32_t earlier = keys_put(&r->keys, r->table, &r->row, i);
    if (earlier != KEY_NONE) r->b->rows[earlier].state = ROW_SUPERSEDED;
  }
}

static void order_rows(struct postgres_rows *r) {
  if (!r->upsert || r->count == 0) return;
  if (!r->deletes)
    qsort_r(r->order, r->count, sizeof *r->order, by_key, &r->keys);
  else if (postgres_table_key_is_exact(r->table)) // else the order of arrival is what counts
    qsort_r(r->order, r->count, sizeof *r->order, by_kind_and_key, r);
}

void postgres_rows_take(struct postgres_rows *r, struct postgres *p, struct batch *b) {
  r->p = p;
  r->b = b;
  // Without a column in use every row dies when it is read, and nothing is sent.
  r->arrays_used = r->upsert || used_columns(r->table) == 0 || postgres_table_needs_casts(r->table);
  r->deletes = b->deletes > 0 && r->table->deletes;
  // Keys that the server alone holds for equal must meet in one statement, which it refuses then: in two, the order of keys would decide.
  r->most = r->upsert && !postgres_table_key_is_exact(r->table) ? SIZE_MAX : STATEMENT_ROWS;
  reserve(r, b->count, r->table->count);
  if (r->arrays_used) encode_all(r);
  r->count = 0;
  for (uint32_t i = 0; i < b->count; i++)
    if (is_to_write(&b->rows[i])) r->order[r->count++] = i;
  order_rows(r);
}

// ---- COPY

// Sends whole pieces; `last`: what is left, too. A row may be cut in two: to the server it is one stream of bytes.
static bool send_chunk(struct postgres_rows *r, bool last, struct error *e) {
  struct buffer *chunk = &r->chunk;
  size_t from = 0;
  while (chunk->length - from >= (last ? 1 : POSTGRES_COPY_PIECE)) {
    size_t left = chunk->length - from, piece = left < POSTGRES_COPY_PIECE ? left : POSTGRES_COPY_PIECE;
    if (!postgres_copy_data(r->p, chunk->at + from, piece, e)) return false;
    from += piece;
  }
  memmove(chunk->at, chunk->at + from, chunk->length - from);
  chunk->length -= from;
  return true;
}

static bool copy_rows(struct postgres_rows *r, size_t from, size_t to, struct error *e) {
  static const char head[] =
      "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; // signature, flags, length of the extension; the literal ends with one 0 more
  uint16_t columns = used_columns(r->table);
  buffer_clear(&r->chunk);
  buffer_add(&r->chunk, head, 19);
  for (size_t i = from; i < to; i++) {
    struct batch_row *row = &r->b->rows[r->order[i]];
    if (!is_to_write(row)) continue;
    call_for(r, r->order[i] + AHEAD);
    size_t before = r->chunk.length;
    postgres_encode_u16(&r->chunk, columns);
    if (!encode_row(r, row, &r->chunk)) {
      r->chunk.length = before;
      continue;
    }
    r->sent[r->line_count++] = (uint32_t)i;
    if (r->chunk.length >= POSTGRES_COPY_PIECE && !send_chunk(r, false, e)) return false;
  }
  postgres_encode_u16(&r->chunk, UINT16_MAX);
  return send_chunk(r, true, e);
}

static bool send_by_copy(struct postgres_rows *r, size_t from, size_t to, size_t *bad, struct error *e) {
  char *sql = postgres_table_copy_sql(r->table, r->quoted);
  r->line_count = 0;
  bool ok = postgres_copy_begin(r->p, sql, e) && copy_rows(r, from, to, e) && postgres_copy_end(r->p, e);
  free(sql);
  uint64_t line = postgres_failure(r->p)->copy_line;
  if (!ok && line >= 1 && line <= r->line_count) *bad = r->sent[line - 1];
  return ok;
}

// ---- arrays

// Fields of the rows into arrays, one for each column that they have. Returns how many.
static size_t deal_out(struct postgres_rows *r, size_t from, size_t to, bool keys_alone) {
  uint32_t rows = 0;
  for (size_t i = from; i < to; i++)
    if (is_to_write(&r->b->rows[r->order[i]])) r->cursors[rows++] = r->places[r->order[i]];
  size_t n = 0;
  for (size_t c = 0; c < r->table->count; c++) {
    const struct column *column = &r->table->columns[c];
    if (keys_alone ? column->key == 0 : !column->used) continue;
    struct buffer *array = &r->arrays[n];
    buffer_clear(array);
    postgres_encode_array_head(array, column, rows);
    for (uint32_t i = 0; i < rows; i++) {
      const uint8_t *field = r->encoded.at + r->cursors[i];
      uint32_t length;
      memcpy(&length, field, sizeof length);
      length = be32toh(length);
      size_t bytes = sizeof length + (length == UINT32_MAX ? 0 : length);
      memcpy(buffer_take(array, bytes), field, bytes);
      r->cursors[i] += bytes;
    }
    r->params[n++] = (struct postgres_param){
        .bytes = (const char *)array->at, .length = array->length, .type = postgres_array_oid(column), .binary = true};
  }
  return n;
}

// Rows of one kind.
static bool send_by_arrays(struct postgres_rows *r, size_t from, size_t to, struct error *e) {
  bool removes = r->deletes && r->b->rows[r->order[from]].is_delete;
  size_t params = deal_out(r, from, to, removes);
  char *sql = removes ? postgres_table_delete_sql(r->table, r->quoted) : postgres_table_insert_sql(r->table, r->quoted, r->upsert);
  struct postgres_result *result = postgres_call(r->p, sql, r->params, params, e);
  free(sql);
  postgres_result_free(result);
  return result != NULL;
}

// ---- sending

static bool any_to_write(const struct postgres_rows *r, size_t from, size_t to) {
  for (size_t i = from; i < to; i++)
    if (is_to_write(&r->b->rows[r->order[i]])) return true;
  return false;
}

// One statement for each run of rows of one kind, in their order, and for as many as go into one.
static bool send_runs(struct postgres_rows *r, size_t from, size_t to, struct error *e) {
  for (size_t end = from; from < to; from = end) {
    bool removes = r->b->rows[r->order[from]].is_delete;
    while (end < to && end - from < r->most && r->b->rows[r->order[end]].is_delete == removes) end++;
    if (any_to_write(r, from, end) && !send_by_arrays(r, from, end, e)) return false;
  }
  return true;
}

static bool send(struct postgres_rows *r, size_t from, size_t to, size_t *bad, struct error *e) {
  *bad = NOT_NAMED;
  if (!any_to_write(r, from, to)) return true;
  return r->arrays_used ? send_runs(r, from, to, e) : send_by_copy(r, from, to, bad, e);
}

bool postgres_rows_send(struct postgres_rows *r, struct error *e) {
  size_t bad;
  return send(r, 0, r->count, &bad, e);
}

// ---- the search

// COPY says the column in its context only: "COPY t, line 2, column v: ...".
static char *column_of(const struct postgres_failure *f) {
  static const char mark[] = ", column ";
  if (f->column[0] != '\0') return memory_text(f->column);
  const char *found = strncmp(f->context, "COPY ", 5) == 0 ? strstr(f->context, mark) : NULL;
  if (!found) return NULL;
  found += strlen(mark);
  return memory_text_n(found, strcspn(found, ":\n"));
}

// The row at this place of the order is refused. The one that it had superseded comes back in its place; false: there is none.
static bool bury(struct postgres_rows *r, size_t at, const struct error *why, char *column, char *constraint) {
  uint32_t index = r->order[at];
  batch_kill(r->b, &r->b->rows[index], why->text, why->code, column, constraint);
  uint32_t previous = r->upsert ? r->keys.entries[index].previous : KEY_NONE;
  if (previous == KEY_NONE) return false;
  r->b->rows[previous].state = ROW_LIVE;
  r->order[at] = previous;
  return true;
}

// One try with a savepoint around it. On refusal the transaction is as it was before.
static bool try_rows(struct postgres_rows *r, size_t from, size_t to, size_t *bad, char **column, char **constraint, struct error *e) {
  struct error undo = {0};
  if (!postgres_exec(r->p, "SAVEPOINT weir", e)) return false;
  if (send(r, from, to, bad, e)) return postgres_exec(r->p, "RELEASE weir", e);
  const struct postgres_failure *f = postgres_failure(r->p);
  *column = column_of(f);
  *constraint = memory_text(f->constraint);
  if (e->class == ERROR_DATA && !postgres_exec(r->p, "ROLLBACK TO weir; RELEASE weir", &undo)) *e = undo;
  return false;
}

static bool place(struct postgres_rows *r, size_t from, size_t to, struct error *e);

// What to do about a refused range. Each step makes it smaller, or kills a row.
static bool divide(struct postgres_rows *r, size_t *from, size_t to, size_t bad, const struct error *why, char *column, char *constraint,
                   struct error *e) {
  if (to - *from == 1) bad = *from;
  if (bad == NOT_NAMED) {
    // Keys that only the database holds for equal: in the order of arrival, the last one wins at the latest when each is alone.
    if (strcmp(why->code, "21000") == 0) qsort(r->order + *from, to - *from, sizeof *r->order, by_arrival);
    size_t middle = *from + (to - *from) / 2;
    if (!place(r, *from, middle, e)) return false;
    *from = middle;
    return true;
  }
  if (!place(r, *from, bad, e)) return false;
  bool again = bury(r, bad, why, column, constraint);
  *from = again ? bad : bad + 1;
  return true;
}

static bool place(struct postgres_rows *r, size_t from, size_t to, struct error *e) {
  while (from < to) {
    struct error why = {0};
    char *column = NULL, *constraint = NULL;
    size_t bad;
    bool done = try_rows(r, from, to, &bad, &column, &constraint, &why), go_on = why.class == ERROR_DATA;
    if (!done && go_on)
      go_on = divide(r, &from, to, bad, &why, column, constraint, e);
    else
      *e = why;
    free(column);
    free(constraint);
    if (done) return true;
    if (!go_on) return false;
  }
  return true;
}

bool postgres_rows_search(struct postgres_rows *r, struct error *e) {
  // Deferred constraints would only speak at the commit, and name no row.
  return postgres_exec(r->p, "SET CONSTRAINTS ALL IMMEDIATE", e) && place(r, 0, r->count, e);
}
