// The lookup workers of kinds "http", "file", "sqlite" and "postgres". Named in workers.h.
#pragma once
#include "workers/workers.h"

int lookup_worker_run(struct worker *w);
void lookup_http_check(struct check *c);
void lookup_file_check(struct check *c);
void lookup_sqlite_check(struct check *c);
void lookup_postgres_check(struct check *c);
