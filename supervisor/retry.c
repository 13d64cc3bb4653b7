// See retry.h for the manual page.
#include "supervisor/retry.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "shm/crash_point.h"
#include "supervisor/instance.h"
#include "supervisor/lane.h"
#include "supervisor/plan_retry.h"
#include "supervisor/retry_flag.h"
#include "supervisor/say.h"

static struct lane *lane_of(struct instance *i, const struct retry_run *run) {
  return &i->lanes[run->lane];
}

static bool has_ended(const struct lane *lane) {
  for (size_t s = 0; s < lane->seat_count; s++)
    if (lane->seats[s].state != SEAT_ENDED) return false;
  return true;
}

static void say_retry(struct lane *lane, enum log_level level, const char *what, const char *next) {
  struct log_line l;
  say_begin(lane->instance, &l, level, what, NULL);
  log_text(&l, "node", lane->chain->retry);
  log_text(&l, "next", next);
  log_end(&l);
}

static struct retry_run *run_find(struct instance *i, const char *node) {
  for (size_t n = 0; n < i->retry.count; n++)
    if (strcmp(lane_of(i, &i->retry.runs[n])->chain->retry, node) == 0) return &i->retry.runs[n];
  return NULL;
}

// A lane for the flag of that node; not started. NULL: e, or (no error set) the node cannot be retried.
static struct retry_run *run_make(struct instance *i, const char *node, struct error *e) {
  const struct plan_chain *chain = plan_retry_chain(i->plan, node);
  if (!chain) {
    say(i, LOG_LEVEL_WARN, "dead letters of %s are marked to be sent again, but nothing in this pipeline runs that node; they stay marked",
        node);
    return NULL;
  }
  uint64_t token = retry_flag_token(i->folder.folder, node);
  struct lane *lane = lane_add(i, chain, e);
  if (!lane) return NULL;
  i->retry.runs = memory_resize(i->retry.runs, (i->retry.count + 1) * sizeof *i->retry.runs);
  struct retry_run *run = &i->retry.runs[i->retry.count++];
  *run = (struct retry_run){.lane = (size_t)(lane - i->lanes), .token = token};
  say_retry(lane, LOG_LEVEL_INFO, "dead letters are sent again", NULL);
  return run;
}

// The lane of a retry that has ended before, from its beginning.
static void run_again(struct instance *i, struct retry_run *run) {
  struct error e = {0};
  struct lane *lane = lane_of(i, run);
  run->token = retry_flag_token(i->folder.folder, lane->chain->retry);
  if (lane_renew(lane, &e))
    lane_start(lane);
  else
    say(i, LOG_LEVEL_ERROR, "the retry of %s cannot be started: %s", lane->chain->retry, e.text);
}

// ---- flags

typedef bool flag_visit(struct instance *i, const char *node, struct error *e);

static bool flags_each(struct instance *i, flag_visit *visit, struct error *e) {
  static const char prefix[] = RETRY_FLAG_PREFIX;
  int fd = openat(i->folder.folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
  if (!list) {
    if (fd >= 0) close(fd);
    error_set(e, ERROR_ENVIRONMENT, "state", "cannot list the state folder %s", i->folder.path);
    return false;
  }
  bool good = true;
  for (const struct dirent *one; good && (one = readdir(list));)
    if (strncmp(one->d_name, prefix, sizeof prefix - 1) == 0) good = visit(i, one->d_name + sizeof prefix - 1, e);
  closedir(list);
  return good;
}

static bool flag_open(struct instance *i, const char *node, struct error *e) {
  return run_make(i, node, e) || !error_is_set(e);
}

static bool flag_begin(struct instance *i, const char *node, struct error *e) {
  struct retry_run *run = run_find(i, node);
  if (!run) {
    run = run_make(i, node, e);
    if (run) lane_start(lane_of(i, run));
    return run || !error_is_set(e);
  }
  // One that runs finds the new token when it has ended.
  if (has_ended(lane_of(i, run))) run_again(i, run);
  return true;
}

// ---- the life of a retry

bool retry_open(struct instance *i, struct error *e) {
  return flags_each(i, flag_open, e);
}

void retry_close(struct instance *i) {
  free(i->retry.runs);
  i->retry = (struct retry){0};
}

void retry_begin(struct instance *i, struct control_client *client) {
  struct error e = {0};
  if (i->stop.phase != STOP_RUNNING) {
    control_refuse(client, "weir is stopping; the letters are sent after its next start");
    return;
  }
  if (!flags_each(i, flag_begin, &e)) {
    say(i, LOG_LEVEL_ERROR, "no retry: %s", e.text);
    control_refuse(client, e.text);
    return;
  }
  struct buffer answer = {0};
  buffer_print(&answer, "{\"retrying\":true,\"pid\":%d}\n", (int)getpid());
  control_answer(client, &answer);
  buffer_free(&answer);
}

static bool was_orderly(const struct lane *lane) {
  for (size_t s = 0; s < lane->seat_count; s++)
    if (lane->seats[s].failed || lane->seats[s].dismissed) return false;
  return !lane->given_up;
}

void retry_reaped(struct lane *lane) {
  struct instance *i = lane->instance;
  if (!lane->chain->retry || !has_ended(lane) || !was_orderly(lane) || i->stop.phase != STOP_RUNNING) return;
  struct retry_run *run = run_find(i, lane->chain->retry);
  CRASH_POINT("retry.before_lower");
  enum retry_flag_state state = retry_flag_lower(i->folder.folder, lane->chain->retry, run->token);
  CRASH_POINT("retry.after_lower");
  switch (state) {
  case RETRY_FLAG_LOWERED:
    say_retry(lane, LOG_LEVEL_INFO, "all marked dead letters have been sent again", NULL);
    lane_rest(lane);
    break;
  case RETRY_FLAG_NEWER: run_again(i, run); break;
  case RETRY_FLAG_BUSY: say_retry(lane, LOG_LEVEL_INFO, "dead letters are being marked", "waiting to be asked"); break;
  }
}

void retry_failed(struct seat *seat, int exit_code, const char *error) {
  struct instance *i = seat->lane->instance;
  struct lane *lane = seat->lane;
  seat_end(seat);
  seat->failed = true;
  struct log_line l;
  say_begin(i, &l, LOG_LEVEL_ERROR, "a retry of dead letters has failed", seat);
  log_text(&l, "node", lane->chain->retry);
  log_text(&l, "error", error);
  log_text(&l, "next", "what was not sent stays marked: mend the cause, then `weir dlq retry` again");
  log_end(&l);
  if (i->options.once && i->stop.exit_code == 0) i->stop.exit_code = exit_code;
  lane->given_up = true;
  for (size_t s = 0; s < lane->seat_count; s++) seat_dismiss(&lane->seats[s], "its retry has failed");
}
