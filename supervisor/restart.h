// The restart policy: what happens after a worker has died. Pure: it sees a death and the history of the seat, and answers; reap.c acts.
//
// NAME          restart - at once, later, never, or the whole lane
// DESCRIPTION   A worker that had done work is started again at once. One that died before its first work is throttled: the first time in
//               a row at once, then after 100 ms, 200 ms, ... 10 s (1 s when it was SIGKILL, which says nothing about the worker). A long
//               quiet life (RESTART_CALM_NS) starts the row anew. Poison: deaths by SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT or the
//               worker's own limit count against the record in hand; SIGKILL never does, whoever sent it. After the second without
//               progress the successor is careful: it replays record by record, so that the third death names the record, which the next
//               successor sets aside unseen, as a dead letter.
//
//                 NONE --death--> ONE --death--> careful --death with a record in hand--> set aside --> NONE
//                   ^  progress ---|                 |
//                   +--------------------------------+  a calm end of the careful life (RESTART_CALM_NS)
// DIAGNOSTICS   none: the verdict's texts go into the log line of reap.c
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "workers/common/worker.h"

#define RESTART_CALM_NS UINT64_C(60000000000)
enum { RESTART_FIRST_MS = 100, RESTART_MOST_MS = 10000, RESTART_KILLED_MOST_MS = 1000, RESTART_TEXT = 160 };

struct death {
  bool by_signal;
  int code; // the signal, or the exit code
  bool did_work, has_hand;
  uint64_t hand_stream, hand_position;
  uint64_t position; // last one finished
  uint64_t lived_ns;
};

// The history of one seat. Zero at its start and after its lane was cut.
struct restart {
  unsigned row;     // deaths in a row before any work
  unsigned crashes; // deaths that count against a record, without progress between them
  uint64_t crash_position;
  bool careful;       // what the successor is told
  bool has_set_aside; // stays: the same record may come again after a death that has nothing to do with it
  uint64_t set_aside_stream, set_aside_position;
};

enum restart_step {
  RESTART_DONE,    // it finished in order
  RESTART_AT_ONCE, // start the successor now
  RESTART_LATER,   // start it after delay_ms
  RESTART_LANE,    // cut the lane, start it from durable positions
  RESTART_STOP,    // stop the pipeline with exit_code
};

struct verdict {
  enum restart_step step;
  uint64_t delay_ms;
  int exit_code;
  char next[RESTART_TEXT]; // "start at once", for the log
};

void restart_decide(struct restart *history, const struct death *death, struct verdict *verdict);
// "SIGKILL", "exit 70 (its own limit)": the cause for the log.
void restart_cause(const struct death *death, char out[RESTART_TEXT]);
