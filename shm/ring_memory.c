// The ring's memory: making the memfd, checking that what we were handed is one, mapping each side with its own rights, and taking up where
// a predecessor was. Everything that runs once in a worker's life; ring.c and ring_fast.h are the rest.
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/ring.h"
#include "shm/sealed.h"

#define RING_MAGIC   UINT64_C(0x676e697272696577) // "weirring"
#define RING_VERSION 1

static bool ring_spec_ok(const struct ring_spec *spec) {
  return spec->capacity >= RING_CAPACITY_MIN && spec->capacity >= sealed_page() && spec->capacity <= RING_CAPACITY_MAX &&
         (spec->capacity & (spec->capacity - 1)) == 0 && spec->readers >= 1 && spec->readers <= RING_READERS_MAX &&
         spec->writer_words <= RING_NOTE_WORDS_MAX && spec->reader_words <= RING_NOTE_WORDS_MAX;
}

// Where everything lies follows from the spec alone, so that attaching can compute it again and compare.
static struct ring_geometry ring_layout(const struct ring_spec *spec) {
  struct ring_geometry g = {
      .magic = RING_MAGIC,
      .version = RING_VERSION,
      .readers = spec->readers,
      .capacity = spec->capacity,
      .writer_words = spec->writer_words,
      .reader_words = spec->reader_words,
      .writer_offset = sealed_page(),
  };
  g.reader_offset = g.writer_offset + sealed_round(offsetof(struct ring_writer_area, notes) + 2 * ring_note_stride(spec->writer_words));
  g.reader_stride = sealed_round(offsetof(struct ring_reader_area, notes) + 2 * ring_note_stride(spec->reader_words));
  g.data_offset = g.reader_offset + g.readers * g.reader_stride;
  g.total = g.data_offset + g.capacity;
  return g;
}

static struct ring_note_slot *ring_note_at(uint8_t *notes, uint32_t words, uint32_t slot) {
  return (struct ring_note_slot *)(void *)(notes + slot * ring_note_stride(words));
}

// Slot 0 of a new ring belongs to position 0 (all words 0), slot 1 to none.
static void ring_note_format(uint8_t *notes, uint32_t words) {
  atomic_store_explicit(&ring_note_at(notes, words, 1)->position, UINT64_MAX, memory_order_relaxed); // nobody else has the memfd yet
}

int ring_create(const struct ring_spec *spec) {
  if (!ring_spec_ok(spec)) return -EINVAL;
  struct ring_geometry g = ring_layout(spec);
  int fd = sealed_create("weir-ring", g.total);
  if (fd < 0) return fd;
  void *memory = NULL;
  int rc = sealed_map(fd, 0, g.data_offset, true, &memory);
  if (rc != 0) {
    close(fd);
    return rc;
  }
  uint8_t *base = memory;
  memcpy(base, &g, sizeof g);
  ring_note_format(((struct ring_writer_area *)(void *)(base + g.writer_offset))->notes, g.writer_words);
  for (uint64_t i = 0; i < g.readers; i++) {
    ring_note_format(((struct ring_reader_area *)(void *)(base + g.reader_offset + i * g.reader_stride))->notes, g.reader_words);
  }
  munmap(base, g.data_offset);
  return fd;
}

// Copies the geometry out of the memfd and checks every word of it. 0, -errno, -EBADMSG.
static int ring_geometry_read(int memfd, struct ring_geometry *g) {
  uint64_t bytes = 0;
  int rc = sealed_size(memfd, &bytes);
  if (rc != 0) return rc;
  if (bytes < sealed_page()) return -EBADMSG;
  void *memory = NULL;
  rc = sealed_map(memfd, 0, sealed_page(), false, &memory);
  if (rc != 0) return rc;
  memcpy(g, memory, sizeof *g);
  munmap(memory, sealed_page());
  struct ring_spec spec = {
      .capacity = g->capacity, .readers = g->readers, .writer_words = g->writer_words, .reader_words = g->reader_words};
  if (g->magic != RING_MAGIC || g->version != RING_VERSION || !ring_spec_ok(&spec)) return -EBADMSG;
  struct ring_geometry want = ring_layout(&spec);
  return memcmp(g, &want, sizeof want) == 0 && bytes == want.total ? 0 : -EBADMSG;
}

// One stretch of address space for all mappings of a side, so that one munmap takes them away.
struct ring_span {
  uint8_t *base, *next;
  int memfd;
};

static int ring_span_open(struct ring_span *span, int memfd, uint64_t bytes) {
  void *base = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return -errno;
  *span = (struct ring_span){.base = base, .next = base, .memfd = memfd};
  return 0;
}

// Maps the next area of the span. 0 and *at, or -errno.
static int ring_span_map(struct ring_span *span, uint64_t offset, uint64_t bytes, bool writable, uint8_t **at) {
  int rights = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  if (mmap(span->next, bytes, rights, MAP_SHARED | MAP_FIXED, span->memfd, (off_t)offset) == MAP_FAILED) return -errno;
  *at = span->next;
  span->next += bytes;
  return 0;
}

// The data, twice in a row: a record that begins near the end goes on in the second copy, which is the beginning.
static int ring_span_map_data(struct ring_span *span, const struct ring_geometry *g, bool writable, uint8_t **at) {
  uint8_t *again = NULL;
  int rc = ring_span_map(span, g->data_offset, g->capacity, writable, at);
  if (rc == 0) rc = ring_span_map(span, g->data_offset, g->capacity, writable, &again);
  return rc;
}

// Finds the note that belongs to `position`, copies its words to a new private staging area, and tells which slot is free to be filled
// next.
static int ring_note_take(uint8_t *notes, uint32_t words, uint64_t position, uint64_t **staging, uint32_t *next_slot) {
  for (uint32_t slot = 0; slot < 2; slot++) {
    struct ring_note_slot *s = ring_note_at(notes, words, slot);
    // Relaxed: its writer is dead and reaped, or is ourselves.
    if (atomic_load_explicit(&s->position, memory_order_relaxed) != position) continue;
    uint64_t *copy = calloc(words > 0 ? words : 1, sizeof *copy);
    if (copy == NULL) return -ENOMEM;
    for (uint32_t i = 0; i < words; i++) copy[i] = atomic_load_explicit(&s->words[i], memory_order_relaxed);
    *staging = copy;
    *next_slot = slot ^ 1;
    return 0;
  }
  return -EBADMSG;
}

static int ring_writer_map(struct ring_writer *w, int memfd, const struct ring_geometry *g) {
  uint64_t writer_bytes = g->reader_offset - g->writer_offset;
  uint64_t bytes = writer_bytes + g->readers * g->reader_stride + 2 * g->capacity;
  struct ring_span span = {0};
  int rc = ring_span_open(&span, memfd, bytes);
  if (rc != 0) return rc;
  w->map = span.base;
  w->map_bytes = bytes;
  uint8_t *at = NULL;
  rc = ring_span_map(&span, g->writer_offset, writer_bytes, true, &at);
  w->area = (struct ring_writer_area *)(void *)at;
  for (uint32_t i = 0; rc == 0 && i < g->readers; i++) {
    rc = ring_span_map(&span, g->reader_offset + i * g->reader_stride, g->reader_stride, false, &at);
    w->reader_area[i] = (const struct ring_reader_area *)(void *)at;
  }
  return rc == 0 ? ring_span_map_data(&span, g, true, &w->data) : rc;
}

// Takes up at the stored tail.
static int ring_writer_resume(struct ring_writer *w) {
  uint64_t tail = atomic_load_explicit(&w->area->tail, memory_order_seq_cst); // our own word: the predecessor is dead
  w->at = w->group_end = w->published = tail;
  if (tail % RING_ALIGN != 0) w->fault = RING_FAULT_TAIL;
  // A first look at the heads: it leaves limit at the slowest of them, or a fault.
  if (w->fault == RING_OK) (void)ring_room(w, tail);
  if (w->fault != RING_OK) return -EBADMSG;
  int rc = ring_note_take(w->area->notes, w->words, tail, &w->note, &w->slot);
  if (rc == -EBADMSG) w->fault = RING_FAULT_NOTE;
  return rc;
}

int ring_writer_attach(struct ring_writer *w, int memfd, const int *bells) {
  *w = (struct ring_writer){0};
  struct ring_geometry g;
  int rc = ring_geometry_read(memfd, &g);
  if (rc == -EBADMSG) w->fault = RING_FAULT_GEOMETRY;
  if (rc != 0) return rc;
  w->capacity = g.capacity;
  w->mask = g.capacity - 1;
  w->readers = g.readers;
  w->words = g.writer_words;
  for (uint32_t i = 0; i < RING_READERS_MAX; i++) w->bell[i] = i < g.readers ? bells[i] : -1;
  rc = ring_writer_map(w, memfd, &g);
  if (rc == 0) rc = ring_writer_resume(w);
  if (rc != 0) {
    enum ring_fault fault = w->fault;
    ring_writer_detach(w);
    w->fault = fault;
    return rc;
  }
  // The predecessor may have died between its store of tail and the bell.
  for (uint32_t i = 0; i < w->readers; i++) ring_bell(w->bell[i]);
  return 0;
}

void ring_writer_detach(struct ring_writer *w) {
  if (w->map != NULL) munmap(w->map, w->map_bytes);
  free(w->note);
  *w = (struct ring_writer){0};
}

static int ring_reader_map(struct ring_reader *r, int memfd, const struct ring_geometry *g, unsigned index) {
  uint64_t writer_bytes = g->reader_offset - g->writer_offset;
  uint64_t bytes = writer_bytes + g->reader_stride + 2 * g->capacity;
  struct ring_span span = {0};
  int rc = ring_span_open(&span, memfd, bytes);
  if (rc != 0) return rc;
  r->map = span.base;
  r->map_bytes = bytes;
  uint8_t *at = NULL;
  rc = ring_span_map(&span, g->writer_offset, writer_bytes, false, &at);
  r->writer_area = (const struct ring_writer_area *)(void *)at;
  if (rc == 0) rc = ring_span_map(&span, g->reader_offset + index * g->reader_stride, g->reader_stride, true, &at);
  r->area = (struct ring_reader_area *)(void *)at;
  if (rc == 0) rc = ring_span_map_data(&span, g, false, &at);
  r->data = at;
  return rc;
}

// Takes up at the stored head.
static int ring_reader_resume(struct ring_reader *r) {
  uint64_t head = atomic_load_explicit(&r->area->head, memory_order_seq_cst); // our own word: the predecessor is dead
  r->cursor = r->tail_seen = r->head = head;
  if (head % RING_ALIGN != 0) r->fault = RING_FAULT_HEAD;
  // A first look at the tail: a fault when it does not fit the head.
  if (r->fault == RING_OK) (void)ring_refill(r);
  if (r->fault != RING_OK) return -EBADMSG;
  int rc = ring_note_take(r->area->notes, r->words, head, &r->note, &r->slot);
  if (rc == -EBADMSG) r->fault = RING_FAULT_NOTE;
  return rc;
}

int ring_reader_attach(struct ring_reader *r, int memfd, unsigned index, int bell) {
  *r = (struct ring_reader){.bell = -1};
  struct ring_geometry g;
  int rc = ring_geometry_read(memfd, &g);
  if (rc == -EBADMSG) r->fault = RING_FAULT_GEOMETRY;
  if (rc != 0) return rc;
  if (index >= g.readers) return -EINVAL;
  r->capacity = g.capacity;
  r->mask = g.capacity - 1;
  r->words = g.reader_words;
  r->bell = bell;
  rc = ring_reader_map(r, memfd, &g, index);
  if (rc == 0) rc = ring_reader_resume(r);
  if (rc != 0) {
    enum ring_fault fault = r->fault;
    ring_reader_detach(r);
    r->fault = fault;
    return rc;
  }
  ring_bell(r->bell); // the predecessor may have died between its store of head and the bell
  return 0;
}

void ring_reader_detach(struct ring_reader *r) {
  if (r->map != NULL) munmap(r->map, r->map_bytes);
  free(r->note);
  *r = (struct ring_reader){.bell = -1};
}
