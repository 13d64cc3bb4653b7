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
