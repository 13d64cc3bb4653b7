// The end of an instance, in order or not.
//
// NAME          stop - ask the sources, let the rings drain, give up what cannot
// DESCRIPTION   stop_ask: every source is told to stop; it sends the end of the run, which passes through its lane, and each worker exits
//               0 behind it. Workers that die meanwhile are started again, so that the lane drains. After `drain_timeout` the rest is
//               killed: what was not stored is read again at the next start, nothing is lost; exit 1 says that it was not all.
//               stop_failed: a worker needs somebody to decide. It is not started again. What stands above it in its lane has nowhere to
//               deliver to and is killed; what stands beside and below it drains (a worker whose parent is gone and whose ring is empty
//               has nothing left to do and is killed); the other lanes drain in order. Its words are repeated at the very end. stop_now:
//               a second signal. Everybody is killed.
//
//               RUNNING --stop_ask, stop_failed--> DRAINING --all ended--> the loop ends
//                                                      |  deadline, stop_now --> KILLING --all ended--> the loop ends
// DIAGNOSTICS   One line when the end begins, one when the deadline passes; stop_report tells what failed.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct event;
struct instance;
struct seat;

enum stop_phase { STOP_RUNNING, STOP_DRAINING, STOP_KILLING };
enum { STOP_REASON = 2048 };

struct stop {
  enum stop_phase phase;
  int exit_code;
  struct event *deadline; // of draining
  struct event *look;     // for workers that wait for a dead parent
  const struct seat *culprit;
  char *reason; // the culprit's error, owned
  unsigned failures;
  uint64_t draining_ns, told_ns; // drain.c: since when, and when it last said what it waits for
};

void stop_ask(struct instance *i, const char *why);
void stop_failed(struct instance *i, struct seat *seat, int exit_code, const char *error);
void stop_now(struct instance *i, const char *why);
// After every change of a seat to ENDED: ends the loop when it was the last one.
void stop_check(struct instance *i);
// Tells the failure, if any, as one block at the end. Returns the exit code.
int stop_report(struct instance *i);
void stop_close(struct instance *i);
