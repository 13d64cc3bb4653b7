// The commands that error messages offer: whole lines that can be pasted into a shell where weir was started.
//
// Called by workers wherever somebody has to decide. The pipeline file, the state folder and the names of the lane's sinks come from the
// job (proto/job.h); a job without them (a test's) gives FILE and SINK.
#pragma once
#include "proto/job.h"

// "weir dlq list FILE --state DIR" for "dlq list"; owned by the caller.
char *choice_command(struct job_value root, const char *words);
// "weir positions set FILE SINK ...": of one sink, or (NULL) of all sinks of the lane, for a source speaks for all of them. Owned by the
// caller, who goes on with --source, --partition and --to.
char *choice_positions(struct job_value root, const char *sink);
// The text as a shell takes it for one word; owned by the caller.
char *choice_quote(const char *text);
