// A row of words: making, mapping. The accesses are inline in words.h.
#include "shm/words.h"

#include <errno.h>
#include <sys/mman.h>

#include "shm/sealed.h"

enum { WORDS_MAX = 1 << 20 };

int words_create(uint32_t count) {
  if (count == 0 || count > WORDS_MAX) return -EINVAL;
  return sealed_create("weir-words", sealed_round((uint64_t)count * sizeof(uint64_t)));
}

int words_attach(struct words *w, int memfd, bool writable) {
  *w = (struct words){0};
  uint64_t bytes = 0;
  int rc = sealed_size(memfd, &bytes);
  if (rc != 0) return rc;
  uint64_t count = bytes / sizeof(uint64_t);
  if (count == 0 || bytes > sealed_round((uint64_t)WORDS_MAX * sizeof(uint64_t))) return -EBADMSG;
  void *memory = NULL;
  rc = sealed_map(memfd, 0, bytes, writable, &memory);
  if (rc != 0) return rc;
  w->at = memory;
  w->count = (uint32_t)count;
  return 0;
}

void words_detach(struct words *w) {
  if (w->at != NULL) munmap(w->at, sealed_round((uint64_t)w->count * sizeof(uint64_t)));
  *w = (struct words){0};
}
