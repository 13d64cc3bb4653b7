// The input stream as a virtual table: its columns are the fields that the SQL names, its rows the records that `next` gives.
//
// In the batch form one scan walks over many records, each taken in xNext; otherwise every scan has exactly one row, the record in hand.
// SQLite asks for a column's value with xColumn; plain columns that nobody looks at are left null here and copied as bytes by rows.c.
//
// The table is WITHOUT ROWID, because "rowid" and "oid" would otherwise silently mean the table's own.
#include "workers/sql/input_table.h"

#include <stdlib.h>
#include <string.h>

#include "workers/sql/connection.h"
#include "workers/sql/values.h"

const char SQL_POINTER[] = "weir-msgpack";

struct input_table {
  sqlite3_vtab base;
  struct sql_engine *engine;
};

struct input_cursor {
  sqlite3_vtab_cursor base;
  const struct field_span *const *direct; // the engine's: xColumn is called for every column of every record, and needs no more for most
  bool end;
  struct input_cursor *next_free;
};

char *sql_table_declaration(const char *fixed, const struct field_names *names, const char *tail) {
  struct buffer text = {0};
  char *star = sqlite3_mprintf("CREATE TABLE x(\"%w\" PRIMARY KEY%s", SQL_STAR_COLUMN, fixed);
  buffer_text(&text, star ? star : "");
  sqlite3_free(star);
  for (size_t i = 0; i < names->count; i++) {
    char *name = sqlite3_mprintf(",\"%w\"", names->columns[i].name);
    buffer_text(&text, name ? name : "");
    sqlite3_free(name);
  }
  buffer_text(&text, tail);
  char *declaration = memory_text(buffer_cstring(&text));
  buffer_free(&text);
  return declaration;
}

static int input_connect(sqlite3 *db, void *context, int count, const char *const *words, sqlite3_vtab **table, char **error) {
  struct sql_engine *engine = context;
  (void)count, (void)words, (void)error;
  char *declaration = sql_table_declaration("", &engine->input_columns.names, ") WITHOUT ROWID");
  engine->declaring = true;
  int code = sqlite3_declare_vtab(db, declaration);
  engine->declaring = false;
  free(declaration);
  if (code != SQLITE_OK) return code;
  struct input_table *input = memory_get(sizeof *input);
  input->engine = engine;
  engine->stream = &input->base;
  *table = &input->base;
  return SQLITE_OK;
}

static int input_disconnect(sqlite3_vtab *table) {
  struct input_table *input = (struct input_table *)table;
  if (input->engine->stream == table) input->engine->stream = NULL;
  free(input);
  return SQLITE_OK;
}

// There is one way to read a stream. It is costly and long, so that whatever is joined to it becomes the inner loop; the name marks its
// line in EXPLAIN QUERY PLAN (plan_check.c).
static int input_best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  (void)table;
  info->estimatedCost = 1e12;
  info->estimatedRows = 1000000000;
  info->idxStr = (char *)(uintptr_t) "weir stream";
  info->needToFreeIdxStr = 0;
  return SQLITE_OK;
}

static int input_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  struct sql_engine *engine = ((struct input_table *)table)->engine;
  struct input_cursor *cursor = engine->free_inputs;
  if (cursor)
    engine->free_inputs = cursor->next_free;
  else
    cursor = memory_get(sizeof *cursor);
  cursor->end = true;
  *out = &cursor->base;
  return SQLITE_OK;
}

static int input_close(sqlite3_vtab_cursor *base) {
  struct input_cursor *cursor = (struct input_cursor *)base;
  struct sql_engine *engine = ((struct input_table *)base->pVtab)->engine;
  cursor->next_free = engine->free_inputs;
  engine->free_inputs = cursor;
  return SQLITE_OK;
}

void sql_input_free(struct sql_engine *engine) {
  while (engine->free_inputs) {
    struct input_cursor *cursor = engine->free_inputs;
    engine->free_inputs = cursor->next_free;
    free(cursor);
  }
}

static bool is_map(const uint8_t *at, const uint8_t *end) {
  return at < end && ((*at & 0xf0) == MSGPACK_B_FIXMAP || *at == MSGPACK_B_MAP16 || *at == MSGPACK_B_MAP32);
}

static void note_seen(struct sql_engine *engine) {
  for (size_t i = 0; i < engine->input_columns.names.count; i++)
    if (!engine->input_seen[i]) engine->input_seen[i] = field_index_get(&engine->input, i) != NULL;
}

int sql_record_take(struct sql_engine *engine) {
  engine->has_record = engine->next(engine->context, &engine->record);
  if (!engine->has_record) return 0;
  engine->record_number++;
  engine->uuid_calls = 0;
  engine->subtypes = engine->makes_subtypes;
  engine->gave_bytes = false;
  sql_clock_set(engine->record.time);
  if (is_map(engine->record.at, engine->record.end) && field_index_set(&engine->input, engine->record.at, engine->record.end)) {
    if (__builtin_expect(engine->record_number <= SQL_LOOKED_AT, 0)) note_seen(engine);
    return 1;
  }
  strcpy(engine->failure, "the record is not a well-formed msgpack map");
  return -1;
}

static int batch_advance(struct input_cursor *cursor) {
  struct sql_engine *engine = ((struct input_table *)cursor->base.pVtab)->engine;
  int taken = sql_record_take(engine);
  cursor->end = taken <= 0;
  if (taken >= 0) return SQLITE_OK;
  sqlite3_free(cursor->base.pVtab->zErrMsg);
  cursor->base.pVtab->zErrMsg = sqlite3_mprintf("%s", engine->failure);
  return SQLITE_ERROR;
}

static int input_filter(sqlite3_vtab_cursor *base, int number, const char *text, int count, sqlite3_value **values) {
  (void)number, (void)text, (void)count, (void)values;
  struct input_cursor *cursor = (struct input_cursor *)base;
  cursor->direct = ((struct input_table *)base->pVtab)->engine->input_direct;
  if (((struct input_table *)base->pVtab)->engine->batch) return batch_advance(cursor);
  cursor->end = false;
  return SQLITE_OK;
}

static int input_next(sqlite3_vtab_cursor *base) {
  struct input_cursor *cursor = (struct input_cursor *)base;
  if (((struct input_table *)base->pVtab)->engine->batch) return batch_advance(cursor);
  cursor->end = true;
  return SQLITE_OK;
}

static int input_eof(sqlite3_vtab_cursor *base) {
  return ((struct input_cursor *)base)->end;
}

// Stands for a value that takes more than its span: a path, JSON text, a pointer.
static const struct field_span takes_more;

void sql_input_bind(struct sql_engine *engine) {
  for (size_t i = 0; i < engine->input_columns.names.count; i++) {
    const struct field_column *c = &engine->input_columns.names.columns[i];
    bool direct = engine->input_columns.use[i] == USE_VALUE && c->slot != FIELD_NONE && !c->path;
    engine->input_direct[i] = direct ? &engine->input.slots[c->slot] : engine->input_columns.use[i] == USE_NOTHING ? NULL : &takes_more;
  }
}

static int input_column_more(struct sql_engine *engine, sqlite3_context *context, size_t column) {
  enum column_use use = engine->input_columns.use[column];
  struct json_text *json = &engine->input_json[column];
  if (use == USE_VALUE) {
    sql_value_give(engine, context, field_index_get(&engine->input, column), json, true);
    return SQLITE_OK;
  }
  const struct field_span *span = field_index_get(&engine->input, column);
  if (!span) return SQLITE_OK;
  json->span = *span;
  sqlite3_result_pointer(context, &json->span, SQL_POINTER, NULL);
  return SQLITE_OK;
}

static int input_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int number) {
  const struct field_span *const *all = ((const struct input_cursor *)base)->direct;
  if (number == 0) return SQLITE_OK; // the star column
  const struct field_span *direct = all[number - 1];
  if (!direct) return SQLITE_OK; // a result that is not set is null
  if (direct != &takes_more && (!direct->at || sql_value_give_plain(context, direct))) return SQLITE_OK;
  return input_column_more(((struct input_table *)base->pVtab)->engine, context, (size_t)number - 1);
}

// A table WITHOUT ROWID is never asked for one.
static int input_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
  (void)base, (void)rowid;
  return SQLITE_INTERNAL;
}

bool sql_input_recognise(const struct sql_engine *engine, const void *text, struct field_span *span) {
  for (size_t i = 0; i < engine->input_columns.names.count; i++) {
    const struct json_text *json = &engine->input_json[i];
    if (json->record != engine->record_number || !text || json->text.at != text) continue;
    *span = json->span;
    return true;
  }
  return false;
}

static const sqlite3_module input_module = {
    .iVersion = 0,
    .xConnect = input_connect, // without xCreate: a table that exists by its module's name, as each() does
    .xBestIndex = input_best_index,
    .xDisconnect = input_disconnect,
    .xOpen = input_open,
    .xClose = input_close,
    .xFilter = input_filter,
    .xNext = input_next,
    .xEof = input_eof,
    .xColumn = input_column,
    .xRowid = input_rowid,
};

int sql_input_declare(struct sql_engine *engine, const char *name) {
  return sqlite3_create_module_v2(engine->db, name, &input_module, engine, NULL);
}
