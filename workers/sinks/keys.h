// Which row of a batch is the last one with its key: what an upsert needs, since one statement may not touch a row twice and the last wins.
//
// Called by the table targets in mode upsert. Keys are compared as bytes after conversion; two spellings that only the database holds for
// equal (a case-insensitive column) are not found here, the targets get along with that.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "workers/sinks/cell.h"
#include "workers/sinks/row.h"
#include "workers/sinks/table.h"

#define KEY_NONE UINT32_MAX

struct key_entry {
  uint64_t hash;
  uint64_t prefix;       // its first eight bytes, the first one on top: what most comparisons need
  size_t offset, length; // in bytes
  uint32_t previous;     // row of the batch that this one supersedes, KEY_NONE
};

struct keys {
  struct buffer bytes;
  struct key_entry *entries; // by row of the batch
  size_t entry_room;
  uint32_t *slots; // open addressing: row + 1
  size_t slot_count, slot_room;
};

void keys_free(struct keys *k);
void keys_begin(struct keys *k, size_t rows);
// Takes the key of row `index` out of its cells. Returns the earlier row with the same key, or KEY_NONE.
uint32_t keys_put(struct keys *k, const struct table *t, const struct row *r, uint32_t index);
// Order of two rows by their keys: any order will do, as long as all writers have the same one.
int keys_compare(const struct keys *k, uint32_t a, uint32_t b);
