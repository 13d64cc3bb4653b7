// The file source: settings, and the loop that deals its turns out to the files. The formats are in file_lines.c, file_values.c and
// file_document.c, the bytes in file_bytes.c, the names in file_find.c; file_state.h draws the life of a file.
//
// Ends by itself: with --once when every file has been read to its end; without, only standard input has an end.
//
// DIAGNOSTICS (what stops the source, exit code of an operator): a file that shrank, or whose bytes before the position changed; msgpack
// that is none; a file named by itself that is not there. Bytes that are no record become dead letters. A disk that cannot be read is an
// outage: the worker ends and is started again with backoff.
#include "workers/sources/file_source.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/limits.h"
#include "proto/log.h"
#include "workers/sources/file_bytes.h"
#include "workers/sources/file_find.h"
#include "workers/sources/file_formats.h"

enum { BLOCK = 256 << 10, POLL_MS = 250 };

static bool format_find(const char *name, enum file_format *format) {
  static const char *const names[] = {[FILE_NDJSON] = "ndjson", [FILE_JSON] = "json", [FILE_MSGPACK] = "msgpack"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(names[i], name) != 0) continue;
    *format = (enum file_format)i;
    return true;
  }
  return false;
}

static void patterns_load(struct file_source *f, struct job_value path) {
  struct job_walk walk = job_walk_start(path);
  struct job_value one;
  if (!walk.at) { // no list
    f->patterns = memory_get(sizeof *f->patterns);
    if ((f->patterns[0] = job_value_text(path))) f->pattern_count = 1;
    return;
  }
  f->patterns = memory_get(walk.left * sizeof *f->patterns);
  while (!walk.map && job_walk_next(&walk, NULL, &one)) {
    char *text = job_value_text(one);
    if (text) f->patterns[f->pattern_count++] = text;
  }
}

static bool reads_input(const struct file_source *f) {
  return f->pattern_count == 1 && strcmp(f->patterns[0], "-") == 0;
}

static bool settings_load(struct file_source *f, struct error *e) {
  struct job_value settings = f->w->settings;
  patterns_load(f, job_get(settings, "path"));
  char *format = job_text(settings, "format", "ndjson");
  bool known = format_find(format, &f->format);
  if (!known) error_set(e, ERROR_CONFIG, "format", "there is no format \"%s\"", format);
  free(format);
  f->records = job_text(settings, "records", "");
  f->start = job_text(settings, "start", "earliest");
  f->follow = job_bool(settings, "follow", false) && !f->w->once;
  int64_t max_record = job_int(settings, "max_record", LIMIT_RECORD), poll = job_int(settings, "poll", POLL_MS);
  f->max_record = max_record < 1 ? 1 : (uint64_t)max_record;
  f->poll_ms = poll < 10 ? 10 : poll > 3600000 ? 3600000 : (int)poll;
  if (known && f->pattern_count == 0) {
    error_set(e, ERROR_CONFIG, "path", "path names no file");
    return false;
  }
  return known;
}

static void state_free(struct file_source *f) {
  for (size_t i = 0; i < f->file_count; i++) {
    file_close(&f->files[i]);
    buffer_free(&f->files[i].giant_head);
    free(f->files[i].path);
  }
  for (size_t i = 0; i < f->pattern_count; i++) free(f->patterns[i]);
  free(f->patterns);
  free(f->files);
  free(f->block);
  free(f->records);
  free(f->start);
  if (f->json) json_parser_free(f->json);
  source_close(&f->source);
}

static struct file *file_of_stream(const struct file_source *f, uint64_t stream) {
  for (size_t i = 0; i < f->file_count; i++)
    if (f->files[i].stream == stream) return &f->files[i];
  return NULL;
}

// `latest`: the end of what is complete now. A time: a file not changed since then starts at that end, any other at its beginning.
static bool start_of(void *owner, uint64_t stream, uint64_t *position, struct error *e) {
  struct file_source *f = owner;
  struct file *file = file_of_stream(f, stream);
  int64_t micros;
  *position = 0;
  if (!file || file->input || strcmp(f->start, "earliest") == 0) return true;
  if (strcmp(f->start, "latest") != 0) {
    int64_t changed;
    if (!clock_parse(f->start, strlen(f->start), &micros)) {
      error_set(e, ERROR_CONFIG, "start", "start is earliest, latest or a time, not \"%s\"", f->start);
      return false;
    }
    if (!file_open(f, file, e) || !file_changed(file, &changed, e)) return false;
    if (changed >= micros) return true;
  }
  if (f->format == FILE_JSON) return file_document_count(f, file, position, e);
  if (f->format == FILE_NDJSON) return file_lines_end(f, file, position, e);
  return file_open(f, file, e) && file_size(file, position, e);
}

static bool position_check(void *owner, uint64_t stream, uint64_t position, uint64_t witness, struct error *e) {
  struct file_source *f = owner;
  struct file *file = file_of_stream(f, stream);
  if (!file) return true;
  if (f->format == FILE_JSON) return file_document_verify(f, file, position, witness, e);
  return file_verify(f, file, position, witness, e);
}

// Standard input is a new partition each time, because nobody can read it twice: a position in the last one means nothing in this one.
// A successor within the same run goes on with what is left of it.
static bool input_add(struct file_source *f, struct error *e) {
  char *partition = NULL, *identity;
  if (f->source.count > 0) {
    partition = memory_text(f->source.streams[0].entry.partition);
    identity = memory_text(f->source.streams[0].entry.identity);
  } else {
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) number = clock_monotonic_ns();
    partition = memory_print("-%016llx", (unsigned long long)number);
    identity = memory_print("stdin:%016llx", (unsigned long long)number);
  }
  int64_t stream = source_stream(&f->source, partition, identity, -1, false, e);
  free(identity);
  f->files = memory_get(sizeof *f->files);
  f->files[0] = (struct file){.path = partition, .fd = STDIN_FILENO, .input = true, .stream = (uint64_t)stream};
  f->file_count = 1;
  return stream >= 0;
}

// All that is new goes through the protocol together. Then reading goes on behind the position.
static bool files_settle(struct file_source *f, size_t from, struct error *e) {
  if (!source_settle(&f->source, e)) return false;
  for (size_t i = from; i < f->file_count; i++) {
    struct file *file = &f->files[i];
    const struct source_stream *stream = &f->source.streams[file->stream];
    file->at = stream->position;
    if (file->input) f->block_at = file->at;
    // A stream that an earlier life began was checked then; its bytes may have changed since.
    if (f->source.resumed && !position_check(f, file->stream, stream->position, stream->witness, e)) return false;
  }
  return true;
}

// The path names another file and this one is finished: the other one takes its place, as a new stream that replaces the old one.
static bool file_replace(struct file_source *f, struct file *file, uint64_t device, uint64_t inode, struct error *e) {
  char *identity = file_identity(device, inode);
  file_close(file);
  buffer_free(&file->giant_head);
  int64_t stream = source_stream(&f->source, file->path, identity, (int64_t)file->stream, true, e);
  free(identity);
  if (stream < 0) return false;
  *file = (struct file){.path = file->path, .device = device, .inode = inode, .fd = -1, .stream = (uint64_t)stream};
  struct log_line line;
  log_begin(&line, LOG_LEVEL_INFO, "the file was rotated: the old one is read to its end, the new one begins");
  log_text(&line, "path", file->path);
  log_end(&line);
  if (!source_settle(&f->source, e)) return false;
  file->at = f->source.streams[file->stream].position;
  return true;
}

static bool block_take(struct file_source *f, struct file *file, bool last, struct error *e) {
  if (!file_fill(f, file, e)) return false;
  f->time = clock_micros();
  return f->format == FILE_MSGPACK ? file_values_take(f, file, last, e) : file_lines_take(f, file, last, e);
}

// One turn of one file: at most a block. *busy: there may be more at once. `last`: nothing more will come, what is left is taken too.
static bool file_turn(struct file_source *f, struct file *file, bool last, bool *busy, struct error *e) {
  if (f->format == FILE_JSON) return file_document_take(f, file, e);
  uint64_t before = file->at;
  size_t room = f->block_room;
  bool giant = file->giant;
  if (!block_take(f, file, last, e)) return false;
  // Taken, or made room for, or a long line begun or ended: there is more to do before it is known to be the end.
  if (file->at != before || f->block_room != room || file->giant != giant) {
    *busy = true;
    return true;
  }
  if (f->source.stop) return true;
  if (!f->block_end) return true; // standard input: nothing has come yet
  if (last || file->input) {
    file->state = FILE_DONE;
    file_close(file);
    return true;
  }
  file->state = FILE_AT_END;
  // As far as was seen, not what the file system says now: a file that has just been truncated must not look untouched at the next poll.
  file->end_size = file->at + f->held;
  return true;
}

// A followed file at its end: has it grown, shrunk, or been rotated away?
static bool file_poll(struct file_source *f, struct file *file, bool *busy, struct error *e) {
  uint64_t size, device, inode;
  const struct source_stream *stream = &f->source.streams[file->stream];
  if (!file_size(file, &size, e)) return false;
  if (size != file->end_size) {
    // Before anything behind the position is read: are the bytes in front of it still the same?
    if (!file_verify(f, file, stream->position, stream->witness, e)) return false;
    file->state = FILE_READING;
    file->quiet = 0;
    *busy = true;
    return true;
  }
  if (file_path_look(file, &device, &inode) != FILE_PATH_OTHER) {
    file->quiet = 0;
    return true;
  }
  // Its writer may still hold the old file for a moment: it must have been quiet for a whole poll.
  if (++file->quiet < 2) return true;
  bool more = true;
  while (more && !f->source.stop) {
    more = false;
    if (!file_turn(f, file, true, &more, e)) return false;
  }
  *busy = true;
  return f->source.stop || file_replace(f, file, device, inode, e);
}

static bool all_done(const struct file_source *f) {
  for (size_t i = 0; i < f->file_count; i++)
    if (f->files[i].state != FILE_DONE) return false;
  return true;
}

// One turn over all files. `polled`: time to look at those that had come to their end.
static bool files_turn(struct file_source *f, bool polled, bool *busy, struct error *e) {
  for (size_t i = 0; i < f->file_count && !source_turn(&f->source); i++) {
    struct file *file = &f->files[i];
    if (file->state == FILE_AT_END && polled && !file_poll(f, file, busy, e)) return false;
    if (file->state == FILE_READING && !file_turn(f, file, !f->follow || file->input, busy, e)) return false;
  }
  source_publish(&f->source);
  return true;
}

static void input_ready(int fd, short what, void *context) {
  (void)fd, (void)what, (void)context;
}

// Sleeps until the next poll; standard input wakes it up earlier.
static void files_wait(struct file_source *f) {
  struct event *input = NULL;
  if (reads_input(f) && (input = event_new(f->w->base, STDIN_FILENO, EV_READ, input_ready, NULL))) event_add(input, NULL);
  worker_wait(f->w, f->poll_ms, SLOT_IDLE, NULL);
  if (input) event_free(input);
}

static bool files_loop(struct file_source *f, struct error *e) {
  uint64_t next_poll = 0;
  while (!source_turn(&f->source)) {
    uint64_t now = clock_monotonic_ns();
    bool busy = false, polled = now >= next_poll;
    if (polled && next_poll > 0 && !f->w->once && !reads_input(f)) {
      size_t from = f->file_count, added;
      if (!file_find(f, true, &added, e)) return false;
      if (added > 0 && !files_settle(f, from, e)) return f->source.stop;
    }
    if (polled) next_poll = now + (uint64_t)f->poll_ms * 1000000u;
    if (!files_turn(f, polled, &busy, e)) return f->source.stop && !error_is_set(e);
    if (busy) continue;
    if ((f->w->once || reads_input(f)) && all_done(f)) return true;
    if (!f->source.stop) files_wait(f);
  }
  return true;
}

static bool source_work(struct file_source *f, struct error *e) {
  static const struct source_kind kind = {.start = start_of, .check = position_check};
  struct source_kind mine = kind;
  mine.owner = f;
  if (!settings_load(f, e) || !source_open(&f->source, f->w, &mine, 0, e)) return false;
  if (f->source.ended) return true;
  f->source.json = f->json = json_parser_new();
  file_block_grow(f, BLOCK);
  size_t added = 0;
  bool found = reads_input(f) ? input_add(f, e) : file_find(f, false, &added, e);
  if (!found) return false;
  if (f->file_count == 0) log_say(LOG_LEVEL_WARN, "path names no file yet: %s%s", f->patterns[0], f->pattern_count > 1 ? ", ..." : "");
  if (!files_settle(f, 0, e) && !(f->source.stop && !error_is_set(e))) return false;
  if (!f->source.stop && !files_loop(f, e)) return false;
  return source_end(&f->source, e);
}

int file_source_run(struct worker *w) {
  struct file_source f = {.w = w, .source = {.w = w}};
  struct error e = {0};
  int code = source_leave(&f.source, source_work(&f, &e), &e);
  state_free(&f);
  return code;
}

// The number of paths; *input: standard input is among them.
static unsigned paths_count(struct job_value path, bool *input) {
  struct file_source f = {0};
  patterns_load(&f, path);
  *input = false;
  for (size_t i = 0; i < f.pattern_count; i++) *input = *input || strcmp(f.patterns[i], "-") == 0;
  unsigned count = (unsigned)f.pattern_count;
  state_free(&f);
  return count;
}

void file_source_check(struct check *c) {
  char *format = job_text(c->settings, "format", "ndjson"), *records = job_text(c->settings, "records", "");
  char *start = job_text(c->settings, "start", "earliest");
  bool input, document = strcmp(format, "json") == 0;
  int64_t micros;
  unsigned count = paths_count(job_get(c->settings, "path"), &input);
  if (count == 0) check_find(c, CHECK_ERROR, "path", -1, NULL, "path names no file");
  if (input && count > 1) check_find(c, CHECK_ERROR, "path", -1, NULL, "standard input (\"-\") cannot be read together with files");
  if (input && document)
    check_find(c, CHECK_ERROR, "format", -1, "ndjson", "a JSON document cannot be read from standard input: use format ndjson");
  if (document && job_bool(c->settings, "follow", false))
    check_find(c, CHECK_ERROR, "follow", -1, NULL, "a JSON document has an end: follow needs format ndjson or msgpack");
  if (*records && !document)
    check_find(c, CHECK_ERROR, "records", -1, NULL, "records names a place in a JSON document: it needs format json");
  if (strcmp(start, "earliest") != 0 && strcmp(start, "latest") != 0 && !clock_parse(start, strlen(start), &micros))
    check_find(c, CHECK_ERROR, "start", -1, NULL, "start is earliest, latest or a time, not \"%s\"", start);
  free(format);
  free(records);
  free(start);
}
