// The pipeline file's bytes, read once and bounded.
#pragma once
#include <stddef.h>

struct plan_report;

// The whole file, NUL-terminated, a byte order mark taken off (owned by the caller). NULL: it cannot be read, is no regular file, is longer
// than LIMIT_CONFIG or holds a NUL byte; the report (may be NULL) says which.
char *config_file_read(const char *path, struct plan_report *report);
