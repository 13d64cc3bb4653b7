// Any bytes as a pipeline file: parsed, replaced, checked against the settings table, and every message printed. No file is read and no
// worker is asked. What must hold: no crash, a bounded report, messages that hold no control characters.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "supervisor/config_place.h"
#include "supervisor/config_substitute.h"
#include "supervisor/config_yaml.h"
#include "supervisor/plan_report.h"
#include "supervisor/settings.h"

static void check_map(const struct settings_context *c, const struct config_node *map) {
  for (size_t i = 0; i < settings_table_count; i++) {
    const struct setting_table *tables[] = {settings_tables[i], settings_find(settings_tables[i]->place, NULL)};
    struct settings_owner owner = {.what = "node", .line = map->line, .column = map->column};
    struct buffer out = {0};
    settings_read(c, tables, settings_tables[i]->kind ? 2 : 1, &owner, map, &out);
    if (settings_tables[i]->kind) free(settings_fingerprint(settings_tables[i], out.at, out.length));
    buffer_free(&out);
  }
}

static void walk(const struct settings_context *c, const struct config_node *node) {
  int line, column;
  if (node->kind == CONFIG_TEXT) {
    config_place_value(c->source, node, node->length / 2, &line, &column);
    config_place_value(c->source, node, SIZE_MAX, &line, &column);
  }
  if (node->kind == CONFIG_MAP) check_map(c, node);
  for (size_t i = 0; i < node->count; i++) walk(c, &node->entries[i].value);
}

static void check_report(const struct plan_report *report, const char *text) {
  struct buffer out = {0};
  plan_report_print(report, "f.yaml", text, false, &out);
  for (size_t i = 0; i < out.length; i++)
    if ((out.at[i] < 0x20 && out.at[i] != '\n') || out.at[i] == 0x7f) abort();
  if (report->count > REPORT_MOST) abort();
  buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > 1 << 16 || memchr(data, 0, size)) return 0;
  char *text = memory_text_n((const char *)data, size);
  struct config_source source = {.text = text, .length = size};
  struct plan_report report = {0};
  struct config_node root;
  if (config_read(&source, &root, &report)) {
    struct settings_context context = {.source = &source, .report = &report};
    config_substitute(&source, &root, &report);
    walk(&context, &root);
    config_free(&root);
  }
  plan_report_sort(&report);
  check_report(&report, text);
  plan_report_free(&report);
  free(text);
  return 0;
}
