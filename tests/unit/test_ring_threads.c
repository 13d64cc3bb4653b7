// The ring under load: a writer and 1, 2, 8 readers as threads, all of them sleeping on eventfds whenever they can. Every reader must see
// every record, in order and whole.
//
// ThreadSanitizer (make V=tsan unit) knows memory by its address, and each handle maps the ring at addresses of its own. So the readers'
// handles are moved into the writer's mapping: then a load that lacks its ordering is a race that is reported.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/ring.h"

enum { CAPACITY = 4096 };

struct plan {
  unsigned readers;
  uint64_t records;
  uint32_t size_max;
  unsigned publish_every; // groups
  unsigned release_every; // records
};

struct end {
  const struct plan *plan;
  int fd;
  unsigned index;
  int own_bell, writer_bell;
  struct ring_writer *writer;
  uint64_t wrong, sleeps;
  enum ring_fault fault;
};

static uint32_t record_size(const struct plan *plan, uint64_t n) {
  return (uint32_t)((n * 2654435761u >> 7) % plan->size_max);
}

// Blocks until the bell has been rung, and clears it: the owner looks at the ring after this, never before.
static void bell_wait(int bell) {
  uint64_t count = 0;
  while (read(bell, &count, sizeof count) != sizeof count) {
    struct pollfd p = {.fd = bell, .events = POLLIN};
    (void)poll(&p, 1, -1);
  }
}

static void *writer_main(void *argument) {
  struct end *e = argument;
  struct ring_writer *w = e->writer;
  for (uint64_t n = 0; n < e->plan->records && w->fault == RING_OK;) {
    uint32_t size = record_size(e->plan, n);
    uint8_t *at = ring_reserve(w, size);
    if (at == NULL) {
      if (ring_writer_sleep(w, size)) {
        e->sleeps++;
        bell_wait(e->own_bell);
      }
      continue;
    }
    memset(at, (int)(n & 0xff), size);
    ring_commit(w, size);
    n++;
    if (n % 3 != 0 && n < e->plan->records) continue; // groups of three
    w->note[0] = n;
    ring_group_end(w);
    if (n / 3 % e->plan->publish_every == 0) ring_publish(w);
  }
  ring_publish(w);
  e->fault = w->fault;
  return e;
}

// Lets the reader's handle look at the ring through the writer's mapping. Its own mapping stays for the detach.
static void reader_move_in(struct ring_reader *r, const struct ring_writer *w, unsigned index) {
  r->writer_area = w->area;
  r->area = (struct ring_reader_area *)(uintptr_t)w->reader_area[index];
  r->data = w->data;
  r->tail_seen = r->cursor; // what the attach saw, it saw through the other mapping: look again
}

static void reader_check(struct end *e, const struct ring_view *v, uint64_t n) {
  if (v->length != record_size(e->plan, n)) e->wrong++;
  for (uint32_t i = 0; i < v->length; i++) e->wrong += v->payload[i] != (n & 0xff);
}

static void *reader_main(void *argument) {
  struct end *e = argument;
  struct ring_reader r;
  if (ring_reader_attach(&r, e->fd, e->index, e->writer_bell) != 0) {
    e->fault = r.fault;
    return e;
  }
  reader_move_in(&r, e->writer, e->index);
  uint64_t n = 0;
  while (n < e->plan->records && r.fault == RING_OK) {
    struct ring_view v;
    while (ring_next(&r, &v)) {
      reader_check(e, &v, n++);
      r.note[0] = n;
      if (n % e->plan->release_every == 0) ring_release(&r, v.end);
    }
    ring_release(&r, r.cursor);
    if (n < e->plan->records && ring_reader_sleep(&r)) {
      e->sleeps++;
      bell_wait(e->own_bell);
    }
  }
  e->fault = r.fault;
  ring_reader_detach(&r);
  return e;
}

static void run_plan(struct plan plan) {
  struct ring_spec spec = {.capacity = CAPACITY, .readers = plan.readers, .writer_words = 1, .reader_words = 1};
  int fd = ring_create(&spec);
  assert_true(fd >= 0);
  int bells[RING_READERS_MAX];
  int writer_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  struct end ends[RING_READERS_MAX + 1];
  pthread_t threads[RING_READERS_MAX + 1];
  for (unsigned i = 0; i < plan.readers; i++) bells[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  struct ring_writer w;
  assert_int_equal(ring_writer_attach(&w, fd, bells), 0);
  assert_int_equal(mprotect(w.map, w.map_bytes, PROT_READ | PROT_WRITE), 0); // the readers' areas, too
  for (unsigned i = 0; i <= plan.readers; i++) {
    bool writer = i == plan.readers;
    ends[i] = (struct end){
        .plan = &plan, .fd = fd, .index = i, .own_bell = writer ? writer_bell : bells[i], .writer_bell = writer_bell, .writer = &w};
    assert_int_equal(pthread_create(&threads[i], NULL, writer ? writer_main : reader_main, &ends[i]), 0);
  }
  uint64_t sleeps = 0;
  for (unsigned i = 0; i <= plan.readers; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(ends[i].wrong, 0);
    assert_int_equal(ends[i].fault, RING_OK);
    close(ends[i].own_bell);
    sleeps += ends[i].sleeps;
  }
  print_message("%u readers, %llu records: %llu sleeps\n", plan.readers, (unsigned long long)plan.records, (unsigned long long)sleeps);
  ring_writer_detach(&w);
  close(fd);
}

static void one_reader_sees_everything_in_order(void **state) {
  (void)state;
  run_plan((struct plan){.readers = 1, .records = 100000, .size_max = 60, .publish_every = 1, .release_every = 1});
  run_plan((struct plan){.readers = 1, .records = 100000, .size_max = 60, .publish_every = 5, .release_every = 7});
}

static void two_readers_see_everything_in_order(void **state) {
  (void)state;
  run_plan((struct plan){.readers = 2, .records = 50000, .size_max = 200, .publish_every = 2, .release_every = 3});
}

static void eight_readers_see_everything_in_order(void **state) {
  (void)state;
  run_plan((struct plan){.readers = 8, .records = 20000, .size_max = 600, .publish_every = 1, .release_every = 2});
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_reader_sees_everything_in_order),
      cmocka_unit_test(two_readers_see_everything_in_order),
      cmocka_unit_test(eight_readers_see_everything_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
