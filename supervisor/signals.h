// Signals as events of the loop.
//
// NAME          signals - what each one means
// DESCRIPTION   SIGTERM, SIGINT: end in order (stop.h); a second one: end at once. SIGHUP: reload, unless it says that the terminal was
//               closed: then it ends in order. SIGCHLD: reap. SIGPIPE is ignored, so that a closed standard error or control connection
//               is an error of a call. They are blocked from the first moment of `weir run` until their events are there, so that none is
//               lost, and none kills an instance that restarts itself.
// DIAGNOSTICS   ERROR_ENVIRONMENT when an event cannot be made.
#pragma once
#include <stdbool.h>

#include "proto/error.h"

struct event;
struct instance;

enum { SIGNALS = 4 };
struct signals {
  struct event *events[SIGNALS];
};

void signals_block(void);
bool signals_open(struct instance *i, struct error *e);
void signals_close(struct instance *i);
