// The settings table as a page to read. See reference.h.
#include "supervisor/reference.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/settings.h"
#include "supervisor/settings_value.h"

static const char opening[] =
    "# Settings of a pipeline file\n"
    "\n"
    "Every name that a pipeline file may hold. This page is made from the settings table (`supervisor/settings_table.c`) by `make "
    "reference`;\n"
    "`weir check` says of a file what fits and what does not. `docs/pipeline.schema.json` tells the same to an editor.\n"
    "\n"
    "## How values are written\n"
    "\n"
    "The type of a value comes from its setting, never from how it looks: `nat: NO` is the text NO.\n"
    "\n"
    "| type | written as |\n"
    "|---|---|\n"
    "| text, path, URL, SQL | any text; quoted where YAML needs it |\n"
    "| number | `42` |\n"
    "| true or false | `true`, `false` |\n"
    "| share | `50%`, `0.5` |\n"
    "| time | `100ms`, `30s`, `5m`, `24h`, `90d`, `1h30m`, always with its unit |\n"
    "| size | `4096`, `64KiB`, `2MiB`, `1GiB` |\n"
    "| field | path of a field: `a.b[0].c`; `\\` before a dot that belongs to a name |\n"
    "| start | `earliest`, `latest`, or a UTC time `2025-11-08T00:00:00Z` |\n"
    "| node, list of nodes | `cleaned`, `[a, b]` |\n"
    "| columns | names with types: `id: text not null` |\n"
    "\n"
    "Types of columns: ";
static const char variables[] =
    "\n"
    "Inside values, after YAML was read:\n"
    "\n"
    "| written | becomes |\n"
    "|---|---|\n"
    "| `${NAME}` | the environment variable; not set is an error |\n"
    "| `${NAME:-default}` | the variable, or the default where it is not set or empty; a default may hold `${...}` |\n"
    "| `${file:PATH}` | the file's text without trailing newlines; relative to the pipeline file; never shown in messages |\n"
    "| `$${` | `${` |\n"
    "\n"
    "Inside `{...}` and `[...]` a value with `${...}` needs quotes: `{brokers: \"${KAFKA_BROKERS:-}\"}`.\n"
    "\n"
    "Anchors, aliases, tags and several documents in one file are not part of the language. A name stands once in a map.\n";

static const char closing[] = "\n"
                              "*Live*: may change while the pipeline runs, without a restart of the worker. A reload that makes use of it "
                              "is still to come: today SIGHUP\n"
                              "drains and starts again, whatever changed. *Decides what flows*: with another value the source counts as "
                              "another one, and stored positions\n"
                              "do not fit it any more (`weir positions`).\n";

static const char *type_word(const struct setting *s) {
  switch (s->type) {
  case SETTING_TEXT: return "text";
  case SETTING_INT: return "number";
  case SETTING_BOOL: return "true or false";
  case SETTING_RATIO: return "share";
  case SETTING_DURATION: return "time";
  case SETTING_SIZE: return "size";
  case SETTING_RING: return "size, a power of two";
  case SETTING_CHOICE: return "choice";
  case SETTING_START: return "start";
  case SETTING_LANES: return "`auto` or a number";
  case SETTING_NAME: return "name";
  case SETTING_FIELD: return "field";
  case SETTING_PATH: return "path";
  case SETTING_URL: return "URL";
  case SETTING_SQL: return "SQL";
  case SETTING_NODES: return "node, or list of nodes";
  case SETTING_TEXTS: return "text, or list of texts";
  case SETTING_TEXT_MAP: return "map of texts";
  case SETTING_MAPS: return "list of maps of texts";
  case SETTING_COLUMNS: return "columns";
  case SETTING_SQL_MAP: return "map of SQL conditions";
  case SETTING_GROUP: return "map";
  case SETTING_SECTION: return "nodes by name";
  }
  return "?";
}

// "1ms to 1h", "`all`, `changed`"; nothing where the type says it all.
static void print_range(const struct setting *s, struct buffer *out) {
  char least[32], most[32];
  switch (s->type) {
  case SETTING_DURATION:
    value_duration_text(s->least, least);
    value_duration_text(s->most, most);
    buffer_print(out, ", %s to %s", least, most);
    return;
  case SETTING_SIZE:
  case SETTING_RING:
    value_size_text(s->least, least);
    value_size_text(s->most, most);
    buffer_print(out, ", %s to %s", least, most);
    return;
  case SETTING_INT:
  case SETTING_LANES:
    if (s->least != INT64_MIN) buffer_print(out, s->most == INT64_MAX ? ", from %" PRId64 : ", %" PRId64 " to %" PRId64, s->least, s->most);
    return;
  case SETTING_CHOICE:
    buffer_text(out, ": `");
    for (const char *p = s->choices; *p; p++) buffer_text(out, *p == '|' ? "`, `" : (char[]){*p, '\0'});
    buffer_text(out, "`");
    return;
  case SETTING_TEXT:
  case SETTING_BOOL:
  case SETTING_RATIO:
  case SETTING_START:
  case SETTING_NAME:
  case SETTING_FIELD:
  case SETTING_PATH:
  case SETTING_URL:
  case SETTING_SQL:
  case SETTING_NODES:
  case SETTING_TEXTS:
  case SETTING_TEXT_MAP:
  case SETTING_MAPS:
  case SETTING_COLUMNS:
  case SETTING_SQL_MAP:
  case SETTING_GROUP:
  case SETTING_SECTION: return;
  }
}

static void print_row(const struct setting *s, const char *prefix, struct buffer *out) {
  buffer_print(out, "| `%s%s` | %s", prefix, s->name, type_word(s));
  print_range(s, out);
  buffer_text(out, " | ");
  if (s->flags & SETTING_REQUIRED)
    buffer_text(out, "**required**");
  else if (s->otherwise)
    buffer_print(out, *s->otherwise ? "`%s`" : "empty", s->otherwise);
  buffer_print(out, " | %s%s%s |\n", s->help, s->flags & SETTING_LIVE ? " *Live.*" : "",
               s->flags & SETTING_FLOWS ? " *Decides what flows.*" : "");
  for (size_t i = 0; s->group && i < s->group->count; i++) {
    char longer[100];
    snprintf(longer, sizeof longer, "%s%s.", prefix, s->name);
    print_row(&s->group->settings[i], longer, out);
  }
}

static void print_table(const struct setting_table *table, struct buffer *out) {
  const char *place = settings_place_name(table->place);
  if (table->place == SETTINGS_TOP)
    buffer_text(out, "\n## The outermost names\n");
  else if (!table->kind)
    buffer_print(out, "\n## %s\n", place);
  else
    buffer_print(out, "\n### %s: `type: %s`\n", place, table->kind);
  buffer_print(out, "\n%s\n", table->help);
  if (table->example) buffer_print(out, "\n```yaml\n%s```\n", table->example);
  if (table->count == 0) return;
  buffer_text(out, "\n| setting | type | default | |\n|---|---|---|---|\n");
  for (size_t i = 0; i < table->count; i++) print_row(&table->settings[i], "", out);
}

void reference_print(struct buffer *out) {
  buffer_text(out, opening);
  for (size_t i = 0; i < settings_column_type_count; i++) buffer_print(out, "%s`%s`", i ? ", " : "", settings_column_types[i]);
  buffer_text(out, ", each with `not null` where a value must be there.\n");
  buffer_text(out, variables);
  buffer_text(out, closing);
  for (size_t i = 0; i < settings_table_count; i++) print_table(settings_tables[i], out);
}

int reference_verb(bool schema) {
  struct buffer out = {0};
  if (schema)
    reference_print_schema(&out);
  else
    reference_print(&out);
  bool printed = fwrite(out.at, 1, out.length, stdout) == out.length && fflush(stdout) == 0;
  buffer_free(&out);
  return printed ? 0 : 1;
}
