// The pipeline file as a tree of texts, lists and maps, each with its place. This is the only file that knows libyaml.
//
// It knows no setting: every scalar stays the text that was written, types come later from the settings table (`nat: NO` is Norway).
// What makes YAML files surprising is refused here with a message: anchors and aliases, tags, several documents, keys twice.
// Called by plan.c; messages go to the report, and reading goes on wherever that makes sense.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct plan_report;

enum config_kind { CONFIG_TEXT, CONFIG_LIST, CONFIG_MAP };
enum config_style { CONFIG_PLAIN, CONFIG_SINGLE, CONFIG_DOUBLE, CONFIG_BLOCK };
enum {
  CONFIG_DEPTH = 32,       // nesting of lists and maps
  CONFIG_VALUES = 1 << 16, // values of one file
};

// `bytes` of the written text, from `written` on, became those from `value` to `value_end` of the text that is used (config_substitute.h).
struct config_span {
  size_t written, written_end;
  size_t value, value_end;
};

struct config_node {
  enum config_kind kind;
  int line, column; // from 1; columns count characters
  int width;        // characters of a text in its line, quotes included; 0: a list, a map, or a text of several lines
  // CONFIG_TEXT. `written` is what YAML gave; `text` is the same with ${...} replaced, once config_substitute has been here.
  enum config_style style;
  char *written, *text;
  size_t written_length, length;
  bool secret; // holds something from ${file:...}: never shown
  bool broken; // an alias, or a ${...} of it failed: that was told, nothing more is said about its value
  struct config_span *spans;
  size_t span_count;
  // CONFIG_LIST, CONFIG_MAP
  bool flow; // a map between { and }, where a comma ends a value that is not quoted
  bool cut;  // the file stops being YAML inside of it (that was told): what is not there may stand behind that place
  struct config_entry *entries;
  size_t count;
};

struct config_entry {
  char *key; // NULL in a list
  int line, column;
  struct config_node value;
};

// The file's bytes and what belongs to them. `folder`: ${file:PATH} is relative to it; NULL: no file may be read.
struct config_source {
  const char *text;
  size_t length;
  const char *folder;
};

// False when there is no tree at all (the report says why); the tree may have holes where the report has errors, and is `cut` where libyaml
// gave up.
bool config_read(const struct config_source *source, struct config_node *root, struct plan_report *report);
void config_free(struct config_node *node);

const struct config_entry *config_find(const struct config_node *map, const char *key); // NULL: absent, or not a map
// "a text", "a list", "a map": for messages.
const char *config_kind_name(enum config_kind kind);
// True for `key:` with nothing behind it, or with YAML's words for nothing.
bool config_is_empty(const struct config_node *node);

// Of libyaml as it is loaded; for `weir version`.
const char *config_yaml_version(void);
