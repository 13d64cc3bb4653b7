// See help.h.
#include "supervisor/help.h"

#include <stdio.h>
#include <string.h>

#include "supervisor/command_line.h"
#include "supervisor/suggest.h"

void help_print(struct buffer *out) {
  buffer_text(out, "weir runs a streaming pipeline that is written in one YAML file.\n\n  weir VERB [FILE] [options]\n\n");
  for (int v = 0; v < VERBS; v++)
    if (!verb_rows[v].hidden) buffer_print(out, "  %-10s %s\n", verb_rows[v].name, verb_rows[v].summary);
  buffer_text(out, "\nFirst steps:\n"
                   "  weir check pipelines/eonet.yaml        is the file good?\n"
                   "  weir run pipelines/eonet.yaml --once   one round, with an account\n"
                   "  weir help run                          more on one verb\n"
                   "\nExit codes: 0 ok, 1 failed at run time, 2 command line or pipeline file, 3 this machine.\n");
}

static void options_print(const struct verb_row *verb, struct buffer *out) {
  char left[64];
  buffer_text(out, "\nOptions:\n");
  for (size_t o = 0; o < option_row_count; o++) {
    const struct option_row *row = &option_rows[o];
    if (!(verb->options & row->flag)) continue;
    snprintf(left, sizeof left, "--%s%s%s", row->name, row->value ? " " : "", row->value ? row->value : "");
    buffer_print(out, "  %-16s %s\n", left, row->help);
  }
}

static void indented_print(const char *text, struct buffer *out) {
  while (*text) {
    size_t length = strcspn(text, "\n");
    buffer_print(out, "  %.*s\n", (int)length, text);
    text += length + (text[length] == '\n');
  }
}

bool help_print_verb(const char *name, struct buffer *out) {
  struct suggest s = suggest_start(name);
  for (int v = 0; v < VERBS; v++) {
    const struct verb_row *verb = &verb_rows[v];
    if (!verb->hidden) suggest_try(&s, verb->name);
    if (strcmp(verb->name, name) != 0) continue;
    buffer_print(out, "weir %s %s\n  %s\n\n%s\n", verb->name, verb->usage, verb->summary, verb->text);
    options_print(verb, out);
    buffer_text(out, "\nExamples:\n");
    indented_print(verb->examples, out);
    return true;
  }
  buffer_print(out, "weir help: there is no verb \"%.64s\"\n", name);
  if (s.best) buffer_print(out, "  did you mean %s?\n", s.best);
  return false;
}
