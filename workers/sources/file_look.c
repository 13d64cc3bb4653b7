// Positions in a file, looked at while nobody reads it: an input's end is one, a place inside of an input is none. See
// workers/common/position_look.h.
//
// A file that is not there, or is another one by now, is no reason to refuse: whoever sets a position may be about to bring it back.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/sources/file_bytes.h"
#include "workers/sources/file_formats.h"
#include "workers/sources/file_source.h"

enum { CHUNK = 64 << 10, VALUE_ROOM = 1 << 20 };

struct look {
  const struct position_ask *ask;
  struct position_answer *answer;
  struct file_source source; // settings only, no worker
  struct file file;
  uint64_t size;
  bool follow;
};

static uint64_t low_of(const struct look *l) {
  return (uint64_t)(l->ask->from < l->answer->to ? l->ask->from : l->answer->to);
}

static uint64_t high_of(const struct look *l) {
  return (uint64_t)(l->ask->from < l->answer->to ? l->answer->to : l->ask->from);
}

static bool is_inside(const struct look *l, uint64_t begin, uint64_t end, struct error *e) {
  error_set(e, ERROR_OPERATOR, "position",
            "byte %lld of \"%s\" lies inside of a record, which begins behind %llu and ends at %llu: take one of these two",
            (long long)l->answer->to, l->file.path, (unsigned long long)begin, (unsigned long long)end);
  return false;
}

static bool is_behind(const struct look *l, const char *unit, uint64_t last, struct error *e) {
  error_set(e, ERROR_OPERATOR, "position", "\"%s\" has %llu %s: %lld is behind its end", l->file.path, (unsigned long long)last, unit,
            (long long)l->answer->to);
  return false;
}

// ---- lines

// The newline that the byte `at` is in front of, searched forwards; the file's end when there is none.
static bool line_end(struct look *l, uint64_t at, uint64_t *end, struct error *e) {
  char bytes[CHUNK];
  for (*end = at; *end < l->size;) {
    size_t got;
    if (!file_read_at(&l->file, bytes, sizeof bytes, *end, &got, e)) return false;
    const char *newline = memchr(bytes, '\n', got);
    if (newline) *end += (uint64_t)(newline - bytes) + 1;
    if (newline || got == 0) return true;
    *end += got;
  }
  return true;
}

// Where the line begins that the byte in front of `at` belongs to.
static bool line_begin(struct look *l, uint64_t at, uint64_t *begin, struct error *e) {
  char bytes[CHUNK];
  for (*begin = at; *begin > 0;) {
    uint64_t from = *begin > sizeof bytes ? *begin - sizeof bytes : 0;
    size_t got;
    if (!file_read_at(&l->file, bytes, (size_t)(*begin - from), from, &got, e)) return false;
    const char *newline = memrchr(bytes, '\n', got);
    *begin = newline ? from + (uint64_t)(newline - bytes) + 1 : from;
    if (newline) return true;
  }
  return true;
}

static bool lines_fit(struct look *l, struct error *e) {
  uint64_t to = (uint64_t)l->answer->to, begin, end;
  if (to > l->size) return is_behind(l, "bytes", l->size, e);
  // The last line needs no newline when the file is not followed: nothing will be added to it.
  if (!line_begin(l, to, &begin, e) || begin == to || (to == l->size && !l->follow)) return !error_is_set(e);
  return line_end(l, to, &end, e) && is_inside(l, begin, end, e);
}

// Lines that are not blank.
static bool lines_count(struct look *l, struct error *e) {
  char bytes[CHUNK];
  uint64_t high = high_of(l) < l->size ? high_of(l) : l->size;
  bool content = false;
  for (uint64_t at = low_of(l); at < high;) {
    size_t got, length = high - at < sizeof bytes ? (size_t)(high - at) : sizeof bytes;
    if (!file_read_at(&l->file, bytes, length, at, &got, e)) return false;
    if (got == 0) break;
    for (size_t i = 0; i < got; i++) {
      l->answer->records += bytes[i] == '\n' && content;
      content = bytes[i] != '\n' && (content || !strchr(" \t\r", bytes[i]));
    }
    at += got;
  }
  l->answer->records += content;
  return true;
}

static bool lines_look(struct look *l, struct error *e) {
  uint64_t end = l->size;
  if (l->follow && !file_lines_end(&l->source, &l->file, &end, e)) return false;
  if (l->ask->goal == POSITION_LATEST) l->answer->to = (int64_t)end;
  l->answer->counted = true;
  return lines_fit(l, e) && lines_count(l, e);
}

// ---- msgpack

struct values {
  uint8_t *bytes;
  size_t room, held, at; // `at`: the next value in `bytes`
  uint64_t base;         // offset of bytes[0]
};

// The next value's end as an offset; SPAN_SHORT: the file ends inside of it, or here.
static enum file_span values_next(struct look *l, struct values *v, uint64_t *end, struct error *e) {
  for (;;) {
    size_t length = 0;
    enum file_span span = v->at < v->held ? file_value_span(v->bytes + v->at, v->bytes + v->held, &length) : FILE_SPAN_SHORT;
    if (span == FILE_SPAN_WHOLE) v->at += length;
    *end = v->base + v->at;
    if (span != FILE_SPAN_SHORT) return span;
    // What is left moves to the front, and more comes behind it; a value that fills the room gets a larger one.
    memmove(v->bytes, v->bytes + v->at, v->held - v->at);
    v->base += v->at;
    v->held -= v->at;
    v->at = 0;
    if (v->held == v->room) v->bytes = memory_resize(v->bytes, v->room *= 2);
    size_t got;
    if (!file_read_at(&l->file, v->bytes + v->held, v->room - v->held, v->base + v->held, &got, e) || got == 0) return FILE_SPAN_SHORT;
    v->held += got;
  }
}

// Walks all values: finds the last end, counts between the positions, and notices when `to` falls into a value.
static bool values_walk(struct look *l, struct values *v, struct error *e) {
  uint64_t begin = 0, end = 0, to = (uint64_t)l->answer->to;
  enum file_span span;
  bool latest = l->ask->goal == POSITION_LATEST;
  while ((span = values_next(l, v, &end, e)) == FILE_SPAN_WHOLE) {
    if (!latest && to > begin && to < end) return is_inside(l, begin, end, e);
    begin = end;
    // To the very end the place is known only now, so what lies behind `from` is counted.
    l->answer->records += latest ? end > (uint64_t)l->ask->from : end > low_of(l) && end <= high_of(l);
  }
  if (error_is_set(e)) return false;
  l->answer->counted = span != FILE_SPAN_BROKEN || to <= begin;
  if (!l->answer->counted)
    snprintf(l->answer->why, sizeof l->answer->why, "byte %llu is no msgpack, and nothing behind it can be told apart",
             (unsigned long long)begin);
  bool whole = l->follow || begin == l->size;
  if (latest) l->answer->to = (int64_t)(whole ? begin : l->size);
  if (latest || to <= begin || span == FILE_SPAN_BROKEN || (to == l->size && !l->follow)) return true;
  return is_inside(l, begin, l->size, e);
}

static bool values_look(struct look *l, struct error *e) {
  struct values v = {.bytes = memory_get(VALUE_ROOM), .room = VALUE_ROOM};
  bool fits = (uint64_t)l->answer->to <= l->size ? values_walk(l, &v, e) : is_behind(l, "bytes", l->size, e);
  free(v.bytes);
  return fits;
}

// ---- a JSON document

static bool document_look(struct look *l, struct error *e) {
  uint64_t count;
  l->source.json = json_parser_new();
  l->source.records = job_text(l->ask->settings, "records", "");
  bool good = file_document_count(&l->source, &l->file, &count, e);
  json_parser_free(l->source.json);
  free(l->source.records);
  free(l->source.block);
  if (!good) return false;
  if (l->ask->goal == POSITION_LATEST) l->answer->to = (int64_t)count;
  if ((uint64_t)l->answer->to > count) return is_behind(l, "records", count, e);
  l->answer->records = (int64_t)(high_of(l) - low_of(l));
  l->answer->counted = true;
  return true;
}

// ---- the whole

static bool format_look(struct look *l, struct error *e) {
  char *format = job_text(l->ask->settings, "format", "ndjson");
  bool document = strcmp(format, "json") == 0, values = strcmp(format, "msgpack") == 0;
  free(format);
  return document ? document_look(l, e) : values ? values_look(l, e) : lines_look(l, e);
}

static bool cannot_look(const struct look *l, const char *why, struct error *e) {
  if (l->ask->goal != POSITION_LATEST) {
    snprintf(l->answer->why, sizeof l->answer->why, "%s", why);
    return true;
  }
  error_set(e, ERROR_OPERATOR, "position", "where \"%s\" ends cannot be told: %s", l->file.path, why);
  return false;
}

static bool file_is_another(const struct look *l) {
  char *now = file_identity(l->file.device, l->file.inode);
  bool another = l->ask->identity[0] != '\0' && strcmp(l->ask->identity, now) != 0;
  free(now);
  return another;
}

bool file_position_look(const struct position_ask *ask, struct position_answer *answer, struct error *e) {
  struct look l = {.ask = ask, .answer = answer, .follow = job_bool(ask->settings, "follow", false)};
  struct stat info;
  answer->to = ask->goal == POSITION_AT ? ask->at : 0; // the end is found on the way
  l.file = (struct file){.path = memory_text(ask->partition)};
  l.file.fd = open(ask->partition, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  bool good;
  if (l.file.fd < 0 || fstat(l.file.fd, &info) != 0) {
    good = cannot_look(&l, strerror(errno), e);
  } else if (!S_ISREG(info.st_mode)) {
    good = cannot_look(&l, "it is not a regular file", e);
  } else {
    l.size = (uint64_t)info.st_size;
    l.file.device = (uint64_t)info.st_dev;
    l.file.inode = (uint64_t)info.st_ino;
    answer->what = "records of the file";
    good = format_look(&l, e);
    if (good && file_is_another(&l)) {
      answer->counted = false;
      snprintf(answer->why, sizeof answer->why, "the file there is another one than the one that was read");
    }
  }
  file_close(&l.file);
  free(l.file.path);
  return good;
}
