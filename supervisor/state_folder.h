// The state folder: what must survive an instance. This file makes it, checks its format, and holds its lock.
//
// NAME          state_folder - one instance at a time in one folder
// DESCRIPTION   The folder (0700) holds `format` (a number), `lock`, the control socket, and what the workers keep there. The lock is a
//               flock on one open file description; every worker inherits it, so that it is free only when the last process is dead.
//               `lock` names the holder (pid, host, since) for whoever comes second. An instance that restarts itself (reload) keeps the
//               description open across exec; its number stands in WEIR_LOCK_FD.
// DIAGNOSTICS   All errors are ERROR_ENVIRONMENT (exit 3): the folder cannot be made or written; it holds other things and was not made
//               by weir; its format is newer; another instance holds it.
#pragma once
#include <stdbool.h>

#include "proto/error.h"

enum { STATE_FORMAT = 1 };

struct state_folder {
  char *path; // absolute
  int folder; // O_PATH descriptor
  int lock;   // the inherited description
};

// Makes or opens the folder and takes its lock. A lock whose named holder is dead is waited for: its workers are on their way out.
bool state_folder_open(struct state_folder *folder, const char *path, struct error *e);
// Before an exec of ourselves: the lock stays with this process.
bool state_folder_keep(const struct state_folder *folder, struct error *e);
void state_folder_close(struct state_folder *folder);

// STATE/control, where a running instance is asked; owned by the caller.
char *state_folder_socket(const char *path);
