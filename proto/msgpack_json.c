// msgpack to JSON text: what the SQL stage shows of nested values, what the file sink writes, what `weir dlq show` prints.
//
// Recursion is bounded by LIMIT_DEPTH. Bytes become base64 text, times ISO-8601 text, what JSON cannot say (NaN, infinities) null. Text
// that is not UTF-8 gets U+FFFD for each broken byte, because the result must be JSON whatever an encoder has put into the record.
#include <math.h>

#include "proto/buffer.h"
#include "proto/clock.h"
#include "proto/json_shim.h"
#include "proto/limits.h"
#include "proto/msgpack.h"
#include "proto/utf8.h"

static void put_escape(struct buffer *out, uint8_t byte) {
  static const char short_forms[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
  buffer_byte(out, '\\');
  if (byte == '"' || byte == '\\') {
    buffer_byte(out, byte);
  } else if (byte < sizeof short_forms && short_forms[byte] != 0) {
    buffer_byte(out, (uint8_t)short_forms[byte]);
  } else {
    buffer_print(out, "u%04x", byte);
  }
}

static void put_text(struct buffer *out, const uint8_t *text, size_t length) {
  buffer_byte(out, '"');
  size_t from = 0, at = 0;
  while (at < length) {
    uint8_t byte = text[at];
    size_t step = byte < 0x80 ? 1 : utf8_step(text + at, length - at);
    if (step > 0 && byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7f) {
      at += step;
      continue;
    }
    buffer_add(out, text + from, at - from);
    if (step == 0)
      buffer_text(out, "\\ufffd");
    else
      put_escape(out, byte);
    from = ++at;
  }
  buffer_add(out, text + from, length - from);
  buffer_byte(out, '"');
}

static void put_base64(struct buffer *out, const uint8_t *bytes, size_t length) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  buffer_byte(out, '"');
  for (size_t i = 0; i < length; i += 3) {
    uint32_t three = (uint32_t)bytes[i] << 16;
    if (i + 1 < length) three |= (uint32_t)bytes[i + 1] << 8;
    if (i + 2 < length) three |= bytes[i + 2];
    char four[4] = {digits[three >> 18], digits[three >> 12 & 63], '=', '='};
    if (i + 1 < length) four[2] = digits[three >> 6 & 63];
    if (i + 2 < length) four[3] = digits[three & 63];
    buffer_add(out, four, sizeof four);
  }
  buffer_byte(out, '"');
}

static void put_double(struct buffer *out, double value) {
  char text[JSON_DOUBLE_TEXT];
  if (isfinite(value))
    buffer_add(out, text, json_shim_print_double(value, text));
  else
    buffer_text(out, "null");
}

static void put_timestamp(struct buffer *out, int64_t micros) {
  char text[CLOCK_TEXT];
  buffer_byte(out, '"');
  buffer_add(out, text, clock_print(micros, text));
  buffer_byte(out, '"');
}

static bool put_value(const uint8_t **at, const uint8_t *end, struct buffer *out, unsigned depth);

static bool put_array(const uint8_t **at, const uint8_t *end, struct buffer *out, uint32_t count, unsigned depth) {
  buffer_byte(out, '[');
  for (uint32_t i = 0; i < count; i++) {
    if (i > 0) buffer_byte(out, ',');
    if (!put_value(at, end, out, depth)) return false;
  }
  buffer_byte(out, ']');
  return true;
}

// A key that is a text or bytes stands as it is; any other scalar becomes the text of its JSON; a container cannot be a key.
static bool put_key(const uint8_t **at, const uint8_t *end, struct buffer *out, unsigned depth) {
  const uint8_t *start = *at;
  struct msgpack_value key;
  if (!msgpack_read(at, end, &key) || key.type == MSGPACK_ARRAY || key.type == MSGPACK_MAP) return false;
  bool quoted = key.type == MSGPACK_TEXT || key.type == MSGPACK_BYTES || key.type == MSGPACK_TIMESTAMP || key.type == MSGPACK_EXT;
  *at = start;
  if (!quoted) buffer_byte(out, '"');
  if (!put_value(at, end, out, depth)) return false;
  if (!quoted) buffer_byte(out, '"');
  return true;
}

static bool put_map(const uint8_t **at, const uint8_t *end, struct buffer *out, uint32_t count, unsigned depth) {
  buffer_byte(out, '{');
  for (uint32_t i = 0; i < count; i++) {
    if (i > 0) buffer_byte(out, ',');
    if (!put_key(at, end, out, depth)) return false;
    buffer_byte(out, ':');
    if (!put_value(at, end, out, depth)) return false;
  }
  buffer_byte(out, '}');
  return true;
}

static bool put_value(const uint8_t **at, const uint8_t *end, struct buffer *out, unsigned depth) {
  struct msgpack_value value;
  if (!msgpack_read(at, end, &value)) return false;
  switch (value.type) {
  case MSGPACK_NIL: buffer_text(out, "null"); return true;
  case MSGPACK_BOOL: buffer_text(out, value.boolean ? "true" : "false"); return true;
  case MSGPACK_INT: buffer_print(out, "%lld", (long long)value.i); return true;
  case MSGPACK_UINT: buffer_print(out, "%llu", (unsigned long long)value.u); return true;
  case MSGPACK_DOUBLE: put_double(out, value.d); return true;
  case MSGPACK_TEXT: put_text(out, value.bytes, value.length); return true;
  case MSGPACK_BYTES:
  case MSGPACK_EXT: put_base64(out, value.bytes, value.length); return true;
  case MSGPACK_TIMESTAMP: put_timestamp(out, value.micros); return true;
  case MSGPACK_ARRAY: return depth > 0 && put_array(at, end, out, value.length, depth - 1);
  case MSGPACK_MAP: return depth > 0 && put_map(at, end, out, value.length, depth - 1);
  }
  return false;
}

bool msgpack_to_json(const uint8_t **at, const uint8_t *end, struct buffer *out) {
  const uint8_t *p = *at;
  size_t length = out->length;
  if (!put_value(&p, end, out, LIMIT_DEPTH)) {
    out->length = length;
    return false;
  }
  *at = p;
  return true;
}
