// Sealed shared memory: the one way in which this folder makes and maps memfds.
//
// The size is allocated at once, so that a full tmpfs fails at the start and not as SIGBUS in the middle of the work, and sealed against
// shrinking and growing, so that no peer can take pages away under our feet. Called by ring_memory.c, words.c, register.c, slot.c.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The size of a page, at least 4096.
uint64_t sealed_page(void);
// `bytes` rounded up to whole pages.
uint64_t sealed_round(uint64_t bytes);
// A memfd of `bytes` zero bytes (a multiple of the page), close-on-exec, sealed. The fd, owned by the caller, or -errno.
int sealed_create(const char *name, uint64_t bytes);
// The size of a sealed memfd into *bytes. 0, -errno, or -EBADMSG when it could still shrink (then mapping it could end in SIGBUS).
int sealed_size(int memfd, uint64_t *bytes);
// Maps all of it. 0 and *memory (unmapped by the caller), or -errno.
int sealed_map(int memfd, uint64_t offset, uint64_t bytes, bool writable, void **memory);
