// Discovery: which table and which fields does the SQL read? SQLite is asked, the text is never parsed by us: it is prepared again and
// again, and each "no such table" and "no such column" names what to declare next.
//
// A name in such a message may carry the table's name in front ("e.categories[0].id"), and paths hold dots too. So the whole name is tried
// as a column, then what stands behind each dot; the one that changes the message is kept. An unqualified name goes to the input stream,
// because that is tried before each().
#include "workers/sql/discover.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/limits.h"
#include "workers/sql/connection.h"
#include "workers/sql/input_table.h"
#include "workers/sql/lookups.h"

struct discovery {
  struct sql_engine *engine;
  const struct sql_spec *spec;
  struct sql_problems *problems;
  char message[1024]; // of the last prepare
  const char *tail;
};

void sql_problem_add(struct sql_problems *problems, bool warning, const char *setting, long offset, const char *suggestion,
                     const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  problems->list = memory_resize(problems->list, (problems->count + 1) * sizeof *problems->list);
  problems->list[problems->count++] = (struct sql_problem){
      .warning = warning,
      .setting = memory_text(setting),
      .text = memory_text(text),
      .suggestion = suggestion ? memory_text(suggestion) : NULL,
      .offset = offset,
  };
}

// Levenshtein's distance without regard to case, of names up to LIMIT_NAME bytes.
static size_t distance(const char *a, const char *b) {
  size_t row[LIMIT_NAME + 1], length = strlen(b);
  if (strlen(a) > LIMIT_NAME || length > LIMIT_NAME) return SIZE_MAX;
  for (size_t i = 0; i <= length; i++) row[i] = i;
  for (size_t i = 0; a[i]; i++) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t k = 0; k < length; k++) {
      size_t change = diagonal + (strncasecmp(a + i, b + k, 1) != 0);
      diagonal = row[k + 1];
      size_t least = row[k] < row[k + 1] ? row[k] : row[k + 1];
      row[k + 1] = change < least + 1 ? change : least + 1;
    }
  }
  return row[length];
}

const char *sql_nearest(const char *name, const char *const *names, size_t count) {
  size_t best = strlen(name) / 3 + 1;
  const char *found = NULL;
  for (size_t i = 0; i < count; i++) {
    size_t far = distance(name, names[i]);
    if (far > best || (found && far == best)) continue;
    best = far;
    found = names[i];
  }
  return found;
}

// The first place in the SQL where `word` stands as a name; -1: nowhere.
static long find_word(const char *sql, const char *word) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_$";
  size_t length = strlen(word);
  for (const char *at = sql; length > 0 && (at = strcasestr(at, word)); at++) {
    bool begins = at == sql || !strchr(letters, at[-1]), ends = at[length] == '\0' || !strchr(letters, at[length]);
    if (begins && ends) return at - sql;
  }
  return -1;
}

// One try: 0 and engine->statement, or SQLite's code with the message kept.
static int prepare(struct discovery *d) {
  struct sql_engine *engine = d->engine;
  engine->refused[0] = '\0';
  engine->reads_clock = false;
  int code = sqlite3_prepare_v3(engine->db, engine->sql, -1, SQLITE_PREPARE_PERSISTENT, &engine->statement, &d->tail);
  snprintf(d->message, sizeof d->message, "%s", code == SQLITE_OK ? "" : sqlite3_errmsg(engine->db));
  return code;
}

static const char *behind(const char *text, const char *prefix) {
  size_t length = strlen(prefix);
  return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

static const char *nearest_table(const struct discovery *d, const char *name) {
  const struct sql_spec *spec = d->spec;
  const char **names = memory_get((spec->input_count + spec->lookup_count + 1) * sizeof *names);
  size_t count = 0;
  for (size_t i = 0; i < spec->input_count; i++) names[count++] = spec->inputs[i];
  for (size_t i = 0; i < spec->lookup_count; i++) names[count++] = spec->lookups[i].shape->name;
  const char *nearest = sql_nearest(name, names, count);
  free(names);
  return nearest;
}

static bool attach_lookup(struct discovery *d, struct attached_lookup *lookup, long offset) {
  struct error e = {0};
  if (sql_lookup_attach(d->engine, lookup, &e)) return true;
  // Its own setting tells the caller that the SQL is not to blame.
  sql_problem_add(d->problems, false, e.class == ERROR_OUTAGE ? SQL_LOOKUPS : "sql", offset, NULL, "%s", e.text);
  return false;
}

// "no such table: NAME": declares it when it is an input, attaches it when it is a lookup.
static bool find_table(struct discovery *d, const char *name) {
  struct sql_engine *engine = d->engine;
  const struct sql_spec *spec = d->spec;
  size_t i = 0;
  const char *plain = behind(name, "main.");
  if (plain) name = plain;
  while (i < spec->input_count && strcasecmp(spec->inputs[i], name) != 0) i++;
  long offset = find_word(spec->sql, name);
  struct attached_lookup *lookup = sql_lookup_find(engine, name);
  if (lookup && plain) {
    sql_problem_add(d->problems, false, "sql", offset, NULL, "a lookup is named without \"main.\" in front: \"%s\"", name);
    return false;
  }
  if (lookup) return attach_lookup(d, lookup, offset);
  if (i == spec->input_count) {
    sql_problem_add(d->problems, false, "sql", offset, nearest_table(d, name), "there is no source, topic, transform or lookup \"%s\"",
                    name);
    return false;
  }
  if (engine->stream_name) {
    sql_problem_add(d->problems, false, "sql", offset, NULL, "a stage reads one stream: \"%s\" and \"%s\" cannot be joined",
                    engine->stream_name, spec->inputs[i]);
    return false;
  }
  engine->stream_name = memory_text(spec->inputs[i]);
  engine->input_index = i;
  if (sql_input_declare(engine, engine->stream_name) == SQLITE_OK) return true;
  sql_problem_add(d->problems, false, "sql", offset, NULL, "the name \"%s\" cannot be a table: %s", name, sqlite3_errmsg(engine->db));
  return false;
}

static int declare(struct sql_engine *engine, const struct sql_table_columns *columns) {
  return columns == &engine->input_columns ? sql_input_declare(engine, engine->stream_name) : sql_each_declare(engine);
}

static void field_names_drop_last(struct field_names *names) {
  struct field_column *last = &names->columns[--names->count];
  free(last->name);
  msgpack_path_free(last->path);
}

// Declares one candidate and prepares. True: the message changed, so the candidate was meant.
static bool try_column(struct discovery *d, struct sql_table_columns *columns, const char *name) {
  struct sql_engine *engine = d->engine;
  struct error e = {0};
  char before[sizeof d->message];
  if (columns->names.count >= LIMIT_FIELDS || field_names_find(&columns->names, name) >= 0) return false;
  const char *path = columns == &engine->each_columns ? sql_each_path(name) : name;
  if (!field_names_add(&columns->names, name, path, &e)) return false;
  memcpy(before, d->message, sizeof before);
  if (declare(engine, columns) == SQLITE_OK && (prepare(d) == SQLITE_OK || strcmp(before, d->message) != 0)) return true;
  memcpy(d->message, before, sizeof before);
  field_names_drop_last(&columns->names);
  // What was declared a moment ago without the candidate is declared so again.
  (void)declare(engine, columns);
  return false;
}

// "no such column: e.a.b": leaves the statement prepared, or the next message. False: no candidate helps.
static bool find_column(struct discovery *d, const char *full) {
  char name[sizeof d->message];
  snprintf(name, sizeof name, "%s", full);
  for (const char *at = name; at; at = strchr(at, '.') ? strchr(at, '.') + 1 : NULL) {
    if (*at == '\0') continue;
    if (d->engine->stream_name && try_column(d, &d->engine->input_columns, at)) return true;
    if (try_column(d, &d->engine->each_columns, at)) return true;
  }
  return false;
}

static bool is_word(char c) {
  return isalnum((unsigned char)c) || c == '_' || c == '$';
}

// True when the word before `at` is FROM or JOIN: only there is a keyword meant as a name.
static bool follows_from(const char *sql, const char *at) {
  while (at > sql && isspace((unsigned char)at[-1])) at--;
  return at - sql >= 4 && (strncasecmp(at - 4, "from", 4) == 0 || strncasecmp(at - 4, "join", 4) == 0);
}

// Whether the text has the name as a word that nothing quotes, where SQL reads it as something else.
static bool needs_quotes(const char *sql, const char *name) {
  size_t length = strlen(name);
  bool dashes = strchr(name, '-'), keyword = sqlite3_keyword_check(name, (int)length);
  if (!dashes && !keyword) return false;
  for (const char *at = strcasestr(sql, name); at; at = strcasestr(at + 1, name)) {
    bool begins = at == sql || (!is_word(at[-1]) && !strchr("\"'`[-.", at[-1])), ends = !is_word(at[length]) && at[length] != '-';
    if (begins && ends && (dashes || follows_from(sql, at))) return true;
  }
  return false;
}

// The name of an input or lookup that must be quoted and is not; NULL: there is none.
static const char *find_unquoted(const struct sql_spec *spec) {
  for (size_t i = 0; i < spec->input_count; i++)
    if (needs_quotes(spec->sql, spec->inputs[i])) return spec->inputs[i];
  for (size_t i = 0; i < spec->lookup_count; i++)
    if (needs_quotes(spec->sql, spec->lookups[i].shape->name)) return spec->lookups[i].shape->name;
  return NULL;
}

static void report(struct discovery *d, const char *name) {
  struct sql_engine *engine = d->engine;
  const char *unquoted;
  long offset = sqlite3_error_offset(engine->db);
  if (offset < 0 && name) {
    const char *last = strrchr(name, '.');
    offset = find_word(d->spec->sql, last ? last + 1 : name);
  }
  if (engine->refused[0])
    sql_problem_add(d->problems, false, "sql", offset, NULL, "%s", engine->refused);
  else if (behind(d->message, "ambiguous column name: "))
    sql_problem_add(d->problems, false, "sql", offset, NULL, "%s (write the table's name in front)", d->message);
  else if (name && sql_lookups_attached(engine))
    sql_lookups_report_column(engine, d->problems, offset, name, d->message);
  else if (name && strchr(name, '.'))
    sql_problem_add(d->problems, false, "sql", offset, NULL, "%s (a path below a field is written in double quotes: e.\"a.b[0].c\")",
                    d->message);
  else if (!name && (unquoted = find_unquoted(d->spec)))
    sql_problem_add(d->problems, false, "sql", offset, NULL, "%s (the name %s is written in double quotes in SQL: \"%s\")", d->message,
                    unquoted, unquoted);
  else
    sql_problem_add(d->problems, false, "sql", offset, NULL, "%s", d->message);
}

// "cannot join using column NAME - column not present in both tables"
static bool find_using(struct discovery *d, const char *rest) {
  char name[sizeof d->message];
  const char *end = strstr(rest, " - ");
  if (!end) return false;
  snprintf(name, sizeof name, "%.*s", (int)(end - rest), rest);
  bool input = try_column(d, &d->engine->input_columns, name);
  return input || try_column(d, &d->engine->each_columns, name);
}

static bool discover_names(struct discovery *d) {
  int code = prepare(d);
  while (code != SQLITE_OK) {
    const char *name;
    bool found = false;
    if (d->engine->refused[0])
      name = NULL;
    else if ((name = behind(d->message, "no such table: "))) {
      if (!find_table(d, name)) return false;
      code = prepare(d);
      continue;
    } else if ((name = behind(d->message, "no such column: ")))
      found = find_column(d, name);
    else if ((name = behind(d->message, "cannot join using column ")))
      found = find_using(d, name);
    if (!found) {
      // The candidates have been tried since: one more prepare brings back the place of the error.
      (void)prepare(d);
      report(d, name);
      return false;
    }
    code = d->message[0] == '\0' ? SQLITE_OK : SQLITE_ERROR;
  }
  return true;
}

// What is left behind a statement: blanks, semicolons and comments only.
static bool is_blank(const char *text) {
  for (;;) {
    text += strspn(text, " \t\r\n\f;");
    if (text[0] == '-' && text[1] == '-') {
      text += strcspn(text, "\n");
    } else if (text[0] == '/' && text[1] == '*') {
      const char *end = strstr(text + 2, "*/");
      text = end ? end + 2 : "";
    } else {
      return text[0] == '\0';
    }
  }
}

static bool check_statement(struct discovery *d) {
  struct sql_engine *engine = d->engine;
  sqlite3_stmt *s = engine->statement;
  const char *why = NULL;
  long offset = -1;
  if (!s) {
    why = "there is no SELECT in it";
  } else if (!is_blank(d->tail)) {
    why = "one SELECT is all that a stage can be: there is something behind it";
    offset = d->tail - engine->sql;
  } else if (sqlite3_stmt_isexplain(s)) {
    why = "EXPLAIN is not allowed here: the plan is shown by `weir check`";
    offset = 0;
  } else if (!sqlite3_stmt_readonly(s) || sqlite3_column_count(s) == 0) {
    why = "only a SELECT is allowed here: it may not change anything";
    offset = 0;
  } else if (sqlite3_bind_parameter_count(s) > 0) {
    why = "parameters (?, :name) have no value here";
  } else if (!engine->stream_name) {
    why = "it reads no stream: name one in FROM";
  }
  if (why) sql_problem_add(d->problems, false, "sql", offset, NULL, "%s", why);
  return !why;
}

bool sql_discover(struct sql_engine *engine, const struct sql_spec *spec, struct sql_problems *problems) {
  struct discovery d = {.engine = engine, .spec = spec, .problems = problems, .tail = ""};
  sql_connection_guard(engine);
  return discover_names(&d) && check_statement(&d);
}
