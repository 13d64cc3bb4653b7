// Telling systemd (or whoever set NOTIFY_SOCKET) how we are: one datagram each, by hand.
//
// NAME          notify - READY=1, RELOADING=1, STOPPING=1, WATCHDOG=1
// DESCRIPTION   Works with `Type=notify` and `Type=notify-reload`; WATCHDOG_USEC asks for a sign of life, given twice as often from the
//               loop that reaps and restarts. Without NOTIFY_SOCKET nothing happens.
// DIAGNOSTICS   none: a socket that nobody reads must not stop a pipeline.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
  int fd; // -1: nobody wants to know
  struct sockaddr_un address;
  socklen_t length;
  uint64_t watchdog_ns; // 0: none wanted
  uint64_t watched_ns;  // last sign of life
};

void notify_open(struct notify *n);
void notify_say(const struct notify *n, const char *text);
// RELOADING=1 with the time that newer versions ask for.
void notify_reloading(const struct notify *n);
void notify_watchdog(struct notify *n, uint64_t now_ns);
void notify_close(struct notify *n);
