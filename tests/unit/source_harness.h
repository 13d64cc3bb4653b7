// Runs a real source worker in a child process, with this test as its one or more sinks: the shared memory, the job and the protocol are
// those of a pipeline, only the supervisor and the sinks are played by the test.
//
// A `target` outlives runs, as a database does: stored positions and everything that arrived. Each `rig` is one life of the lane's memory;
// several workers can run in it one after the other (a crash and its successor).
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
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
#include "proto/limits.h"
#include "proto/msgpack.h"
#include "proto/record.h"
#include "workers/common/feedback.h"
#include "workers/common/streams.h"
#include "workers/common/worker.h"

enum { HARNESS_SINKS = 3, HARNESS_ROWS = 64, HARNESS_WAIT_S = 60 };

struct target_row {
  char *partition, *identity;
  uint64_t position, witness, start;
};

// What a sink keeps.
struct target {
  struct target_row rows[HARNESS_ROWS];
  size_t row_count;
  char **got; // one text per record: its JSON, or "dead CODE BYTES"
  uint64_t *positions;
  size_t got_count, got_room;
  bool hold; // takes no record and answers nothing: a sink that is down
};

struct rig {
  int ring, streams, source_words, slot_fd, bell, lock, feedback[HARNESS_SINKS], reader_bell[HARNESS_SINKS];
  unsigned sinks;
  struct ring_reader reader[HARNESS_SINKS];
  struct words own[HARNESS_SINKS], source;
  struct shared_register stream_table;
  struct slot slot;
  struct target *target[HARNESS_SINKS];
  bool refused, ended[HARNESS_SINKS];
  uint32_t part[HARNESS_SINKS]; // the part that must come next
  pid_t pid;
  unsigned generation;
  bool once, careful;
  const char *state;
  unsigned lane, lanes;
};

static inline int harness_fd(int fd) {
  assert_true(fd >= 0);
  // Out of the way of the job's descriptor.
  int high = fcntl(fd, F_DUPFD, 20);
  assert_true(high >= 0);
  close(fd);
  return high;
}

static inline void rig_open(struct rig *r, struct target *targets, unsigned sinks, uint64_t capacity) {
  *r = (struct rig){.sinks = sinks, .once = true, .state = "/nonexistent", .lanes = 1};
  struct ring_spec spec = {.capacity = capacity, .readers = sinks, .writer_words = SLOT_COUNTERS + 2 * 64 + 16, .reader_words = 8};
  r->ring = harness_fd(ring_create(&spec));
  r->streams = harness_fd(register_create(1 << 16));
  r->source_words = harness_fd(words_create(64 * STREAM_WORDS));
  r->slot_fd = harness_fd(slot_create());
  r->bell = harness_fd(eventfd(0, EFD_NONBLOCK));
  assert_int_equal(slot_attach(&r->slot, r->slot_fd, true), 0);
  assert_int_equal(words_attach(&r->source, r->source_words, false), 0);
  assert_int_equal(register_attach(&r->stream_table, r->streams, false), 0);
  for (unsigned i = 0; i < sinks; i++) {
    r->target[i] = &targets[i];
    r->reader_bell[i] = harness_fd(eventfd(0, EFD_NONBLOCK));
    r->feedback[i] = harness_fd(words_create(64 * FEEDBACK_WORDS));
    assert_int_equal(words_attach(&r->own[i], r->feedback[i], true), 0);
    assert_int_equal(ring_reader_attach(&r->reader[i], r->ring, i, r->bell), 0);
  }
}

static inline void rig_close(struct rig *r) {
  for (unsigned i = 0; i < r->sinks; i++) {
    ring_reader_detach(&r->reader[i]);
    words_detach(&r->own[i]);
    close(r->reader_bell[i]);
    close(r->feedback[i]);
  }
  slot_detach(&r->slot);
  words_detach(&r->source);
  register_detach(&r->stream_table);
  int fds[] = {r->ring, r->streams, r->source_words, r->slot_fd, r->bell};
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) close(fds[i]);
}

static inline void target_free(struct target *t) {
  for (size_t i = 0; i < t->row_count; i++) free(t->rows[i].partition), free(t->rows[i].identity);
  for (size_t i = 0; i < t->got_count; i++) free(t->got[i]);
  free(t->got);
  free(t->positions);
  *t = (struct target){0};
}

static inline void job_text_pair(struct msgpack_writer *w, const char *key, const char *value) {
  msgpack_write_cstring(w, key);
  msgpack_write_cstring(w, value);
}

static inline void job_int_pair(struct msgpack_writer *w, const char *key, int64_t value) {
  msgpack_write_cstring(w, key);
  msgpack_write_int(w, value);
}

static inline void job_fds(const struct rig *r, struct msgpack_writer *w) {
  msgpack_write_cstring(w, "fds");
  msgpack_write_map(w, 7);
  job_int_pair(w, "slot", r->slot_fd);
  job_int_pair(w, "bell", r->bell);
  job_int_pair(w, "out_ring", r->ring);
  job_int_pair(w, "streams", r->streams);
  job_int_pair(w, "source_words", r->source_words);
  msgpack_write_cstring(w, "out_bells");
  msgpack_write_array(w, r->sinks);
  for (unsigned i = 0; i < r->sinks; i++) msgpack_write_int(w, r->reader_bell[i]);
  msgpack_write_cstring(w, "feedback");
  msgpack_write_array(w, r->sinks);
  for (unsigned i = 0; i < r->sinks; i++) msgpack_write_int(w, r->feedback[i]);
}

static inline int job_make(const struct rig *r, const char *kind, const char *settings) {
  struct buffer typed = {0};
  struct json_parser *json = json_parser_new();
  struct error e = {0};
  char *padded = memory_get(strlen(settings) + JSON_PADDING);
  strcpy(padded, settings);
  if (!json_to_msgpack(json, padded, strlen(padded), &typed, &e)) fail_msg("%s", e.text);
  json_parser_free(json);
  free(padded);
  size_t room = typed.length + 4096;
  uint8_t *bytes = memory_get(room);
  struct msgpack_writer w = {.at = bytes, .end = bytes + room};
  msgpack_write_map(&w, 16);
  job_text_pair(&w, "role", "producer");
  job_text_pair(&w, "kind", kind);
  job_text_pair(&w, "pipeline", "test");
  job_text_pair(&w, "node", "input");
  job_text_pair(&w, "source", "input");
  job_text_pair(&w, "edge", "");
  job_text_pair(&w, "state", r->state);
  job_text_pair(&w, "fingerprint", "f1");
  job_int_pair(&w, "node_index", 2);
  job_int_pair(&w, "lane", r->lane);
  job_int_pair(&w, "lanes", r->lanes);
  job_int_pair(&w, "generation", r->generation);
  msgpack_write_cstring(&w, "once");
  msgpack_write_bool(&w, r->once);
  msgpack_write_cstring(&w, "careful");
  msgpack_write_bool(&w, r->careful);
  msgpack_write_cstring(&w, "settings");
  msgpack_write_raw(&w, typed.at, typed.length);
  job_fds(r, &w);
  assert_false(w.overflow);
  int fd = memfd_create("job", MFD_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, bytes, (size_t)(w.at - bytes)), w.at - bytes);
  free(bytes);
  buffer_free(&typed);
  return harness_fd(fd);
}

// Starts the worker. `settings` is JSON.
static inline void rig_start(struct rig *r, const char *kind, const char *settings) {
  int job = job_make(r, kind, settings);
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

static inline struct target_row *target_row(struct target *t, const char *partition) {
  for (size_t i = 0; i < t->row_count; i++)
    if (strcmp(t->rows[i].partition, partition) == 0) return &t->rows[i];
  return NULL;
}

// Phase two: the start is resolved; a row that is missing is made, durable.
static inline void sink_ready(struct rig *r, unsigned sink, uint64_t stream, const struct stream *entry) {
  struct target *t = r->target[sink];
  struct target_row *row = target_row(t, entry->partition);
  if (!row) {
    assert_true(t->row_count < HARNESS_ROWS);
    row = &t->rows[t->row_count++];
    *row = (struct target_row){.partition = memory_text(entry->partition), .identity = memory_text("")};
  }
  if (strcmp(row->identity, entry->identity) != 0) {
    free(row->identity);
    row->identity = memory_text(entry->identity);
    row->start = row->position = words_load(&r->source, (uint32_t)(stream * STREAM_WORDS + STREAM_START));
    row->witness = 0;
  }
  struct feedback_answer a = {.state = FEEDBACK_READY, .position = row->position, .witness = row->witness, .start = row->start};
  feedback_answer(&r->own[sink], stream, &a);
}

static inline void sink_streams(struct rig *r, unsigned sink) {
  uint64_t count = register_count(&r->stream_table);
  for (uint64_t i = 0; i < count; i++) {
    struct feedback_answer now;
    struct stream entry;
    struct error e = {0};
    feedback_get(&r->own[sink], i, &now);
    if (now.state == FEEDBACK_READY) continue;
    assert_true(stream_get(&r->stream_table, i, &entry, &e));
    struct target_row *row = target_row(r->target[sink], entry.partition);
    bool same = row && strcmp(row->identity, entry.identity) == 0;
    if (row && !same && entry.replaces < 0) r->refused = true;
    if (words_load(&r->source, (uint32_t)(i * STREAM_WORDS + STREAM_START_STATE)) == 1 && now.state != FEEDBACK_UNKNOWN) {
      sink_ready(r, sink, i, &entry);
    } else {
      struct feedback_answer a = {.state = same ? FEEDBACK_KNOWN : FEEDBACK_NONE};
      if (same) a.position = row->position, a.witness = row->witness, a.start = row->start;
      feedback_answer(&r->own[sink], i, &a);
    }
    stream_free(&entry);
  }
  bell_ring(r->bell);
}

static inline void sink_keep(struct target *t, uint64_t position, char *text) {
  if (t->got_count == t->got_room) {
    t->got_room = t->got_room ? 2 * t->got_room : 64;
    t->got = memory_resize(t->got, t->got_room * sizeof *t->got);
    t->positions = memory_resize(t->positions, t->got_room * sizeof *t->positions);
  }
  t->positions[t->got_count] = position;
  t->got[t->got_count++] = text;
}

// A record as text: its JSON, or "dead CODE BYTES".
static inline char *record_text(const struct record_header *h, const uint8_t *body, const uint8_t *end) {
  struct buffer text = {0};
  if (h->kind == RECORD_DATA) {
    assert_true(msgpack_valid(body, end));
    assert_true(msgpack_to_json(&body, end, &text));
  } else {
    struct dead_letter d;
    assert_true(dead_read(body, end, &d));
    assert_int_equal(h->node, 2);
    buffer_print(&text, "dead %.*s ", (int)d.code_length, d.code);
    buffer_add(&text, d.data, d.data_length);
    if (d.cut) buffer_text(&text, " (cut)");
  }
  char *copy = memory_text(buffer_cstring(&text));
  buffer_free(&text);
  return copy;
}

static inline void sink_take(struct rig *r, unsigned sink, const struct ring_view *view) {
  struct target *t = r->target[sink];
  struct record_header h;
  const uint8_t *body, *end;
  assert_true(record_read(view->payload, view->length, &h, &body, &end));
  assert_false(r->ended[sink]);
  if (h.kind == RECORD_STREAM) sink_streams(r, sink);
  if (h.kind == RECORD_END) r->ended[sink] = true;
  if (h.kind != RECORD_DATA && h.kind != RECORD_DEAD && h.kind != RECORD_PROGRESS) return;
  struct stream entry;
  struct error e = {0};
  assert_true(stream_get(&r->stream_table, h.stream, &entry, &e));
  struct target_row *row = target_row(t, entry.partition);
  stream_free(&entry);
  assert_non_null(row);
  // A sink skips what it has. Parts are numbered from 0, and only the last one moves the position.
  if (h.position <= row->position) return;
  if (h.kind != RECORD_PROGRESS) {
    assert_int_equal(h.part, r->part[sink]);
    r->part[sink] = h.flags & RECORD_LAST ? 0 : h.part + 1;
    sink_keep(t, h.position, record_text(&h, body, end));
  }
  if (!(h.flags & RECORD_LAST)) return;
  row->position = h.position;
  row->witness = h.witness;
  feedback_position(&r->own[sink], h.stream, h.position);
}

// One look of all sinks at their ring. True when something came.
static inline bool rig_pump(struct rig *r) {
  bool came = false;
  for (unsigned i = 0; i < r->sinks; i++) {
    struct ring_view view;
    uint64_t rings;
    if (r->target[i]->hold) continue;
    if (read(r->reader_bell[i], &rings, sizeof rings) < 0) assert_int_equal(errno, EAGAIN);
    while (ring_next(&r->reader[i], &view)) {
      sink_take(r, i, &view);
      ring_release(&r->reader[i], view.end);
      came = true;
    }
    assert_int_equal(r->reader[i].fault, RING_OK);
  }
  return came;
}

static inline void rig_sleep(struct rig *r) {
  struct pollfd fds[HARNESS_SINKS];
  for (unsigned i = 0; i < r->sinks; i++) {
    if (!r->target[i]->hold) ring_reader_sleep(&r->reader[i]);
    fds[i] = (struct pollfd){.fd = r->reader_bell[i], .events = POLLIN};
  }
  poll(fds, r->sinks, 5);
}

// Pumps until the worker has left; its exit code (128 + signal when it was killed).
static inline int rig_finish(struct rig *r) {
  uint64_t deadline = clock_monotonic_ns() + HARNESS_WAIT_S * 1000000000ull;
  int status;
  for (;;) {
    bool came = rig_pump(r);
    pid_t left = waitpid(r->pid, &status, WNOHANG);
    if (left == r->pid) break;
    if (clock_monotonic_ns() > deadline) {
      kill(r->pid, SIGKILL);
      waitpid(r->pid, &status, 0);
      fail_msg("the worker did not end");
    }
    if (!came) rig_sleep(r);
  }
  rig_pump(r);
  r->pid = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Pumps until sink 0 has `count` records.
static inline void rig_until(struct rig *r, size_t count) {
  uint64_t deadline = clock_monotonic_ns() + HARNESS_WAIT_S * 1000000000ull;
  while (r->target[0]->got_count < count) {
    int status;
    bool came = rig_pump(r);
    if (waitpid(r->pid, &status, WNOHANG) == r->pid) fail_msg("the worker left early: status %x", (unsigned)status);
    if (clock_monotonic_ns() > deadline) fail_msg("only %zu of %zu records came", r->target[0]->got_count, count);
    if (!came) rig_sleep(r);
  }
}

static inline void rig_stop(struct rig *r) {
  slot_command_set(&r->slot, SLOT_STOP);
  bell_ring(r->bell);
}

static inline void rig_kill(struct rig *r) {
  kill(r->pid, SIGKILL);
  waitpid(r->pid, NULL, 0);
  r->pid = 0;
}

static inline uint64_t rig_counter(const struct rig *r, enum slot_counter counter) {
  return atomic_load_explicit(&r->slot.page->counters[counter], memory_order_relaxed);
}

static inline void rig_error(const struct rig *r, char *text) {
  slot_error_get(&r->slot, text);
}

// A folder of the test's own.
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

static inline void file_put(const char *path, const char *text, size_t length, int flags) {
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, length), length);
  close(fd);
}
