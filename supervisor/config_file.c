// See config_file.h.
#include "supervisor/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/limits.h"
#include "supervisor/plan_report.h"

static char *fail(struct plan_report *report, int fd, char *text, const char *why) {
  if (report) plan_report_add(report, CHECK_ERROR, 0, 0, NULL, "cannot read the pipeline file: %s", why);
  if (fd >= 0) close(fd);
  free(text);
  return NULL;
}

char *config_file_read(const char *path, struct plan_report *report) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0) return fail(report, fd, NULL, strerror(errno));
  if (S_ISDIR(st.st_mode)) return fail(report, fd, NULL, "it is a folder");
  if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode)) return fail(report, fd, NULL, "it is not a regular file");
  // A pipe (`weir check <(make-file)`) is read as it comes.
  if (S_ISFIFO(st.st_mode)) fcntl(fd, F_SETFL, 0);
  struct buffer text = {0};
  ssize_t got;
  do {
    buffer_reserve(&text, 64 << 10);
    got = read(fd, text.at + text.length, 64 << 10);
    if (got > 0) text.length += (size_t)got;
  } while ((got > 0 || (got < 0 && errno == EINTR)) && text.length <= LIMIT_CONFIG);
  if (got < 0) return fail(report, fd, (char *)text.at, strerror(errno));
  if (text.length > LIMIT_CONFIG) return fail(report, fd, (char *)text.at, "it is longer than 4 MiB");
  if (memchr(text.at, 0, text.length)) return fail(report, fd, (char *)text.at, "it holds a NUL byte");
  close(fd);
  buffer_cstring(&text);
  if (text.length >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0) memmove(text.at, text.at + 3, text.length - 3 + 1);
  return (char *)text.at;
}
