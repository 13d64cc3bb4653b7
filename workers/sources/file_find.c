// From the patterns of `path` to files: one partition a file, named by its path as found, dealt out to the lanes by a hash of that name.
//
// A file is known by device and inode: a second name for the same file (a hard link, or the name that log rotation gives to a file which
// is being read) is not read again.
#include "workers/sources/file_find.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/hash.h"
#include "proto/log.h"
#include "proto/utf8.h"
#include "workers/sources/file_bytes.h"

static bool of_this_lane(const struct file_source *f, const char *path) {
  return f->w->lanes <= 1 || hash_bytes(path, strlen(path), 0) % f->w->lanes == f->w->lane;
}

static struct file *file_by_path(const struct file_source *f, const char *path) {
  for (size_t i = 0; i < f->file_count; i++)
    if (strcmp(f->files[i].path, path) == 0) return &f->files[i];
  return NULL;
}

// The stream in which this file is, or was, read: the register remembers those that were rotated away too.
static const struct source_stream *stream_by_inode(const struct file_source *f, uint64_t device, uint64_t inode) {
  char *identity = file_identity(device, inode);
  const struct source_stream *found = NULL;
  for (uint64_t i = 0; i < f->source.count && !found; i++)
    if (strcmp(f->source.streams[i].entry.identity, identity) == 0) found = &f->source.streams[i];
  free(identity);
  return found;
}

char *file_renamed(const char *path, uint64_t device, uint64_t inode) {
  const char *slash = strrchr(path, '/');
  char *folder = slash ? memory_text_n(path, (size_t)(slash - path) + 1) : memory_text("./"), *found = NULL;
  DIR *entries = opendir(folder);
  for (struct dirent *one; entries && !found && (one = readdir(entries));) {
    if (one->d_ino != inode) continue;
    struct stat info;
    char *name = memory_print("%s%s", folder, one->d_name);
    if (stat(name, &info) == 0 && S_ISREG(info.st_mode) && (uint64_t)info.st_dev == device && (uint64_t)info.st_ino == inode)
      found = name;
    else
      free(name);
  }
  if (entries) closedir(entries);
  free(folder);
  return found;
}

// A stream that an earlier life of this worker announced for the same path, with another identity: the file was rotated away in between.
// It is read on under its present name first. False: it is nowhere to be found.
static bool earlier_file(struct file_source *f, struct file *file, struct error *e) {
  int64_t known = source_find(&f->source, file->path);
  if (known < 0) return true;
  unsigned long long device, inode;
  if (sscanf(f->source.streams[known].entry.identity, "file:%llu:%llu", &device, &inode) != 2) return true;
  if (device == file->device && inode == file->inode) return true;
  char *name = file_renamed(file->path, device, inode);
  if (!name) {
    char *found = memory_print("\"%s\" is another file than the one that was being read, and that one is not beside it", file->path);
    file_choices(f, file, found, e);
    free(found);
    return false;
  }
  struct file old = {.path = name, .device = device, .inode = inode, .fd = -1};
  bool good = file_open(f, &old, e);
  free(name);
  file->device = device;
  file->inode = inode;
  file->fd = old.fd;
  return good;
}

static bool file_add(struct file_source *f, const char *path, const struct stat *info, bool later, struct error *e) {
  struct file file = {
      .path = memory_text(path), .device = (uint64_t)info->st_dev, .inode = (uint64_t)info->st_ino, .fd = -1, .state = FILE_READING};
  if (!earlier_file(f, &file, e)) {
    free(file.path);
    return false;
  }
  char *identity = file_identity(file.device, file.inode);
  int64_t stream = source_stream(&f->source, path, identity, -1, later, e);
  free(identity);
  if (stream < 0) {
    file_close(&file);
    free(file.path);
    return false;
  }
  file.stream = (uint64_t)stream;
  f->files = memory_resize(f->files, (f->file_count + 1) * sizeof *f->files);
  f->files[f->file_count++] = file;
  return true;
}

// Positions and messages carry the name as text.
static bool name_is_text(const char *path, struct error *e) {
  size_t length = strlen(path);
  if (utf8_check((const uint8_t *)path, length) == length) return true;
  char *shown = memory_text(path);
  for (size_t bad; (bad = utf8_check((const uint8_t *)shown, length)) < length;) shown[bad] = '?';
  error_set(e, ERROR_OPERATOR, "name",
            "the name of the file \"%s\" (with ? for what is none) is not UTF-8, and a position is kept under it: "
            "rename the file, or keep it out of `path`",
            shown);
  free(shown);
  return false;
}

// One path that a pattern gave. Whatever is no regular file is passed over: a pattern may well name a folder.
static bool path_take(struct file_source *f, const char *path, bool literal, bool later, struct error *e) {
  if (!of_this_lane(f, path) || file_by_path(f, path)) return true;
  struct stat info;
  if (stat(path, &info) != 0) {
    if (!literal || later || f->follow) return true;
    error_set(e, ERROR_OPERATOR, "open", "cannot open \"%s\": %s", path, strerror(errno));
    return false;
  }
  if (!S_ISREG(info.st_mode)) {
    if (!literal) return true;
    error_set(e, ERROR_OPERATOR, "open", "\"%s\" is not a regular file (standard input is written \"-\")", path);
    return false;
  }
  if (!name_is_text(path, e)) return false;
  const struct source_stream *same = stream_by_inode(f, (uint64_t)info.st_dev, (uint64_t)info.st_ino);
  if (same && strcmp(same->entry.partition, path) != 0) {
    if (!later) log_say(LOG_LEVEL_WARN, "\"%s\" is the same file as \"%s\": it is read once", path, same->entry.partition);
    return true;
  }
  return file_add(f, path, &info, later, e);
}

bool file_find(struct file_source *f, bool later, size_t *added, struct error *e) {
  size_t before = f->file_count;
  for (size_t i = 0; i < f->pattern_count; i++) {
    glob_t found = {0};
    bool literal = !strpbrk(f->patterns[i], "*?[");
    // A pattern that is no pattern is passed on as it stands, so that a missing file has a name in the error.
    int result = glob(f->patterns[i], literal ? GLOB_NOCHECK | GLOB_NOESCAPE : 0, NULL, &found);
    bool good = result == 0 || result == GLOB_NOMATCH;
    if (!good) error_set(e, ERROR_ENVIRONMENT, "glob", "cannot look for \"%s\": %s", f->patterns[i], strerror(errno));
    for (size_t k = 0; good && k < found.gl_pathc; k++) good = path_take(f, found.gl_pathv[k], literal, later, e);
    globfree(&found);
    if (!good) return false;
  }
  *added = f->file_count - before;
  return true;
}

enum file_path_state file_path_look(const struct file *file, uint64_t *device, uint64_t *inode) {
  struct stat info;
  if (stat(file->path, &info) != 0 || !S_ISREG(info.st_mode)) return FILE_PATH_GONE;
  *device = (uint64_t)info.st_dev;
  *inode = (uint64_t)info.st_ino;
  return *device == file->device && *inode == file->inode ? FILE_PATH_SAME : FILE_PATH_OTHER;
}
