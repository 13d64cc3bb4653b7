// msgpack to JSON text: what the SQL stage shows of nested values, what the file sink writes, what `weir dlq show` prints.
//
// Recursion is bounded by LIMIT_DEPTH. Bytes become base64 text, times ISO-8601 text, what JSON cannot say (NaN, infinities) null. Text
// that is not UTF-8 gets U+FFFD for each broken byte, because the result must be JSON whatever an encoder has put into the record.
//
// Most of a record is short plain texts and small integers: these go eight bytes, or two digits, at a time into room taken once.
#include <math.h>
#include <string.h>

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

// Room for `size` bytes at the end of `out`; the caller counts them.
static uint8_t *room_for(struct buffer *out, size_t size) {
  if (size > out->room - out->length) buffer_reserve(out, size);
  return out->at + out->length;
}

// True when one of the eight bytes is above 0x7e, below 0x20, a quote or a backslash.
static bool has_special(uint64_t eight) {
  static const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
  uint64_t quote = eight ^ ones * '"', backslash = eight ^ ones * '\\', rubout = eight ^ ones * 0x7f;
  // A borrow may reach into the next byte, but only out of one that is special itself.
  uint64_t found = eight | ((eight - ones * 0x20) & ~eight) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) |
                   ((rubout - ones) & ~rubout);
  return (found & highs) != 0;
}

static bool is_plain(uint8_t byte) {
  return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

// How many bytes from the beginning stand in JSON as they are.
static size_t plain_run(const uint8_t *text, size_t length) {
  size_t at = 0;
  for (uint64_t eight; length - at >= sizeof eight; at += sizeof eight) {
    memcpy(&eight, text + at, sizeof eight);
    if (has_special(eight)) break;
  }
  while (at < length && is_plain(text[at])) at++;
  return at;
}

static void put_text(struct buffer *out, const uint8_t *text, size_t length) {
  uint8_t *to = room_for(out, length + 2);
  size_t from = 0, at = plain_run(text, length);
  *to = '"';
  if (at == length) {
    if (length > 0) memcpy(to + 1, text, length);
    to[length + 1] = '"';
    out->length += length + 2;
    return;
  }
  out->length++;
  while (at < length) {
    uint8_t byte = text[at];
    size_t step = byte < 0x80 ? 1 : utf8_step(text + at, length - at);
    if (step > 0 && (step > 1 || is_plain(byte))) {
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

enum { DIGITS_MOST = 20 };

static void put_digits(struct buffer *out, uint64_t value, bool negative) {
  static const char pairs[] = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
                              "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
  uint8_t digits[DIGITS_MOST + 1], *at = digits + sizeof digits;
  for (; value >= 100; value /= 100) memcpy(at -= 2, pairs + 2 * (value % 100), 2);
  if (value >= 10)
    memcpy(at -= 2, pairs + 2 * value, 2);
  else
    *--at = (uint8_t)('0' + value);
  if (negative) *--at = '-';
  size_t length = (size_t)(digits + sizeof digits - at);
  memcpy(room_for(out, length), at, length);
  out->length += length;
}

static void put_int(struct buffer *out, int64_t value) {
  put_digits(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
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

static void put_byte(struct buffer *out, uint8_t byte) {
  *room_for(out, 1) = byte;
  out->length++;
}

static bool put_array(const uint8_t **at, const uint8_t *end, struct buffer *out, uint32_t count, unsigned depth) {
  put_byte(out, '[');
  for (uint32_t i = 0; i < count; i++) {
    if (i > 0) put_byte(out, ',');
    if (!put_value(at, end, out, depth)) return false;
  }
  put_byte(out, ']');
  return true;
}

// A key that is a text or bytes stands as it is; any other scalar becomes the text of its JSON; a container cannot be a key.
static bool put_key(const uint8_t **at, const uint8_t *end, struct buffer *out, unsigned depth) {
  const uint8_t *start = *at;
  struct msgpack_value key;
  if (!msgpack_read(at, end, &key) || key.type == MSGPACK_ARRAY || key.type == MSGPACK_MAP) return false;
  if (key.type == MSGPACK_TEXT) {
    put_text(out, key.bytes, key.length);
    return true;
  }
  bool quoted = key.type == MSGPACK_BYTES || key.type == MSGPACK_TIMESTAMP || key.type == MSGPACK_EXT;
  *at = start;
  if (!quoted) put_byte(out, '"');
  if (!put_value(at, end, out, depth)) return false;
  if (!quoted) put_byte(out, '"');
  return true;
}

static bool put_map(const uint8_t **at, const uint8_t *end, struct buffer *out, uint32_t count, unsigned depth) {
  put_byte(out, '{');
  for (uint32_t i = 0; i < count; i++) {
    if (i > 0) put_byte(out, ',');
    if (!put_key(at, end, out, depth)) return false;
    put_byte(out, ':');
    if (!put_value(at, end, out, depth)) return false;
  }
  put_byte(out, '}');
  return true;
}

static bool put_value(const uint8_t **at, const uint8_t *end, struct buffer *out, unsigned depth) {
  struct msgpack_value value;
  if (!msgpack_read(at, end, &value)) return false;
  switch (value.type) {
  case MSGPACK_NIL: buffer_text(out, "null"); return true;
  case MSGPACK_BOOL: buffer_text(out, value.boolean ? "true" : "false"); return true;
  case MSGPACK_INT: put_int(out, value.i); return true;
  case MSGPACK_UINT: put_digits(out, value.u, false); return true;
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
