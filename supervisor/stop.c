// See stop.h for the manual page.
#include "supervisor/stop.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "supervisor/drain.h"
#include "supervisor/instance.h"
#include "supervisor/lane.h"
#include "supervisor/say.h"
#include "supervisor/terminal.h"

enum { LOOK_MS = 20 };

void stop_check(struct instance *i) {
  if (!lanes_ended(i)) return;
  // Lookups are needed until the last lane has ended.
  lookups_end(i);
  if (lookups_ended(i)) event_base_loopbreak(i->base);
}

static void everybody_kill(struct instance *i, const char *reason) {
  i->stop.phase = STOP_KILLING;
  for (size_t l = 0; l < i->lane_count; l++)
    for (size_t s = 0; s < i->lanes[l].seat_count; s++) seat_dismiss(&i->lanes[l].seats[s], reason);
  lookups_kill(i, reason);
  stop_check(i);
}

static void deadline_over(int fd, short what, void *context) {
  (void)fd, (void)what;
  struct instance *i = context;
  if (i->stop.exit_code == 0) i->stop.exit_code = 1;
  say(i, LOG_LEVEL_WARN, "not everything could be stored within %llu ms: the rest is read again at the next start",
      (unsigned long long)i->plan->drain_ms);
  drain_tell_left(i);
  everybody_kill(i, "the time to drain is over");
}

// ---- lanes in which a worker failed

static bool has_ended(const struct seat *seat) {
  return seat && seat->state == SEAT_ENDED;
}

// A worker below a dead parent gets no end of the run: it is done when it has released everything.
static bool lane_drain_step(struct lane *lane) {
  bool left = false;
  for (size_t s = 1; s < lane->seat_count; s++) {
    struct seat *seat = &lane->seats[s];
    uint64_t capacity;
    if (seat->state == SEAT_ENDED) continue;
    left = true;
    if (has_ended(seat_parent(seat)) && seat_backlog(seat, &capacity) == 0) seat_dismiss(seat, "its lane has drained");
  }
  return left;
}

static void look_drained(int fd, short what, void *context) {
  (void)fd, (void)what;
  struct instance *i = context;
  bool left = false;
  for (size_t l = 0; l < i->lane_count; l++)
    if (i->lanes[l].given_up && lane_drain_step(&i->lanes[l])) left = true;
  if (!left) event_del(i->stop.look);
  stop_check(i);
}

static void look_begin(struct instance *i) {
  struct timeval step = {.tv_usec = LOOK_MS * 1000};
  if (!i->stop.look) i->stop.look = event_new(i->base, -1, EV_PERSIST, look_drained, i);
  if (!i->stop.look || event_add(i->stop.look, &step) != 0) everybody_kill(i, "no timer could be set");
}

// ---- beginnings

static void sources_stop(struct instance *i) {
  for (size_t l = 0; l < i->lane_count; l++) {
    struct seat *source = &i->lanes[l].seats[0];
    slot_command_set(&source->slot, SLOT_STOP);
    bell_ring(source->bell);
  }
}

static void drain_begin(struct instance *i) {
  if (i->stop.phase != STOP_RUNNING) return;
  i->stop.phase = STOP_DRAINING;
  if (i->reload.state != RELOAD_DRAINING) notify_say(&i->notify, "STOPPING=1");
  sources_stop(i);
  for (size_t l = 0; l < i->lane_count; l++) lane_hurry(&i->lanes[l]);
  uint64_t ms = i->plan->drain_ms;
  struct timeval limit = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
  i->stop.deadline = evtimer_new(i->base, deadline_over, i);
  if (!i->stop.deadline || evtimer_add(i->stop.deadline, &limit) != 0) everybody_kill(i, "no timer could be set");
}

void stop_ask(struct instance *i, const char *why) {
  if (i->stop.phase != STOP_RUNNING) {
    if (i->reload.state != RELOAD_DRAINING) return;
    // It drains already; only what comes after it changes.
    i->reload.state = RELOAD_IDLE;
    say(i, LOG_LEVEL_INFO, "stopping (%s) instead of starting again", why);
    notify_say(&i->notify, "STOPPING=1");
    return;
  }
  struct log_line l;
  say_begin(i, &l, LOG_LEVEL_INFO, "stopping", NULL);
  log_text(&l, "cause", why);
  log_text(&l, "next", "sources stop, what was read is stored");
  log_end(&l);
  drain_begin(i);
}

void stop_now(struct instance *i, const char *why) {
  if (i->stop.phase == STOP_KILLING) return;
  if (i->stop.exit_code == 0) i->stop.exit_code = 1;
  struct log_line l;
  say_begin(i, &l, LOG_LEVEL_WARN, "stopping at once", NULL);
  log_text(&l, "cause", why);
  log_text(&l, "next", "what was not stored is read again at the next start");
  log_end(&l);
  everybody_kill(i, "a second signal");
}

void stop_failed(struct instance *i, struct seat *seat, int exit_code, const char *error) {
  struct stop *stop = &i->stop;
  seat_end(seat);
  seat->failed = true;
  seat->lane->given_up = true;
  stop->failures++;
  if (!stop->culprit) {
    stop->culprit = seat;
    stop->exit_code = exit_code;
    stop->reason = memory_text(error);
  }
  for (struct seat *above = seat_parent(seat); above; above = seat_parent(above))
    seat_dismiss(above, "what it writes is not read any more");
  drain_begin(i);
  if (stop->phase == STOP_DRAINING) look_begin(i);
}

// ---- the end

int stop_report(struct instance *i) {
  const struct stop *stop = &i->stop;
  if (!stop->culprit) return stop->exit_code;
  struct log_line l;
  say_begin(i, &l, LOG_LEVEL_ERROR, "the pipeline has stopped", stop->culprit);
  if (stop->reason[0]) log_text(&l, "error", stop->reason);
  log_int(&l, "exit", stop->exit_code);
  log_end(&l);
  if (i->options.log_json) return stop->exit_code;
  struct buffer block = {0};
  buffer_print(&block, "\nweir has stopped: %s `%s` of pipeline %s cannot go on.\n", worker_role_name(stop->culprit->plan->kind->role),
               stop->culprit->node->name, i->plan->pipeline);
  if (stop->reason[0]) {
    buffer_text(&block, "  ");
    terminal_put(&block, stop->reason, STOP_REASON);
    buffer_byte(&block, '\n');
  }
  if (stop->failures > 1) buffer_print(&block, "  (%u more failed too; the log lines above name them)\n", stop->failures - 1);
  if (write(STDERR_FILENO, block.at, block.length) < 0) block.length = 0; // nobody listens
  buffer_free(&block);
  return stop->exit_code;
}

void stop_close(struct instance *i) {
  if (i->stop.deadline) event_free(i->stop.deadline);
  if (i->stop.look) event_free(i->stop.look);
  free(i->stop.reason);
}
