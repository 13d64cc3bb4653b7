// The batch: bookkeeping of rows that lie in the ring.
#include "workers/sinks/batch.h"

#include <stdlib.h>
#include <string.h>

static void letters_clear(struct batch *b) {
  for (size_t i = 0; i < b->letter_count; i++) {
    free(b->letters[i].reason);
    free(b->letters[i].code);
    free(b->letters[i].column);
    free(b->letters[i].constraint);
  }
  b->letter_count = 0;
}

void batch_free(struct batch *b) {
  letters_clear(b);
  free(b->letters);
  free(b->rows);
  *b = (struct batch){0};
}

struct batch_row *batch_add(struct batch *b) {
  if (b->count == b->room) {
    b->room = b->room ? b->room * 2 : 64;
    b->rows = memory_resize(b->rows, b->room * sizeof *b->rows);
  }
  struct batch_row *row = &b->rows[b->count++];
  *row = (struct batch_row){.state = ROW_LIVE};
  return row;
}

void batch_clear(struct batch *b) {
  letters_clear(b);
  b->count = b->deletes = 0;
  b->bytes = 0;
  b->first_ns = 0;
}

void batch_begin(struct batch *b) {
  letters_clear(b);
  for (size_t i = 0; i < b->count; i++)
    if (b->rows[i].state != ROW_GONE) b->rows[i].state = ROW_LIVE;
}

void batch_kill(struct batch *b, struct batch_row *row, const char *reason, const char *code, const char *column, const char *constraint) {
  if (b->letter_count == b->letter_room) {
    b->letter_room = b->letter_room ? b->letter_room * 2 : 16;
    b->letters = memory_resize(b->letters, b->letter_room * sizeof *b->letters);
  }
  row->state = ROW_DEAD;
  row->letter = (uint32_t)b->letter_count;
  b->letters[b->letter_count++] = (struct batch_letter){
      .reason = memory_text(reason),
      .code = memory_text(code),
      .column = memory_text(column ? column : ""),
      .constraint = memory_text(constraint ? constraint : ""),
  };
}

bool batch_has_letters(const struct batch *b) {
  if (b->letter_count > 0) return true;
  for (size_t i = 0; i < b->count; i++)
    if (b->rows[i].is_letter && b->rows[i].state == ROW_LIVE) return true;
  return false;
}
