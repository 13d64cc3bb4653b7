// `weir run FILE`: one instance from its plan to its end.
//
// NAME          run - the verb
// DESCRIPTION   Plans the file, locks the state folder, makes the lanes, starts the workers, and waits for what happens (signals.h,
//               reap.h, control_server.h, tick.h). When all sources come to their end by themselves (--once, files that are not followed)
//               the account follows on standard output.
// DIAGNOSTICS   Exit codes: 0 done, or stopped in order; 1 something failed at run time (a worker needs a decision, a poll of --once
//               failed, not everything could be stored in time); 2 the file or the command line; 3 this machine (state folder in use, no
//               memory).
#pragma once
#include "supervisor/instance.h"

int run_verb(const struct run_options *options);
