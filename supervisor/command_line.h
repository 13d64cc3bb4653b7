// The command line: which verb, which file, which options. Tables name them once; the parser, the help (help.c), and the suggestions for
// unknown words are made from the tables.
//
// NAME          command_line - weir VERB [FILE] [options]
// DESCRIPTION   Options are long, with `--name value` or `--name=value`, anywhere behind the verb; `--` ends them. Verbs with sub-verbs
//               (dlq, positions) get all words that are not options of the command as their own.
// DIAGNOSTICS   One line on what is wrong, one with a suggestion; exit 2.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "proto/buffer.h"

enum verb {
  VERB_RUN,
  VERB_CHECK,
  VERB_STATUS,
  VERB_GRAPH,
  VERB_DLQ,
  VERB_POSITIONS,
  VERB_STOP,
  VERB_RELOAD,
  VERB_VERSION,
  VERB_HELP,
  VERB_REFERENCE, // hidden: for `make reference`
  VERBS
};

enum option_flag {
  OPTION_STATE = 1,
  OPTION_ONCE = 2,
  OPTION_JSON = 4,
  OPTION_LOG = 8,
  OPTION_TAKE_OVER = 16,
  OPTION_CONNECT = 32,
  OPTION_FORMAT = 64,
  OPTION_SCHEMA = 128,
  OPTION_NO_COLOR = 256,
  OPTION_HELP = 512,
};

struct option_row {
  const char *name; // without the dashes
  enum option_flag flag;
  const char *value; // what stands for its value in the help; NULL: takes none
  const char *help;
};

enum verb_file { FILE_NONE, FILE_OPTIONAL, FILE_REQUIRED };

struct verb_row {
  const char *name;
  enum verb_file file;
  unsigned options; // OPTION_* that it takes
  bool words;       // takes words of its own: dlq, positions
  bool hidden;
  const char *usage; // behind the name
  const char *summary, *text, *examples;
};

extern const struct verb_row verb_rows[VERBS];
extern const struct option_row option_rows[];
extern const size_t option_row_count;

struct command {
  enum verb verb;
  unsigned given; // OPTION_* that stand there
  const char *file, *state, *log, *format, *topic;
  char **words; // of dlq and positions, NULL at the end; owned, the texts are argv's
  int word_count;
};

// False: `complaint` says what is wrong, in whole lines.
bool command_parse(struct command *c, int argc, char **argv, struct buffer *complaint);
void command_free(struct command *c);
