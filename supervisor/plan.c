// plan_make: from the name of a pipeline file to a plan that can run. The steps stand in plan_build.h.
#include "supervisor/plan.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/job.h"
#include "proto/msgpack.h"
#include "supervisor/config_file.h"
#include "supervisor/plan_build.h"
#include "supervisor/plan_report.h"
#include "supervisor/settings_value.h"

enum { SETTING_SPARE = 64 };

const char *plan_section_word(enum plan_section section) {
  switch (section) {
  case PLAN_SOURCE: return "source";
  case PLAN_TRANSFORM: return "transform";
  case PLAN_TOPIC: return "topic";
  case PLAN_LOOKUP: return "lookup";
  case PLAN_SINK: return "sink";
  }
  return "?";
}

struct job_value plan_settings(const struct plan_node *node) {
  if (node->settings.length == 0) return (struct job_value){0};
  return (struct job_value){.at = node->settings.at, .end = node->settings.at + node->settings.length};
}

void plan_settings_add(struct plan_node *node, const char *name, const void *value, size_t length) {
  struct buffer all = {0};
  const uint8_t *at = node->settings.at, *end = node->settings.at + node->settings.length;
  struct msgpack_value map;
  if (!msgpack_read(&at, end, &map) || map.type != MSGPACK_MAP) return;
  buffer_reserve(&all, strlen(name) + SETTING_SPARE);
  struct msgpack_writer w = {.at = all.at, .end = all.at + all.room};
  msgpack_write_map(&w, map.length + 1);
  msgpack_write_cstring(&w, name);
  all.length = (size_t)(w.at - all.at);
  buffer_add(&all, value, length);
  buffer_add(&all, at, (size_t)(end - at));
  buffer_free(&node->settings);
  node->settings = all;
}

void plan_settings_text(struct plan_node *node, const char *name, const char *value) {
  size_t room = strlen(value) + SETTING_SPARE;
  uint8_t *bytes = memory_get(room);
  struct msgpack_writer w = {.at = bytes, .end = bytes + room};
  msgpack_write_cstring(&w, value);
  plan_settings_add(node, name, bytes, (size_t)(w.at - bytes));
  free(bytes);
}

bool plan_is_root(const struct plan_node *node) {
  return node->section == PLAN_SOURCE || node->reader;
}

bool plan_is_sink(const struct plan_node *node) {
  return node->section == PLAN_SINK || (node->at_brokers && node->kind);
}

bool plan_passes_on(const struct plan_node *node) {
  return node->section == PLAN_TOPIC && !node->at_brokers;
}

const char *plan_kind_name(const struct plan_node *node, const struct worker_kind *kind) {
  if (!node->at_brokers) return kind->name;
  return kind->role == WORKER_PRODUCER ? "topic_reader" : "topic_writer";
}

const char *plan_topic_use(const struct plan_node *node) {
  if (node->kind) return node->reader ? "written and read" : "written";
  return node->reader ? "read" : "not used";
}

bool plan_chain_feeds(const struct plan *plan, const struct plan_chain *chain, const struct plan_chain *reader) {
  const struct plan_node *source = &plan->nodes[reader->source];
  for (size_t w = 1; w < chain->worker_count; w++)
    if (source->copies ? chain->workers[w].node == source->from[0] : plan_topic_same(plan, chain->workers[w].node, reader->source))
      return true;
  return false;
}

size_t plan_node_find(const struct plan *plan, const char *name) {
  size_t i = 0;
  while (i < plan->node_count && strcmp(plan->nodes[i].name, name) != 0) i++;
  return i;
}

void plan_columns_free(struct check_column *columns, size_t count) {
  for (size_t i = 0; i < count; i++) {
    free(columns[i].name);
    free(columns[i].type);
    free(columns[i].origin);
  }
  free(columns);
}

// The folder that holds the file, absolute, links resolved.
static char *folder_of(const char *file) {
  const char *slash = strrchr(file, '/');
  char *folder = slash == file ? memory_text("/") : slash ? memory_text_n(file, (size_t)(slash - file)) : memory_text(".");
  char *absolute = realpath(folder, NULL);
  if (!absolute) return folder;
  free(folder);
  return absolute;
}

// The name of the file without its ending.
static char *name_of(const char *file) {
  const char *slash = strrchr(file, '/');
  const char *name = slash ? slash + 1 : file;
  const char *dot = strrchr(name, '.');
  return memory_text_n(name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

static char *state_folder(const struct draft *d, const char *option) {
  const char *asked = option ? option : getenv("WEIR_STATE");
  if (!asked || !*asked) return memory_print("%s/.weir/%s", d->folder, d->plan->pipeline);
  if (asked[0] == '/') return memory_text(asked);
  char *here = realpath(".", NULL);
  char *absolute = memory_print("%s/%s", here ? here : ".", asked);
  free(here);
  return absolute;
}

static void take_top(struct draft *d, const char *state) {
  struct plan *p = d->plan;
  struct job_value top = {.at = d->top.at, .end = d->top.at + d->top.length};
  struct job_value dead = job_get(top, "dead_letters");
  p->stop_above = job_double(dead, "stop_above", 0);
  p->dead_store_bytes = (uint64_t)job_int(dead, "max_bytes", 0);
  p->drain_ms = (uint64_t)job_int(top, "drain_timeout", 0);
  char *guess = name_of(p->file);
  p->pipeline = job_text(top, "pipeline", guess);
  free(guess);
  if (!value_name(p->pipeline))
    plan_report_add(d->report, CHECK_ERROR, 1, 1, NULL, "the file's name `%.100s` cannot be the pipeline's: add `pipeline: NAME`",
                    p->pipeline);
  p->state = state_folder(d, state);
}

bool plan_draft(struct draft *d, const struct plan_options *options, struct plan_report *report) {
  *report = (struct plan_report){0};
  *d = (struct draft){.plan = memory_get(sizeof *d->plan), .report = report, .once = options->once};
  d->plan->file = memory_text(options->file);
  d->folder = folder_of(options->file);
  d->plan->text = config_file_read(options->file, report);
  if (!d->plan->text) return false;
  d->source = (struct config_source){.text = d->plan->text, .length = strlen(d->plan->text), .folder = d->folder};
  if (config_read(&d->source, &d->root, report)) {
    plan_collect(d);
    take_top(d, options->state);
    plan_ask(d, false);
    if (!report->failed) plan_grow(d);
    if (!report->failed) plan_files(d);
    d->checked = !report->failed;
    if (d->checked && options->connect) plan_ask(d, true);
    if (d->checked) plan_check_keys(d); // behind the connection, which knows how many partitions a topic really has
    if (d->checked) plan_letters(d);
  }
  plan_report_sort(report);
  return !report->failed;
}

void plan_draft_free(struct draft *d) {
  for (size_t i = 0; i < d->node_count; i++) {
    plan_columns_free(d->nodes[i].columns, d->nodes[i].column_count);
    check_indexes_free(d->nodes[i].indexes, d->nodes[i].index_count);
  }
  for (size_t i = 0; i < d->left_out_count; i++) free(d->left_out[i]);
  free(d->left_out);
  for (size_t i = 0; i < d->misnamed_count; i++) free(d->misnamed[i]);
  free(d->misnamed);
  free(d->nodes);
  free(d->folder);
  buffer_free(&d->top);
  config_free(&d->root);
  plan_free(d->plan);
  *d = (struct draft){0};
}

struct plan *plan_make(const struct plan_options *options, struct plan_report *report) {
  struct draft d;
  struct plan *plan = NULL;
  bool good = plan_draft(&d, options, report);
  if (good) {
    plan = d.plan;
    d.plan = NULL;
  }
  plan_draft_free(&d);
  return plan;
}

static void chains_free(struct plan_chain *chains, size_t count) {
  for (size_t i = 0; i < count; i++) {
    struct plan_chain *chain = &chains[i];
    for (size_t w = 0; w < chain->worker_count; w++) {
      free(chain->workers[w].edge);
      free(chain->workers[w].dead_nodes);
    }
    free(chain->workers);
    free(chain->fingerprint);
  }
  free(chains);
}

void plan_free(struct plan *plan) {
  if (!plan) return;
  for (size_t i = 0; i < plan->node_count; i++) {
    free(plan->nodes[i].name);
    free(plan->nodes[i].from);
    free(plan->nodes[i].lookups);
    free(plan->nodes[i].form);
    buffer_free(&plan->nodes[i].settings);
  }
  chains_free(plan->chains, plan->chain_count);
  chains_free(plan->lookups, plan->lookup_count);
  free(plan->nodes);
  free(plan->file);
  free(plan->pipeline);
  free(plan->state);
  free(plan->text);
  free(plan);
}
