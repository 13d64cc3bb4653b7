// The path of a file sink: one file per lane.
#pragma once
#include "proto/error.h"
#include "proto/job.h"

// The lane's file: `{lane}` in the path is its number; with several lanes and no `{lane}` the number stands before the ending
// (out.ndjson -> out.2.ndjson). Owned by the caller; NULL: ERROR_CONFIG.
char *file_sink_path(struct job_value settings, unsigned lane, unsigned lanes, struct error *e);
// What is sent again goes to a file of its own beside it, because a file has one writer: out.ndjson -> out.retry-NODE.ndjson. The edge of
// such a lane begins with "retry:NODE"; NULL for any other edge. Owned by the caller.
char *file_sink_retry_path(const char *path, const char *edge);
