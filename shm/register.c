// The register: see register.h for the layout and who may call what. Everything read out of the shared data is checked here before use.
#include "shm/register.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shm/sealed.h"

enum { REGISTER_PREFIX = sizeof(uint32_t), REGISTER_ALIGN = 8 };
#define REGISTER_BYTES_MAX ((uint64_t)1 << 31)

static uint64_t register_footprint(uint32_t length) {
  return ((uint64_t)REGISTER_PREFIX + length + REGISTER_ALIGN - 1) & ~(uint64_t)(REGISTER_ALIGN - 1);
}

int register_create(uint64_t bytes) {
  if (bytes == 0 || bytes > REGISTER_BYTES_MAX) return -EINVAL;
  return sealed_create("weir-register", sealed_page() + sealed_round(bytes));
}

int register_attach(struct shared_register *r, int memfd, bool writable) {
  *r = (struct shared_register){0};
  uint64_t bytes = 0;
  int rc = sealed_size(memfd, &bytes);
  if (rc != 0) return rc;
  if (bytes <= sealed_page() || bytes > sealed_page() + REGISTER_BYTES_MAX) return -EBADMSG;
  void *memory = NULL;
  rc = sealed_map(memfd, 0, bytes, writable, &memory);
  if (rc != 0) return rc;
  r->head = memory;
  r->data = (uint8_t *)memory + sealed_page();
  r->bytes = bytes - sealed_page();
  return 0;
}

void register_detach(struct shared_register *r) {
  if (r->head != NULL) munmap(r->head, sealed_page() + r->bytes);
  free(r->offsets);
  *r = (struct shared_register){0};
}

uint64_t register_count(const struct shared_register *r) {
  return atomic_load_explicit(&r->head->count, memory_order_acquire); // pairs with the release store in register_append
}

static int register_remember(struct shared_register *r, uint64_t offset) {
  if (r->walked == r->offsets_room) {
    uint32_t room = r->offsets_room == 0 ? 16 : r->offsets_room * 2;
    uint32_t *grown = realloc(r->offsets, room * sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    r->offsets = grown;
    r->offsets_room = room;
  }
  r->offsets[r->walked++] = (uint32_t)offset;
  return 0;
}

// The length of the entry at `offset`, copied once and then checked, for it lies in memory that another process writes.
static int register_length(const struct shared_register *r, uint64_t offset, uint32_t *length) {
  if (r->bytes - offset < REGISTER_ALIGN) return -EBADMSG;
  memcpy(length, r->data + offset, sizeof *length);
  return register_footprint(*length) <= r->bytes - offset ? 0 : -EBADMSG;
}

// Walks on until `upto` entries are known.
static int register_walk(struct shared_register *r, uint64_t upto) {
  while (r->walked < upto) {
    uint32_t length = 0;
    int rc = register_length(r, r->next, &length);
    if (rc == 0) rc = register_remember(r, r->next);
    if (rc != 0) return rc;
    r->next += register_footprint(length);
  }
  return 0;
}

int64_t register_append(struct shared_register *r, const void *bytes, uint32_t length) {
  uint64_t index = register_count(r);
  int rc = register_walk(r, index);
  if (rc != 0) return rc;
  uint64_t footprint = register_footprint(length);
  if (footprint > r->bytes - r->next) return -ENOSPC;
  uint64_t offset = r->next;
  rc = register_remember(r, offset);
  if (rc != 0) return rc;
  memcpy(r->data + offset, &length, sizeof length);
  if (length > 0) memcpy(r->data + offset + REGISTER_PREFIX, bytes, length);
  r->next = offset + footprint;
  atomic_store_explicit(&r->head->count, index + 1, memory_order_release); // pairs with the acquire load in register_count
  return (int64_t)index;
}

int register_at(struct shared_register *r, uint64_t index, const uint8_t **bytes, uint32_t *length) {
  if (index >= register_count(r)) return -ENOENT;
  int rc = register_walk(r, index + 1);
  if (rc != 0) return rc;
  rc = register_length(r, r->offsets[index], length);
  if (rc != 0) return rc;
  *bytes = r->data + r->offsets[index] + REGISTER_PREFIX;
  return 0;
}
