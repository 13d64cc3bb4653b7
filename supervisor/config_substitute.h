// ${NAME}, ${NAME:-default} and ${file:PATH} inside the values of a pipeline file, replaced after YAML was parsed: so a password with `#`
// or `:` breaks nothing. `$${` stands for `${`. What is put in is never looked at again.
//
// A default may hold ${...} itself: ${A:-${B:-x}}. A file's trailing newlines are cut; its path is relative to the pipeline file.
// Messages name variables and paths, never their values. Called by plan_nodes.c.
#pragma once
#include "supervisor/config_yaml.h"

struct plan_report;
enum {
  SUBSTITUTE_DEPTH = 8,       // ${...} inside ${...}
  SUBSTITUTE_FILE = 64 << 10, // bytes of a ${file:...}
  SUBSTITUTE_VALUE = 1 << 20, // bytes of one value afterwards
};

// All texts below `node`.
void config_substitute(const struct config_source *source, struct config_node *node, struct plan_report *report);
