// A table out of a file: lines of JSON, one JSON document, or msgpack values one behind the other.
//
// The file is read in blocks and may be changed by others meanwhile, so nothing is mapped. A document must fit into memory and is bounded
// by max_document; a line or value by LIMIT_RECORD.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/limits.h"
#include "workers/lookups/lookup.h"

enum { BLOCK = 1 << 18, DOCUMENT_SECONDS = 300 };

struct reading {
  struct lookup_load *l;
  const char *path;
  int fd;
  struct buffer held; // bytes not taken yet, JSON_PADDING readable ones behind
  bool end;
  struct json_parser *json;
  struct buffer record;
  uint64_t at; // of held, in the file
};

static bool file_failed(const struct reading *r, const char *what, struct error *e) {
  error_set(e, ERROR_OUTAGE, "io", "cannot %s \"%s\": %s", what, r->path, strerror(errno));
  return false;
}

static bool file_open(struct reading *r, struct error *e) {
  struct stat info;
  r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (r->fd < 0 || fstat(r->fd, &info) != 0) return file_failed(r, "open", e);
  if (S_ISREG(info.st_mode)) return true;
  error_set(e, ERROR_OUTAGE, "io", "\"%s\" is no file", r->path);
  return false;
}

// One more block behind what is held.
static bool fill(struct reading *r, struct error *e) {
  buffer_reserve(&r->held, BLOCK + JSON_PADDING);
  ssize_t got;
  do got = read(r->fd, r->held.at + r->held.length, BLOCK);
  while (got < 0 && errno == EINTR);
  if (got < 0) return file_failed(r, "read", e);
  r->held.length += (size_t)got;
  r->end = got == 0;
  return true;
}

static void take(struct reading *r, size_t length) {
  memmove(r->held.at, r->held.at + length, r->held.length - length);
  r->held.length -= length;
  r->at += length;
}

static enum lookup_outcome row(struct reading *r, const uint8_t *at, const uint8_t *end, struct error *e) {
  if (lookup_build_row(r->l->build, at, end, e)) return LOOKUP_LOAD_DONE;
  return error_is_set(e) ? LOOKUP_LOAD_FAILED : LOOKUP_LOAD_STOPPED;
}

static bool too_long(const struct reading *r, struct error *e) {
  if (r->held.length <= LIMIT_RECORD) return false;
  error_set(e, ERROR_DATA, "too-large", "row %llu is longer than %d bytes", (unsigned long long)r->l->build->rows + 1, LIMIT_RECORD);
  return true;
}

// ---- lines

static bool is_blank(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (!strchr(" \t\r\n", text[i]) || text[i] == '\0') return false;
  return true;
}

static enum lookup_outcome line_take(struct reading *r, const char *text, size_t length, struct error *e) {
  if (is_blank(text, length)) return LOOKUP_LOAD_DONE;
  buffer_clear(&r->record);
  if (json_to_msgpack(r->json, text, length, &r->record, e)) return row(r, r->record.at, r->record.at + r->record.length, e);
  error_add(e, "row %llu", (unsigned long long)r->l->build->rows + 1);
  return LOOKUP_LOAD_FAILED;
}

// The complete lines that are held; at the end of the file the rest is one.
static enum lookup_outcome lines_take(struct reading *r, struct error *e) {
  enum lookup_outcome outcome = LOOKUP_LOAD_DONE;
  size_t taken = 0;
  const char *held = (const char *)r->held.at;
  while (outcome == LOOKUP_LOAD_DONE && taken < r->held.length) {
    const char *newline = memchr(held + taken, '\n', r->held.length - taken);
    if (!newline && !r->end) break;
    size_t length = newline ? (size_t)(newline - held) - taken : r->held.length - taken;
    outcome = line_take(r, held + taken, length, e);
    taken += length + (newline != NULL);
  }
  take(r, taken);
  return outcome;
}

// ---- values

static enum lookup_outcome values_take(struct reading *r, struct error *e) {
  enum lookup_outcome outcome = LOOKUP_LOAD_DONE;
  const uint8_t *from = r->held.at, *at = from, *end = from + r->held.length;
  while (outcome == LOOKUP_LOAD_DONE && at < end) {
    const uint8_t *next = at;
    if (!msgpack_skip(&next, end)) break; // broken, or its rest is still to be read
    if (!msgpack_valid(at, next)) {
      error_set(e, ERROR_DATA, "msgpack", "row %llu: a text in it is not UTF-8, a key is no text, or it nests too deep",
                (unsigned long long)r->l->build->rows + 1);
      outcome = LOOKUP_LOAD_FAILED;
      break;
    }
    outcome = row(r, at, next, e);
    at = next;
  }
  take(r, (size_t)(at - from));
  if (outcome != LOOKUP_LOAD_DONE || !r->end || r->held.length == 0) return outcome;
  error_set(e, ERROR_DATA, "msgpack", "no msgpack, or half a value, at byte %llu", (unsigned long long)r->at);
  return LOOKUP_LOAD_FAILED;
}

// ---- a document

static bool document_read(struct reading *r, uint64_t most, struct error *e) {
  while (!r->end) {
    if (!fill(r, e)) return false;
    if (r->held.length <= most) continue;
    error_set(e, ERROR_DATA, "too-large", "\"%s\" is larger than %llu bytes (setting max_document)", r->path, (unsigned long long)most);
    return false;
  }
  return true;
}

static enum lookup_outcome document_take(struct reading *r, struct error *e) {
  char *records = job_text(r->l->settings, "records", "");
  enum lookup_outcome outcome = LOOKUP_LOAD_FAILED;
  r->l->busy(r->l->context, DOCUMENT_SECONDS, NULL);
  if (document_read(r, (uint64_t)job_int(r->l->settings, "max_document", 64 << 20), e)) {
    // A byte order mark is no part of the document.
    size_t mark = r->held.length >= 3 && memcmp(r->held.at, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    if (json_records_open(r->json, (const char *)r->held.at + mark, r->held.length - mark, records, e)) {
      outcome = lookup_take_records(r->l, r->json, e);
      json_records_close(r->json);
    }
  }
  free(records);
  return outcome;
}

// ---- the whole

static enum lookup_outcome stream_take(struct reading *r, enum lookup_outcome (*taken)(struct reading *, struct error *), struct error *e) {
  enum lookup_outcome outcome = LOOKUP_LOAD_DONE;
  while (outcome == LOOKUP_LOAD_DONE && !r->end) {
    if (!fill(r, e)) return LOOKUP_LOAD_FAILED;
    outcome = taken(r, e);
    if (outcome == LOOKUP_LOAD_DONE && too_long(r, e)) outcome = LOOKUP_LOAD_FAILED;
    if (outcome == LOOKUP_LOAD_DONE && !r->l->turn(r->l->context)) outcome = LOOKUP_LOAD_STOPPED;
  }
  return outcome;
}

enum lookup_outcome lookup_file_load(struct lookup_load *l, struct error *e) {
  char *path = job_text(l->settings, "path", ""), *format = job_text(l->settings, "format", "ndjson");
  struct reading r = {.l = l, .path = path, .fd = -1, .json = json_parser_new()};
  enum lookup_outcome outcome = LOOKUP_LOAD_FAILED;
  if (file_open(&r, e)) {
    if (strcmp(format, "json") == 0)
      outcome = document_take(&r, e);
    else
      outcome = stream_take(&r, strcmp(format, "msgpack") == 0 ? values_take : lines_take, e);
    if (outcome == LOOKUP_LOAD_FAILED) error_add(e, "reading \"%s\"", path);
  }
  if (r.fd >= 0) close(r.fd);
  buffer_free(&r.held);
  buffer_free(&r.record);
  json_parser_free(r.json);
  free(format);
  free(path);
  return outcome;
}
