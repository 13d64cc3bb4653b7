// The file sink: rows as lines of JSON, appended to one file per lane, exactly once.
#pragma once
#include "workers/workers.h"

int file_sink_run(struct worker *w);
void file_sink_check(struct check *c);
char *file_sink_writes(struct job_value settings, unsigned lane, unsigned lanes);
store_opener file_store_open;
