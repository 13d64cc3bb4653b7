// What the tests of plans share: a folder of their own, a pipeline file in it, and what the plan said.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/job.h"
#include "supervisor/plan.h"
#include "supervisor/plan_report.h"

static char folder[64];

static inline int make_folder(void **state) {
  (void)state;
  strcpy(folder, "/tmp/weir-test-plan-XXXXXX");
  unsetenv("WEIR_STATE");
  return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state) {
  (void)state;
  char path[100];
  snprintf(path, sizeof path, "%s/pipe.yaml", folder);
  unlink(path);
  return rmdir(folder);
}

struct made {
  struct plan *plan;
  struct plan_report report;
};

static inline struct made make(const char *text) {
  char path[100];
  snprintf(path, sizeof path, "%s/pipe.yaml", folder);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
  struct made m;
  struct plan_options options = {.file = path};
  m.plan = plan_make(&options, &m.report);
  return m;
}

static inline void done(struct made *m) {
  plan_free(m->plan);
  plan_report_free(&m->report);
}

static inline struct made make_good(const char *text) {
  struct made m = make(text);
  for (size_t i = 0; i < m.report.count && !m.plan; i++)
    print_message("%d:%d: %s\n", m.report.messages[i].line, m.report.messages[i].column, m.report.messages[i].text);
  assert_non_null(m.plan);
  return m;
}

static inline bool has_message(const struct made *m, enum check_level level, int line, int column, const char *part) {
  for (size_t i = 0; i < m->report.count; i++) {
    const struct plan_message *one = &m->report.messages[i];
    if (one->level == level && one->line == line && (column == 0 || one->column == column) && strstr(one->text, part)) return true;
  }
  for (size_t i = 0; i < m->report.count; i++)
    print_message("got %d:%d: %s\n", m->report.messages[i].line, m->report.messages[i].column, m->report.messages[i].text);
  return false;
}

static inline void assert_broken(const char *text, int line, int column, const char *part) {
  struct made m = make(text);
  assert_null(m.plan);
  assert_true(m.report.failed);
  if (!has_message(&m, CHECK_ERROR, line, column, part)) fail_msg("no %d:%d: %s in:\n%s", line, column, part, text);
  done(&m);
}

static inline unsigned node_index(const struct plan *p, const char *name) {
  for (size_t i = 0; i < p->node_count; i++)
    if (strcmp(p->nodes[i].name, name) == 0) return (unsigned)i;
  fail_msg("no node %s", name);
  return 0;
}

static inline const struct plan_worker *worker_at(const struct plan_chain *c, const struct plan *p, const char *name, const char *edge) {
  for (size_t i = 0; i < c->worker_count; i++)
    if (c->workers[i].node == node_index(p, name) && strcmp(c->workers[i].edge, edge) == 0) return &c->workers[i];
  fail_msg("no worker %s behind %s", name, edge);
  return NULL;
}

#define SOURCE            "sources:\n  lines: {type: file, path: in.ndjson}\n"
#define TABLE(name, from) "  " name ": {from: " from ", type: table, url: 'sqlite:x', table: t}\n" // may have several inputs
#define SINK(name, from)  "  " name ": {from: " from ", type: file, path: " name ".out}\n"
