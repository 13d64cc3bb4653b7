// A JSON document with records in it, taken as a whole: it must fit into memory, is parsed once, and gives its records one by one. The
// position is the number of the record, from 1; the witness is a hash of the record's msgpack.
//
// A document that cannot be parsed is one broken input at position 1, with its bytes as the witness.
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "workers/sources/file_bytes.h"
#include "workers/sources/file_formats.h"

enum { RECORDS_PER_TURN = 64, DOCUMENT_SECONDS = 300 };
#define DOCUMENT_MOST ((uint64_t)1 << 30)

// The whole file into the block.
static bool document_read(struct file_source *f, struct file *file, struct error *e) {
  uint64_t size;
  if (!file_open(f, file, e) || !file_size(file, &size, e)) return false;
  if (size > DOCUMENT_MOST) {
    error_set(e, ERROR_OPERATOR, "too-large", "\"%s\" has %llu bytes; a JSON document may have 1 GiB: use format ndjson", file->path,
              (unsigned long long)size);
    return false;
  }
  file_block_grow(f, (size_t)size + 1);
  return file_read_at(file, f->block, (size_t)size, 0, &f->held, e);
}

static bool document_broken(struct file_source *f, struct file *file, const struct error *why, struct error *e) {
  struct source_input input = {
      .stream = file->stream, .position = 1, .witness = source_witness(f->block, f->held), .time = f->time, .bytes = f->held};
  struct source_dead dead = {.code = why->code, .reason = why->text, .bytes = f->block, .length = f->held};
  return source_input_dead(&f->source, &input, &dead, e);
}

// Walks the open document: fn for each record, `why` NULL for a good one. False from fn ends the walk.
typedef bool document_visit(struct file_source *f, struct file *file, uint64_t position, const struct buffer *record,
                            const struct error *why, void *context, struct error *e);

static bool document_walk(struct file_source *f, struct file *file, document_visit *visit, void *context, struct error *e) {
  struct buffer record = {0};
  bool good = true;
  for (uint64_t position = 1; good; position++) {
    struct error why = {0};
    buffer_clear(&record);
    int got = json_records_next(f->json, &record, &why);
    if (got == 0) break;
    good = visit(f, file, position, &record, got < 0 ? &why : NULL, context, e);
  }
  buffer_free(&record);
  return good;
}

// Opens and walks. *opened false: the document is broken (why).
static bool document_visit_all(struct file_source *f, struct file *file, document_visit *visit, void *context, bool *opened,
                               struct error *why, struct error *e) {
  if (f->w) worker_busy_until(f->w, DOCUMENT_SECONDS, NULL);
  if (!document_read(f, file, e)) return false;
  // A byte order mark is no part of the document.
  size_t mark = f->held >= 3 && memcmp(f->block, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  *opened = json_records_open(f->json, f->block + mark, f->held - mark, f->records, why);
  if (!*opened) return true;
  bool good = document_walk(f, file, visit, context, e);
  json_records_close(f->json);
  return good;
}

static bool take_visit(struct file_source *f, struct file *file, uint64_t position, const struct buffer *record, const struct error *why,
                       void *context, struct error *e) {
  (void)context;
  if (position <= f->source.streams[file->stream].position) return true;
  if (position % RECORDS_PER_TURN == 0 && source_turn(&f->source)) return false;
  struct source_input input = {.stream = file->stream, .position = position, .time = f->time, .bytes = record->length};
  if (!why) {
    input.witness = source_witness(record->at, record->length);
    return file_value_input(f, &input, record->at, record->length, e);
  }
  size_t length;
  const char *text = json_record_text(f->json, &length);
  input.bytes = length;
  char *reason = memory_print("record %llu of the document: %s", (unsigned long long)position, why->text);
  struct source_dead dead = {.code = why->code, .reason = reason, .bytes = text, .length = length};
  bool good = source_input_dead(&f->source, &input, &dead, e);
  free(reason);
  return good;
}

bool file_document_take(struct file_source *f, struct file *file, struct error *e) {
  bool opened;
  struct error why = {0};
  if (!document_visit_all(f, file, take_visit, NULL, &opened, &why, e)) {
    if (error_is_set(e)) return false;
    return true; // a stop was asked
  }
  if (!opened && f->source.streams[file->stream].position == 0 && !document_broken(f, file, &why, e)) return false;
  file->state = FILE_DONE;
  file_close(file);
  json_parser_trim(f->json);
  return true;
}

static bool count_visit(struct file_source *f, struct file *file, uint64_t position, const struct buffer *record, const struct error *why,
                        void *context, struct error *e) {
  (void)f, (void)file, (void)record, (void)why, (void)e;
  *(uint64_t *)context = position;
  return true;
}

bool file_document_count(struct file_source *f, struct file *file, uint64_t *count, struct error *e) {
  bool opened;
  struct error why = {0};
  *count = 0;
  return document_visit_all(f, file, count_visit, count, &opened, &why, e);
}

struct wanted {
  uint64_t position, witness;
  bool same;
};

static bool verify_visit(struct file_source *f, struct file *file, uint64_t position, const struct buffer *record, const struct error *why,
                         void *context, struct error *e) {
  (void)f, (void)file, (void)e;
  struct wanted *wanted = context;
  if (position < wanted->position) return true;
  // A broken record has no witness.
  wanted->same = wanted->witness == 0 || (!why && source_witness(record->at, record->length) == wanted->witness);
  return false;
}

bool file_document_verify(struct file_source *f, struct file *file, uint64_t position, uint64_t witness, struct error *e) {
  if (position == 0) return true;
  struct wanted wanted = {.position = position, .witness = witness};
  struct error why = {0};
  bool opened;
  if (!document_visit_all(f, file, verify_visit, &wanted, &opened, &why, e) && error_is_set(e)) return false;
  if (!opened) wanted.same = position == 1 && (witness == 0 || source_witness(f->block, f->held) == witness);
  if (wanted.same) return true;
  char *found = memory_print("record %llu of \"%s\" is not the one that was delivered, or is gone: the document was rewritten",
                             (unsigned long long)position, file->path);
  file_choices(f, file, found, e);
  free(found);
  return false;
}
