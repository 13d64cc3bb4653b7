// libyaml's events made into a tree. The event interface is used, not its document one, because only events show anchors, tags, duplicate
// keys and further documents before they are resolved away.
#include "supervisor/config_yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "proto/error.h"
#include "proto/limits.h"
#include "proto/utf8.h"
#include "supervisor/plan_report.h"

struct reading {
  yaml_parser_t parser;
  const struct config_source *source;
  struct plan_report *report;
  size_t values;
};

static int mark_line(yaml_mark_t mark) {
  return (int)mark.line + 1;
}

static int mark_column(yaml_mark_t mark) {
  return (int)mark.column + 1;
}

const char *config_kind_name(enum config_kind kind) {
  switch (kind) {
  case CONFIG_TEXT: return "a text";
  case CONFIG_LIST: return "a list";
  case CONFIG_MAP: return "a map";
  }
  return "?";
}

bool config_is_empty(const struct config_node *node) {
  if (node->kind != CONFIG_TEXT || node->style != CONFIG_PLAIN) return false;
  return node->written_length == 0 || strcmp(node->written, "~") == 0 || strcmp(node->written, "null") == 0;
}

const struct config_entry *config_find(const struct config_node *map, const char *key) {
  if (map->kind != CONFIG_MAP) return NULL;
  for (size_t i = 0; i < map->count; i++)
    if (strcmp(map->entries[i].key, key) == 0) return &map->entries[i];
  return NULL;
}

void config_free(struct config_node *node) {
  for (size_t i = 0; i < node->count; i++) {
    free(node->entries[i].key);
    config_free(&node->entries[i].value);
  }
  free(node->entries);
  free(node->written);
  free(node->text);
  free(node->spans);
  *node = (struct config_node){0};
}

// The byte at a place of libyaml's, NULL behind the end.
static const char *mark_byte(const struct config_source *source, yaml_mark_t mark) {
  const char *at = source->text, *end = source->text + source->length;
  for (size_t i = 0; i < mark.index && at < end; i++) {
    size_t step = utf8_step((const uint8_t *)at, (size_t)(end - at));
    at += step ? step : 1;
  }
  return at < end ? at : NULL;
}

// Characters between `at` and the unquoted ${ before it in its line, -1 when there is none: YAML took its brace for a map, or its colon for
// the end of a name.
static int bare_variable(const struct config_source *source, const char *at) {
  int characters = 0;
  for (const char *p = at; p && p > source->text && p[-1] != '\n'; p--) {
    if (p[0] == '{' && p[-1] == '$') return characters + 1;
    characters += (p[-1] & 0xc0) != 0x80;
  }
  return -1;
}

// True when a name and its colon stand in the line before the colon at `at`: then it is part of their value.
static bool stands_in_value(const struct config_source *source, const char *at) {
  for (const char *p = at; p > source->text && p[-1] != '\n'; p--)
    if (p < at && p[-1] == ':' && p[0] == ' ') return true;
  return false;
}

static void report_syntax(struct reading *r) {
  const yaml_parser_t *p = &r->parser;
  const char *problem = p->problem ? p->problem : "not YAML";
  const char *at = mark_byte(r->source, p->problem_mark);
  int line = mark_line(p->problem_mark), column = mark_column(p->problem_mark);
  int variable = bare_variable(r->source, at);
  if (variable > 0)
    plan_report_add(r->report, CHECK_ERROR, line, column - variable, NULL,
                    "quote it: YAML takes a bare ${NAME} apart here; write \"${NAME}\"");
  else if (at && *at == '\t')
    plan_report_add(r->report, CHECK_ERROR, line, column, NULL, "a tab cannot indent: use spaces");
  else if (strstr(problem, "mapping values are not allowed") && at)
    plan_report_add(r->report, CHECK_ERROR, line, column, NULL, "this is not YAML: %s",
                    stands_in_value(r->source, at) ? "a `:` stands in the value: quote the value"
                                                   : "a `:` where no name can be: is the line indented too far?");
  else if (p->context)
    plan_report_add(r->report, CHECK_ERROR, line, column, NULL, "this is not YAML: %s, %s (which begins in line %d)", problem, p->context,
                    mark_line(p->context_mark));
  else
    plan_report_add(r->report, CHECK_ERROR, line, column, NULL, "this is not YAML: %s", problem);
}

static bool next_event(struct reading *r, yaml_event_t *event) {
  if (yaml_parser_parse(&r->parser, event)) return true;
  report_syntax(r);
  return false;
}

static void refuse_anchor(struct reading *r, const yaml_event_t *event, const yaml_char_t *anchor) {
  if (!anchor) return;
  plan_report_add(r->report, CHECK_ERROR, mark_line(event->start_mark), mark_column(event->start_mark), NULL,
                  "anchors and aliases (`&`, `*`) are not part of the language: write the value out");
}

static void refuse_tag(struct reading *r, const yaml_event_t *event, const yaml_char_t *tag) {
  if (!tag) return;
  plan_report_add(r->report, CHECK_ERROR, mark_line(event->start_mark), mark_column(event->start_mark), NULL,
                  "tags (`!`) are not part of the language: types come from the setting");
}

static enum config_style scalar_style(yaml_scalar_style_t style) {
  switch (style) {
  case YAML_ANY_SCALAR_STYLE:
  case YAML_PLAIN_SCALAR_STYLE: return CONFIG_PLAIN;
  case YAML_SINGLE_QUOTED_SCALAR_STYLE: return CONFIG_SINGLE;
  case YAML_DOUBLE_QUOTED_SCALAR_STYLE: return CONFIG_DOUBLE;
  case YAML_LITERAL_SCALAR_STYLE:
  case YAML_FOLDED_SCALAR_STYLE: return CONFIG_BLOCK;
  }
  return CONFIG_PLAIN;
}

static void take_scalar(struct reading *r, const yaml_event_t *event, struct config_node *node) {
  const char *value = (const char *)event->data.scalar.value;
  size_t length = event->data.scalar.length;
  refuse_anchor(r, event, event->data.scalar.anchor);
  refuse_tag(r, event, event->data.scalar.tag);
  if (memchr(value, 0, length)) {
    plan_report_add(r->report, CHECK_ERROR, node->line, node->column, NULL, "a text cannot hold a NUL character");
    length = strlen(value);
  }
  node->style = scalar_style(event->data.scalar.style);
  if (event->start_mark.line == event->end_mark.line) node->width = mark_column(event->end_mark) - node->column;
  node->written = memory_text_n(value, length);
  node->text = memory_text_n(value, length);
  node->written_length = node->length = length;
}

static bool take_node(struct reading *r, const yaml_event_t *event, unsigned depth, struct config_node *node);

// Takes the key of the next pair. False: the file ends here. *skip: no key to keep, though the pair was read.
static bool take_key(struct reading *r, const yaml_event_t *event, unsigned depth, const struct config_node *map,
                     struct config_entry *entry, bool *skip) {
  struct config_node key = {0};
  if (!take_node(r, event, depth, &key)) {
    config_free(&key);
    return false;
  }
  entry->line = key.line;
  entry->column = key.column;
  if (key.kind != CONFIG_TEXT || key.length == 0) {
    plan_report_add(r->report, CHECK_ERROR, key.line, key.column, NULL,
                    key.kind == CONFIG_TEXT ? "a name is missing before `:`" : "a name must be a text, not %s", config_kind_name(key.kind));
    *skip = true;
  } else {
    entry->key = memory_text(key.text);
    const struct config_entry *first = config_find(map, entry->key);
    *skip = first != NULL;
    if (first)
      plan_report_add(r->report, CHECK_ERROR, key.line, key.column, NULL, "`%s` stands here twice: first in line %d", key.text,
                      first->line);
  }
  config_free(&key);
  return true;
}

static struct config_entry *add_entry(struct config_node *node, const struct config_entry *entry) {
  if ((node->count & (node->count - 1)) == 0)
    node->entries = memory_resize(node->entries, (node->count ? node->count * 2 : 1) * sizeof *node->entries);
  node->entries[node->count] = *entry;
  return &node->entries[node->count++];
}

// One pair of a map or one element of a list, whose first event is at hand.
static bool take_entry(struct reading *r, const yaml_event_t *event, unsigned depth, struct config_node *node) {
  struct config_entry entry = {0};
  bool skip = false, fine;
  if (node->kind == CONFIG_LIST) {
    entry.line = mark_line(event->start_mark);
    entry.column = mark_column(event->start_mark);
    fine = take_node(r, event, depth, &entry.value);
  } else {
    yaml_event_t value;
    fine = take_key(r, event, depth, node, &entry, &skip) && next_event(r, &value);
    if (fine) {
      fine = take_node(r, &value, depth, &entry.value);
      yaml_event_delete(&value);
    }
  }
  if (fine && !skip && node->count == LIMIT_FIELDS) {
    plan_report_add(r->report, CHECK_ERROR, entry.line, entry.column, NULL, "more than %d entries in one list or map", LIMIT_FIELDS);
    fine = false;
  }
  if ((fine || entry.value.cut) && !skip) {
    add_entry(node, &entry);
  } else {
    free(entry.key);
    config_free(&entry.value);
  }
  return fine;
}

// The file stops being YAML here, so a text that was read last may be a part only of what was meant.
static void drop_last_text(struct config_node *node) {
  if (node->count == 0 || node->entries[node->count - 1].value.kind != CONFIG_TEXT) return;
  struct config_entry *last = &node->entries[--node->count];
  free(last->key);
  config_free(&last->value);
}

static bool take_collection(struct reading *r, yaml_event_type_t end, unsigned depth, struct config_node *node) {
  if (depth >= CONFIG_DEPTH) {
    plan_report_add(r->report, CHECK_ERROR, node->line, node->column, NULL, "nested more than %d deep", CONFIG_DEPTH);
    return false;
  }
  for (;;) {
    yaml_event_t event;
    if (!next_event(r, &event)) {
      node->cut = true;
      drop_last_text(node);
      return false;
    }
    bool ends = event.type == end;
    node->cut = !ends && !take_entry(r, &event, depth + 1, node);
    yaml_event_delete(&event);
    if (ends || node->cut) return ends;
  }
}

// The value that `event` begins. False: nothing more can be read from this file.
static bool take_node(struct reading *r, const yaml_event_t *event, unsigned depth, struct config_node *node) {
  node->line = mark_line(event->start_mark);
  node->column = mark_column(event->start_mark);
  if (++r->values > CONFIG_VALUES) {
    plan_report_add(r->report, CHECK_ERROR, node->line, node->column, NULL, "more than %d values in one file", CONFIG_VALUES);
    return false;
  }
  if (event->type == YAML_SCALAR_EVENT) {
    take_scalar(r, event, node);
    return true;
  }
  if (event->type == YAML_SEQUENCE_START_EVENT) {
    refuse_anchor(r, event, event->data.sequence_start.anchor);
    refuse_tag(r, event, event->data.sequence_start.tag);
    node->kind = CONFIG_LIST;
    return take_collection(r, YAML_SEQUENCE_END_EVENT, depth, node);
  }
  if (event->type == YAML_MAPPING_START_EVENT) {
    refuse_anchor(r, event, event->data.mapping_start.anchor);
    refuse_tag(r, event, event->data.mapping_start.tag);
    node->kind = CONFIG_MAP;
    node->flow = event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
    return take_collection(r, YAML_MAPPING_END_EVENT, depth, node);
  }
  // What is left inside a document is an alias. A text that never stood there takes its place, so that the rest can be read.
  refuse_anchor(r, event, event->data.alias.anchor);
  node->written = memory_text("");
  node->text = memory_text("");
  node->broken = true;
  return true;
}

// Stream start, document start, the root, document end, stream end.
static bool take_document(struct reading *r, struct config_node *root) {
  yaml_event_t event;
  bool has_root = false;
  for (;;) {
    if (!next_event(r, &event)) return false;
    yaml_event_type_t type = event.type;
    bool fine = true;
    if (type == YAML_DOCUMENT_START_EVENT && has_root) {
      plan_report_add(r->report, CHECK_ERROR, mark_line(event.start_mark), mark_column(event.start_mark), NULL,
                      "a second document begins here: one file is one pipeline");
      fine = false;
    } else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT &&
               type != YAML_STREAM_END_EVENT) {
      has_root = true;
      fine = take_node(r, &event, 0, root);
    }
    yaml_event_delete(&event);
    if (!fine) return false;
    if (type == YAML_STREAM_END_EVENT) break;
  }
  if (has_root) return true;
  plan_report_add(r->report, CHECK_ERROR, 1, 1, NULL, "the file is empty");
  return false;
}

// libyaml would read other encodings and say little; the place of the first wrong byte is told here.
static bool check_encoding(const struct config_source *source, struct plan_report *report) {
  size_t wrong = utf8_check((const uint8_t *)source->text, source->length);
  if (wrong == source->length) return true;
  int line = 1, column = 1;
  for (size_t i = 0; i < wrong; i++) {
    unsigned char c = (unsigned char)source->text[i];
    if (c == '\n') {
      line++;
      column = 1;
    } else if ((c & 0xc0) != 0x80) {
      column++;
    }
  }
  plan_report_add(report, CHECK_ERROR, line, column, NULL, "this byte (0x%02x) is not UTF-8: save the file as UTF-8",
                  (unsigned char)source->text[wrong]);
  return false;
}

bool config_read(const struct config_source *source, struct config_node *root, struct plan_report *report) {
  *root = (struct config_node){0};
  if (!check_encoding(source, report)) return false;
  struct reading r = {.source = source, .report = report};
  if (!yaml_parser_initialize(&r.parser)) {
    plan_report_add(report, CHECK_ERROR, 1, 1, NULL, "no memory to read the file");
    return false;
  }
  yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&r.parser, (const unsigned char *)source->text, source->length);
  bool fine = take_document(&r, root);
  yaml_parser_delete(&r.parser);
  if (!fine && !root->cut) config_free(root);
  return fine || root->cut;
}

const char *config_yaml_version(void) {
  return yaml_get_version_string();
}
