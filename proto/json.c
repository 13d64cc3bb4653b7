// JSON for the rest of weir: the functions of json.h over the shim (parsing) and the scanner (where it broke).
//
// A document with many records is turned into msgpack as a whole, once; its records are then pieces of that. So a broken tail fails the
// document before its first record flows, and paths mean the same in JSON and in msgpack.
#include "proto/json.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "proto/json_piece.h"
#include "proto/json_scan.h"
#include "proto/json_shim.h"
#include "proto/limits.h"
#include "proto/msgpack.h"

struct json_parser {
  struct json_shim *shim;
  struct buffer scratch;              // one document's msgpack where the target is too small to write it in place
  struct buffer document;             // of json_records_open
  const uint8_t *record, *record_end; // what is still to be given of it
  uint32_t records_left;
  uint32_t records_given;      // or refused
  const char *text, *text_end; // of the document, where the caller keeps it
  struct msgpack_path *path;   // to its records; NULL: the document itself
  bool in_array;               // each element is a record
  const char *piece;           // of the text: record number `pieces`; NULL: not looked for yet
  uint32_t pieces;
  uint64_t odd;
};

enum { TRIM_ABOVE = 64 << 10 };

struct json_parser *json_parser_new(void) {
  struct json_parser *p = memory_get(sizeof *p);
  p->shim = json_shim_new();
  return p;
}

void json_parser_free(struct json_parser *p) {
  if (!p) return;
  json_shim_free(p->shim);
  json_records_close(p);
  buffer_free(&p->scratch);
  free(p);
}

void json_parser_trim(struct json_parser *p) {
  size_t shim = json_shim_memory(p->shim), scratch = p->scratch.room, document = p->records_left == 0 ? p->document.room : 0;
  if (shim > TRIM_ABOVE) {
    json_shim_free(p->shim);
    p->shim = json_shim_new();
  }
  if (scratch > TRIM_ABOVE) buffer_free(&p->scratch);
  if (document > TRIM_ABOVE) json_records_close(p);
  // The C library keeps what is freed for the next one who asks; a process that waits for its next poll has nobody asking.
  if (shim + scratch + document > TRIM_ABOVE) malloc_trim(0);
}

uint64_t json_parser_odd_numbers(const struct json_parser *p) {
  return p->odd;
}

static bool too_large(size_t size, size_t limit, struct error *e) {
  error_set(e, ERROR_DATA, "too-large", "%zu bytes, at most %zu fit", size, limit);
  return false;
}

// Says where and why the document was refused. The fast parser knows only that it was.
static bool report_flaw(const char *text, size_t length, unsigned depth, struct error *e) {
  struct json_flaw flaw;
  if (length > JSON_SHIM_LONGEST) return too_large(length, JSON_SHIM_LONGEST, e);
  if (json_scan(text, length, depth, &flaw))
    error_set(e, ERROR_FAULT, "json", "the two readings of a JSON document of %zu bytes disagree", length);
  else
    error_set(e, ERROR_DATA, flaw.too_deep ? "too-deep" : "json", "broken JSON: %s at byte %zu", flaw.what, flaw.offset);
  return false;
}

static const char *behind_mark(const char *text, size_t *length) {
  if (*length < 3 || memcmp(text, "\xef\xbb\xbf", 3) != 0) return text;
  *length -= 3;
  return text + 3;
}

// The document's msgpack at the end of `out`, whose length stays.
static bool convert(struct json_parser *p, const char *text, size_t length, unsigned depth, struct buffer *out, size_t *written,
                    struct error *e) {
  size_t bare_length = length, most;
  const char *bare = behind_mark(text, &bare_length);
  uint64_t odd = 0;
  if (!json_shim_index(p->shim, bare, bare_length, &most)) return report_flaw(text, length, depth, e);
  buffer_reserve(out, most);
  if (json_shim_convert(p->shim, out->at + out->length, depth, written, &odd) != JSON_SHIM_DONE) return report_flaw(text, length, depth, e);
  p->odd += odd;
  return true;
}

bool json_to_msgpack(struct json_parser *p, const char *text, size_t length, struct buffer *out, struct error *e) {
  size_t written;
  if (!convert(p, text, length, LIMIT_DEPTH, out, &written, e)) return false;
  if (written > LIMIT_RECORD) return too_large(written, LIMIT_RECORD, e);
  out->length += written;
  return true;
}

bool json_to_msgpack_at(struct json_parser *p, const char *text, size_t length, struct msgpack_writer *out, struct error *e) {
  size_t bare_length = length, most, written;
  const char *bare = behind_mark(text, &bare_length);
  uint64_t odd = 0;
  if (!json_shim_index(p->shim, bare, bare_length, &most)) return report_flaw(text, length, LIMIT_DEPTH, e);
  size_t room = out->overflow ? 0 : (size_t)(out->end - out->at);
  uint8_t *at = out->at;
  if (room < most) {
    buffer_reserve(&p->scratch, most);
    at = p->scratch.at;
  }
  if (json_shim_convert(p->shim, at, LIMIT_DEPTH, &written, &odd) != JSON_SHIM_DONE) return report_flaw(text, length, LIMIT_DEPTH, e);
  size_t limit = room < LIMIT_RECORD ? room : LIMIT_RECORD;
  if (written > limit) return too_large(written, limit, e);
  if (at != out->at) memcpy(out->at, at, written);
  out->at += written;
  p->odd += odd;
  return true;
}

// Where in the document the value that `path` names begins; NULL when it is absent.
static const uint8_t *find_value(const struct json_parser *p, const struct msgpack_path *path) {
  const uint8_t *at = p->document.at;
  if (p->document.length == 0 || !path) return p->document.length == 0 ? NULL : at;
  return msgpack_path_start(path, at, at + p->document.length, &at) ? at : NULL;
}

// Stands before the first record: each element of an array, or the one object.
static bool start_records(struct json_parser *p, const char *path, struct error *e) {
  struct msgpack_value value;
  if (*path != '\0' && !(p->path = msgpack_path_new(path, e))) return false;
  const uint8_t *at = find_value(p, p->path);
  if (!at) {
    error_set(e, ERROR_DATA, "no-records", "the document has nothing at \"%s\", where its records should be", path);
    return false;
  }
  p->record = at;
  p->record_end = p->document.at + p->document.length;
  if (!msgpack_read(&at, p->record_end, &value) || (value.type != MSGPACK_ARRAY && value.type != MSGPACK_MAP)) {
    error_set(e, ERROR_DATA, "no-records", "what the document has at \"%s\" is neither an array nor an object", path);
    return false;
  }
  p->records_left = 1;
  p->in_array = value.type == MSGPACK_ARRAY;
  if (!p->in_array) return true;
  p->records_left = value.length;
  p->record = at;
  return true;
}

static void records_forget(struct json_parser *p) {
  msgpack_path_free(p->path);
  p->path = NULL;
  p->text = p->text_end = p->piece = NULL;
  p->record = p->record_end = NULL;
  p->document.length = 0;
  p->records_left = p->records_given = p->pieces = 0;
}

bool json_records_open(struct json_parser *p, const char *text, size_t length, const char *path, struct error *e) {
  size_t written;
  records_forget(p);
  if (!convert(p, text, length, JSON_SCAN_DEPTH_MOST, &p->document, &written, e)) return false;
  p->document.length = written;
  p->text_end = text + length;
  p->text = behind_mark(text, &length);
  return start_records(p, path, e);
}

int json_records_next(struct json_parser *p, struct buffer *out, struct error *e) {
  if (p->records_left == 0) return 0;
  const uint8_t *at = p->record, *end = at;
  // One walk tells the end; only where it goes too deep a second one finds the place to go on from.
  bool deep = !msgpack_skip(&end, p->record_end);
  if (deep && !msgpack_skip_deep(&end, p->record_end, MSGPACK_DEPTH_MOST)) {
    p->records_left = 0;
    error_set(e, ERROR_FAULT, "json", "the document's own msgpack is broken");
    return -1;
  }
  p->record = end;
  p->records_left--;
  p->records_given++;
  if (deep) {
    error_set(e, ERROR_DATA, "too-deep", "a record is nested more than %d deep", LIMIT_DEPTH);
    return -1;
  }
  if (end - at > LIMIT_RECORD) return too_large((size_t)(end - at), LIMIT_RECORD, e) ? 1 : -1;
  buffer_add(out, at, (size_t)(end - at));
  return 1;
}

const char *json_record_text(struct json_parser *p, size_t *length) {
  *length = 0;
  if (p->records_given == 0) return "";
  if (!p->piece) {
    struct json_parser *keys = json_parser_new();
    p->piece = json_piece_find(p->text, p->text_end, p->path, keys);
    json_parser_free(keys);
    if (!p->piece) return "";
    if (p->in_array) p->piece = json_piece_first(p->piece, p->text_end);
    p->pieces = 1;
  }
  for (; p->pieces < p->records_given; p->pieces++) p->piece = json_piece_next(p->piece, p->text_end);
  *length = (size_t)(json_piece_end(p->piece, p->text_end) - p->piece);
  return p->piece;
}

bool json_document_value(struct json_parser *p, const char *path, struct buffer *out) {
  struct error ignored = {0};
  struct msgpack_path *compiled = *path == '\0' ? NULL : msgpack_path_new(path, &ignored);
  if (*path != '\0' && !compiled) return false;
  const uint8_t *at = find_value(p, compiled), *end = at;
  msgpack_path_free(compiled);
  if (!at || !msgpack_skip_deep(&end, p->document.at + p->document.length, MSGPACK_DEPTH_MOST)) return false;
  buffer_add(out, at, (size_t)(end - at));
  return true;
}

void json_records_close(struct json_parser *p) {
  records_forget(p);
  buffer_free(&p->document);
}
