// Attaching the files of lookups, and taking newer ones in their place. See lookups.h.
#include "workers/sql/lookups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "workers/sql/discover.h"

enum { SCHEMA_NAME = 40 };

void sql_lookups_open(struct sql_engine *engine, const struct sql_spec *spec) {
  engine->lookups = memory_get((spec->lookup_count + 1) * sizeof *engine->lookups);
  engine->lookup_count = spec->lookup_count;
  for (size_t i = 0; i < spec->lookup_count; i++) {
    const struct sql_lookup *given = &spec->lookups[i];
    struct attached_lookup *l = &engine->lookups[i];
    *l = (struct attached_lookup){.shape = given->shape, .path = given->path ? memory_text(given->path) : NULL};
    l->reads = memory_get((given->shape->column_count + 1) * sizeof *l->reads);
  }
}

void sql_lookups_forget_wants(struct sql_engine *engine) {
  for (size_t i = 0; i < engine->lookup_count; i++) {
    struct attached_lookup *l = &engine->lookups[i];
    for (size_t k = 0; k < l->want_count; k++) free(l->wants[k].names);
    free(l->wants);
    l->wants = NULL;
    l->want_count = 0;
  }
}

void sql_lookups_free(struct sql_engine *engine) {
  sql_lookups_forget_wants(engine);
  for (size_t i = 0; i < engine->lookup_count; i++) {
    free(engine->lookups[i].path);
    free(engine->lookups[i].reads);
  }
  free(engine->lookups);
}

struct attached_lookup *sql_lookup_find(struct sql_engine *engine, const char *name) {
  for (size_t i = 0; i < engine->lookup_count; i++)
    if (strcasecmp(engine->lookups[i].shape->name, name) == 0) return &engine->lookups[i];
  return NULL;
}

const struct attached_lookup *sql_lookup_of(const struct sql_engine *engine, const char *table) {
  for (size_t i = 0; i < engine->lookup_count; i++)
    if (engine->lookups[i].attached && strcasecmp(engine->lookups[i].shape->name, table) == 0) return &engine->lookups[i];
  return NULL;
}

bool sql_lookups_attached(const struct sql_engine *engine) {
  for (size_t i = 0; i < engine->lookup_count; i++)
    if (engine->lookups[i].attached) return true;
  return false;
}

void sql_lookup_note(struct sql_engine *engine, const char *table, const char *column) {
  const struct attached_lookup *l = sql_lookup_of(engine, table);
  size_t index = lookup_column_find(l->shape, column);
  if (index < l->shape->column_count) l->reads[index] = true;
}

bool sql_engine_reads_lookup(const struct sql_engine *engine, size_t lookup) {
  return engine->lookups[lookup].attached;
}

bool sql_engine_reads_lookup_column(const struct sql_engine *engine, size_t lookup, size_t column) {
  return engine->lookups[lookup].reads[column];
}

bool sql_engine_scans_lookup(const struct sql_engine *engine) {
  return engine->scans_lookup;
}

// ---- attaching

// The schema of the file that is read, or of the next one.
static void schema_name(const struct sql_engine *engine, const struct attached_lookup *l, unsigned turn, char out[SCHEMA_NAME]) {
  snprintf(out, SCHEMA_NAME, "lookup %zu.%u", (size_t)(l - engine->lookups), turn);
}

// Our own statements pass the guard.
static int run_unguarded(struct sql_engine *engine, const char *sql) {
  engine->declaring = true;
  int code = sqlite3_exec(engine->db, sql, NULL, NULL, NULL);
  engine->declaring = false;
  return code;
}

static int run_printed(struct sql_engine *engine, char *sql) {
  int code = sql ? run_unguarded(engine, sql) : SQLITE_NOMEM;
  sqlite3_free(sql);
  return code;
}

static bool failed(struct sql_engine *engine, const struct attached_lookup *l, struct error *e) {
  error_set(e, ERROR_OUTAGE, "lookup", "lookup %s cannot be attached: %s", l->shape->name, sqlite3_errmsg(engine->db));
  return false;
}

// "file:PATH?immutable=1&mode=ro"; owned by the caller.
static char *file_uri(const char *path) {
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-";
  struct buffer uri = {0};
  buffer_text(&uri, "file:");
  for (const char *p = path; *p; p++) buffer_print(&uri, strchr(plain, *p) ? "%c" : "%%%02x", (unsigned char)*p);
  buffer_text(&uri, "?immutable=1&mode=ro");
  char *text = memory_text(buffer_cstring(&uri));
  buffer_free(&uri);
  return text;
}

static void detach(struct sql_engine *engine, const char *schema) {
  // Nothing reads it: it was attached a moment ago.
  (void)run_printed(engine, sqlite3_mprintf("DETACH \"%w\"", schema));
}

// A file under `schema`, tried out: its table has the columns that it should have.
static bool attach_file(struct sql_engine *engine, const struct attached_lookup *l, const char *path, const char *schema, struct error *e) {
  char *uri = file_uri(path);
  int code = run_printed(engine, sqlite3_mprintf("ATTACH %Q AS \"%w\"", uri, schema));
  free(uri);
  if (code != SQLITE_OK) return failed(engine, l, e);
  struct buffer sql = {0};
  char *start = sqlite3_mprintf("PRAGMA \"%w\".mmap_size=%lld; SELECT 1", schema, (long long)1 << 40);
  buffer_text(&sql, start ? start : "");
  sqlite3_free(start);
  for (size_t i = 0; i < l->shape->column_count; i++) {
    char *name = sqlite3_mprintf(",\"%w\"", l->shape->columns[i].name);
    buffer_text(&sql, name ? name : "");
    sqlite3_free(name);
  }
  char *from = sqlite3_mprintf(" FROM \"%w\".\"%w\" LIMIT 1", schema, l->shape->name);
  buffer_text(&sql, from ? from : "");
  sqlite3_free(from);
  code = run_unguarded(engine, buffer_cstring(&sql));
  buffer_free(&sql);
  if (code == SQLITE_OK) return true;
  failed(engine, l, e);
  detach(engine, schema);
  return false;
}

// In the connection's own memory, with the same indexes, so that the plan is the same.
static bool make_empty(struct sql_engine *engine, const struct attached_lookup *l, struct error *e) {
  struct buffer sql = {0};
  lookup_table_sql(l->shape, NULL, &sql);
  buffer_byte(&sql, ';');
  lookup_indexes_sql(l->shape, NULL, &sql);
  bool made = run_unguarded(engine, buffer_cstring(&sql)) == SQLITE_OK;
  buffer_free(&sql);
  return made || failed(engine, l, e);
}

bool sql_lookup_attach(struct sql_engine *engine, struct attached_lookup *l, struct error *e) {
  char schema[SCHEMA_NAME];
  size_t attached = 0;
  for (size_t i = 0; i < engine->lookup_count; i++) attached += engine->lookups[i].attached;
  if (attached == SQL_LOOKUPS_MOST) {
    error_set(e, ERROR_CONFIG, "lookup", "one SELECT may join at most %d lookups", SQL_LOOKUPS_MOST);
    return false;
  }
  schema_name(engine, l, l->turn, schema);
  if (l->path ? !attach_file(engine, l, l->path, schema, e) : !make_empty(engine, l, e)) return false;
  l->attached = true;
  engine->makes_subtypes |= lookup_shape_generates(l->shape);
  return true;
}

bool sql_lookup_attach_next(struct sql_engine *engine, struct attached_lookup *l, const char *path, struct error *e) {
  char schema[SCHEMA_NAME];
  schema_name(engine, l, l->turn + 1, schema);
  if (!attach_file(engine, l, path, schema, e)) return false;
  free(l->path);
  l->path = memory_text(path);
  return true;
}

bool sql_lookup_detach_old(struct sql_engine *engine, struct attached_lookup *l, struct error *e) {
  char schema[SCHEMA_NAME];
  schema_name(engine, l, l->turn++, schema);
  if (run_printed(engine, sqlite3_mprintf("DETACH \"%w\"", schema)) == SQLITE_OK) return true;
  error_set(e, ERROR_OUTAGE, "lookup", "the old table of lookup %s cannot be given up: %s", l->shape->name, sqlite3_errmsg(engine->db));
  return false;
}

// ---- types

void sql_lookups_types(struct sql_engine *engine) {
  for (size_t i = 0; i < engine->output.count; i++) {
    struct output_column *out = &engine->output.columns[i];
    const char *table = sqlite3_column_table_name(engine->statement, out->statement_column);
    const char *name = sqlite3_column_origin_name(engine->statement, out->statement_column);
    const struct attached_lookup *l = table && name ? sql_lookup_of(engine, table) : NULL;
    size_t c = l ? lookup_column_find(l->shape, name) : 0;
    if (!l || c == l->shape->column_count) continue;
    // A key's boolean or timestamp is a plain integer here.
    const struct lookup_column *column = &l->shape->columns[c];
    if (column->generated || !lookup_function(column->rule.type)) out->known = column->rule.type;
  }
}

// ---- messages

void sql_lookups_report_column(struct sql_engine *engine, struct sql_problems *problems, long offset, const char *name,
                               const char *message) {
  struct buffer text = {0};
  const char *last = strrchr(name, '.'), *nearest = NULL;
  buffer_text(&text, message);
  for (size_t i = 0; i < engine->lookup_count; i++) {
    const struct lookup_shape *shape = engine->lookups[i].shape;
    if (!engine->lookups[i].attached) continue;
    const char **names = memory_get(shape->column_count * sizeof *names);
    buffer_print(&text, "; lookup %s has", shape->name);
    for (size_t c = 0; c < shape->column_count; c++) {
      names[c] = shape->columns[c].name;
      buffer_print(&text, "%s %s", c ? "," : "", names[c]);
    }
    if (!nearest) nearest = sql_nearest(last ? last + 1 : name, names, shape->column_count);
    free(names);
  }
  sql_problem_add(problems, false, "sql", offset, nearest, "%s", buffer_cstring(&text));
  buffer_free(&text);
}
