// Runs a real sink worker in a child process, with this test as its source: shared memory, job and protocol are those of a pipeline, only
// the supervisor and the source are played by the test.
//
// A `rig` is one life of the lane's memory; several workers can run in it one after the other (a crash and its successor). The target is a
// real database, looked at by other means.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "proto/clock.h"
#include "proto/dead.h"
#include "proto/json.h"
#include "proto/msgpack.h"
#include "proto/record.h"
#include "workers/clients/sqlite.h"
#include "workers/common/feedback.h"
#include "workers/common/streams.h"
#include "workers/common/worker.h"
#include "workers/sinks/sink.h"

enum { RIG_STREAMS = 64, RIG_WAIT_S = 60, RIG_DEAD_NODE = 3 };

struct rig {
  int ring, streams_fd, source_words_fd, slot_fd, bell, source_bell, feedback_fd;
  struct ring_writer writer;
  struct words source, feedback;
  struct shared_register streams;
  struct slot slot;
  struct json_parser *json;
  pid_t pid;
  unsigned generation, lane, lanes;
  bool careful, take_over, shared;
  int64_t set_aside_stream, set_aside_position; // -1: none
  const char *state, *sink, *crash, *pipeline;
  uint64_t dead_store_bytes;
};

static inline int harness_fd(int fd) {
  assert_true(fd >= 0);
  int high = fcntl(fd, F_DUPFD, 20); // out of the way of the job's descriptor
  assert_true(high >= 0);
  close(fd);
  return high;
}

static inline void rig_open(struct rig *r, const char *state) {
  *r = (struct rig){.lanes = 1, .state = state, .sink = "out", .pipeline = "test", .set_aside_stream = -1, .dead_store_bytes = 1 << 30};
  struct ring_spec spec = {.capacity = 1 << 20, .readers = 1, .writer_words = 4, .reader_words = SINK_NOTE_WORDS};
  r->ring = harness_fd(ring_create(&spec));
  r->streams_fd = harness_fd(register_create(1 << 16));
  r->source_words_fd = harness_fd(words_create(RIG_STREAMS * STREAM_WORDS));
  r->feedback_fd = harness_fd(words_create(RIG_STREAMS * FEEDBACK_WORDS));
  r->slot_fd = harness_fd(slot_create());
  r->bell = harness_fd(eventfd(0, EFD_NONBLOCK));
  r->source_bell = harness_fd(eventfd(0, EFD_NONBLOCK));
  r->json = json_parser_new();
  assert_int_equal(slot_attach(&r->slot, r->slot_fd, true), 0);
  assert_int_equal(words_attach(&r->source, r->source_words_fd, true), 0);
  assert_int_equal(words_attach(&r->feedback, r->feedback_fd, false), 0);
  assert_int_equal(register_attach(&r->streams, r->streams_fd, true), 0);
  assert_int_equal(ring_writer_attach(&r->writer, r->ring, (int[]){r->bell}), 0);
}

static inline void rig_close(struct rig *r) {
  ring_writer_detach(&r->writer);
  slot_detach(&r->slot);
  words_detach(&r->source);
  words_detach(&r->feedback);
  register_detach(&r->streams);
  json_parser_free(r->json);
  int fds[] = {r->ring, r->streams_fd, r->source_words_fd, r->feedback_fd, r->slot_fd, r->bell, r->source_bell};
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) close(fds[i]);
}

// ---- the worker

static inline void put_text(struct msgpack_writer *w, const char *key, const char *value) {
  msgpack_write_cstring(w, key);
  msgpack_write_cstring(w, value);
}

static inline void put_int(struct msgpack_writer *w, const char *key, int64_t value) {
  msgpack_write_cstring(w, key);
  msgpack_write_int(w, value);
}

static inline void put_bool(struct msgpack_writer *w, const char *key, bool value) {
  msgpack_write_cstring(w, key);
  msgpack_write_bool(w, value);
}

static inline void put_fds(const struct rig *r, struct msgpack_writer *w) {
  msgpack_write_cstring(w, "fds");
  msgpack_write_map(w, 9);
  put_int(w, "slot", r->slot_fd);
  put_int(w, "bell", r->bell);
  put_int(w, "in_ring", r->ring);
  put_int(w, "in_index", 0);
  put_int(w, "in_bell", r->source_bell);
  put_int(w, "streams", r->streams_fd);
  put_int(w, "source_words", r->source_words_fd);
  put_int(w, "own_feedback", r->feedback_fd);
  put_int(w, "source_bell", r->source_bell);
}

static inline void json_typed(struct rig *r, const char *text, struct buffer *out) {
  struct error e = {0};
  size_t length = strlen(text);
  char *padded = memory_get(length + JSON_PADDING);
  memcpy(padded, text, length);
  if (!json_to_msgpack(r->json, padded, length, out, &e)) fail_msg("%s", e.text);
  free(padded);
}

static inline int job_make(struct rig *r, const char *kind, const char *settings) {
  struct buffer typed = {0};
  json_typed(r, settings, &typed);
  size_t room = typed.length + 4096;
  uint8_t *bytes = memory_get(room);
  struct msgpack_writer w = {.at = bytes, .end = bytes + room};
  msgpack_write_map(&w, r->set_aside_stream < 0 ? 19 : 20);
  put_text(&w, "role", "sinker");
  put_text(&w, "kind", kind);
  put_text(&w, "pipeline", r->pipeline);
  put_text(&w, "node", r->sink);
  put_text(&w, "source", "input");
  put_text(&w, "edge", "input");
  put_text(&w, "state", r->state);
  put_text(&w, "fingerprint", "f1");
  put_int(&w, "node_index", 5);
  put_int(&w, "lane", r->lane);
  put_int(&w, "lanes", r->lanes);
  put_int(&w, "generation", r->generation);
  put_int(&w, "dead_store_bytes", (int64_t)r->dead_store_bytes);
  put_bool(&w, "careful", r->careful);
  put_bool(&w, "take_over", r->take_over);
  put_bool(&w, "shared", r->shared);
  msgpack_write_cstring(&w, "dead_nodes");
  msgpack_write_array(&w, 1);
  msgpack_write_int(&w, RIG_DEAD_NODE);
  if (r->set_aside_stream >= 0) {
    msgpack_write_cstring(&w, "set_aside");
    msgpack_write_array(&w, 2);
    msgpack_write_int(&w, r->set_aside_stream);
    msgpack_write_int(&w, r->set_aside_position);
  }
  msgpack_write_cstring(&w, "settings");
  msgpack_write_raw(&w, typed.at, typed.length);
  put_fds(r, &w);
  assert_false(w.overflow);
  int fd = memfd_create("job", MFD_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, bytes, (size_t)(w.at - bytes)), w.at - bytes);
  free(bytes);
  buffer_free(&typed);
  return harness_fd(fd);
}

// The first line of main: the same program is the test and its workers. UNIT_TEST=NAME runs only that test.
static inline void worker_or_test(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--worker") == 0) exit(worker_enter());
  cmocka_set_test_filter(getenv("UNIT_TEST"));
}

// Starts the worker. `settings` is JSON.
static inline void rig_start(struct rig *r, const char *kind, const char *settings) {
  int job = job_make(r, kind, settings);
  fflush(NULL);
  r->pid = fork();
  assert_true(r->pid >= 0);
  if (r->pid == 0) {
    char generation[16];
    snprintf(generation, sizeof generation, "%u", r->generation);
    setenv("WEIR_GENERATION", generation, 1);
    if (r->crash) setenv("WEIR_CRASH", r->crash, 1);
    dup2(job, JOB_FD);
    // A fresh image, as the supervisor's workers are.
    execl("/proc/self/exe", "weir", "--worker", (char *)NULL);
    _exit(127);
  }
  close(job);
  r->generation++;
}

// Its exit code (128 + signal when it was killed).
static inline int rig_finish(struct rig *r) {
  uint64_t deadline = clock_monotonic_ns() + RIG_WAIT_S * 1000000000ull;
  int status;
  while (waitpid(r->pid, &status, WNOHANG) != r->pid) {
    if (clock_monotonic_ns() > deadline) {
      char doing[SLOT_TEXT], error[SLOT_TEXT];
      slot_doing_get(&r->slot, doing);
      slot_error_get(&r->slot, error);
      kill(r->pid, SIGKILL);
      waitpid(r->pid, &status, 0);
      fail_msg("the worker did not end: %s; %s", doing, error);
    }
    usleep(500);
  }
  r->pid = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline void rig_kill(struct rig *r) {
  kill(r->pid, SIGKILL);
  waitpid(r->pid, NULL, 0);
  r->pid = 0;
}

static inline uint64_t rig_counter(const struct rig *r, enum slot_counter counter) {
  return atomic_load_explicit(&r->slot.page->counters[counter], memory_order_relaxed);
}

// ---- the source

static inline void send_record(struct rig *r, const struct record_header *h, const void *body, size_t length) {
  uint8_t *at;
  uint64_t deadline = clock_monotonic_ns() + RIG_WAIT_S * 1000000000ull;
  while (!(at = ring_reserve(&r->writer, (uint32_t)(sizeof *h + length)))) {
    ring_publish(&r->writer);
    assert_true(clock_monotonic_ns() < deadline);
    usleep(200);
  }
  record_write(at, h);
  memcpy(at + sizeof *h, body, length);
  ring_commit(&r->writer, (uint32_t)(sizeof *h + length));
}

static inline void send_control(struct rig *r, enum record_kind kind) {
  struct record_header h = {.kind = (uint8_t)kind};
  send_record(r, &h, "", 0);
  ring_group_end(&r->writer);
  ring_publish(&r->writer);
}

// One part of an input; `last` completes it.
static inline void send_part(struct rig *r, uint32_t stream, uint64_t position, uint32_t part, bool last, const char *json) {
  struct buffer body = {0};
  json_typed(r, json, &body);
  struct record_header h = {
      .kind = RECORD_DATA, .flags = last ? RECORD_LAST : 0, .stream = stream, .position = position, .part = part, .witness = position * 7};
  send_record(r, &h, body.at, body.length);
  if (last) ring_group_end(&r->writer);
  buffer_free(&body);
}

static inline void send_row(struct rig *r, uint32_t stream, uint64_t position, const char *json) {
  send_part(r, stream, position, 0, true, json);
}

static inline void send_tombstone(struct rig *r, uint32_t stream, uint64_t position, const char *json) {
  struct buffer body = {0};
  json_typed(r, json, &body);
  struct record_header h = {
      .kind = RECORD_DATA, .flags = RECORD_LAST | RECORD_DELETE, .stream = stream, .position = position, .witness = position * 7};
  send_record(r, &h, body.at, body.length);
  ring_group_end(&r->writer);
  buffer_free(&body);
}

static inline void send_progress(struct rig *r, uint32_t stream, uint64_t position) {
  struct record_header h = {.kind = RECORD_PROGRESS, .stream = stream, .position = position};
  send_record(r, &h, "", 0);
  ring_group_end(&r->writer);
}

// A dead letter of a node further up.
static inline void send_dead(struct rig *r, uint32_t stream, uint64_t position, uint16_t node, const char *reason, const char *data) {
  uint8_t bytes[4096];
  struct dead_letter d = {.node = "cleaned", .reason = reason, .code = "why", .format = "raw"};
  d.data = (const uint8_t *)data;
  d.data_length = (uint32_t)strlen(data);
  struct msgpack_writer w = {.at = bytes, .end = bytes + sizeof bytes};
  dead_write(&w, &d, UINT32_MAX);
  struct record_header h = {.kind = RECORD_DEAD, .flags = RECORD_LAST, .node = node, .stream = stream, .position = position};
  send_record(r, &h, bytes, (size_t)(w.at - bytes));
  ring_group_end(&r->writer);
}

static inline void send_end(struct rig *r) {
  send_control(r, RECORD_END);
}

static inline uint32_t stream_announce(struct rig *r, const char *partition, const char *identity, int64_t replaces) {
  struct stream s = {.source = (char *)"input", .partition = (char *)partition, .identity = (char *)identity, .fingerprint = (char *)"f1"};
  struct error e = {0};
  s.replaces = replaces;
  int64_t handle = stream_append(&r->streams, &s, &e);
  assert_true(handle >= 0);
  send_control(r, RECORD_STREAM);
  return (uint32_t)handle;
}

// Waits for the sink's answer; false: the worker has left.
static inline bool stream_wait(struct rig *r, uint32_t stream, enum feedback_state state, struct feedback_answer *a) {
  uint64_t deadline = clock_monotonic_ns() + RIG_WAIT_S * 1000000000ull;
  for (;;) {
    feedback_get(&r->feedback, stream, a);
    if (a->state == state || (state == FEEDBACK_UNKNOWN && a->state != FEEDBACK_UNKNOWN)) return true;
    siginfo_t info = {0};
    waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT);
    if (info.si_pid == r->pid) return false;
    assert_true(clock_monotonic_ns() < deadline);
    usleep(200);
  }
}

// The whole dance: announce, resolve (the stored start wins), READY. Returns the position to go on from.
static inline uint64_t stream_begin_as(struct rig *r, const char *partition, const char *identity, int64_t replaces, uint32_t *handle) {
  struct feedback_answer a;
  *handle = stream_announce(r, partition, identity, replaces);
  assert_true(stream_wait(r, *handle, FEEDBACK_UNKNOWN, &a));
  words_store(&r->source, *handle * STREAM_WORDS + STREAM_START, a.state == FEEDBACK_KNOWN ? a.start : 0);
  words_store(&r->source, *handle * STREAM_WORDS + STREAM_START_STATE, 1);
  send_control(r, RECORD_STREAM);
  assert_true(stream_wait(r, *handle, FEEDBACK_READY, &a));
  return a.position;
}

static inline uint64_t stream_begin(struct rig *r, const char *partition, uint32_t *handle) {
  return stream_begin_as(r, partition, "id-1", -1, handle);
}

// Waits until the sink has committed up to a position.
static inline void stream_until(struct rig *r, uint32_t stream, uint64_t position) {
  uint64_t deadline = clock_monotonic_ns() + RIG_WAIT_S * 1000000000ull;
  struct feedback_answer a;
  ring_publish(&r->writer);
  for (;;) {
    feedback_get(&r->feedback, stream, &a);
    if (a.position >= position) return;
    siginfo_t info = {0};
    waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT);
    if (info.si_pid == r->pid) fail_msg("the worker left with %d at position %llu", info.si_status, (unsigned long long)a.position);
    if (clock_monotonic_ns() > deadline) fail_msg("the sink is at %llu", (unsigned long long)a.position);
    usleep(200);
  }
}

// ---- the state folder and SQLite files

static inline char *test_folder(void) {
  char *folder = memory_text("/tmp/weir-test-XXXXXX");
  assert_non_null(mkdtemp(folder));
  return folder;
}

static inline void test_folder_remove(char *folder) {
  char *command = memory_print("rm -rf '%s'", folder);
  assert_int_equal(system(command), 0);
  free(command);
  free(folder);
}

// All rows of a query as text, columns with | and rows with newlines between; compared by assert_string_equal and freed.
static inline void expect_sqlite(const char *path, const char *sql, const char *expected) {
  struct error e = {0};
  struct buffer out = {0};
  struct sqlite *db = sqlite_open(path, SQLITE_FOR_READING, 5000, &e);
  if (!db) fail_msg("%s", e.text);
  struct sqlite_query *q = sqlite_prepare(db, sql, &e);
  if (!q) fail_msg("%s", e.text);
  while (sqlite_step(q, &e) == SQLITE_GOT_ROW) {
    if (out.length > 0) buffer_byte(&out, '\n');
    for (int i = 0; i < sqlite_columns(q); i++) {
      if (i > 0) buffer_byte(&out, '|');
      buffer_text(&out, sqlite_column_kind(q, i) == SQLITE_IS_NULL ? "null" : sqlite_column_text(q, i, NULL));
    }
  }
  assert_false(error_is_set(&e));
  sqlite_close(db);
  assert_string_equal(buffer_cstring(&out), expected);
  buffer_free(&out);
}
