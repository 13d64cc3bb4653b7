// See worker_output.h for the manual page.
#include "supervisor/worker_output.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/instance.h"
#include "supervisor/lane.h"
#include "supervisor/say.h"

enum { LABELLED_MOST = LOG_LINE / 2 }; // leaves room for the label

// The way our own log lines begin; json or not is decided once for all processes.
static bool is_log_line(const char *line, size_t length, bool json) {
  const char *start = json ? "{\"ts\":" : "ts=";
  size_t most = strlen(start);
  return length > most && memcmp(line, start, most) == 0;
}

static void line_show(const struct seat *seat, const char *line, size_t length) {
  struct instance *i = seat->lane->instance;
  if (length == 0) return;
  if (is_log_line(line, length, i->options.log_json)) {
    say_raw(i, line, length);
    return;
  }
  for (size_t at = 0; at < length; at += LABELLED_MOST) {
    struct log_line l;
    say_begin(i, &l, LOG_LEVEL_WARN, "a worker printed something", seat);
    log_text_n(&l, "text", line + at, length - at < LABELLED_MOST ? length - at : LABELLED_MOST);
    log_end(&l);
  }
}

// Shows all whole lines among `length` bytes; keeps the unfinished rest for the next read.
static void bytes_take(struct seat *seat, const char *bytes, size_t length) {
  struct worker_output *o = &seat->output;
  while (length > 0) {
    const char *end = memchr(bytes, '\n', length);
    size_t piece = end ? (size_t)(end - bytes) : length;
    if (end && o->length == 0) {
      line_show(seat, bytes, piece);
    } else {
      if (!o->line) o->line = memory_get(LOG_LINE);
      if (piece > LOG_LINE - o->length) {
        piece = LOG_LINE - o->length;
        end = NULL;
      }
      memcpy(o->line + o->length, bytes, piece);
      o->length += piece;
      if (end || o->length == LOG_LINE) {
        line_show(seat, o->line, o->length);
        o->length = 0;
      }
    }
    bytes += piece + (end != NULL);
    length -= piece + (end != NULL);
  }
}

// True while there may be more to read.
static bool output_read(struct seat *seat) {
  char bytes[LOG_LINE];
  ssize_t got = read(seat->output.fd, bytes, sizeof bytes);
  if (got > 0) bytes_take(seat, bytes, (size_t)got);
  return got > 0 || (got < 0 && errno == EINTR);
}

static void output_close(struct worker_output *o) {
  if (o->event) event_free(o->event);
  if (o->fd >= 0) close(o->fd);
  o->event = NULL;
  o->fd = -1;
}

static void output_ready(int fd, short what, void *context) {
  (void)fd, (void)what;
  struct seat *seat = context;
  // One read a turn: a worker that prints without end must not keep the supervisor from its other work.
  if (output_read(seat) || errno == EAGAIN) return;
  output_close(&seat->output);
}

void worker_output_begin(struct seat *seat, int fd) {
  struct worker_output *o = &seat->output;
  *o = (struct worker_output){.fd = fd, .line = o->line};
  o->event = event_new(seat->lane->instance->base, fd, EV_READ | EV_PERSIST, output_ready, seat);
  if (o->event && event_add(o->event, NULL) == 0) return;
  struct log_line l;
  say_begin(seat->lane->instance, &l, LOG_LEVEL_WARN, "a worker's output cannot be read", seat);
  log_end(&l);
  output_close(o);
}

void worker_output_end(struct seat *seat) {
  struct worker_output *o = &seat->output;
  // The worker is dead and its end closed: this ends at end-of-file, unless a child of its own holds the pipe.
  while (o->fd >= 0 && output_read(seat)) continue;
  if (o->length > 0) line_show(seat, o->line, o->length);
  o->length = 0;
  free(o->line);
  o->line = NULL;
  output_close(o);
}
