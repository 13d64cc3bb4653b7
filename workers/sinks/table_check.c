// Checking a table sink: key and columns.
#include "workers/sinks/table_check.h"

#include <stdlib.h>
#include <string.h>

#include "workers/clients/postgres.h"
#include "workers/sinks/table_sink.h"
#include "workers/sinks/url.h"

// ---- what comes

bool check_known_columns(struct check *c, struct table *t) {
  struct error e = {0};
  table_expect(t, c->settings);
  for (size_t i = 0; c->columns_known && i < c->column_count; i++) {
    enum column_type type = COLUMN_TEXT;
    if (table_leaves_out(t, c->columns[i].name, strlen(c->columns[i].name))) continue;
    bool known = column_type_find(c->columns[i].type, &type);
    struct column *column = table_add(t, c->columns[i].name, type);
    column->guessed = !known;
    column->not_null = c->columns[i].not_null;
    column->used = true;
  }
  if (table_add_known_columns(t, c->settings, &e) >= 0) return true;
  check_find(c, CHECK_ERROR, "columns", -1, NULL, "%s", e.text);
  return false;
}

// ---- what comes against what is there

enum fit { FITS, FITS_SOMETIMES, FITS_NEVER };

static bool is_whole(enum column_type type) {
  return type == COLUMN_SMALLINT || type == COLUMN_INT || type == COLUMN_BIGINT;
}

static bool is_number(enum column_type type) {
  return is_whole(type) || type == COLUMN_REAL || type == COLUMN_DOUBLE || type == COLUMN_NUMERIC;
}

static bool is_time(enum column_type type) {
  return type == COLUMN_TIMESTAMP || type == COLUMN_DATE;
}

// The same rules as cell_convert, for types instead of values.
static enum fit fit_of(enum column_type from, enum column_type to) {
  if (from == to || to == COLUMN_TEXT || to == COLUMN_ANY || to == COLUMN_OTHER || from == COLUMN_ANY) return FITS;
  if (to == COLUMN_JSON) return from == COLUMN_TEXT ? FITS_SOMETIMES : FITS;
  if (from == COLUMN_TEXT || from == COLUMN_JSON || from == COLUMN_OTHER) return to == COLUMN_BYTES ? FITS : FITS_SOMETIMES;
  if (is_whole(from) && is_whole(to)) return to > from ? FITS : FITS_SOMETIMES;
  if (is_number(from) && is_whole(to)) return FITS_SOMETIMES;
  if (is_number(from) && is_number(to)) return FITS;
  if (is_whole(from) && to == COLUMN_BOOLEAN) return FITS_SOMETIMES;
  if (from == COLUMN_BOOLEAN && is_whole(to)) return FITS;
  if (is_time(from) && is_time(to)) return FITS;
  if (from == COLUMN_BYTES && to == COLUMN_UUID) return FITS_SOMETIMES;
  return FITS_NEVER;
}

static void check_column(struct check *c, const struct table_settings *s, const struct column *from, const struct table *there) {
  int32_t found = table_find(there, from->name, from->length);
  if (found == TABLE_NO_COLUMN) {
    if (s->evolve)
      check_find(c, CHECK_NOTE, "table", -1, NULL, "a run would add the column %s to %s", from->name, s->table);
    else
      check_find(c, CHECK_WARNING, "table", -1, NULL, "%s has no column %s: that field would be ignored (`evolve: add` adds it)", s->table,
                 from->name);
    return;
  }
  const struct column *to = &there->columns[found];
  enum fit fit = from->guessed || to->generated ? FITS : fit_of(from->type, to->type);
  if (fit == FITS_NEVER)
    check_find(c, CHECK_ERROR, "table", -1, NULL, "column %s of %s is of type %s and cannot hold %s", to->name, s->table,
               column_type_name(to->type), column_type_name(from->type));
  else if (to->most > 0 && !from->guessed)
    check_find(c, CHECK_WARNING, "table", -1, NULL,
               "column %s of %s takes at most %lld character%s; a %s that is longer becomes a dead letter", to->name, s->table,
               (long long)to->most, to->most == 1 ? "" : "s", column_type_name(from->type));
  else if (fit == FITS_SOMETIMES)
    check_find(c, CHECK_WARNING, "table", -1, NULL, "column %s of %s is of type %s; a %s that does not fit becomes a dead letter", to->name,
               s->table, column_type_name(to->type), column_type_name(from->type));
}

static bool is_given(const struct check *c, const struct table *input, const struct column *column) {
  if (table_leaves_out(input, column->name, column->length)) return false;
  for (size_t i = 0; i < c->column_count; i++)
    if (strcmp(c->columns[i].name, column->name) == 0) return true;
  return false;
}

// Neither a conflict nor an update comes before the refusal of a null: an upsert would not store a single row either.
static void check_needed(struct check *c, const struct table_settings *s, const struct table *input, const struct table *there) {
  for (size_t i = 0; i < there->count && c->columns_known; i++) {
    const struct column *column = &there->columns[i];
    if (!column->not_null || column->filled || column->generated || is_given(c, input, column)) continue;
    check_find(c, CHECK_ERROR, "table", -1, NULL,
               "column %s of %s is NOT NULL without a default, and nothing is given for it: every row would be refused", column->name,
               s->table);
  }
}

void check_columns(struct check *c, const struct table_settings *s, const struct table *input, const struct table *there) {
  for (size_t i = 0; i < input->count; i++) check_column(c, s, &input->columns[i], there);
  check_needed(c, s, input, there);
}

// ---- the whole

// A column of the key whose type nobody says would be guessed from the first rows.
static void check_key_type(struct check *c, const struct table *input, const char *name) {
  int32_t found = table_find(input, name, strlen(name));
  if (found == TABLE_NO_COLUMN ? c->columns_known : !input->columns[found].guessed) return;
  char *setting = memory_print("key.%s", name);
  check_find(c, CHECK_WARNING, setting, -1, NULL,
             "nobody declares the type of the key's column \"%s\": where weir makes the table its first value decides. A number makes it "
             "double, and integers that a double cannot hold become dead letters; anything else makes it text. Declare it in `columns:`",
             name);
  free(setting);
}

static void check_key_column(struct check *c, const struct table_settings *s, const struct table *input, const char *name) {
  if (c->columns_known && table_find(input, name, strlen(name)) == TABLE_NO_COLUMN) {
    char *setting = memory_print("key.%s", name);
    check_find(c, CHECK_ERROR, setting, -1, NULL, "the input of this sink has no column \"%s\"", name);
    free(setting);
  }
  if (s->create) check_key_type(c, input, name);
}

static void check_key(struct check *c, const struct table_settings *s, const struct table *input) {
  struct job_walk walk = job_walk_start(s->key);
  struct job_value element;
  size_t count = 0;
  while (job_walk_next(&walk, NULL, &element)) {
    char *name = job_value_text(element);
    if (name) check_key_column(c, s, input, name);
    free(name);
    count++;
  }
  if (s->upsert && count == 0) check_find(c, CHECK_ERROR, "mode", -1, NULL, "`mode: upsert` needs `key`: the columns that identify a row");
  if (s->deletes && !s->upsert)
    check_find(c, CHECK_ERROR, "delete", -1, NULL,
               "`delete: tombstones` needs `mode: upsert`: rows that are appended are not found by a key");
  if (!s->upsert && count > 0)
    check_find(c, CHECK_NOTE, "key", -1, NULL, "with `mode: append` the key only becomes the primary key of a table that weir makes");
}

static bool is_of_input(const struct check *c, const char *name) {
  struct job_walk walk = job_walk_start(job_get(c->settings, "input_columns"));
  struct job_value column;
  bool found = false;
  while (job_walk_next(&walk, NULL, &column)) {
    char *one = job_text(column, "name", "");
    found |= strcmp(one, name) == 0;
    free(one);
  }
  return found;
}

// Of several inputs together, since each may lack what another has.
static void check_without(struct check *c, const struct table *input) {
  bool known = job_has(job_get(c->settings, "input_columns"));
  for (size_t i = 0; known && i < input->without_count; i++) {
    if (is_of_input(c, input->without[i])) continue;
    char *setting = memory_print("without.%s", input->without[i]);
    check_find(c, CHECK_WARNING, setting, -1, NULL, "the input of this sink has no column \"%s\" to leave out", input->without[i]);
    free(setting);
  }
}

static bool has_guesses(const struct table *t) {
  for (size_t i = 0; i < t->count; i++)
    if (t->columns[i].guessed) return true;
  return false;
}

static void check_create(struct check *c, const struct table_settings *s, enum url_scheme scheme, struct table *input) {
  struct error e = {0};
  if (input->count == 0 || !table_mark_key(input, s->key, &e)) return; // an unknown key has its finding already
  if (has_guesses(input))
    check_find(c, CHECK_NOTE, "table", -1, NULL,
               "types that nobody declares are taken from the first rows when weir makes the table: numbers are double, all else is text");
  if (scheme == URL_SQLITE)
    check_sqlite_create(c, s, input);
  else
    check_postgres_create(c, s, input);
}

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

// A bare path was meant for a file of SQLite. Whatever else it may be could be a password, which is not repeated.
static void find_bad_scheme(struct check *c, const char *url, const struct error *e) {
  bool path = ends_with(url, ".db") || ends_with(url, ".sqlite") || ends_with(url, ".sqlite3");
  char *meant = path && !strpbrk(url, ":@=?& ") ? memory_print("sqlite:%s", url) : NULL;
  check_find(c, CHECK_ERROR, "url", -1, meant, "%s", e->text);
  free(meant);
}

// The scheme, and what stands behind it.
static bool check_address(struct check *c, const char *url, enum url_scheme *scheme) {
  struct error e = {0};
  if (!url_scheme_find(url, scheme, &e)) {
    find_bad_scheme(c, url, &e);
    return false;
  }
  if (*scheme != URL_POSTGRES || postgres_url_check(url, &e)) return true;
  check_find(c, CHECK_ERROR, "url", -1, NULL, "%s", e.text);
  return false;
}

void table_sink_check(struct check *c) {
  struct table_settings s;
  struct table input = {0};
  enum url_scheme scheme;
  table_settings_read(&s, c->settings);
  if (s.table[0] == '\0') check_find(c, CHECK_ERROR, "table", -1, NULL, "`table` is empty");
  bool known = check_address(c, s.url, &scheme), good = check_known_columns(c, &input);
  if (good) check_key(c, &s, &input);
  if (good) check_without(c, &input);
  if (known && good) {
    if (s.create) check_create(c, &s, scheme, &input);
    if (c->connect && scheme == URL_SQLITE) check_sqlite(c, &s, &input);
    if (c->connect && scheme == URL_POSTGRES) check_postgres(c, &s, &input);
  }
  table_free(&input);
  table_settings_free(&s);
}
