// See verb_retry.h for the manual page.
#include "supervisor/verb_retry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/control.h"
#include "proto/job.h"
#include "shm/crash_point.h"
#include "supervisor/json_read.h"
#include "supervisor/plan_build.h"
#include "supervisor/plan_retry.h"
#include "supervisor/retry_flag.h"
#include "supervisor/run.h"
#include "supervisor/verb_stores.h"

enum { EXIT_MACHINE = 3 };

struct marking {
  struct store_filter filter; // its limit is what is left of it
  bool limited;
  uint64_t marked;
};

// ---- marking

static bool any_letter(void *context, const struct store_letter *letter) {
  (void)letter;
  *(bool *)context = true;
  return false;
}

// Whether this store has letters of that node that fit.
static bool has_letters(struct store *store, const struct store_filter *filter, const char *node, bool *has, struct error *e) {
  struct store_filter one = *filter;
  one.node = node;
  one.limit = 1;
  *has = false;
  return store_letters(store, &one, false, any_letter, has, e);
}

static bool node_mark(struct marking *m, const struct plan *plan, const struct plan_node *node, const struct plan_node *sink,
                      struct store *store, struct error *e) {
  uint64_t marked = 0;
  char *key = plan_retry_key(node, sink);
  int flag = retry_flag_raise(plan->state, key, e);
  free(key);
  if (flag < 0) return false;
  CRASH_POINT("retry.after_flag");
  bool good = store_retry_mark(store, node->name, &m->filter, &marked, e);
  retry_flag_leave(flag);
  if (!good) return false;
  m->marked += marked;
  if (m->limited) m->filter.limit -= (int64_t)marked;
  return true;
}

static bool sink_mark(void *context, const struct plan *plan, const struct plan_node *sink, struct store *store, struct error *e) {
  struct marking *m = context;
  for (size_t n = 0; n < plan->node_count && !(m->limited && m->filter.limit <= 0); n++) {
    const struct plan_node *node = &plan->nodes[n];
    bool has;
    if (!(node->kind || node->reader) || (m->filter.node && strcmp(m->filter.node, node->name) != 0)) continue;
    if (!has_letters(store, &m->filter, node->name, &has, e)) return false;
    if (!has) continue;
    if (!plan_retry_reaches(plan, node->name, sink->name))
      fprintf(stderr, "weir dlq retry: sink %s holds letters of %s, but stands behind it no more: they stay\n", sink->name, node->name);
    else if (!node_mark(m, plan, node, sink, store, e))
      return false;
  }
  return true;
}

// Letters that were marked before and not sent yet.
static bool any_flag(const struct plan *plan) {
  bool any = false;
  for (size_t n = 0; n < 2 * plan->node_count && !any; n++) {
    char *path = memory_print("%s/" RETRY_FLAG_PREFIX "%s%s", plan->state, n % 2 ? RETRY_TO : "", plan->nodes[n / 2].name);
    any = access(path, F_OK) == 0;
    free(path);
  }
  return any;
}

// The folder that the flags stand in.
static bool folder_make(const struct plan *plan) {
  struct state_folder folder;
  struct error e = {0};
  if (access(plan->state, F_OK) == 0) return true;
  bool made = state_folder_open(&folder, plan->state, &e);
  if (!made) fprintf(stderr, "weir dlq retry: %s\n", e.text);
  state_folder_close(&folder);
  return made;
}

// ---- sending

static int asked(const struct marking *m, struct buffer *answer, bool json) {
  struct buffer packed = {0};
  struct job_value root;
  int code = VERB_FAILED;
  if (json_read(answer, &packed, &root)) {
    char *refusal = job_text(root, "error", "");
    code = *refusal ? VERB_FAILED : VERB_OK;
    if (*refusal) fprintf(stderr, "weir dlq retry: %" PRIu64 " dead letters are marked, but: %s\n", m->marked, refusal);
    free(refusal);
  }
  buffer_free(&packed);
  if (code == VERB_OK && json) printf("{\"retried\": %" PRIu64 ", \"running\": true}\n", m->marked);
  if (code == VERB_OK && !json)
    printf("%" PRIu64 " dead letter%s way again; the running instance sends %s\n", m->marked,
           m->marked == 1 ? " is on its" : "s are on their", m->marked == 1 ? "it" : "them");
  return fflush(stdout) == 0 ? code : VERB_FAILED;
}

static int send_here(const struct plan *plan, const struct marking *m, bool json) {
  char *argv[] = {NULL}; // a retry is never started again by itself
  struct run_options options = {.file = plan->file, .state = plan->state, .once = true, .retry_only = true, .json = json, .argv = argv};
  fprintf(stderr, "%" PRIu64 " dead letter%s sent again\n", m->marked, m->marked == 1 ? " is" : "s are");
  return run_verb(&options);
}

static int send_marked(const struct plan *plan, const struct marking *m, bool json) {
  struct error e = {0};
  struct buffer answer = {0};
  char *socket = memory_print("%s/control", plan->state);
  int code;
  if (control_ask(socket, CONTROL_RETRY, &answer, &e)) {
    code = asked(m, &answer, json);
  } else if (strcmp(e.code, "not-running") == 0) {
    code = send_here(plan, m, json);
  } else {
    fprintf(stderr, "weir dlq retry: %" PRIu64 " dead letters are marked; they are sent after the next start: %s\n", m->marked, e.text);
    code = EXIT_MACHINE;
  }
  free(socket);
  buffer_free(&answer);
  return code;
}

int retry_verb(const struct plan *plan, const struct store_filter *filter, bool json) {
  struct marking m = {.filter = *filter, .limited = filter->limit > 0};
  if (!folder_make(plan)) return EXIT_MACHINE;
  int code = stores_each(plan, NULL, sink_mark, &m);
  CRASH_POINT("retry.before_ask");
  if (m.marked == 0 && !any_flag(plan)) {
    if (json)
      printf("{\"retried\": 0}\n");
    else if (code == VERB_OK)
      printf("no dead letter fits\n");
    return code;
  }
  int sent = send_marked(plan, &m, json);
  return sent != VERB_OK ? sent : code;
}
