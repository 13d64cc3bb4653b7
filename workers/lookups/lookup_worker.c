// The loop of a lookup worker: takes up the newest good file, loads again when it is due, publishes, removes what is older.
//
//   start: the newest good file is told at once (with --once only when a fresh one could not be had)
//   load:  into NAME.building --fsync, rename--> NAME.GEN.db --words--> transformers attach it --> older files go
//   fail:  the old one stays; the error is shown; the next try comes after a backoff that grows up to `every`
//
// Dying at any point is harmless: half a file has no name (crash points: lookup.before_rename, lookup.renamed, lookup.published).
//
// DIAGNOSTICS  A failed load never ends the worker, but with --once and no older table: then the run cannot give what the file asks for.
//              With `required: false` an empty table is published instead, with --once and without.
#include "workers/lookups/lookup_worker.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/hash.h"
#include "proto/log.h"
#include "shm/crash_point.h"
#include "workers/common/lookup_words.h"
#include "workers/lookups/lookup.h"

enum { FIRST_BACKOFF_MS = 1000, ONCE_TRIES = 4, ONCE_BACKOFF_MS = 500, BUILD_SECONDS = 300 };

struct keeper {
  struct worker *w;
  struct lookup_shape shape;
  lookup_loader *load;
  uint64_t every_ms, max_bytes, fingerprint;
  bool required;                // false: an empty table will do when the first load fails
  uint64_t generation, highest; // in use (0: none yet); of any file
  struct lookup_note note;      // of the one in use
  int64_t confirmed;
  uint64_t retry_after_ms;
};

lookup_loader *lookup_loader_find(const char *kind) {
  static const struct {
    const char *kind;
    lookup_loader *load;
  } loaders[] = {
      {"http", lookup_http_load}, {"file", lookup_file_load}, {"sqlite", lookup_sqlite_load}, {"postgres", lookup_postgres_load}};
  for (size_t i = 0; i < sizeof loaders / sizeof *loaders; i++)
    if (strcmp(loaders[i].kind, kind) == 0) return loaders[i].load;
  return NULL;
}

static bool turn(void *context) {
  return !worker_turn(context);
}

static void busy(void *context, unsigned seconds, const char *doing) {
  worker_busy_until(context, seconds, doing);
}

// What decides what is in the file: the settings of the source (the supervisor's hash), and the shape.
static uint64_t fingerprint_of(const struct keeper *k) {
  struct buffer sql = {0};
  lookup_table_sql(&k->shape, NULL, &sql);
  for (size_t i = 0; i < k->shape.column_count; i++) buffer_byte(&sql, k->shape.columns[i].rule.not_null);
  lookup_indexes_sql(&k->shape, NULL, &sql);
  uint64_t hash = hash_bytes(sql.at, sql.length, 0);
  buffer_free(&sql);
  return hash_bytes(k->w->fingerprint, strlen(k->w->fingerprint), hash);
}

static bool keeper_open(struct keeper *k, struct error *e) {
  struct worker *w = k->w;
  if (w->lookup.count < LOOKUP_WORDS || !(k->load = lookup_loader_find(w->kind))) {
    error_set(e, ERROR_FAULT, "job", "the job of a lookup lacks its words, or a kind that there is");
    return false;
  }
  if (!lookup_shape_load(&k->shape, w->node, w->settings, e)) return false;
  k->every_ms = (uint64_t)job_int(w->settings, "every", 3600000);
  k->required = job_bool(w->settings, "required", true);
  k->max_bytes = (uint64_t)job_int(w->settings, "max_bytes", 64 << 20);
  k->fingerprint = fingerprint_of(k);
  return lookup_store_find(w->state, w->node, k->fingerprint, &k->generation, &k->highest, &k->note, e);
}

static void keeper_close(struct keeper *k) {
  lookup_note_free(&k->note);
  lookup_shape_free(&k->shape);
}

// ---- publishing

static void words_show(struct keeper *k) {
  struct words *words = &k->w->lookup;
  words_store(words, LOOKUP_ROWS, k->note.rows);
  words_store(words, LOOKUP_BYTES, k->note.bytes);
  words_store(words, LOOKUP_LOADED, (uint64_t)k->note.loaded);
  words_store(words, LOOKUP_CONFIRMED, (uint64_t)k->confirmed);
  words_store(words, LOOKUP_GENERATION, k->generation);
  CRASH_POINT("lookup.published");
}

static void say_table(const struct keeper *k, const char *what) {
  struct log_line l;
  log_begin(&l, LOG_LEVEL_INFO, what);
  log_text(&l, "lookup", k->w->node);
  log_uint(&l, "rows", k->note.rows);
  log_uint(&l, "bytes", k->note.bytes);
  log_uint(&l, "table", k->generation);
  log_end(&l);
}

// The file of an earlier life. What a predecessor has confirmed since it was loaded still stands in the words.
static void resume(struct keeper *k) {
  if (k->generation == 0) return;
  bool same = words_load(&k->w->lookup, LOOKUP_GENERATION) == k->generation;
  k->confirmed = same ? (int64_t)words_load(&k->w->lookup, LOOKUP_CONFIRMED) : k->note.loaded;
  words_show(k);
  lookup_store_clean(k->w->state, k->w->node, k->generation);
  say_table(k, "lookup is used as it was loaded before");
}

// ---- loading

static bool build_finish(struct keeper *k, struct lookup_build *b, struct lookup_note *note, uint64_t fingerprint, const char *building,
                         struct error *e) {
  struct worker *w = k->w;
  note->rows = b->rows;
  note->content = b->content;
  note->loaded = clock_micros();
  note->fingerprint = fingerprint;
  worker_busy_until(w, BUILD_SECONDS, NULL);
  if (!lookup_note_write(b->db, note, e) || !lookup_build_end(b, &note->bytes, e)) return false;
  lookup_build_free(b);
  if (!lookup_store_finish(w->state, w->node, building, ++k->highest, e)) return false;
  CRASH_POINT("lookup.renamed");
  return true;
}

static void table_take(struct keeper *k, struct lookup_note *note) {
  lookup_note_free(&k->note);
  k->note = *note;
  *note = (struct lookup_note){0};
  k->generation = k->highest;
  k->confirmed = k->note.loaded;
  words_show(k);
  lookup_store_clean(k->w->state, k->w->node, k->generation);
  say_table(k, "lookup loaded");
}

static char *text_copy(const char *text) {
  return text ? memory_text(text) : NULL;
}

// What was loaded is what is in use: no new file, and nobody has to take anything.
static bool is_in_use(const struct keeper *k, const struct lookup_build *b) {
  const struct lookup_note *note = &k->note;
  return k->generation > 0 && note->fingerprint == k->fingerprint && note->rows == b->rows && note->content == b->content;
}

// The source has said that nothing has changed, or has sent the same again.
static void confirm(struct keeper *k, struct lookup_note *fresh) {
  free(k->note.etag);
  free(k->note.modified);
  k->note.etag = fresh->etag;
  k->note.modified = fresh->modified;
  fresh->etag = fresh->modified = NULL;
  k->confirmed = clock_micros();
  words_show(k);
}

// One try. FAILED: e.
static enum lookup_outcome load_once(struct keeper *k, struct error *e) {
  struct worker *w = k->w;
  struct lookup_build build = {0};
  char *building = lookup_store_building(w->state, w->node);
  struct lookup_load load = {.settings = w->settings,
                             .build = &build,
                             .etag = text_copy(k->note.etag),
                             .modified = text_copy(k->note.modified),
                             .turn = turn,
                             .busy = busy,
                             .context = w};
  struct lookup_note note = {0};
  enum lookup_outcome outcome = LOOKUP_LOAD_FAILED;
  unlink(building); // of a try that failed
  if (lookup_build_open(&build, &k->shape, building, k->max_bytes, e)) {
    build.turn = turn;
    build.context = w;
    outcome = k->load(&load, e);
  }
  k->retry_after_ms = load.retry_after_ms;
  free(load.line);
  note.etag = load.etag;
  note.modified = load.modified;
  if (outcome == LOOKUP_LOAD_DONE && is_in_use(k, &build)) outcome = LOOKUP_LOAD_SAME;
  if (outcome == LOOKUP_LOAD_DONE && !build_finish(k, &build, &note, k->fingerprint, building, e)) outcome = LOOKUP_LOAD_FAILED;
  lookup_build_free(&build);
  if (outcome == LOOKUP_LOAD_DONE)
    table_take(k, &note);
  else
    unlink(building);
  if (outcome == LOOKUP_LOAD_SAME) confirm(k, &note);
  slot_doing_set(&w->slot, "");
  lookup_note_free(&note);
  free(building);
  malloc_trim(0); // what was read may be large and is gone now
  return outcome;
}

static void note_failure(struct keeper *k, const struct error *e) {
  k->w->counters[COUNT_FAILED_POLLS]++;
  worker_counters_show(k->w);
  worker_show_error(k->w, e, k->generation ? "lookup could not be loaded, the old table stays in use" : "lookup could not be loaded");
}

// There is nothing, and nothing could be had: an empty table, so that records flow. True: it is published. Its fingerprint fits no
// settings, so that the next run does not take it for a table that was loaded.
static bool make_empty(struct keeper *k, struct error *e) {
  struct lookup_build build = {0};
  struct lookup_note note = {0};
  char *building = lookup_store_building(k->w->state, k->w->node);
  unlink(building);
  bool made =
      lookup_build_open(&build, &k->shape, building, k->max_bytes, e) && build_finish(k, &build, &note, ~k->fingerprint, building, e);
  lookup_build_free(&build);
  if (made) table_take(k, &note);
  lookup_note_free(&note);
  free(building);
  return made;
}

// Errors that no later try can mend.
static bool is_final(const struct error *e) {
  return e->class == ERROR_CONFIG || e->class == ERROR_FAULT || e->class == ERROR_ENVIRONMENT;
}

// One refresh and how long to wait until the next. False: e ends the worker.
static bool refresh(struct keeper *k, struct backoff *backoff, uint64_t *wait_ms, struct error *e) {
  uint64_t begun = clock_monotonic_ns();
  enum lookup_outcome outcome = load_once(k, e);
  if (outcome == LOOKUP_LOAD_FAILED) {
    if (is_final(e)) return false;
    note_failure(k, e);
    error_clear(e);
    if (k->generation == 0 && !k->required && !make_empty(k, e)) return false;
    *wait_ms = backoff_next(backoff);
    if (*wait_ms > k->every_ms) *wait_ms = k->every_ms;
    if (*wait_ms < k->retry_after_ms) *wait_ms = k->retry_after_ms;
    return true;
  }
  backoff_reset(backoff);
  backoff->next_ms = FIRST_BACKOFF_MS;
  slot_error_set(&k->w->slot, "");
  worker_did_work(k->w);
  uint64_t took_ms = (clock_monotonic_ns() - begun) / 1000000u;
  *wait_ms = k->every_ms > took_ms ? k->every_ms - took_ms : 0;
  return true;
}

// A worker that takes over from a dead one keeps to the times of its predecessor; a new run asks at once.
static uint64_t first_wait_ms(const struct keeper *k) {
  int64_t age_ms = (clock_micros() - k->confirmed) / 1000;
  if (k->generation == 0 || k->w->generation == 0 || age_ms < 0 || (uint64_t)age_ms >= k->every_ms) return 0;
  return k->every_ms - (uint64_t)age_ms;
}

static bool keep(struct keeper *k, struct error *e) {
  struct backoff backoff = {.next_ms = FIRST_BACKOFF_MS, .most_ms = k->every_ms};
  resume(k);
  uint64_t wait_ms = first_wait_ms(k);
  while (worker_pause(k->w, wait_ms, "waiting for the next refresh"))
    if (!refresh(k, &backoff, &wait_ms, e)) return false;
  return true;
}

// --once: a fresh table if it can be had, else the one that is there.
static bool load_for_once(struct keeper *k, struct error *e) {
  struct backoff backoff = {.next_ms = ONCE_BACKOFF_MS, .most_ms = k->every_ms};
  if (words_load(&k->w->lookup, LOOKUP_GENERATION) != 0) return true; // a predecessor has done it
  for (unsigned tries = 1;; tries++) {
    error_clear(e);
    if (load_once(k, e) != LOOKUP_LOAD_FAILED) {
      worker_did_work(k->w);
      slot_error_set(&k->w->slot, "");
      return true;
    }
    if (is_final(e)) return false;
    note_failure(k, e);
    if (k->generation || !k->required || tries == ONCE_TRIES) break;
    if (!worker_pause(k->w, backoff_next(&backoff), "waiting before the next try")) return true;
  }
  if (k->generation == 0 && !k->required) {
    error_clear(e);
    return make_empty(k, e);
  }
  if (k->generation == 0) {
    e->class = ERROR_OPERATOR;
    error_add(e, "lookup %s has no table", k->w->node);
    return false;
  }
  error_clear(e);
  resume(k);
  return true;
}

int lookup_worker_run(struct worker *w) {
  struct keeper k = {.w = w};
  struct error e = {0};
  int code = WORKER_EXIT_DONE;
  bool good = keeper_open(&k, &e) && (w->once ? load_for_once(&k, &e) : keep(&k, &e));
  if (!good) {
    if (w->lookup.count >= LOOKUP_WORDS && e.class != ERROR_OUTAGE) words_store(&w->lookup, LOOKUP_GIVEN_UP, 1);
    code = worker_fail(w, &e);
  }
  keeper_close(&k);
  return code;
}
