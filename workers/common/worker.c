// The worker runtime: opens what the supervisor handed over, sleeps and wakes, keeps the account, and turns the end of the work into an
// exit code. See worker.h for the contract; worker_attach.c opens the descriptors.
//
// The hang rule: a worker that works renews its deadline each turn; one that sleeps in worker_wait disarms it, because an outage or an
// empty ring is a state, not a hang.
#include "workers/common/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/log.h"
#include "workers/common/worker_attach.h"
#include "workers/workers.h"

enum {
  HANG_SECONDS = 30,    // a turn of a worker's loop lasts milliseconds
  RENEW_NS = 100000000, // the deadline is stored again only when it has moved this much
};

static void bell_heard(int fd, short what, void *context) {
  (void)what;
  struct worker *w = context;
  uint64_t rings;
  // The bell is cleared before its owner looks at the ring (shm/ring.h): what is published after this read rings it again.
  if (read(fd, &rings, sizeof rings) == (ssize_t)sizeof rings) w->bell_rang = true;
}

// A timer only ends the sleep: what to do next is decided by who slept.
static void timer_fired(int fd, short what, void *context) {
  (void)fd, (void)what, (void)context;
}

struct worker_events {
  struct event *bell, *timer;
  uint64_t armed_ns; // the deadline last stored
  bool busy_told;    // what a call is busy with stands in the slot: it ends with the next turn or sleep
};

static bool events_open(struct worker *w, struct error *e) {
  w->events = memory_get(sizeof *w->events);
  w->base = event_base_new();
  if (w->base) w->events->bell = event_new(w->base, w->bell, EV_READ | EV_PERSIST, bell_heard, w);
  if (w->base) w->events->timer = event_new(w->base, -1, 0, timer_fired, NULL);
  if (w->events->bell && w->events->timer && event_add(w->events->bell, NULL) == 0) return true;
  error_set(e, ERROR_ENVIRONMENT, "events", "cannot watch the bell: %s", strerror(errno));
  return false;
}

int worker_enter(void) {
  static struct worker w;
  struct error e = {0};
  // Without a job there is no slot either: the log line on standard error is all that can be said.
  if (!worker_attach(&w, &e)) {
    log_say(LOG_LEVEL_ERROR, "a worker cannot take up its job: %s", e.text);
    return WORKER_EXIT_ENVIRONMENT;
  }
  if (!events_open(&w, &e)) return worker_fail(&w, &e);
  enum worker_role role;
  if (!worker_role_find(w.role, &role)) {
    error_set(&e, ERROR_FAULT, "job", "the job names no role \"%s\"", w.role);
    return worker_fail(&w, &e);
  }
  const struct worker_kind *kind = worker_kind_find(role, w.kind);
  if (!kind) {
    error_set(&e, ERROR_FAULT, "job", "there is no %s of kind \"%s\"", w.role, w.kind);
    return worker_fail(&w, &e);
  }
  worker_turn(&w);
  int code = kind->run(&w);
  if (code == WORKER_EXIT_DONE) slot_state_set(&w.slot, SLOT_STOPPED);
  return code;
}

static void deadline_arm(struct worker *w, uint64_t now_ns, uint64_t seconds) {
  w->events->armed_ns = now_ns + seconds * 1000000000u;
  slot_deadline_set(&w->slot, w->events->armed_ns);
}

static void busy_end(struct worker *w) {
  if (!w->events->busy_told) return;
  w->events->busy_told = false;
  slot_doing_set(&w->slot, "");
}

bool worker_turn(struct worker *w) {
  uint64_t now = clock_monotonic_ns();
  busy_end(w);
  if (now + HANG_SECONDS * 1000000000ull - w->events->armed_ns >= RENEW_NS) {
    deadline_arm(w, now, HANG_SECONDS);
    slot_state_set(&w->slot, SLOT_RUNNING);
  }
  return slot_command_get(&w->slot) == SLOT_STOP;
}

void worker_busy_until(struct worker *w, unsigned seconds, const char *doing) {
  deadline_arm(w, clock_monotonic_ns(), seconds);
  if (!doing) return;
  slot_doing_set(&w->slot, doing);
  w->events->busy_told = true;
}

bool worker_finish_asked(const struct worker *w) {
  return slot_command_get(&w->slot) == SLOT_FINISH;
}

static void sleep_until_event(struct worker *w, int timeout_ms) {
  if (timeout_ms >= 0) {
    struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};
    event_add(w->events->timer, &tv);
  }
  event_base_loop(w->base, EVLOOP_ONCE);
  event_del(w->events->timer);
}

void worker_wait(struct worker *w, int timeout_ms, enum slot_state state, const char *doing) {
  // In this order: whoever is shown as running has a deadline, wherever he stands still.
  slot_state_set(&w->slot, state);
  slot_deadline_set(&w->slot, 0);
  w->events->armed_ns = 0;
  busy_end(w);
  if (doing) slot_doing_set(&w->slot, doing);
  sleep_until_event(w, timeout_ms);
  w->bell_rang = false;
  if (doing) slot_doing_set(&w->slot, "");
  worker_turn(w);
}

bool worker_pause(struct worker *w, uint64_t timeout_ms, const char *doing) {
  uint64_t end = clock_monotonic_ns() + timeout_ms * 1000000u;
  for (;;) {
    if (slot_command_get(&w->slot) == SLOT_STOP) return false;
    uint64_t now = clock_monotonic_ns();
    if (now >= end) return true;
    uint64_t left = (end - now + 999999) / 1000000;
    worker_wait(w, left > 3600000 ? 3600000 : (int)left, SLOT_WAITING, doing);
  }
}

void bell_ring(int fd) {
  uint64_t one = 1;
  // EAGAIN means that the counter is full: the bell is rung already. No other error can come from an eventfd that is open.
  if (fd >= 0 && write(fd, &one, sizeof one) != (ssize_t)sizeof one && errno != EAGAIN)
    log_say(LOG_LEVEL_ERROR, "a bell cannot be rung: %s", strerror(errno));
}

void worker_counters_note(const struct worker *w, uint64_t *note) {
  memcpy(note + WORKER_NOTE_COUNTERS, w->counters, sizeof w->counters);
}

void worker_counters_load(struct worker *w, const uint64_t *note) {
  memcpy(w->counters, note + WORKER_NOTE_COUNTERS, sizeof w->counters);
  worker_counters_show(w);
}

void worker_counters_show(struct worker *w) {
  slot_counters_set(&w->slot, w->counters);
}

void worker_hand(struct worker *w, uint64_t stream, uint64_t position) {
  slot_hand_set(&w->slot, stream, position);
}

bool worker_is_set_aside(const struct worker *w, uint64_t stream, uint64_t position) {
  return w->has_set_aside && w->set_aside_stream == stream && w->set_aside_position == position;
}

void worker_did_work(struct worker *w) {
  slot_did_work_set(&w->slot);
}

void worker_show_error(struct worker *w, const struct error *e, const char *message) {
  struct log_line l;
  log_begin(&l, e->class == ERROR_OUTAGE || e->class == ERROR_DATA ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, message);
  log_error(&l, e);
  log_end(&l);
  slot_error_set(&w->slot, e->text);
}

static int exit_code(enum error_class class) {
  switch (class) {
  case ERROR_NONE: return WORKER_EXIT_DONE;
  case ERROR_OUTAGE: return WORKER_EXIT_AGAIN;
  case ERROR_DATA: return WORKER_EXIT_LIMIT;
  case ERROR_CONFIG: return WORKER_EXIT_CONFIG;
  case ERROR_OPERATOR: return WORKER_EXIT_OPERATOR;
  case ERROR_FENCED: return WORKER_EXIT_FENCED;
  case ERROR_REWIND: return WORKER_EXIT_REWIND;
  case ERROR_ENVIRONMENT: return WORKER_EXIT_ENVIRONMENT;
  case ERROR_FAULT: return WORKER_EXIT_OPERATOR;
  }
  return WORKER_EXIT_OPERATOR;
}

int worker_fail(struct worker *w, const struct error *e) {
  worker_show_error(w, e, "this worker stops");
  slot_state_set(&w->slot, SLOT_FAILED);
  return exit_code(e->class);
}

uint64_t backoff_next(struct backoff *b) {
  if (b->next_ms == 0) b->next_ms = 100;
  uint64_t now = b->next_ms, random = 0;
  b->next_ms = now * 2 > b->most_ms ? b->most_ms : now * 2;
  b->tries++;
  // Jitter, so that many waiters do not come back in step: between half and the whole.
  if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) random = clock_monotonic_ns();
  return now / 2 + random % (now / 2 + 1);
}

void backoff_reset(struct backoff *b) {
  b->next_ms = 0;
  b->tries = 0;
}

bool worker_output_room(struct worker *w, uint32_t size, struct error *e) {
  if (size > ring_record_max(w->output.capacity)) {
    error_set(e, ERROR_DATA, "too-large", "a record of %u bytes needs a ring of at least %llu bytes (setting ring)", size,
              (unsigned long long)(4 * ring_footprint(size)));
    return false;
  }
  while (ring_writer_sleep(&w->output, size)) worker_wait(w, -1, SLOT_BLOCKED, NULL);
  if (w->output.fault == RING_OK) return true;
  error_set(e, ERROR_FAULT, "ring", "the output ring is damaged: %s", ring_fault_text(w->output.fault));
  return false;
}
