// The text under which a process owns a fence.
#include "workers/sinks/owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"

enum { HOST_MOST = 255 };

char *owner_text(const char *state_id) {
  char host[HOST_MOST + 1] = "", since[CLOCK_TEXT];
  if (gethostname(host, HOST_MOST) != 0) snprintf(host, sizeof host, "unknown");
  clock_print(clock_micros() / 1000000 * 1000000, since);
  return memory_print("host=%s pid=%d state=%s since=%s", host, (int)getpid(), state_id, since);
}

static const char left_mark[] = " until=";

char *owner_left(const char *owner) {
  char now[CLOCK_TEXT];
  clock_print(clock_micros() / 1000000 * 1000000, now);
  return memory_print("%s%s%s", owner, left_mark, now);
}

bool owner_has_left(const char *owner) {
  return strstr(owner, left_mark) != NULL;
}

bool owner_is_state(const char *owner, const char *state_id) {
  const char *found = strstr(owner, " state=");
  if (!found) return false;
  found += strlen(" state=");
  size_t length = strlen(state_id);
  return strncmp(found, state_id, length) == 0 && (found[length] == ' ' || found[length] == '\0');
}
