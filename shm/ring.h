// The ring: records from one writing process to 1..8 reading processes through shared memory, surviving the death of any of them.
//
// Publishing IS the store of `tail`. Whatever a writer did before that store is invisible, whatever it did after is complete; after ANY
// prefix of any process's stores the ring is valid, so a killed peer needs no repair and no timeout: its successor attaches and goes on.
//
// Called by: workers (their input and output), the supervisor (ring_create only), bench and tests. Knows nothing of what records mean.
//
// Memory, one memfd, sealed against resizing; every area starts on a page of its own so that a peer can map it read-only:
//
//     0            +-------------------------------+
//                  | geometry                      |  written once by ring_create, before anybody attaches; mapped read-only by all
//     4096         +-------------------------------+
//                  | writer: tail | space_at |     |  written by the one writer; readers map it read-only
//                  |   note slot 0 | note slot 1   |
//     4096 + W     +-------------------------------+
//                  | reader 0: head | wake_at |    |  written by reader 0; the writer maps it read-only, other readers not at all
//                  |   note slot 0 | note slot 1   |
//                  +-------------------------------+
//                  | reader 1 ...                  |
//     data_offset  +-------------------------------+
//                  | data, capacity bytes          |  written by the writer only; mapped twice in a row, so no record ever wraps
//                  +-------------------------------+
//
// Positions (`tail`, `head`) are byte counts since the ring was made; they only grow, in steps of RING_ALIGN. The data byte of position p
// is data[p & (capacity - 1)]. tail - head <= capacity, for every reader.
//
// A record in the data area: a frame header of 8 bytes, the payload, padding up to RING_ALIGN.
//     uint32 length   payload bytes, without header and padding
//     uint32 guard    ring_guard(position, length): a reader that finds another value has met garbage and stops
//
// Groups. Records belong to groups (one input's outputs): nobody ever sees half a group, because only the end of a complete group is ever
// stored to tail. A reservation is open from ring_reserve to ring_commit or ring_abort; a group from its first commit to ring_group_end or
// ring_group_abort.
//
//      IDLE --reserve--> RESERVED --commit--> IN_GROUP --group_end--> IDLE        all by the writer; publish is allowed in every state
//        ^                  |  abort             | reserve -> RESERVED             and shows what ended before: complete groups only
//        +------------------+                    | group_abort -> IDLE (its records are taken back)
//
// Notes. The writer's area and each reader's area hold two note slots {position, words[]}. Before each store of tail (head) its owner fills
// the slot that does NOT belong to the present tail (head) with its words and the position about to be stored. A successor takes the slot
// whose position equals the stored tail (head): the words are exactly those of that moment. What the words mean is the owner's affair
// (cursor in the input, last input per stream, counters).
//
// Sleep and wake, which cannot be lost (the model in tests/model proves it with a kill at any step):
//     reader: seq_cst store wake_at = cursor, seq_cst load tail; moved -> do not sleep.      writer: seq_cst store tail, seq_cst load
//     wake_at; if wake_at lies in [old tail, new tail) -> write 1 to that reader's bell.              Space is the mirror image with
//     space_at and head. A bell is cleared BEFORE its owner looks at the ring. The supervisor rings the bells of a dead worker's
//     neighbours; attaching rings the peers' bells too. A needless ring is harmless.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  RING_ALIGN = 8, // frames start at multiples of this
  RING_FRAME = 8, // bytes of the frame header
  RING_READERS_MAX = 8,
  RING_NOTE_WORDS_MAX = 8192,
  RING_LINE = 128, // adjacent-line prefetch pulls pairs of 64-byte lines: each hot word gets a pair of its own
};
#define RING_CAPACITY_MIN ((uint64_t)4096)
#define RING_CAPACITY_MAX ((uint64_t)1 << 30)

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "positions must be lock-free between processes");

// What a ring is made of; fixed for its life.
struct ring_spec {
  uint64_t capacity;     // bytes of data, a power of two, RING_CAPACITY_MIN..RING_CAPACITY_MAX
  uint32_t readers;      // 1..RING_READERS_MAX
  uint32_t writer_words; // words in each of the writer's note slots, 0..RING_NOTE_WORDS_MAX
  uint32_t reader_words; // the same for each reader's
};

// Shared. Page 0. Written by ring_create before the memfd is handed to anyone; read-only from then on, so plain loads are safe.
struct ring_geometry {
  uint64_t magic;
  uint32_t version;
  uint32_t readers;
  uint64_t capacity;
  uint32_t writer_words;
  uint32_t reader_words;
  uint64_t writer_offset, reader_offset, reader_stride, data_offset, total; // bytes from the start of the memfd
};

// Shared. One word of a note slot is written relaxed by the slot's owner before its seq_cst store of tail (head) and read by the owner's
// successor only, after the owner is dead and reaped (waitpid orders it), or by ring_writer_attach / ring_reader_attach in the same
// process.
struct ring_note_slot {
  _Atomic uint64_t
      position; // the tail (head) that these words belong to; UINT64_MAX while they are being replaced, and in a new ring's slot 1
  _Atomic uint64_t words[];
};

// Shared. The writer's area.
struct ring_writer_area {
  // Writer: the only one who stores, seq_cst in ring_publish. Readers load: acquire in ring_refill, seq_cst in ring_reader_sleep.
  // Pairs: everything the writer stored before is visible to the reader that loads the new value.
  _Alignas(RING_LINE) _Atomic uint64_t tail;
  // Writer: seq_cst store in ring_writer_sleep, the value of the slowest head that makes room, minus 1. Readers load it seq_cst in
  // ring_release right after their store of head: the pair makes it impossible that both miss each other (store-load on both sides).
  _Alignas(RING_LINE) _Atomic uint64_t space_at;
  _Alignas(RING_LINE) uint8_t notes[]; // two slots of ring_note_slot
};

// Shared. One reader's area.
struct ring_reader_area {
  // Reader: the only one who stores, seq_cst in ring_release. Writer loads in ring_heads_look: acquire for room, seq_cst to sleep.
  // Pairs: the reader's loads of a record are over before the writer, having loaded the new head, overwrites it.
  _Alignas(RING_LINE) _Atomic uint64_t head;
  // Reader: seq_cst store in ring_reader_sleep, the cursor at which it found nothing. Writer loads it seq_cst in ring_bell_readers, right
  // after ring_publish has stored tail.
  _Alignas(RING_LINE) _Atomic uint64_t wake_at;
  _Alignas(RING_LINE) uint8_t notes[];
};

enum ring_fault {
  RING_OK = 0,
  RING_FAULT_GEOMETRY, // page 0 is not a ring of this version, or does not fit the memfd's size
  RING_FAULT_TAIL,     // the writer's tail is unaligned, behind the head, or more than a capacity ahead of it
  RING_FAULT_HEAD,     // a reader's head is unaligned, beyond the tail, or went back
  RING_FAULT_LENGTH,   // a frame's length passes the tail, or is over a quarter of the ring
  RING_FAULT_GUARD,    // a frame's guard does not fit its position and length
  RING_FAULT_NOTE,     // neither note slot belongs to the stored position
  RING_FAULT_SEEK,     // ring_seek was asked for a place that is not between head and tail
};

// The text of a fault for an operator, static.
const char *ring_fault_text(enum ring_fault fault);

// Private. The writer's handle.
struct ring_writer {
  struct ring_writer_area *area;
  const struct ring_reader_area *reader_area[RING_READERS_MAX];
  uint8_t *data;
  uint64_t capacity, mask;
  // `published` lies between the two that change with each record: beside each other, a compiler stores both as one vector, and the next
  // load of `at` waits for it.
  uint64_t at;        // where the next frame goes
  uint64_t published; // our copy of tail
  uint64_t group_end; // end of the last complete group: what ring_publish may show
  uint64_t limit;     // slowest head seen + capacity: `at` may not pass it
  uint64_t head_seen[RING_READERS_MAX];
  uint32_t open;                 // payload bytes of the open reservation; means something while `reserved` only
  bool reserved;                 // between ring_reserve and ring_commit or ring_abort
  uint32_t readers, words, slot; // slot: the note slot that the next publish fills
  uint64_t *note;                // private staging, `words` long: copied by ring_publish
  int bell[RING_READERS_MAX];    // eventfds of the readers' workers, -1 for none; not owned
  enum ring_fault fault;
  void *map; // all of the above mappings, for ring_writer_detach
  size_t map_bytes;
};

// Private. A reader's handle.
struct ring_reader {
  const struct ring_writer_area *writer_area;
  struct ring_reader_area *area;
  const uint8_t *data;
  uint64_t capacity, mask;
  uint64_t cursor;    // next frame to read
  uint64_t tail_seen; // last loaded tail, checked
  uint64_t head;      // our copy of head
  uint32_t words, slot;
  uint64_t *note; // private staging, copied by ring_release
  int bell;       // eventfd of the writer's worker, -1 for none; not owned
  enum ring_fault fault;
  void *map; // all of the above mappings, for ring_reader_detach
  size_t map_bytes;
};

// One record as a reader sees it. The payload points into the ring: valid until the reader releases a position beyond it.
struct ring_view {
  const uint8_t *payload;
  uint32_t length;
  uint64_t position; // of its frame
  uint64_t end;      // position behind it: what to release once it is done with
};

// Bytes from one note slot to the next.
static inline uint64_t ring_note_stride(uint32_t words) {
  return (sizeof(uint64_t) * (1 + (uint64_t)words) + RING_LINE - 1) & ~(uint64_t)(RING_LINE - 1);
}

static inline uint32_t ring_guard(uint64_t position, uint32_t length) {
  return (uint32_t)(position >> 3) ^ (length * 0x9E3779B1u) ^ 0x57454952u;
}

static inline uint64_t ring_footprint(uint64_t payload) {
  return (RING_FRAME + payload + RING_ALIGN - 1) & ~(uint64_t)(RING_ALIGN - 1);
}

// The largest payload a ring of this capacity takes (a quarter), and the most bytes (footprints) one group may have (half).
static inline uint64_t ring_record_max(uint64_t capacity) {
  return capacity / 4 - RING_FRAME;
}
static inline uint64_t ring_group_max(uint64_t capacity) {
  return capacity / 2;
}

// Makes a ring in a new memfd: size allocated at once (a full tmpfs fails here, not as SIGBUS later), sealed against shrinking, growing and
// further seals. Returns the fd (close-on-exec, owned by the caller) or -errno (-EINVAL: the spec is out of range).
int ring_create(const struct ring_spec *spec);

// Maps a ring for its writer. `bells[i]` is the eventfd of reader i's worker or -1; they stay the caller's. Takes up where the last
// writer's tail store left off: w->note holds that moment's words. Rings all bells once. Returns 0, -errno, or -EBADMSG with w->fault set.
int ring_writer_attach(struct ring_writer *w, int memfd, const int *bells);
void ring_writer_detach(struct ring_writer *w);

// Maps a ring for reader `index`. `bell` is the eventfd of the writer's worker or -1. cursor = the stored head; r->note holds the words of
// the last release. Rings the bell once. Returns as ring_writer_attach.
int ring_reader_attach(struct ring_reader *r, int memfd, unsigned index, int bell);
void ring_reader_detach(struct ring_reader *r);

// Opens a reservation of `size` payload bytes and returns where to write them (8-aligned, contiguous). NULL: no room now (sleep with
// ring_writer_sleep), or w->fault is set, or size is over ring_record_max (the caller checks that before: here it can never be granted).
static inline void *ring_reserve(struct ring_writer *w, uint32_t size);
// (Functions declared static inline here are the hot path; their bodies are in ring_fast.h.)
// Ends the reservation with the `size` bytes really written (<= reserved). Invisible until its group is complete and published.
static inline void ring_commit(struct ring_writer *w, uint32_t size);
static inline void ring_abort(struct ring_writer *w);

// Bytes (footprints) of the open group so far: the caller compares with ring_group_max before it adds more.
static inline uint64_t ring_group_bytes(const struct ring_writer *w) {
  return w->at - w->group_end;
}
// A place within the open group to go back to: everything committed since `mark` is taken back.
static inline uint64_t ring_mark(const struct ring_writer *w) {
  return w->at;
}
void ring_rollback(struct ring_writer *w, uint64_t mark);
void ring_group_abort(struct ring_writer *w);
// Completes the group. The caller has brought w->note up to date with it. Publishes by itself when a quarter of the ring is unpublished.
static inline void ring_group_end(struct ring_writer *w);
// Shows all complete groups: note, store of tail, bells of sleeping readers. Does nothing when there is nothing new. No system call unless
// a reader sleeps.
void ring_publish(struct ring_writer *w);
// True when the slowest reader has taken everything published (a drained ring).
bool ring_drained(struct ring_writer *w);

// Announces that the writer is about to sleep until `size` payload bytes fit (asks for a quarter ring where that cannot deadlock with a
// reader that holds up to half of the ring until it commits). Publishes first. True: sleep on the own bell now; false: there is room (or a
// fault), go on. With several readers each one that passes the place rings; the writer looks, and sleeps again until the slowest has
// passed.
bool ring_writer_sleep(struct ring_writer *w, uint32_t size);

// Next published record at the cursor. False: none now, or r->fault is set. Checks tail, length and guard before anything else looks.
static inline bool ring_next(struct ring_reader *r, struct ring_view *view);
// Moves the cursor back or forward to a record boundary between head and tail (a successor skipping what is done; replaying a batch).
// The place may come out of a note in shared memory: outside of head..tail sets RING_FAULT_SEEK, between two boundaries the guard tells.
void ring_seek(struct ring_reader *r, uint64_t position);
// Gives back everything before `upto` (head <= upto <= cursor): note, store of head, bell of a writer waiting for space. Does nothing when
// upto is the head.
void ring_release(struct ring_reader *r, uint64_t upto);
// Announces that the reader is about to sleep. True: sleep on the own bell; false: data has come (or a fault), go on.
bool ring_reader_sleep(struct ring_reader *r);

// Bytes published and not yet released by this reader: for fill levels.
uint64_t ring_reader_backlog(struct ring_reader *r);

#include "shm/ring_fast.h"
