// The ring's hot path: what runs for each record, in a header so that it melts into its caller. Included by ring.h only; see there for what
// each function promises. Whatever is rare (looking at the peers' words, bells, faults) is in ring.c.
#pragma once
#include <assert.h>
#include <string.h>

#include "shm/ring.h"

// What lies in front of each payload.
struct ring_frame {
  uint32_t length;
  uint32_t guard;
};
_Static_assert(sizeof(struct ring_frame) == RING_FRAME, "the frame header is part of the layout");

// Parts of the functions below that are not inlined; for them only.
bool ring_room(struct ring_writer *w, uint64_t end); // looks at the readers' heads again: true when `end` fits now
bool ring_refill(struct ring_reader *r);             // looks at the writer's tail again: true when there is a record at the cursor
void ring_reader_fault(struct ring_reader *r, enum ring_fault fault); // remembers the first fault, stops the reader
void ring_bell(int bell);                                             // writes 1 to an eventfd; -1: nothing
void ring_bell_readers(struct ring_writer *w, uint64_t old);          // rings whoever fell asleep at a place in [old, published)

// Fills the note slot that does not belong to the present tail (head). A kill at any store in here leaves a slot that nobody trusts: its
// position becomes that of the stored tail (head) only by the store that follows.
static inline void ring_note_fill(uint8_t *notes, uint32_t words, uint32_t slot, const uint64_t *note, uint64_t position) {
  uint64_t stride = ((uint64_t)words * 8 + 8 + RING_LINE - 1) & ~(uint64_t)(RING_LINE - 1);
  struct ring_note_slot *s = (struct ring_note_slot *)(void *)(notes + slot * stride);
  // Relaxed: the store of tail (head) behind orders them all for a successor in this memory.
  atomic_store_explicit(&s->position, UINT64_MAX, memory_order_relaxed);
  for (uint32_t i = 0; i < words; i++) atomic_store_explicit(&s->words[i], note[i], memory_order_relaxed);
  atomic_store_explicit(&s->position, position, memory_order_relaxed);
}

static inline void *ring_reserve(struct ring_writer *w, uint32_t size) {
  assert(!w->reserved);
  uint64_t end = w->at + ring_footprint(size);
  // After a fault limit is 0, so that every reservation takes the second test and fails there.
  if (__builtin_expect(end > w->limit, 0) && !ring_room(w, end)) return NULL;
  if (__builtin_expect(size > ring_record_max(w->capacity), 0)) return NULL;
  w->reserved = true;
  w->open = size;
  return w->data + (w->at & w->mask) + RING_FRAME;
}

static inline void ring_commit(struct ring_writer *w, uint32_t size) {
  assert(w->reserved && size <= w->open);
  struct ring_frame frame = {.length = size, .guard = ring_guard(w->at, size)};
  memcpy(w->data + (w->at & w->mask), &frame, sizeof frame);
  w->at += ring_footprint(size);
  w->reserved = false;
}

static inline void ring_abort(struct ring_writer *w) {
  assert(w->reserved);
  w->reserved = false;
}

static inline void ring_publish(struct ring_writer *w) {
  uint64_t old = w->published, now = w->group_end;
  if (now == old || w->fault != RING_OK) return;
  ring_note_fill(w->area->notes, w->words, w->slot, w->note, now);
  w->slot ^= 1;
  w->published = now;
  // This IS the publishing. Pairs with the acquire load in ring_refill (bytes) and the seq_cst load in ring_reader_sleep (no lost bell).
  atomic_store_explicit(&w->area->tail, now, memory_order_seq_cst);
  ring_bell_readers(w, old);
}

static inline void ring_group_end(struct ring_writer *w) {
  assert(!w->reserved);
  w->group_end = w->at;
  if (__builtin_expect(w->at - w->published >= w->capacity / 4, 0)) ring_publish(w);
}

static inline bool ring_next(struct ring_reader *r, struct ring_view *view) {
  uint64_t at = r->cursor;
  if (__builtin_expect(at == r->tail_seen, 0) && !ring_refill(r)) return false;
  const uint8_t *bytes = r->data + (at & r->mask);
  struct ring_frame frame;
  memcpy(&frame, bytes, sizeof frame); // copied once, then checked: the memory is another process's
  uint64_t footprint = ring_footprint(frame.length);
  if (__builtin_expect(footprint > r->tail_seen - at || frame.length > ring_record_max(r->capacity), 0)) {
    ring_reader_fault(r, RING_FAULT_LENGTH);
    return false; // not the call's result: the compiler must see that `view` is set whenever this function says true
  }
  if (__builtin_expect(frame.guard != ring_guard(at, frame.length), 0)) {
    ring_reader_fault(r, RING_FAULT_GUARD);
    return false;
  }
  *view = (struct ring_view){.payload = bytes + RING_FRAME, .length = frame.length, .position = at, .end = at + footprint};
  r->cursor = at + footprint;
  return true;
}
