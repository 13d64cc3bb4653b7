// The tables that the stage joins: waits for the first ones, and takes newer ones between two batches.
//
// The file of a generation may be gone when we come to it, because a newer one has been published: then the words say so, and we look
// again. Nobody who has attached a file loses it; the system keeps it until we let go.
#include <stdlib.h>
#include <string.h>

#include "proto/log.h"
#include "shm/crash_point.h"
#include "workers/common/lookup_words.h"
#include "workers/sql/stage.h"

enum { WAIT_MS = 5 };

static bool lookup_read(struct stage *s, struct stage_lookup *l, struct job_value job) {
  l->name = job_text(job, "name", "");
  int code = words_attach(&l->words, (int)job_int(job, "words", -1), false);
  if (code == 0 && l->words.count >= LOOKUP_WORDS) return lookup_shape_load(&l->shape, l->name, job_get(job, "settings"), &s->error);
  error_set(&s->error, ERROR_ENVIRONMENT, "attach", "cannot attach the words of lookup %s: %s", l->name, strerror(-code));
  return false;
}

static void path_set(const struct stage *s, struct stage_lookup *l, uint64_t generation) {
  free(l->path);
  l->path = lookup_path(s->w->state, l->name, generation);
  l->generation = generation;
}

// True: there is a table.
static bool lookup_wait(struct stage *s, struct stage_lookup *l) {
  char *doing = memory_print("waiting for lookup %s", l->name);
  uint64_t generation;
  while ((generation = words_load(&l->words, LOOKUP_GENERATION)) == 0 && !words_load(&l->words, LOOKUP_GIVEN_UP))
    worker_wait(s->w, WAIT_MS, SLOT_WAITING, doing);
  free(doing);
  if (generation > 0)
    path_set(s, l, generation);
  else
    error_set(&s->error, ERROR_OPERATOR, "lookup", "lookup %s has no table, and its worker has given up", l->name);
  return generation > 0;
}

bool stage_lookups_open(struct stage *s) {
  struct job_walk walk = job_walk_start(job_get(job_root(&s->w->job), "lookups"));
  struct job_value one;
  s->lookups = memory_get((walk.left + 1) * sizeof *s->lookups);
  while (job_walk_next(&walk, NULL, &one))
    if (!lookup_read(s, &s->lookups[s->lookup_count++], one)) return false;
  for (size_t i = 0; i < s->lookup_count; i++)
    if (!lookup_wait(s, &s->lookups[i])) return false;
  return true;
}

struct sql_lookup *stage_lookups_spec(const struct stage *s) {
  struct sql_lookup *spec = memory_get((s->lookup_count + 1) * sizeof *spec);
  for (size_t i = 0; i < s->lookup_count; i++) spec[i] = (struct sql_lookup){.shape = &s->lookups[i].shape, .path = s->lookups[i].path};
  return spec;
}

static void say_swap(const struct stage *s, const struct stage_lookup *l) {
  struct log_line line;
  log_begin(&line, LOG_LEVEL_INFO, "lookup replaced");
  log_text(&line, "lookup", l->name);
  log_uint(&line, "table", l->generation);
  log_text(&line, "runs", sql_engine_form(s->engine));
  log_end(&line);
}

// One newer table. A file that cannot be attached is tried again at the next turn: the old one is as good as it was a moment ago.
static bool lookup_look(struct stage *s, size_t index) {
  struct stage_lookup *l = &s->lookups[index];
  uint64_t generation = words_load(&l->words, LOOKUP_GENERATION);
  if (__builtin_expect(generation == l->generation, 1)) return true;
  struct error e = {0};
  bool broken = false;
  char *path = lookup_path(s->w->state, l->name, generation);
  CRASH_POINT("lookup.before_swap");
  bool swapped = sql_engine_swap_lookup(s->engine, index, path, &broken, &e);
  CRASH_POINT("lookup.swapped");
  free(path);
  if (swapped) {
    path_set(s, l, generation);
    say_swap(s, l);
    return true;
  }
  if (!broken && words_load(&l->words, LOOKUP_GENERATION) != generation) return true;
  s->error = e;
  return false;
}

bool stage_lookups_look(struct stage *s) {
  for (size_t i = 0; i < s->lookup_count; i++)
    if (!lookup_look(s, i)) return false;
  return true;
}

void stage_lookups_close(struct stage *s) {
  for (size_t i = 0; i < s->lookup_count; i++) {
    words_detach(&s->lookups[i].words);
    lookup_shape_free(&s->lookups[i].shape);
    free(s->lookups[i].name);
    free(s->lookups[i].path);
  }
  free(s->lookups);
}
