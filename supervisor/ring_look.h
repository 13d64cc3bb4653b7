// How full a ring is, for `weir status` and for knowing when it has drained. Reads the two words through the memfd instead of mapping it:
// the supervisor keeps out of the rings, and a mapping would cost it memory for nothing.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// Bytes published and not yet released by reader `index`, and the ring's capacity. False: it cannot be read, or makes no sense.
bool ring_look(int memfd, unsigned index, uint64_t *backlog, uint64_t *capacity);
