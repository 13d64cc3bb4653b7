// The share of dead rows among the last thousand.
#include "workers/sinks/brake.h"

static void step(struct brake *brake, bool dead) {
  brake->sum += dead;
  brake->sum -= brake->dead[brake->next];
  brake->dead[brake->next] = dead;
  brake->next = (brake->next + 1) % BRAKE_WINDOW;
}

static bool is_tried(const struct batch_row *row) {
  return !row->is_letter && row->state != ROW_GONE;
}

bool brake_allows(const struct brake *brake, const struct batch *b, struct error *e) {
  struct brake trial = *brake;
  const char *reason = "";
  for (size_t i = 0; i < b->count; i++) {
    const struct batch_row *row = &b->rows[i];
    if (!is_tried(row)) continue;
    if (row->state == ROW_DEAD) reason = b->letters[row->letter].reason;
    step(&trial, row->state == ROW_DEAD);
    if (trial.sum <= brake->stop_above * BRAKE_WINDOW) continue;
    error_set(
        e, ERROR_OPERATOR, "brake",
        "%u of the last %d rows cannot be written, more than dead_letters.stop_above (%g %%) allows; nothing of this batch was stored. "
        "The last reason: %s",
        trial.sum, BRAKE_WINDOW, brake->stop_above * 100, reason);
    return false;
  }
  return true;
}

void brake_note(struct brake *brake, const struct batch *b) {
  for (size_t i = 0; i < b->count; i++)
    if (is_tried(&b->rows[i])) step(brake, b->rows[i].state == ROW_DEAD);
}
