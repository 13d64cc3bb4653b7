// Reaping: every dead child is waited for here, and what follows is decided here.
//
// NAME          reap - waitpid, cause, what next
// DESCRIPTION   Reads the last words of the worker, asks the policy (restart.h), writes one log line (worker, pid, generation, cause,
//               what happens next), wakes the neighbours, acts. Children that nobody here has started (as PID 1, orphans of others are
//               handed to us) are reaped and forgotten.
// DIAGNOSTICS   none of its own
#pragma once
struct instance;

void reap_all(struct instance *i);
