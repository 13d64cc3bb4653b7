// See run.h for the manual page.
#include "supervisor/run.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/job.h"
#include "shm/crash_point.h"
#include "supervisor/account.h"
#include "supervisor/lane.h"
#include "supervisor/plan_build.h"
#include "supervisor/plan_report.h"
#include "supervisor/plan_retry.h"
#include "supervisor/say.h"

enum { EXIT_RUN_TIME = 1, EXIT_FILE = 2, EXIT_MACHINE = 3 };

// Standard descriptors are open, JOB_FD is occupied (a worker gets its job there), and nothing that we were started with goes to a worker.
static void descriptors_prepare(void) {
  int fd;
  do fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  while (fd >= 0 && fd < JOB_FD);
  if (fd > JOB_FD) close(fd);
  for (int standard = 0; standard < JOB_FD; standard++) fcntl(standard, F_SETFD, 0);
  if (close_range(JOB_FD, ~0U, CLOSE_RANGE_CLOEXEC) != 0) errno = 0; // an old kernel: workers inherit what the shell left open, no more
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static void report_show(const struct run_options *o, const struct plan_report *report, const char *text) {
  struct buffer out = {0};
  plan_report_print(report, o->file, text, o->colour, &out);
  if (out.length > 0 && write(STDERR_FILENO, out.at, out.length) < 0) out.length = 0; // nobody listens
  buffer_free(&out);
}

// A JSON log has one object a line, messages about the file included.
static void report_log(struct instance *i, const struct plan_report *report) {
  for (size_t m = 0; m < report->count; m++) {
    const struct plan_message *message = &report->messages[m];
    if (message->level == CHECK_NOTE) continue;
    struct log_line l;
    say_begin(i, &l, message->level == CHECK_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, message->text, NULL);
    log_text(&l, "file", i->options.file);
    log_int(&l, "line", message->line);
    log_int(&l, "column", message->column);
    log_text(&l, "suggestion", message->suggestion);
    log_end(&l);
  }
}

// As plan_make, but the text of a bad file is kept for its messages.
static bool plan_open(struct instance *i) {
  struct plan_report report;
  struct plan_options options = {.file = i->options.file, .state = i->options.state, .once = i->options.once && !i->options.retry_only};
  struct draft draft;
  bool good = plan_draft(&draft, &options, &report);
  if (i->options.log_json)
    report_log(i, &report);
  else if (plan_report_count(&report, CHECK_NOTE) < report.count)
    report_show(&i->options, &report, draft.plan->text);
  if (good) {
    i->plan = draft.plan;
    draft.plan = NULL;
    plan_retry_reserve(i->plan);
  }
  plan_draft_free(&draft);
  plan_report_free(&report);
  // Reading and checking took memory that is not needed any more; this process stays small.
  malloc_trim(0);
  return good;
}

static bool parts_open(struct instance *i, struct error *e) {
  if (!state_folder_open(&i->folder, i->plan->state, e)) return false;
  i->base = event_base_new();
  if (!i->base) {
    error_set(e, ERROR_ENVIRONMENT, "events", "cannot make an event loop: %s", strerror(errno));
    return false;
  }
  return signals_open(i, e) && lanes_open(i, e) && lookups_open(i, e) && retry_open(i, e) && control_server_open(i, e) && tick_open(i, e);
}

static void parts_close(struct instance *i) {
  control_server_close(i);
  tick_close(i);
  stop_close(i);
  signals_block();
  signals_close(i);
  lanes_close(i);
  lookups_close(i);
  retry_close(i);
  event_base_free(i->base);
  i->base = NULL;
  notify_close(&i->notify);
}

static void say_start(struct instance *i) {
  struct log_line l;
  unsigned workers = (unsigned)i->lookup_count;
  for (size_t n = 0; n < i->lane_count; n++) workers += (unsigned)i->lanes[n].seat_count;
  say_begin(i, &l, LOG_LEVEL_INFO, "started", NULL);
  log_text(&l, "pipeline", i->plan->pipeline);
  log_text(&l, "file", i->options.file);
  log_text(&l, "state", i->folder.path);
  log_int(&l, "pid", getpid());
  log_uint(&l, "workers", workers);
  log_end(&l);
}

// --once promises that every source was polled: one that could not be is a failure, whatever arrived.
static bool sources_failed(struct instance *i) {
  bool failed = false;
  for (size_t n = 0; n < i->lane_count; n++) {
    const struct seat *source = &i->lanes[n].seats[0];
    struct slot_words words;
    char error[SLOT_TEXT];
    slot_words_get(&source->slot, &words);
    slot_error_get(&source->slot, error);
    // An error alone may be an outage that was waited out: who has ended in order has read everything.
    if (words.counters[COUNT_FAILED_POLLS] == 0) continue;
    struct log_line l;
    say_begin(i, &l, LOG_LEVEL_ERROR, "a source failed in this run", source);
    log_uint(&l, "failed_polls", words.counters[COUNT_FAILED_POLLS]);
    if (error[0]) log_text(&l, "error", error);
    log_end(&l);
    failed = true;
  }
  return failed;
}

// Everything has ended: the account, the failure if there was one, the exit code.
static int finish(struct instance *i) {
  bool by_itself = i->stop.phase == STOP_RUNNING;
  int code = 0;
  progress_hide(&i->progress);
  if (by_itself || i->options.once) {
    if (!account_print(i)) code = EXIT_RUN_TIME;
    if (i->options.once && sources_failed(i)) code = EXIT_RUN_TIME;
  }
  int reported = stop_report(i);
  if (reported == 0 && code == 0) say(i, LOG_LEVEL_INFO, by_itself ? "finished" : "stopped");
  return reported != 0 ? reported : code;
}

static int run(struct instance *i) {
  struct error e = {0};
  if (!parts_open(i, &e)) {
    struct log_line l;
    say_begin(i, &l, LOG_LEVEL_ERROR, "weir cannot start", NULL);
    log_text(&l, "error", e.text);
    log_end(&l);
    return EXIT_MACHINE;
  }
  CRASH_POINT("supervisor.prepared");
  progress_open(i);
  notify_open(&i->notify);
  say_start(i);
  for (size_t n = 0; n < i->lane_count; n++) lane_start(&i->lanes[n]);
  if (!lanes_ended(i)) lookups_start(i);
  if (!lanes_ended(i)) event_base_dispatch(i->base);
  bool again = i->reload.state == RELOAD_DRAINING && !i->stop.culprit;
  CRASH_POINT("supervisor.ended");
  if (!again) return finish(i);
  parts_close(i);
  reload_exec(i);
  return EXIT_MACHINE;
}

int run_verb(const struct run_options *options) {
  struct instance i = {.options = *options, .started_ns = clock_monotonic_ns(), .control.fd = -1, .notify.fd = -1};
  signals_block();
  descriptors_prepare();
  log_format(options->log_json, LOG_LEVEL_INFO);
  if (!plan_open(&i)) return EXIT_FILE;
  int code = run(&i);
  if (i.base) parts_close(&i);
  plan_free(i.plan);
  if (i.folder.path) state_folder_close(&i.folder);
  return code;
}
