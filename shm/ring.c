// The ring's slow side: everything that looks at a peer's words or rings a bell. Called through ring.h, and by the inline functions of
// ring_fast.h when their private copies run out. Every word of a peer is checked here before it is used.
#include "shm/ring.h"

#include <errno.h>
#include <unistd.h>

#include "shm/crash_point.h"

const char *ring_fault_text(enum ring_fault fault) {
  switch (fault) {
  case RING_OK: return "no fault";
  case RING_FAULT_GEOMETRY: return "the memory is not a ring of this version";
  case RING_FAULT_TAIL: return "the writer's position is out of range";
  case RING_FAULT_HEAD: return "a reader's position is out of range";
  case RING_FAULT_LENGTH: return "a record's length is out of range";
  case RING_FAULT_GUARD: return "a record's header is damaged";
  case RING_FAULT_NOTE: return "no resume note belongs to the stored position";
  case RING_FAULT_SEEK: return "a resume note names a place that is not in the ring";
  }
  return "unknown fault";
}

void ring_bell(int bell) {
  if (bell < 0) return;
  static const uint64_t one = 1;
  // EAGAIN: the counter is full, so the bell has been rung already.
  while (write(bell, &one, sizeof one) < 0 && errno == EINTR) {}
}

void ring_reader_fault(struct ring_reader *r, enum ring_fault fault) {
  if (r->fault == RING_OK) r->fault = fault;
  r->tail_seen = r->cursor; // every further ring_next comes to ring_refill, which sees the fault
}

static bool ring_writer_fault(struct ring_writer *w, enum ring_fault fault) {
  if (w->fault == RING_OK) w->fault = fault;
  w->limit = 0; // every further ring_reserve comes to ring_room, which sees the fault
  return false;
}

// Loads every head anew and brings limit up to date. False: a fault. `order` is acquire to look for room, seq_cst before sleeping; either
// pairs with the seq_cst store in ring_release: the reader's loads of what lies before the head are over.
static inline bool ring_heads_look(struct ring_writer *w, memory_order order) {
  uint64_t slowest = UINT64_MAX;
  for (uint32_t i = 0; i < w->readers; i++) {
    uint64_t head = atomic_load_explicit(&w->reader_area[i]->head, order);
    if (head % RING_ALIGN != 0 || head < w->head_seen[i] || head > w->published || w->published - head > w->capacity) {
      return ring_writer_fault(w, RING_FAULT_HEAD);
    }
    w->head_seen[i] = head;
    if (head < slowest) slowest = head;
  }
  w->limit = slowest + w->capacity;
  return true;
}

bool ring_room(struct ring_writer *w, uint64_t end) {
  if (w->fault != RING_OK) return false;
  return ring_heads_look(w, memory_order_acquire) && end <= w->limit;
}

bool ring_drained(struct ring_writer *w) {
  if (w->fault != RING_OK) return false;
  return ring_heads_look(w, memory_order_acquire) && w->limit == w->published + w->capacity;
}

void ring_rollback(struct ring_writer *w, uint64_t mark) {
  assert(!w->reserved && mark >= w->group_end && mark <= w->at);
  w->at = mark;
}

void ring_group_abort(struct ring_writer *w) {
  w->reserved = false;
  w->at = w->group_end;
}

// Fills the note slot that does not belong to the present tail (head). A kill at any store in here leaves a slot that nobody trusts: its
// position becomes that of the stored tail (head) only by the store that follows.
static void ring_note_fill(uint8_t *notes, uint32_t words, uint32_t slot, const uint64_t *note, uint64_t position) {
  struct ring_note_slot *s = (struct ring_note_slot *)(void *)(notes + slot * ring_note_stride(words));
  // Relaxed: the store of tail (head) behind orders them all for a successor in this memory.
  atomic_store_explicit(&s->position, UINT64_MAX, memory_order_relaxed);
  for (uint32_t i = 0; i < words; i++) atomic_store_explicit(&s->words[i], note[i], memory_order_relaxed);
  atomic_store_explicit(&s->position, position, memory_order_relaxed);
}

static void ring_bell_readers(struct ring_writer *w, uint64_t old) {
  CRASH_POINT("ring.tail_stored");
  uint64_t now = w->published;
  for (uint32_t i = 0; i < w->readers; i++) {
    // Pairs with the seq_cst store in ring_reader_sleep: either we see wake_at here, or the reader sees our tail there.
    uint64_t wake_at = atomic_load_explicit(&w->reader_area[i]->wake_at, memory_order_seq_cst);
    if (now - wake_at - 1 < now - old) ring_bell(w->bell[i]); // wake_at in [old, now); garbage gives at most a needless ring
  }
}

void ring_publish(struct ring_writer *w) {
  uint64_t old = w->published, now = w->group_end;
  if (now == old || w->fault != RING_OK) return;
  ring_note_fill(w->area->notes, w->words, w->slot, w->note, now);
  w->slot ^= 1;
  w->published = now;
  CRASH_POINT("ring.tail_unstored");
  // This IS the publishing. Pairs with the acquire load in ring_refill (bytes) and the seq_cst load in ring_reader_sleep (no lost bell).
  atomic_store_explicit(&w->area->tail, now, memory_order_seq_cst);
  ring_bell_readers(w, old);
}

// The head at which a sleeping writer wants to be woken: a quarter ring of room to avoid a ping-pong of single records, but never more than
// what a reader leaves free that holds just under half of the ring (it commits at half, so it would never pass a place beyond).
static uint64_t ring_space_wanted(const struct ring_writer *w, uint64_t need) {
  uint64_t quarter = w->at + w->capacity / 4;
  uint64_t sure = w->published + w->capacity / 2;
  uint64_t end = quarter < sure ? quarter : sure;
  return end > need + w->capacity ? end - w->capacity : need;
}

bool ring_writer_sleep(struct ring_writer *w, uint32_t size) {
  ring_publish(w);
  uint64_t end = w->at + ring_footprint(size);
  if (w->fault != RING_OK || ring_room(w, end) || w->fault != RING_OK) return false;
  // No room means that end is beyond a head + capacity: the subtraction cannot wrap.
  uint64_t wanted = ring_space_wanted(w, end - w->capacity);
  // Pairs with the seq_cst load in ring_release: either the reader sees space_at there, or we see its head here.
  atomic_store_explicit(&w->area->space_at, wanted - 1, memory_order_seq_cst);
  return ring_heads_look(w, memory_order_seq_cst) && end > w->limit;
}

// Takes a newly loaded tail for good, or reports a fault.
static bool ring_tail_take(struct ring_reader *r, uint64_t tail) {
  if (tail % RING_ALIGN != 0 || tail < r->tail_seen || tail - r->head > r->capacity) {
    ring_reader_fault(r, RING_FAULT_TAIL);
    return false;
  }
  r->tail_seen = tail;
  return true;
}

bool ring_refill(struct ring_reader *r) {
  if (r->fault != RING_OK) return false;
  // Pairs with the seq_cst store in ring_publish: all bytes before the tail are visible.
  uint64_t tail = atomic_load_explicit(&r->writer_area->tail, memory_order_acquire);
  return ring_tail_take(r, tail) && tail != r->cursor;
}

void ring_seek(struct ring_reader *r, uint64_t position) {
  if (r->fault != RING_OK) return;
  if (position > r->tail_seen) (void)ring_refill(r);
  if (r->fault != RING_OK) return;
  if (position % RING_ALIGN != 0 || position < r->head || position > r->tail_seen) {
    ring_reader_fault(r, RING_FAULT_SEEK);
    return;
  }
  r->cursor = position;
}

void ring_release(struct ring_reader *r, uint64_t upto) {
  uint64_t old = r->head;
  if (upto == old || r->fault != RING_OK) return;
  assert(upto > old && upto <= r->cursor && upto % RING_ALIGN == 0);
  ring_note_fill(r->area->notes, r->words, r->slot, r->note, upto);
  r->slot ^= 1;
  r->head = upto;
  CRASH_POINT("ring.head_unstored");
  // Pairs with the loads in ring_heads_look: acquire for the writer that overwrites, seq_cst for the one that goes to sleep.
  atomic_store_explicit(&r->area->head, upto, memory_order_seq_cst);
  CRASH_POINT("ring.head_stored");
  // Pairs with the seq_cst store in ring_writer_sleep: either we see space_at here, or the writer sees our head there.
  uint64_t space_at = atomic_load_explicit(&r->writer_area->space_at, memory_order_seq_cst);
  if (upto - space_at - 1 < upto - old) ring_bell(r->bell);
}

bool ring_reader_sleep(struct ring_reader *r) {
  if (r->fault != RING_OK || r->cursor != r->tail_seen) return false;
  // Pairs with the seq_cst load in ring_bell_readers: either the writer sees wake_at there, or we see its tail here.
  atomic_store_explicit(&r->area->wake_at, r->cursor, memory_order_seq_cst);
  return atomic_load_explicit(&r->writer_area->tail, memory_order_seq_cst) == r->cursor; // pairs with ring_publish
}

uint64_t ring_reader_backlog(struct ring_reader *r) {
  (void)ring_refill(r);
  return r->fault == RING_OK ? r->tail_seen - r->head : 0;
}
