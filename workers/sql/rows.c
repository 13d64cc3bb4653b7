// The output side: opening the columns, and writing rows. The checks are in checks.c.
#include "workers/sql/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/utf8.h"
#include "workers/sql/discover.h"
#include "workers/sql/input_table.h"
#include "workers/sql/values.h"

enum { COPY_WORDS = 16, COPY_TEXT = 32, STRIDE_LEAST = 3 };

static char *setting_name(const char *map, const char *key) {
  return memory_print("%s.%s", map, key);
}

static bool check_name(struct sql_engine *engine, size_t column, struct sql_problems *problems) {
  const char *name = engine->output.columns[column].name;
  size_t length = strlen(name);
  if (length == 0 || length > LIMIT_NAME) {
    sql_problem_add(problems, false, "sql", -1, NULL, "column %zu needs a name of 1 to %d bytes: write AS name", column + 1, LIMIT_NAME);
    return false;
  }
  for (size_t i = 0; i < column; i++) {
    if (strcasecmp(engine->output.columns[i].name, name) != 0) continue;
    sql_problem_add(problems, false, "sql", -1, NULL, "two columns are named \"%s\": give one another name with AS", name);
    return false;
  }
  if (strchr(name, '('))
    sql_problem_add(problems, true, "sql", -1, NULL, "the column \"%s\" has no name of its own: give it one with AS", name);
  return true;
}

static bool names_open(struct sql_engine *engine, struct sql_problems *problems) {
  struct output *output = &engine->output;
  bool good = true;
  output->count = (size_t)sqlite3_column_count(engine->statement);
  output->columns = memory_get(output->count * sizeof *output->columns);
  output->written = memory_get(output->count * sizeof *output->written);
  for (size_t i = 0; i < output->count; i++) {
    const char *name = sqlite3_column_name(engine->statement, (int)i);
    output->columns[i].name = memory_text(name ? name : "");
    output->columns[i].statement_column = (int)i;
    good &= check_name(engine, i, problems);
  }
  return good;
}

static struct output_column *column_find(struct output *output, const char *name) {
  for (size_t i = 0; i < output->count; i++)
    if (strcasecmp(output->columns[i].name, name) == 0) return &output->columns[i];
  return NULL;
}

const char *const *sql_output_names(const struct output *output) {
  const char **names = memory_get(output->count * sizeof *names);
  for (size_t i = 0; i < output->count; i++) names[i] = output->columns[i].name;
  return names;
}

static bool rule_open(struct sql_engine *engine, const char *name, struct job_value value, struct sql_problems *problems,
                      struct output_column **column) {
  static const char *const types[] = {"text", "int", "bigint", "double", "boolean", "timestamp", "date", "json", "bytes"};
  char *text = job_value_text(value), *setting = setting_name("columns", name);
  bool good = true;
  *column = column_find(&engine->output, name);
  if (!*column) {
    const char *const *names = sql_output_names(&engine->output);
    sql_problem_add(problems, false, setting, -1, sql_nearest(name, names, engine->output.count), "the SQL gives no column \"%s\"", name);
    free((void *)(uintptr_t)names);
    good = false;
  }
  struct column_rule rule;
  if (!column_rule_parse(text ? text : "", &rule)) {
    sql_problem_add(
        problems, false, setting, 0, sql_nearest(text ? text : "", types, sizeof types / sizeof *types),
        "\"%s\" is no type: write text, int, bigint, double, boolean, timestamp, date, json or bytes, and \"not null\" behind it",
        text ? text : "");
    good = false;
  }
  if (good) (*column)->rule = rule;
  free(text);
  free(setting);
  return good;
}

// `columns:` gives types; where it names every column, it gives their order too.
static bool rules_open(struct sql_engine *engine, struct job_value columns, struct sql_problems *problems) {
  struct output *output = &engine->output;
  struct output_column *ordered = memory_get(output->count * sizeof *ordered), *column;
  struct job_walk walk = job_walk_start(columns);
  struct job_value value;
  char *name;
  size_t named = 0;
  bool good = true;
  while (job_walk_next(&walk, &name, &value)) {
    good &= rule_open(engine, name ? name : "", value, problems, &column);
    // The settings hold each name once, but two that differ in case only would mean the same column.
    if (column && named < output->count) ordered[named] = *column;
    named += column != NULL;
    free(name);
  }
  if (good && named == output->count) memcpy(output->columns, ordered, output->count * sizeof *ordered);
  free(ordered);
  return good;
}

static void encode_names(struct output *output) {
  struct msgpack_writer head = {.at = output->head, .end = output->head + sizeof output->head};
  msgpack_write_map(&head, (uint32_t)output->count);
  output->head_size = (uint32_t)(head.at - output->head);
  for (size_t i = 0; i < output->count; i++) {
    struct output_column *c = &output->columns[i];
    struct msgpack_writer key = {.at = c->key, .end = c->key + sizeof c->key};
    msgpack_write_cstring(&key, c->name);
    c->key_size = (uint32_t)(key.at - c->key);
    c->plain = c->rule.type == COLUMN_ANY && !c->rule.not_null;
  }
}

bool sql_output_open(struct sql_engine *engine, const struct sql_spec *spec, struct sql_problems *problems) {
  bool good = names_open(engine, problems);
  if (job_has(spec->columns)) good &= rules_open(engine, spec->columns, problems);
  encode_names(&engine->output);
  return good;
}

void sql_output_free(struct sql_engine *engine) {
  struct output *output = &engine->output;
  sqlite3_finalize(output->check_statement);
  for (size_t i = 0; i < output->count; i++) free(output->columns[i].name);
  for (size_t i = 0; i < output->check_count; i++) free(output->checks[i]);
  free(output->columns);
  free(output->written);
  free(output->checks);
  free(output->check_reads);
  cell_tools_free(&output->tools);
  *output = (struct output){0};
}

void sql_failure_set(struct sql_engine *engine, int code, struct sql_failure *failure) {
  char *reason = engine->failure;
  size_t room = sizeof engine->failure;
  *failure = (struct sql_failure){.reason = reason, .code = "limit", .column = ""};
  if (engine->timed_out) {
    snprintf(reason, room, "the record took longer than %llu ms (setting timeout)", (unsigned long long)engine->timeout_ms);
  } else if (code == SQLITE_NOMEM) {
    snprintf(reason, room, "the record needed more than %llu bytes of memory (setting memory)", (unsigned long long)engine->memory_bytes);
  } else if (code == SQLITE_TOOBIG) {
    snprintf(reason, room, "a value is larger than %d bytes", LIMIT_RECORD);
  } else {
    snprintf(reason, room, "%s", sqlite3_errmsg(engine->db));
    failure->code = "sql";
  }
  engine->timed_out = false;
}

static enum sql_row row_bad(struct output *output, const struct output_column *column, struct sql_failure *failure) {
  snprintf(output->reason, sizeof output->reason, "column %s: %s", column->name, output->why);
  *failure = (struct sql_failure){.reason = output->reason, .code = "cast", .column = column->name};
  return SQL_ROW_BAD;
}

static inline const struct field_span *copied_span(struct sql_engine *engine, const struct copy_source *copy) {
  if (copy->from == COPY_INPUT) return field_index_get(&engine->input, copy->column);
  return sql_each_copy(engine, copy->each, copy->column);
}

// One value of the row. False: the cast failed.
static bool value_write(struct sql_engine *engine, const struct output_column *column, sqlite3_value *value, struct msgpack_writer *w) {
  struct output *output = &engine->output;
  struct cell cell = {.value = {.type = MSGPACK_NIL}};
  if (column->copy.from != COPY_NOT) {
    const struct field_span *span = copied_span(engine, &column->copy);
    // The index has stepped over every value, so its head can be read.
    if (span) (void)cell_of(span->at, span->end, &cell);
  } else {
    sql_value_take(&output->tools, value, &cell);
    // SQL can make a text out of any bytes; a target would refuse it.
    if (cell.value.type == MSGPACK_TEXT && utf8_check(cell.value.bytes, cell.value.length) != cell.value.length) {
      strcpy(output->why, "the text is not UTF-8");
      return false;
    }
  }
  bool missing = engine->record.tombstone && cell.value.type == MSGPACK_NIL;
  if (!column->plain && !missing && !cell_cast(&output->tools, &column->rule, &cell, output->why, sizeof output->why)) return false;
  cell_write(&cell, w);
  return true;
}

// A text that lies in the record is one of its fields, or a part of one: whoever put it there has looked at it.
static inline bool is_in_record(const struct sql_engine *engine, const uint8_t *text, size_t length) {
  return !engine->gave_bytes && text >= engine->record.at && text <= engine->record.end && length <= (size_t)(engine->record.end - text);
}

// A text of the record; of a short one more bytes are copied than are wanted, where both sides have room.
static inline void copy_text(const struct sql_engine *engine, const uint8_t *text, size_t length, struct msgpack_writer *w) {
  bool roomy = !w->overflow && w->end - w->at >= COPY_TEXT + 2 && engine->record.end - text >= COPY_TEXT;
  if (length > 31 || !roomy) {
    msgpack_write_text(w, (const char *)text, (uint32_t)length);
    return;
  }
  *w->at++ = (uint8_t)(MSGPACK_B_FIXTEXT | length);
  memcpy(w->at, text, COPY_TEXT);
  w->at += length;
}

// A value of SQLite that carries no subtype and needs no cast goes straight to its place. False: it takes the long way.
static inline bool write_simple(const struct sql_engine *engine, const struct output_column *column, sqlite3_value *value,
                                struct msgpack_writer *w) {
  if (!column->plain || column->copy.from != COPY_NOT || engine->subtypes) return false;
  switch (sqlite3_value_type(value)) {
  case SQLITE_INTEGER: msgpack_write_int(w, sqlite3_value_int64(value)); return true;
  case SQLITE_FLOAT: msgpack_write_double(w, sqlite3_value_double(value)); return true;
  case SQLITE_TEXT: {
    const uint8_t *text = sqlite3_value_blob(value);
    size_t length = (size_t)sqlite3_value_bytes(value);
    if (is_in_record(engine, text, length))
      copy_text(engine, text, length, w);
    else if (length > 0 && utf8_check(text, length) != length)
      return false;
    else
      msgpack_write_text(w, (const char *)text, (uint32_t)length);
    return true;
  }
  case SQLITE_NULL: msgpack_write_nil(w); return true;
  default: return false;
  }
}

// Copies `size` bytes, many of them short ones: where both sides have room, two words are copied without asking how many are wanted.
static inline void copy_bytes(uint8_t *to, const uint8_t *from, size_t size, bool roomy) {
  if (size <= COPY_WORDS && roomy)
    memcpy(to, from, COPY_WORDS);
  else
    memcpy(to, from, size);
}

// A plain column of the stream, copied together with its key; false: it is not one, or there is little room.
static inline bool copy_plain(struct sql_engine *engine, const struct output_column *column, struct msgpack_writer *w) {
  if (!column->plain || column->copy.from != COPY_INPUT) return false;
  const struct field_span *span = field_index_get(&engine->input, column->copy.column);
  if (!span) return false;
  size_t size = (size_t)(span->end - span->at);
  if (w->overflow || (size_t)(w->end - w->at) < sizeof column->key + size + COPY_WORDS) return false;
  copy_bytes(w->at, column->key, column->key_size, true);
  w->at += column->key_size;
  copy_bytes(w->at, span->at, size, engine->record.end - span->at >= COPY_WORDS);
  w->at += size;
  return true;
}

// ---- the values of a row

void sql_output_bind(struct sql_engine *engine) {
  struct output *output = &engine->output;
  output->taken = 0;
  for (size_t i = 0; i < output->count; i++) output->taken += output->columns[i].copy.from == COPY_NOT;
}

// A row of SQLite's is an array of values, but it gives them out one by one, each time with a look at locks and errors. Where the values
// lie is seen in the first row, and the last value of every row must lie where it should; else they are asked for one by one.
struct row_values {
  sqlite3_stmt *statement;
  uintptr_t first;
  size_t stride; // 0: ask
};

static size_t stride_look(sqlite3_stmt *statement, int count) {
  uintptr_t first = (uintptr_t)sqlite3_column_value(statement, 0);
  size_t stride = (uintptr_t)sqlite3_column_value(statement, 1) - first;
  for (int i = 2; i < count; i++)
    if ((uintptr_t)sqlite3_column_value(statement, i) != first + (size_t)i * stride) return STRIDE_NONE;
  return stride;
}

static inline struct row_values row_values(struct sql_engine *engine) {
  struct output *output = &engine->output;
  struct row_values values = {.statement = engine->statement};
  if (output->taken < STRIDE_LEAST || output->stride == STRIDE_NONE) return values;
  if (output->stride == 0) output->stride = stride_look(engine->statement, (int)output->count);
  values.first = (uintptr_t)sqlite3_column_value(engine->statement, 0);
  uintptr_t last = (uintptr_t)sqlite3_column_value(engine->statement, (int)output->count - 1);
  if (last - values.first == (output->count - 1) * output->stride) values.stride = output->stride;
  return values;
}

static inline sqlite3_value *row_value(const struct row_values *values, int column) {
  if (values->stride) return (sqlite3_value *)(values->first + (size_t)column * values->stride);
  return sqlite3_column_value(values->statement, column);
}

// The name of a column; a short one is copied with what stands behind it.
static inline void write_key(const struct output_column *column, struct msgpack_writer *w) {
  if (column->key_size > COPY_WORDS || w->overflow || w->end - w->at < COPY_WORDS) {
    msgpack_write_raw(w, column->key, column->key_size);
    return;
  }
  memcpy(w->at, column->key, COPY_WORDS);
  w->at += column->key_size;
}

enum sql_row sql_output_row(struct sql_engine *engine, struct msgpack_writer *w, struct sql_failure *failure) {
  struct output *output = &engine->output;
  bool checks = output->check_count > 0;
  const struct row_values values = row_values(engine);
  msgpack_write_raw(w, output->head, output->head_size);
  for (size_t i = 0; i < output->count; i++) {
    const struct output_column *column = &output->columns[i];
    const uint8_t *before = w->at;
    if (!copy_plain(engine, column, w)) {
      write_key(column, w);
      sqlite3_value *value = column->copy.from == COPY_NOT ? row_value(&values, column->statement_column) : NULL;
      if (!write_simple(engine, column, value, w) && !value_write(engine, column, value, w)) return row_bad(output, column, failure);
    }
    if (checks) output->written[i] = (struct field_span){.at = before + column->key_size, .end = w->at};
  }
  return w->overflow ? SQL_ROW_NO_ROOM : SQL_ROW_GOOD;
}
