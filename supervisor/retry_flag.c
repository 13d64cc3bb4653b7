// See retry_flag.h for the manual page.
#include "supervisor/retry_flag.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static bool folder_sync(int folder) {
  int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool synced = fd >= 0 && fsync(fd) == 0;
  int why = errno;
  if (fd >= 0) close(fd);
  errno = why;
  return synced;
}

// The file, locked, and still the one that stands there under its name; -1: errno.
static int file_take(int folder, const char *name) {
  for (;;) {
    int fd = openat(folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return -1;
    struct stat st;
    int locked;
    do locked = flock(fd, LOCK_EX);
    while (locked != 0 && errno == EINTR);
    if (locked == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0) return fd;
    int why = errno;
    close(fd);
    errno = why;
    if (locked != 0) return -1; // else it was taken down while we waited: another one
  }
}

static bool token_write(int fd) {
  uint64_t token = 0;
  while (token == 0)
    if (getrandom(&token, sizeof token, 0) != sizeof token) return false;
  return pwrite(fd, &token, sizeof token, 0) == sizeof token && fsync(fd) == 0;
}

int retry_flag_raise(const char *state, const char *node, struct error *e) {
  char *name = memory_print(RETRY_FLAG_PREFIX "%s", node);
  int folder = open(state, O_PATH | O_DIRECTORY | O_CLOEXEC);
  int fd = folder >= 0 ? file_take(folder, name) : -1;
  bool raised = fd >= 0 && token_write(fd) && folder_sync(folder);
  if (!raised) error_set(e, ERROR_ENVIRONMENT, "state", "cannot make %s/%s: %s", state, name, strerror(errno));
  if (!raised && fd >= 0) close(fd);
  if (folder >= 0) close(folder);
  free(name);
  return raised ? fd : -1;
}

void retry_flag_leave(int fd) {
  if (fd >= 0) close(fd);
}

// Opens it without waiting for the lock; -1: absent, or somebody holds it (errno EWOULDBLOCK).
static int file_try(int folder, const char *name, int lock) {
  int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 || flock(fd, lock | LOCK_NB) == 0) return fd;
  int why = errno;
  close(fd);
  errno = why;
  return -1;
}

static uint64_t token_read(int fd) {
  uint64_t token = 0;
  return pread(fd, &token, sizeof token, 0) == sizeof token ? token : 0;
}

uint64_t retry_flag_token(int folder, const char *node) {
  char *name = memory_print(RETRY_FLAG_PREFIX "%s", node);
  int fd = file_try(folder, name, LOCK_SH);
  uint64_t token = fd >= 0 ? token_read(fd) : 0;
  if (fd >= 0) close(fd);
  free(name);
  return token;
}

enum retry_flag_state retry_flag_lower(int folder, const char *node, uint64_t token) {
  char *name = memory_print(RETRY_FLAG_PREFIX "%s", node);
  int fd = file_try(folder, name, LOCK_EX);
  enum retry_flag_state state = RETRY_FLAG_LOWERED;
  if (fd < 0 && errno != ENOENT) state = RETRY_FLAG_BUSY;
  if (fd >= 0 && (token == 0 || token_read(fd) != token)) state = RETRY_FLAG_NEWER;
  // A flag that cannot be taken down is carried out once more at the next start, in vain and without harm.
  if (fd >= 0 && state == RETRY_FLAG_LOWERED && unlinkat(folder, name, 0) == 0) folder_sync(folder);
  if (fd >= 0) close(fd);
  free(name);
  return state;
}
