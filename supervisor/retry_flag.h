// The flag of a retry: STATE/retry-NODE says that dead letters of NODE have been, or are about to be, marked to be sent again.
//
// NAME          retry_flag - what `weir dlq retry` leaves for whoever runs the pipeline
// DESCRIPTION   Raised, and durable, before the first letter is marked; taken down when all that was marked has been delivered. In between
//               anybody may die: whoever runs the pipeline next finds it. Whoever marks holds a lock on the file meanwhile, and writes a
//               new token into it: so the one who takes it down knows that nobody has marked since he began.
//
//                 absent --flag_raise (lock, token)--> raised, locked --flag_leave or death--> raised --flag_lower--> absent
// DIAGNOSTICS   ERROR_ENVIRONMENT when the file cannot be made.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"

#define RETRY_FLAG_PREFIX "retry-"

// Waits for another one who marks. Returns a descriptor for flag_leave; -1: e.
int retry_flag_raise(const char *state, const char *node, struct error *e);
void retry_flag_leave(int fd);

// Its token now; 0: somebody is marking, or it cannot be read. `folder` is a descriptor of the state folder.
uint64_t retry_flag_token(int folder, const char *node);

enum retry_flag_state {
  RETRY_FLAG_LOWERED, // it is gone
  RETRY_FLAG_NEWER,   // somebody has marked since the token was read
  RETRY_FLAG_BUSY,    // somebody is marking now, and will ask
};
enum retry_flag_state retry_flag_lower(int folder, const char *node, uint64_t token);
