// One running instance: what the files of the supervisor share while `weir run` lasts. Made and torn down by run.c; nothing here is global.
//
// An instance has lanes; a lane has seats; a seat is a place for one worker process at a time, with the memory that outlives the process
// (lane.h). Everything happens in callbacks of one event loop (`base`), so nothing here needs a lock.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/control_server.h"
#include "supervisor/lookups.h"
#include "supervisor/notify.h"
#include "supervisor/plan.h"
#include "supervisor/progress.h"
#include "supervisor/reload.h"
#include "supervisor/retry.h"
#include "supervisor/signals.h"
#include "supervisor/state_folder.h"
#include "supervisor/stop.h"
#include "supervisor/tick.h"

struct event;
struct event_base;
struct lane;

struct run_options {
  const char *file;
  const char *state; // --state, or NULL
  bool once, json, log_json, take_over, colour;
  bool retry_only; // nothing but the retries that are asked for
  char **argv;     // of the process, for the restart at a reload
};

struct instance {
  struct run_options options;
  struct plan *plan;
  struct event_base *base;
  struct state_folder folder;
  struct lane *lanes;
  size_t lane_count;
  struct lane *lookups; // of one seat each (lookups.h)
  size_t lookup_count;
  struct event *lookups_limit; // of their end
  uint64_t started_ns;         // CLOCK_MONOTONIC
  bool ready;                  // every worker has once left its start: what systemd is told
  struct signals signals;
  struct tick tick;
  struct stop stop;
  struct reload reload;
  struct retry retry;
  struct control_server control;
  struct progress progress;
  struct notify notify;
};
