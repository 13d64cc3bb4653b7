// See lane.h for the manual page.
#include "supervisor/lane.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proto/limits.h"
#include "shm/register.h"
#include "shm/ring.h"
#include "shm/words.h"
#include "supervisor/finish.h"
#include "supervisor/instance.h"
#include "supervisor/ring_look.h"
#include "supervisor/say.h"
#include "workers/workers.h"

enum {
  REGISTER_BYTES = 1 << 20,
  NOTE_SPARE = 16, // words of a ring note beyond counters and streams: a transformer's cursor, the end of the run, a source's own
};

// ---- the tree

struct seat *seat_parent(const struct seat *seat) {
  return seat == seat->lane->seats ? NULL : &seat->lane->seats[seat->plan->parent];
}

bool seat_is_sink(const struct seat *seat) {
  return seat->plan->children == 0;
}

bool seat_is_below(const struct seat *seat, const struct seat *above) {
  while (seat && seat != above) seat = seat_parent(seat);
  return seat != NULL;
}

struct seat *seat_of_pid(struct instance *i, pid_t pid) {
  for (size_t l = 0; l < i->lane_count; l++)
    for (size_t s = 0; s < i->lanes[l].seat_count; s++)
      if (i->lanes[l].seats[s].pid == pid) return &i->lanes[l].seats[s];
  for (size_t l = 0; l < i->lookup_count; l++)
    if (i->lookups[l].seats[0].pid == pid) return &i->lookups[l].seats[0];
  return NULL;
}

bool lanes_ended(const struct instance *i) {
  for (size_t l = 0; l < i->lane_count; l++)
    for (size_t s = 0; s < i->lanes[l].seat_count; s++)
      if (i->lanes[l].seats[s].state != SEAT_ENDED) return false;
  return true;
}

uint64_t seat_backlog(const struct seat *seat, uint64_t *capacity) {
  const struct seat *parent = seat_parent(seat);
  uint64_t backlog = 0;
  *capacity = 0;
  if (parent && parent->ring >= 0) ring_look(parent->ring, seat->plan->reader, &backlog, capacity);
  return backlog;
}

void seat_ring_neighbours(const struct seat *seat) {
  const struct lane *lane = seat->lane;
  for (size_t s = 0; s < lane->seat_count; s++) {
    const struct seat *other = &lane->seats[s];
    bool near = seat_parent(other) == seat || seat_parent(seat) == other || s == 0 || seat == lane->seats;
    if (other != seat && near) bell_ring(other->bell);
  }
}

// ---- memory

static bool kept(int fd, const char *what, const struct seat *seat, struct error *e) {
  if (fd >= 0) return true;
  error_set(e, ERROR_ENVIRONMENT, "memory", "cannot make %s of %s: %s", what, seat->name, strerror(-fd));
  return false;
}

static int ring_make(const struct seat *seat) {
  bool source = seat_parent(seat) == NULL;
  struct ring_spec spec = {.capacity = seat->plan->ring_bytes,
                           .readers = seat->plan->children,
                           .writer_words = SLOT_COUNTERS + NOTE_SPARE + (source ? 2 * LIMIT_STREAMS : 0),
                           .reader_words = SLOT_COUNTERS + NOTE_SPARE};
  return ring_create(&spec);
}

bool seat_open(struct seat *seat, struct error *e) {
  if (!kept(seat->slot_fd = slot_create(), "the slot", seat, e)) return false;
  if (!kept(slot_attach(&seat->slot, seat->slot_fd, true), "the slot", seat, e)) return false;
  seat->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (!kept(seat->bell < 0 ? -errno : seat->bell, "the bell", seat, e)) return false;
  bool lookup = seat->plan->kind->role == WORKER_LOOKUP;
  if (lookup) return kept(seat->feedback = words_create(LOOKUP_WORDS), "the words", seat, e);
  if (seat_is_sink(seat)) return kept(seat->feedback = words_create(LIMIT_STREAMS * worker_feedback_words), "the feedback", seat, e);
  return kept(seat->ring = ring_make(seat), "the ring", seat, e);
}

static void fd_close(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void seat_close(struct seat *seat) {
  slot_detach(&seat->slot);
  fd_close(&seat->slot_fd);
  fd_close(&seat->bell);
  fd_close(&seat->ring);
  fd_close(&seat->feedback);
}

static bool lane_open(struct lane *lane, struct error *e) {
  const struct seat *source = &lane->seats[0];
  if (!kept(lane->streams = register_create(REGISTER_BYTES), "the stream table", source, e)) return false;
  if (!kept(lane->source_words = words_create(LIMIT_STREAMS * worker_stream_words), "the starts", source, e)) return false;
  for (size_t s = 0; s < lane->seat_count; s++)
    if (!seat_open(&lane->seats[s], e)) return false;
  return true;
}

static void lane_close(struct lane *lane) {
  for (size_t s = 0; s < lane->seat_count; s++) seat_close(&lane->seats[s]);
  fd_close(&lane->streams);
  fd_close(&lane->source_words);
}

// "cleaned/0"; a topic that is written and read has two workers of one name, so they are told apart: "raw:writer/0".
static char *seat_name(const struct plan_worker *worker, const struct plan_node *node, unsigned number) {
  const char *which = !node->at_brokers ? "" : worker->kind->role == WORKER_PRODUCER ? ":reader" : ":writer";
  return memory_print("%s%s/%u", node->name, which, number);
}

void lane_seats(struct instance *i, struct lane *lane, const struct plan_chain *chain, unsigned number) {
  *lane = (struct lane){.instance = i, .chain = chain, .number = number, .seat_count = chain->worker_count, .streams = -1};
  lane->source_words = -1;
  lane->seats = memory_get(lane->seat_count * sizeof *lane->seats);
  for (size_t s = 0; s < lane->seat_count; s++) {
    const struct plan_worker *worker = &chain->workers[s];
    const struct plan_node *node = &i->plan->nodes[worker->node];
    lane->seats[s] = (struct seat){.lane = lane, .plan = worker, .node = node, .name = seat_name(worker, node, number)};
    lane->seats[s].slot_fd = lane->seats[s].bell = lane->seats[s].ring = lane->seats[s].feedback = -1;
    lane->seats[s].output.fd = -1;
  }
}

bool lanes_open(struct instance *i, struct error *e) {
  size_t count = i->plan->retry_room;
  for (size_t c = 0; c < i->plan->chain_count; c++) count += i->plan->chains[c].lanes;
  i->lanes = memory_get(count * sizeof *i->lanes);
  for (size_t c = 0; c < i->plan->chain_count && !i->options.retry_only; c++)
    for (unsigned n = 0; n < i->plan->chains[c].lanes; n++) lane_seats(i, &i->lanes[i->lane_count++], &i->plan->chains[c], n);
  for (size_t l = 0; l < i->lane_count; l++)
    if (!lane_open(&i->lanes[l], e)) return false;
  return true;
}

void lane_free(struct lane *lane) {
  lane_close(lane);
  for (size_t s = 0; s < lane->seat_count; s++) {
    worker_output_end(&lane->seats[s]);
    if (lane->seats[s].timer) event_free(lane->seats[s].timer);
    free(lane->seats[s].name);
  }
  free(lane->seats);
}

void lanes_close(struct instance *i) {
  for (size_t l = 0; l < i->lane_count; l++) lane_free(&i->lanes[l]);
  free(i->lanes);
  i->lanes = NULL;
  i->lane_count = 0;
}

// ---- lanes of retries

struct lane *lane_add(struct instance *i, const struct plan_chain *chain, struct error *e) {
  struct lane *lane = &i->lanes[i->lane_count];
  lane_seats(i, lane, chain, 0);
  if (lane_open(lane, e)) {
    i->lane_count++;
    return lane;
  }
  lane_free(lane);
  return NULL;
}

void lane_rest(struct lane *lane) {
  for (size_t s = 0; s < lane->seat_count; s++) {
    fd_close(&lane->seats[s].ring);
    fd_close(&lane->seats[s].feedback);
  }
  fd_close(&lane->streams);
  fd_close(&lane->source_words);
}

static void fd_swap(int *one, int *other) {
  int fd = *one;
  *one = *other;
  *other = fd;
}

// The memory of `fresh` becomes that of the seat; the old one goes with `fresh`.
static void seat_renew(struct seat *seat, struct seat *fresh) {
  struct slot_words words;
  struct slot slot = seat->slot;
  slot_words_get(&seat->slot, &words);
  for (int c = 0; c < SLOT_COUNTERS; c++) seat->kept[c] += words.counters[c];
  seat->slot = fresh->slot;
  fresh->slot = slot;
  fd_swap(&seat->slot_fd, &fresh->slot_fd);
  fd_swap(&seat->bell, &fresh->bell);
  fd_swap(&seat->ring, &fresh->ring);
  fd_swap(&seat->feedback, &fresh->feedback);
  seat->history = (struct restart){0};
  seat->state = SEAT_EMPTY;
  seat->failed = seat->dismissed = false;
}

bool lane_renew(struct lane *lane, struct error *e) {
  struct lane fresh;
  lane_seats(lane->instance, &fresh, lane->chain, lane->number);
  bool made = lane_open(&fresh, e);
  if (made) {
    for (size_t s = 0; s < lane->seat_count; s++) seat_renew(&lane->seats[s], &fresh.seats[s]);
    fd_swap(&lane->streams, &fresh.streams);
    fd_swap(&lane->source_words, &fresh.source_words);
    lane->given_up = false;
  }
  lane_free(&fresh);
  return made;
}

// ---- life

void lane_start(struct lane *lane) {
  for (size_t s = 0; s < lane->seat_count; s++)
    if (lane->seats[s].state == SEAT_EMPTY && !lane->given_up) seat_spawn(&lane->seats[s]);
}

void lane_hurry(struct lane *lane) {
  for (size_t s = 0; s < lane->seat_count; s++) {
    struct seat *seat = &lane->seats[s];
    if (seat->state != SEAT_EMPTY || lane->cutting || !seat->timer || !evtimer_pending(seat->timer, NULL)) continue;
    event_del(seat->timer);
    seat_spawn(seat);
  }
}

void seat_end(struct seat *seat) {
  if (seat->timer) event_del(seat->timer);
  seat->state = SEAT_ENDED;
}

void seat_kill(struct seat *seat, const char *reason) {
  if (seat->pid <= 0) return;
  seat->kill_reason = reason;
  kill(seat->pid, SIGKILL);
}

void seat_dismiss(struct seat *seat, const char *reason) {
  if (seat->state == SEAT_ENDED) return;
  seat->dismissed = true;
  if (seat->pid > 0)
    seat_kill(seat, reason);
  else
    seat_end(seat);
}

static void timer_over(int fd, short what, void *context) {
  (void)fd, (void)what;
  struct seat *seat = context;
  if (seat->state == SEAT_EMPTY) seat_spawn(seat);
}

void seat_spawn_later(struct seat *seat, uint64_t ms) {
  struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
  if (!seat->timer) seat->timer = evtimer_new(seat->lane->instance->base, timer_over, seat);
  if (!seat->timer || evtimer_add(seat->timer, &tv) != 0) seat_spawn(seat);
}

// ---- the cut

static void say_counters_before(struct lane *lane) {
  struct log_line l;
  struct slot_words source;
  uint64_t stored = 0;
  slot_words_get(&lane->seats[0].slot, &source);
  for (size_t s = 0; s < lane->seat_count; s++) {
    struct slot_words words;
    slot_words_get(&lane->seats[s].slot, &words);
    if (seat_is_sink(&lane->seats[s])) stored += words.counters[COUNT_OUT];
  }
  say_begin(lane->instance, &l, LOG_LEVEL_WARN, "a lane starts again from what is durable; its numbers start anew", NULL);
  log_text(&l, "source", lane->seats[0].name);
  log_uint(&l, "inputs_before", source.counters[COUNT_IN]);
  log_uint(&l, "rows_stored_before", stored);
  log_end(&l);
}

void lane_cut(struct lane *lane, uint64_t wait_ms) {
  if (lane->cutting) return;
  say_counters_before(lane);
  lane->cutting = true;
  lane->cuts++;
  lane->wait_ms = wait_ms;
  for (size_t s = 0; s < lane->seat_count; s++) {
    struct seat *seat = &lane->seats[s];
    if (seat->timer) event_del(seat->timer);
    seat_kill(seat, "its lane is cut");
    if (seat->pid == 0) seat->state = SEAT_EMPTY;
  }
  lane_reaped(lane);
}

void lane_reaped(struct lane *lane) {
  struct error e = {0};
  struct instance *i = lane->instance;
  for (size_t s = 0; s < lane->seat_count; s++)
    if (lane->seats[s].pid != 0) return;
  lane->cutting = false;
  if (i->stop.phase == STOP_KILLING) {
    for (size_t s = 0; s < lane->seat_count; s++) seat_end(&lane->seats[s]);
    return;
  }
  lane_close(lane);
  // Handles of streams mean something within one life of the memory only.
  for (size_t s = 0; s < lane->seat_count; s++) lane->seats[s].history = (struct restart){.row = lane->seats[s].history.row};
  if (!lane_open(lane, &e)) {
    say(i, LOG_LEVEL_ERROR, "a lane cannot be made anew: %s", e.text);
    for (size_t s = 1; s < lane->seat_count; s++) seat_end(&lane->seats[s]);
    stop_failed(i, &lane->seats[0], 3, e.text);
    return;
  }
  // The wish to stop lay in the old slot.
  if (i->stop.phase != STOP_RUNNING) slot_command_set(&lane->seats[0].slot, SLOT_STOP);
  finish_check(i);
  if (lane->wait_ms == 0) {
    lane_start(lane);
    return;
  }
  for (size_t s = 0; s < lane->seat_count; s++) seat_spawn_later(&lane->seats[s], lane->wait_ms);
}
