// The table of settings: every name that a pipeline file may hold, with its type, range, default, and help. One table drives the parser
// (settings_read), `weir check`, docs/reference.md and the JSON Schema (reference.c).
//
// A worker gets its node's settings as one msgpack map (proto/job.h): durations as integers in milliseconds, sizes in bytes, lists as
// arrays, maps in the file's order, defaults filled in. What has neither value nor default is absent. To add a setting: one row in
// settings_table.c, then `make reference`.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "supervisor/config_yaml.h"

struct plan_report;

enum setting_type {
  SETTING_TEXT,     // any text
  SETTING_INT,      // whole number, least..most
  SETTING_BOOL,     // true or false
  SETTING_RATIO,    // 50% or 0.5; a double 0..1
  SETTING_DURATION, // 100ms, 30s, 5m, 24h, 90d, 1h30m; milliseconds, least..most
  SETTING_SIZE,     // 4096, 64KiB, 2MiB, 1GiB; bytes, least..most
  SETTING_RING,     // a size that is a power of two
  SETTING_CHOICE,   // one of `choices`
  SETTING_START,    // earliest, latest or a time
  SETTING_LANES,    // auto (0) or a number
  SETTING_NAME,     // letters, digits, `_`, `-`, `.`
  SETTING_FIELD,    // path of a field: a.b[0].c
  SETTING_PATH,     // path of a file
  SETTING_URL,
  SETTING_SQL,      // a SELECT, or expressions
  SETTING_NODES,    // name of a node, or a list of names, none of them twice
  SETTING_TEXTS,    // a text, or a list of texts, none of them twice
  SETTING_TEXT_MAP, // names with texts
  SETTING_MAPS,     // a list of maps of texts
  SETTING_COLUMNS,  // names with types
  SETTING_SQL_MAP,  // names with SQL expressions
  SETTING_GROUP,    // a map with settings of its own: `group`
  SETTING_SECTION,  // a map of nodes
};

enum setting_flag {
  SETTING_REQUIRED = 1,
  SETTING_FLOWS = 2,     // decides what flows: part of the source's fingerprint
  SETTING_LIVE = 4,      // a reload changes it without a restart of the worker
  SETTING_SECRET = 8,    // its value is never shown
  SETTING_FILLED = 16,   // a group that is there with its defaults even when the file leaves it out
  SETTING_EMPTY = 32,    // may be the empty text
  SETTING_ONE_OF = 64,   // of the rows with this flag in one table, a map has exactly one
  SETTING_ADDRESS = 128, // its lines are shown as those of a URL: without what may be user and password
  SETTING_FILES = 256,   // its texts are paths of files
};

struct setting {
  const char *name;
  enum setting_type type;
  unsigned flags;
  int64_t least, most;
  const char *otherwise; // the default as one would write it; NULL: none
  const char *choices;   // "all|changed"
  const struct setting_table *group;
  const char *help; // one sentence
};

enum settings_place {
  SETTINGS_TOP, // the file's outermost map
  SETTINGS_SOURCE,
  SETTINGS_TRANSFORM,
  SETTINGS_TOPIC,
  SETTINGS_LOOKUP,
  SETTINGS_SINK,
  SETTINGS_GROUP, // inside another setting
};

struct setting_table {
  enum settings_place place;
  const char *kind; // NULL: what every node of the section may have
  const char *help, *example;
  const struct setting *settings;
  size_t count;
};

extern const struct setting_table *const settings_tables[];
extern const size_t settings_table_count;

const struct setting_table *settings_find(enum settings_place place, const char *kind); // kind NULL: the common ones; NULL: no such kind
const struct setting *settings_row(const struct setting_table *const *tables, size_t count, const char *name);
const char *settings_place_name(enum settings_place place); // "sources", "transforms", ...

// Checks `map` against the rows of `tables` together, reports every mistake, and writes the msgpack map of what could be read.
// False when a required setting is not there: then nothing can be said about the node beyond the report.
struct settings_context {
  const struct config_source *source;
  struct plan_report *report;
};
struct settings_owner {
  const char *what; // for messages: "sink `pg`"
  int line, column;
};
bool settings_read(const struct settings_context *c, const struct setting_table *const *tables, size_t count,
                   const struct settings_owner *owner, const struct config_node *map, struct buffer *out);

// 16 hex digits (owned by the caller) over the settings with SETTING_FLOWS that differ from their defaults, in the order of their names: a
// setting that a later release adds changes no fingerprint. Passwords in URLs do not count.
char *settings_fingerprint(const struct setting_table *table, const uint8_t *settings, size_t length);

// The types of columns: text int bigint double boolean timestamp date json bytes.
extern const char *const settings_column_types[];
extern const size_t settings_column_type_count;
