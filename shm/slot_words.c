// The words of a slot's worker page: stored by the worker, read by the supervisor. The texts are in slot.c.
#include "shm/slot.h"

// Relaxed: each word is shown or compared by itself, nothing is published through it.
static void set(_Atomic uint64_t *word, uint64_t value) {
  atomic_store_explicit(word, value, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *word) {
  return atomic_load_explicit(word, memory_order_relaxed);
}

void slot_deadline_set(struct slot *s, uint64_t monotonic_ns) {
  set(&s->page->deadline_ns, monotonic_ns);
}

void slot_counters_set(struct slot *s, const uint64_t counters[SLOT_COUNTERS]) {
  for (int i = 0; i < SLOT_COUNTERS; i++) set(&s->page->counters[i], counters[i]);
}

void slot_hand_set(struct slot *s, uint64_t stream, uint64_t position) {
  set(&s->page->hand_position, position);
  set(&s->page->hand_stream, stream + 1); // UINT64_MAX + 1 is 0: nothing in hand
}

void slot_did_work_set(struct slot *s) {
  atomic_store_explicit(&s->page->did_work, 1, memory_order_release); // pairs with slot_words_get in the supervisor
}

void slot_position_set(struct slot *s, uint64_t position) {
  set(&s->page->position, position);
}

void slot_oldest_set(struct slot *s, uint64_t realtime_ns) {
  set(&s->page->oldest_ns, realtime_ns);
}

void slot_words_get(const struct slot *s, struct slot_words *out) {
  const struct slot_worker_page *p = s->page;
  uint32_t state = atomic_load_explicit(&p->state, memory_order_relaxed);
  // The page belongs to a worker that may have gone mad: what is no state is shown as failed.
  out->state = state <= SLOT_FAILED ? (enum slot_state)state : SLOT_FAILED;
  out->did_work = atomic_load_explicit(&p->did_work, memory_order_acquire) != 0; // pairs with slot_did_work_set
  uint64_t hand = get(&p->hand_stream);
  out->has_hand = hand != 0;
  out->hand_stream = hand - 1;
  out->hand_position = get(&p->hand_position);
  out->deadline_ns = get(&p->deadline_ns);
  out->position = get(&p->position);
  out->oldest_ns = get(&p->oldest_ns);
  for (int i = 0; i < SLOT_COUNTERS; i++) out->counters[i] = get(&p->counters[i]);
}
