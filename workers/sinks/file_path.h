// The path of a file sink: one file per lane.
#pragma once
#include "proto/error.h"
#include "proto/job.h"

// The lane's file: `{lane}` in the path is its number; with several lanes and no `{lane}` the number stands before the ending
// (out.ndjson -> out.2.ndjson). Owned by the caller; NULL: ERROR_CONFIG.
char *file_sink_path(struct job_value settings, unsigned lane, unsigned lanes, struct error *e);
