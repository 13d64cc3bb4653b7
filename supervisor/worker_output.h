// What a worker prints: its standard output and error are a pipe that the supervisor reads line by line.
//
// NAME          worker_output - labelled lines of the workers
// DESCRIPTION   Log lines of weir carry their worker already and pass as they are. Any other line (a library's warning, a sanitizer's
//               report, the last words of an abort) becomes a log line that says who printed it. Lines over LOG_LINE are cut into pieces.
// DIAGNOSTICS   A pipe that cannot be read is told once, and the worker goes on unheard.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "proto/log.h"

struct event;
struct instance;
struct seat;

struct worker_output {
  int fd; // reading end, -1 when closed
  struct event *event;
  size_t length;
  char *line; // LOG_LINE bytes, only while the beginning of an unfinished line waits
};

// Takes over the reading end of a seat's new pipe.
void worker_output_begin(struct seat *seat, int fd);
// After the worker is gone: reads what is left, also an unfinished line, and closes.
void worker_output_end(struct seat *seat);
