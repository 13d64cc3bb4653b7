// Checks run as one small statement of their own, over parameters that are the values just written: so they see what the target will see,
// and a check can neither read a stream nor change a row.
//
//     WITH "row"("id", "lon") AS (SELECT ?1, ?2) SELECT (check one), (check two) FROM "row"
#include "workers/sql/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/sql/discover.h"
#include "workers/sql/program.h"
#include "workers/sql/rows.h"
#include "workers/sql/values.h"

// The statement up to its conditions.
static void print_head(const struct output *output, struct buffer *sql) {
  buffer_text(sql, "WITH \"row\"(");
  for (size_t i = 0; i < output->count; i++) {
    char *name = sqlite3_mprintf("%s\"%w\"", i ? "," : "", output->columns[i].name);
    buffer_text(sql, name ? name : "");
    sqlite3_free(name);
  }
  buffer_text(sql, ") AS (SELECT ");
  for (size_t i = 0; i < output->count; i++) buffer_print(sql, "%s?%zu", i ? "," : "", i + 1);
  buffer_text(sql, ") SELECT (");
}

static void print_tail(struct buffer *sql) {
  buffer_text(sql, "\n) FROM \"row\"");
}

static void report(struct sql_engine *engine, const char *setting, long head, struct sql_problems *problems) {
  const char *message = sqlite3_errmsg(engine->db), *name = strstr(message, "no such column: ");
  long offset = sqlite3_error_offset(engine->db);
  offset = offset >= head ? offset - head : -1;
  if (engine->refused[0]) {
    sql_problem_add(problems, false, setting, offset, NULL, "%s", engine->refused);
  } else if (name) {
    const char *const *names = sql_output_names(&engine->output);
    name += strlen("no such column: ");
    sql_problem_add(problems, false, setting, offset, sql_nearest(name, names, engine->output.count), "the SQL gives no column \"%s\"",
                    name);
    free((void *)(uintptr_t)names);
  } else {
    sql_problem_add(problems, false, setting, offset, NULL, "%s", message);
  }
}

// One condition by itself, so that its mistakes are its own.
static bool check_alone(struct sql_engine *engine, const char *name, const char *condition, struct sql_problems *problems) {
  struct buffer sql = {0};
  sqlite3_stmt *statement = NULL;
  char *setting = memory_print("checks.%s", name);
  const char *tail;
  print_head(&engine->output, &sql);
  long head = (long)sql.length;
  buffer_text(&sql, condition);
  print_tail(&sql);
  engine->refused[0] = '\0';
  bool good = sqlite3_prepare_v2(engine->db, buffer_cstring(&sql), -1, &statement, &tail) == SQLITE_OK;
  if (!good) {
    report(engine, setting, head, problems);
  } else if (!statement || *tail != '\0' || sqlite3_column_count(statement) != 1 || !sqlite3_stmt_readonly(statement)) {
    sql_problem_add(problems, false, setting, -1, NULL, "a check is one condition, as in lon BETWEEN -180 AND 180");
    good = false;
  }
  sqlite3_finalize(statement);
  buffer_free(&sql);
  free(setting);
  return good;
}

static bool read_check(struct sql_engine *engine, char *name, struct job_value value, struct buffer *sql, struct sql_problems *problems) {
  struct output *output = &engine->output;
  char *condition = job_value_text(value);
  bool good = check_alone(engine, name, condition ? condition : "", problems);
  buffer_print(sql, "%s%s", output->check_count ? "\n),(" : "", condition ? condition : "");
  output->checks = memory_resize(output->checks, (output->check_count + 1) * sizeof *output->checks);
  output->checks[output->check_count++] = name;
  free(condition);
  return good;
}

// Only the columns that a condition reads are bound.
static bool find_reads(struct sql_engine *engine, const char *sql) {
  struct output *output = &engine->output;
  struct program program;
  bool read = program_read(engine->db, sql, &program);
  output->check_reads = memory_get(output->count * sizeof *output->check_reads);
  for (int i = 0; i < program.count; i++) {
    const struct op *op = &program.ops[i];
    if (op->kind == OP_PARAMETER && op->p1 >= 1 && (size_t)op->p1 <= output->count) output->check_reads[op->p1 - 1] = true;
  }
  for (size_t i = 0; i < output->count; i++) output->check_reads[i] |= !program.known;
  program_free(&program);
  return read;
}

bool sql_checks_open(struct sql_engine *engine, const struct sql_spec *spec, struct sql_problems *problems) {
  if (!job_has(spec->checks)) return true;
  struct output *output = &engine->output;
  struct buffer sql = {0};
  struct job_walk walk = job_walk_start(spec->checks);
  struct job_value value;
  char *name;
  bool good = true, reads_clock = engine->reads_clock;
  engine->checking = true;
  print_head(output, &sql);
  while (job_walk_next(&walk, &name, &value)) good &= read_check(engine, name ? name : memory_text(""), value, &sql, problems);
  print_tail(&sql);
  // A check runs once a row, so a clock in it is no reason against the batch form.
  engine->reads_clock = reads_clock;
  if (good && output->check_count > 0) {
    const char *text = buffer_cstring(&sql);
    good = sqlite3_prepare_v3(engine->db, text, -1, SQLITE_PREPARE_PERSISTENT, &output->check_statement, NULL) == SQLITE_OK &&
           find_reads(engine, text);
    if (!good) sql_problem_add(problems, false, "checks", -1, NULL, "the checks do not go together: %s", sqlite3_errmsg(engine->db));
  }
  engine->checking = false;
  buffer_free(&sql);
  return good;
}

static enum sql_row check_bad(struct output *output, size_t check, const char *why, const char *code, struct sql_failure *failure) {
  snprintf(output->reason, sizeof output->reason, "%s%s%s", output->checks[check], why[0] ? ": " : "", why);
  *failure = (struct sql_failure){.reason = output->reason, .code = code, .column = ""};
  return SQL_ROW_BAD;
}

static enum sql_row checks_step(struct sql_engine *engine, struct sql_failure *failure) {
  struct output *output = &engine->output;
  sqlite3_stmt *s = output->check_statement;
  int code = sqlite3_step(s);
  if (code != SQLITE_ROW) {
    struct sql_failure inner;
    sql_failure_set(engine, code, &inner);
    // One statement holds all the checks: the first name stands for them when there are several.
    return check_bad(output, 0, inner.reason, strcmp(inner.code, "sql") == 0 ? "check" : inner.code, failure);
  }
  for (size_t i = 0; i < output->check_count; i++)
    if (sqlite3_column_type(s, (int)i) != SQLITE_NULL && sqlite3_column_double(s, (int)i) == 0)
      return check_bad(output, i, "", "check", failure);
  return SQL_ROW_GOOD;
}

enum sql_row sql_checks_row(struct sql_engine *engine, struct sql_failure *failure) {
  struct output *output = &engine->output;
  for (size_t i = 0; i < output->count; i++)
    if (output->check_reads[i]) sql_value_bind(output->check_statement, (int)i + 1, output->written[i].at, output->written[i].end);
  enum sql_row result = checks_step(engine, failure);
  sqlite3_reset(output->check_statement);
  return result;
}
