// See signals.h for the manual page.
#include "supervisor/signals.h"

#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "supervisor/instance.h"
#include "supervisor/reap.h"

static const int handled[SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};

static void handle_stop(struct instance *i, const char *name) {
  if (i->stop.phase == STOP_RUNNING || i->reload.state == RELOAD_DRAINING)
    stop_ask(i, name);
  else
    stop_now(i, name);
}

// A terminal that was closed sends SIGHUP, too; then nobody watches any more, and nobody could press Ctrl-C.
static bool is_terminal_gone(void) {
  struct pollfd terminal = {.fd = STDERR_FILENO};
  return poll(&terminal, 1, 0) == 1 && (terminal.revents & (POLLHUP | POLLERR));
}

static void handle_hangup(struct instance *i) {
  if (i->progress.terminal && is_terminal_gone())
    handle_stop(i, "the terminal was closed");
  else
    reload_begin(i, NULL);
}

static void handle_signal(int number, short what, void *context) {
  (void)what;
  struct instance *i = context;
  switch (number) {
  case SIGTERM: handle_stop(i, "SIGTERM"); break;
  case SIGINT: handle_stop(i, "SIGINT"); break;
  case SIGHUP: handle_hangup(i); break;
  case SIGCHLD: reap_all(i); break;
  default: break;
  }
}

static void handled_mask(int how) {
  sigset_t set;
  sigemptyset(&set);
  for (int s = 0; s < SIGNALS; s++) sigaddset(&set, handled[s]);
  sigprocmask(how, &set, NULL);
}

void signals_block(void) {
  signal(SIGPIPE, SIG_IGN);
  handled_mask(SIG_BLOCK);
}

bool signals_open(struct instance *i, struct error *e) {
  for (int s = 0; s < SIGNALS; s++) {
    i->signals.events[s] = evsignal_new(i->base, handled[s], handle_signal, i);
    if (i->signals.events[s] && evsignal_add(i->signals.events[s], NULL) == 0) continue;
    error_set(e, ERROR_ENVIRONMENT, "signals", "cannot watch signal %d", handled[s]);
    return false;
  }
  handled_mask(SIG_UNBLOCK);
  return true;
}

void signals_close(struct instance *i) {
  for (int s = 0; s < SIGNALS; s++)
    if (i->signals.events[s]) event_free(i->signals.events[s]);
}
