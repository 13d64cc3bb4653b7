// Pieces of a JSON text: one pass over its bytes, no recursion, so that depth costs nothing.
#include "proto/json_piece.h"

#include <string.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "proto/json.h"
#include "proto/msgpack.h"

const char *json_piece_begin(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
  return at;
}

// Behind the string whose quote stands at `at`.
static const char *string_end(const char *at, const char *end) {
  for (at++; at < end && *at != '"'; at++)
    if (*at == '\\') at++;
  return at < end ? at + 1 : end;
}

static bool ends_scalar(char c) {
  return c == ',' || c == ':' || c == ']' || c == '}' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

const char *json_piece_end(const char *at, const char *end) {
  size_t open = 0;
  while (at < end) {
    switch (*at) {
    case '"': at = string_end(at, end); break;
    case '{':
    case '[':
      open++;
      at++;
      break;
    case '}':
    case ']':
      open--;
      at++;
      break;
    case ',':
    case ':':
    case ' ':
    case '\t':
    case '\n':
    case '\r': at++; continue; // no end of anything
    default:
      for (at++; at < end && !ends_scalar(*at);) at++;
    }
    if (open == 0) break;
  }
  return at;
}

const char *json_piece_first(const char *at, const char *end) {
  return json_piece_begin(at + 1, end);
}

const char *json_piece_next(const char *at, const char *end) {
  at = json_piece_begin(json_piece_end(at, end), end);
  return at < end && *at == ',' ? json_piece_begin(at + 1, end) : at;
}

static const char *element_find(const char *at, const char *end, uint32_t index) {
  if (*at != '[') return NULL;
  at = json_piece_first(at, end);
  for (uint32_t i = 0; i < index && at < end && *at != ']'; i++) at = json_piece_next(at, end);
  return at < end && *at != ']' ? at : NULL;
}

// Whether the key written at [at, end), quotes included, is `key`.
static bool is_key(const char *at, const char *end, const char *key, uint32_t length, struct json_parser *keys) {
  size_t written = (size_t)(end - at) - 2;
  if (!memchr(at, '\\', written + 2)) return written == length && memcmp(at + 1, key, length) == 0;
  struct buffer out = {0};
  struct error ignored = {0};
  struct msgpack_value value;
  bool same = false;
  if (json_to_msgpack(keys, at, written + 2, &out, &ignored)) {
    const uint8_t *text = out.at;
    same = msgpack_read(&text, out.at + out.length, &value) && value.length == length && memcmp(value.bytes, key, length) == 0;
  }
  buffer_free(&out);
  return same;
}

static const char *key_find(const char *at, const char *end, const char *key, uint32_t length, struct json_parser *keys) {
  const char *found = NULL;
  if (*at != '{') return NULL;
  for (at = json_piece_first(at, end); at < end && *at == '"';) {
    const char *close = string_end(at, end);
    const char *value = json_piece_begin(json_piece_begin(close, end) + 1, end);
    if (is_key(at, close, key, length, keys)) found = value;
    at = json_piece_next(value, end);
  }
  return found;
}

const char *json_piece_find(const char *at, const char *end, const struct msgpack_path *path, struct json_parser *keys) {
  at = json_piece_begin(at, end);
  uint32_t steps = path ? msgpack_path_steps(path) : 0;
  for (uint32_t i = 0; i < steps && at && at < end; i++) {
    const char *key;
    uint32_t number;
    if (msgpack_path_step(path, i, &key, &number))
      at = key_find(at, end, key, number, keys);
    else
      at = element_find(at, end, number);
  }
  return at && at < end ? at : NULL;
}
