// `weir positions`: how far each sink of a pipeline is, and changing that.
//
// NAME          positions_verb - show, set, rename
// DESCRIPTION   `set` (positions_set.c) and `rename` say first what they would do, in records, and in time where it is known; they do it
//               with --yes, or after a question on the terminal; --dry-run ends before. A running instance notices: it goes back to what
//               is stored and starts again from there.
// DIAGNOSTICS   As verb_stores.h. Setting a position that nothing has is exit 1.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/json_text.h"
#include "supervisor/positions_set.h"
#include "supervisor/terminal.h"
#include "supervisor/verb_stores.h"

// ---- show

struct showing {
  const char *sink, *source, *partition;
  struct json_text json;
  struct buffer out;
  uint64_t count;
};

static void show_json(struct showing *s, const struct store_position *p) {
  struct json_text *j = &s->json;
  json_text_open(j, NULL, '{');
  json_text_string(j, "sink", s->sink);
  json_text_string(j, "source", p->source);
  json_text_string(j, "partition", p->partition);
  json_text_string(j, "edge", p->edge);
  if (p->has_position) {
    json_text_int(j, "position", p->position);
    json_text_int(j, "start", p->start);
  } else
    json_text_raw(j, "position", "null");
  json_text_int(j, "rows", p->rows);
  json_text_int(j, "superseded", p->superseded);
  json_text_int(j, "dead", p->dead);
  json_text_string(j, "identity", p->identity);
  json_text_string(j, "owner", p->owner);
  json_text_string(j, "seen", p->seen);
  json_text_close(j, '}');
}

static void show_text(struct showing *s, const struct store_position *p) {
  char *partition = terminal_text(p->partition), *edge = terminal_text(p->edge);
  buffer_print(&s->out, "%s <- %s", s->sink, edge);
  if (*partition) buffer_print(&s->out, " [%s]", partition);
  free(partition);
  free(edge);
  if (p->has_position)
    buffer_print(&s->out, "  at %" PRId64, p->position);
  else
    buffer_text(&s->out, "  forgotten");
  buffer_print(&s->out, "  rows %" PRId64 "  refused %" PRId64 "  seen %s\n", p->rows, p->dead, p->seen);
}

static void tell_position(void *context, const struct store_position *p) {
  struct showing *s = context;
  s->count++;
  if (s->json.out)
    show_json(s, p);
  else
    show_text(s, p);
}

static bool show_store(void *context, const struct plan *plan, const struct plan_node *sink, struct store *store, struct error *e) {
  struct showing *s = context;
  (void)plan;
  s->sink = sink->name;
  return store_positions(store, s->source, s->partition, tell_position, s, e);
}

static int show(const struct plan *plan, const char *sink, const char *source, const char *partition, bool json) {
  struct showing s = {.source = source, .partition = partition};
  if (json) {
    s.json = (struct json_text){.out = &s.out, .pretty = true};
    json_text_open(&s.json, NULL, '[');
  }
  int code = stores_each(plan, sink, show_store, &s);
  if (json) {
    json_text_close(&s.json, ']');
    buffer_byte(&s.out, '\n');
  } else if (s.count == 0 && code == VERB_OK)
    buffer_text(&s.out, "no positions are stored yet\n");
  bool printed = fwrite(s.out.at ? s.out.at : (const uint8_t *)"", 1, s.out.length, stdout) == s.out.length && fflush(stdout) == 0;
  buffer_free(&s.out);
  return printed ? code : VERB_FAILED;
}

// ---- rename

struct renaming {
  struct store_rename names;
  bool dry_run, yes;
  uint64_t changed;
};

static bool rename_store(void *context, const struct plan *plan, const struct plan_node *sink, struct store *store, struct error *e) {
  struct renaming *r = context;
  (void)plan;
  if (!store_begin(store, e) || !store_rename(store, &r->names, &r->changed, e)) return false;
  printf("%" PRIu64 " positions of sink %s get the new name%s\n", r->changed, sink->name, r->dry_run ? " (--dry-run: not done)" : "");
  if (r->dry_run) return true; // closing takes it back
  if (!r->yes && !confirm("Change it?")) {
    error_set(e, ERROR_OPERATOR, "", "nothing was changed");
    return false;
  }
  return store_commit(store, e);
}

// "OLD=NEW"; both are owned by the caller.
static bool split(const char *text, const char *option, char **was, char **is) {
  const char *equals = text ? strchr(text, '=') : NULL;
  if (!text) return true;
  if (!equals || equals == text || !equals[1]) {
    fprintf(stderr, "weir positions rename: --%s OLD=NEW\n", option);
    return false;
  }
  *was = memory_text_n(text, (size_t)(equals - text));
  *is = memory_text(equals + 1);
  return true;
}

struct said {
  const char *source, *partition, *to, *edge, *pipeline, *sink;
  bool dry_run, yes;
};

static int rename_all(const struct plan *plan, const char *sink, const struct said *w) {
  char *source_was = NULL, *source_is = NULL, *edge_was = NULL, *edge_is = NULL;
  int code = VERB_USAGE;
  bool good = split(w->source, "source", &source_was, &source_is) && split(w->edge, "edge", &edge_was, &edge_is);
  if (good && !w->source && !w->edge && !w->pipeline && !w->sink)
    fprintf(stderr, "weir positions rename: what? --pipeline OLD, --sink OLD, --source OLD=NEW or --edge OLD=NEW\n");
  else if (good) {
    struct renaming r = {.names = {.pipeline_was = w->pipeline,
                                   .sink_was = w->sink,
                                   .source_was = source_was,
                                   .source_is = source_is,
                                   .edge_was = edge_was,
                                   .edge_is = edge_is},
                         .dry_run = w->dry_run,
                         .yes = w->yes};
    code = stores_each(plan, sink, rename_store, &r);
    if (code == VERB_OK && source_was)
      printf("a journal of the source is found by its name, too: rename %s/journal-%s.db to journal-%s.db\n", plan->state, source_was,
             source_is);
  }
  free(source_was);
  free(source_is);
  free(edge_was);
  free(edge_is);
  return code;
}

// ---- the command line

enum { SINKS_MOST = 64 }; // of one command

// One sink after the other: what is wrong with a source concerns every sink behind it.
static int set_each(const struct plan *plan, const char **sinks, int count, const struct said *w, bool json) {
  struct positions_wish wish = {
      .source = w->source, .partition = w->partition, .to = w->to, .dry_run = w->dry_run, .yes = w->yes, .json = json};
  int worst = VERB_OK;
  for (int i = 0; i < count; i++) {
    int code = positions_set(plan, sinks[i], &wish);
    if (code == VERB_USAGE) return code;
    if (code > worst) worst = code;
  }
  return worst;
}

int positions_verb(const struct plan *plan, int argc, char **argv, bool json) {
  struct said w = {0};
  const char *sinks[SINKS_MOST] = {NULL};
  int count;
  const struct word_option options[] = {{"source", &w.source, NULL},
                                        {"partition", &w.partition, NULL},
                                        {"to", &w.to, NULL},
                                        {"edge", &w.edge, NULL},
                                        {"pipeline", &w.pipeline, NULL},
                                        {"sink", &w.sink, NULL},
                                        {"dry-run", NULL, &w.dry_run},
                                        {"yes", NULL, &w.yes},
                                        {0}};
  const char *sub = argc > 0 ? argv[0] : "";
  bool is_show = strcmp(sub, "show") == 0, is_set = strcmp(sub, "set") == 0, is_rename = strcmp(sub, "rename") == 0;
  if (!is_show && !is_set && !is_rename) {
    fprintf(stderr, "weir positions: \"%.64s\" is none of show, set, rename\n", sub);
    return VERB_USAGE;
  }
  if (!words_parse("positions", argc - 1, argv + 1, options, sinks, is_set ? SINKS_MOST : 1, &count)) return VERB_USAGE;
  if (is_show) return show(plan, sinks[0], w.source, w.partition, json);
  if (count == 0) {
    fprintf(stderr, "weir positions %s: of which sink?\n", sub);
    return VERB_USAGE;
  }
  return is_set ? set_each(plan, sinks, count, &w, json) : rename_all(plan, sinks[0], &w);
}
