// The common part of `weir dlq` and `weir positions`. See verb_stores.h.
#include "supervisor/verb_stores.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/plan_build.h"
#include "supervisor/suggest.h"
#include "supervisor/terminal.h"

// ---- words

static const struct word_option *option_of(const struct word_option *options, const char *word) {
  size_t length = strcspn(word + 2, "=");
  for (const struct word_option *o = options; o->name; o++)
    if (strlen(o->name) == length && strncmp(o->name, word + 2, length) == 0) return o;
  return NULL;
}

static bool take_option(const char *verb, const struct word_option *option, int argc, char **argv, int *at) {
  const char *equals = strchr(argv[*at], '=');
  if (option->flag) {
    *option->flag = true;
    if (equals) fprintf(stderr, "weir %s: --%s takes no value\n", verb, option->name);
    return !equals;
  }
  if (equals)
    *option->value = equals + 1;
  else if (*at + 1 < argc)
    *option->value = argv[++*at];
  if (*option->value && **option->value) return true;
  // A partition may be the empty name.
  if (*option->value && strcmp(option->name, "partition") == 0) return true;
  fprintf(stderr, "weir %s: --%s needs a value\n", verb, option->name);
  return false;
}

bool words_parse(const char *verb, int argc, char **argv, const struct word_option *options, const char **plain, int plain_most,
                 int *plain_count) {
  *plain_count = 0;
  for (int at = 0; at < argc; at++) {
    const char *word = argv[at];
    if (strncmp(word, "--", 2) == 0) {
      const struct word_option *option = option_of(options, word);
      if (!option) fprintf(stderr, "weir %s: unknown option %.200s (see `weir help %.*s`)\n", verb, word, (int)strcspn(verb, " "), verb);
      if (!option || !take_option(verb, option, argc, argv, &at)) return false;
    } else if (*plain_count < plain_most)
      plain[(*plain_count)++] = word;
    else {
      fprintf(stderr, "weir %s: \"%.200s\" is one word too many\n", verb, word);
      return false;
    }
  }
  return true;
}

// ---- the plan and its stores

int verb_with_plan(const struct command *c, plan_verb *verb) {
  struct plan_options options = {.file = c->file, .state = c->state};
  struct plan_report report;
  if (!c->file) {
    fprintf(stderr, "weir %s: which pipeline file?\n  usage: weir %s %s\n", verb_rows[c->verb].name, verb_rows[c->verb].name,
            verb_rows[c->verb].usage);
    return VERB_USAGE;
  }
  struct plan *plan = plan_make(&options, &report);
  int code = VERB_USAGE;
  if (plan)
    code = verb(plan, c->word_count, c->words, c->given & OPTION_JSON);
  else {
    struct buffer out = {0};
    plan_report_print(&report, options.file, NULL, false, &out);
    fwrite(out.at, 1, out.length, stderr);
    buffer_free(&out);
  }
  plan_report_free(&report);
  plan_free(plan);
  return code;
}

static bool visit_one(const struct plan *plan, const struct plan_node *sink, store_visit *visit, void *context) {
  struct error e = {0};
  struct store_place place = {.pipeline = plan->pipeline, .sink = sink->name, .state = plan->state, .settings = plan_settings(sink)};
  struct store *store = sink->kind->store(&place, &e);
  bool good = store && visit(context, plan, sink, store, &e);
  store_close(store);
  char *why = good ? NULL : terminal_text(e.text);
  if (why) fprintf(stderr, "weir: sink %s: %s\n", sink->name, why);
  free(why);
  return good;
}

static void tell_unknown(const struct plan *plan, const char *name) {
  fprintf(stderr, "weir: the pipeline %s has no sink \"%.200s\"; its sinks are", plan->pipeline, name);
  const char *comma = " ";
  for (size_t i = 0; i < plan->node_count; i++)
    if (plan_is_sink(&plan->nodes[i])) {
      fprintf(stderr, "%s%s", comma, plan->nodes[i].name);
      comma = ", ";
    }
  fputc('\n', stderr);
}

int stores_each(const struct plan *plan, const char *sink, store_visit *visit, void *context) {
  int code = VERB_OK;
  bool found = false;
  for (size_t i = 0; i < plan->node_count; i++) {
    const struct plan_node *node = &plan->nodes[i];
    if (!plan_is_sink(node) || !node->kind->store || (sink && strcmp(sink, node->name) != 0)) continue;
    found = true;
    if (!visit_one(plan, node, visit, context)) code = VERB_FAILED;
  }
  if (found || !sink) return code;
  tell_unknown(plan, sink);
  return VERB_USAGE;
}

void stores_tell_of_topics(const struct plan *plan) {
  for (size_t n = 0; n < plan->node_count; n++) {
    const struct plan_node *node = &plan->nodes[n];
    char *dead = node->at_brokers && node->kind && !node->copies ? job_text(plan_settings(node), "dead_topic", "") : NULL;
    if (dead && *dead)
      fprintf(stderr,
              "weir dlq: the dead letters of topic %s, and of what flows into it alone, lie in topic %s only: they are read there, and "
              "cannot be sent again from here\n",
              node->name, dead);
    free(dead);
  }
}

bool confirm(const char *question) {
  char answer[16] = "";
  if (isatty(STDIN_FILENO) != 1) {
    fprintf(stderr, "%s Say --yes to do it.\n", question);
    return false;
  }
  fprintf(stderr, "%s [y/N] ", question);
  fflush(stderr);
  return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}
