// A file as a target: rows become lines of JSON, appended to one file per lane.
//
// A file holds no transaction, so the position file decides: rows are written and synced first, then one transaction of STATE/sinks.db
// stores positions and the file's length. What stands in the file beyond that length was never committed and is cut off at the start.
// Dead letters go to STATE/dead.db, durable before the position; the same letter again only renews its time.
//
// Rule: one writer per file, held by a lock on it; positions live in the state folder, which has one instance.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "proto/log.h"
#include "proto/msgpack.h"
#include "shm/crash_point.h"
#include "workers/clients/sqlite.h"
#include "workers/common/choices.h"
#include "workers/sinks/file_path.h"
#include "workers/sinks/sqlite_dead.h"
#include "workers/sinks/sqlite_positions.h"
#include "workers/sinks/target.h"

enum { BUSY_MS = 5000, CHUNK = 1 << 16 };

struct file_target {
  struct target base;
  char *path;
  bool retry;                   // what is sent again has a file of its own
  int fd;                       // -1: closed
  uint64_t length, next_length; // committed, and with the batch in hand
  uint64_t written;             // the file's real length
  struct sqlite *positions, *letters;
  struct sqlite_dead dead;
  struct buffer out;
};

static struct file_target *own(struct target *t) {
  return (struct file_target *)t;
}

static struct target *target_make(const struct target_setup *setup, struct error *e) {
  char *path = file_sink_path(setup->settings, setup->lane, setup->lanes, e);
  if (!path) return NULL;
  char *retry = file_sink_retry_path(path, setup->edge);
  if (retry) {
    free(path);
    path = retry;
  }
  struct file_target *t = memory_get(sizeof *t);
  t->retry = retry != NULL;
  t->base = (struct target){.kind = &target_file, .setup = *setup};
  t->path = path;
  t->fd = -1;
  return &t->base;
}

static void target_close(struct target *base) {
  struct file_target *t = own(base);
  sqlite_close(t->positions);
  sqlite_close(t->letters);
  t->positions = t->letters = NULL;
  if (t->fd >= 0) close(t->fd);
  t->fd = -1;
}

static void target_free(struct target *base) {
  struct file_target *t = own(base);
  target_close(base);
  buffer_free(&t->out);
  free(t->path);
  free(t);
}

static bool file_failed(const struct file_target *t, const char *what, struct error *e) {
  bool passing = errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == ENOENT || errno == EWOULDBLOCK;
  error_set(e, passing ? ERROR_OUTAGE : ERROR_OPERATOR, "file", "cannot %s %s: %s", what, t->path,
            errno == EWOULDBLOCK ? "another process writes it" : strerror(errno));
  return false;
}

// ---- opening

static struct sqlite *open_store(const struct target_setup *setup, const char *name, struct error *e) {
  char *path = memory_print("%s/%s", setup->state, name);
  struct sqlite *db = sqlite_open(path, SQLITE_MAKE, BUSY_MS, e);
  free(path);
  return db;
}

static bool open_stores(struct file_target *t, struct error *e) {
  const struct target_setup *setup = &t->base.setup;
  static const char files[] = "CREATE TABLE IF NOT EXISTS weir_files (pipeline text NOT NULL, sink text NOT NULL, path text NOT NULL, "
                              "length bigint NOT NULL, PRIMARY KEY (pipeline, sink, path))";
  t->positions = open_store(setup, "sinks.db", e);
  if (!t->positions || !sqlite_positions_make(t->positions, e) || !sqlite_exec(t->positions, files, e)) return false;
  t->letters = open_store(setup, "dead.db", e);
  if (!t->letters || !sqlite_dead_make(t->letters, e)) return false;
  sqlite_dead_use(&t->dead, t->letters, setup->dead_store_bytes);
  return true;
}

static void bind_file(struct sqlite_query *q, const struct file_target *t) {
  sqlite_bind_cstring(q, 1, t->base.setup.pipeline);
  sqlite_bind_cstring(q, 2, t->base.setup.sink);
  sqlite_bind_cstring(q, 3, t->path);
}

static bool read_length(struct file_target *t, bool *known, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(t->positions, "SELECT length FROM weir_files WHERE pipeline = ?1 AND sink = ?2 AND path = ?3", e);
  if (!q) return false;
  bind_file(q, t);
  enum sqlite_outcome outcome = sqlite_step(q, e);
  *known = outcome == SQLITE_GOT_ROW;
  if (*known) {
    t->length = (uint64_t)sqlite_column_int(q, 0);
    sqlite_reset(q);
  }
  return outcome != SQLITE_FAILED;
}

static bool store_length(struct file_target *t, uint64_t length, struct error *e) {
  struct sqlite_query *q = sqlite_prepare(t->positions,
                                          "INSERT INTO weir_files (pipeline, sink, path, length) VALUES (?1, ?2, ?3, ?4) "
                                          "ON CONFLICT (pipeline, sink, path) DO UPDATE SET length = excluded.length",
                                          e);
  if (!q) return false;
  bind_file(q, t);
  sqlite_bind_int(q, 4, (int64_t)length);
  return sqlite_run(q, e);
}

// A file shorter than what was committed has lost rows. Gone altogether (or empty): it is filled again from the start, when it is the only
// one of the sink. Anything else is for somebody to decide.
static bool judge_shorter(struct file_target *t, uint64_t size, struct error *e) {
  if (size == 0 && t->retry) {
    log_say(LOG_LEVEL_WARN, "%s is gone: it begins anew, what was sent again before does not come once more", t->path);
    t->length = 0;
    return true;
  }
  if (size > 0 || t->base.setup.lanes > 1) {
    char *set = choice_positions(t->base.setup.job, t->base.setup.sink);
    error_set(e, ERROR_OPERATOR, "file-shorter",
              "%s has %" PRIu64 " bytes, but %" PRIu64
              " were committed. Nothing was changed. Choices: bring the file back; or move all files of "
              "the sink away and `%s --to earliest` (they are filled again with all that the source still has)",
              t->path, size, t->length, set);
    free(set);
    return false;
  }
  log_say(LOG_LEVEL_WARN, "%s is gone, though rows were stored in it: it is filled again from the start", t->path);
  t->length = 0;
  return sqlite_positions_forget(t->positions, &t->base.setup, e);
}

// A new file exists for sure only when its folder has been synced too.
static bool sync_folder(const struct file_target *t, struct error *e) {
  char *folder = memory_text(t->path), *slash = strrchr(folder, '/');
  if (slash) *(slash == folder ? slash + 1 : slash) = '\0';
  int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool ok = fd >= 0 && fsync(fd) == 0;
  if (!ok) file_failed(t, "sync the folder of", e);
  if (fd >= 0) close(fd);
  free(folder);
  return ok;
}

static bool open_file(struct file_target *t, struct error *e) {
  t->fd = open(t->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (t->fd < 0) return file_failed(t, "open", e);
  if (flock(t->fd, LOCK_EX | LOCK_NB) != 0) return file_failed(t, "lock", e);
  struct stat st;
  if (fstat(t->fd, &st) != 0) return file_failed(t, "look at", e);
  if (!S_ISREG(st.st_mode)) {
    error_set(e, ERROR_OPERATOR, "file", "%s is not a regular file: what was written could not be taken back after a crash", t->path);
    return false;
  }
  uint64_t size = (uint64_t)st.st_size;
  bool known;
  if (!sqlite_begin(t->positions, e) || !read_length(t, &known, e)) return false;
  // A file that was there before weir came stays as it is; rows are appended.
  if (!known) t->length = size;
  if (size < t->length && !judge_shorter(t, size, e)) return false;
  if (!store_length(t, t->length, e) || !sqlite_commit(t->positions, e)) return false;
  if (size > t->length && ftruncate(t->fd, (off_t)t->length) != 0) return file_failed(t, "cut", e);
  t->written = t->length;
  if (fdatasync(t->fd) != 0) return file_failed(t, "sync", e);
  return sync_folder(t, e);
}

static bool target_open(struct target *base, bool *fresh, struct error *e) {
  struct file_target *t = own(base);
  *fresh = t->fd < 0;
  if (t->fd >= 0) return true;
  if (open_stores(t, e) && open_file(t, e)) return true;
  if (t->positions) sqlite_rollback(t->positions);
  target_close(base);
  return false;
}

static bool target_attach(struct target *base, struct target_stream **streams, size_t count, struct error *e) {
  return sqlite_positions_attach(own(base)->positions, &base->setup, streams, count, e);
}

static bool target_look(struct target *base, const struct target_stream *s, bool *there, uint64_t *epoch, struct target_totals *totals,
                        struct error *e) {
  return sqlite_positions_look(own(base)->positions, &base->setup, s, there, epoch, totals, e);
}

static bool target_start(struct target *base, struct target_stream *s, uint64_t start, struct error *e) {
  return sqlite_positions_start(own(base)->positions, &base->setup, s, start, e);
}

// ---- the batch

static bool flush(struct file_target *t, struct error *e) {
  for (size_t done = 0; done < t->out.length;) {
    ssize_t wrote = pwrite(t->fd, t->out.at + done, t->out.length - done, (off_t)t->next_length);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return file_failed(t, "write", e);
    done += (size_t)wrote;
    t->next_length += (uint64_t)wrote;
    if (t->written < t->next_length) t->written = t->next_length;
  }
  buffer_clear(&t->out);
  return true;
}

static void add_line(struct file_target *t, struct batch *b, struct batch_row *row) {
  size_t before = t->out.length;
  const uint8_t *at = row->body;
  if (row->set_aside) {
    batch_kill(b, row, "set aside unseen: this input killed its worker again and again", "poison", NULL, NULL);
    return;
  }
  if (row->is_delete) {
    batch_kill(b, row, "a tombstone: nothing can be deleted from a file", "tombstone", NULL, NULL);
    return;
  }
  if (msgpack_to_json(&at, row->end, &t->out) && at == row->end) {
    buffer_byte(&t->out, '\n');
    return;
  }
  t->out.length = before;
  batch_kill(b, row, "the record is broken", "msgpack", NULL, NULL);
}

static bool write_rows(struct file_target *t, struct batch *b, struct error *e) {
  buffer_clear(&t->out);
  t->next_length = t->length;
  for (size_t i = 0; i < b->count; i++) {
    struct batch_row *row = &b->rows[i];
    if (row->state != ROW_LIVE || row->is_letter) continue;
    add_line(t, b, row);
    if (t->out.length >= CHUNK && !flush(t, e)) return false;
  }
  if (!flush(t, e)) return false;
  CRASH_POINT("sink.file_written");
  // A try before this one may have written more and failed.
  if (t->written > t->next_length && ftruncate(t->fd, (off_t)t->next_length) != 0) return file_failed(t, "cut", e);
  t->written = t->next_length;
  if (t->next_length != t->length && fdatasync(t->fd) != 0) return file_failed(t, "sync", e);
  return true;
}

static bool store_letters(struct file_target *t, struct batch *b, struct target_streams *streams, struct error *e) {
  if (!batch_has_letters(b)) return true;
  if (!sqlite_begin(t->letters, e)) return false;
  if (sqlite_dead_add_batch(&t->dead, &t->base.setup, streams, b, e) && sqlite_commit(t->letters, e)) return true;
  sqlite_rollback(t->letters);
  return false;
}

// The decision: with this transaction the file is longer and the positions have moved, or neither.
static bool store_positions(struct file_target *t, const struct batch *b, struct target_streams *streams, struct error *e) {
  target_count(b, streams);
  if (!sqlite_begin(t->positions, e)) return false;
  if (sqlite_positions_move(t->positions, &t->base.setup, streams, e) && store_length(t, t->next_length, e)) {
    CRASH_POINT("sink.before_commit");
    if (sqlite_commit(t->positions, e)) return true;
  }
  sqlite_rollback(t->positions);
  return false;
}

// A file that was removed or replaced while it is open would take everything and keep nothing.
static bool is_in_place(const struct file_target *t, struct error *e) {
  struct stat ours, there;
  if (fstat(t->fd, &ours) == 0 && stat(t->path, &there) == 0 && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev) return true;
  error_set(e, ERROR_REWIND, "moved", "the file %s was removed or replaced while it was in use", t->path);
  return false;
}

static bool target_commit(struct target *base, struct batch *b, struct target_streams *streams, struct error *e) {
  struct file_target *t = own(base);
  CRASH_POINT("sink.before_fence");
  bool good = is_in_place(t, e) && write_rows(t, b, e) && base->setup.may_commit(base->setup.context, b, e);
  CRASH_POINT("sink.after_rows");
  good = good && store_letters(t, b, streams, e);
  CRASH_POINT("sink.after_dead");
  if (good && store_positions(t, b, streams, e)) {
    t->length = t->next_length;
    target_moved(streams);
    return true;
  }
  // Opening again cuts off what was written for nothing.
  if (e->class == ERROR_OUTAGE && strcmp(e->code, "dead-full") != 0) target_close(base);
  return false;
}

const struct target_kind target_file = {
    .name = "file",
    .make = target_make,
    .open = target_open,
    .close = target_close,
    .attach = target_attach,
    .look = target_look,
    .start = target_start,
    .commit = target_commit,
    .free = target_free,
};
