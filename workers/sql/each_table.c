// each(x): one row per element of an array or per pair of a map. Columns: key (index from 0, or the map's key), value (the element), and
// paths below the value: "date" is the element's field date, "value[0]" and "[0]" its first element.
//
// Null and absent values give no row; a scalar gives one, with a null key. x is a column of ours where possible, handed over as a pointer
// to its msgpack; otherwise JSON text, which is parsed.
#include <stdlib.h>
#include <string.h>

#include "workers/sql/input_table.h"
#include "workers/sql/values.h"

enum { EACH_KEY = 1, EACH_VALUE, EACH_SOURCE, EACH_FIELDS }; // columns; 0 is the star column

struct each_table {
  sqlite3_vtab base;
  struct sql_engine *engine;
};

enum each_kind { EACH_OF_SCALAR, EACH_OF_ARRAY, EACH_OF_MAP };

struct each_cursor {
  sqlite3_vtab_cursor base;
  bool end;
  bool own; // x lies in `parsed`, which the next xFilter overwrites, so nothing in it may be kept by SQLite
  enum each_kind kind;
  uint32_t number, left;      // of the element in hand; of elements behind it
  const uint8_t *at, *at_end; // what follows the element in hand
  struct field_span key, element;
  bool indexed; // the element's fields are in `fields`
  struct field_index fields;
  struct field_span *handed; // by column: what a pointer points to
  struct buffer parsed;      // msgpack of x where x was JSON text
  struct each_cursor *next_free, *next_all;
};

static int each_connect(sqlite3 *db, void *context, int count, const char *const *words, sqlite3_vtab **table, char **error) {
  struct sql_engine *engine = context;
  (void)count, (void)words, (void)error;
  char *declaration = sql_table_declaration(",key,value,\"\001x\" HIDDEN", &engine->each_columns.names, ") WITHOUT ROWID");
  engine->declaring = true;
  int code = sqlite3_declare_vtab(db, declaration);
  engine->declaring = false;
  free(declaration);
  if (code != SQLITE_OK) return code;
  struct each_table *each = memory_get(sizeof *each);
  each->engine = engine;
  engine->each = &each->base;
  *table = &each->base;
  return SQLITE_OK;
}

static int each_disconnect(sqlite3_vtab *table) {
  struct sql_engine *engine = ((struct each_table *)table)->engine;
  if (engine->each == table) engine->each = NULL;
  free(table);
  return SQLITE_OK;
}

// Only plans that know x are possible.
static int each_best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  (void)table;
  int source = -1;
  for (int i = 0; i < info->nConstraint; i++) {
    if (info->aConstraint[i].iColumn != EACH_SOURCE || info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ) continue;
    if (!info->aConstraint[i].usable) return SQLITE_CONSTRAINT;
    source = i;
  }
  if (source < 0) {
    sqlite3_free(table->zErrMsg);
    table->zErrMsg = sqlite3_mprintf("each() needs the value to unnest, as in each(e.items)");
    return SQLITE_ERROR;
  }
  info->aConstraintUsage[source].argvIndex = 1;
  info->aConstraintUsage[source].omit = 1;
  info->estimatedCost = 10;
  info->estimatedRows = 10;
  return SQLITE_OK;
}

static struct each_cursor *cursor_new(struct sql_engine *engine) {
  struct each_cursor *cursor = memory_get(sizeof *cursor);
  field_index_open(&cursor->fields, &engine->each_columns.names);
  cursor->handed = memory_get(engine->each_columns.names.count * sizeof *cursor->handed + sizeof *cursor->handed);
  cursor->next_all = engine->all_eaches;
  engine->all_eaches = cursor;
  return cursor;
}

static int each_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  struct sql_engine *engine = ((struct each_table *)table)->engine;
  struct each_cursor *cursor = engine->free_eaches;
  if (cursor)
    engine->free_eaches = cursor->next_free;
  else
    cursor = cursor_new(engine);
  cursor->end = true;
  // Only the first ones matter (a copied column names its cursor by this order); a loop that opens one again and again does not grow this.
  if (engine->opened_count < SQL_OPENED_MOST) engine->opened[engine->opened_count++] = cursor;
  *out = &cursor->base;
  return SQLITE_OK;
}

static int each_close(sqlite3_vtab_cursor *base) {
  struct each_cursor *cursor = (struct each_cursor *)base;
  struct sql_engine *engine = ((struct each_table *)base->pVtab)->engine;
  cursor->next_free = engine->free_eaches;
  engine->free_eaches = cursor;
  return SQLITE_OK;
}

void sql_each_free(struct sql_engine *engine) {
  while (engine->all_eaches) {
    struct each_cursor *cursor = engine->all_eaches;
    engine->all_eaches = cursor->next_all;
    field_index_close(&cursor->fields);
    free(cursor->handed);
    buffer_free(&cursor->parsed);
    free(cursor);
  }
  engine->free_eaches = NULL;
  engine->opened_count = 0;
}

static int each_fail(struct each_cursor *cursor, const char *why) {
  sqlite3_free(cursor->base.pVtab->zErrMsg);
  cursor->base.pVtab->zErrMsg = sqlite3_mprintf("each(): %s", why);
  cursor->end = true;
  return SQLITE_ERROR;
}

static int element_take(struct each_cursor *cursor) {
  cursor->indexed = false;
  cursor->end = cursor->left == 0;
  if (cursor->end) return SQLITE_OK;
  cursor->left--;
  if (cursor->kind == EACH_OF_MAP) {
    cursor->key.at = cursor->at;
    if (!msgpack_skip(&cursor->at, cursor->at_end)) return each_fail(cursor, "the value is broken");
    cursor->key.end = cursor->at;
  }
  cursor->element.at = cursor->at;
  if (!msgpack_skip(&cursor->at, cursor->at_end)) return each_fail(cursor, "the value is broken");
  cursor->element.end = cursor->at;
  return SQLITE_OK;
}

static int each_over(struct each_cursor *cursor, const uint8_t *from, const uint8_t *end) {
  struct msgpack_value head;
  const uint8_t *at = from;
  if (!msgpack_read(&at, end, &head)) return each_fail(cursor, "the value is broken");
  cursor->number = 0;
  cursor->at = from;
  cursor->at_end = end;
  if (head.type == MSGPACK_NIL) return SQLITE_OK;
  cursor->kind = EACH_OF_SCALAR;
  cursor->left = 1;
  if (head.type == MSGPACK_ARRAY || head.type == MSGPACK_MAP) {
    cursor->kind = head.type == MSGPACK_ARRAY ? EACH_OF_ARRAY : EACH_OF_MAP;
    cursor->left = head.length;
    cursor->at = at;
  }
  return element_take(cursor);
}

// JSON text: kept by the cursor, because the tools' result lives only until they are used again.
static int each_over_text(struct each_cursor *cursor, struct sql_engine *engine, const uint8_t *text, size_t length) {
  const uint8_t *at, *end;
  if (!cell_parse_json(&engine->tools, text, length, &at, &end)) return each_fail(cursor, "the text is not JSON");
  cursor->own = true;
  buffer_clear(&cursor->parsed);
  buffer_add(&cursor->parsed, at, (size_t)(end - at));
  return each_over(cursor, cursor->parsed.at, cursor->parsed.at + cursor->parsed.length);
}

static int each_over_scalar(struct each_cursor *cursor, struct sql_engine *engine, sqlite3_value *value) {
  struct cell cell;
  sql_value_take(&engine->tools, value, &cell);
  cursor->own = true;
  buffer_clear(&cursor->parsed);
  buffer_reserve(&cursor->parsed, (size_t)sqlite3_value_bytes(value) + 16);
  struct msgpack_writer w = {.at = cursor->parsed.at, .end = cursor->parsed.at + cursor->parsed.room};
  cell_write(&cell, &w);
  return each_over(cursor, cursor->parsed.at, w.at);
}

static int each_filter(sqlite3_vtab_cursor *base, int number, const char *text, int count, sqlite3_value **values) {
  (void)number, (void)text;
  struct each_cursor *cursor = (struct each_cursor *)base;
  struct sql_engine *engine = ((struct each_table *)base->pVtab)->engine;
  cursor->end = true;
  cursor->own = false;
  if (count < 1) return SQLITE_OK;
  struct field_span *handed = sqlite3_value_pointer(values[0], SQL_POINTER), span;
  if (handed) {
    struct msgpack_value head;
    const uint8_t *at = handed->at;
    if (!msgpack_read(&at, handed->end, &head) || head.type != MSGPACK_TEXT) return each_over(cursor, handed->at, handed->end);
    return each_over_text(cursor, engine, head.bytes, head.length);
  }
  int type = sqlite3_value_type(values[0]);
  if (type == SQLITE_NULL) return SQLITE_OK;
  if (type != SQLITE_TEXT) return each_over_scalar(cursor, engine, values[0]);
  const uint8_t *json = sqlite3_value_blob(values[0]);
  if (sql_input_recognise(engine, json, &span)) return each_over(cursor, span.at, span.end);
  return each_over_text(cursor, engine, json, (size_t)sqlite3_value_bytes(values[0]));
}

static int each_next(sqlite3_vtab_cursor *base) {
  struct each_cursor *cursor = (struct each_cursor *)base;
  cursor->number++;
  return element_take(cursor);
}

static int each_eof(sqlite3_vtab_cursor *base) {
  return ((struct each_cursor *)base)->end;
}

static const struct field_span *field_get(struct each_cursor *cursor, size_t column) {
  // An element comes out of a value that msgpack_skip has stepped over: it cannot be broken.
  if (!cursor->indexed) (void)field_index_set(&cursor->fields, cursor->element.at, cursor->element.end);
  cursor->indexed = true;
  return field_index_get(&cursor->fields, column);
}

static int each_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int number) {
  struct each_cursor *cursor = (struct each_cursor *)base;
  struct sql_engine *engine = ((struct each_table *)base->pVtab)->engine;
  if (number == EACH_KEY && cursor->kind == EACH_OF_ARRAY) {
    sqlite3_result_int64(context, cursor->number);
  } else if (number == EACH_KEY && cursor->kind == EACH_OF_MAP) {
    sql_value_give(engine, context, &cursor->key, NULL, !cursor->own);
  } else if (number == EACH_VALUE) {
    sql_value_give(engine, context, &cursor->element, NULL, !cursor->own);
  } else if (number >= EACH_FIELDS) {
    size_t column = (size_t)(number - EACH_FIELDS);
    enum column_use use = engine->each_columns.use[column];
    if (use == USE_NOTHING) return SQLITE_OK;
    const struct field_span *span = field_get(cursor, column);
    if (use == USE_VALUE) {
      sql_value_give(engine, context, span, NULL, !cursor->own);
    } else if (span) {
      cursor->handed[column] = *span;
      sqlite3_result_pointer(context, &cursor->handed[column], SQL_POINTER, NULL);
    }
  }
  return SQLITE_OK;
}

static int each_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
  (void)base, (void)rowid;
  return SQLITE_INTERNAL;
}

const struct field_span *sql_each_copy(struct sql_engine *engine, unsigned each, size_t column) {
  struct each_cursor *cursor = each < engine->opened_count ? engine->opened[each] : NULL;
  if (!cursor || cursor->end) return NULL;
  return field_get(cursor, column);
}

static const sqlite3_module each_module = {
    .iVersion = 0,
    .xConnect = each_connect,
    .xBestIndex = each_best_index,
    .xDisconnect = each_disconnect,
    .xOpen = each_open,
    .xClose = each_close,
    .xFilter = each_filter,
    .xNext = each_next,
    .xEof = each_eof,
    .xColumn = each_column,
    .xRowid = each_rowid,
};

const char *sql_each_path(const char *name) {
  static const char value[] = "value";
  if (strncmp(name, value, sizeof value - 1) != 0) return name;
  const char *rest = name + sizeof value - 1;
  return *rest == '[' ? rest : *rest == '.' ? rest + 1 : name;
}

int sql_each_declare(struct sql_engine *engine) {
  return sqlite3_create_module_v2(engine->db, "each", &each_module, engine, NULL);
}
