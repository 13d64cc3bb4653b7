// Runs a real SQL stage in a child process, with this test as its source and its sink: rings, job and slot are those of a pipeline, only
// the supervisor is played by the test. Several workers can run one after the other over the same memory: a crash and its successor.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "proto/clock.h"
#include "proto/dead.h"
#include "proto/json.h"
#include "proto/msgpack.h"
#include "proto/record.h"
#include "workers/common/streams.h"
#include "workers/common/worker.h"
#include "workers/sql/stage.h"

enum { RIG_STREAMS = 3, RIG_NODE = 4, RIG_WAIT_S = 60 };

struct rig {
  int in_fd, out_fd, slot_fd, streams_fd, bell, in_bell, out_bell;
  struct ring_writer in;  // the test is the source
  struct ring_reader out; // and the sink
  struct slot slot;
  struct json_parser *json;
  struct buffer got; // one line per record that came, see rig_take
  bool hold;         // the sink takes nothing
  bool ended;
  pid_t pid;
  unsigned generation;
  bool careful;
  int64_t aside_stream, aside_position; // -1: none
  double stop_above;
};

static inline int rig_fd(int fd) {
  assert_true(fd >= 0);
  int high = fcntl(fd, F_DUPFD, 20); // out of the way of the job's descriptor
  assert_true(high >= 0);
  close(fd);
  return high;
}

static inline void rig_streams(struct rig *r) {
  struct shared_register streams;
  r->streams_fd = rig_fd(register_create(1 << 14));
  assert_int_equal(register_attach(&streams, r->streams_fd, true), 0);
  for (unsigned i = 0; i < RIG_STREAMS; i++) {
    char partition[] = {(char)('0' + i), '\0'};
    struct stream s = {.source = (char *)(uintptr_t) "lines",
                       .partition = partition,
                       .identity = (char *)(uintptr_t) "id",
                       .fingerprint = partition,
                       .replaces = -1};
    struct error e = {0};
    assert_int_equal(stream_append(&streams, &s, &e), i);
  }
  register_detach(&streams);
}

static inline void rig_input_open(struct rig *r, uint64_t capacity) {
  struct ring_spec spec = {.capacity = capacity, .readers = 1, .writer_words = SLOT_COUNTERS + 1, .reader_words = SLOT_COUNTERS + 1};
  int no_bell[1] = {r->bell};
  r->in_fd = rig_fd(ring_create(&spec));
  assert_int_equal(ring_writer_attach(&r->in, r->in_fd, no_bell), 0);
}

static inline void rig_open(struct rig *r, uint64_t in_capacity, uint64_t out_capacity) {
  *r = (struct rig){.aside_stream = -1, .stop_above = 0.5, .json = json_parser_new()};
  r->bell = rig_fd(eventfd(0, EFD_NONBLOCK));
  r->in_bell = rig_fd(eventfd(0, EFD_NONBLOCK));
  r->out_bell = rig_fd(eventfd(0, EFD_NONBLOCK));
  struct ring_spec spec = {.capacity = out_capacity, .readers = 1, .writer_words = STAGE_NOTE_WORDS, .reader_words = 1};
  r->out_fd = rig_fd(ring_create(&spec));
  assert_int_equal(ring_reader_attach(&r->out, r->out_fd, 0, r->bell), 0);
  rig_input_open(r, in_capacity);
  rig_streams(r);
  r->slot_fd = rig_fd(slot_create());
  assert_int_equal(slot_attach(&r->slot, r->slot_fd, true), 0);
}

static inline void rig_close(struct rig *r) {
  assert_int_equal(r->pid, 0);
  ring_writer_detach(&r->in);
  ring_reader_detach(&r->out);
  slot_detach(&r->slot);
  json_parser_free(r->json);
  buffer_free(&r->got);
  int fds[] = {r->in_fd, r->out_fd, r->slot_fd, r->streams_fd, r->bell, r->in_bell, r->out_bell};
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) close(fds[i]);
}

static inline void rig_text(struct msgpack_writer *w, const char *key, const char *value) {
  msgpack_write_cstring(w, key);
  msgpack_write_cstring(w, value);
}

static inline void rig_int(struct msgpack_writer *w, const char *key, int64_t value) {
  msgpack_write_cstring(w, key);
  msgpack_write_int(w, value);
}

static inline void rig_json(struct rig *r, const char *json, struct buffer *out) {
  struct error e = {0};
  char *padded = memory_get(strlen(json) + JSON_PADDING);
  strcpy(padded, json);
  if (!json_to_msgpack(r->json, padded, strlen(padded), out, &e)) fail_msg("%s: %s", json, e.text);
  free(padded);
}

static inline void rig_job_fds(const struct rig *r, struct msgpack_writer *w) {
  msgpack_write_cstring(w, "fds");
  msgpack_write_map(w, 8);
  rig_int(w, "slot", r->slot_fd);
  rig_int(w, "bell", r->bell);
  rig_int(w, "in_ring", r->in_fd);
  rig_int(w, "in_index", 0);
  rig_int(w, "in_bell", r->in_bell);
  rig_int(w, "out_ring", r->out_fd);
  rig_int(w, "streams", r->streams_fd);
  msgpack_write_cstring(w, "out_bells");
  msgpack_write_array(w, 1);
  msgpack_write_int(w, r->out_bell);
}

static inline int rig_job(struct rig *r, const char *settings) {
  struct buffer typed = {0};
  rig_json(r, settings, &typed);
  size_t room = typed.length + 4096;
  uint8_t *bytes = memory_get(room);
  struct msgpack_writer w = {.at = bytes, .end = bytes + room};
  msgpack_write_map(&w, 16);
  rig_text(&w, "role", "transformer");
  rig_text(&w, "kind", "sql");
  rig_text(&w, "pipeline", "test");
  rig_text(&w, "node", "cleaned");
  rig_text(&w, "source", "lines");
  rig_text(&w, "edge", "lines>raw");
  rig_text(&w, "state", "/nonexistent");
  rig_text(&w, "fingerprint", "f");
  rig_int(&w, "node_index", RIG_NODE);
  rig_int(&w, "generation", r->generation);
  rig_int(&w, "log_level", 3);
  msgpack_write_cstring(&w, "careful");
  msgpack_write_bool(&w, r->careful);
  msgpack_write_cstring(&w, "stop_above");
  msgpack_write_double(&w, r->stop_above);
  msgpack_write_cstring(&w, "set_aside");
  if (r->aside_stream < 0) {
    msgpack_write_nil(&w);
  } else {
    msgpack_write_array(&w, 2);
    msgpack_write_int(&w, r->aside_stream);
    msgpack_write_int(&w, r->aside_position);
  }
  msgpack_write_cstring(&w, "settings");
  msgpack_write_raw(&w, typed.at, typed.length);
  rig_job_fds(r, &w);
  assert_false(w.overflow);
  int fd = memfd_create("job", MFD_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, bytes, (size_t)(w.at - bytes)), w.at - bytes);
  free(bytes);
  buffer_free(&typed);
  return rig_fd(fd);
}

// Starts a worker; `settings` is JSON. It gets a slot of its own, so that nothing its predecessor showed can be taken for its doing.
static inline void rig_start(struct rig *r, const char *settings) {
  slot_detach(&r->slot);
  close(r->slot_fd);
  r->slot_fd = rig_fd(slot_create());
  assert_int_equal(slot_attach(&r->slot, r->slot_fd, true), 0);
  int job = rig_job(r, settings);
  fflush(NULL);
  r->pid = fork();
  assert_true(r->pid >= 0);
  if (r->pid == 0) {
    dup2(job, JOB_FD);
    _exit(worker_enter());
  }
  close(job);
  r->generation++;
}

// One record into the input ring; `json` NULL: no body. Waits for nothing: the ring must have room.
static inline void rig_put_header(struct rig *r, const struct record_header *h, const char *json) {
  struct buffer body = {0};
  if (json) rig_json(r, json, &body);
  uint8_t *at = ring_reserve(&r->in, (uint32_t)(sizeof *h + body.length));
  assert_non_null(at);
  record_write(at, h);
  if (body.length) memcpy(at + sizeof *h, body.at, body.length);
  ring_commit(&r->in, (uint32_t)(sizeof *h + body.length));
  buffer_free(&body);
  if (!(h->flags & RECORD_LAST)) return;
  ring_group_end(&r->in);
  ring_publish(&r->in);
}

static inline void rig_put(struct rig *r, uint32_t stream, uint64_t position, const char *json) {
  struct record_header h = {.kind = RECORD_DATA,
                            .flags = RECORD_LAST,
                            .stream = stream,
                            .position = position,
                            .witness = position * 7,
                            .time = 1731024000000000 + (int64_t)position};
  rig_put_header(r, &h, json);
}

static inline void rig_put_tombstone(struct rig *r, uint32_t stream, uint64_t position, const char *json) {
  struct record_header h = {
      .kind = RECORD_DATA, .flags = RECORD_LAST | RECORD_DELETE, .stream = stream, .position = position, .witness = position * 7};
  rig_put_header(r, &h, json);
}

static inline void rig_put_kind(struct rig *r, enum record_kind kind, uint32_t stream, uint64_t position) {
  struct record_header h = {.kind = (uint8_t)kind, .flags = RECORD_LAST, .stream = stream, .position = position};
  rig_put_header(r, &h, NULL);
}

static inline void rig_print_dead(struct rig *r, const uint8_t *body, const uint8_t *end) {
  struct dead_letter d;
  assert_true(dead_read(body, end, &d));
  buffer_print(&r->got, " %.*s|%.*s|%.*s|", (int)d.node_length, d.node, (int)d.code_length, d.code, (int)d.reason_length, d.reason);
  if (strncmp(d.format, "tombstone", d.format_length) == 0) buffer_text(&r->got, "tombstone ");
  if (d.cut) {
    buffer_text(&r->got, "cut");
    return;
  }
  const uint8_t *data = d.data;
  assert_true(msgpack_to_json(&data, d.data + d.data_length, &r->got));
}

// A line per record: "STREAM.POSITION.PART JSON", with "+" behind the last part; dead letters "dead STREAM.POSITION.PART
// NODE|CODE|REASON|JSON".
static inline void rig_take(struct rig *r, const struct ring_view *view) {
  static const char *const names[] = {[RECORD_DATA] = "",          [RECORD_DEAD] = "dead ",       [RECORD_PROGRESS] = "progress ",
                                      [RECORD_STREAM] = "stream ", [RECORD_BARRIER] = "barrier ", [RECORD_END] = "end "};
  struct record_header h;
  const uint8_t *body, *end;
  assert_true(record_read(view->payload, view->length, &h, &body, &end));
  assert_false(r->ended);
  r->ended = h.kind == RECORD_END;
  buffer_print(&r->got, "%s%s%u.%" PRIu64 ".%u%s", h.flags & RECORD_DELETE ? "delete " : "", names[h.kind], h.stream, h.position, h.part,
               h.flags & RECORD_LAST ? "+" : "");
  if (h.kind == RECORD_DATA) {
    assert_true(msgpack_valid(body, end));
    assert_int_equal(h.witness, h.position * 7);
    buffer_text(&r->got, " ");
    assert_true(msgpack_to_json(&body, end, &r->got));
  } else if (h.kind == RECORD_DEAD) {
    rig_print_dead(r, body, end);
  } else {
    assert_ptr_equal(body, end);
  }
  buffer_text(&r->got, "\n");
}

static inline bool rig_pump(struct rig *r) {
  struct ring_view view;
  uint64_t rings;
  bool came = false;
  if (r->hold) return false;
  if (read(r->out_bell, &rings, sizeof rings) < 0) assert_int_equal(errno, EAGAIN);
  while (ring_next(&r->out, &view)) {
    rig_take(r, &view);
    ring_release(&r->out, view.end);
    came = true;
  }
  assert_int_equal(r->out.fault, RING_OK);
  return came;
}

static inline void rig_sleep(struct rig *r) {
  if (!r->hold) ring_reader_sleep(&r->out);
  struct pollfd p = {.fd = r->out_bell, .events = POLLIN};
  poll(&p, 1, 2);
}

// Pumps until the worker has left; its exit code (128 + signal when it was killed).
static inline int rig_finish(struct rig *r) {
  uint64_t deadline = clock_monotonic_ns() + RIG_WAIT_S * 1000000000ull;
  int status;
  for (;;) {
    bool came = rig_pump(r);
    if (waitpid(r->pid, &status, WNOHANG) == r->pid) break;
    if (clock_monotonic_ns() > deadline) {
      kill(r->pid, SIGKILL);
      waitpid(r->pid, &status, 0);
      fail_msg("the worker did not end; so far: %s", buffer_cstring(&r->got));
    }
    if (!came) rig_sleep(r);
  }
  rig_pump(r);
  r->pid = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Pumps until the worker shows a state, or its input ring is empty (SLOT_STARTING: only that).
static inline void rig_until_state(struct rig *r, enum slot_state state) {
  uint64_t deadline = clock_monotonic_ns() + RIG_WAIT_S * 1000000000ull;
  while (atomic_load_explicit(&r->slot.page->state, memory_order_relaxed) != (uint32_t)state) {
    if (clock_monotonic_ns() > deadline) fail_msg("the worker never was %s", slot_state_name(state));
    if (!rig_pump(r)) rig_sleep(r);
  }
}

static inline void rig_kill(struct rig *r) {
  kill(r->pid, SIGKILL);
  waitpid(r->pid, NULL, 0);
  r->pid = 0;
}

static inline uint64_t rig_counter(const struct rig *r, enum slot_counter counter) {
  return atomic_load_explicit(&r->slot.page->counters[counter], memory_order_relaxed);
}

static inline void rig_expect(struct rig *r, const char *lines) {
  assert_string_equal(buffer_cstring(&r->got), lines);
}
