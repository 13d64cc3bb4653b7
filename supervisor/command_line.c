// See command_line.h for the manual page. The tables of verbs and options stand in verbs.c.
#include "supervisor/command_line.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "supervisor/suggest.h"

static void suggest_print(const struct suggest *s, const char *prefix, struct buffer *out) {
  if (s->best) buffer_print(out, "  did you mean %s%s?\n", prefix, s->best);
}

// ---- verbs

static bool verb_find(const char *word, enum verb *verb, struct buffer *complaint) {
  struct suggest s = suggest_start(word);
  for (int v = 0; v < VERBS; v++) {
    if (strcmp(verb_rows[v].name, word) == 0) {
      *verb = (enum verb)v;
      return true;
    }
    if (!verb_rows[v].hidden) suggest_try(&s, verb_rows[v].name);
  }
  buffer_print(complaint, "weir: there is no verb \"%.64s\"\n", word);
  suggest_print(&s, "", complaint);
  if (!s.best) buffer_text(complaint, "  `weir help` lists them\n");
  return false;
}

// ---- options

static const struct option_row *option_find(const struct verb_row *verb, const char *name, size_t length) {
  for (size_t o = 0; o < option_row_count; o++) {
    const struct option_row *row = &option_rows[o];
    if ((verb->options & row->flag) && strlen(row->name) == length && memcmp(row->name, name, length) == 0) return row;
  }
  return NULL;
}

static void option_unknown(const struct verb_row *verb, const char *word, struct buffer *complaint) {
  char *name = memory_text_n(word, strcspn(word, "="));
  struct suggest s = suggest_start(name + strspn(name, "-"));
  for (size_t o = 0; o < option_row_count; o++)
    if (verb->options & option_rows[o].flag) suggest_try(&s, option_rows[o].name);
  buffer_print(complaint, "weir %s: there is no option \"%.64s\"\n", verb->name, name);
  suggest_print(&s, "--", complaint);
  if (!s.best) buffer_print(complaint, "  `weir help %s` lists them\n", verb->name);
  free(name);
}

static void option_store(struct command *c, const struct option_row *row, const char *value) {
  c->given |= row->flag;
  switch (row->flag) {
  case OPTION_STATE: c->state = value; break;
  case OPTION_LOG: c->log = value; break;
  case OPTION_FORMAT: c->format = value; break;
  case OPTION_ONCE:
  case OPTION_JSON:
  case OPTION_TAKE_OVER:
  case OPTION_CONNECT:
  case OPTION_SCHEMA:
  case OPTION_NO_COLOR:
  case OPTION_HELP: break;
  }
}

// One option at argv[*at], with its value behind `=` or in the next word, which is then skipped.
static bool option_take(struct command *c, const struct option_row *row, int argc, char **argv, int *at, struct buffer *complaint) {
  const char *equals = strchr(argv[*at], '='), *value = equals ? equals + 1 : NULL;
  if (!row->value && value) {
    buffer_print(complaint, "weir %s: --%s takes no value\n", verb_rows[c->verb].name, row->name);
    return false;
  }
  if (row->value && !value && *at + 1 < argc) value = argv[++*at];
  if (row->value && (!value || !*value)) {
    buffer_print(complaint, "weir %s: --%s needs a value: --%s %s\n", verb_rows[c->verb].name, row->name, row->name, row->value);
    return false;
  }
  option_store(c, row, value);
  return true;
}

// ---- words that are no options

static void own_word(struct command *c, char *word) {
  c->words = memory_resize(c->words, (size_t)(c->word_count + 2) * sizeof *c->words);
  c->words[c->word_count++] = word;
  c->words[c->word_count] = NULL;
}

// `weir dlq list FILE ...`: the first word is the sub-verb, the next one the file.
static bool word_take(struct command *c, char *word, struct buffer *complaint) {
  const struct verb_row *verb = &verb_rows[c->verb];
  if (c->verb == VERB_HELP && !c->topic) {
    c->topic = word;
    return true;
  }
  if (verb->words && (c->word_count == 0 || c->file)) {
    own_word(c, word);
    return true;
  }
  if (verb->file != FILE_NONE && !c->file) {
    c->file = word;
    return true;
  }
  buffer_print(complaint, "weir %s: \"%.200s\" is one word too many\n  usage: weir %s %s\n", verb->name, word, verb->name, verb->usage);
  return false;
}

static bool argument_take(struct command *c, int argc, char **argv, int *at, bool *plain, struct buffer *complaint) {
  const struct verb_row *verb = &verb_rows[c->verb];
  char *word = argv[*at];
  if (*plain || word[0] != '-' || strcmp(word, "-") == 0) return word_take(c, word, complaint);
  if (strcmp(word, "--") == 0) {
    *plain = true;
    return true;
  }
  if (strcmp(word, "-h") == 0) {
    c->given |= OPTION_HELP;
    return true;
  }
  const struct option_row *row = strncmp(word, "--", 2) == 0 ? option_find(verb, word + 2, strcspn(word + 2, "=")) : NULL;
  if (row) return option_take(c, row, argc, argv, at, complaint);
  if (verb->words) {
    own_word(c, word);
    return true;
  }
  option_unknown(verb, word, complaint);
  return false;
}

static bool command_check(const struct command *c, struct buffer *complaint) {
  const struct verb_row *verb = &verb_rows[c->verb];
  if (c->given & OPTION_HELP) return true;
  if (verb->file == FILE_REQUIRED && !c->file) {
    buffer_print(complaint, "weir %s: which pipeline file?\n  usage: weir %s %s\n", verb->name, verb->name, verb->usage);
    return false;
  }
  if (c->log && strcmp(c->log, "json") != 0 && strcmp(c->log, "text") != 0) {
    buffer_print(complaint, "weir %s: --log is json or text, not \"%.64s\"\n", verb->name, c->log);
    return false;
  }
  return true;
}

bool command_parse(struct command *c, int argc, char **argv, struct buffer *complaint) {
  *c = (struct command){.verb = VERB_HELP};
  bool plain = false;
  if (argc < 2) {
    buffer_text(complaint, "weir: what shall it do? `weir help` lists the verbs\n");
    return false;
  }
  if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return true;
  if (strcmp(argv[1], "--version") == 0) {
    c->verb = VERB_VERSION;
    return true;
  }
  if (!verb_find(argv[1], &c->verb, complaint)) return false;
  for (int at = 2; at < argc; at++)
    if (!argument_take(c, argc, argv, &at, &plain, complaint)) return false;
  return command_check(c, complaint);
}

void command_free(struct command *c) {
  free(c->words);
  c->words = NULL;
}
