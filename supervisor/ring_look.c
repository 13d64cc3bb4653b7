// See ring_look.h. A word may be read while it is being stored; a value that makes no sense is reported as such, and the next look is
// another one. Nothing but what people see and the end of a drained lane (where nobody stores any more) hangs on it.
#include "supervisor/ring_look.h"

#include <stddef.h>
#include <unistd.h>

#include "shm/ring.h"

static bool word_at(int memfd, uint64_t offset, uint64_t *word) {
  return pread(memfd, word, sizeof *word, (off_t)offset) == (ssize_t)sizeof *word;
}

bool ring_look(int memfd, unsigned index, uint64_t *backlog, uint64_t *capacity) {
  struct ring_geometry g;
  uint64_t head, tail;
  if (pread(memfd, &g, sizeof g, 0) != (ssize_t)sizeof g || index >= g.readers) return false;
  // The head first: it only follows the tail, so the tail read after it is never behind.
  if (!word_at(memfd, g.reader_offset + index * g.reader_stride + offsetof(struct ring_reader_area, head), &head)) return false;
  if (!word_at(memfd, g.writer_offset + offsetof(struct ring_writer_area, tail), &tail)) return false;
  *capacity = g.capacity;
  *backlog = tail - head;
  // The readers' words go on between the two looks: more than a capacity can only be that.
  if (tail >= head && *backlog > g.capacity) *backlog = g.capacity;
  return tail >= head;
}
