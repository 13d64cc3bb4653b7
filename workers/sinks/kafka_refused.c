// Records that the brokers have refused.
#include "workers/sinks/kafka_refused.h"

#include <stdio.h>
#include <stdlib.h>

// A row by its origin: its index in the batch is another one in the next try.
struct refused_record {
  uint64_t position;
  uint32_t stream, part;
  enum kafka_refusal state;
};

void kafka_refused_clear(struct kafka_refused *r) {
  free(r->at);
  free(r->reason);
  *r = (struct kafka_refused){0};
}

static struct refused_record *find(const struct kafka_refused *r, const struct batch_row *row) {
  for (size_t i = 0; i < r->count; i++)
    if (r->at[i].position == row->position && r->at[i].part == row->part && r->at[i].stream == row->stream) return &r->at[i];
  return NULL;
}

enum kafka_refusal kafka_refused_find(const struct kafka_refused *r, const struct batch_row *row) {
  const struct refused_record *found = r->count > 0 ? find(r, row) : NULL;
  return found ? found->state : REFUSAL_NONE;
}

static void add(struct kafka_refused *r, const struct batch_row *row) {
  if (r->count == r->room) {
    r->room = r->room ? r->room * 2 : 16;
    r->at = memory_resize(r->at, r->room * sizeof *r->at);
  }
  r->at[r->count++] =
      (struct refused_record){.position = row->position, .stream = row->stream, .part = row->part, .state = REFUSAL_SUSPECT};
}

bool kafka_refused_note(struct kafka_refused *r, const struct batch *b, const uint64_t *marks, size_t count, const struct error *why) {
  bool news = false;
  for (size_t i = 0; i < count; i++) {
    if (marks[i] >= b->count) continue;
    struct refused_record *known = find(r, &b->rows[marks[i]]);
    if (known && known->state == REFUSAL_ALONE) continue;
    news = true;
    if (known)
      known->state = REFUSAL_ALONE;
    else
      add(r, &b->rows[marks[i]]);
  }
  if (news) {
    free(r->reason);
    r->reason = memory_text(why->text);
    snprintf(r->code, sizeof r->code, "%s", why->code);
  }
  return news;
}
