// See job_memfd.h. Called by spawn.c for every new process. The keys and what they mean stand in proto/job.h and workers/common/worker.h.
#include "supervisor/job_memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/job.h"
#include "proto/msgpack.h"
#include "supervisor/instance.h"
#include "supervisor/lane.h"

enum { RETRY_STOP_ABOVE = 2 }; // shares end at 1
enum { JOB_KEYS = 33, JOB_SPARE = 4096, NUMBER_ROOM = 9, LOOKUP_ROOM = 64 };

static void text_put(struct msgpack_writer *w, const char *key, const char *value) {
  msgpack_write_cstring(w, key);
  msgpack_write_cstring(w, value);
}

static void uint_put(struct msgpack_writer *w, const char *key, uint64_t value) {
  msgpack_write_cstring(w, key);
  msgpack_write_uint(w, value);
}

static void bool_put(struct msgpack_writer *w, const char *key, bool value) {
  msgpack_write_cstring(w, key);
  msgpack_write_bool(w, value);
}

static void nodes_put(struct msgpack_writer *w, const struct plan *plan) {
  msgpack_write_cstring(w, "nodes");
  msgpack_write_array(w, (uint32_t)plan->node_count);
  for (size_t i = 0; i < plan->node_count; i++) msgpack_write_cstring(w, plan->nodes[i].name);
}

static void command_line_put(struct msgpack_writer *w, const struct run_options *o) {
  text_put(w, "file", o->file);
  msgpack_write_cstring(w, "state_option");
  if (o->state)
    msgpack_write_cstring(w, o->state);
  else
    msgpack_write_nil(w);
}

// A sink that several ways lead to counts at the first of its seats.
static bool is_sink_seat(const struct lane *lane, size_t index) {
  if (!seat_is_sink(&lane->seats[index])) return false;
  for (size_t s = 0; s < index; s++)
    if (lane->seats[s].node == lane->seats[index].node && seat_is_sink(&lane->seats[s])) return false;
  return true;
}

static void sinks_put(struct msgpack_writer *w, const struct lane *lane) {
  uint32_t count = 0;
  for (size_t s = 0; s < lane->seat_count; s++) count += is_sink_seat(lane, s);
  msgpack_write_cstring(w, "sinks");
  msgpack_write_array(w, count);
  for (size_t s = 0; s < lane->seat_count; s++)
    if (is_sink_seat(lane, s)) msgpack_write_cstring(w, lane->seats[s].node->name);
}

static void dead_nodes_put(struct msgpack_writer *w, const struct plan_worker *worker) {
  msgpack_write_cstring(w, "dead_nodes");
  msgpack_write_array(w, (uint32_t)worker->dead_node_count);
  for (size_t i = 0; i < worker->dead_node_count; i++) msgpack_write_uint(w, worker->dead_nodes[i]);
}

static void set_aside_put(struct msgpack_writer *w, const struct restart *history) {
  msgpack_write_cstring(w, "set_aside");
  if (!history->has_set_aside) {
    msgpack_write_nil(w);
    return;
  }
  msgpack_write_array(w, 2);
  msgpack_write_uint(w, history->set_aside_stream);
  msgpack_write_uint(w, history->set_aside_position);
}

// ---- descriptors

static void fd_write(struct msgpack_writer *w, struct job_fds *fds, int fd) {
  fds->fd[fds->count++] = fd;
  msgpack_write_int(w, fd);
}

static uint32_t fd_put(struct msgpack_writer *w, struct job_fds *fds, const char *key, int fd) {
  msgpack_write_cstring(w, key);
  fd_write(w, fds, fd);
  return 1;
}

// The bells of the children, in reader order.
static uint32_t out_bells_put(struct msgpack_writer *w, struct job_fds *fds, const struct seat *seat) {
  const struct lane *lane = seat->lane;
  msgpack_write_cstring(w, "out_bells");
  msgpack_write_array(w, seat->plan->children);
  for (unsigned reader = 0; reader < seat->plan->children; reader++)
    for (size_t s = 1; s < lane->seat_count; s++)
      if (seat_parent(&lane->seats[s]) == seat && lane->seats[s].plan->reader == reader) fd_write(w, fds, lane->seats[s].bell);
  return 1;
}

static uint32_t feedback_put(struct msgpack_writer *w, struct job_fds *fds, const struct lane *lane) {
  uint32_t sinks = 0;
  for (size_t s = 0; s < lane->seat_count; s++) sinks += seat_is_sink(&lane->seats[s]);
  msgpack_write_cstring(w, "feedback");
  msgpack_write_array(w, sinks);
  for (size_t s = 0; s < lane->seat_count; s++)
    if (seat_is_sink(&lane->seats[s])) fd_write(w, fds, lane->seats[s].feedback);
  return 1;
}

// What a transformer must know of the lookups that it joins.
static void lookups_put(struct msgpack_writer *w, struct job_fds *fds, const struct seat *seat) {
  struct instance *i = seat->lane->instance;
  msgpack_write_cstring(w, "lookups");
  msgpack_write_array(w, (uint32_t)seat->node->lookup_count);
  for (size_t n = 0; n < seat->node->lookup_count; n++) {
    const struct seat *lookup = lookup_seat(i, seat->node->lookups[n]);
    msgpack_write_map(w, 3);
    text_put(w, "name", lookup->node->name);
    fd_put(w, fds, "words", lookup->feedback);
    msgpack_write_cstring(w, "settings");
    msgpack_write_raw(w, lookup->node->settings.at, lookup->node->settings.length);
  }
}

static void lookup_fds_put(struct msgpack_writer *w, struct job_fds *fds, const struct seat *seat) {
  msgpack_write_cstring(w, "fds");
  msgpack_write_map(w, 4);
  fd_put(w, fds, "slot", seat->slot_fd);
  fd_put(w, fds, "bell", seat->bell);
  fd_put(w, fds, "lock", seat->lane->instance->folder.lock);
  fd_put(w, fds, "lookup", seat->feedback);
}

static void fds_put(struct msgpack_writer *w, struct job_fds *fds, const struct seat *seat) {
  const struct lane *lane = seat->lane;
  const struct seat *parent = seat_parent(seat);
  bool sink = seat_is_sink(seat);
  msgpack_write_cstring(w, "fds");
  uint8_t *opened = msgpack_map_open(w);
  uint32_t pairs = fd_put(w, fds, "slot", seat->slot_fd);
  pairs += fd_put(w, fds, "bell", seat->bell);
  pairs += fd_put(w, fds, "lock", lane->instance->folder.lock);
  pairs += fd_put(w, fds, "streams", lane->streams);
  if (parent) {
    pairs += fd_put(w, fds, "in_ring", parent->ring);
    pairs += fd_put(w, fds, "in_bell", parent->bell);
    uint_put(w, "in_index", seat->plan->reader);
    pairs++;
  }
  if (!sink) {
    pairs += fd_put(w, fds, "out_ring", seat->ring);
    pairs += out_bells_put(w, fds, seat);
  }
  if (!parent || sink) pairs += fd_put(w, fds, "source_words", lane->source_words);
  if (!parent) pairs += feedback_put(w, fds, lane);
  if (sink) {
    pairs += fd_put(w, fds, "own_feedback", seat->feedback);
    pairs += fd_put(w, fds, "source_bell", lane->seats[0].bell);
  }
  msgpack_map_close(opened, pairs);
}

// ---- the whole

static void job_put(struct msgpack_writer *w, struct job_fds *fds, const struct seat *seat) {
  const struct lane *lane = seat->lane;
  const struct instance *i = lane->instance;
  msgpack_write_map(w, JOB_KEYS);
  text_put(w, "role", worker_role_name(seat->plan->kind->role));
  text_put(w, "kind", seat->plan->kind->name);
  text_put(w, "pipeline", i->plan->pipeline);
  text_put(w, "node", seat->node->name);
  text_put(w, "source", i->plan->nodes[lane->chain->source].name);
  text_put(w, "edge", seat->plan->edge);
  msgpack_write_cstring(w, "input");
  if (seat->plan->input)
    msgpack_write_cstring(w, seat->plan->input);
  else
    msgpack_write_nil(w);
  text_put(w, "state", i->folder.path);
  text_put(w, "fingerprint", lane->chain->fingerprint);
  uint_put(w, "node_index", seat->plan->node);
  uint_put(w, "lane", lane->number);
  uint_put(w, "lanes", lane->chain->lanes);
  uint_put(w, "generation", seat->spawned);
  uint_put(w, "log_level", LOG_LEVEL_INFO);
  bool_put(w, "log_json", i->options.log_json);
  bool_put(w, "careful", seat->history.careful);
  bool_put(w, "once", i->options.once);
  bool_put(w, "take_over", i->options.take_over);
  bool_put(w, "fed", lane->chain->fed);
  bool_put(w, "shared", lane->chain->shared);
  bool_put(w, "takes_turns", lane->chain->takes_turns);
  msgpack_write_cstring(w, "stop_above");
  // What is sent again was dead already: it neither fills the store nor says anything about what the source gives now.
  msgpack_write_double(w, lane->chain->retry ? RETRY_STOP_ABOVE : i->plan->stop_above);
  uint_put(w, "dead_store_bytes", lane->chain->retry ? INT64_MAX : i->plan->dead_store_bytes);
  uint_put(w, "drain", i->plan->drain_ms);
  command_line_put(w, &i->options);
  set_aside_put(w, &seat->history);
  dead_nodes_put(w, seat->plan);
  nodes_put(w, i->plan);
  sinks_put(w, lane);
  msgpack_write_cstring(w, "settings");
  if (seat->node->settings.length > 0)
    msgpack_write_raw(w, seat->node->settings.at, seat->node->settings.length);
  else
    msgpack_write_map(w, 0);
  lookups_put(w, fds, seat);
  if (seat->plan->kind->role == WORKER_LOOKUP)
    lookup_fds_put(w, fds, seat);
  else
    fds_put(w, fds, seat);
}

static size_t room_for(const struct seat *seat) {
  const struct plan *plan = seat->lane->instance->plan;
  size_t room = JOB_SPARE + seat->node->settings.length + strlen(seat->plan->edge) + strlen(seat->lane->instance->folder.path) +
                strlen(seat->lane->chain->fingerprint) + strlen(plan->pipeline) + strlen(seat->lane->instance->options.file) +
                (seat->lane->instance->options.state ? strlen(seat->lane->instance->options.state) : 0) +
                (seat->plan->input ? strlen(seat->plan->input) : 0);
  for (size_t i = 0; i < plan->node_count; i++) room += 2 * (strlen(plan->nodes[i].name) + 2 * NUMBER_ROOM);
  for (size_t i = 0; i < seat->node->lookup_count; i++) {
    const struct plan_node *lookup = &plan->nodes[seat->node->lookups[i]];
    room += LOOKUP_ROOM + strlen(lookup->name) + lookup->settings.length;
  }
  return room + JOB_FDS_MOST * NUMBER_ROOM;
}

static int memfd_fill(const uint8_t *bytes, size_t length, struct error *e) {
  int fd = memfd_create("weir-job", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  bool filled = fd >= 0 && write(fd, bytes, length) == (ssize_t)length &&
                fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0;
  if (filled) return fd;
  error_set(e, ERROR_ENVIRONMENT, "job", "cannot write a worker's job: %s", strerror(errno));
  if (fd >= 0) close(fd);
  return -1;
}

int job_memfd_make(const struct seat *seat, struct job_fds *fds, struct error *e) {
  size_t room = room_for(seat);
  uint8_t *bytes = memory_get(room);
  struct msgpack_writer w = {.at = bytes, .end = bytes + room};
  fds->count = 0;
  job_put(&w, fds, seat);
  int fd = -1;
  if (w.overflow)
    error_set(e, ERROR_FAULT, "job", "the job of %s does not fit its room", seat->name);
  else
    fd = memfd_fill(bytes, (size_t)(w.at - bytes), e);
  free(bytes);
  return fd;
}
