// See state_folder.h for the manual page.
#include "supervisor/state_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/clock.h"
#include "shm/crash_point.h"

enum {
  HOST_MOST = 255,
  HOLDER_MOST = 512,
  WAIT_STEP_MS = 20,
  WAIT_MOST_MS = 10000, // for workers of a dead supervisor to be gone: they die with it, a disk in trouble may hold one back
};
static const char lock_variable[] = "WEIR_LOCK_FD";
static const char format_new[] = "format.new"; // becomes "format" when it is on disk

static bool fail(struct error *e, const char *what, const char *path) {
  error_set(e, ERROR_ENVIRONMENT, "state", "%s %s: %s", what, path, strerror(errno));
  return false;
}

// Makes every missing folder of the path, readable by the owner only.
static bool folders_make(const char *path, struct error *e) {
  char *copy = memory_text(path);
  bool made = true;
  for (char *at = copy + 1; made && *at; at++) {
    if (*at != '/') continue;
    *at = '\0';
    made = mkdir(copy, 0700) == 0 || errno == EEXIST || errno == EROFS;
    *at = '/';
  }
  made = made && (mkdir(copy, 0700) == 0 || errno == EEXIST);
  free(copy);
  return made || fail(e, "cannot make the state folder", path);
}

// True when nothing stands in it but what a fresh file system brings along, or a first start that was killed has left.
static bool is_empty(int folder) {
  int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
  if (!list) {
    if (fd >= 0) close(fd);
    return false;
  }
  bool empty = true;
  for (const struct dirent *one; empty && (one = readdir(list));)
    empty = strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0 || strcmp(one->d_name, "lost+found") == 0 ||
            strcmp(one->d_name, format_new) == 0;
  closedir(list);
  return empty;
}

static bool format_write(int folder, const char *path, struct error *e) {
  char text[16];
  int length = snprintf(text, sizeof text, "%d\n", STATE_FORMAT);
  int fd = openat(folder, format_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool written = fd >= 0 && write(fd, text, (size_t)length) == length && fsync(fd) == 0;
  if (fd >= 0) close(fd);
  CRASH_POINT("state.before_format");
  if (written && renameat(folder, format_new, folder, "format") == 0) return true;
  return fail(e, "cannot write into the state folder", path);
}

// The format number: written into an empty folder, compared in any other.
static bool format_check(int folder, const char *path, struct error *e) {
  char text[16] = "";
  int fd = openat(folder, "format", O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno != ENOENT) return fail(e, "cannot read the format of the state folder", path);
  if (fd < 0) {
    if (is_empty(folder)) return format_write(folder, path, e);
    error_set(e, ERROR_ENVIRONMENT, "state", "%s is not empty and no state folder of weir: name another one with --state DIR", path);
    return false;
  }
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  char *end = text;
  long format = got > 0 ? strtol(text, &end, 10) : 0;
  if (got > 0 && end != text && *end == '\n' && format == STATE_FORMAT) return true;
  error_set(e, ERROR_ENVIRONMENT, "state", "the state folder %s has format %.10s, this weir reads format %d%s", path, text, STATE_FORMAT,
            format > STATE_FORMAT ? ": it was written by a newer one" : "");
  return false;
}

// ---- the lock

static void holder_write(int lock) {
  char host[HOST_MOST + 1] = "", since[CLOCK_TEXT], text[HOLDER_MOST];
  if (gethostname(host, HOST_MOST) != 0) strcpy(host, "unknown");
  clock_print(clock_micros() / 1000000 * 1000000, since);
  int length = snprintf(text, sizeof text, "pid=%d host=%s since=%s\n", (int)getpid(), host, since);
  // For people only; the lock itself is what counts.
  if (ftruncate(lock, 0) != 0 || pwrite(lock, text, (size_t)length, 0) != length) errno = 0;
}

struct holder {
  char text[HOLDER_MOST];
  bool alive; // a process of that number lives on this host
};

static void holder_read(int lock, struct holder *h) {
  char host[HOST_MOST + 1] = "", named[HOST_MOST + 1] = "";
  ssize_t got = pread(lock, h->text, sizeof h->text - 1, 0);
  h->text[got > 0 ? got : 0] = '\0';
  h->text[strcspn(h->text, "\n")] = '\0';
  int pid = 0;
  h->alive = true;
  if (sscanf(h->text, "pid=%d host=%255s", &pid, named) != 2 || pid <= 0) return;
  if (gethostname(host, HOST_MOST) != 0 || strcmp(host, named) != 0) return;
  h->alive = kill(pid, 0) == 0 || errno != ESRCH;
}

static void pause_ms(long ms) {
  struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  nanosleep(&pause, NULL);
}

static bool lock_take(int lock, const char *path, struct error *e) {
  for (int waited = 0;; waited += WAIT_STEP_MS) {
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno != EWOULDBLOCK && errno != EINTR) return fail(e, "cannot lock the state folder", path);
    struct holder h;
    holder_read(lock, &h);
    if (h.alive || waited >= WAIT_MOST_MS) {
      error_set(e, ERROR_ENVIRONMENT, "locked", "another weir runs on the state folder %s: %s", path,
                h.text[0] ? h.text : "it did not write its name");
      return false;
    }
    pause_ms(WAIT_STEP_MS);
  }
}

// The description that an earlier life of this process handed down across exec; -1 when there is none.
static int lock_inherited(int folder) {
  const char *text = getenv(lock_variable);
  char *end;
  long number = text ? strtol(text, &end, 10) : -1;
  if (!text || end == text || *end || number < 3 || number > INT32_MAX) return -1;
  unsetenv(lock_variable);
  struct stat ours, there;
  bool same = fstat((int)number, &ours) == 0 && fstatat(folder, "lock", &there, AT_SYMLINK_NOFOLLOW) == 0 && ours.st_dev == there.st_dev &&
              ours.st_ino == there.st_ino;
  if (!same || fcntl((int)number, F_SETFD, FD_CLOEXEC) != 0) return -1;
  return (int)number;
}

bool state_folder_open(struct state_folder *f, const char *path, struct error *e) {
  *f = (struct state_folder){.path = memory_text(path), .folder = -1, .lock = -1};
  if (!folders_make(path, e)) return false;
  f->folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (f->folder < 0) return fail(e, "cannot open the state folder", path);
  if (!format_check(f->folder, path, e)) return false;
  f->lock = lock_inherited(f->folder);
  if (f->lock < 0) f->lock = openat(f->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (f->lock < 0) return fail(e, "cannot open the lock of the state folder", path);
  if (!lock_take(f->lock, path, e)) return false;
  holder_write(f->lock);
  // Passwords may lie in journals and dead letters. A folder that belongs to somebody else keeps the mode that its owner gave it.
  if (fchmodat(AT_FDCWD, path, 0700, 0) != 0 && errno != EPERM && errno != EROFS) return fail(e, "cannot protect the state folder", path);
  return true;
}

bool state_folder_keep(const struct state_folder *f, struct error *e) {
  char number[16];
  snprintf(number, sizeof number, "%d", f->lock);
  if (fcntl(f->lock, F_SETFD, 0) == 0 && setenv(lock_variable, number, 1) == 0) return true;
  return fail(e, "cannot keep the lock of the state folder", f->path);
}

void state_folder_close(struct state_folder *f) {
  if (f->lock >= 0) close(f->lock);
  if (f->folder >= 0) close(f->folder);
  free(f->path);
  *f = (struct state_folder){.folder = -1, .lock = -1};
}

char *state_folder_socket(const char *path) {
  return memory_print("%s/control", path);
}
