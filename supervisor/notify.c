// See notify.h for the manual page.
#include "supervisor/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"

void notify_open(struct notify *n) {
  const char *path = getenv("NOTIFY_SOCKET"), *watchdog = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
  *n = (struct notify){.fd = -1, .address.sun_family = AF_UNIX};
  size_t length = path ? strlen(path) : 0;
  // '/' a path, '@' an abstract name.
  if (length < 2 || length >= sizeof n->address.sun_path || (path[0] != '/' && path[0] != '@')) return;
  memcpy(n->address.sun_path, path, length);
  if (path[0] == '@') n->address.sun_path[0] = '\0';
  n->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  bool ours = !pid || strtol(pid, NULL, 10) == getpid();
  if (watchdog && ours) n->watchdog_ns = strtoull(watchdog, NULL, 10) * 1000;
}

void notify_say(const struct notify *n, const char *text) {
  if (n->fd < 0) return;
  // Nothing to do about a failure: the other side is gone or slow, and the pipeline matters more.
  if (sendto(n->fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&n->address, n->length) < 0) return;
}

void notify_reloading(const struct notify *n) {
  char text[80];
  snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_monotonic_ns() / 1000);
  notify_say(n, text);
}

void notify_watchdog(struct notify *n, uint64_t now_ns) {
  if (n->watchdog_ns == 0 || now_ns - n->watched_ns < n->watchdog_ns / 2) return;
  n->watched_ns = now_ns;
  notify_say(n, "WATCHDOG=1");
}

void notify_close(struct notify *n) {
  if (n->fd >= 0) close(n->fd);
  n->fd = -1;
}
