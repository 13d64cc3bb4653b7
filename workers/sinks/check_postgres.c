// `weir check --connect` of a table in PostgreSQL. Reads catalogs only; everything runs in a read-only transaction.
#include <stdlib.h>
#include <string.h>

#include "workers/clients/postgres.h"
#include "workers/sinks/postgres_table.h"
#include "workers/sinks/table_check.h"

enum { CONNECT_MS = 5000, STATEMENT_MS = 10000 };

void check_postgres_create(struct check *c, const struct table_settings *s, const struct table *input) {
  char *quoted = postgres_quote_table(s->table, NULL, NULL);
  char *sql = postgres_table_create_sql(input, quoted);
  check_find(c, CHECK_NOTE, "table", -1, NULL, "where it is absent a run makes it: %s", sql);
  free(sql);
  free(quoted);
}

// One yes or no. A question that the server does not answer is a finding.
static bool ask(struct check *c, struct postgres *p, const char *sql, const char *a, const char *b) {
  struct error e = {0};
  struct postgres_param params[] = {{.bytes = a}, {.bytes = b}};
  struct postgres_result *r = postgres_call(p, sql, params, b ? 2 : 1, &e);
  bool yes = r && postgres_text(r, 0, 0)[0] == 't';
  if (!r) check_find(c, CHECK_ERROR, "url", -1, NULL, "%s", e.text);
  postgres_result_free(r);
  return yes;
}

static void check_privilege(struct check *c, struct postgres *p, const char *quoted, const char *privilege) {
  if (!ask(c, p, "SELECT has_table_privilege($1, $2)", quoted, privilege))
    check_find(c, CHECK_ERROR, "url", -1, NULL, "the role has no %s privilege on %s", privilege, quoted);
}

// The schema that holds weir's own tables, and the target's when it is made: the one named, or the first of the search path.
static void check_may_create(struct check *c, struct postgres *p, const struct table_settings *s, const char *what) {
  char *schema, *quoted = postgres_quote_table(s->table, &schema, NULL);
  static const char sql[] = "SELECT coalesce(has_schema_privilege(coalesce(nullif($1, ''), current_schema()), 'CREATE'), false)";
  static const char exists[] = "SELECT coalesce(nullif($1, ''), current_schema()) IN (SELECT nspname FROM pg_namespace)";
  if (!ask(c, p, exists, schema ? schema : "", NULL))
    check_find(c, CHECK_ERROR, "table", -1, NULL, "schema %s does not exist", schema ? schema : "of the search path");
  else if (ask(c, p, sql, schema ? schema : "", NULL))
    check_find(c, CHECK_NOTE, "table", -1, NULL, "a run would make %s", what);
  else
    check_find(c, CHECK_ERROR, "url", -1, NULL, "a run would make %s, but the role may not create tables there", what);
  free(schema);
  free(quoted);
}

static void check_own(struct check *c, struct postgres *p, const struct table_settings *s, const char *quoted) {
  static const char *const privileges[] = {"SELECT", "INSERT", "UPDATE"};
  struct error e = {0};
  bool exists;
  if (!postgres_table_exists(p, quoted, &exists, &e))
    check_find(c, CHECK_ERROR, "url", -1, NULL, "%s", e.text);
  else if (!exists)
    check_may_create(c, p, s, quoted);
  else
    for (size_t i = 0; i < sizeof privileges / sizeof privileges[0]; i++) check_privilege(c, p, quoted, privileges[i]);
}

static void check_there(struct check *c, struct postgres *p, const struct table_settings *s, const char *quoted, struct table *input) {
  struct table there = {0};
  struct error e = {0};
  uint32_t relation;
  check_privilege(c, p, quoted, "INSERT");
  check_privilege(c, p, quoted, "SELECT");
  if (s->upsert) check_privilege(c, p, quoted, "UPDATE");
  if (!postgres_table_read(p, quoted, &there, &relation, &e))
    check_find(c, CHECK_ERROR, "table", -1, NULL, "%s", e.text);
  else {
    check_columns(c, s, input, &there);
    if (!table_mark_key(&there, s->key, &e) || (s->upsert && !postgres_table_check_key(p, quoted, &there, &e)))
      check_find(c, CHECK_ERROR, "key", -1, NULL, "%s", e.text);
  }
  table_free(&there);
}

static void check_table(struct check *c, struct postgres *p, const struct table_settings *s, struct table *input) {
  struct postgres_names names;
  struct error e = {0};
  bool exists;
  postgres_names_make(&names, s->table);
  if (!postgres_table_exists(p, names.table, &exists, &e))
    check_find(c, CHECK_ERROR, "table", -1, NULL, "%s", e.text);
  else if (exists)
    check_there(c, p, s, names.table, input);
  else if (s->create)
    check_may_create(c, p, s, names.table);
  else
    check_find(c, CHECK_ERROR, "table", -1, NULL, "table %s does not exist, and `create: false`", s->table);
  check_own(c, p, s, names.positions);
  check_own(c, p, s, names.dead);
  postgres_names_free(&names);
}

void check_postgres(struct check *c, const struct table_settings *s, struct table *input) {
  struct error e = {0};
  struct postgres_options options = {.url = s->url, .application = "weir check", .connect_ms = CONNECT_MS, .statement_ms = STATEMENT_MS};
  struct postgres *p = postgres_open(&options, &e);
  if (!p) {
    check_find(c, CHECK_ERROR, "url", -1, NULL, "%s", e.text);
    return;
  }
  int version = postgres_server_version(p);
  check_find(c, CHECK_NOTE, "url", -1, NULL, "connected to PostgreSQL %d.%d at %s; the line is %s", version / 10000, version % 10000,
             postgres_place(p), postgres_line(p));
  if (postgres_exec(p, "BEGIN READ ONLY", &e))
    check_table(c, p, s, input);
  else
    check_find(c, CHECK_ERROR, "url", -1, NULL, "%s", e.text);
  postgres_close(p);
}
