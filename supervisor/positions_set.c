// See positions_set.h for the manual page.
#include "supervisor/positions_set.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "supervisor/json_text.h"
#include "supervisor/plan_build.h"
#include "supervisor/terminal.h"

struct change {
  char *source, *partition, *identity, *edge;
  bool has_position;
  int64_t from;
  struct position_answer answer;
};

struct setting_to {
  const struct positions_wish *wish;
  const struct plan *plan;
  enum position_goal goal;
  int64_t at;
  bool forget;
  struct change *changes;
  size_t count;
};

// ---- what the words mean

static bool read_to(struct setting_to *s) {
  const char *to = s->wish->to;
  char *stop;
  if (!to) {
    fprintf(stderr, "weir positions set: where to? --to POSITION, earliest, latest or forget\n");
    return false;
  }
  s->forget = strcmp(to, "forget") == 0;
  s->goal = strcmp(to, "latest") == 0 ? POSITION_LATEST : strcmp(to, "earliest") == 0 ? POSITION_EARLIEST : POSITION_AT;
  if (s->forget || s->goal != POSITION_AT) return true;
  s->at = strtoll(to, &stop, 10);
  if (*to && *stop == '\0' && s->at >= 0 && s->at < INT64_MAX) return true;
  fprintf(stderr, "weir positions set: --to is a position (0 and more), earliest, latest or forget, not \"%.64s\"\n", to);
  return false;
}

// ---- the streams

static void take_stream(void *context, const struct store_position *p) {
  struct setting_to *s = context;
  s->changes = memory_resize(s->changes, (s->count + 1) * sizeof *s->changes);
  s->changes[s->count++] = (struct change){.source = memory_text(p->source),
                                           .partition = memory_text(p->partition),
                                           .identity = memory_text(p->identity),
                                           .edge = memory_text(p->edge),
                                           .has_position = p->has_position,
                                           .from = p->has_position ? p->position : 0};
}

static void changes_free(struct setting_to *s) {
  for (size_t i = 0; i < s->count; i++) {
    free(s->changes[i].source);
    free(s->changes[i].partition);
    free(s->changes[i].identity);
    free(s->changes[i].edge);
  }
  free(s->changes);
  s->changes = NULL;
  s->count = 0;
}

static bool is_same_stream(const struct change *a, const struct change *b) {
  return strcmp(a->source, b->source) == 0 && strcmp(a->partition, b->partition) == 0;
}

// A number means something in one stream only.
static bool number_fits(const struct setting_to *s, struct error *e) {
  for (size_t i = 1; i < s->count; i++) {
    if (s->forget || s->goal != POSITION_AT || s->at == 0 || is_same_stream(&s->changes[0], &s->changes[i])) continue;
    error_set(e, ERROR_OPERATOR, "",
              "a position means something in one stream only, and it has several: [%s] of %s, [%s] of %s ...; say which with --source and "
              "--partition",
              s->changes[0].partition, s->changes[0].source, s->changes[i].partition, s->changes[i].source);
    return false;
  }
  return true;
}

static bool change_look(const struct setting_to *s, struct change *c, struct error *e) {
  size_t index = plan_node_find(s->plan, c->source);
  const struct plan_node *node = index < s->plan->node_count ? &s->plan->nodes[index] : NULL;
  const struct worker_kind *kind = node && node->reader ? node->reader : node ? node->kind : NULL;
  c->answer = (struct position_answer){.to = s->goal == POSITION_AT ? s->at : 0};
  if (s->forget) return true;
  if (kind && kind->look) {
    struct position_ask ask = {.state = s->plan->state,
                               .source = c->source,
                               .settings = plan_settings(node),
                               .partition = c->partition,
                               .identity = c->identity,
                               .from = c->from,
                               .goal = s->goal,
                               .at = s->at};
    if (kind->look(&ask, &c->answer, e)) return true;
    error_add(e, "source %s%s%s%s", c->source, *c->partition ? " [" : "", c->partition, *c->partition ? "]" : "");
    return false;
  }
  snprintf(c->answer.why, sizeof c->answer.why,
           node                                   ? "this kind of source cannot count it"
           : strncmp(c->source, "retry:", 6) == 0 ? "what was sent again is gone from its store when every sink has it"
                                                  : "the pipeline has no source of that name");
  if (s->goal != POSITION_LATEST) return true;
  error_set(e, ERROR_OPERATOR, "", "`latest` of source %s is not known here: give the position itself", c->source);
  return false;
}

// ---- what is said before

static const char *effect_of(const struct change *c) {
  return c->answer.to < c->from ? "repeated" : "skipped";
}

static void foretell(const struct setting_to *s, const struct change *c) {
  const struct position_answer *a = &c->answer;
  char first[CLOCK_TEXT], until[CLOCK_TEXT];
  char *partition = terminal_text(c->partition);
  printf("source %s%s%s%s: from ", c->source, *partition ? " [" : "", partition, *partition ? "]" : "");
  free(partition);
  if (c->has_position)
    printf("position %" PRId64, c->from);
  else
    printf("no position");
  if (s->forget) {
    printf(" to none: it begins where the source's `start` says\n");
    return;
  }
  printf(" to %" PRId64 "\n", a->to);
  if (a->to == c->from)
    printf("  nothing is repeated or skipped; the next stream of this name is taken whatever its identity\n");
  else if (!a->counted)
    printf("  what lies between is %s; how much that is cannot be told: %s\n", effect_of(c), a->why);
  else if (a->records == 0)
    printf("  no record lies between: nothing is %s\n", effect_of(c));
  else if (a->first == 0)
    printf("  %" PRId64 " %s are %s\n", a->records, a->what, effect_of(c));
  else {
    clock_print(a->first, first);
    clock_print(a->until, until);
    printf("  %" PRId64 " %s, which came from %s to %s, are %s\n", a->records, a->what, first, until, effect_of(c));
  }
}

static void json_change(const struct setting_to *s, const struct change *c, struct json_text *j) {
  char time[CLOCK_TEXT];
  json_text_open(j, NULL, '{');
  json_text_string(j, "source", c->source);
  json_text_string(j, "partition", c->partition);
  json_text_string(j, "edge", c->edge);
  if (c->has_position) json_text_int(j, "from", c->from);
  if (!s->forget) json_text_int(j, "to", c->answer.to);
  json_text_string(j, "effect", s->forget ? "forgotten" : c->answer.to == c->from ? "none" : effect_of(c));
  if (c->answer.counted) json_text_int(j, "records", c->answer.records);
  if (c->answer.why[0]) json_text_string(j, "not_counted", c->answer.why);
  if (c->answer.first != 0) {
    clock_print(c->answer.first, time);
    json_text_string(j, "first", time);
    clock_print(c->answer.until, time);
    json_text_string(j, "until", time);
  }
  json_text_close(j, '}');
}

static void json_print(const struct setting_to *s, const char *sink, uint64_t changed) {
  struct buffer out = {0};
  struct json_text j = {.out = &out};
  json_text_open(&j, NULL, '{');
  json_text_string(&j, "sink", sink);
  json_text_int(&j, "changed", (int64_t)changed);
  json_text_open(&j, "streams", '[');
  for (size_t i = 0; i < s->count; i++) json_change(s, &s->changes[i], &j);
  json_text_close(&j, ']');
  json_text_close(&j, '}');
  printf("%s\n", buffer_cstring(&out));
  buffer_free(&out);
}

// ---- doing it

static bool store_changes(const struct setting_to *s, struct store *store, uint64_t *changed, struct error *e) {
  if (!store_begin(store, e)) return false;
  for (size_t i = 0; i < s->count; i++) {
    const struct change *c = &s->changes[i];
    uint64_t rows;
    bool again = false;
    for (size_t before = 0; before < i; before++) again |= is_same_stream(c, &s->changes[before]);
    if (again) continue; // other ways from the same source went with the first
    if (!store_set(store, c->source, c->partition, s->forget ? NULL : &c->answer.to, &rows, e)) return false;
    *changed += rows;
  }
  return store_commit(store, e);
}

static bool change_sink(struct setting_to *s, struct store *store, const char *sink, struct error *e) {
  const struct positions_wish *w = s->wish;
  uint64_t changed = 0;
  if (!store_positions(store, w->source, w->partition, take_stream, s, e)) return false;
  if (s->count == 0) {
    error_set(e, ERROR_OPERATOR, "", "it has no stored position of %s%s%s", w->source ? w->source : "any source",
              w->partition ? ", partition " : "", w->partition ? w->partition : "");
    return false;
  }
  if (!number_fits(s, e)) return false;
  for (size_t i = 0; i < s->count; i++)
    if (!change_look(s, &s->changes[i], e)) return false;
  for (size_t i = 0; i < s->count && !w->json; i++) foretell(s, &s->changes[i]);
  if (!w->dry_run && !w->yes && !confirm("Change it?")) {
    error_set(e, ERROR_OPERATOR, "", "nothing was changed");
    return false;
  }
  if (!w->dry_run && !store_changes(s, store, &changed, e)) return false;
  if (w->json)
    json_print(s, sink, changed);
  else if (!w->dry_run)
    printf("%" PRIu64 " position%s of sink %s changed\n", changed, changed == 1 ? "" : "s", sink);
  return true;
}

static bool set_store(void *context, const struct plan *plan, const struct plan_node *sink, struct store *store, struct error *e) {
  struct setting_to *s = context;
  (void)plan;
  bool good = change_sink(s, store, sink->name, e);
  changes_free(s);
  return good;
}

int positions_set(const struct plan *plan, const char *sink, const struct positions_wish *wish) {
  struct setting_to s = {.wish = wish, .plan = plan};
  return read_to(&s) ? stores_each(plan, sink, set_store, &s) : VERB_USAGE;
}
