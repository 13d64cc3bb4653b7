// Hung workers.
//
// NAME          hang - a deadline that a worker set itself has passed
// DESCRIPTION   A worker renews its deadline at each turn, arms a longer one before a call that may block, and takes it away while it
// waits:
//               outages, locks and empty rings are states, not hangs. One whose deadline has passed is killed; its death is handled as
//               any other. After a time in which the whole instance stood still (a suspended machine, SIGSTOP) everybody gets a round of
//               grace.
// DIAGNOSTICS   The log line of the death says "hung" and what the worker was doing.
#pragma once
#include <stdbool.h>

struct instance;

// `stood_still`: the supervisor itself did not run for a while.
void hang_check(struct instance *i, bool stood_still);
