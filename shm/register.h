// A register: an append-only list of byte entries in shared memory, one writing process, any number of readers. A lane's source keeps its
// streams in it (workers/streams.h); entries outlive every worker of the lane.
//
// Layout: a page with `count`, then entries one behind the other: uint32 length, bytes, padding to 8. An entry is written
// whole before the release store of `count` that shows it; a writer killed in between leaves nothing visible, its successor overwrites.
// Readers check every length against the size of the memfd: garbage gives -EBADMSG, never a read out of bounds.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct register_head {
  // Writer: release store in register_append. Readers: acquire load in register_count. Shows all bytes of the entries counted.
  _Atomic uint64_t count;
};

struct shared_register {
  struct register_head *head; // shared
  uint8_t *data;              // shared
  uint64_t bytes;             // of the data area
  uint64_t next;              // private: offset behind the last entry walked
  uint64_t walked;            // private: entries walked
  uint32_t *offsets;          // private: offset of each entry walked; owned
  uint32_t offsets_room;
};

int register_create(uint64_t bytes);                                      // sealed memfd, bytes of data rounded up to pages; fd or -errno
int register_attach(struct shared_register *r, int memfd, bool writable); // 0 or -errno
void register_detach(struct shared_register *r);
uint64_t register_count(const struct shared_register *r);
// Appends one entry and shows it. Returns its index, -ENOSPC when full, -ENOMEM.
int64_t register_append(struct shared_register *r, const void *bytes, uint32_t length);
// Entry `index` < register_count: points into shared memory (never rewritten). 0, -EBADMSG on garbage, -ENOENT beyond the count, -ENOMEM.
int register_at(struct shared_register *r, uint64_t index, const uint8_t **bytes, uint32_t *length);
