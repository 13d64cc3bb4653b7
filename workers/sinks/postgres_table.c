// Tables of PostgreSQL: reading their shape, writing statements about them.
#include "workers/sinks/postgres_table.h"

#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/limits.h"
#include "workers/sinks/postgres_encode.h"

// ---- names

void postgres_names_make(struct postgres_names *n, const char *table) {
  char *schema;
  n->table = postgres_quote_table(table, &schema, NULL);
  char *quoted = schema ? postgres_quote_name(schema) : NULL;
  const char *prefix = quoted ? quoted : "", *dot = quoted ? "." : "";
  n->positions = memory_print("%s%sweir_positions", prefix, dot);
  n->dead = memory_print("%s%sweir_dead", prefix, dot);
  free(quoted);
  free(schema);
}

void postgres_names_free(struct postgres_names *n) {
  free(n->table);
  free(n->positions);
  free(n->dead);
  *n = (struct postgres_names){0};
}

// ---- reading

static struct postgres_result *ask(struct postgres *p, const char *sql, const char *a, const char *b, struct error *e) {
  struct postgres_param params[2] = {{.bytes = a}, {.bytes = b}};
  return postgres_call(p, sql, params, b ? 2 : 1, e);
}

bool postgres_table_exists(struct postgres *p, const char *quoted, bool *exists, struct error *e) {
  struct postgres_result *r = ask(p, "SELECT to_regclass($1) IS NOT NULL", quoted, NULL, e);
  *exists = r && postgres_text(r, 0, 0)[0] == 't';
  postgres_result_free(r);
  return r != NULL;
}

bool postgres_table_read(struct postgres *p, const char *quoted, struct table *t, uint32_t *relation, struct error *e) {
  // A domain is sent as the type that it is made of; the server checks the rest. A trigger before the insert may fill any column.
  static const char sql[] =
      "SELECT a.attname, a.attnotnull, a.attgenerated <> '' OR a.attidentity = 'a', b.oid, format_type(b.oid, NULL), t.oid, a.attrelid, "
      "a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL OR EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = a.attrelid "
      "AND NOT g.tgisinternal AND g.tgtype & 7 = 7), "
      "CASE WHEN b.typname IN ('varchar', 'bpchar') THEN greatest(coalesce(nullif(t.typtypmod, -1), a.atttypmod) - 4, 0) ELSE 0 END "
      "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_type b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid) "
      "WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
  struct postgres_result *r = ask(p, sql, quoted, NULL, e);
  if (!r) return false;
  for (size_t i = 0; i < postgres_rows(r); i++) {
    uint32_t oid = (uint32_t)postgres_int(r, i, 3);
    struct column *column = table_add(t, postgres_text(r, i, 0), postgres_type_of(oid));
    column->not_null = postgres_text(r, i, 1)[0] == 't';
    column->generated = postgres_text(r, i, 2)[0] == 't';
    column->oid = oid;
    column->declared_oid = (uint32_t)postgres_int(r, i, 5);
    *relation = (uint32_t)postgres_int(r, i, 6);
    column->filled = postgres_text(r, i, 7)[0] == 't';
    column->most = postgres_int(r, i, 8);
    if (column->type == COLUMN_OTHER) column->cast = memory_text(postgres_text(r, i, 4));
  }
  postgres_result_free(r);
  return true;
}

bool postgres_table_is_empty(struct postgres *p, const char *quoted, bool *empty, struct error *e) {
  char *sql = memory_print("SELECT NOT EXISTS (SELECT FROM %s)", quoted);
  struct postgres_result *r = postgres_query(p, sql, e);
  *empty = r && postgres_text(r, 0, 0)[0] == 't';
  free(sql);
  postgres_result_free(r);
  return r != NULL;
}

bool postgres_table_needs_casts(const struct table *t) {
  for (size_t i = 0; i < t->count; i++)
    if (t->columns[i].used && t->columns[i].cast) return true;
  return false;
}

// ---- statements

static const char *declared_type(enum column_type type) {
  switch (type) {
  case COLUMN_TEXT:
  case COLUMN_ANY:
  case COLUMN_OTHER: return "text";
  case COLUMN_SMALLINT: return "smallint";
  case COLUMN_INT: return "integer";
  case COLUMN_BIGINT: return "bigint";
  case COLUMN_REAL: return "real";
  case COLUMN_DOUBLE: return "double precision";
  case COLUMN_NUMERIC: return "numeric";
  case COLUMN_BOOLEAN: return "boolean";
  case COLUMN_TIMESTAMP: return "timestamptz";
  case COLUMN_DATE: return "date";
  case COLUMN_JSON: return "jsonb";
  case COLUMN_BYTES: return "bytea";
  case COLUMN_UUID: return "uuid";
  }
  return "text";
}

static void add_name(struct buffer *sql, const char *name) {
  char *quoted = postgres_quote_name(name);
  buffer_text(sql, quoted);
  free(quoted);
}

static void add_used_names(struct buffer *sql, const struct table *t) {
  const char *comma = "";
  for (size_t i = 0; i < t->count; i++) {
    if (!t->columns[i].used) continue;
    buffer_text(sql, comma);
    add_name(sql, t->columns[i].name);
    comma = ", ";
  }
}

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

char *postgres_table_create_sql(const struct table *t, const char *quoted) {
  struct buffer sql = {0};
  buffer_print(&sql, "CREATE TABLE %s (", quoted);
  for (size_t i = 0; i < t->count; i++) {
    const struct column *c = &t->columns[i];
    if (i > 0) buffer_text(&sql, ", ");
    add_name(&sql, c->name);
    buffer_print(&sql, " %s", declared_type(c->type));
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

char *postgres_table_add_sql(const struct column *column, const char *quoted) {
  struct buffer sql = {0};
  buffer_print(&sql, "ALTER TABLE %s ADD COLUMN IF NOT EXISTS ", quoted);
  add_name(&sql, column->name);
  buffer_print(&sql, " %s", declared_type(column->type));
  return take_text(&sql);
}

char *postgres_table_copy_sql(const struct table *t, const char *quoted) {
  struct buffer sql = {0};
  buffer_print(&sql, "COPY %s (", quoted);
  add_used_names(&sql, t);
  buffer_text(&sql, ") FROM STDIN (FORMAT binary)");
  return take_text(&sql);
}

char *postgres_table_commit_sql(const struct table *t, uint32_t relation) {
  struct buffer sql = {0};
  size_t used = 0;
  buffer_print(&sql, "SELECT 1 / (count(*) = ");
  for (size_t i = 0; i < t->count; i++) used += t->columns[i].used;
  buffer_print(&sql, "%zu)::int FROM pg_attribute WHERE attrelid = %u AND NOT attisdropped AND (attname, atttypid) IN (('', 0)", used,
               relation);
  for (size_t i = 0; i < t->count; i++) {
    if (!t->columns[i].used) continue;
    char *name = postgres_quote_text(t->columns[i].name);
    buffer_print(&sql, ", (%s, %u)", name, t->columns[i].declared_oid);
    free(name);
  }
  buffer_text(&sql, "); COMMIT");
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

bool postgres_table_key_is_exact(const struct table *t) {
  for (size_t i = 0; i < t->count; i++)
    if (t->columns[i].key && !postgres_is_exact(&t->columns[i])) return false;
  return true;
}

char *postgres_table_delete_sql(const struct table *t, const char *quoted) {
  struct buffer sql = {0}, arrays = {0}, aliases = {0}, where = {0};
  unsigned n = 0;
  for (size_t i = 0; i < t->count; i++) {
    const struct column *c = &t->columns[i];
    if (!c->key) continue;
    n++;
    const char *comma = n > 1 ? ", " : "";
    buffer_text(&where, n > 1 ? " AND w." : "w.");
    add_name(&where, c->name);
    buffer_print(&where, " = u.c%u%s%s", n, c->cast ? "::" : "", c->cast ? c->cast : "");
    buffer_print(&arrays, "%s$%u", comma, n);
    buffer_print(&aliases, "%sc%u", comma, n);
  }
  buffer_print(&sql, "DELETE FROM %s AS w USING unnest(%s) AS u(%s) WHERE %s", quoted, buffer_cstring(&arrays), buffer_cstring(&aliases),
               buffer_cstring(&where));
  buffer_free(&arrays);
  buffer_free(&aliases);
  buffer_free(&where);
  return take_text(&sql);
}

char *postgres_table_insert_sql(const struct table *t, const char *quoted, bool upsert) {
  struct buffer sql = {0}, arrays = {0}, aliases = {0};
  unsigned n = 0;
  buffer_print(&sql, "INSERT INTO %s (", quoted);
  add_used_names(&sql, t);
  buffer_text(&sql, ") SELECT ");
  for (size_t i = 0; i < t->count; i++) {
    const struct column *c = &t->columns[i];
    if (!c->used) continue;
    n++;
    const char *comma = n > 1 ? ", " : "";
    buffer_print(&sql, "%su.c%u%s%s", comma, n, c->cast ? "::" : "", c->cast ? c->cast : "");
    buffer_print(&arrays, "%s$%u", comma, n);
    buffer_print(&aliases, "%sc%u", comma, n);
  }
  buffer_print(&sql, " FROM unnest(%s) AS u(%s)", buffer_cstring(&arrays), buffer_cstring(&aliases));
  if (upsert) add_conflict(&sql, t);
  buffer_free(&arrays);
  buffer_free(&aliases);
  return take_text(&sql);
}

// ---- the key

static void refuse_key(const struct table *t, const char *quoted, bool view, struct error *e) {
  struct buffer names = {0};
  add_key_names(&names, t);
  table_key_refuse(quoted, buffer_cstring(&names), "", view, e);
  buffer_free(&names);
}

bool postgres_table_check_key(struct postgres *p, const char *quoted, const struct table *t, struct error *e) {
  static const char sql[] =
      "SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indimmediate "
      "AND i.indpred IS NULL AND i.indexprs IS NULL AND "
      "(SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE \"C\") FROM pg_attribute a WHERE a.attrelid = i.indrelid "
      "AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])) = "
      "(SELECT array_agg(k ORDER BY k COLLATE \"C\") FROM json_array_elements_text($2::json) k)), "
      "(SELECT relkind IN ('v', 'm') FROM pg_class WHERE oid = to_regclass($1))";
  char *names = table_key_json(t);
  struct postgres_result *r = ask(p, sql, quoted, names, e);
  bool fits = r && postgres_text(r, 0, 0)[0] == 't';
  if (r && !fits) refuse_key(t, quoted, postgres_text(r, 0, 1)[0] == 't', e);
  free(names);
  postgres_result_free(r);
  return fits;
}
