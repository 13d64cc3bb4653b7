// Turns the job and its descriptors into a `struct worker`. What each descriptor is and who writes it stands in worker.h.
//
// Invariant: after a successful return the slot is attached first of all, so that any later failure can be shown to the operator.
#include "workers/common/worker_attach.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/log.h"

static int fd_of(struct job_value fds, const char *name) {
  return (int)job_int(fds, name, -1);
}

static bool failed(struct error *e, const char *what, int code) {
  error_set(e, ERROR_ENVIRONMENT, "attach", "cannot attach %s: %s", what, strerror(-code));
  return false;
}

static void texts_load(struct worker *w, struct job_value root) {
  w->role = job_text(root, "role", "");
  w->kind = job_text(root, "kind", "");
  w->pipeline = job_text(root, "pipeline", "");
  w->node = job_text(root, "node", "");
  w->source = job_text(root, "source", "");
  w->edge = job_text(root, "edge", "");
  w->state = job_text(root, "state", "");
  w->fingerprint = job_text(root, "fingerprint", "");
  w->node_index = (unsigned)job_int(root, "node_index", 0);
  w->lane = (unsigned)job_int(root, "lane", 0);
  w->lanes = (unsigned)job_int(root, "lanes", 1);
  w->generation = (unsigned)job_int(root, "generation", 0);
  w->careful = job_bool(root, "careful", false);
  w->once = job_bool(root, "once", false);
  w->take_over = job_bool(root, "take_over", false);
  w->settings = job_get(root, "settings");
}

static void set_aside_load(struct worker *w, struct job_value root) {
  struct job_value pair = job_get(root, "set_aside");
  if (!job_has(pair)) return;
  struct job_walk walk = job_walk_start(pair);
  struct job_value stream, position;
  if (!job_walk_next(&walk, NULL, &stream) || !job_walk_next(&walk, NULL, &position)) return;
  w->has_set_aside = true;
  w->set_aside_stream = (uint64_t)job_value_int(stream, 0);
  w->set_aside_position = (uint64_t)job_value_int(position, 0);
}

static bool input_attach(struct worker *w, struct job_value fds, struct error *e) {
  int fd = fd_of(fds, "in_ring");
  if (fd < 0) return true;
  int code = ring_reader_attach(&w->input, fd, (unsigned)job_int(fds, "in_index", 0), fd_of(fds, "in_bell"));
  if (w->input.fault != RING_OK) {
    error_set(e, ERROR_FAULT, "ring", "the input ring is damaged: %s", ring_fault_text(w->input.fault));
    return false;
  }
  if (code != 0) return failed(e, "the input ring", code);
  w->has_input = true;
  return true;
}

static bool output_attach(struct worker *w, struct job_value fds, struct error *e) {
  int fd = fd_of(fds, "out_ring"), bells[RING_READERS_MAX];
  if (fd < 0) return true;
  for (unsigned i = 0; i < RING_READERS_MAX; i++) bells[i] = -1;
  struct job_walk walk = job_walk_start(job_get(fds, "out_bells"));
  struct job_value bell;
  for (unsigned i = 0; i < RING_READERS_MAX && job_walk_next(&walk, NULL, &bell); i++) bells[i] = (int)job_value_int(bell, -1);
  int code = ring_writer_attach(&w->output, fd, bells);
  if (w->output.fault != RING_OK) {
    error_set(e, ERROR_FAULT, "ring", "the output ring is damaged: %s", ring_fault_text(w->output.fault));
    return false;
  }
  if (code != 0) return failed(e, "the output ring", code);
  w->has_output = true;
  return true;
}

static bool feedback_attach(struct worker *w, struct job_value fds, struct error *e) {
  struct job_walk count = job_walk_start(job_get(fds, "feedback"));
  struct job_value fd;
  while (job_walk_next(&count, NULL, &fd)) w->feedbacks++;
  w->feedback = memory_get(w->feedbacks * sizeof *w->feedback);
  struct job_walk walk = job_walk_start(job_get(fds, "feedback"));
  for (unsigned i = 0; i < w->feedbacks && job_walk_next(&walk, NULL, &fd); i++) {
    int code = words_attach(&w->feedback[i], (int)job_value_int(fd, -1), false);
    if (code != 0) return failed(e, "a sink's feedback", code);
  }
  return true;
}

static bool lane_attach(struct worker *w, struct job_value fds, struct error *e) {
  bool source = !w->has_input;
  int code, fd = fd_of(fds, "streams");
  if (fd >= 0 && (code = register_attach(&w->streams, fd, source)) != 0) return failed(e, "the stream table", code);
  fd = fd_of(fds, "source_words");
  if (fd >= 0 && (code = words_attach(&w->source_words, fd, source)) != 0) return failed(e, "the source's words", code);
  fd = fd_of(fds, "own_feedback");
  if (fd >= 0 && (code = words_attach(&w->own_feedback, fd, true)) != 0) return failed(e, "the own feedback", code);
  fd = fd_of(fds, "lookup");
  if (fd >= 0 && (code = words_attach(&w->lookup, fd, true)) != 0) return failed(e, "the words of the lookup", code);
  return feedback_attach(w, fds, e);
}

bool worker_attach(struct worker *w, struct error *e) {
  w->bell = w->lock = w->source_bell = -1;
  if (!job_load(JOB_FD, &w->job, e)) return false;
  struct job_value root = job_root(&w->job), fds = job_get(root, "fds");
  texts_load(w, root);
  log_format(job_bool(root, "log_json", false), (enum log_level)job_int(root, "log_level", LOG_LEVEL_INFO));
  // A topic that is written and read has two workers of one name.
  bool topic = strcmp(w->kind, "topic") == 0;
  char *name = memory_print("%s%s/%u", w->node, !topic ? "" : strcmp(w->role, "producer") == 0 ? ":reader" : ":writer", w->lane);
  log_context(name, getpid(), w->generation);
  free(name);
  int code = slot_attach(&w->slot, fd_of(fds, "slot"), false);
  if (code != 0) return failed(e, "the slot", code);
  slot_worker_begin(&w->slot);
  w->bell = fd_of(fds, "bell");
  w->lock = fd_of(fds, "lock");
  w->source_bell = fd_of(fds, "source_bell");
  set_aside_load(w, root);
  return input_attach(w, fds, e) && output_attach(w, fds, e) && lane_attach(w, fds, e);
}
