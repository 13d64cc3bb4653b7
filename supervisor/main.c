// weir: one program. `weir VERB ...` is a command; `weir --worker NODE/LANE` is what the supervisor executes for each worker.
//
// NAME          main - dispatch
// DIAGNOSTICS   Exit codes: 0 ok, 1 run-time failure, 2 usage or configuration, 3 environment.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/check.h"
#include "supervisor/command_line.h"
#include "supervisor/graph.h"
#include "supervisor/help.h"
#include "supervisor/reference.h"
#include "supervisor/run.h"
#include "supervisor/verb_control.h"
#include "supervisor/verb_stores.h"
#include "supervisor/version.h"

enum { EXIT_RUN_TIME = 1, EXIT_USAGE = 2 };

static bool is_colour_wanted(const struct command *c, int fd) {
  const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");
  if ((c->given & OPTION_NO_COLOR) || (no_color && *no_color)) return false;
  return isatty(fd) == 1 && terminal && strcmp(terminal, "dumb") != 0;
}

static int print_and_free(struct buffer *out, FILE *to, int code) {
  bool printed = fwrite(out->at, 1, out->length, to) == out->length && fflush(to) == 0;
  buffer_free(out);
  return printed ? code : EXIT_RUN_TIME;
}

static int help(const struct command *c) {
  struct buffer out = {0};
  const char *topic = c->verb == VERB_HELP ? c->topic : verb_rows[c->verb].name;
  if (!topic && (c->given & OPTION_HELP)) topic = "help";
  if (topic && !help_print_verb(topic, &out)) return print_and_free(&out, stderr, EXIT_USAGE);
  if (!topic) help_print(&out);
  return print_and_free(&out, stdout, 0);
}

static int run(const struct command *c, char **argv) {
  struct run_options options = {.file = c->file,
                                .state = c->state,
                                .once = c->given & OPTION_ONCE,
                                .json = c->given & OPTION_JSON,
                                .log_json = c->log && strcmp(c->log, "json") == 0,
                                .take_over = c->given & OPTION_TAKE_OVER,
                                .colour = is_colour_wanted(c, STDERR_FILENO),
                                .argv = argv};
  return run_verb(&options);
}

static int dispatch(const struct command *c, char **argv) {
  struct plan_options options = {.file = c->file, .state = c->state, .connect = c->given & OPTION_CONNECT};
  struct buffer out = {0};
  if (c->given & OPTION_HELP) return help(c);
  switch (c->verb) {
  case VERB_RUN: return run(c, argv);
  case VERB_CHECK: return check_verb(&options, c->given & OPTION_JSON, is_colour_wanted(c, STDERR_FILENO));
  case VERB_GRAPH: return graph_verb(&options, c->given & OPTION_JSON ? "json" : c->format);
  case VERB_REFERENCE: return reference_verb(c->given & OPTION_SCHEMA);
  case VERB_DLQ: return verb_with_plan(c, dlq_verb);
  case VERB_POSITIONS: return verb_with_plan(c, positions_verb);
  case VERB_STATUS:
  case VERB_STOP:
  case VERB_RELOAD: return verb_control(c);
  case VERB_VERSION: version_print(c->given & OPTION_JSON, &out); return print_and_free(&out, stdout, 0);
  case VERB_HELP:
  case VERBS: return help(c);
  }
  return EXIT_USAGE;
}

int main(int argc, char **argv) {
  struct command c;
  struct buffer complaint = {0};
  if (argc >= 2 && strcmp(argv[1], "--worker") == 0) return worker_enter();
  bool good = command_parse(&c, argc, argv, &complaint);
  int code = good ? dispatch(&c, argv) : print_and_free(&complaint, stderr, EXIT_USAGE);
  command_free(&c);
  buffer_free(&complaint);
  return code;
}
