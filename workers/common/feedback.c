// Feedback words of sinks: see feedback.h for the order of stores that makes an answer whole.
#include "workers/common/feedback.h"

static uint32_t word(uint64_t stream, enum feedback_word which) {
  return (uint32_t)(stream * FEEDBACK_WORDS + which);
}

static bool stream_fits(const struct words *w, uint64_t stream) {
  return stream < w->count / FEEDBACK_WORDS;
}

void feedback_get(const struct words *w, uint64_t stream, struct feedback_answer *a) {
  *a = (struct feedback_answer){.state = FEEDBACK_UNKNOWN};
  if (!stream_fits(w, stream)) return;
  uint64_t state = words_load(w, word(stream, FEEDBACK_STATE));
  // The sink's page is a peer's: a value that is no state counts as no answer.
  if (state > FEEDBACK_FORGOTTEN) return;
  a->state = (enum feedback_state)state;
  a->position = words_load(w, word(stream, FEEDBACK_POSITION));
  a->witness = words_load(w, word(stream, FEEDBACK_WITNESS));
  a->start = words_load(w, word(stream, FEEDBACK_STARTED_AT));
  a->epoch = words_load(w, word(stream, FEEDBACK_EPOCH));
}

void feedback_answer(struct words *w, uint64_t stream, const struct feedback_answer *a) {
  if (!stream_fits(w, stream)) return;
  words_store(w, word(stream, FEEDBACK_POSITION), a->position);
  words_store(w, word(stream, FEEDBACK_WITNESS), a->witness);
  words_store(w, word(stream, FEEDBACK_STARTED_AT), a->start);
  words_store(w, word(stream, FEEDBACK_EPOCH), a->epoch);
  words_store(w, word(stream, FEEDBACK_STATE), a->state);
}

void feedback_epoch(struct words *w, uint64_t stream, uint64_t epoch) {
  if (stream_fits(w, stream)) words_store(w, word(stream, FEEDBACK_EPOCH), epoch);
}

void feedback_end(struct words *w, uint64_t stream, enum feedback_state how) {
  if (stream_fits(w, stream)) words_store(w, word(stream, FEEDBACK_STATE), how);
}

bool feedback_is_lost(const struct words *sinks, unsigned count, uint64_t stream) {
  bool lost = false;
  for (unsigned i = 0; i < count; i++) {
    struct feedback_answer a;
    feedback_get(&sinks[i], stream, &a);
    lost = lost || a.state == FEEDBACK_LOST;
  }
  return lost;
}

void feedback_position(struct words *w, uint64_t stream, uint64_t position) {
  if (stream_fits(w, stream)) words_store(w, word(stream, FEEDBACK_POSITION), position);
}

uint64_t feedback_minimum(const struct words *sinks, unsigned count, uint64_t stream) {
  uint64_t least = UINT64_MAX;
  for (unsigned i = 0; i < count; i++) {
    struct feedback_answer a;
    feedback_get(&sinks[i], stream, &a);
    if (a.state != FEEDBACK_READY) return 0;
    if (a.position < least) least = a.position;
  }
  return count == 0 ? 0 : least;
}
