// The end of a process that gets no memory. Only code that allocates by itself (the JSON shim) needs it; all other code calls memory_get &
// co.
#pragma once
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
// Logs one line and leaves with EXIT_OUT_OF_MEMORY. Never allocates, never returns.
void memory_exhausted(size_t wanted) __attribute__((noreturn));
#ifdef __cplusplus
}
#endif
