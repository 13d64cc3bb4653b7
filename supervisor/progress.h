// How it goes, for whoever watches.
//
// NAME          progress - a line that is redrawn, or one log line at intervals
// DESCRIPTION   On a terminal: one line with totals and rates, redrawn twice a second, which steps aside for log lines and is gone at the
//               end. Elsewhere: a log line every ten seconds, as long as something moves. Without colour when NO_COLOR is set (the line
//               itself is still redrawn).
// DIAGNOSTICS   none
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct instance;

struct progress {
  bool terminal, shown, colour;
  uint64_t next_ns;             // of the log line
  uint64_t seen_ns, in, stored; // at the last look
  uint64_t logged_in, logged_stored, logged_ns;
};

void progress_open(struct instance *i);
void progress_step(struct instance *i, uint64_t now_ns);
// Clears the line, so that something else can be printed; the next step draws it again.
void progress_hide(struct progress *p);
