// The id of a state folder and the text under which a process owns a fence.
#include "workers/sinks/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/clock.h"

enum { ID_DIGITS = 16, HOST_MOST = 255 };

static bool is_id(const char *text) {
  return strspn(text, "0123456789abcdef") == ID_DIGITS && text[ID_DIGITS] == '\0';
}

static char *id_read(const char *path) {
  char text[ID_DIGITS + 1] = "";
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  ssize_t got = read(fd, text, ID_DIGITS);
  close(fd);
  errno = EBADMSG;
  return got == ID_DIGITS && is_id(text) ? memory_text(text) : NULL;
}

// Written whole beside its place and linked to it: whoever comes first wins, nobody ever reads half an id.
static bool id_make(const char *path) {
  uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) return false;
  char text[ID_DIGITS + 1];
  snprintf(text, sizeof text, "%016" PRIx64, random);
  char *draft = memory_print("%s.%d", path, (int)getpid());
  int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  bool made = fd >= 0 && write(fd, text, ID_DIGITS) == ID_DIGITS && fsync(fd) == 0;
  int why = errno;
  if (fd >= 0) close(fd);
  if (made && link(draft, path) != 0 && errno != EEXIST) {
    made = false;
    why = errno;
  }
  if (fd >= 0) unlink(draft);
  free(draft);
  errno = why;
  return made;
}

char *owner_state_id(const char *state, struct error *e) {
  char *path = memory_print("%s/id", state);
  char *id = id_read(path);
  if (!id && errno == ENOENT && id_make(path)) id = id_read(path);
  if (!id) error_set(e, ERROR_ENVIRONMENT, "", "cannot read or make %s: %s", path, strerror(errno));
  free(path);
  return id;
}

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
