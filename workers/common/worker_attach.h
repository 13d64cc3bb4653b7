// Opening what the supervisor handed over. Called by worker_enter only.
#pragma once
#include "workers/common/worker.h"

// Reads JOB_FD and attaches slot, bell, rings, stream table and feedback as the job's `fds` map says. False: e says which part failed.
bool worker_attach(struct worker *w, struct error *e);
