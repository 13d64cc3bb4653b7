// What a source has given and a sink has not stored yet, seen from outside: the supervisor asks it at the end of a run, when it has to know
// whether anything is still worth waiting for.
#pragma once
#include <stdint.h>

#include "shm/words.h"

// The number of the source's streams (its words: streams.h) on which the sink (its feedback: feedback.h) is behind. Exact when the source
// has ended; before that the source may have given more than it says.
uint32_t pending_streams(const struct words *source, const struct words *sink);
