// Who owns a fence: names that tell an operator which process holds a stream, and that tell weir whether it is the same state folder.
//
// Called by the sinks' start and by the positions verb. The id of a state folder is made once, at random; a copy of the folder has the same
// id, but its lock is another, and the epoch at the target keeps two copies apart.
#pragma once
#include <stdbool.h>

#include "proto/error.h"

// "host=H pid=P state=ID since=TIME" of this process; owned by the caller.
char *owner_text(const char *state_id);
// The same text for an owner that has left in good order: with " until=TIME" behind it. Owned by the caller.
char *owner_left(const char *owner);
bool owner_has_left(const char *owner);
// True when the owner's text carries this state id.
bool owner_is_state(const char *owner, const char *state_id);
