// Tables of SQLite: reading their shape, writing statements about them.
#include "workers/sinks/sqlite_table.h"

#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/limits.h"

// ---- types

// The declared types of tables that we make: each is recognised again below (every integer as 64 bits wide, which it is here) and has an
// affinity that keeps the value as it is.
static const char *declared_type(enum column_type type) {
  switch (type) {
  case COLUMN_TEXT:
  case COLUMN_UUID:
  case COLUMN_OTHER: return "TEXT";
  case COLUMN_SMALLINT: return "SMALLINT";
  case COLUMN_INT: return "INT";
  case COLUMN_BIGINT: return "BIGINT";
  case COLUMN_REAL: return "REAL";
  case COLUMN_DOUBLE: return "DOUBLE";
  case COLUMN_NUMERIC: return "NUMERIC";
  case COLUMN_BOOLEAN: return "BOOLEAN";
  case COLUMN_TIMESTAMP: return "TIMESTAMP";
  case COLUMN_DATE: return "DATE";
  case COLUMN_JSON: return "JSON TEXT"; // "JSON" alone would have numeric affinity and turn the text "7.0" into 7
  case COLUMN_BYTES: return "BLOB";
  case COLUMN_ANY: return "";
  }
  return "";
}

// What a declared type means, by the words in it; the first match counts, as in SQLite's own rule for affinity.
static enum column_type type_of(const char *declared) {
  static const struct {
    const char *word;
    enum column_type type;
  } words[] = {{"BOOL", COLUMN_BOOLEAN}, {"TIMESTAMP", COLUMN_TIMESTAMP}, {"DATETIME", COLUMN_TIMESTAMP}, {"DATE", COLUMN_DATE},
               {"JSON", COLUMN_JSON},    {"INT", COLUMN_BIGINT},          {"CHAR", COLUMN_TEXT},          {"CLOB", COLUMN_TEXT},
               {"TEXT", COLUMN_TEXT},    {"UUID", COLUMN_TEXT},           {"BLOB", COLUMN_BYTES},         {"BYTE", COLUMN_BYTES},
               {"REAL", COLUMN_DOUBLE},  {"FLOA", COLUMN_DOUBLE},         {"DOUB", COLUMN_DOUBLE},        {"NUM", COLUMN_NUMERIC},
               {"DEC", COLUMN_NUMERIC}};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    if (strcasestr(declared, words[i].word)) return words[i].type;
  return COLUMN_ANY;
}

// ---- reading

bool sqlite_table_read(struct sqlite *db, const char *name, struct table *t, bool *exists, struct error *e) {
  // A lone INTEGER PRIMARY KEY is the rowid, which SQLite makes up.
  static const char sql[] = "SELECT name, type, \"notnull\", hidden, dflt_value IS NOT NULL OR (pk AND type = 'INTEGER' COLLATE NOCASE AND "
                            "sum(pk > 0) OVER () = 1) FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid";
  *exists = false;
  struct sqlite_query *q = sqlite_prepare(db, sql, e);
  if (!q) return false;
  sqlite_bind_cstring(q, 1, name);
  enum sqlite_outcome outcome;
  while ((outcome = sqlite_step(q, e)) == SQLITE_GOT_ROW) {
    if (t->count == LIMIT_FIELDS) {
      error_set(e, ERROR_OPERATOR, "columns", "table %s has more than %d columns", name, LIMIT_FIELDS);
      sqlite_reset(q);
      return false;
    }
    struct column *column = table_add(t, sqlite_column_text(q, 0, NULL), type_of(sqlite_column_text(q, 1, NULL)));
    column->not_null = sqlite_column_int(q, 2) != 0;
    column->generated = sqlite_column_int(q, 3) != 0;
    column->filled = sqlite_column_int(q, 4) != 0;
    *exists = true;
  }
  return outcome == SQLITE_END;
}

bool sqlite_table_is_empty(struct sqlite *db, const char *name, bool *empty, struct error *e) {
  char *quoted = sqlite_quote_name(name);
  char *sql = memory_print("SELECT NOT EXISTS (SELECT 1 FROM %s)", quoted);
  int64_t value = 0;
  bool ok = sqlite_one_int(db, sql, 0, &value, e);
  *empty = value != 0;
  free(sql);
  free(quoted);
  return ok;
}

// ---- statements

static void add_name(struct buffer *sql, const char *name) {
  char *quoted = sqlite_quote_name(name);
  buffer_text(sql, quoted);
  free(quoted);
}

// The names of the columns in use, with commas between.
static void add_used_names(struct buffer *sql, const struct table *t) {
  const char *comma = "";
  for (size_t i = 0; i < t->count; i++) {
    if (!t->columns[i].used) continue;
    buffer_text(sql, comma);
    add_name(sql, t->columns[i].name);
    comma = ", ";
  }
}

// The names of the key's columns, in the key's order.
static void add_key_names(struct buffer *sql, const struct table *t) {
  const struct column *column;
  for (unsigned place = 1; (column = table_key_column(t, place)); place++) {
    if (place > 1) buffer_text(sql, ", ");
    add_name(sql, column->name);
  }
}

static char *take_text(struct buffer *sql) {
  char *text = memory_text(buffer_cstring(sql));
  buffer_free(sql);
  return text;
}

static void add_definition(struct buffer *sql, const struct column *c) {
  add_name(sql, c->name);
  buffer_print(sql, " %s", declared_type(c->type));
}

char *sqlite_table_create_sql(const struct table *t, const char *name) {
  struct buffer sql = {0};
  buffer_text(&sql, "CREATE TABLE ");
  add_name(&sql, name);
  buffer_text(&sql, " (");
  for (size_t i = 0; i < t->count; i++) {
    const struct column *c = &t->columns[i];
    if (i > 0) buffer_text(&sql, ", ");
    add_definition(&sql, c);
    if (c->guessed) buffer_print(&sql, " /* or %s, by its first value */", declared_type(COLUMN_DOUBLE));
    if (c->not_null || c->key) buffer_text(&sql, " NOT NULL");
  }
  if (table_key_column(t, 1)) {
    buffer_text(&sql, ", PRIMARY KEY (");
    add_key_names(&sql, t);
    buffer_text(&sql, ")");
  }
  buffer_text(&sql, ")");
  return take_text(&sql);
}

char *sqlite_table_add_sql(const struct column *column, const char *name) {
  struct buffer sql = {0};
  buffer_text(&sql, "ALTER TABLE ");
  add_name(&sql, name);
  buffer_text(&sql, " ADD COLUMN ");
  add_definition(&sql, column);
  return take_text(&sql);
}

static void add_conflict(struct buffer *sql, const struct table *t) {
  const char *comma = " DO UPDATE SET ";
  buffer_text(sql, " ON CONFLICT (");
  add_key_names(sql, t);
  buffer_text(sql, ")");
  for (size_t i = 0; i < t->count; i++) {
    const struct column *c = &t->columns[i];
    if (!c->used || c->key) continue;
    buffer_text(sql, comma);
    add_name(sql, c->name);
    buffer_text(sql, " = excluded.");
    add_name(sql, c->name);
    comma = ", ";
  }
  if (comma[0] == ' ') buffer_text(sql, " DO NOTHING");
}

char *sqlite_table_delete_sql(const struct table *t, const char *name) {
  struct buffer sql = {0};
  const char *word = " WHERE ";
  buffer_text(&sql, "DELETE FROM ");
  add_name(&sql, name);
  for (size_t i = 0; i < t->count; i++) {
    if (!t->columns[i].key) continue;
    buffer_text(&sql, word);
    add_name(&sql, t->columns[i].name);
    buffer_text(&sql, " = ?");
    word = " AND ";
  }
  return take_text(&sql);
}

char *sqlite_table_insert_sql(const struct table *t, const char *name, bool upsert) {
  struct buffer sql = {0};
  size_t used = 0;
  for (size_t i = 0; i < t->count; i++) used += t->columns[i].used;
  buffer_text(&sql, "INSERT INTO ");
  add_name(&sql, name);
  if (used == 0)
    buffer_text(&sql, " DEFAULT VALUES");
  else {
    buffer_text(&sql, " (");
    add_used_names(&sql, t);
    buffer_text(&sql, ") VALUES (?");
    for (size_t i = 1; i < used; i++) buffer_text(&sql, ", ?");
    buffer_text(&sql, ")");
  }
  if (upsert) add_conflict(&sql, t);
  return take_text(&sql);
}

// ---- the key

static bool view_find(struct sqlite *db, const char *name, bool *view, struct error *e) {
  struct sqlite_query *q =
      sqlite_prepare(db, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'view' AND name = ?1 COLLATE NOCASE)", e);
  if (!q) return false;
  sqlite_bind_cstring(q, 1, name);
  bool ok = sqlite_step(q, e) == SQLITE_GOT_ROW;
  *view = ok && sqlite_column_int(q, 0) != 0;
  sqlite_reset(q);
  return ok;
}

// The name that such an index would likely get by hand: "events_id_day".
static void add_index_name(struct buffer *sql, const struct table *t, const char *name) {
  struct buffer whole = {0};
  const struct column *column;
  buffer_text(&whole, name);
  for (unsigned place = 1; (column = table_key_column(t, place)); place++) buffer_print(&whole, "_%s", column->name);
  add_name(sql, buffer_cstring(&whole));
  buffer_free(&whole);
}

static void refuse_key(const struct table *t, const char *name, bool view, struct error *e) {
  struct buffer names = {0}, index = {0};
  add_key_names(&names, t);
  add_index_name(&index, t, name);
  char *quoted = sqlite_quote_name(name);
  buffer_byte(&index, ' ');
  table_key_refuse(quoted, buffer_cstring(&names), buffer_cstring(&index), view, e);
  free(quoted);
  buffer_free(&names);
  buffer_free(&index);
}

bool sqlite_table_check_key(struct sqlite *db, const char *name, const struct table *t, struct error *e) {
  // A key that is the rowid (INTEGER PRIMARY KEY) has no index of its own.
  static const char sql[] =
      "SELECT max(fits) FROM ("
      "SELECT count(*) = ?2 AND min(c.name IN (SELECT value FROM json_each(?3))) AS fits "
      "FROM pragma_index_list(?1) l JOIN pragma_index_info(l.name) c WHERE l.\"unique\" AND NOT l.partial GROUP BY l.name "
      "UNION ALL SELECT count(*) = ?2 AND min(name IN (SELECT value FROM json_each(?3))) "
      "FROM pragma_table_info(?1) WHERE pk > 0)";
  int64_t keys = 0;
  bool view;
  while (table_key_column(t, (unsigned)keys + 1)) keys++;
  struct sqlite_query *q = sqlite_prepare(db, sql, e);
  if (!q) return false;
  char *names = table_key_json(t);
  sqlite_bind_cstring(q, 1, name);
  sqlite_bind_int(q, 2, keys);
  sqlite_bind_cstring(q, 3, names);
  bool ok = sqlite_step(q, e) == SQLITE_GOT_ROW, fits = ok && sqlite_column_int(q, 0) != 0;
  sqlite_reset(q);
  if (ok && !fits && view_find(db, name, &view, e)) refuse_key(t, name, view, e);
  free(names);
  return ok && fits;
}
