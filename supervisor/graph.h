// `weir graph`: the nodes of a pipeline file and who reads whom, as text for a terminal, for Graphviz (dot), for Mermaid, or as JSON.
// Passwords, tokens and query strings of URLs are never shown.
#pragma once
#include "proto/buffer.h"

struct plan;
struct plan_options;

enum graph_format { GRAPH_TEXT, GRAPH_DOT, GRAPH_MERMAID, GRAPH_JSON };

void graph_print(const struct plan *plan, enum graph_format format, struct buffer *out);
// `format`: "text", "dot", "mermaid", "json"; NULL is text. Exit codes: 0; 2 the file or the format is at fault; 1 it could not be printed.
int graph_verb(const struct plan_options *options, const char *format);
