// The generate source: input n of a partition is the record {n, seed, partition}; the SELECT makes rows of it. Partitions take turns, so
// their inputs are interleaved. For trying things, for tests that count, for benches.
//
// Position = n. The same n gives the same rows (random numbers come from hash(n, seed)), so nothing needs to be kept: a successor computes
// on. Identity: seed and SQL; another SELECT is another stream.
//
// Ends by itself when every partition has given `count` inputs.
#include "workers/sources/generate_source.h"

#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/hash.h"
#include "proto/limits.h"
#include "workers/sources/generate_sql.h"
#include "workers/sources/source.h"
#include "workers/sql/engine.h"

enum { BATCH = 256, INPUT_ROOM = 64, ROW_ROOM = 512, RATE_STEP_MS = 5 };

struct generate {
  struct worker *w;
  struct source source;
  struct sql_engine *engine;
  struct error *e;
  char *sql;
  int64_t seed;
  uint64_t count, rate; // inputs of a partition, 0: endless; inputs a second in this lane, 0: no limit
  uint64_t partitions;
  uint64_t *streams, *numbers, *hashes; // of this lane's partitions: handle, partition number, what uuid() derives from
  size_t stream_count, turn;            // turn: whose input is next
  // The input in hand: given to the engine, its rows go into the ring.
  bool in_hand;
  struct source_input input;
  uint8_t record[INPUT_ROOM];
  size_t record_length;
  unsigned left;     // inputs left in this batch
  size_t row_room;   // what a row needed so far
  bool failed;       // e is set
  uint64_t begun_ns; // of the rate: since when, and how many since then
  uint64_t given;
  bool owes_progress; // the last input gave nothing, so no record tells the sinks how far it is
};

static bool is_finite(uint64_t count, bool once, struct error *e) {
  if (count > 0 || !once) return true;
  error_set(e, ERROR_CONFIG, "count", "without `count` this source never ends, so --once would not either");
  return false;
}

static bool settings_load(struct generate *g, struct error *e) {
  struct job_value settings = g->w->settings;
  char *sql = job_text(settings, "sql", "");
  int64_t count = job_int(settings, "count", 0), rate = job_int(settings, "rate", 0), partitions = job_int(settings, "partitions", 1);
  g->sql = generate_sql(sql);
  g->seed = job_int(settings, "seed", 1);
  g->count = count < 0 ? 0 : (uint64_t)count;
  g->partitions = partitions < 1 ? 1 : partitions > LIMIT_STREAMS ? LIMIT_STREAMS : (uint64_t)partitions;
  g->rate = rate < 0 ? 0 : (uint64_t)rate;
  g->row_room = ROW_ROOM;
  free(sql);
  return is_finite(g->count, g->w->once, e);
}

static void heartbeat(void *context) {
  worker_turn(context);
}

static bool engine_open(struct generate *g, struct error *e) {
  const char *input = GENERATE_INPUT;
  struct sql_spec spec = {.sql = g->sql,
                          .inputs = &input,
                          .input_count = 1,
                          .timeout_ms = (uint64_t)job_int(g->w->settings, "timeout", SQL_TIMEOUT_MS),
                          .memory_bytes = (uint64_t)job_int(g->w->settings, "memory", SQL_MEMORY_BYTES),
                          .heartbeat = heartbeat,
                          .heartbeat_context = g->w};
  g->engine = sql_engine_open_or_fail(&spec, e);
  return g->engine != NULL;
}

// The partitions of this lane become streams.
static bool streams_open(struct generate *g, struct error *e) {
  char *identity = memory_print("generate:%lld:%016llx", (long long)g->seed, (unsigned long long)hash_bytes(g->sql, strlen(g->sql), 0));
  g->streams = memory_get((size_t)g->partitions * sizeof *g->streams);
  g->numbers = memory_get((size_t)g->partitions * sizeof *g->numbers);
  g->hashes = memory_get((size_t)g->partitions * sizeof *g->hashes);
  bool good = true;
  for (uint64_t i = 0; i < g->partitions && good; i++) {
    if (g->w->lanes > 1 && i % g->w->lanes != g->w->lane) continue;
    char *name = memory_print("%llu", (unsigned long long)i);
    int64_t stream = source_stream(&g->source, name, identity, -1, false, e);
    good = stream >= 0;
    g->streams[g->stream_count] = (uint64_t)stream;
    g->numbers[g->stream_count] = i;
    g->hashes[g->stream_count++] = hash_bytes(name, strlen(name), hash_bytes(identity, strlen(identity), 0));
    free(name);
  }
  free(identity);
  // The rate is for all partitions together; this lane makes its share of it.
  if (g->rate > 0 && good) g->rate = (g->rate * g->stream_count + g->partitions - 1) / g->partitions;
  return good;
}

static bool start_of(void *owner, uint64_t stream, uint64_t *position, struct error *e) {
  (void)owner, (void)stream, (void)e;
  *position = 0;
  return true;
}

// Any position can be computed again.
static bool position_check(void *owner, uint64_t stream, uint64_t position, uint64_t witness, struct error *e) {
  (void)owner, (void)stream, (void)position, (void)witness, (void)e;
  return true;
}

static uint64_t position_of(const struct generate *g, size_t index) {
  return g->source.streams[g->streams[index]].position;
}

// Whose turn is it? Partitions that have given all are passed over. False: all have.
static bool turn_find(struct generate *g) {
  for (size_t tried = 0; tried < g->stream_count; tried++) {
    if (g->count == 0 || position_of(g, g->turn) < g->count) return true;
    g->turn = (g->turn + 1) % g->stream_count;
  }
  return false;
}

// The input in hand has given all its rows.
static bool input_close(struct generate *g) {
  if (!g->in_hand) return true;
  g->in_hand = false;
  g->owes_progress = g->source.parts == 0;
  g->failed = g->failed || !source_input_end(&g->source, &g->input, g->e);
  return !g->failed;
}

static bool input_dead(struct generate *g, const char *code, const char *reason) {
  struct source_dead dead = {.code = code, .reason = reason, .format = "msgpack", .bytes = g->record, .length = g->record_length};
  if (!source_part_dead(&g->source, &g->input, &dead, g->e)) g->failed = true;
  return !g->failed;
}

// The engine asks for the next input. It is called from inside the engine, so nothing here waits.
static bool next_input(void *context, struct sql_record *record) {
  struct generate *g = context;
  if (!input_close(g) || g->left == 0 || !turn_find(g)) return false;
  g->left--;
  size_t index = g->turn;
  g->turn = (g->turn + 1) % g->stream_count;
  uint64_t n = position_of(g, index) + 1;
  struct msgpack_writer w = {.at = g->record, .end = g->record + sizeof g->record};
  msgpack_write_map(&w, 3);
  msgpack_write_cstring(&w, "n");
  msgpack_write_uint(&w, n);
  msgpack_write_cstring(&w, "seed");
  msgpack_write_int(&w, g->seed);
  msgpack_write_cstring(&w, "partition");
  msgpack_write_uint(&w, g->numbers[index]);
  g->record_length = (size_t)(w.at - g->record);
  g->input.stream = g->streams[index];
  g->input.position = n;
  g->input.bytes = g->record_length;
  g->in_hand = true;
  g->given++;
  worker_hand(g->w, g->input.stream, n);
  *record = (struct sql_record){.at = g->record, .end = w.at, .stream = g->hashes[index], .position = n, .time = g->input.time};
  return true;
}

// A row is too large for the ring, or the rows of one input are.
static bool row_too_large(struct generate *g) {
  sql_engine_stop(g->engine);
  source_parts_abort(&g->source);
  return input_dead(g, "too-large", "its rows do not fit the ring (setting ring)") && input_close(g);
}

// The engine's row in hand into the ring. *stopped: the run is over before its end.
static bool row_take(struct generate *g, bool *stopped) {
  struct sql_failure why;
  uint32_t most = source_body_max(&g->source);
  for (;; g->row_room *= 2) {
    if (g->row_room > most) g->row_room = most;
    bool fits = source_parts_room(&g->source) >= ring_footprint(g->row_room + sizeof(struct record_header));
    uint8_t *at = fits ? source_part_begin(&g->source, (uint32_t)g->row_room, g->e) : NULL;
    if (fits && !at) return false;
    struct msgpack_writer w = {.at = at, .end = at + g->row_room};
    enum sql_row result = fits ? sql_engine_row(g->engine, &w, &why) : SQL_ROW_NO_ROOM;
    if (result == SQL_ROW_GOOD) {
      source_part_end(&g->source, &g->input, (uint32_t)(w.at - at));
      return true;
    }
    if (fits) source_part_abort(&g->source);
    if (result == SQL_ROW_BAD) return input_dead(g, why.code, why.reason);
    if (fits && g->row_room < most) continue;
    *stopped = true;
    g->row_room = ROW_ROOM;
    return row_too_large(g);
  }
}

// One run of the SELECT over at most `inputs` inputs.
static bool batch_run(struct generate *g, unsigned inputs) {
  struct sql_failure why;
  g->left = g->w->careful ? 1 : inputs;
  g->input.time = clock_micros();
  sql_engine_start(g->engine, next_input, g);
  for (bool stopped = false; !stopped;) {
    switch (sql_engine_step(g->engine, &why)) {
    case SQL_STEP_ROW:
      if (!row_take(g, &stopped)) return false;
      break;
    case SQL_STEP_FAILED:
      if (!g->in_hand) {
        error_set(g->e, ERROR_CONFIG, why.code, "the SQL cannot be run: %s", why.reason);
        return false;
      }
      // What rows it gave before it failed do not go on: the record failed as a whole.
      source_parts_abort(&g->source);
      if (!input_dead(g, why.code, why.reason) || !input_close(g)) return false;
      sql_engine_start(g->engine, next_input, g);
      break;
    case SQL_STEP_DONE: stopped = true;
    }
  }
  return input_close(g);
}

// How many inputs may be given now; at a rate, as many as the time that has passed allows. What could not be given because the ring was
// full for over a second is not made up for.
static unsigned allowance(struct generate *g) {
  if (g->rate == 0) return BATCH;
  uint64_t passed = clock_monotonic_ns() - g->begun_ns, second = 1000000000u;
  uint64_t due = passed / second * g->rate + passed % second * g->rate / second + 1;
  if (due > g->given + g->rate + BATCH) {
    g->begun_ns += passed;
    g->given = 0;
    due = 1;
  }
  return due <= g->given ? 0 : due - g->given > BATCH ? BATCH : (unsigned)(due - g->given);
}

static bool set_aside_take(struct generate *g) {
  // Known by its place alone: it is turned into a dead letter without being computed.
  if (!g->w->has_set_aside || !turn_find(g)) return true;
  if (!worker_is_set_aside(g->w, g->streams[g->turn], position_of(g, g->turn) + 1)) return true;
  g->input.stream = g->streams[g->turn];
  g->input.position = position_of(g, g->turn) + 1;
  g->record_length = 0;
  return source_part_dead(&g->source, &g->input,
                          &(struct source_dead){.code = "poison", .reason = "this input killed the worker that took it, again and again"},
                          g->e) &&
         source_input_end(&g->source, &g->input, g->e);
}

static bool generate_loop(struct generate *g) {
  g->begun_ns = clock_monotonic_ns();
  while (!source_turn(&g->source) && turn_find(g)) {
    unsigned inputs = allowance(g);
    if (!set_aside_take(g) || (inputs > 0 && !batch_run(g, inputs))) return false;
    if (g->owes_progress && !source_progress(&g->source, g->input.stream, g->e)) return false;
    g->owes_progress = false;
    source_publish(&g->source);
    if (inputs == 0) worker_wait(g->w, RATE_STEP_MS, SLOT_IDLE, NULL);
  }
  return true;
}

static bool source_work(struct generate *g, struct error *e) {
  struct source_kind kind = {.owner = g, .start = start_of, .check = position_check};
  g->e = e;
  if (!settings_load(g, e) || !source_open(&g->source, g->w, &kind, 0, e)) return false;
  if (g->source.ended) return true;
  if (!engine_open(g, e) || !streams_open(g, e)) return false;
  if (!source_settle(&g->source, e) && !(g->source.stop && !error_is_set(e))) return false;
  if (!g->source.stop && !generate_loop(g)) return false;
  return source_end(&g->source, e);
}

int generate_source_run(struct worker *w) {
  struct generate g = {.w = w, .source = {.w = w}};
  struct error e = {0};
  int code = source_leave(&g.source, source_work(&g, &e), &e);
  sql_engine_free(g.engine);
  source_close(&g.source);
  free(g.streams);
  free(g.numbers);
  free(g.hashes);
  free(g.sql);
  return code;
}

void generate_source_check(struct check *c) {
  char *given = job_text(c->settings, "sql", ""), *sql = generate_sql(given);
  const char *input = GENERATE_INPUT;
  struct sql_spec spec = {.sql = sql, .inputs = &input, .input_count = 1};
  struct sql_problems problems = {0};
  struct sql_engine *engine = sql_engine_open(&spec, &problems);
  // Behind a FROM that was put in, places in the text are not the user's.
  bool same = strcmp(given, sql) == 0;
  for (size_t i = 0; i < problems.count; i++) {
    const struct sql_problem *p = &problems.list[i];
    check_find(c, p->warning ? CHECK_WARNING : CHECK_ERROR, p->setting, same ? p->offset : -1, p->suggestion, "%s", p->text);
  }
  if (engine) {
    c->output_count = sql_engine_columns(engine);
    c->output = memory_get(c->output_count * sizeof *c->output);
    c->output_known = true;
    for (size_t i = 0; i < c->output_count; i++)
      c->output[i] = (struct check_column){.name = memory_text(sql_engine_column_name(engine, i)), .type = memory_text("")};
    c->form = memory_text(sql_engine_form(engine));
  }
  struct error e = {0};
  if (!is_finite((uint64_t)job_int(c->settings, "count", 0), c->once, &e)) check_find(c, CHECK_ERROR, "count", -1, NULL, "%s", e.text);
  sql_engine_free(engine);
  sql_problems_free(&problems);
  free(given);
  free(sql);
}

// Every input has its number as its position.
bool generate_position_look(const struct position_ask *ask, struct position_answer *answer, struct error *e) {
  int64_t count = job_int(ask->settings, "count", 0);
  answer->to = ask->goal == POSITION_AT ? ask->at : ask->goal == POSITION_LATEST ? count : 0;
  if (count == 0 && ask->goal == POSITION_LATEST) {
    error_set(e, ERROR_OPERATOR, "position", "`latest` is not known: this source has no end (setting count)");
    return false;
  }
  if (count > 0 && answer->to > count) {
    error_set(e, ERROR_OPERATOR, "position", "it gives %lld records: %lld is behind its end", (long long)count, (long long)answer->to);
    return false;
  }
  answer->records = answer->to > ask->from ? answer->to - ask->from : ask->from - answer->to;
  answer->what = "records";
  answer->counted = true;
  return true;
}
