// The end of a careful life: after two crashes at one place a worker replays record by record (restart.h), which is slow. When that has
// gone well for a while, it is replaced by one that works in batches again.
//
// NAME          relax - back to batches
// DIAGNOSTICS   The log line of its death says why.
#pragma once
struct instance;

void relax_check(struct instance *i);
