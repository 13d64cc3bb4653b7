// The supervisor's own log lines: one for each decision, with the worker it is about. Called by every file of the supervisor that decides
// something; on a terminal the progress line steps aside first.
#pragma once
#include <stddef.h>

#include "proto/log.h"

struct instance;
struct seat;

// Opens a line; `seat` (may be NULL) adds worker, pid and generation of who sits there, or sat there last. Close it with log_end.
void say_begin(struct instance *i, struct log_line *l, enum log_level level, const char *message, const struct seat *seat);
// A whole line in one call.
void say(struct instance *i, enum log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));
// A line that is a log line already (without its newline).
void say_raw(struct instance *i, const char *line, size_t length);
