// The table sink: rows into a table of SQLite or PostgreSQL, exactly once.
#pragma once
#include "workers/workers.h"

int table_sink_run(struct worker *w);
void table_sink_check(struct check *c);
store_opener table_store_open;
