// Hung workers.
//
// NAME          hang - a deadline that a worker set itself has passed
// DESCRIPTION   A worker renews its deadline at each turn, arms a longer one before a call that may block, and takes it away while it
//               outages, locks and empty rings are states, not hangs. One whose deadline has passed is killed; its death is handled as
//               any other. After a time in which the whole instance stood still (SIGSTOP, a frozen container) nobody is judged for a
//               while (tick.c).
// DIAGNOSTICS   The log line of the death says "hung" and what the worker was doing.
#pragma once
#include <stdint.h>

struct instance;

void hang_check(struct instance *i, uint64_t now_ns);
