// The id of a state folder: made once, at random; a copy of the folder has the same id. By it targets know who owns a fence
// (sinks/owner.h), and a consumer group its members.
#pragma once
#include "proto/error.h"

// The id in STATE/id, made when absent (atomically: several workers may start at once). Owned by the caller; NULL with e set.
char *state_id(const char *state, struct error *e);
