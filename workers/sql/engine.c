// The engine: opening, stepping, stopping. See engine.h for what a run is and engine_parts.h for who does what.
#include "workers/sql/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/sql/checks.h"
#include "workers/sql/connection.h"
#include "workers/sql/discover.h"
#include "workers/sql/engine_parts.h"
#include "workers/sql/input_table.h"
#include "workers/sql/lookups.h"
#include "workers/sql/plan_check.h"
#include "workers/sql/rows.h"

void sql_engine_single_thread(void) {
  (void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
}

void sql_problems_free(struct sql_problems *problems) {
  for (size_t i = 0; i < problems->count; i++) {
    free(problems->list[i].setting);
    free(problems->list[i].text);
    free(problems->list[i].suggestion);
  }
  free(problems->list);
  *problems = (struct sql_problems){0};
}

static void columns_open(struct sql_engine *engine) {
  // One more than there are, so that none is no special case.
  engine->input_columns.use = memory_get((engine->input_columns.names.count + 1) * sizeof *engine->input_columns.use);
  engine->each_columns.use = memory_get((engine->each_columns.names.count + 1) * sizeof *engine->each_columns.use);
  engine->input_direct = memory_get((engine->input_columns.names.count + 1) * sizeof *engine->input_direct);
  engine->input_json = memory_get((engine->input_columns.names.count + 1) * sizeof *engine->input_json);
  engine->input_seen = memory_get((engine->input_columns.names.count + 1) * sizeof *engine->input_seen);
  field_index_open(&engine->input, &engine->input_columns.names);
}

static bool judge(struct sql_engine *engine, struct buffer *why) {
  bool good = sql_plan_judge(engine, why);
  if (good && engine->batch) sql_lookups_types(engine);
  if (good && engine->one_by_one && engine->batch) {
    engine->batch = false;
    free(engine->form);
    engine->form = memory_text("one by one: as asked");
  }
  engine->reprepared = sqlite3_stmt_status(engine->statement, SQLITE_STMTSTATUS_REPREPARE, 0);
  sql_input_bind(engine);
  sql_output_bind(engine);
  return good;
}

static bool engine_prepare(struct sql_engine *engine, const struct sql_spec *spec, struct sql_problems *problems) {
  struct error e = {0};
  if (!sql_connection_open(engine, &e)) {
    sql_problem_add(problems, false, "sql", -1, NULL, "%s", e.text);
    return false;
  }
  if (!sql_discover(engine, spec, problems)) return false;
  columns_open(engine);
  // Both are looked at, so that one run of `weir check` tells all.
  bool good = sql_output_open(engine, spec, problems);
  struct buffer why = {0};
  bool judged = judge(engine, &why);
  if (!judged) sql_problem_add(problems, false, "sql", -1, NULL, "%s", buffer_cstring(&why));
  buffer_free(&why);
  good &= judged;
  return good && sql_checks_open(engine, spec, problems);
}

struct sql_engine *sql_engine_open(const struct sql_spec *spec, struct sql_problems *problems) {
  struct sql_engine *engine = memory_get(sizeof *engine);
  engine->sql = memory_text(spec->sql);
  engine->timeout_ms = spec->timeout_ms ? spec->timeout_ms : SQL_TIMEOUT_MS;
  engine->memory_bytes = spec->memory_bytes ? spec->memory_bytes : SQL_MEMORY_BYTES;
  engine->one_by_one = spec->one_by_one;
  engine->heartbeat = spec->heartbeat;
  engine->heartbeat_context = spec->heartbeat_context;
  sql_lookups_open(engine, spec);
  if (engine_prepare(engine, spec, problems)) return engine;
  sql_engine_free(engine);
  return NULL;
}

struct sql_engine *sql_engine_open_or_fail(const struct sql_spec *spec, struct error *e) {
  struct sql_problems problems = {0};
  struct sql_engine *engine = sql_engine_open(spec, &problems);
  for (size_t i = 0; i < problems.count && !engine; i++) {
    if (problems.list[i].warning) continue;
    // The file of a lookup may be there the next time.
    enum error_class class = strcmp(problems.list[i].setting, SQL_LOOKUPS) == 0 ? ERROR_OUTAGE : ERROR_CONFIG;
    error_set(e, class, "sql", "%s: %s", problems.list[i].setting, problems.list[i].text);
    break;
  }
  sql_problems_free(&problems);
  return engine;
}

static void columns_free(struct sql_engine *engine) {
  for (size_t i = 0; engine->input_json && i < engine->input_columns.names.count; i++) buffer_free(&engine->input_json[i].text);
  free(engine->input_json);
  free((void *)(uintptr_t)engine->input_direct);
  free(engine->input_seen);
  free(engine->input_columns.use);
  free(engine->each_columns.use);
  field_index_close(&engine->input);
  field_names_free(&engine->input_columns.names);
  field_names_free(&engine->each_columns.names);
}

void sql_engine_free(struct sql_engine *engine) {
  if (!engine) return;
  sqlite3_finalize(engine->statement);
  sql_output_free(engine);
  sql_connection_close(engine);
  sql_input_free(engine);
  sql_each_free(engine);
  columns_free(engine);
  sql_lookups_free(engine);
  cell_tools_free(&engine->tools);
  buffer_free(&engine->scratch);
  free(engine->stream_name);
  free(engine->form);
  free(engine->sql);
  free(engine);
}

size_t sql_engine_input(const struct sql_engine *engine) {
  return engine->input_index;
}

bool sql_engine_reads_identity(const struct sql_engine *engine) {
  return engine->reads_identity;
}

bool sql_engine_is_batch(const struct sql_engine *engine) {
  return engine->batch;
}

const char *sql_engine_form(const struct sql_engine *engine) {
  return engine->form;
}

size_t sql_engine_columns(const struct sql_engine *engine) {
  return engine->output.count;
}

const char *sql_engine_column_name(const struct sql_engine *engine, size_t column) {
  return engine->output.columns[column].name;
}

const char *sql_engine_column_type(const struct sql_engine *engine, size_t column) {
  const struct output_column *c = &engine->output.columns[column];
  return cell_type_name(c->rule.type != COLUMN_ANY ? c->rule.type : c->known);
}

bool sql_engine_column_not_null(const struct sql_engine *engine, size_t column) {
  return engine->output.columns[column].rule.not_null;
}

const char *sql_engine_column_origin(const struct sql_engine *engine, size_t column) {
  const struct copy_source *copy = &engine->output.columns[column].copy;
  return copy->from == COPY_INPUT ? engine->input_columns.names.columns[copy->column].name : NULL;
}

size_t sql_engine_absent(const struct sql_engine *engine, struct buffer *names) {
  size_t absent = 0;
  for (size_t i = 0; i < engine->input_columns.names.count; i++) {
    if (engine->input_seen[i]) continue;
    buffer_print(names, "%s%s", absent++ ? ", " : "", engine->input_columns.names.columns[i].name);
  }
  return absent;
}

// The plan that was judged is gone (SQLite has prepared the statement again by itself): what needs no proof is right with any plan.
static void forget_judgement(struct sql_engine *engine) {
  engine->batch = false;
  for (size_t i = 0; i < engine->input_columns.names.count; i++) engine->input_columns.use[i] = USE_VALUE;
  for (size_t i = 0; i < engine->each_columns.names.count; i++) engine->each_columns.use[i] = USE_VALUE;
  for (size_t i = 0; i < engine->output.count; i++) engine->output.columns[i].copy.from = COPY_NOT;
  sql_input_bind(engine);
  sql_output_bind(engine);
}

// The same SQL over the tables as they are now.
static bool prepare_again(struct sql_engine *engine, struct error *e) {
  struct buffer why = {0};
  engine->refused[0] = '\0';
  forget_judgement(engine);
  bool good = sqlite3_prepare_v3(engine->db, engine->sql, -1, SQLITE_PREPARE_PERSISTENT, &engine->statement, NULL) == SQLITE_OK &&
              engine->statement;
  if (!good)
    buffer_text(&why, engine->refused[0] ? engine->refused : sqlite3_errmsg(engine->db));
  else
    good = judge(engine, &why);
  if (!good) error_set(e, ERROR_OUTAGE, "lookup", "the SQL cannot be prepared again: %s", buffer_cstring(&why));
  buffer_free(&why);
  return good;
}

bool sql_engine_swap_lookup(struct sql_engine *engine, size_t lookup, const char *path, bool *broken, struct error *e) {
  struct attached_lookup *l = &engine->lookups[lookup];
  *broken = false;
  sql_engine_stop(engine);
  if (!l->attached) return true;
  if (!sql_lookup_attach_next(engine, l, path, e)) return false;
  // A table that a statement still names cannot be taken away.
  sqlite3_finalize(engine->statement);
  engine->statement = NULL;
  *broken = !sql_lookup_detach_old(engine, l, e) || !prepare_again(engine, e);
  return !*broken;
}

void sql_engine_start(struct sql_engine *engine, sql_next *next, void *context) {
  sql_engine_stop(engine);
  if (sqlite3_stmt_status(engine->statement, SQLITE_STMTSTATUS_REPREPARE, 0) != engine->reprepared) forget_judgement(engine);
  engine->next = next;
  engine->context = context;
  engine->has_record = false;
}

void sql_engine_stop(struct sql_engine *engine) {
  if (engine->stepping) sqlite3_reset(engine->statement);
  engine->stepping = false;
  engine->opened_count = 0;
}

static enum sql_step step_failed(struct sql_engine *engine, int code, struct sql_failure *failure) {
  sql_failure_set(engine, code, failure);
  sql_engine_stop(engine);
  // A constant that fails before the scan begins fails for every record: for the next one too, which has not been taken yet.
  if (!engine->has_record && sql_record_take(engine) == 0) return SQL_STEP_DONE;
  return SQL_STEP_FAILED;
}

// One by one: the next record is taken here. 1: there is one, 0: none, -1: it is broken.
static int begin_record(struct sql_engine *engine, struct sql_failure *failure) {
  int taken = sql_record_take(engine);
  if (taken < 0) *failure = (struct sql_failure){.reason = engine->failure, .code = "sql", .column = ""};
  return taken;
}

enum sql_step sql_engine_step(struct sql_engine *engine, struct sql_failure *failure) {
  for (;;) {
    if (!engine->stepping && !engine->batch) {
      int taken = begin_record(engine, failure);
      if (taken <= 0) return taken == 0 ? SQL_STEP_DONE : SQL_STEP_FAILED;
    }
    engine->stepping = true;
    int code = sqlite3_step(engine->statement);
    if (code == SQLITE_ROW) return SQL_STEP_ROW;
    if (code != SQLITE_DONE) return step_failed(engine, code, failure);
    sql_engine_stop(engine);
    if (engine->batch) return SQL_STEP_DONE;
  }
}

enum sql_row sql_engine_row(struct sql_engine *engine, struct msgpack_writer *w, struct sql_failure *failure) {
  enum sql_row result = sql_output_row(engine, w, failure);
  return result == SQL_ROW_GOOD && engine->output.check_statement && !engine->record.tombstone ? sql_checks_row(engine, failure) : result;
}

struct single {
  const struct sql_record *record; // NULL: given
};

static bool next_single(void *context, struct sql_record *record) {
  struct single *single = context;
  if (!single->record) return false;
  *record = *single->record;
  single->record = NULL;
  return true;
}

// Appends the row in hand, in more and more room until it fits.
static bool append_row(struct sql_engine *engine, struct buffer *out, struct sql_failure *failure) {
  for (size_t room = 512;; room *= 2) {
    buffer_reserve(out, room);
    struct msgpack_writer w = {.at = out->at + out->length, .end = out->at + out->room};
    switch (sql_engine_row(engine, &w, failure)) {
    case SQL_ROW_GOOD: out->length = (size_t)(w.at - out->at); return true;
    case SQL_ROW_NO_ROOM: break;
    case SQL_ROW_BAD: return false;
    }
    if (room > LIMIT_RECORD) {
      *failure = (struct sql_failure){.reason = "a row is too large", .code = "too-large", .column = ""};
      return false;
    }
  }
}

bool sql_engine_run(struct sql_engine *engine, const struct sql_record *record, struct buffer *out, size_t *rows, struct error *e) {
  struct single single = {.record = record};
  struct sql_failure failure;
  size_t length = out->length, count = 0;
  enum sql_step step;
  sql_engine_start(engine, next_single, &single);
  while ((step = sql_engine_step(engine, &failure)) == SQL_STEP_ROW && append_row(engine, out, &failure)) count++;
  sql_engine_stop(engine);
  if (step == SQL_STEP_DONE) {
    *rows += count;
    return true;
  }
  out->length = length;
  error_set(e, ERROR_DATA, failure.code, "%s", failure.reason);
  return false;
}
