// The supervisor's clock: what has to be looked at again and again, in one timer (CLOCK_MONOTONIC).
//
// NAME          tick - hang check, end of careful lives, what a stop waits for, readiness, watchdog, progress
// DESCRIPTION   Every TICK_MS; more often until all workers are up, so that systemd hears of it at once.
// DIAGNOSTICS   ERROR_ENVIRONMENT when the timer cannot be made.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"

struct event;
struct instance;

enum { TICK_MS = 500, TICK_START_MS = 20, TICK_LATE_MS = 5000, TICK_GRACE_MS = 5000 };

struct tick {
  struct event *event;
  uint64_t last_ns;
  uint64_t grace_ns; // after a standstill: until then nobody counts as hung
};

bool tick_open(struct instance *i, struct error *e);
void tick_close(struct instance *i);
