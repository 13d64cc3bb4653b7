// Any bytes as msgpack: reading, stepping over, checking, finding and printing never leave the bytes, and agree with each other.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/dead.h"
#include "proto/error.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/msgpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
  if (!holds) abort();
}

// Walks the value head by head; what stands between `start` and `end` must be exactly one value.
static void walk(const uint8_t *start, const uint8_t *end) {
  const uint8_t *at = start;
  uint64_t left = 1;
  struct msgpack_value value;
  while (left > 0) {
    left--;
    must(msgpack_read(&at, end, &value));
    if (value.type == MSGPACK_ARRAY) left += value.length;
    if (value.type == MSGPACK_MAP) left += 2 * (uint64_t)value.length;
    if (value.type == MSGPACK_TEXT || value.type == MSGPACK_BYTES || value.type == MSGPACK_EXT)
      must(value.bytes >= start && value.bytes + value.length <= end);
  }
  must(at == end);
}

static void check_json(const uint8_t *data, const uint8_t *end, bool valid) {
  struct buffer json = {0}, again = {0};
  struct error e = {0};
  const uint8_t *at = data;
  if (msgpack_to_json(&at, end, &json)) {
    // Whatever the texts and keys were, what comes out is JSON.
    size_t length = json.length;
    buffer_reserve(&json, JSON_PADDING);
    struct json_parser *parser = json_parser_new();
    must(json_to_msgpack(parser, (const char *)json.at, length, &again, &e));
    json_parser_free(parser);
  } else {
    must(!valid && at == data && json.length == 0);
  }
  buffer_free(&json);
  buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  // A copy of exactly this size, so that one byte too far is seen.
  uint8_t *copy = memory_get(size);
  if (size > 0) memcpy(copy, data, size);
  const uint8_t *at = copy, *end = copy + size, *found, *found_end;
  bool skipped = msgpack_skip(&at, end);
  if (skipped) walk(copy, at);
  bool valid = msgpack_valid(copy, end);
  if (valid) must(skipped && at == end);
  check_json(copy, end, valid);
  if (msgpack_find(copy, end, "a", 1, &found, &found_end)) must(found >= copy && found < found_end && found_end <= end);
  struct error e = {0};
  struct msgpack_path *path = msgpack_path_new("a[1].b", &e);
  if (msgpack_path_find(path, copy, end, &found, &found_end)) must(found >= copy && found < found_end && found_end <= end);
  msgpack_path_free(path);
  struct dead_letter d;
  if (dead_read(copy, end, &d)) must(d.data_length <= size && d.reason_length <= size && d.constraint_length <= size);
  // The same bytes as a path: refused or walked, never a crash.
  char text[LIMIT_PATH + 16] = {0};
  memcpy(text, copy, size < sizeof text - 1 ? size : sizeof text - 1);
  path = msgpack_path_new(text, &e);
  if (path) (void)msgpack_path_find(path, copy, end, &found, &found_end);
  msgpack_path_free(path);
  free(copy);
  return 0;
}
