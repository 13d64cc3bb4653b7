// Fuzzes the ring's and the register's defence: any byte of the shared pages may be garbage at rest. Whoever meets it must report a fault
// and stop, and must never hand out a byte outside of its mapping.
//
// As a libFuzzer target: clang -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_ring.c shm/*.c. tests/unit/test_ring_garbage.c drives
// the same function with a fixed seed.
//
// An input is a byte of choices, then spoils of ten bytes: where (two bytes: area, place in it), and the eight bytes to put there.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/register.h"
#include "shm/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum {
  CAPACITY = 4096,
  RECORDS_MAX = CAPACITY / RING_ALIGN, // more cannot lie in the ring: who reads on has left it
  SPOIL = 10,
  REGISTER_BYTES = 4096,
};

static void demand(bool truth, const char *what) {
  if (truth) return;
  fprintf(stderr, "fuzz_ring: %s\n", what);
  abort();
}

struct prey {
  int fd;
  uint8_t *bytes; // the whole memfd, writable
  struct ring_geometry geometry;
  struct ring_writer writer;
  struct ring_reader reader;
  bool writer_attached, reader_attached;
};

// ---- what a side may do with a ring of unknown content
// -----------------------------------------------------------------------------------

// Touches every byte: out of bounds is found here, by a sanitizer or by the kernel.
static void read_all(const uint8_t *bytes, uint32_t length) {
  for (uint32_t i = 0; i < length; i++) (void)*(const volatile uint8_t *)&bytes[i];
}

static void reader_use(struct ring_reader *r) {
  struct ring_view v;
  for (int laps = 0; laps < 2; laps++) {
    unsigned records = 0;
    while (ring_next(r, &v)) {
      demand(r->fault == RING_OK, "a record beside a fault");
      demand(v.payload >= r->data && v.payload + v.length <= r->data + 2 * r->capacity, "a payload outside of the mapping");
      demand(v.end == r->cursor && v.end > v.position && v.end - r->head <= r->capacity, "a record outside of the ring");
      read_all(v.payload, v.length);
      demand(++records <= RECORDS_MAX, "more records than a ring can hold");
    }
    ring_seek(r, r->note[0]); // a successor's cursor comes out of a note
    ring_release(r, r->cursor > r->head ? r->cursor : r->head);
    (void)ring_reader_sleep(r);
    demand(ring_reader_backlog(r) <= r->capacity, "a backlog over the capacity");
  }
  if (r->fault != RING_OK) demand(!ring_next(r, &v) && !ring_reader_sleep(r), "a reader that goes on after a fault");
}

static void writer_use(struct ring_writer *w) {
  for (uint32_t i = 0; i < 2 * RECORDS_MAX; i++) {
    uint32_t size = i * 13 % 200;
    uint8_t *at = ring_reserve(w, size);
    if (at == NULL) break;
    demand(w->fault == RING_OK, "a reservation beside a fault");
    demand(at >= w->data && at + size <= w->data + 2 * w->capacity, "a reservation outside of the mapping");
    memset(at, 0x5a, size);
    ring_commit(w, size);
    if (i % 3 == 0) ring_group_end(w);
    demand(w->at - w->published <= w->capacity, "more written than a ring can hold");
  }
  (void)ring_writer_sleep(w, 100);
  (void)ring_drained(w);
  if (w->fault != RING_OK) demand(ring_reserve(w, 0) == NULL && !ring_writer_sleep(w, 0), "a writer that goes on after a fault");
}

// ---- the ring before it is spoilt -----------------------------------------------------------------------------------------------------

static void put_some(struct ring_writer *w, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    void *at = ring_reserve(w, 50 + i);
    if (at == NULL) break;
    memset(at, (int)i, 50 + i);
    ring_commit(w, 50 + i);
    ring_group_end(w);
    w->note[0] = w->group_end;
  }
  ring_publish(w);
}

static void take_some(struct ring_reader *r, uint32_t count) {
  struct ring_view v;
  for (uint32_t i = 0; i < count && ring_next(r, &v); i++) r->note[0] = v.end;
  ring_release(r, r->cursor);
}

static void prey_attach(struct prey *p) {
  int bells[RING_READERS_MAX] = {-1, -1, -1, -1, -1, -1, -1, -1};
  p->writer_attached = ring_writer_attach(&p->writer, p->fd, bells) == 0;
  p->reader_attached = ring_reader_attach(&p->reader, p->fd, 0, -1) == 0;
  demand(p->writer_attached == (p->writer.fault == RING_OK), "an attach that fails without a fault, or the other way round");
  demand(p->reader_attached == (p->reader.fault == RING_OK), "an attach that fails without a fault, or the other way round");
}

static void prey_detach(struct prey *p) {
  if (p->writer_attached) ring_writer_detach(&p->writer);
  if (p->reader_attached) ring_reader_detach(&p->reader);
}

// A ring in its second lap, with records in it.
static void prey_make(struct prey *p, uint32_t readers, uint32_t words) {
  struct ring_spec spec = {.capacity = CAPACITY, .readers = readers, .writer_words = words, .reader_words = words};
  p->fd = ring_create(&spec);
  demand(p->fd >= 0, "ring_create");
  off_t bytes = lseek(p->fd, 0, SEEK_END);
  p->bytes = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
  demand(p->bytes != MAP_FAILED, "mmap");
  memcpy(&p->geometry, p->bytes, sizeof p->geometry);
  prey_attach(p);
  struct ring_reader others[RING_READERS_MAX];
  for (uint32_t i = 1; i < readers; i++) demand(ring_reader_attach(&others[i], p->fd, i, -1) == 0, "attach");
  for (int lap = 0; lap < 3; lap++) {
    put_some(&p->writer, 30);
    take_some(&p->reader, lap < 2 ? 1000 : 3);
    for (uint32_t i = 1; i < readers; i++) take_some(&others[i], lap < 2 ? 1000 : 7);
  }
  for (uint32_t i = 1; i < readers; i++) ring_reader_detach(&others[i]);
}

static void prey_spoil(struct prey *p, const uint8_t *spoil) {
  const struct ring_geometry *g = &p->geometry;
  const uint64_t starts[] = {0,
                             g->writer_offset,
                             g->writer_offset + RING_LINE,
                             g->writer_offset + 2 * RING_LINE,
                             g->reader_offset,
                             g->reader_offset + RING_LINE,
                             g->reader_offset + 2 * RING_LINE,
                             g->reader_offset + g->reader_stride,
                             g->data_offset,
                             g->data_offset + 2048};
  uint64_t at = starts[spoil[0] % (sizeof starts / sizeof *starts)] + (uint64_t)spoil[1] * 4;
  if (at <= g->total - 8) memcpy(p->bytes + at, spoil + 2, 8);
}

static void fuzz_ring(const uint8_t *input, size_t size) {
  struct prey p = {0};
  prey_make(&p, 1 + (input[0] >> 1 & 1), 1 + (input[0] >> 2 & 3));
  bool attach_first = (input[0] & 1) != 0; // the garbage comes while both sides are attached, or before they attach
  if (!attach_first) prey_detach(&p);
  for (size_t at = 1; at + SPOIL <= size; at += SPOIL) prey_spoil(&p, input + at);
  if (!attach_first) prey_attach(&p);
  if (p.reader_attached) reader_use(&p.reader);
  if (p.writer_attached) writer_use(&p.writer);
  if (p.reader_attached) reader_use(&p.reader);
  prey_detach(&p);
  munmap(p.bytes, p.geometry.total);
  close(p.fd);
}

// ---- the register ---------------------------------------------------------------------------------------------------------------------

static void fuzz_register(const uint8_t *input, size_t size) {
  int fd = register_create(REGISTER_BYTES);
  demand(fd >= 0, "register_create");
  struct shared_register writer, reader;
  demand(register_attach(&writer, fd, true) == 0 && register_attach(&reader, fd, false) == 0, "register_attach");
  for (uint32_t i = 0; i < 20; i++) demand(register_append(&writer, "twenty bytes of entry", i) == i, "register_append");
  const uint8_t *bytes = NULL;
  uint32_t length = 0;
  if ((input[0] & 1) != 0) (void)register_at(&reader, 10, &bytes, &length); // half walked before the garbage comes
  for (size_t at = 1; at + SPOIL <= size; at += SPOIL) {
    if (input[at] % 8 == 0) {
      uint64_t count = 0;
      memcpy(&count, input + at + 2, sizeof count);
      atomic_store(&writer.head->count, count);
    } else {
      memcpy(writer.data + (uint64_t)input[at + 1] * 8, input + at + 2, 8);
    }
  }
  uint64_t count = register_count(&reader);
  for (uint64_t i = 0; i < count && i < 2 * REGISTER_BYTES; i++) {
    if (register_at(&reader, i, &bytes, &length) != 0) break;
    demand(bytes >= reader.data && bytes + length <= reader.data + reader.bytes, "an entry outside of the register");
    read_all(bytes, length);
  }
  (void)register_at(&reader, count - 1, &bytes, &length);
  (void)register_append(&writer, "more", 4);
  register_detach(&writer);
  register_detach(&reader);
  close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  if (size == 0) return 0;
  if ((input[0] & 0x80) != 0) {
    fuzz_register(input, size);
  } else {
    fuzz_ring(input, size);
  }
  return 0;
}
