// Asks each worker's kind what it thinks of its settings, and takes from the answers what only SQL knows: which nodes a transform reads,
// and which columns it gives. Columns go down the pipeline, so that a sink hears of a key column that nobody produces.
//
// Transforms are asked twice where the first round showed that their one input has known columns: the order is only known after it.
#include <stdlib.h>
#include <string.h>

#include "proto/job.h"
#include "proto/msgpack.h"
#include "supervisor/config_place.h"
#include "supervisor/plan_build.h"
#include "supervisor/plan_report.h"

// ---- where a finding belongs

// What stands in a list, as the last step of a path; a text is a list of one.
static const struct config_entry *find_element(const struct config_entry *entry, const char *text) {
  const struct config_node *value = &entry->value;
  if (value->kind == CONFIG_TEXT) return entry;
  for (size_t i = 0; value->kind == CONFIG_LIST && i < value->count; i++)
    if (value->entries[i].value.kind == CONFIG_TEXT && strcmp(value->entries[i].value.text, text) == 0) return &value->entries[i];
  return NULL;
}

// "columns.lon" or, where the setting is a list, "key.id": the node's map, then one name a step. A name may hold dots itself, so the
// longest one that is there wins.
static const struct config_entry *find_setting(const struct config_node *map, const char *path, bool *whole) {
  size_t length = strlen(path);
  for (size_t take = length; take > 0; take--) {
    if (take != length && path[take] != '.') continue;
    char *name = memory_text_n(path, take);
    const struct config_entry *entry = config_find(map, name);
    free(name);
    if (!entry) continue;
    *whole = take == length;
    if (*whole) return entry;
    const struct config_entry *inner = find_element(entry, path + take + 1);
    *whole = inner != NULL;
    if (!inner) inner = find_setting(&entry->value, path + take + 1, whole);
    return inner ? inner : entry;
  }
  *whole = false;
  return NULL;
}

// Of the whole text (offset -1) without its quotes, or of a word in it.
static struct plan_place place_of(const struct draft *d, const struct config_node *value, long offset) {
  struct plan_place place = {0};
  config_place_value(&d->source, value, offset > 0 ? (size_t)offset : 0, &place.line, &place.column);
  bool quoted = value->style == CONFIG_SINGLE || value->style == CONFIG_DOUBLE;
  if (offset < 0 && value->width > 0) place.width = value->width - (quoted ? 2 : 0);
  return place;
}

static void report_finding(struct draft *d, size_t index, const struct check_finding *f) {
  const struct plan_node *node = &d->plan->nodes[index];
  bool whole = false;
  // What topics share stands once in the file.
  bool shared = node->at_brokers && f->setting && strncmp(f->setting, "kafka", 5) == 0;
  const struct config_node *map = shared ? &d->root : &d->nodes[index].entry->value;
  const struct config_entry *entry = f->setting ? find_setting(map, f->setting, &whole) : NULL;
  struct plan_place place = {.line = node->line, .column = node->column};
  if (entry && whole && entry->value.kind == CONFIG_TEXT && (f->offset >= 0 || entry->value.style != CONFIG_BLOCK))
    place = place_of(d, &entry->value, f->offset);
  else if (entry)
    place = (struct plan_place){.line = entry->line, .column = entry->column};
  const char *suggestion = entry && entry->value.secret ? NULL : f->suggestion; // it may repeat what must not be shown
  if (shared && f->level == CHECK_ERROR) d->brokers_away = true;
  if (shared && entry)
    plan_report_add_wide(d->report, f->level, place, suggestion, "%s", f->text);
  else
    plan_report_add_wide(d->report, f->level, place, suggestion, "%s `%s`: %s", plan_section_word(node->section), node->name, f->text);
}

// ---- asking

// A node whose records the node `index` may read, where its SQL says what it reads.
static bool is_input(const struct plan *p, size_t index, size_t other) {
  return other != index && p->nodes[other].section != PLAN_SINK && p->nodes[other].section != PLAN_LOOKUP;
}

static void ask_kind(struct draft *d, size_t index, const struct worker_kind *kind, const struct draft_node *input, bool connect,
                     struct check *c) {
  const struct plan *p = d->plan;
  const struct plan_node *node = &p->nodes[index];
  *c = (struct check){
      .pipeline = p->pipeline, .node = node->name, .settings = plan_settings(node), .connect = connect, .once = d->once, .state = p->state};
  const char **names = memory_get((p->node_count + 1) * sizeof *names);
  struct check_lookup *lookups = memory_get((p->node_count + 1) * sizeof *lookups);
  for (size_t i = 0; i < p->node_count; i++)
    if (is_input(p, index, i)) names[c->input_count++] = p->nodes[i].name;
  c->inputs = names;
  c->lookup_count = plan_lookup_list(d, lookups, NULL);
  c->lookups = lookups;
  if (input && input->columns_known) {
    c->columns = input->columns;
    c->column_count = input->column_count;
    c->columns_known = true;
  }
  kind->check(c);
  c->inputs = NULL;
  c->columns = NULL;
  c->lookups = NULL;
  free(lookups);
  free(names);
}

static void ask(struct draft *d, size_t index, const struct draft_node *input, bool connect, struct check *c) {
  ask_kind(d, index, d->plan->nodes[index].kind, input, connect, c);
}

// A setting that is there and of which nothing bad was told yet.
static bool is_sound(const struct draft *d, size_t index, const char *setting) {
  const struct config_entry *entry = setting ? config_find(&d->nodes[index].entry->value, setting) : NULL;
  bool sound = entry && !entry->value.broken;
  for (size_t i = 0; sound && i < d->report->count; i++)
    sound = d->report->messages[i].line != entry->value.line || d->report->messages[i].column != entry->value.column;
  return sound;
}

// What is required and missing was told; the rest of a sink can be looked at all the same.
static void ask_unusable_sink(struct draft *d, size_t index) {
  struct check c;
  if (!d->plan->nodes[index].kind || !d->plan->nodes[index].kind->check) return;
  ask(d, index, NULL, false, &c);
  for (size_t i = 0; i < c.finding_count; i++) {
    const struct check_finding *f = &c.findings[i];
    if (f->level == CHECK_ERROR && is_sound(d, index, f->setting)) report_finding(d, index, f);
  }
  check_free(&c);
}

static bool can_ask(const struct draft *d, size_t index) {
  return d->nodes[index].usable && d->plan->nodes[index].kind && d->plan->nodes[index].kind->check;
}

static void take_answer(struct draft *d, size_t index, struct check *c) {
  struct plan_node *node = &d->plan->nodes[index];
  struct draft_node *draft = &d->nodes[index];
  plan_columns_free(draft->columns, draft->column_count);
  draft->columns = c->output;
  draft->column_count = c->output_count;
  draft->columns_known = c->output_known;
  c->output = NULL;
  c->output_count = 0;
  free(node->form);
  node->form = c->form;
  c->form = NULL;
}

// Its SQL names what cannot be a name: neither that it is not there nor what follows from it is worth a message.
static bool is_of_misnamed(const struct draft *d, size_t index, const struct check_finding *f) {
  const struct config_entry *sql = config_find(&d->nodes[index].entry->value, "sql");
  if (d->plan->nodes[index].section != PLAN_TRANSFORM || !sql || sql->value.kind != CONFIG_TEXT) return false;
  if (!f->setting || strcmp(f->setting, "sql") != 0) return false;
  for (size_t i = 0; i < d->misnamed_count; i++)
    if (strcasestr(sql->value.text, d->misnamed[i])) return true;
  return false;
}

// What a sink seems to lack may stand in its input, which is broken: that is no warning.
static void report_findings(struct draft *d, size_t index, const struct check *c) {
  bool unsure = d->plan->nodes[index].section == PLAN_SINK && d->report->failed && !c->columns_known;
  for (size_t i = 0; i < c->finding_count; i++)
    if ((!unsure || c->findings[i].level != CHECK_WARNING) && !is_of_misnamed(d, index, &c->findings[i]))
      report_finding(d, index, &c->findings[i]);
}

static void ask_with(struct draft *d, size_t index, const struct draft_node *input, bool connect) {
  struct check c;
  ask(d, index, input, connect, &c);
  report_findings(d, index, &c);
  if (c.partitions > 0) d->nodes[index].partitions = c.partitions;
  if (!d->plan->nodes[index].at_brokers) take_answer(d, index, &c); // what a topic gives is said by plan_topic_columns
  check_free(&c);
}

// The n-th name that the node could read, as ask() listed them.
static size_t input_index(const struct plan *p, size_t index, size_t n) {
  for (size_t i = 0; i < p->node_count; i++) {
    if (!is_input(p, index, i)) continue;
    if (n-- == 0) return i;
  }
  return p->node_count;
}

static void link_reads(struct draft *d, size_t index, const struct check *c) {
  struct plan_node *node = &d->plan->nodes[index];
  size_t inputs = 0;
  for (size_t i = 0; i < d->plan->node_count; i++) inputs += is_input(d->plan, index, i);
  for (size_t n = 0; c->reads && n < inputs; n++) {
    if (!c->reads[n]) continue;
    node->from = memory_resize(node->from, (node->from_count + 1) * sizeof *node->from);
    node->from[node->from_count++] = (unsigned)input_index(d->plan, index, n);
  }
  bool told = false;
  for (size_t i = 0; i < c->finding_count; i++) told |= c->findings[i].level == CHECK_ERROR;
  if (node->from_count == 0 && !told)
    plan_report_add(d->report, CHECK_ERROR, node->line, node->column, NULL, "transform `%s` reads no source, topic or transform",
                    node->name);
}

// ---- the order

enum visit { NOT_SEEN, ON_THE_WAY, DONE };

struct order {
  struct draft *d;
  enum visit *visits;
  size_t *path, depth;   // from the node where the walk began to the one in hand
  size_t *sorted, count; // inputs before their readers
  bool cycle;
};

static void report_cycle(struct order *o, size_t again) {
  const struct plan *p = o->d->plan;
  struct buffer text = {0};
  size_t from = 0;
  while (o->path[from] != again) from++;
  // The path leads against the flow; it is told in its direction.
  buffer_text(&text, p->nodes[again].name);
  for (size_t i = o->depth; i-- > from;) buffer_print(&text, " -> %s", p->nodes[o->path[i]].name);
  const struct plan_node *node = &p->nodes[again];
  plan_report_add(o->d->report, CHECK_ERROR, node->line, node->column, NULL, "these nodes read each other in a circle: %s",
                  buffer_cstring(&text));
  buffer_free(&text);
  o->cycle = true;
}

static void visit(struct order *o, size_t index) {
  const struct plan_node *node = &o->d->plan->nodes[index];
  o->visits[index] = ON_THE_WAY;
  o->path[o->depth++] = index;
  for (size_t i = 0; i < node->from_count; i++) {
    if (o->visits[node->from[i]] == ON_THE_WAY) report_cycle(o, node->from[i]);
    if (o->visits[node->from[i]] == NOT_SEEN) visit(o, node->from[i]);
  }
  // A topic that another node of the file writes under the same name at the brokers.
  for (size_t i = 0; i < o->d->plan->node_count; i++) {
    if (i == index || !plan_topic_same(o->d->plan, i, index)) continue;
    if (o->visits[i] == ON_THE_WAY) report_cycle(o, i);
    if (o->visits[i] == NOT_SEEN) visit(o, i);
  }
  o->depth--;
  o->visits[index] = DONE;
  o->sorted[o->count++] = index;
}

// ---- columns

// What the node's one input gives; NULL when it has several, or a topic on the way has.
static const struct draft_node *only_input(const struct draft *d, const struct plan_node *node) {
  while (node->from_count == 1) {
    const struct plan_node *input = &d->plan->nodes[node->from[0]];
    if (!plan_passes_on(input)) return &d->nodes[node->from[0]];
    node = input;
  }
  return NULL;
}

static void ask_transform_again(struct draft *d, size_t index) {
  const struct draft_node *input = only_input(d, &d->plan->nodes[index]);
  if (!input || !input->columns_known) return;
  ask_with(d, index, input, false);
}

// The inputs of a node with topics looked through. `found` marks the topics that were passed too: ways through them may double at every
// step.
static void find_inputs(const struct draft *d, const struct plan_node *node, bool *found) {
  for (size_t i = 0; i < node->from_count; i++) {
    unsigned from = node->from[i];
    if (found[from]) continue;
    found[from] = true;
    if (plan_passes_on(&d->plan->nodes[from])) find_inputs(d, &d->plan->nodes[from], found);
  }
}

static void put_column(struct buffer *out, const struct check_column *c) {
  buffer_reserve(out, strlen(c->name) + strlen(c->type) + 64);
  struct msgpack_writer w = {.at = out->at + out->length, .end = out->at + out->room};
  msgpack_write_map(&w, 3);
  msgpack_write_cstring(&w, "name");
  msgpack_write_cstring(&w, c->name);
  msgpack_write_cstring(&w, "type");
  msgpack_write_cstring(&w, c->type);
  msgpack_write_cstring(&w, "not_null");
  msgpack_write_bool(&w, c->not_null);
  out->length = (size_t)(w.at - out->at);
}

// Several inputs together: every column of any of them; one that not all have may be null, one with two types is text.
static void merge_columns(struct draft_node *all, const struct draft_node *input, bool first) {
  for (size_t i = 0; i < all->column_count; i++) {
    bool has = false;
    for (size_t k = 0; k < input->column_count; k++) has |= strcmp(all->columns[i].name, input->columns[k].name) == 0;
    if (!has) all->columns[i].not_null = false;
  }
  for (size_t i = 0; i < input->column_count; i++) {
    const struct check_column *new = &input->columns[i];
    struct check_column *old = NULL;
    for (size_t k = 0; k < all->column_count && !old; k++)
      if (strcmp(all->columns[k].name, new->name) == 0) old = &all->columns[k];
    if (old && strcmp(old->type, new->type) != 0) {
      free(old->type);
      old->type = memory_text("text");
    }
    if (old) old->not_null = old->not_null && new->not_null;
    if (old) continue;
    all->columns = memory_resize(all->columns, (all->column_count + 1) * sizeof *all->columns);
    all->columns[all->column_count++] =
        (struct check_column){.name = memory_text(new->name), .type = memory_text(new->type), .not_null = new->not_null &&first};
  }
}

// A sink learns the columns of its input as the setting `input_columns`: it may have to create its table before the first row.
static void put_input_columns(struct plan_node *node, const struct draft_node *input) {
  struct buffer all = {0};
  buffer_reserve(&all, 64);
  struct msgpack_writer w = {.at = all.at, .end = all.at + all.room};
  msgpack_write_array(&w, (uint32_t)input->column_count);
  all.length = (size_t)(w.at - all.at);
  for (size_t i = 0; i < input->column_count; i++) put_column(&all, &input->columns[i]);
  plan_settings_add(node, "input_columns", all.at, all.length);
  buffer_free(&all);
}

// Every record of a stage has all of its columns; what a topic holds may be older than the file.
static void put_sure(struct plan_node *node) {
  struct buffer sure = {0};
  buffer_byte(&sure, MSGPACK_B_TRUE);
  plan_settings_add(node, "input_columns_sure", sure.at, sure.length);
  buffer_free(&sure);
}

static void tell_columns(struct draft *d, size_t index) {
  struct plan *p = d->plan;
  bool *inputs = memory_get((p->node_count + 1) * sizeof *inputs);
  struct draft_node all = {.columns_known = true};
  bool first = true, sure = true;
  find_inputs(d, &p->nodes[index], inputs);
  for (size_t i = 0; i < p->node_count; i++) {
    if (!inputs[i] || plan_passes_on(&p->nodes[i])) continue;
    all.columns_known &= d->nodes[i].columns_known;
    sure &= p->nodes[i].section == PLAN_TRANSFORM;
    merge_columns(&all, &d->nodes[i], first);
    first = false;
  }
  all.columns_known &= !first;
  if (all.columns_known) put_input_columns(&p->nodes[index], &all);
  if (all.columns_known && sure) put_sure(&p->nodes[index]);
  if (p->nodes[index].at_brokers) plan_topic_columns(d, index, &all);
  plan_columns_free(all.columns, all.column_count);
  free(inputs);
}

// Once for each input; one without any (what it names is not there) is asked about the rest of its settings.
static void ask_sink(struct draft *d, size_t index, bool connect) {
  struct plan *p = d->plan;
  bool *inputs = memory_get((p->node_count + 1) * sizeof *inputs), any = false;
  find_inputs(d, &p->nodes[index], inputs);
  for (size_t i = 0; i < p->node_count; i++) {
    if (!inputs[i] || plan_passes_on(&p->nodes[i])) continue;
    if (any && connect && p->nodes[index].at_brokers) break; // brokers are asked once for a topic
    ask_with(d, index, &d->nodes[i], connect);
    any = true;
  }
  if (!any) ask_with(d, index, NULL, connect);
  free(inputs);
}

// ---- the whole

static void ask_sources(struct draft *d, bool connect) {
  for (size_t i = 0; i < d->plan->node_count; i++)
    if (d->plan->nodes[i].section == PLAN_SOURCE && can_ask(d, i)) ask_with(d, i, NULL, connect);
}

static void ask_lookups(struct draft *d, bool connect) {
  for (size_t i = 0; i < d->plan->node_count; i++)
    if (d->plan->nodes[i].section == PLAN_LOOKUP && can_ask(d, i)) ask_with(d, i, NULL, connect);
}

static void ask_reader(struct draft *d, size_t index, bool connect) {
  const struct plan_node *node = &d->plan->nodes[index];
  struct check c;
  if (!d->nodes[index].usable || !node->reader || !node->reader->check) return;
  ask_kind(d, index, node->reader, NULL, connect, &c);
  report_findings(d, index, &c);
  check_free(&c);
}

static void ask_transforms(struct draft *d, struct check *first) {
  for (size_t i = 0; i < d->plan->node_count; i++) {
    if (d->plan->nodes[i].section != PLAN_TRANSFORM || !can_ask(d, i)) continue;
    ask(d, i, NULL, false, &first[i]);
    link_reads(d, i, &first[i]);
    plan_lookup_link(d, i, &first[i]);
    take_answer(d, i, &first[i]);
  }
}

static bool sort_nodes(struct draft *d, size_t *sorted) {
  size_t count = d->plan->node_count;
  struct order o = {.d = d, .sorted = sorted};
  o.visits = memory_get((count + 1) * sizeof *o.visits);
  o.path = memory_get((count + 1) * sizeof *o.path);
  for (size_t i = 0; i < count; i++)
    if (o.visits[i] == NOT_SEEN) visit(&o, i);
  free(o.visits);
  free(o.path);
  return !o.cycle;
}

static void ask_all(struct draft *d) {
  struct plan *p = d->plan;
  struct check *first = memory_get((p->node_count + 1) * sizeof *first);
  size_t *sorted = memory_get((p->node_count + 1) * sizeof *sorted);
  ask_sources(d, false);
  ask_lookups(d, false);
  ask_transforms(d, first);
  plan_lookups_index(d);
  plan_topics_read(d);
  bool ordered = sort_nodes(d, sorted);
  for (size_t n = 0; n < p->node_count; n++) {
    size_t i = sorted[n];
    if (p->nodes[i].section == PLAN_TRANSFORM && can_ask(d, i)) {
      const struct draft_node *input = ordered ? only_input(d, &p->nodes[i]) : NULL;
      if (input && input->columns_known)
        ask_transform_again(d, i);
      else
        report_findings(d, i, &first[i]);
    }
    if (plan_is_sink(&p->nodes[i]) || p->nodes[i].at_brokers) {
      if (d->nodes[i].usable && ordered) tell_columns(d, i);
      if (can_ask(d, i)) ask_sink(d, i, false);
      if (!d->nodes[i].usable && !p->nodes[i].at_brokers) ask_unusable_sink(d, i);
      ask_reader(d, i, false);
    }
    check_free(&first[i]);
  }
  free(first);
  free(sorted);
}

// Of a file that stops being YAML somewhere: what nodes read, and what reads them, may stand behind that place.
static void ask_alone(struct draft *d) {
  for (size_t i = 0; i < d->plan->node_count; i++) {
    enum plan_section section = d->plan->nodes[i].section;
    bool whole = !d->nodes[i].entry->value.cut;
    if (whole && (section == PLAN_SOURCE || section == PLAN_SINK) && can_ask(d, i)) ask_with(d, i, NULL, false);
  }
}

void plan_ask(struct draft *d, bool connect) {
  if (d->root.cut) {
    ask_alone(d);
    return;
  }
  if (!connect) {
    ask_all(d);
    return;
  }
  ask_sources(d, true);
  ask_lookups(d, true);
  for (size_t i = 0; i < d->plan->node_count; i++) {
    const struct plan_node *node = &d->plan->nodes[i];
    if (node->at_brokers && d->brokers_away) continue; // that was told; each further question would wait as long
    if (plan_is_sink(node) && can_ask(d, i)) ask_sink(d, i, true);
    if (!node->kind) ask_reader(d, i, true); // of a topic that is written the writer has told it all
  }
}
