// Lines of JSON. Blank lines are no inputs; a carriage return before the newline belongs to the newline. A line over max_record is skipped
// to its newline and becomes a dead letter with its first bytes; it never has to fit into memory.
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/msgpack.h"
#include "workers/sources/file_bytes.h"
#include "workers/sources/file_formats.h"

enum { LINES_PER_TURN = 64 };

static bool dead(struct file_source *f, const struct source_input *input, const char *code, const char *reason, const char *text,
                 size_t length, struct error *e) {
  struct source_dead dead = {.code = code, .reason = reason, .bytes = text, .length = length};
  return source_input_dead(&f->source, input, &dead, e);
}

bool file_json_input(struct file_source *f, const struct source_input *input, const char *text, size_t length, struct error *e) {
  struct source *s = &f->source;
  struct error why = {0};
  size_t most = source_body_max(s), room = length + length / 4 + 64;
  // msgpack is shorter than JSON but for short numbers with a point ("0.5," becomes 9 bytes), so the first room nearly always does.
  for (;; room *= 4) {
    if (room > most) room = most;
    uint8_t *body = source_part_begin(s, (uint32_t)room, e);
    if (!body) return false;
    struct msgpack_writer out = {.at = body, .end = body + room};
    bool good = json_to_msgpack_at(f->json, text, length, &out, &why);
    if (good && file_is_map(*body)) {
      source_part_end(s, input, (uint32_t)(out.at - body));
      return source_input_end(s, input, e);
    }
    source_part_abort(s);
    if (good) return dead(f, input, "not-an-object", "a record is a JSON object; this is another value", text, length, e);
    if (strcmp(why.code, "too-large") != 0 || room == most) return dead(f, input, why.code, why.text, text, length, e);
  }
}

// Blank: nothing but spaces and tabs.
static bool is_blank(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (text[i] != ' ' && text[i] != '\t') return false;
  return true;
}

// One line without its newline; `span` are its bytes with it, in front of `position`.
static bool line_take(struct file_source *f, struct file *file, const char *text, size_t length, size_t span, uint64_t position,
                      struct error *e) {
  if (length > 0 && text[length - 1] == '\r') length--;
  // The witness covers the line as it stands; a byte order mark at the start of the file is no part of the document.
  const char *whole = text;
  if (position == span && length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
    text += 3;
    length -= 3;
  }
  if (is_blank(text, length)) return true;
  struct source_input input = {
      .stream = file->stream, .position = position, .witness = source_witness(whole, span), .time = f->time, .bytes = span};
  worker_hand(f->w, input.stream, input.position);
  if (worker_is_set_aside(f->w, input.stream, input.position))
    return dead(f, &input, "poison", "this input killed the worker that took it, again and again", text, length, e);
  if (length > f->max_record) return dead(f, &input, "too-large", "the line is longer than max_record", text, length, e);
  return file_json_input(f, &input, text, length, e);
}

static void giant_begin(struct file *file, const char *bytes, size_t length) {
  file->giant = true;
  file->giant_from = file->at;
  buffer_clear(&file->giant_head);
  buffer_add(&file->giant_head, bytes, length < LIMIT_DEAD_DATA ? length : LIMIT_DEAD_DATA);
  file->at += length;
}

// Goes on behind the start of a line over the limit: to its newline, or over all that is there.
static bool giant_take(struct file_source *f, struct file *file, bool last, struct error *e) {
  const char *newline = memchr(f->block, '\n', f->held);
  size_t span = newline ? (size_t)(newline - f->block) + 1 : f->held;
  file->at += span;
  if (!newline && !(last && f->block_end)) return true;
  struct source_input input = {.stream = file->stream, .position = file->at, .time = f->time, .bytes = file->at - file->giant_from};
  // The witness covers what of the line is in the block: any number of bytes in front of the position will do.
  if (span > 0) input.witness = source_witness(f->block, span);
  worker_hand(f->w, input.stream, input.position);
  char *reason = memory_print("the line has %llu bytes, more than max_record (%llu)", (unsigned long long)input.bytes,
                              (unsigned long long)f->max_record);
  struct source_dead dead = {
      .code = "too-large", .reason = reason, .bytes = file->giant_head.at, .length = file->giant_head.length, .cut = true};
  bool good = source_input_dead(&f->source, &input, &dead, e);
  free(reason);
  buffer_free(&file->giant_head);
  file->giant = false;
  return good;
}

bool file_lines_take(struct file_source *f, struct file *file, bool last, struct error *e) {
  if (file->giant) return giant_take(f, file, last, e);
  const char *at = f->block, *end = f->block + f->held;
  uint64_t base = file->at;
  for (unsigned taken = 1; at < end; taken++) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    if (!newline) break;
    const char *next = newline + 1;
    if (!line_take(f, file, at, (size_t)(newline - at), (size_t)(next - at), base + (uint64_t)(next - f->block), e)) return false;
    at = next;
    file->at = base + (uint64_t)(at - f->block);
    if (taken % LINES_PER_TURN == 0 && source_turn(&f->source)) return true;
  }
  size_t rest = (size_t)(end - at);
  if (rest > f->max_record) {
    giant_begin(file, at, rest);
  } else if (rest > 0 && last && f->block_end) {
    file->at += rest;
    return line_take(f, file, at, rest, rest, file->at, e);
  } else if (rest == f->block_room) {
    file_block_grow(f, f->block_room * 2); // one line fills the whole block
  }
  return true;
}
