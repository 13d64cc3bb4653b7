// Judging a program: see plan_check.h; the opcodes are those of program.h.
//
// A program streams when the stream's scan is its one outermost loop, nothing remembers rows, and every row comes out of that loop: then
// the scan stands at the very record that a row comes from. What lies in a Once block that does not read the stream is the same for every
// record and may do as it likes.
#include "workers/sql/plan_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/sql/lookups.h"
#include "workers/sql/program.h"

enum table_kind { TABLE_OTHER, TABLE_STREAM, TABLE_EACH };

struct judge {
  struct sql_engine *engine;
  struct program program;
  char *stream, *each; // p4 of VOpen for these tables
};

// Which table a cursor reads, by the VOpen that opens it.
static enum table_kind cursor_kind(const struct judge *j, int cursor) {
  for (int i = 0; i < j->program.count; i++) {
    const struct op *op = &j->program.ops[i];
    if (op->kind != OP_OPEN || op->p1 != cursor) continue;
    return strcmp(op->p4, j->stream) == 0 ? TABLE_STREAM : strcmp(op->p4, j->each) == 0 ? TABLE_EACH : TABLE_OTHER;
  }
  return TABLE_OTHER;
}

static bool is_stream_loop(const struct judge *j, const struct op *op) {
  return op->kind == OP_FILTER && cursor_kind(j, op->p1) == TABLE_STREAM;
}

// True when `at` lies in the body of some scan of the stream.
static bool in_stream_loop(const struct judge *j, int at) {
  for (int i = 0; i < at; i++)
    if (is_stream_loop(j, &j->program.ops[i]) && at < j->program.ops[i].p2) return true;
  return false;
}

static bool reads_stream(const struct judge *j, int from, int to) {
  for (int i = from; i < to && i < j->program.count; i++) {
    const struct op *op = &j->program.ops[i];
    if ((op->kind == OP_OPEN || op->kind == OP_FILTER || op->kind == OP_VALUE) && cursor_kind(j, op->p1) == TABLE_STREAM) return true;
  }
  return false;
}

// True when `at` lies in a Once block that does not read the stream.
static bool in_constant_block(const struct judge *j, int at) {
  for (int i = 0; i < at; i++) {
    const struct op *op = &j->program.ops[i];
    if (op->kind == OP_ONCE && at < op->p2 && !reads_stream(j, i, op->p2)) return true;
  }
  return false;
}

static void function_name(const struct op *op, char *out, size_t room) {
  snprintf(out, room, "%.*s", (int)strcspn(op->p4, "("), op->p4);
}

static bool refuse_nested(const struct judge *j, struct buffer *why) {
  for (int i = 0; i < j->program.count; i++) {
    if (!is_stream_loop(j, &j->program.ops[i]) || !in_stream_loop(j, i)) continue;
    buffer_print(why, "\"%s\" would be joined with itself, and one record is seen at a time: read it once", j->engine->stream_name);
    return true;
  }
  return false;
}

static bool refuse_aggregate(const struct judge *j, struct buffer *why) {
  for (int i = 0; i < j->program.count; i++) {
    const struct op *op = &j->program.ops[i];
    if (op->kind != OP_AGGREGATE_END || in_stream_loop(j, i) || in_constant_block(j, i)) continue;
    char name[64];
    function_name(op, name, sizeof name);
    buffer_print(why, "%s() would see one record at a time; aggregate inside a record with (SELECT %s(%s) FROM each(e.items) i)", name,
                 name, strcmp(name, "count") == 0 ? "*" : "i.x");
    return true;
  }
  return false;
}

// The counter of a LIMIT inside a record is set inside the stream's loop.
static bool refuse_limit(const struct judge *j, struct buffer *why) {
  for (int i = 0; i < j->program.count; i++) {
    if (j->program.ops[i].kind != OP_LIMIT || in_constant_block(j, i)) continue;
    int counter = j->program.ops[i].p1;
    for (int k = 0; k < j->program.count; k++) {
      const struct op *op = &j->program.ops[k];
      if (op->kind == OP_LIMIT || !op_writes(op, counter) || op_reads(op, counter) || in_stream_loop(j, k) || in_constant_block(j, k))
        continue;
      buffer_text(why, "LIMIT would see one record at a time: it has no meaning over the stream");
      return true;
    }
  }
  return false;
}

struct query_plan {
  int stream_parent; // id of the step that scans the stream, -1: none
  bool distinct, group, outer;
};

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

static sqlite3_stmt *query_plan_open(const struct judge *j) {
  sqlite3_stmt *row = NULL;
  char *explain = memory_print("EXPLAIN QUERY PLAN %s", j->engine->sql);
  // What was prepared without EXPLAIN a moment ago is prepared with it too; if not, there are no lines to look at.
  (void)sqlite3_prepare_v2(j->engine->db, explain, -1, &row, NULL);
  free(explain);
  return row;
}

static struct query_plan query_plan_read(const struct judge *j) {
  struct query_plan plan = {.stream_parent = -1};
  for (int pass = 0; pass < 2; pass++) {
    sqlite3_stmt *row = query_plan_open(j);
    while (row && sqlite3_step(row) == SQLITE_ROW) {
      const char *detail = (const char *)sqlite3_column_text(row, 3);
      int parent = sqlite3_column_int(row, 1);
      if (!detail) continue;
      if (pass == 0 && strstr(detail, "INDEX 0:weir stream")) {
        plan.stream_parent = parent;
        plan.outer |= ends_with(detail, " LEFT-JOIN");
      }
      plan.outer |= strncmp(detail, "RIGHT-JOIN ", 11) == 0;
      if (pass == 0 || parent != plan.stream_parent) continue;
      plan.distinct |= strcmp(detail, "USE TEMP B-TREE FOR DISTINCT") == 0;
      plan.group |= strcmp(detail, "USE TEMP B-TREE FOR GROUP BY") == 0;
    }
    sqlite3_finalize(row);
  }
  return plan;
}

static bool refuse_by_plan(const struct judge *j, struct buffer *why) {
  struct query_plan plan = query_plan_read(j);
  if (plan.distinct)
    buffer_text(why, "DISTINCT would see one record at a time: it has no meaning over the stream");
  else if (plan.group)
    buffer_text(why, "GROUP BY would see one record at a time; group inside a record with (SELECT ... FROM each(e.items) i GROUP BY ...)");
  else if (plan.outer)
    buffer_text(why, "an outer join that keeps rows of its other side would give them again with every record");
  return plan.distinct || plan.group || plan.outer;
}

static const char *memory_of_rows(enum op_kind kind) {
  switch (kind) {
  case OP_AGGREGATE:
  case OP_AGGREGATE_END: return "an aggregate inside a record";
  case OP_SORTER: return "ORDER BY";
  case OP_TEMPORARY: return "a temporary table";
  case OP_COROUTINE: return "a subquery in FROM that runs by itself";
  case OP_LIMIT: return "EXISTS, LIMIT or a subquery for one value";
  case OP_SUBROUTINE: return "a subroutine";
  case OP_UNKNOWN: return "this version of SQLite plans it in an unknown way";
  case OP_PLAIN:
  case OP_LOOP:
  case OP_FILTER:
  case OP_OPEN:
  case OP_VALUE:
  case OP_RESULT:
  case OP_ONCE:
  case OP_CALL:
  case OP_PARAMETER: return NULL;
  }
  return NULL;
}

// now() and uuid() in a Once block would be kept over the records of a run.
static bool keeps_call(const struct judge *j, int at) {
  const struct op *op = &j->program.ops[at];
  char name[64];
  if (op->kind != OP_CALL) return false;
  function_name(op, name, sizeof name);
  if (strcmp(name, "now") != 0 && strcmp(name, "uuid") != 0) return false;
  return !in_stream_loop(j, at) || in_constant_block(j, at);
}

// Why the program does not stream; NULL: it does.
static const char *one_by_one_reason(const struct judge *j) {
  const struct program *p = &j->program;
  int streams = 0;
  const struct op *outer = NULL;
  for (int i = 0; i < p->count; i++) {
    const struct op *op = &p->ops[i];
    if (keeps_call(j, i)) return "now() or uuid() in a subquery";
    if (in_constant_block(j, i)) continue;
    const char *memory = memory_of_rows(op->kind);
    if (memory) return memory;
    if (op->kind == OP_OPEN && strcmp(op->p4, j->stream) == 0 && ++streams > 1) return "the input is read more than once";
    if (!outer && (op->kind == OP_LOOP || op->kind == OP_FILTER)) {
      if (!is_stream_loop(j, op)) return "the input is not the outermost loop";
      outer = op;
    }
    if (op->kind == OP_RESULT && (!outer || !in_stream_loop(j, i))) return "rows come from outside of the input's loop";
  }
  return outer ? NULL : "the input is not the outermost loop";
}

// The op that alone writes a register, when it is the stream's or an each()'s column; NULL otherwise.
static const struct op *only_writer(const struct judge *j, int reg) {
  const struct op *writer = NULL;
  for (int i = 0; i < j->program.count; i++) {
    if (!op_writes(&j->program.ops[i], reg)) continue;
    if (writer) return NULL;
    writer = &j->program.ops[i];
  }
  return writer && writer->kind == OP_VALUE && cursor_kind(j, writer->p1) != TABLE_OTHER ? writer : NULL;
}

static bool read_only_by(const struct judge *j, int reg, const struct op *reader) {
  for (int i = 0; i < j->program.count; i++)
    if (&j->program.ops[i] != reader && op_reads(&j->program.ops[i], reg)) return false;
  return true;
}

static const struct op *only_result_row(const struct judge *j) {
  const struct op *result = NULL;
  for (int i = 0; i < j->program.count; i++) {
    if (j->program.ops[i].kind != OP_RESULT) continue;
    if (result || !in_stream_loop(j, i)) return NULL;
    result = &j->program.ops[i];
  }
  return result;
}

// Which each() a cursor is, counted as a run opens them: only those opened before the stream's loop are opened in the program's order.
static bool each_order(const struct judge *j, int cursor, const struct op *result, unsigned *order) {
  bool enclosed = false;
  *order = 0;
  for (const struct op *op = j->program.ops; op < result; op++)
    if (op->kind == OP_FILTER && op->p1 == cursor && result - j->program.ops < op->p2) enclosed = true;
  for (const struct op *op = j->program.ops; op < result && enclosed; op++) {
    if (is_stream_loop(j, op)) return false;
    if (op->kind != OP_OPEN || strcmp(op->p4, j->each) != 0) continue;
    if (op->p1 == cursor) return *order < SQL_OPENED_MOST;
    ++*order;
  }
  return false;
}

// The columns of our tables begin with the star column; each() has three more of its own.
enum { STREAM_FIRST = 1, EACH_FIRST = 4 };

static bool field_of(const struct judge *j, const struct op *value, enum table_kind *kind, size_t *column) {
  *kind = cursor_kind(j, value->p1);
  int first = *kind == TABLE_STREAM ? STREAM_FIRST : EACH_FIRST;
  *column = (size_t)(value->p2 - first);
  return *kind != TABLE_OTHER && value->p2 >= first;
}

static void judge_copies(struct judge *j) {
  const struct op *result = j->program.known ? only_result_row(j) : NULL;
  struct output *output = &j->engine->output;
  for (size_t i = 0; result && i < output->count; i++) {
    struct output_column *out = &output->columns[i];
    int reg = result->p1 + out->statement_column;
    const struct op *value = only_writer(j, reg);
    enum table_kind kind;
    struct copy_source copy = {0};
    if (!value || !read_only_by(j, reg, result) || !field_of(j, value, &kind, &copy.column)) continue;
    if (kind == TABLE_EACH && !each_order(j, value->p1, result, &copy.each)) continue;
    copy.from = kind == TABLE_STREAM ? COPY_INPUT : COPY_EACH;
    out->copy = copy;
  }
}

static bool is_copied(const struct judge *j, const struct op *value) {
  const struct op *result = only_result_row(j);
  if (!result) return false;
  for (size_t i = 0; i < j->engine->output.count; i++) {
    const struct output_column *out = &j->engine->output.columns[i];
    if (out->copy.from != COPY_NOT && result->p1 + out->statement_column == value->p3) return true;
  }
  return false;
}

// True when the register that `value` writes is looked at by an each() only, as its argument.
static bool feeds_each(const struct judge *j, const struct op *value) {
  if (only_writer(j, value->p3) != value) return false;
  for (int i = 0; i < j->program.count; i++) {
    const struct op *op = &j->program.ops[i];
    if (op->kind == OP_FILTER && op->p3 + 2 == value->p3 && cursor_kind(j, op->p1) == TABLE_EACH) return read_only_by(j, value->p3, op);
  }
  return false;
}

static void use_add(struct sql_table_columns *columns, size_t column, enum column_use use) {
  // What is needed most wins: a value over a pointer over nothing.
  if (column < columns->names.count && use < columns->use[column]) columns->use[column] = use;
}

static void judge_uses(struct judge *j) {
  struct sql_engine *engine = j->engine;
  for (size_t i = 0; i < engine->input_columns.names.count; i++) engine->input_columns.use[i] = j->program.known ? USE_NOTHING : USE_VALUE;
  for (size_t i = 0; i < engine->each_columns.names.count; i++) engine->each_columns.use[i] = j->program.known ? USE_NOTHING : USE_VALUE;
  for (int i = 0; i < j->program.count; i++) {
    const struct op *op = &j->program.ops[i];
    enum table_kind kind;
    size_t column;
    if (op->kind != OP_VALUE || !field_of(j, op, &kind, &column)) continue;
    enum column_use use = is_copied(j, op) ? USE_NOTHING : feeds_each(j, op) ? USE_POINTER : USE_VALUE;
    use_add(kind == TABLE_STREAM ? &engine->input_columns : &engine->each_columns, column, use);
  }
}

// Tables that no VOpen opens are lookups, or lie in memory for one run. A loop over one that begins at its first row reads it as a whole.
static bool scans_lookup(const struct judge *j) {
  for (int i = 0; i < j->program.count; i++) {
    const struct op *loop = &j->program.ops[i];
    if (!op_is(loop, "Rewind") || in_constant_block(j, i)) continue;
    for (int k = 0; k < i; k++)
      if (op_is(&j->program.ops[k], "OpenRead") && j->program.ops[k].p1 == loop->p1) return true;
  }
  return false;
}

static bool judge_form(struct judge *j, struct buffer *why) {
  struct sql_engine *engine = j->engine;
  if (refuse_nested(j, why) || refuse_aggregate(j, why) || refuse_limit(j, why) || refuse_by_plan(j, why)) return false;
  engine->scans_lookup = scans_lookup(j);
  sql_lookups_plan(engine);
  const char *reason = engine->reads_clock ? "a date function may read the clock" : one_by_one_reason(j);
  free(engine->form);
  engine->form = reason ? memory_print("one by one: %s", reason) : memory_text("batch");
  engine->batch = !reason;
  return true;
}

bool sql_plan_judge(struct sql_engine *engine, struct buffer *why) {
  struct judge j = {.engine = engine};
  if (!program_read(engine->db, engine->sql, &j.program)) {
    buffer_print(why, "the plan cannot be read: %s", sqlite3_errmsg(engine->db));
    program_free(&j.program);
    return false;
  }
  j.stream = sqlite3_mprintf("vtab:%p", engine->stream);
  j.each = sqlite3_mprintf("vtab:%p", engine->each);
  bool good = j.stream && j.each && judge_form(&j, why);
  if (good) {
    judge_copies(&j);
    judge_uses(&j);
  }
  sqlite3_free(j.stream);
  sqlite3_free(j.each);
  program_free(&j.program);
  return good;
}
