// The retry source: dead letters of one node, sent through it again. Its settings are made by the supervisor, never by a file
// (supervisor/plan_retry.c).
#pragma once
#include "workers/workers.h"

int retry_source_run(struct worker *w);
