// A stream of msgpack values, one behind the other: each map is a record. Bytes that are no msgpack end the reading with an error, because
// nothing behind them can be told apart any more.
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/msgpack.h"
#include "workers/common/choices.h"
#include "workers/sources/file_bytes.h"
#include "workers/sources/file_formats.h"

enum { VALUES_PER_TURN = 64 };

// What one head says: bytes of the head, of the payload behind it, and values nested in it. False: not a head of msgpack (0xc1).
struct head {
  unsigned head;
  uint64_t payload, nested;
};

static bool head_of(uint8_t byte, unsigned *count_bytes, struct head *h) {
  static const uint8_t plain[] = {0, 0, 0, 0}; // nil, (never used), false, true
  *count_bytes = 0;
  *h = (struct head){.head = 1};
  if (byte <= 0x7f || byte >= 0xe0) return true;
  if (byte <= 0x8f)
    h->nested = 2u * (byte & 0x0f);
  else if (byte <= 0x9f)
    h->nested = byte & 0x0f;
  else if (byte <= 0xbf)
    h->payload = byte & 0x1f;
  else if (byte <= 0xc3)
    h->payload = plain[byte - 0xc0];
  else if (byte <= 0xc6)
    *count_bytes = 1u << (byte - 0xc4); // bin
  else if (byte <= 0xc9)
    *count_bytes = 1u << (byte - 0xc7); // ext
  else if (byte <= 0xcb)
    h->payload = byte == 0xca ? 4 : 8; // float
  else if (byte <= 0xd3)
    h->payload = 1u << ((byte - 0xcc) % 4);
  else if (byte <= 0xd8)
    h->payload = 1 + (1u << (byte - 0xd4)); // fixext: type and bytes
  else if (byte <= 0xdb)
    *count_bytes = 1u << (byte - 0xd9); // str
  else
    *count_bytes = byte == 0xdc || byte == 0xde ? 2 : 4; // array, map
  return byte != 0xc1;
}

// Reads the head at `at`. FILE_SPAN_SHORT: it is not whole yet.
static enum file_span head_read(const uint8_t *at, const uint8_t *end, struct head *h) {
  unsigned counts;
  if (!head_of(*at, &counts, h)) return FILE_SPAN_BROKEN;
  if ((size_t)(end - at) < 1 + counts) return FILE_SPAN_SHORT;
  uint64_t count = 0;
  for (unsigned i = 1; i <= counts; i++) count = count << 8 | at[i];
  h->head += counts;
  if (counts == 0) return FILE_SPAN_WHOLE;
  if (*at >= 0xdc)
    h->nested = *at >= 0xde ? 2 * count : count;
  else
    h->payload = *at >= 0xc7 && *at <= 0xc9 ? count + 1 : count;
  return FILE_SPAN_WHOLE;
}

// The length of the one value at `at`. No recursion: `open` values are still to come, however they nest.
enum file_span file_value_span(const uint8_t *at, const uint8_t *end, size_t *length) {
  const uint8_t *from = at;
  for (uint64_t open = 1; open > 0; open--) {
    struct head h;
    if (at == end) return FILE_SPAN_SHORT;
    enum file_span result = head_read(at, end, &h);
    if (result != FILE_SPAN_WHOLE) return result;
    if ((uint64_t)(end - at) < h.head + h.payload) return FILE_SPAN_SHORT;
    at += h.head + h.payload;
    open += h.nested;
  }
  *length = (size_t)(at - from);
  return FILE_SPAN_WHOLE;
}

static bool dead(struct file_source *f, const struct source_input *input, const char *code, const char *reason, const uint8_t *at,
                 size_t length, struct error *e) {
  struct source_dead dead = {.code = code, .reason = reason, .bytes = at, .length = length};
  return source_input_dead(&f->source, input, &dead, e);
}

bool file_value_input(struct file_source *f, const struct source_input *input, const uint8_t *at, size_t length, struct error *e) {
  worker_hand(f->w, input->stream, input->position);
  if (worker_is_set_aside(f->w, input->stream, input->position))
    return dead(f, input, "poison", "this input killed the worker that took it, again and again", at, length, e);
  if (!file_is_map(*at)) return dead(f, input, "not-a-map", "a record is a map; this is another value", at, length, e);
  if (!msgpack_valid(at, at + length))
    return dead(f, input, "msgpack", "a text in it is not UTF-8, a key is no text, or it nests too deep", at, length, e);
  if (length > source_body_max(&f->source)) {
    char *reason = memory_print("a record of %zu bytes is more than a quarter of the ring (setting ring)", length);
    bool good = dead(f, input, "too-large", reason, at, length, e);
    free(reason);
    return good;
  }
  uint8_t *body = source_part_begin(&f->source, (uint32_t)length, e);
  if (!body) return false;
  memcpy(body, at, length);
  source_part_end(&f->source, input, (uint32_t)length);
  return source_input_end(&f->source, input, e);
}

static bool broken(const struct file_source *f, const struct file *file, const char *what, struct error *e) {
  char *set = choice_positions(job_root(&f->w->job), NULL), *partition = choice_quote(file->path);
  error_set(e, ERROR_OPERATOR, "msgpack",
            "\"%s\": %s at byte %llu; nothing behind it can be told apart. Choices: repair the file; or skip to a later byte with `%s "
            "--source %s --partition %s --to BYTE`",
            file->path, what, (unsigned long long)file->at, set, f->w->source, partition);
  free(set);
  free(partition);
  return false;
}

// What is left at the end of the block is part of a value.
static bool rest_take(struct file_source *f, struct file *file, const uint8_t *at, size_t rest, bool last, struct error *e) {
  if (rest > f->max_record) return broken(f, file, "a value longer than max_record", e);
  if (last && f->block_end && rest > 0) {
    file->at += rest;
    struct source_input input = {
        .stream = file->stream, .position = file->at, .witness = source_witness(at, rest), .time = f->time, .bytes = rest};
    return dead(f, &input, "msgpack", "the file ends inside this value", at, rest, e);
  }
  if (rest == f->block_room) file_block_grow(f, f->block_room * 2);
  return true;
}

bool file_values_take(struct file_source *f, struct file *file, bool last, struct error *e) {
  const uint8_t *at = (const uint8_t *)f->block, *end = at + f->held;
  for (unsigned taken = 1; at < end; taken++) {
    size_t length = 0;
    enum file_span result = file_value_span(at, end, &length);
    if (result == FILE_SPAN_BROKEN) return broken(f, file, "no msgpack", e);
    if (result == FILE_SPAN_SHORT) break;
    file->at += length;
    struct source_input input = {
        .stream = file->stream, .position = file->at, .witness = source_witness(at, length), .time = f->time, .bytes = length};
    if (!file_value_input(f, &input, at, length, e)) return false;
    at += length;
    if (taken % VALUES_PER_TURN == 0 && source_turn(&f->source)) return true;
  }
  return rest_take(f, file, at, (size_t)(end - at), last, e);
}
