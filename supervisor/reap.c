// See reap.h for the manual page.
#include "supervisor/reap.h"

#include <errno.h>
#include <sys/wait.h>

#include "proto/clock.h"
#include "shm/crash_point.h"
#include "supervisor/finish.h"
#include "supervisor/instance.h"
#include "supervisor/lane.h"
#include "supervisor/say.h"

static void death_of(const struct seat *seat, int status, struct death *d) {
  struct slot_words words;
  slot_words_get(&seat->slot, &words);
  *d = (struct death){.by_signal = WIFSIGNALED(status),
                      .code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                      .did_work = words.did_work,
                      .has_hand = words.has_hand,
                      .hand_stream = words.hand_stream,
                      .hand_position = words.hand_position,
                      .position = words.position,
                      .lived_ns = clock_monotonic_ns() - seat->started_ns};
}

// What happens next when the policy has no say: the lane or the whole instance is on its way out.
static const char *next_forced(const struct seat *seat) {
  if (seat->lane->cutting) return "the lane starts again when all its workers are gone";
  if (seat->dismissed) return "nothing";
  return NULL;
}

// Why it ended by itself the worker has said, in the line before this one.
static void say_death(struct seat *seat, pid_t pid, const struct death *d, const char *next) {
  struct instance *i = seat->lane->instance;
  struct log_line l;
  char cause[RESTART_TEXT];
  bool orderly = !d->by_signal && d->code == WORKER_EXIT_DONE;
  restart_cause(d, cause);
  seat->pid = pid; // for the line only
  bool calm = orderly || seat->kill_reason;
  say_begin(i, &l, calm ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, orderly ? "worker finished" : "worker died", seat);
  seat->pid = 0;
  log_text(&l, "cause", cause);
  log_text(&l, "why", seat->kill_reason);
  if (d->has_hand && !calm) {
    log_uint(&l, "stream", d->hand_stream);
    log_uint(&l, "position", d->hand_position);
  }
  log_text(&l, "next", next);
  log_end(&l);
}

// The lane cannot be cut any more while the instance ends: its workers go, the target is repaired at the next start.
static void rewind_at_the_end(struct seat *seat) {
  stop_failed(seat->lane->instance, seat, 1, "the target lost rows that it had acknowledged; they are sent again at the next start");
}

static void act(struct seat *seat, const struct verdict *v) {
  struct instance *i = seat->lane->instance;
  char error[SLOT_TEXT];
  switch (v->step) {
  case RESTART_DONE: seat_end(seat); break;
  case RESTART_AT_ONCE: seat_spawn(seat); break;
  case RESTART_LATER: seat_spawn_later(seat, v->delay_ms); break;
  case RESTART_LANE:
    if (i->stop.phase == STOP_RUNNING)
      lane_cut(seat->lane, v->delay_ms);
    else if (seat->lane->chain->retry)
      retry_failed(seat, 1, "the target lost rows that it had acknowledged");
    else
      rewind_at_the_end(seat);
    break;
  case RESTART_STOP:
    slot_error_get(&seat->slot, error);
    if (seat->lane->chain->retry)
      retry_failed(seat, v->exit_code, error);
    else
      stop_failed(i, seat, v->exit_code, error);
    break;
  }
}

static void reap_seat(struct seat *seat, pid_t pid, int status) {
  struct instance *i = seat->lane->instance;
  struct death d;
  struct verdict v = {0};
  worker_output_end(seat);
  seat->pid = 0;
  seat->state = SEAT_EMPTY;
  death_of(seat, status, &d);
  const char *forced = next_forced(seat);
  if (!forced) restart_decide(&seat->history, &d, &v);
  say_death(seat, pid, &d, forced ? forced : v.next);
  seat_ring_neighbours(seat);
  if (seat->lane->cutting)
    lane_reaped(seat->lane);
  else if (seat->dismissed)
    seat_end(seat);
  else
    act(seat, &v);
  retry_reaped(seat->lane);
  finish_check(i);
  stop_check(i);
}

void reap_all(struct instance *i) {
  int status;
  for (;;) {
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;
    CRASH_POINT("supervisor.reaped");
    struct seat *seat = seat_of_pid(i, pid);
    if (seat)
      reap_seat(seat, pid, status);
    else
      reload_reaped(i, pid, status);
  }
}
