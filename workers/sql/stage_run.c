// The loop of the SQL stage's worker: takes what the input ring holds, in batches, runs the SELECT over it, publishes, gives the input
// back, sleeps. Named in workers.h.
//
// Death at any point: a published group is complete and its note says behind which input it stands, so a successor goes on exactly there
// (crash points: sql.row, sql.input_done, sql.before_publish, sql.published, sql.released).
#include <stdlib.h>
#include <string.h>

#include "proto/log.h"
#include "shm/crash_point.h"
#include "workers/sql/sql_stage.h"
#include "workers/sql/stage.h"

static void heartbeat(void *context) {
  worker_turn(context);
}

// The name that the SQL uses for its input, when the job does not say another: the last one of the edge.
static char *input_name(const struct worker *w) {
  const char *last = strrchr(w->edge, '>');
  return job_text(job_root(&w->job), "input", last ? last + 1 : w->edge);
}

static bool engine_open(struct stage *s) {
  struct worker *w = s->w;
  if (!stage_lookups_open(s)) return false;
  char *input = input_name(w), *sql = job_text(w->settings, "sql", "");
  struct sql_lookup *lookups = stage_lookups_spec(s);
  struct sql_spec spec = {
      .sql = sql,
      .inputs = (const char *const *)&input,
      .input_count = 1,
      .lookups = lookups,
      .lookup_count = s->lookup_count,
      .columns = job_get(w->settings, "columns"),
      .checks = job_get(w->settings, "checks"),
      .timeout_ms = (uint64_t)job_int(w->settings, "timeout", SQL_TIMEOUT_MS),
      .memory_bytes = (uint64_t)job_int(w->settings, "memory", SQL_MEMORY_BYTES),
      .heartbeat = heartbeat,
      .heartbeat_context = w,
  };
  s->engine = sql_engine_open_or_fail(&spec, &s->error);
  free(lookups);
  free(sql);
  free(input);
  if (!s->engine) return false;
  struct log_line l;
  log_begin(&l, LOG_LEVEL_INFO, "SQL is ready");
  log_text(&l, "runs", sql_engine_form(s->engine));
  log_uint(&l, "columns", sql_engine_columns(s->engine));
  log_end(&l);
  return true;
}

// Where the predecessor left off: behind the input named by the note of what it published last.
static bool resume(struct stage *s) {
  struct worker *w = s->w;
  if (!w->has_input || !w->has_output || w->output.words < STAGE_NOTE_WORDS) {
    error_set(&s->error, ERROR_FAULT, "ring", "this stage lacks a ring, or room for its note in it");
    return false;
  }
  worker_counters_load(w, w->output.note);
  uint64_t cursor = w->output.note[STAGE_NOTE_CURSOR];
  if (cursor > w->input.head) {
    ring_seek(&w->input, cursor);
    ring_release(&w->input, cursor);
  }
  s->finished = s->covered = w->input.cursor;
  w->output.note[STAGE_NOTE_CURSOR] = s->finished;
  // Nothing comes behind the end of the run: who waited for it would wait for ever.
  s->ended = w->output.note[STAGE_NOTE_ENDED] != 0;
  if (w->input.fault == RING_OK) return true;
  error_set(&s->error, ERROR_FAULT, "ring", "the input ring does not fit the output ring's note: %s", ring_fault_text(w->input.fault));
  return false;
}

// A record that is not for the engine.
static bool deal_with_held(struct stage *s) {
  s->held = false;
  switch ((enum record_kind)s->header.kind) {
  case RECORD_DATA:
    worker_hand(s->w, UINT64_MAX, 0);
    if (!stage_record_dead(s, "set aside: it has ended three workers", "poison")) return false;
    stage_record_done(s);
    return true;
  case RECORD_DEAD:
    if (!stage_pass_on(s)) return false;
    stage_record_done(s);
    return true;
  case RECORD_END: s->ended = true; break;
  case RECORD_PROGRESS:
  case RECORD_STREAM:
  case RECORD_BARRIER: break;
  }
  // Marks are for what came before.
  if (!stage_marks_write(s) || !stage_pass_on(s)) return false;
  s->w->output.note[STAGE_NOTE_ENDED] = s->ended;
  stage_done_alone(s);
  return true;
}

// One run of the statement over what there is, at most a batch.
static bool run_batch(struct stage *s) {
  struct sql_failure failure;
  s->left = s->w->careful ? 1 : STAGE_BATCH;
  s->first = true;
  sql_engine_start(s->engine, stage_next, s);
  for (;;) {
    switch (sql_engine_step(s->engine, &failure)) {
    case SQL_STEP_ROW:
      if (!stage_row(s)) return false;
      CRASH_POINT("sql.row");
      break;
    case SQL_STEP_FAILED:
      if (!stage_record_dead(s, failure.reason, failure.code)) return false;
      break;
    case SQL_STEP_DONE: return !error_is_set(&s->error);
    }
  }
}

// Told once: fields that the SQL reads and that no record had so far.
static void tell_absent(struct stage *s) {
  struct buffer names = {0};
  if (s->told || s->taken == 0 || (s->taken < SQL_LOOKED_AT && !s->ended)) return;
  s->told = true;
  if (sql_engine_absent(s->engine, &names) > 0) {
    struct log_line l;
    log_begin(&l, LOG_LEVEL_INFO, "the SQL reads fields that no record has had so far");
    log_text(&l, "fields", buffer_cstring(&names));
    log_uint(&l, "records", s->taken);
    log_end(&l);
  }
  buffer_free(&names);
}

static bool turn_end(struct stage *s) {
  if (!s->in_input && !stage_marks_write(s)) return false;
  stage_settle(s);
  CRASH_POINT("sql.released");
  tell_absent(s);
  if (!s->brake.stop) return true;
  error_set(&s->error, ERROR_OPERATOR, "brake",
            "%u of the last %d records became dead letters, the last one because: %s. Mend the source or the SQL, or raise "
            "dead_letters.stop_above, then start again",
            s->brake.dead, STAGE_WINDOW, s->brake.reason);
  return false;
}

static bool turn(struct stage *s) {
  uint64_t before = s->w->input.cursor;
  worker_turn(s->w);
  if (!s->in_input && !stage_lookups_look(s)) return false;
  if (!run_batch(s) || (s->held && !deal_with_held(s)) || !turn_end(s)) return false;
  if (s->ended || s->w->input.cursor != before) return true;
  worker_hand(s->w, UINT64_MAX, 0);
  if (ring_reader_sleep(&s->w->input)) worker_wait(s->w, -1, SLOT_IDLE, NULL);
  return true;
}

static void stage_close(struct stage *s) {
  if (s->engine) sql_engine_stop(s->engine);
  sql_engine_free(s->engine);
  stage_lookups_close(s);
  buffer_free(&s->message);
  free(s->marks.list);
}

int sql_stage_run(struct worker *w) {
  sql_engine_single_thread();
  struct stage s = {.w = w, .brake.stop_above = job_double(job_root(&w->job), "stop_above", 0.5)};
  int code = WORKER_EXIT_DONE;
  if (engine_open(&s) && resume(&s))
    while (!s.ended && turn(&s)) continue;
  CRASH_POINT("sql.ended");
  if (error_is_set(&s.error)) code = worker_fail(w, &s.error);
  stage_close(&s);
  return code;
}
