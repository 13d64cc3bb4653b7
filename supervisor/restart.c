// See restart.h for the manual page.
#include "supervisor/restart.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { EXIT_RUN_TIME = 1, EXIT_USAGE = 2, EXIT_ENVIRONMENT = 3, CRASHES_UNTIL_CAREFUL = 2 };

static const char *code_name(int code) {
  switch (code) {
  case WORKER_EXIT_DONE: return "done";
  case WORKER_EXIT_CONFIG: return "cannot be done as configured";
  case WORKER_EXIT_AGAIN: return "something passing";
  case WORKER_EXIT_OPERATOR: return "needs a decision";
  case WORKER_EXIT_REWIND: return "the target stands elsewhere than it was left: positions were set, or rows lost";
  case WORKER_EXIT_FENCED: return "another instance owns its streams";
  case WORKER_EXIT_ENVIRONMENT: return "this machine";
  case WORKER_EXIT_LIMIT: return "its own limit";
  case WORKER_EXIT_MEMORY: return "out of memory";
  default: return "unexpected";
  }
}

void restart_cause(const struct death *d, char out[RESTART_TEXT]) {
  const char *name = d->by_signal ? sigabbrev_np(d->code) : NULL;
  if (name)
    snprintf(out, RESTART_TEXT, "SIG%s", name);
  else if (d->by_signal)
    snprintf(out, RESTART_TEXT, "signal %d", d->code);
  else
    snprintf(out, RESTART_TEXT, "exit %d (%s)", d->code, code_name(d->code));
}

// Whose fault may be the record in hand?
static bool is_crash(const struct death *d) {
  if (!d->by_signal) return d->code == WORKER_EXIT_LIMIT;
  return d->code == SIGSEGV || d->code == SIGBUS || d->code == SIGFPE || d->code == SIGILL || d->code == SIGABRT;
}

// Counts a crash against the record in hand; says what the successor shall do differently ("" when nothing).
static void count_crash(struct restart *r, const struct death *d, char more[RESTART_TEXT]) {
  bool progress = r->crashes > 0 && d->did_work && d->position != r->crash_position;
  if (r->careful && d->has_hand) {
    // It was replaying record by record: what it had in hand is what kills.
    *r = (struct restart){.row = r->row, .has_set_aside = true, .set_aside_stream = d->hand_stream, .set_aside_position = d->hand_position};
    snprintf(more, RESTART_TEXT, ", setting aside the record at position %llu of stream %llu", (unsigned long long)d->hand_position,
             (unsigned long long)d->hand_stream);
    return;
  }
  r->crashes = progress ? 1 : r->crashes + 1;
  r->crash_position = d->position;
  r->careful = r->crashes >= CRASHES_UNTIL_CAREFUL;
  if (r->careful) snprintf(more, RESTART_TEXT, ", record by record");
}

// Deaths before any work wait longer and longer; `hasty` is false for a worker that said itself that it wants to wait.
static uint64_t throttle(struct restart *r, const struct death *d, bool hasty) {
  if (d->did_work || d->lived_ns >= RESTART_CALM_NS) r->row = 0;
  if (d->did_work && hasty) return 0;
  unsigned waits = r->row++;
  if (hasty && waits == 0) return 0;
  if (hasty) waits--;
  // SIGKILL comes from outside and says nothing about the worker: its successor need not wait long.
  uint64_t most = d->by_signal && d->code == SIGKILL ? RESTART_KILLED_MOST_MS : RESTART_MOST_MS;
  uint64_t delay = RESTART_FIRST_MS;
  while (waits-- > 0 && delay < most) delay *= 2;
  return delay < most ? delay : most;
}

static void start_again(struct restart *r, const struct death *d, struct verdict *v) {
  char more[RESTART_TEXT] = "";
  if (is_crash(d)) {
    count_crash(r, d, more);
  } else if (d->lived_ns >= RESTART_CALM_NS && d->did_work) {
    r->crashes = 0;
    r->careful = false;
  }
  bool hasty = d->by_signal || (d->code != WORKER_EXIT_AGAIN && d->code != WORKER_EXIT_MEMORY);
  v->delay_ms = throttle(r, d, hasty);
  v->step = v->delay_ms == 0 ? RESTART_AT_ONCE : RESTART_LATER;
  if (v->step == RESTART_AT_ONCE)
    snprintf(v->next, sizeof v->next, "start at once%.120s", more);
  else
    snprintf(v->next, sizeof v->next, "start in %llu ms%.120s", (unsigned long long)v->delay_ms, more);
}

static void stop_with(struct verdict *v, int exit_code) {
  v->step = RESTART_STOP;
  v->exit_code = exit_code;
  snprintf(v->next, sizeof v->next, "the pipeline stops with %d", exit_code);
}

void restart_decide(struct restart *r, const struct death *d, struct verdict *v) {
  *v = (struct verdict){0};
  if (d->by_signal) {
    start_again(r, d, v);
    return;
  }
  switch (d->code) {
  case WORKER_EXIT_DONE:
    v->step = RESTART_DONE;
    snprintf(v->next, sizeof v->next, "nothing, it has finished");
    return;
  case WORKER_EXIT_REWIND:
    v->step = RESTART_LANE;
    v->delay_ms = throttle(r, d, true);
    snprintf(v->next, sizeof v->next, "cut the lane, start it from durable positions");
    return;
  case WORKER_EXIT_CONFIG: stop_with(v, EXIT_USAGE); return;
  case WORKER_EXIT_ENVIRONMENT: stop_with(v, EXIT_ENVIRONMENT); return;
  case WORKER_EXIT_OPERATOR:
  case WORKER_EXIT_FENCED: stop_with(v, EXIT_RUN_TIME); return;
  default: start_again(r, d, v); return;
  }
}
