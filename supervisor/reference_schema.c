// The settings table as a JSON Schema (draft-07), for editors. It says what a file looks like before ${...} is replaced, so wherever a
// number or a choice is wanted, a text with ${ is fine too. What YAML takes for a number or a boolean may stand where a text is wanted.
#include <stddef.h>
#include <string.h>

#include "supervisor/json_text.h"
#include "supervisor/reference.h"
#include "supervisor/settings.h"

static void print_rows(struct json_text *j, const struct setting_table *const *tables, size_t count, const char *kind);

static void print_types(struct json_text *j, const char *const *types) {
  json_text_open(j, "type", '[');
  for (; *types; types++) json_text_string(j, NULL, *types);
  json_text_close(j, ']');
}

static void print_any_text(struct json_text *j) {
  print_types(j, (const char *const[]){"string", "number", "boolean", "null", NULL});
}

static void print_variable(struct json_text *j) {
  json_text_open(j, NULL, '{');
  json_text_string(j, "type", "string");
  json_text_string(j, "pattern", "\\$\\{");
  json_text_close(j, '}');
}

// One of two: what the setting wants, by a pattern of its text, or a ${...}.
static void print_pattern(struct json_text *j, const char *pattern, bool number) {
  json_text_open(j, "anyOf", '[');
  json_text_open(j, NULL, '{');
  json_text_string(j, "type", "string");
  json_text_string(j, "pattern", pattern);
  json_text_close(j, '}');
  if (number) {
    json_text_open(j, NULL, '{');
    json_text_string(j, "type", "number");
    json_text_close(j, '}');
  }
  print_variable(j);
  json_text_close(j, ']');
}

static void print_number(struct json_text *j, const struct setting *s) {
  json_text_open(j, "anyOf", '[');
  json_text_open(j, NULL, '{');
  json_text_string(j, "type", "integer");
  if (s->least != INT64_MIN) json_text_int(j, "minimum", s->least);
  if (s->most != INT64_MAX) json_text_int(j, "maximum", s->most);
  json_text_close(j, '}');
  if (s->type == SETTING_LANES) {
    json_text_open(j, NULL, '{');
    json_text_string(j, "const", "auto");
    json_text_close(j, '}');
  }
  print_variable(j);
  json_text_close(j, ']');
}

// Choices and booleans. YAML reads `1` and `true` as no texts, so a choice that looks like one is allowed in both forms.
static void print_choice(struct json_text *j, const char *choices) {
  json_text_open(j, "anyOf", '[');
  json_text_open(j, NULL, '{');
  json_text_open(j, "enum", '[');
  for (const char *p = choices; *p; p += *p == '|') {
    size_t length = strcspn(p, "|");
    char name[64] = "";
    memcpy(name, p, length < sizeof name ? length : sizeof name - 1);
    json_text_string(j, NULL, name);
    if (strcmp(name, "true") == 0 || strcmp(name, "false") == 0) json_text_bool(j, NULL, name[0] == 't');
    if (strcmp(name, "1") == 0) json_text_int(j, NULL, 1);
    p += length;
  }
  json_text_close(j, ']');
  json_text_close(j, '}');
  print_variable(j);
  json_text_close(j, ']');
}

static void print_list_of_texts(struct json_text *j) {
  json_text_open(j, "anyOf", '[');
  json_text_open(j, NULL, '{');
  print_any_text(j);
  json_text_close(j, '}');
  json_text_open(j, NULL, '{');
  json_text_string(j, "type", "array");
  json_text_int(j, "minItems", 1);
  json_text_open(j, "items", '{');
  print_any_text(j);
  json_text_close(j, '}');
  json_text_close(j, '}');
  json_text_close(j, ']');
}

static void print_text_map(struct json_text *j) {
  json_text_string(j, "type", "object");
  json_text_open(j, "additionalProperties", '{');
  print_any_text(j);
  json_text_close(j, '}');
}

static void print_type(struct json_text *j, const struct setting *s) {
  switch (s->type) {
  case SETTING_TEXT:
  case SETTING_NAME:
  case SETTING_FIELD:
  case SETTING_PATH:
  case SETTING_URL:
  case SETTING_SQL: print_any_text(j); return;
  case SETTING_INT:
  case SETTING_LANES: print_number(j, s); return;
  case SETTING_BOOL: print_choice(j, "true|false"); return;
  case SETTING_CHOICE: print_choice(j, s->choices); return;
  case SETTING_START: print_pattern(j, "^(earliest|latest|[0-9]{4}-[0-9]{2}-[0-9]{2}.*)$", false); return;
  case SETTING_RATIO: print_pattern(j, "^[0-9]+(\\.[0-9]+)?%?$", true); return;
  case SETTING_DURATION: print_pattern(j, "^(0|([0-9]+(ms|s|m|h|d))+)$", s->least == 0); return;
  case SETTING_SIZE:
  case SETTING_RING: print_pattern(j, "^[0-9]+(B|KiB|MiB|GiB|kB|MB|GB)?$", true); return;
  case SETTING_NODES:
  case SETTING_TEXTS: print_list_of_texts(j); return;
  case SETTING_TEXT_MAP:
  case SETTING_SQL_MAP: print_text_map(j); return;
  case SETTING_COLUMNS:
    json_text_string(j, "type", "object");
    json_text_open(j, "additionalProperties", '{');
    print_pattern(j, "^ *(text|int|bigint|double|boolean|timestamp|date|json|bytes)( +not +null)? *$", false);
    json_text_close(j, '}');
    return;
  case SETTING_MAPS:
    json_text_string(j, "type", "array");
    json_text_int(j, "minItems", 1);
    json_text_open(j, "items", '{');
    print_text_map(j);
    json_text_close(j, '}');
    return;
  case SETTING_GROUP: print_rows(j, &s->group, 1, NULL); return;
  case SETTING_SECTION: return;
  }
}

// One way to write a node of `place`, or each of them.
static void print_section(struct json_text *j, enum settings_place place) {
  const struct setting_table *common = settings_find(place, NULL);
  bool kinds = false;
  json_text_string(j, "type", "object");
  json_text_open(j, "additionalProperties", '{');
  for (size_t i = 0; i < settings_table_count; i++) kinds |= settings_tables[i]->place == place && settings_tables[i]->kind;
  if (kinds) {
    json_text_open(j, "oneOf", '[');
    for (size_t i = 0; i < settings_table_count; i++) {
      const struct setting_table *table = settings_tables[i];
      if (table->place != place || !table->kind) continue;
      json_text_open(j, NULL, '{');
      json_text_string(j, "description", table->help);
      print_rows(j, (const struct setting_table *const[]){common, table}, 2, table->kind);
      json_text_close(j, '}');
    }
    json_text_close(j, ']');
  } else if (common->count > 0) {
    print_rows(j, &common, 1, NULL);
  }
  json_text_close(j, '}');
}

static void print_row(struct json_text *j, const struct setting *s, const char *kind) {
  json_text_open(j, s->name, '{');
  json_text_string(j, "description", s->help);
  if (s->otherwise) json_text_string(j, "default", s->otherwise);
  if (kind && strcmp(s->name, "type") == 0) {
    json_text_string(j, "const", kind);
  } else if (s->type == SETTING_SECTION) {
    for (enum settings_place p = SETTINGS_SOURCE; p <= SETTINGS_SINK; p++)
      if (strcmp(settings_place_name(p), s->name) == 0) print_section(j, p);
  } else {
    print_type(j, s);
  }
  json_text_close(j, '}');
}

static void print_rows(struct json_text *j, const struct setting_table *const *tables, size_t count, const char *kind) {
  json_text_string(j, "type", "object");
  json_text_open(j, "properties", '{');
  for (size_t t = 0; t < count; t++)
    for (size_t i = 0; i < tables[t]->count; i++) print_row(j, &tables[t]->settings[i], kind);
  json_text_close(j, '}');
  json_text_open(j, "required", '[');
  for (size_t t = 0; t < count; t++)
    for (size_t i = 0; i < tables[t]->count; i++)
      if (tables[t]->settings[i].flags & SETTING_REQUIRED) json_text_string(j, NULL, tables[t]->settings[i].name);
  json_text_close(j, ']');
  json_text_bool(j, "additionalProperties", false);
}

static void print_needed(struct json_text *j, const char *first, const char *second) {
  json_text_open(j, NULL, '{');
  json_text_open(j, "required", '[');
  json_text_string(j, NULL, first);
  if (second) json_text_string(j, NULL, second);
  json_text_close(j, ']');
  json_text_close(j, '}');
}

// A file needs both ends; topics may be either.
static void print_ends(struct json_text *j) {
  json_text_open(j, "anyOf", '[');
  print_needed(j, "sources", "sinks");
  print_needed(j, "topics", NULL);
  json_text_close(j, ']');
}

void reference_print_schema(struct buffer *out) {
  struct json_text j = {.out = out, .pretty = true};
  const struct setting_table *top = settings_find(SETTINGS_TOP, NULL);
  json_text_open(&j, NULL, '{');
  json_text_string(&j, "$schema", "http://json-schema.org/draft-07/schema#");
  json_text_string(&j, "title", "A weir pipeline");
  print_rows(&j, &top, 1, NULL);
  print_ends(&j);
  json_text_close(&j, '}');
  buffer_byte(out, '\n');
}
