// Records into rows of cells.
#include "workers/sinks/row.h"

#include <stdlib.h>
#include <string.h>

#include "proto/msgpack.h"

void row_free(struct row *r) {
  for (size_t i = 0; i < r->room; i++) buffer_free(&r->scratch[i]);
  free(r->fields);
  free(r->cells);
  free(r->scratch);
  *r = (struct row){0};
}

static void row_reserve(struct row *r, size_t columns) {
  if (columns <= r->room) return;
  r->fields = memory_resize(r->fields, columns * sizeof *r->fields);
  r->cells = memory_resize(r->cells, columns * sizeof *r->cells);
  r->scratch = memory_resize(r->scratch, columns * sizeof *r->scratch);
  memset(r->scratch + r->room, 0, (columns - r->room) * sizeof *r->scratch);
  r->room = columns;
}

static void ignore(void *context, const char *name, uint32_t length, const uint8_t *at, const uint8_t *end) {
  (void)at, (void)end;
  table_ignore(context, name, length);
}

// Whether any field of the record read last has a column.
static bool has_fields(const struct row *r, const struct table *t) {
  for (size_t i = 0; i < t->count; i++)
    if (r->fields[i].at) return true;
  return false;
}

// Where the value of a key's column lies in a tombstone: under its name, or, of a key that is one column, under `_key`.
static bool find_key(const struct table *t, const struct batch_row *record, const struct column *c, struct row_field *field) {
  static const char whole[] = "_key";
  if (msgpack_find(record->body, record->end, c->name, c->length, &field->at, &field->end) && *field->at != MSGPACK_B_NIL) return true;
  return !table_key_column(t, 2) && msgpack_find(record->body, record->end, whole, strlen(whole), &field->at, &field->end);
}

// The key of a tombstone into its cells; what else the record holds is not looked at.
static bool read_key(struct row *r, struct table *t, struct batch *b, struct batch_row *record) {
  row_reserve(r, t->count);
  if (!t->deletes) {
    batch_kill(b, record, "a tombstone, and the sink has not `delete: tombstones`", "tombstone", NULL, NULL);
    return false;
  }
  for (size_t i = 0; i < t->count; i++) {
    const struct column *c = &t->columns[i];
    if (!c->key) continue;
    r->cells[i].kind = CELL_NULL;
    if (find_key(t, record, c, &r->fields[i]) &&
        !cell_convert(c->type, r->fields[i].at, r->fields[i].end, &r->scratch[i], &r->cells[i], &r->why)) {
      batch_kill(b, record, r->why.text, r->why.code, c->name, NULL);
      return false;
    }
    if (r->cells[i].kind == CELL_NULL) {
      batch_kill(b, record,
                 "a tombstone without this column of the key: behind SQL it comes from the message's key, as in coalesce(id, _key) AS id",
                 "null-key", c->name, NULL);
      return false;
    }
  }
  return true;
}

static bool is_aside(struct batch *b, struct batch_row *record) {
  if (record->set_aside) batch_kill(b, record, "set aside unseen: this input killed its worker again and again", "poison", NULL, NULL);
  return record->set_aside;
}

bool row_map_or_kill(struct row *r, struct table *t, struct batch *b, struct batch_row *record) {
  uint64_t before = t->ignored;
  if (is_aside(b, record)) return false;
  row_reserve(r, t->count);
  if (!table_map(t, record->body, record->end, r->fields, ignore, t)) {
    batch_kill(b, record, "the record is not a map of names to values", "msgpack", NULL, NULL);
    return false;
  }
  // Set, not added: a batch that is tried again reads its rows again.
  record->ignored = (uint16_t)(t->ignored - before);
  if (has_fields(r, t)) return true;
  batch_kill(b, record, "no field of the record has a column in the table", "no-field", NULL, NULL);
  return false;
}

bool row_cell_or_kill(struct row *r, const struct table *t, size_t column, struct batch *b, struct batch_row *record) {
  const struct column *c = &t->columns[column];
  const struct row_field *field = &r->fields[column];
  if (!cell_convert(c->type, field->at, field->end, &r->scratch[column], &r->cells[column], &r->why)) {
    batch_kill(b, record, r->why.text, r->why.code, c->name, NULL);
    return false;
  }
  if (!c->key || r->cells[column].kind != CELL_NULL) return true;
  batch_kill(b, record, "a column of the key is null", "null-key", c->name, NULL);
  return false;
}

bool row_read_or_kill(struct row *r, struct table *t, struct batch *b, struct batch_row *record) {
  if (record->is_delete) return !is_aside(b, record) && read_key(r, t, b, record);
  if (!row_map_or_kill(r, t, b, record)) return false;
  for (size_t i = 0; i < t->count; i++)
    if (t->columns[i].used && !row_cell_or_kill(r, t, i, b, record)) return false;
  return true;
}
