// The job of a worker as a sealed memfd: everything that proto/job.h lists, and the numbers of the descriptors it inherits.
#pragma once
#include "proto/error.h"

struct seat;

enum { JOB_FDS_MOST = 24 + 64 + 8 }; // bells of children, feedback of sinks, words of lookups, and the rest

// The descriptors that this seat's worker inherits; filled beside the job's `fds`.
struct job_fds {
  int fd[JOB_FDS_MOST];
  unsigned count;
};

// The memfd, close-on-exec, owned by the caller; -1 with e set.
int job_memfd_make(const struct seat *seat, struct job_fds *fds, struct error *e);
