// The id of a state folder. See state_id.h.
#include "workers/common/state_id.h"

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

enum { ID_DIGITS = 16 };

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

char *state_id(const char *state, struct error *e) {
  char *path = memory_print("%s/id", state);
  char *id = id_read(path);
  if (!id && errno == ENOENT && id_make(path)) id = id_read(path);
  if (!id) error_set(e, ERROR_ENVIRONMENT, "", "cannot read or make %s: %s", path, strerror(errno));
  free(path);
  return id;
}
