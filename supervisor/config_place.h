// From a byte of a value back to its place in the file: workers find mistakes at an offset of the SQL text, users look for line and column.
//
// Between the two lie ${...} replacements (spans of config_node) and YAML's folding, indentation and escapes. The latter are crossed by
// counting characters that are no blanks, which every style of YAML keeps: the n-th one of the value is the n-th one in the file.
// Called by plan_ask.c and config_substitute.c.
#pragma once
#include "supervisor/config_yaml.h"

// `offset` in node->text; offsets behind the end mean the last character.
void config_place_value(const struct config_source *source, const struct config_node *node, size_t offset, int *line, int *column);
// `offset` in node->written.
void config_place_written(const struct config_source *source, const struct config_node *node, size_t offset, int *line, int *column);
