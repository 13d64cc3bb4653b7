// One file's bytes. pread into a buffer and never mmap: a file that is truncated while it is mapped kills the reader with SIGBUS.
//
// Standard input has no second reading: its bytes stay in the block until they are taken, all other files are read again from file->at.
#include "workers/sources/file_bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/common/choices.h"

char *file_identity(uint64_t device, uint64_t inode) {
  return memory_print("file:%llu:%llu", (unsigned long long)device, (unsigned long long)inode);
}

bool file_open(struct file_source *f, struct file *file, struct error *e) {
  (void)f;
  if (file->fd >= 0) return true;
  int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0) {
    // A file that a pattern found may be gone again: the next look at the pattern finds what is there then.
    enum error_class class = errno == ENOENT ? ERROR_OUTAGE : errno == EMFILE || errno == ENFILE ? ERROR_ENVIRONMENT : ERROR_OPERATOR;
    error_set(e, class, "open", "cannot open \"%s\": %s", file->path, strerror(errno));
    if (fd >= 0) close(fd);
    return false;
  }
  if ((uint64_t)info.st_dev != file->device || (uint64_t)info.st_ino != file->inode) {
    close(fd);
    error_set(e, ERROR_OUTAGE, "replaced", "\"%s\" was replaced while it was being opened", file->path);
    return false;
  }
  file->fd = fd;
  return true;
}

void file_close(struct file *file) {
  if (file->fd >= 0 && !file->input) close(file->fd);
  file->fd = -1;
}

bool file_size(const struct file *file, uint64_t *size, struct error *e) {
  struct stat info;
  if (fstat(file->fd, &info) == 0) {
    *size = (uint64_t)info.st_size;
    return true;
  }
  error_set(e, ERROR_OUTAGE, "io", "cannot look at \"%s\": %s", file->path, strerror(errno));
  return false;
}

bool file_changed(const struct file *file, int64_t *micros, struct error *e) {
  struct stat info;
  if (fstat(file->fd, &info) == 0) {
    *micros = (int64_t)info.st_mtim.tv_sec * 1000000 + info.st_mtim.tv_nsec / 1000;
    return true;
  }
  error_set(e, ERROR_OUTAGE, "io", "cannot look at \"%s\": %s", file->path, strerror(errno));
  return false;
}

bool file_read_at(const struct file *file, void *to, size_t length, uint64_t offset, size_t *got, struct error *e) {
  *got = 0;
  while (*got < length) {
    ssize_t n = pread(file->fd, (char *)to + *got, length - *got, (off_t)(offset + *got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      error_set(e, ERROR_OUTAGE, "io", "cannot read \"%s\" at byte %llu: %s", file->path, (unsigned long long)(offset + *got),
                strerror(errno));
      return false;
    }
    if (n == 0) break;
    *got += (size_t)n;
  }
  return true;
}

void file_choices(const struct file_source *f, const struct file *file, const char *found, struct error *e) {
  char *set = choice_positions(job_root(&f->w->job), NULL), *partition = choice_quote(file->path);
  error_set(e, ERROR_OPERATOR, "position",
            "%s. Nothing was read or skipped. Choices: put the old file back; or `%s --source %s --partition %s --to earliest` (what is in "
            "the file now is delivered from its beginning), `--to latest` (what is in it now is skipped)",
            found, set, f->w->source, partition);
  free(set);
  free(partition);
}

static void truncated(const struct file_source *f, const struct file *file, uint64_t size, uint64_t position, struct error *e) {
  char *found = memory_print("\"%s\" has %llu bytes, but its first %llu are delivered already: it was truncated", file->path,
                             (unsigned long long)size, (unsigned long long)position);
  file_choices(f, file, found, e);
  free(found);
}

bool file_verify(struct file_source *f, struct file *file, uint64_t position, uint64_t witness, struct error *e) {
  if (file->input || position == 0) return true;
  uint64_t size, covered = source_witness_length(witness);
  if (!file_open(f, file, e) || !file_size(file, &size, e)) return false;
  if (size < position) {
    truncated(f, file, size, position, e);
    return false;
  }
  if (covered == 0) return true;
  char bytes[SOURCE_WITNESS_BYTES];
  size_t got = 0;
  bool possible = covered <= sizeof bytes && covered <= position;
  if (possible && !file_read_at(file, bytes, (size_t)covered, position - covered, &got, e)) return false;
  if (possible && got == covered && source_witness(bytes, covered) == witness) return true;
  char *found = memory_print("\"%s\" does not hold the bytes any more that were delivered up to byte %llu: it was rewritten, or truncated "
                             "and filled again",
                             file->path, (unsigned long long)position);
  file_choices(f, file, found, e);
  free(found);
  return false;
}

void file_block_grow(struct file_source *f, size_t room) {
  if (room <= f->block_room) return;
  f->block = memory_resize(f->block, room + JSON_PADDING);
  f->block_room = room;
  memset(f->block + room, 0, JSON_PADDING);
}

// Standard input: drops what was taken, adds what has come without waiting for more.
static bool fill_input(struct file_source *f, struct file *file, struct error *e) {
  size_t taken = (size_t)(file->at - f->block_at);
  if (taken > 0) memmove(f->block, f->block + taken, f->held - taken);
  f->held -= taken;
  f->block_at = file->at;
  while (!f->block_end && f->held < f->block_room) {
    struct pollfd ready = {.fd = file->fd, .events = POLLIN};
    if (poll(&ready, 1, 0) <= 0) return true;
    ssize_t n = read(file->fd, f->block + f->held, f->block_room - f->held);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    if (n < 0) {
      error_set(e, ERROR_OUTAGE, "io", "cannot read standard input: %s", strerror(errno));
      return false;
    }
    if (n == 0) f->block_end = true;
    f->held += (size_t)n;
  }
  return true;
}

bool file_fill(struct file_source *f, struct file *file, struct error *e) {
  if (file->input) return fill_input(f, file, e);
  f->held = 0;
  if (!file_open(f, file, e) || !file_read_at(file, f->block, f->block_room, file->at, &f->held, e)) return false;
  f->block_end = f->held < f->block_room;
  return true;
}

bool file_lines_end(struct file_source *f, struct file *file, uint64_t *offset, struct error *e) {
  uint64_t size;
  char bytes[4096];
  *offset = 0;
  if (!file_open(f, file, e) || !file_size(file, &size, e)) return false;
  for (uint64_t end = size; end > 0;) {
    uint64_t from = end > sizeof bytes ? end - sizeof bytes : 0;
    size_t got;
    if (!file_read_at(file, bytes, (size_t)(end - from), from, &got, e)) return false;
    const char *newline = memrchr(bytes, '\n', got);
    if (newline) {
      *offset = from + (uint64_t)(newline - bytes) + 1;
      return true;
    }
    end = from;
  }
  return true;
}
