// Reading a program, and what each opcode does to registers: see program.h.
//
// The table says less than SQLite knows where that is safe: an operand that may be a register counts as read.
#include "workers/sql/program.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

// What an operand is to a register; R and W may be combined.
enum { N = 0, R = 1, W = 2, RW = R | W };

enum op_range {
  ALONE,
  P1_COUNT_P2,    // reads p1 .. p1 + p2 - 1
  RW_P1_COUNT_P2, // changes them
  P2_ARGUMENTS,   // reads the arguments of a function from p2 on
  P2_COUNT_P5,    // reads p2 .. p2 + p5 - 1
  P3_COUNT_P4,    // reads p3 .. p3 + p4 - 1, at least p3
  P3_FILTER,      // reads p3, p3 + 1 and the arguments behind
  COPY_COUNT_P3,  // p1 .. p1 + p3 to p2 .. p2 + p3
  P1_P2_COUNT_P3, // reads p3 registers from p1 and from p2
  NULLS,          // writes p2 .. p3, at least p2
};

struct op_rule {
  const char *name;
  enum op_kind kind;
  unsigned char p1, p2, p3;
  enum op_range range;
};

static const struct op_rule rules[] = {
    {"Add", OP_PLAIN, R, R, W, ALONE},
    {"AddImm", OP_PLAIN, RW, N, N, ALONE},
    {"Affinity", OP_PLAIN, N, N, N, RW_P1_COUNT_P2},
    {"AggFinal", OP_AGGREGATE_END, RW, N, N, ALONE},
    {"AggInverse", OP_AGGREGATE, N, N, RW, P2_COUNT_P5},
    {"AggStep", OP_AGGREGATE, N, N, RW, P2_COUNT_P5},
    {"AggStep1", OP_AGGREGATE, N, N, RW, P2_COUNT_P5},
    {"AggValue", OP_AGGREGATE_END, R, N, W, ALONE},
    {"And", OP_PLAIN, R, R, W, ALONE},
    {"BeginSubrtn", OP_PLAIN, N, W, N, ALONE},
    {"BitAnd", OP_PLAIN, R, R, W, ALONE},
    {"BitNot", OP_PLAIN, R, W, N, ALONE},
    {"BitOr", OP_PLAIN, R, R, W, ALONE},
    {"Blob", OP_PLAIN, N, W, N, ALONE},
    {"Cast", OP_PLAIN, RW, N, N, ALONE},
    {"Close", OP_PLAIN, N, N, N, ALONE},
    {"CollSeq", OP_PLAIN, W, N, N, ALONE},
    {"Column", OP_PLAIN, N, N, W, ALONE},
    {"Compare", OP_PLAIN, N, N, N, P1_P2_COUNT_P3},
    {"Concat", OP_PLAIN, R, R, W, ALONE},
    {"Copy", OP_PLAIN, N, N, N, COPY_COUNT_P3},
    {"DecrJumpZero", OP_LIMIT, RW, N, N, ALONE},
    {"DeferredSeek", OP_PLAIN, N, N, N, ALONE},
    {"Delete", OP_PLAIN, N, N, N, ALONE},
    {"Divide", OP_PLAIN, R, R, W, ALONE},
    {"ElseEq", OP_PLAIN, N, N, N, ALONE},
    {"EndCoroutine", OP_COROUTINE, R, N, N, ALONE},
    {"Eq", OP_PLAIN, R, N, R, ALONE},
    {"Explain", OP_PLAIN, N, N, N, ALONE},
    {"Filter", OP_PLAIN, N, N, N, P3_COUNT_P4},
    {"FilterAdd", OP_PLAIN, W, N, N, P3_COUNT_P4},
    {"FinishSeek", OP_PLAIN, N, N, N, ALONE},
    {"Found", OP_PLAIN, N, N, N, P3_COUNT_P4},
    {"Function", OP_CALL, N, N, W, P2_ARGUMENTS},
    {"Ge", OP_PLAIN, R, N, R, ALONE},
    {"Gosub", OP_SUBROUTINE, W, N, N, ALONE},
    {"Goto", OP_PLAIN, N, N, N, ALONE},
    {"Gt", OP_PLAIN, R, N, R, ALONE},
    {"Halt", OP_PLAIN, N, N, N, ALONE},
    {"HaltIfNull", OP_PLAIN, N, N, R, ALONE},
    {"IdxGE", OP_PLAIN, N, N, N, P3_COUNT_P4},
    {"IdxGT", OP_PLAIN, N, N, N, P3_COUNT_P4},
    {"IdxInsert", OP_PLAIN, N, R, N, P3_COUNT_P4},
    {"IdxLE", OP_PLAIN, N, N, N, P3_COUNT_P4},
    {"IdxLT", OP_PLAIN, N, N, N, P3_COUNT_P4},
    {"IdxRowid", OP_PLAIN, N, W, N, ALONE},
    {"If", OP_PLAIN, R, N, N, ALONE},
    {"IfNoHope", OP_PLAIN, N, N, N, P3_COUNT_P4},
    {"IfNot", OP_PLAIN, R, N, N, ALONE},
    {"IfNotZero", OP_LIMIT, RW, N, N, ALONE},
    {"IfNullRow", OP_PLAIN, N, N, W, ALONE},
    {"IfPos", OP_PLAIN, RW, N, N, ALONE},
    {"Init", OP_PLAIN, N, N, N, ALONE},
    {"InitCoroutine", OP_COROUTINE, W, N, N, ALONE},
    {"Insert", OP_PLAIN, N, R, R, ALONE},
    {"Int64", OP_PLAIN, N, W, N, ALONE},
    {"IntCopy", OP_PLAIN, R, W, N, ALONE},
    {"Integer", OP_PLAIN, N, W, N, ALONE},
    {"IsNull", OP_PLAIN, R, N, N, ALONE},
    {"IsTrue", OP_PLAIN, R, W, N, ALONE},
    {"Jump", OP_PLAIN, N, N, N, ALONE},
    {"Last", OP_LOOP, N, N, N, ALONE},
    {"Le", OP_PLAIN, R, N, R, ALONE},
    {"Lt", OP_PLAIN, R, N, R, ALONE},
    {"MakeRecord", OP_PLAIN, N, N, W, P1_COUNT_P2},
    {"Move", OP_PLAIN, N, N, N, COPY_COUNT_P3},
    {"Multiply", OP_PLAIN, R, R, W, ALONE},
    {"MustBeInt", OP_PLAIN, RW, N, N, ALONE},
    {"Ne", OP_PLAIN, R, N, R, ALONE},
    {"NewRowid", OP_PLAIN, N, W, RW, ALONE},
    {"Next", OP_PLAIN, N, N, N, ALONE},
    {"NoConflict", OP_PLAIN, N, N, N, P3_COUNT_P4},
    {"Noop", OP_PLAIN, N, N, N, ALONE},
    {"Not", OP_PLAIN, R, W, N, ALONE},
    {"NotExists", OP_LOOP, N, N, R, ALONE},
    {"NotFound", OP_PLAIN, N, N, N, P3_COUNT_P4},
    {"NotNull", OP_PLAIN, R, N, N, ALONE},
    {"Null", OP_PLAIN, N, N, N, NULLS},
    {"NullRow", OP_PLAIN, N, N, N, ALONE},
    {"OffsetLimit", OP_LIMIT, R, W, R, ALONE},
    {"Once", OP_ONCE, N, N, N, ALONE},
    {"OpenAutoindex", OP_TEMPORARY, N, N, N, ALONE},
    {"OpenDup", OP_TEMPORARY, N, N, N, ALONE},
    {"OpenEphemeral", OP_TEMPORARY, N, N, N, ALONE},
    {"OpenPseudo", OP_TEMPORARY, N, R, N, ALONE},
    {"OpenRead", OP_PLAIN, N, N, N, ALONE},
    {"Or", OP_PLAIN, R, R, W, ALONE},
    {"Permutation", OP_PLAIN, N, N, N, ALONE},
    {"Prev", OP_PLAIN, N, N, N, ALONE},
    {"PureFunc", OP_CALL, N, N, W, P2_ARGUMENTS},
    {"Real", OP_PLAIN, N, W, N, ALONE},
    {"RealAffinity", OP_PLAIN, RW, N, N, ALONE},
    {"ReleaseReg", OP_PLAIN, N, N, N, ALONE},
    {"Remainder", OP_PLAIN, R, R, W, ALONE},
    {"ReopenIdx", OP_PLAIN, N, N, N, ALONE},
    {"ResetSorter", OP_SORTER, N, N, N, ALONE},
    {"ResultRow", OP_RESULT, N, N, N, P1_COUNT_P2},
    {"Return", OP_PLAIN, R, N, N, ALONE},
    {"Rewind", OP_LOOP, N, N, N, ALONE},
    {"RowData", OP_PLAIN, N, W, N, ALONE},
    {"Rowid", OP_PLAIN, N, W, N, ALONE},
    {"SCopy", OP_PLAIN, R, W, N, ALONE},
    {"SeekGE", OP_LOOP, N, N, N, P3_COUNT_P4},
    {"SeekGT", OP_LOOP, N, N, N, P3_COUNT_P4},
    {"SeekHit", OP_PLAIN, N, N, N, ALONE},
    {"SeekLE", OP_LOOP, N, N, N, P3_COUNT_P4},
    {"SeekLT", OP_LOOP, N, N, N, P3_COUNT_P4},
    {"SeekRowid", OP_LOOP, N, N, R, ALONE},
    {"SeekScan", OP_PLAIN, N, N, N, ALONE},
    {"Sequence", OP_PLAIN, N, W, N, ALONE},
    {"ShiftLeft", OP_PLAIN, R, R, W, ALONE},
    {"ShiftRight", OP_PLAIN, R, R, W, ALONE},
    {"SoftNull", OP_PLAIN, W, N, N, ALONE},
    {"Sort", OP_LOOP, N, N, N, ALONE},
    {"SorterData", OP_SORTER, N, W, N, ALONE},
    {"SorterInsert", OP_SORTER, N, R, N, P3_COUNT_P4},
    {"SorterNext", OP_SORTER, N, N, N, ALONE},
    {"SorterOpen", OP_SORTER, N, N, N, ALONE},
    {"SorterSort", OP_LOOP, N, N, N, ALONE},
    {"String", OP_PLAIN, N, W, N, ALONE},
    {"String8", OP_PLAIN, N, W, N, ALONE},
    {"Subtract", OP_PLAIN, R, R, W, ALONE},
    {"Transaction", OP_PLAIN, N, N, N, ALONE},
    {"VColumn", OP_VALUE, N, N, W, ALONE},
    {"VFilter", OP_FILTER, N, N, N, P3_FILTER},
    {"VInitIn", OP_PLAIN, N, W, R, ALONE},
    {"VNext", OP_PLAIN, N, N, N, ALONE},
    {"VOpen", OP_OPEN, N, N, N, ALONE},
    {"Variable", OP_PARAMETER, N, W, N, ALONE},
    {"Yield", OP_COROUTINE, RW, N, N, ALONE},
    {"ZeroOrNull", OP_PLAIN, R, W, R, ALONE},
};

static int rule_compare(const void *name, const void *rule) {
  return strcmp(name, ((const struct op_rule *)rule)->name);
}

enum { ARGUMENTS_MOST = 127 }; // of a virtual table, as of any function

// The number behind "name(" in p4: how many arguments a function takes; any number when it says -1.
static int arguments_of(const struct op *op) {
  const char *open = op->p4 ? strrchr(op->p4, '(') : NULL;
  int count = open ? atoi(open + 1) : -1;
  return count < 0 ? INT_MAX / 2 : count;
}

static bool within(int reg, int first, int count) {
  return reg >= first && reg - first < count;
}

static bool range_reads(const struct op *op, int reg) {
  switch (op->rule->range) {
  case ALONE:
  case NULLS: return false;
  case P1_COUNT_P2:
  case RW_P1_COUNT_P2: return within(reg, op->p1, op->p2);
  case P2_ARGUMENTS: return within(reg, op->p2, arguments_of(op));
  case P2_COUNT_P5: return within(reg, op->p2, op->p5);
  case P3_COUNT_P4: return within(reg, op->p3, op->p4_number > 0 ? op->p4_number : 1);
  case P3_FILTER: return within(reg, op->p3, 2 + op->arguments);
  case COPY_COUNT_P3: return within(reg, op->p1, op->p3 + 1);
  case P1_P2_COUNT_P3: return within(reg, op->p1, op->p3) || within(reg, op->p2, op->p3);
  }
  return true;
}

bool op_reads(const struct op *op, int reg) {
  if (!op->rule) return true;
  const struct op_rule *rule = op->rule;
  if ((rule->p1 & R && op->p1 == reg) || (rule->p2 & R && op->p2 == reg) || (rule->p3 & R && op->p3 == reg)) return true;
  return range_reads(op, reg);
}

bool op_writes(const struct op *op, int reg) {
  if (!op->rule) return true;
  const struct op_rule *rule = op->rule;
  if ((rule->p1 & W && op->p1 == reg) || (rule->p2 & W && op->p2 == reg) || (rule->p3 & W && op->p3 == reg)) return true;
  if (rule->range == RW_P1_COUNT_P2) return within(reg, op->p1, op->p2);
  if (rule->range == COPY_COUNT_P3) return within(reg, op->p2, op->p3 + 1);
  if (rule->range == NULLS) return reg == op->p2 || (op->p3 > op->p2 && within(reg, op->p2, op->p3 - op->p2 + 1));
  return false;
}

bool op_is(const struct op *op, const char *name) {
  return op->rule && strcmp(op->rule->name, name) == 0;
}

static void op_read(sqlite3_stmt *row, struct op *op) {
  const char *name = (const char *)sqlite3_column_text(row, 1);
  const char *p4 = (const char *)sqlite3_column_text(row, 5);
  op->rule = bsearch(name ? name : "", rules, sizeof rules / sizeof *rules, sizeof *rules, rule_compare);
  op->kind = op->rule ? op->rule->kind : OP_UNKNOWN;
  op->p1 = sqlite3_column_int(row, 2);
  op->p2 = sqlite3_column_int(row, 3);
  op->p3 = sqlite3_column_int(row, 4);
  op->p4 = memory_text(p4 ? p4 : "");
  op->p4_number = atoi(op->p4);
  op->p5 = sqlite3_column_int(row, 6);
}

// How many arguments a VFilter takes stands in a register that an Integer in front of it sets.
static void count_arguments(struct program *program) {
  for (int i = 0; i < program->count; i++) {
    struct op *filter = &program->ops[i];
    if (filter->kind != OP_FILTER) continue;
    filter->arguments = ARGUMENTS_MOST;
    for (int k = i - 1; k >= 0; k--) {
      const struct op *op = &program->ops[k];
      if (!op_writes(op, filter->p3 + 1)) continue;
      if (op_is(op, "Integer")) filter->arguments = op->p1;
      break;
    }
  }
}

bool program_read(sqlite3 *db, const char *sql, struct program *program) {
  sqlite3_stmt *row = NULL;
  char *explain = memory_print("EXPLAIN %s", sql);
  *program = (struct program){.known = true};
  int code = sqlite3_prepare_v2(db, explain, -1, &row, NULL);
  free(explain);
  if (code != SQLITE_OK) return false;
  while ((code = sqlite3_step(row)) == SQLITE_ROW) {
    program->ops = memory_resize(program->ops, (size_t)(program->count + 1) * sizeof *program->ops);
    struct op *op = &program->ops[program->count++];
    op_read(row, op);
    if (!op->rule) program->known = false;
  }
  sqlite3_finalize(row);
  count_arguments(program);
  return code == SQLITE_DONE;
}

void program_free(struct program *program) {
  for (int i = 0; i < program->count; i++) free(program->ops[i].p4);
  free(program->ops);
  *program = (struct program){0};
}
