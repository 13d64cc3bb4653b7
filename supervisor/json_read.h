// JSON read for the commands: the answer of a running instance as a tree of job values (proto/job.h).
#pragma once
#include <stdbool.h>

#include "proto/buffer.h"
#include "proto/job.h"

// `packed` (owned by the caller, emptied first) holds what `root` points into. False: not JSON.
bool json_read(const struct buffer *text, struct buffer *packed, struct job_value *root);
