// The file sink: the path, and what the check says about it. The writing is target_file.c.
#include "workers/sinks/file_sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/sinks/file_path.h"
#include "workers/sinks/sink.h"

// Where the ending of the path's name begins; its end when it has none.
static size_t ending_of(const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
  return !dot || dot == name ? strlen(path) : (size_t)(dot - path);
}

char *file_sink_path(struct job_value settings, unsigned lane, unsigned lanes, struct error *e) {
  static const char mark[] = "{lane}";
  char *path = job_text(settings, "path", ""), *place = strstr(path, mark), *full;
  size_t length = strlen(path);
  if (length == 0 || path[length - 1] == '/') {
    error_set(e, ERROR_CONFIG, "path", "`path` must name a file");
    free(path);
    return NULL;
  }
  if (place)
    full = memory_print("%.*s%u%s", (int)(place - path), path, lane, place + strlen(mark));
  else if (lanes <= 1)
    full = memory_text(path);
  else {
    size_t ending = ending_of(path);
    full = memory_print("%.*s.%u%s", (int)ending, path, lane, path + ending);
  }
  free(path);
  return full;
}

char *file_sink_retry_path(const char *path, const char *edge) {
  static const char mark[] = "retry:";
  if (strncmp(edge, mark, sizeof mark - 1) != 0) return NULL;
  const char *node = edge + sizeof mark - 1;
  size_t ending = ending_of(path);
  return memory_print("%.*s.retry-%.*s%s", (int)ending, path, (int)strcspn(node, ">"), node, path + ending);
}

int file_sink_run(struct worker *w) {
  return sink_run(w, &target_file);
}

char *file_sink_writes(struct job_value settings, unsigned lane, unsigned lanes) {
  struct error e = {0};
  return file_sink_path(settings, lane, lanes, &e); // without a path the check has its finding
}

// The folder of a path; owned by the caller.
static char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return memory_text(".");
  return slash == path ? memory_text("/") : memory_text_n(path, (size_t)(slash - path));
}

void file_sink_check(struct check *c) {
  struct error e = {0};
  char *path = file_sink_path(c->settings, 0, 1, &e);
  if (!path) {
    check_find(c, CHECK_ERROR, "path", -1, NULL, "%s", e.text);
    return;
  }
  char *folder = folder_of(path);
  struct stat st;
  if (!c->connect)
    check_find(c, CHECK_NOTE, "path", -1, NULL, "rows are appended to %s as lines of JSON", path);
  else if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
    check_find(c, CHECK_ERROR, "path", -1, NULL, "%s is not a regular file", path);
  else if (access(path, F_OK) == 0 && access(path, W_OK) != 0)
    check_find(c, CHECK_ERROR, "path", -1, NULL, "%s cannot be written: %s", path, strerror(errno));
  else if (access(folder, W_OK | X_OK) != 0)
    check_find(c, CHECK_ERROR, "path", -1, NULL, "the folder %s cannot be written: %s", folder, strerror(errno));
  else
    check_find(c, CHECK_NOTE, "path", -1, NULL, access(path, F_OK) == 0 ? "%s is there, rows will be appended" : "a run would make %s",
               path);
  free(folder);
  free(path);
}
