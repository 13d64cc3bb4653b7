// See verb_control.h for the manual page.
#include "supervisor/verb_control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "proto/control.h"
#include "proto/error.h"
#include "proto/job.h"
#include "supervisor/json_read.h"
#include "supervisor/plan_build.h"
#include "supervisor/state_folder.h"
#include "supervisor/status.h"
#include "supervisor/terminal.h"

enum { EXIT_RUN_TIME = 1, EXIT_USAGE = 2, EXIT_MACHINE = 3 };
enum { TELL_MS = 2000, TELL_AGAIN_MS = 5000 };

// Owned by the caller; NULL after having said why.
static char *state_of(const struct command *c) {
  const char *named = c->state ? c->state : getenv("WEIR_STATE");
  if (named && *named) {
    char *absolute = realpath(named, NULL);
    return absolute ? absolute : memory_text(named);
  }
  if (!c->file) {
    fprintf(stderr, "weir %s: which instance? Name its pipeline file or its state folder\n  usage: weir %s %s\n", verb_rows[c->verb].name,
            verb_rows[c->verb].name, verb_rows[c->verb].usage);
    return NULL;
  }
  struct plan_report report;
  struct plan_options options = {.file = c->file};
  struct draft draft;
  plan_draft(&draft, &options, &report);
  char *state = draft.plan->state ? memory_text(draft.plan->state) : NULL;
  if (!state) {
    struct buffer out = {0};
    plan_report_print(&report, c->file, draft.plan->text, false, &out);
    fprintf(stderr, "%s  the state folder cannot be told from this file: name it with --state DIR\n", buffer_cstring(&out));
    buffer_free(&out);
  }
  plan_draft_free(&draft);
  plan_report_free(&report);
  return state;
}

// ---- the answer

struct answer {
  struct buffer text, packed;
  struct job_value root;
};

static void answer_free(struct answer *a) {
  buffer_free(&a->text);
  buffer_free(&a->packed);
}

static bool print_all(const struct buffer *out) {
  return fwrite(out->at, 1, out->length, stdout) == out->length && fflush(stdout) == 0;
}

static void tell_node(struct job_value node) {
  char *name = job_text(node, "name", ""), *state = job_text(node, "state", ""), *doing = job_text(node, "doing", "");
  bool waits = strcmp(state, "waiting") == 0 || strcmp(state, "blocked") == 0;
  char *shown = terminal_text(doing);
  if (waits) fprintf(stderr, "weir stop: %s is %s%s%s\n", name, state, *shown ? ": " : "", shown);
  free(shown);
  free(name);
  free(state);
  free(doing);
}

// What an instance that does not end yet waits for. One that does not answer any more is about to go.
static void tell_waiting(const char *socket) {
  struct answer a = {0};
  struct error e = {0};
  if (control_ask(socket, CONTROL_STATUS, &a.text, &e) && json_read(&a.text, &a.packed, &a.root)) {
    struct job_walk walk = job_walk_start(job_get(a.root, "nodes"));
    struct job_value node;
    while (job_walk_next(&walk, NULL, &node)) tell_node(node);
  }
  answer_free(&a);
}

// Waits until the process that answered is gone. A number that names nobody is a process that was quicker.
static void wait_for_end(struct answer *a, const char *socket) {
  pid_t pid = (pid_t)job_int(a->root, "pid", 0);
  int process = pid > 0 ? pidfd_open(pid, 0) : -1, ready;
  if (process < 0) return;
  struct pollfd end = {.fd = process, .events = POLLIN};
  bool told = false;
  while ((ready = poll(&end, 1, told ? TELL_AGAIN_MS : TELL_MS)) <= 0) {
    if (ready < 0 && errno != EINTR) break;
    if (ready < 0) continue;
    if (!told)
      fprintf(stderr, "weir stop: it stores what was read, for at most %lld s\n",
              (long long)(job_int(a->root, "drain_ms", 0) + 999) / 1000);
    told = true;
    tell_waiting(socket);
  }
  close(process);
}

static int show(const struct command *c, struct answer *a) {
  char *refusal = job_text(a->root, "error", "");
  bool refused = refusal[0] != '\0', printed = true;
  if (refused && !(c->given & OPTION_JSON)) fprintf(stderr, "weir %s: %s\n", verb_rows[c->verb].name, refusal);
  free(refusal);
  if (c->given & OPTION_JSON) {
    printed = print_all(&a->text);
  } else if (!refused && c->verb == VERB_STATUS) {
    struct buffer table = {0};
    printed = status_table(&a->text, &table) && print_all(&table);
    buffer_free(&table);
  } else if (!refused && c->verb == VERB_RELOAD) {
    printed = printf("the file is good: weir drains and goes on with it\n") > 0;
  }
  return refused || !printed ? EXIT_RUN_TIME : 0;
}

static int ask(const struct command *c, const char *state) {
  static const enum control_verb asked[VERBS] = {
      [VERB_STATUS] = CONTROL_STATUS, [VERB_STOP] = CONTROL_STOP, [VERB_RELOAD] = CONTROL_RELOAD};
  struct error e = {0};
  struct answer a = {0};
  char *socket = state_folder_socket(state);
  int code = EXIT_MACHINE;
  if (!control_ask(socket, asked[c->verb], &a.text, &e)) {
    bool absent = strcmp(e.code, "not-running") == 0;
    if (absent)
      fprintf(stderr, "weir %s: not running: no instance holds the state folder %s\n", verb_rows[c->verb].name, state);
    else
      fprintf(stderr, "weir %s: %s\n", verb_rows[c->verb].name, e.text);
  } else if (!json_read(&a.text, &a.packed, &a.root)) {
    fprintf(stderr, "weir %s: the answer of the running instance makes no sense\n", verb_rows[c->verb].name);
    code = EXIT_RUN_TIME;
  } else {
    code = show(c, &a);
    if (code == 0 && c->verb == VERB_STOP) wait_for_end(&a, socket);
  }
  free(socket);
  answer_free(&a);
  return code;
}

int verb_control(const struct command *c) {
  char *state = state_of(c);
  if (!state) return EXIT_USAGE;
  int code = ask(c, state);
  free(state);
  return code;
}
