// What `weir dlq` and `weir positions` have in common: the words behind the verb, and a walk over the stores of the pipeline's sinks.
//
// NAME          verb_stores - the plan of FILE, its sinks, the store of each
// DESCRIPTION   A pipeline file that does not pass the check is refused: names decide what is touched. Stores are opened beside a running
//               instance as well as without one.
// DIAGNOSTICS   Exit codes of both verbs: 0 done; 1 a store cannot be reached or refuses; 2 the command line or the file is at fault.
#pragma once
#include <stdbool.h>

#include "proto/error.h"
#include "supervisor/command_line.h"
#include "supervisor/plan.h"

enum { VERB_OK = 0, VERB_FAILED = 1, VERB_USAGE = 2 };

// One option of a sub-verb: `--name value` or `--name=value`; without a value when `flag` is set.
struct word_option {
  const char *name;
  const char **value;
  bool *flag;
};
// Takes the options out of the words behind the sub-verb and leaves the others in `plain`, at most `plain_most`. False: told on standard
// error what is wrong.
bool words_parse(const char *verb, int argc, char **argv, const struct word_option *options, const char **plain, int plain_most,
                 int *plain_count);

// Runs a verb over the plan of the command's file.
typedef int plan_verb(const struct plan *plan, int argc, char **argv, bool json);
int verb_with_plan(const struct command *c, plan_verb *verb);

// Calls `visit` for the store of every sink, or of the one named (NULL: all). Returns an exit code; what went wrong is told.
typedef bool store_visit(void *context, const struct plan *plan, const struct plan_node *sink, struct store *store, struct error *e);
int stores_each(const struct plan *plan, const char *sink, store_visit *visit, void *context);

// Tells on standard error where the letters are that no store has: a topic that is written puts them into the topic of dead letters.
void stores_tell_of_topics(const struct plan *plan);

// Asks on the terminal; false without one.
bool confirm(const char *question);

int dlq_verb(const struct plan *plan, int argc, char **argv, bool json);
int positions_verb(const struct plan *plan, int argc, char **argv, bool json);
