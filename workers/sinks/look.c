// A look over a batch before it is written.
#include "workers/sinks/look.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/msgpack.h"

struct looking {
  const struct table *table;
  struct table *added;
  size_t name_most;
};

static void see_unknown(void *context, const char *name, uint32_t length, const uint8_t *at, const uint8_t *end) {
  struct looking *l = context;
  int32_t found = table_find(l->added, name, length);
  if (found == TABLE_NO_COLUMN) {
    bool fits = length > 0 && length <= l->name_most && !memchr(name, 0, length);
    if (!fits || l->table->count + l->added->count >= LIMIT_FIELDS) return;
    char *text = memory_text_n(name, length);
    table_add(l->added, text, COLUMN_TEXT)->guessed = true;
    free(text);
    found = (int32_t)l->added->count - 1;
  }
  table_guess(&l->added->columns[found], at, end);
}

// Of a body that is a map.
static size_t field_count(const struct batch_row *row) {
  const uint8_t *at = row->body;
  struct msgpack_value map;
  return msgpack_read(&at, row->end, &map) ? map.length : 0;
}

bool batch_look(const struct batch *b, struct table *table, struct table *added, size_t name_most) {
  struct looking looking = {.table = table, .added = added, .name_most = name_most};
  struct row_field *fields = memory_get((table->count + 1) * sizeof *fields);
  bool any = false;
  for (size_t i = 0; i < b->count; i++) {
    const struct batch_row *row = &b->rows[i];
    if (row->state != ROW_LIVE || row->is_letter || row->set_aside || row->is_delete) continue;
    // A body that is no map is found again, and killed, when the row is written.
    if (!table_map(table, row->body, row->end, fields, added ? see_unknown : NULL, &looking)) continue;
    any = true;
    if (table->expected > 0 && field_count(row) >= table->expected) table->looked = true;
    for (size_t c = 0; c < table->count; c++)
      if (fields[c].at) table_guess(&table->columns[c], fields[c].at, fields[c].end);
  }
  free(fields);
  for (size_t i = 0; i < table->count; i++) table->columns[i].guessed = false;
  for (size_t i = 0; added && i < added->count; i++) added->columns[i].guessed = false;
  return any;
}
