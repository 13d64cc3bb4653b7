// What a stop waits for, while it waits.
//
// NAME          drain - tell what is not stored yet, and do not wait for nothing
// DESCRIPTION   drain_check looks at the lanes at every tick of a draining instance. A lane whose source has ended, and whose sinks have
//               stored all that it gave, has only the end of the run under way; workers that do not come to that end all the same (their
//               target is down) are dismissed after DRAIN_GRACE_MS: nothing is lost, so nothing is said to have failed. Of a lane in
//               which something is left it says every DRAIN_TELL_MS which sink it waits for and what that one is doing.
//               drain_tell_left, when the time is over: from which sources what was not stored will come again.
// DIAGNOSTICS   A lane whose words cannot be read counts as not finished.
#pragma once
#include <stdint.h>

struct instance;

enum { DRAIN_GRACE_MS = 1000, DRAIN_TELL_MS = 2000 };

void drain_check(struct instance *i, uint64_t now_ns);
void drain_tell_left(struct instance *i);
