// The table put to work: one map of the file against its rows. Every row's type has one function that checks a value and writes it.
#include "supervisor/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/error.h"
#include "proto/hash.h"
#include "proto/limits.h"
#include "proto/msgpack.h"
#include "supervisor/plan_report.h"
#include "supervisor/secret.h"
#include "supervisor/settings_value.h"
#include "supervisor/suggest.h"

struct take {
  const struct settings_context *context;
  const struct setting *setting;
  struct buffer *out;
};

static bool take_value(const struct take *t, const struct config_node *node);

const struct setting_table *settings_find(enum settings_place place, const char *kind) {
  for (size_t i = 0; i < settings_table_count; i++) {
    const struct setting_table *table = settings_tables[i];
    if (table->place != place || !table->kind != !kind) continue;
    if (!kind || strcmp(table->kind, kind) == 0) return table;
  }
  return NULL;
}

const struct setting *settings_row(const struct setting_table *const *tables, size_t count, const char *name) {
  for (size_t t = 0; t < count; t++)
    for (size_t i = 0; i < tables[t]->count; i++)
      if (strcmp(tables[t]->settings[i].name, name) == 0) return &tables[t]->settings[i];
  return NULL;
}

const char *settings_place_name(enum settings_place place) {
  switch (place) {
  case SETTINGS_TOP: return "pipeline";
  case SETTINGS_SOURCE: return "sources";
  case SETTINGS_TRANSFORM: return "transforms";
  case SETTINGS_TOPIC: return "topics";
  case SETTINGS_LOOKUP: return "lookups";
  case SETTINGS_SINK: return "sinks";
  case SETTINGS_GROUP: return "group";
  }
  return "?";
}

// ---- writing msgpack into a growing buffer

static struct msgpack_writer writer_for(struct buffer *out, size_t bytes) {
  buffer_reserve(out, bytes + 9);
  return (struct msgpack_writer){.at = out->at + out->length, .end = out->at + out->room};
}

static void written(struct buffer *out, const struct msgpack_writer *w) {
  out->length = (size_t)(w->at - out->at);
}

static void put_text(struct buffer *out, const char *text) {
  struct msgpack_writer w = writer_for(out, strlen(text));
  msgpack_write_cstring(&w, text);
  written(out, &w);
}

static void put_int(struct buffer *out, int64_t value) {
  struct msgpack_writer w = writer_for(out, 0);
  msgpack_write_int(&w, value);
  written(out, &w);
}

static void put_bool(struct buffer *out, bool value) {
  struct msgpack_writer w = writer_for(out, 0);
  msgpack_write_bool(&w, value);
  written(out, &w);
}

static void put_double(struct buffer *out, double value) {
  struct msgpack_writer w = writer_for(out, 0);
  msgpack_write_double(&w, value);
  written(out, &w);
}

static void put_map(struct buffer *out, size_t count) {
  struct msgpack_writer w = writer_for(out, 0);
  msgpack_write_map(&w, (uint32_t)count);
  written(out, &w);
}

static void put_array(struct buffer *out, size_t count) {
  struct msgpack_writer w = writer_for(out, 0);
  msgpack_write_array(&w, (uint32_t)count);
  written(out, &w);
}

// ---- messages

static bool complain(const struct take *t, const struct config_node *node, const char *suggestion, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static bool complain(const struct take *t, const struct config_node *node, const char *suggestion, const char *format, ...) {
  char text[ERROR_TEXT];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  plan_report_add_value(t->context->report, CHECK_ERROR, node, suggestion, "`%s` %s", t->setting->name, text);
  return false;
}

static bool is_hidden(const struct take *t, const struct config_node *node) {
  return node->secret || (t->setting->flags & SETTING_SECRET);
}

// What the file says, for messages: shortened; as it was written where the value may be a secret.
static const char *shown(const struct take *t, const struct config_node *node, char out[80]) {
  const char *text = is_hidden(t, node) ? (node->span_count ? node->written : "...") : node->text;
  snprintf(out, 80, strlen(text) > 60 ? "%.57s..." : "%s", text);
  return out;
}

// Of a name without a value between { and } that is the rest of the value before it: {sql: SELECT a, b FROM c}.
static const char *comma_hint(const struct config_node *map, size_t index) {
  bool rest = map->flow && index > 0 && index < map->count && config_is_empty(&map->entries[index].value);
  return rest ? ": inside { } a comma ends a value, so quote the one before it" : "";
}

// ---- one function for each family of types

static bool take_text_type(const struct take *t, const struct config_node *node) {
  char quote[80];
  int64_t micros;
  const struct setting *s = t->setting;
  const char *text = node->text;
  if (!*text && !(s->flags & SETTING_EMPTY)) {
    const char *hint = node->span_count ? " (its ${...} is empty here)" : "";
    return complain(t, node, NULL, "needs a value%s", hint);
  }
  // Paths are told in messages; a login in an address would be told with it.
  if ((s->type == SETTING_PATH || (s->flags & SETTING_FILES)) && strstr(text, "://"))
    return complain(t, node, NULL, "must be the path of a file, not an address");
  if (s->type == SETTING_CHOICE && !value_choice(text, s->choices)) {
    struct suggest near = suggest_start(text);
    char *copy = memory_text(s->choices), *rest = copy;
    for (char *one; (one = strsep(&rest, "|"));) suggest_try(&near, one);
    char list[200];
    size_t used = 0;
    for (const char *p = s->choices; *p && used < sizeof list - 8; p++)
      used += (size_t)snprintf(list + used, sizeof list - used, *p == '|' ? " or " : "%c", *p);
    bool fine = complain(t, node, near.best, "must be %s, not `%s`", list, shown(t, node, quote));
    free(copy);
    return fine;
  }
  if (s->type == SETTING_NAME && !value_name(text))
    return complain(t, node, NULL, "must be a name of letters, digits, `_`, `-`, `.`, at most 63 of them, not `%s`", shown(t, node, quote));
  if (s->type == SETTING_START && !value_choice(text, "earliest|latest") && !clock_parse(text, node->length, &micros))
    return complain(t, node, NULL, "must be earliest, latest or a time as 2025-11-08T00:00:00Z, not `%s`", shown(t, node, quote));
  if (s->type == SETTING_FIELD && *text) {
    struct error e = {0};
    struct msgpack_path *path = node->length <= LIMIT_PATH ? msgpack_path_new(text, &e) : NULL;
    if (!path) return complain(t, node, NULL, "must be the path of a field, as a.b[0].c: %s", e.text[0] ? e.text : "it is too long");
    msgpack_path_free(path);
  }
  put_text(t->out, text);
  return true;
}

static bool complain_range(const struct take *t, const struct config_node *node, const char *least, const char *most) {
  char quote[80];
  return complain(t, node, NULL, "must be from %s to %s, not `%s`", least, most, shown(t, node, quote));
}

static bool in_range(const struct take *t, const struct config_node *node, int64_t value, const char *least, const char *most) {
  const struct setting *s = t->setting;
  return (value >= s->least && value <= s->most) || complain_range(t, node, least, most);
}

// A hidden value must not come out as a suggestion either.
static const char *suggested(const struct take *t, const struct config_node *node, const char *near) {
  return is_hidden(t, node) ? NULL : near;
}

static bool take_int(const struct take *t, const struct config_node *node) {
  const struct setting *s = t->setting;
  char quote[80], least[32], most[32];
  int64_t value = 0;
  if (s->type == SETTING_LANES && strcmp(node->text, "auto") == 0) {
    put_int(t->out, 0);
    return true;
  }
  snprintf(least, sizeof least, "%lld", (long long)s->least);
  snprintf(most, sizeof most, "%lld", (long long)s->most);
  bool read = value_int(node->text, &value);
  if (!read && value_is_whole(node->text)) return complain_range(t, node, least, most); // more than 64 bits
  if (!read)
    return complain(t, node, NULL,
                    s->type == SETTING_LANES ? "must be auto or a whole number, not `%s`" : "must be a whole number, not `%s`",
                    shown(t, node, quote));
  if (!in_range(t, node, value, least, most)) return false;
  put_int(t->out, value);
  return true;
}

static bool take_duration(const struct take *t, const struct config_node *node) {
  char quote[80], least[32], most[32], near[VALUE_TEXT];
  int64_t value = 0, bare;
  if (value_int(node->text, &bare) && bare != 0)
    return complain(t, node, NULL, "needs a unit: `%s` as %sms, %ss, %sm, %sh or %sd?", shown(t, node, quote), quote, quote, quote, quote,
                    quote);
  if (!clock_duration(node->text, node->length, &value))
    return complain(t, node, value_duration_near(node->text, near) ? suggested(t, node, near) : NULL,
                    "must be a time as 100ms, 30s, 5m, 24h, 90d or 1h30m, not `%s`", shown(t, node, quote));
  value_duration_text(t->setting->least, least);
  value_duration_text(t->setting->most, most);
  if (!in_range(t, node, value, least, most)) return false;
  put_int(t->out, value);
  return true;
}

static bool is_power_of_two(int64_t value) {
  return value > 0 && (value & (value - 1)) == 0;
}

// A size that would be refused again, since a ring needs a power of two, is no help.
static const char *near_size(const struct take *t, const struct config_node *node, char near[VALUE_TEXT]) {
  int64_t value;
  if (!value_size_near(node->text, near) || !value_size(near, &value)) return NULL;
  return t->setting->type == SETTING_RING && !is_power_of_two(value) ? NULL : suggested(t, node, near);
}

static bool take_size(const struct take *t, const struct config_node *node) {
  char quote[80], least[32], most[32], near[VALUE_TEXT];
  int64_t value = 0;
  if (!value_size(node->text, &value))
    return complain(t, node, near_size(t, node, near),
                    t->setting->type == SETTING_RING ? "must be a size that is a power of two, as 1MiB, 2MiB, 4MiB, not `%s`"
                                                     : "must be a size as 4096, 64KiB, 2MiB or 1GiB, not `%s`",
                    shown(t, node, quote));
  value_size_text(t->setting->least, least);
  value_size_text(t->setting->most, most);
  if (!in_range(t, node, value, least, most)) return false;
  if (t->setting->type == SETTING_RING && !is_power_of_two(value))
    return complain(t, node, NULL, "must be a power of two, as 1MiB, 2MiB, 4MiB, not `%s`", shown(t, node, quote));
  put_int(t->out, value);
  return true;
}

static bool take_flag(const struct take *t, const struct config_node *node) {
  char quote[80];
  bool value = false;
  if (!value_bool(node->text, &value)) return complain(t, node, NULL, "must be true or false, not `%s`", shown(t, node, quote));
  put_bool(t->out, value);
  return true;
}

static bool take_ratio(const struct take *t, const struct config_node *node) {
  char quote[80];
  double value = 0;
  if (!value_ratio(node->text, &value)) return complain(t, node, NULL, "must be a share as 50%% or 0.5, not `%s`", shown(t, node, quote));
  put_double(t->out, value);
  return true;
}

// Every list holds names of nodes, columns or files: one that stands there twice was meant to be another one. The value stays, so that
// nobody misses it.
static void check_first(const struct take *t, const struct config_node *list, size_t index) {
  const struct config_node *one = &list->entries[index].value;
  char quote[80];
  for (size_t i = 0; i < index; i++) {
    const struct config_node *before = &list->entries[i].value;
    if (before->kind == CONFIG_TEXT && !before->broken && strcmp(before->text, one->text) == 0) {
      complain(t, one, NULL, "names `%s` twice", shown(t, one, quote));
      return;
    }
  }
}

// A text, or a list of texts; an array either way.
static bool take_texts(const struct take *t, const struct config_node *node) {
  bool fine = true;
  put_array(t->out, node->kind == CONFIG_LIST ? node->count : 1);
  if (node->kind == CONFIG_TEXT) return take_text_type(t, node);
  if (node->count == 0) return complain(t, node, NULL, "needs at least one entry");
  for (size_t i = 0; i < node->count; i++) {
    const struct config_node *one = &node->entries[i].value;
    if (one->kind != CONFIG_TEXT) {
      fine = complain(t, one, NULL, "is a list of texts: no room for %s", config_kind_name(one->kind));
      continue;
    }
    bool good = !one->broken && take_text_type(t, one);
    if (good) check_first(t, node, i);
    fine &= good;
  }
  return fine;
}

// The type of a column: a name of the list, then perhaps "not null". The worker gets the text with single blanks.
static bool take_column_type(const struct take *t, const char *name, const struct config_node *node) {
  char *copy = memory_text(node->text), *rest = copy, *word;
  const char *type = NULL, *nulls[2] = {NULL, NULL};
  size_t words = 0;
  while ((word = strsep(&rest, " \t\n"))) {
    if (!*word) continue;
    if (words == 0)
      type = word;
    else if (words < 3)
      nulls[words - 1] = word;
    words++;
  }
  bool known = false, fine = true;
  struct suggest near = suggest_start(type ? type : "");
  for (size_t i = 0; i < settings_column_type_count && type; i++) {
    known |= strcmp(type, settings_column_types[i]) == 0;
    suggest_try(&near, settings_column_types[i]);
  }
  bool not_null = words == 3 && strcasecmp(nulls[0], "not") == 0 && strcasecmp(nulls[1], "null") == 0;
  if (!known)
    fine = complain(t, node, near.best, "column `%s` has no type `%s`: text, int, bigint, double, boolean, timestamp, date, json or bytes",
                    name, type ? type : "");
  else if (words > 1 && !not_null)
    fine = complain(t, node, NULL, "column `%s` must be a type, or a type and `not null`", name);
  if (fine) {
    char *text = memory_print("%s%s", type, not_null ? " not null" : "");
    put_text(t->out, text);
    free(text);
  }
  free(copy);
  return fine;
}

// A name of a map of types or expressions that has no value.
static bool complain_empty(const struct take *t, const struct config_node *map, size_t index) {
  const struct config_entry *one = &map->entries[index];
  bool type = t->setting->type == SETTING_COLUMNS;
  return complain(t, &one->value, NULL, "`%.100s` needs %s%s", one->key, type ? "a type" : "an expression", comma_hint(map, index));
}

static bool take_text_map(const struct take *t, const struct config_node *node) {
  bool fine = true;
  if (node->kind != CONFIG_MAP) return complain(t, node, NULL, "must be a map, not %s", config_kind_name(node->kind));
  put_map(t->out, node->count);
  for (size_t i = 0; i < node->count; i++) {
    const struct config_entry *one = &node->entries[i];
    if (one->value.kind != CONFIG_TEXT) {
      fine = complain(t, &one->value, NULL, "holds texts: no room for %s", config_kind_name(one->value.kind));
      continue;
    }
    if (strlen(one->key) > LIMIT_NAME && t->setting->type != SETTING_TEXT_MAP && t->setting->type != SETTING_MAPS)
      fine = complain(t, &one->value, NULL, "has a name longer than %d bytes", LIMIT_NAME);
    put_text(t->out, one->key);
    if (one->value.broken)
      fine = false;
    else if (!one->value.text[0] && (t->setting->type == SETTING_SQL_MAP || t->setting->type == SETTING_COLUMNS))
      fine = complain_empty(t, node, i);
    else if (t->setting->type == SETTING_COLUMNS)
      fine &= take_column_type(t, one->key, &one->value);
    else
      put_text(t->out, one->value.text);
  }
  return fine;
}

static bool take_maps(const struct take *t, const struct config_node *node) {
  bool fine = true;
  if (node->kind != CONFIG_LIST)
    return complain(t, node, NULL, "must be a list of maps, as `- {name: value}`, not %s", config_kind_name(node->kind));
  if (node->count == 0) return complain(t, node, NULL, "needs at least one entry");
  put_array(t->out, node->count);
  for (size_t i = 0; i < node->count; i++) fine &= take_text_map(t, &node->entries[i].value);
  return fine;
}

static bool take_group(const struct take *t, const struct config_node *node) {
  if (node->kind != CONFIG_MAP) return complain(t, node, NULL, "must be a map, not %s", config_kind_name(node->kind));
  char what[80];
  snprintf(what, sizeof what, "`%s`", t->setting->name);
  struct settings_owner owner = {.what = what, .line = node->line, .column = node->column};
  return settings_read(t->context, &t->setting->group, 1, &owner, node, t->out);
}

// Sections are read by the plan, node by node; the map of settings holds nothing of them.
static bool take_section(const struct take *t, const struct config_node *node) {
  put_bool(t->out, true);
  if (node->kind == CONFIG_MAP) return true;
  return complain(t, node, NULL, config_is_empty(node) ? "is empty" : "must be a map of nodes by name, not %s",
                  config_kind_name(node->kind));
}

static bool take_value(const struct take *t, const struct config_node *node) {
  bool scalar = node->kind == CONFIG_TEXT;
  if (node->broken || node->cut) return false;
  switch (t->setting->type) {
  case SETTING_TEXT:
  case SETTING_CHOICE:
  case SETTING_START:
  case SETTING_NAME:
  case SETTING_FIELD:
  case SETTING_PATH:
  case SETTING_URL:
  case SETTING_SQL:
    if (scalar) return take_text_type(t, node);
    break;
  case SETTING_INT:
  case SETTING_LANES:
    if (scalar) return take_int(t, node);
    break;
  case SETTING_BOOL:
    if (scalar) return take_flag(t, node);
    break;
  case SETTING_RATIO:
    if (scalar) return take_ratio(t, node);
    break;
  case SETTING_DURATION:
    if (scalar) return take_duration(t, node);
    break;
  case SETTING_SIZE:
  case SETTING_RING:
    if (scalar) return take_size(t, node);
    break;
  case SETTING_NODES:
  case SETTING_TEXTS:
    if (node->kind != CONFIG_MAP) return take_texts(t, node);
    return complain(t, node, NULL, "must be a text or a list of texts, not a map");
  case SETTING_TEXT_MAP:
  case SETTING_COLUMNS:
  case SETTING_SQL_MAP: return take_text_map(t, node);
  case SETTING_MAPS: return take_maps(t, node);
  case SETTING_GROUP: return take_group(t, node);
  case SETTING_SECTION: return take_section(t, node);
  }
  return complain(t, node, NULL, "must be a single value, not %s", config_kind_name(node->kind));
}

// ---- a map against its tables

// The file's lines are shown where something is wrong, and this value may stand in one of them.
static void cover_secret(const struct settings_context *c, const struct setting *setting, const struct config_node *value) {
  bool address = setting->type == SETTING_URL || (setting->flags & SETTING_ADDRESS);
  if (address || (setting->flags & SETTING_SECRET)) secret_cover(c->source, value, address ? SECRET_ADDRESS : SECRET_WHOLE, c->report);
}

static void report_unknown(const struct settings_context *c, const struct setting_table *const *tables, size_t count, const char *what,
                           const struct config_node *map, size_t index) {
  const struct config_entry *entry = &map->entries[index];
  struct suggest near = suggest_start(entry->key);
  for (size_t t = 0; t < count; t++)
    for (size_t i = 0; i < tables[t]->count; i++) suggest_try(&near, tables[t]->settings[i].name);
  // A misspelt password is one all the same.
  const struct setting *meant = near.best ? settings_row(tables, count, near.best) : NULL;
  if (meant) cover_secret(c, meant, &entry->value);
  plan_report_add(c->report, CHECK_ERROR, entry->line, entry->column, near.best, "%s has no setting `%.100s`%s", what, entry->key,
                  near.best ? "" : comma_hint(map, index));
}

// A default is written as in the file and goes through the same functions.
static bool take_default(const struct take *t) {
  if (t->setting->type == SETTING_GROUP) {
    struct config_node nothing = {.kind = CONFIG_MAP};
    return take_group(t, &nothing);
  }
  char *text = memory_text(t->setting->otherwise);
  struct config_node node = {.kind = CONFIG_TEXT, .text = text, .written = text, .length = strlen(text), .written_length = strlen(text)};
  bool fine = take_value(t, &node);
  free(text);
  return fine;
}

static bool has_default(const struct setting *s) {
  return s->otherwise || (s->type == SETTING_GROUP && (s->flags & SETTING_FILLED));
}

// One row: the pair of the file, or its default, or nothing. False: it is required and not there.
static bool take_row(const struct settings_context *c, const struct setting *setting, const struct settings_owner *owner,
                     const struct config_node *map, struct buffer *body, size_t *pairs) {
  const struct config_entry *entry = config_find(map, setting->name);
  if (entry) cover_secret(c, setting, &entry->value);
  bool required = setting->flags & SETTING_REQUIRED;
  if (!entry && required && !map->cut)
    plan_report_add(c->report, CHECK_ERROR, owner->line, owner->column, NULL, "%s needs `%s`", owner->what, setting->name);
  if (!entry && !has_default(setting)) return !required;
  struct take take = {.context = c, .setting = setting, .out = body};
  size_t before = body->length;
  put_text(body, setting->name);
  if (entry ? take_value(&take, &entry->value) : take_default(&take)) {
    (*pairs)++;
    return true;
  }
  body->length = before; // a value that fails leaves no half-written pair behind
  return !required;
}

// Of what excludes each other, exactly one: auth is basic or bearer.
static bool check_one_of(const struct settings_context *c, const struct setting_table *table, const struct settings_owner *owner,
                         const struct config_node *map) {
  char names[200] = "";
  size_t flagged = 0, given = 0, used = 0;
  const struct config_entry *second = NULL;
  for (size_t i = 0; i < table->count; i++) {
    if (!(table->settings[i].flags & SETTING_ONE_OF)) continue;
    const struct config_entry *entry = config_find(map, table->settings[i].name);
    if (used < sizeof names)
      used += (size_t)snprintf(names + used, sizeof names - used, "%s`%s`", flagged ? ", " : "", table->settings[i].name);
    flagged++;
    given += entry != NULL;
    if (entry && given > 1) second = entry;
  }
  if (flagged == 0 || given == 1 || (given == 0 && map->cut)) return true;
  if (given == 0)
    plan_report_add(c->report, CHECK_ERROR, owner->line, owner->column, NULL, "%s needs one of %s", owner->what, names);
  else
    plan_report_add(c->report, CHECK_ERROR, second->line, second->column, NULL, "%s takes only one of %s", owner->what, names);
  return false;
}

bool settings_read(const struct settings_context *c, const struct setting_table *const *tables, size_t count,
                   const struct settings_owner *owner, const struct config_node *map, struct buffer *out) {
  bool usable = true;
  size_t pairs = 0;
  struct buffer body = {0};
  for (size_t i = 0; i < map->count; i++)
    if (!settings_row(tables, count, map->entries[i].key)) report_unknown(c, tables, count, owner->what, map, i);
  for (size_t t = 0; t < count; t++) usable &= check_one_of(c, tables[t], owner, map);
  for (size_t t = 0; t < count; t++)
    for (size_t i = 0; i < tables[t]->count; i++) usable &= take_row(c, &tables[t]->settings[i], owner, map, &body, &pairs);
  put_map(out, pairs);
  buffer_add(out, body.at, body.length);
  buffer_free(&body);
  return usable;
}

// ---- fingerprint

// The value without what an operator may change freely: a URL's user and password.
static void hash_value(struct buffer *out, const struct setting *s, const uint8_t *at, const uint8_t *end) {
  struct msgpack_value value;
  const uint8_t *p = at;
  if (s->type != SETTING_URL || !msgpack_read(&p, end, &value) || value.type != MSGPACK_TEXT) {
    buffer_add(out, at, (size_t)(end - at));
    return;
  }
  const char *text = (const char *)value.bytes;
  const char *host = memmem(text, value.length, "//", 2);
  size_t scheme = host ? (size_t)(host - text) + 2 : 0;
  size_t authority = scheme;
  while (host && authority < value.length && !strchr("/?#", text[authority])) authority++;
  size_t after = scheme;
  for (size_t i = scheme; i < authority; i++)
    if (text[i] == '@') after = i + 1;
  buffer_add(out, text, scheme);
  buffer_add(out, text + after, value.length - after);
}

static int compare_rows(const void *a, const void *b) {
  return strcmp((*(const struct setting *const *)a)->name, (*(const struct setting *const *)b)->name);
}

static bool is_default(const struct setting *s, const uint8_t *at, const uint8_t *end) {
  if (!s->otherwise) return false;
  struct buffer value = {0};
  struct settings_context none = {0};
  struct take take = {.context = &none, .setting = s, .out = &value};
  bool same = take_default(&take) && value.length == (size_t)(end - at) && memcmp(value.at, at, value.length) == 0;
  buffer_free(&value);
  return same;
}

char *settings_fingerprint(const struct setting_table *table, const uint8_t *settings, size_t length) {
  const struct setting **rows = memory_get((table->count + 1) * sizeof *rows);
  size_t count = 0;
  for (size_t i = 0; i < table->count; i++)
    if (table->settings[i].flags & SETTING_FLOWS) rows[count++] = &table->settings[i];
  qsort(rows, count, sizeof *rows, compare_rows);
  struct buffer all = {0};
  buffer_text(&all, table->kind ? table->kind : settings_place_name(table->place));
  for (size_t i = 0; i < count; i++) {
    const uint8_t *at, *end;
    if (!msgpack_find(settings, settings + length, rows[i]->name, strlen(rows[i]->name), &at, &end) || is_default(rows[i], at, end))
      continue;
    buffer_byte(&all, '\n');
    buffer_text(&all, rows[i]->name);
    buffer_byte(&all, '=');
    hash_value(&all, rows[i], at, end);
  }
  char *text = memory_print("%016llx", (unsigned long long)hash_bytes(all.at, all.length, 0));
  buffer_free(&all);
  free(rows);
  return text;
}
