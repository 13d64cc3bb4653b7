// Keys of a batch: their bytes, a hash of them, who superseded whom.
#include "workers/sinks/keys.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hash.h"

void keys_free(struct keys *k) {
  buffer_free(&k->bytes);
  free(k->entries);
  free(k->slots);
  *k = (struct keys){0};
}

void keys_begin(struct keys *k, size_t rows) {
  buffer_clear(&k->bytes);
  if (rows > k->entry_room) {
    k->entries = memory_resize(k->entries, rows * sizeof *k->entries);
    k->entry_room = rows;
  }
  k->slot_count = 16;
  while (k->slot_count < 2 * rows) k->slot_count *= 2;
  if (k->slot_count > k->slot_room) {
    k->slots = memory_resize(k->slots, k->slot_count * sizeof *k->slots);
    k->slot_room = k->slot_count;
  }
  memset(k->slots, 0, k->slot_count * sizeof *k->slots);
}

// Most significant byte first and negative numbers first: keys that rise are sent in the order of the database's index, which it likes.
static void add_integer(struct buffer *bytes, int64_t value) {
  uint64_t sortable = htobe64((uint64_t)value ^ UINT64_C(1) << 63);
  buffer_add(bytes, &sortable, sizeof sortable);
}

static void add_content(struct buffer *bytes, const struct cell *c) {
  switch (c->kind) {
  case CELL_NULL: return;
  case CELL_BOOL: buffer_byte(bytes, c->boolean); return;
  case CELL_INT:
  case CELL_TIME:
  case CELL_DAY: add_integer(bytes, c->i); return;
  case CELL_DOUBLE: {
    double value = c->d == 0 ? 0 : c->d; // -0.0 is 0.0
    buffer_add(bytes, &value, sizeof value);
    return;
  }
  case CELL_TEXT:
  case CELL_BYTES: buffer_add(bytes, c->bytes, c->length); return;
  }
}

// The content first, so that it is what sorts; behind it how long it is and what. Read from its end a key has one meaning only:
// ("ab", "c") is not ("a", "bc"), and 1 is not "1".
static void add_cell(struct buffer *bytes, const struct cell *c) {
  size_t before = bytes->length;
  add_content(bytes, c);
  uint64_t length = bytes->length - before;
  buffer_add(bytes, &length, sizeof length);
  buffer_byte(bytes, (uint8_t)c->kind);
}

static bool same(const struct keys *k, const struct key_entry *a, const struct key_entry *b) {
  return a->hash == b->hash && a->length == b->length && memcmp(k->bytes.at + a->offset, k->bytes.at + b->offset, a->length) == 0;
}

uint32_t keys_put(struct keys *k, const struct table *t, const struct row *r, uint32_t index) {
  struct key_entry *entry = &k->entries[index];
  *entry = (struct key_entry){.offset = k->bytes.length, .previous = KEY_NONE};
  for (size_t i = 0; i < t->count; i++)
    if (t->columns[i].key) add_cell(&k->bytes, &r->cells[i]);
  entry->length = k->bytes.length - entry->offset;
  uint64_t first = 0;
  memcpy(&first, k->bytes.at + entry->offset, entry->length < sizeof first ? entry->length : sizeof first);
  entry->prefix = be64toh(first);
  entry->hash = hash_bytes(k->bytes.at + entry->offset, entry->length, 0);
  size_t slot = entry->hash & (k->slot_count - 1);
  for (; k->slots[slot]; slot = (slot + 1) & (k->slot_count - 1)) {
    uint32_t other = k->slots[slot] - 1;
    if (!same(k, entry, &k->entries[other])) continue;
    entry->previous = other;
    break;
  }
  k->slots[slot] = index + 1;
  return entry->previous;
}

int keys_compare(const struct keys *k, uint32_t a, uint32_t b) {
  const struct key_entry *x = &k->entries[a], *y = &k->entries[b];
  if (x->prefix != y->prefix) return x->prefix < y->prefix ? -1 : 1;
  size_t least = x->length < y->length ? x->length : y->length;
  int order = memcmp(k->bytes.at + x->offset, k->bytes.at + y->offset, least);
  if (order != 0) return order;
  return x->length < y->length ? -1 : x->length > y->length;
}
