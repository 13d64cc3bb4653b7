// A row of 64-bit words in shared memory with one writing process: how a sink tells its lane's source what is durable.
//
// Called by workers (which give the words their meaning, see workers/feedback.h) and the supervisor (words_create only). Each word is
// written by the one writer with release and read by others with acquire: what the writer did before is visible to whoever sees the value.
// Words are independent: nobody may rely on two of them changing together. Zero at the start.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct words {
  _Atomic uint64_t *at; // shared; writable only in the writer's process
  uint32_t count;
};

// A sealed memfd of `count` words (1..1<<20), all zero. Returns the fd or -errno.
int words_create(uint32_t count);
// Maps it, `writable` in the one writer's process only; the count is taken from the memfd's size. 0 or -errno.
int words_attach(struct words *w, int memfd, bool writable);
void words_detach(struct words *w);

// index < w->count is the caller's duty (assert).
static inline uint64_t words_load(const struct words *w, uint32_t index) {
  return atomic_load_explicit(&w->at[index], memory_order_acquire); // pairs with words_store
}
static inline void words_store(struct words *w, uint32_t index, uint64_t value) {
  atomic_store_explicit(&w->at[index], value, memory_order_release); // pairs with words_load
}
