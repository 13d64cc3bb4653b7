// See say.h.
#include "supervisor/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proto/error.h"
#include "supervisor/instance.h"
#include "supervisor/lane.h"

void say_begin(struct instance *i, struct log_line *l, enum log_level level, const char *message, const struct seat *seat) {
  progress_hide(&i->progress);
  log_begin(l, level, message);
  if (!seat) return;
  log_text(l, "worker", seat->name);
  log_text(l, "role", worker_role_name(seat->plan->kind->role));
  if (seat->pid > 0) log_int(l, "pid", seat->pid);
  log_uint(l, "generation", seat->spawned > 0 ? seat->spawned - 1 : 0);
}

void say(struct instance *i, enum log_level level, const char *format, ...) {
  char text[ERROR_TEXT];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  struct log_line l;
  say_begin(i, &l, level, text, NULL);
  log_end(&l);
}

void say_raw(struct instance *i, const char *line, size_t length) {
  progress_hide(&i->progress);
  struct iovec parts[] = {{.iov_base = (void *)(uintptr_t)line, .iov_len = length}, {.iov_base = "\n", .iov_len = 1}};
  // Nobody can be told that standard error is closed.
  if (writev(STDERR_FILENO, parts, 2) < 0) return;
}
