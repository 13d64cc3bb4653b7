// Retries: lanes beside the ordinary ones that send dead letters again, and end when there are none left.
//
// NAME          retry - one lane for each flag in the state folder
// DESCRIPTION   Flags (retry_flag.h) are looked for at the start and whenever `weir dlq retry` asks. Each gets the chain of plan_retry.h as
//               a lane of its own; when all workers of it have ended in order the flag is taken down, or the lane starts once more when
//               somebody has marked letters meanwhile. A stop leaves the flag: the rest is sent after the next start.
//               A retry that fails (an operator must decide) ends alone; the pipeline goes on. With --once it makes the exit code.
//
//               flag --retry_open, retry_begin--> lane runs --all ended--> flag taken down | once more
//                                                     | failed, or the instance stops --> flag stays
// DIAGNOSTICS   One line when a retry begins, one when it has ended or failed; a flag of a node that the file no longer has is told.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

struct control_client;
struct instance;
struct lane;
struct seat;

struct retry_run {
  size_t lane; // index in the instance's lanes
  uint64_t token;
};

struct retry {
  struct retry_run *runs; // owned
  size_t count;
};

// Lanes for the flags that are there; they are started with the others.
bool retry_open(struct instance *i, struct error *e);
void retry_close(struct instance *i);
// Somebody has marked letters.
void retry_begin(struct instance *i, struct control_client *client);
// A seat of this lane has changed.
void retry_reaped(struct lane *lane);
// A worker of this lane needs somebody to decide: the lane is given up.
void retry_failed(struct seat *seat, int exit_code, const char *error);
