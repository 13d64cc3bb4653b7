// Reload in its small form: check the file, drain, start again with it.
//
// NAME          reload - SIGHUP, `weir reload`
// DESCRIPTION   `weir check FILE` runs as a child process, so that a file of any kind cannot harm the running pipeline. Bad: it is told,
//               and everything goes on as before. Good: the sources stop, the lanes drain, then this process executes itself with the
//               same arguments: same pid, and the lock is kept all the time (state_folder_keep). Another wish while one is under way is
//               refused.
//
//               IDLE --reload_begin--> CHECKING --bad--> IDLE
//                                          | good
//                                          v
//                                      DRAINING --all ended--> exec        a stop that comes meanwhile wins: no exec
// DIAGNOSTICS   One line for each step; what the check found is shown as it printed it.
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "proto/buffer.h"

struct control_client;
struct instance;

enum reload_state { RELOAD_IDLE, RELOAD_CHECKING, RELOAD_DRAINING };

struct reload {
  enum reload_state state;
  pid_t pid;                     // of the check
  int said;                      // what it prints: an unlinked file, -1 none
  struct control_client *client; // who asked; NULL: a signal
};

void reload_begin(struct instance *i, struct control_client *client);
// A child that is no worker has been reaped.
void reload_reaped(struct instance *i, pid_t pid, int status);
// After the loop: executes ourselves again. Returns only when that failed.
void reload_exec(struct instance *i);
