// The check of UTF-8 for what does not go through simdjson: msgpack texts, log values, and the place of an error in a document.
#include "proto/utf8.h"

#include <stdbool.h>
#include <string.h>

static bool follows(uint8_t byte) {
  return (byte & 0xc0) == 0x80;
}

size_t utf8_step(const uint8_t *text, size_t length) {
  if (length == 0) return 0;
  uint8_t first = text[0];
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4 || length < 2) return 0;
  if (first < 0xe0) return follows(text[1]) ? 2 : 0;
  // The second byte shuts out overlong forms, surrogates and what lies above U+10FFFF.
  uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (text[1] < low || text[1] > high || length < 3 || !follows(text[2])) return 0;
  if (first < 0xf0) return 3;
  return length >= 4 && follows(text[3]) ? 4 : 0;
}

size_t utf8_check(const uint8_t *text, size_t length) {
  size_t at = 0;
  while (at < length) {
    uint64_t eight;
    if (length - at >= sizeof eight) {
      memcpy(&eight, text + at, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        at += sizeof eight;
        continue;
      }
    } else if (length >= sizeof eight) {
      // The end of a text that has been plain so far: the eight bytes before it, some of them again.
      memcpy(&eight, text + length - sizeof eight, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) return length;
    }
    size_t step = utf8_step(text + at, length - at);
    if (step == 0) return at;
    at += step;
  }
  return length;
}

void utf8_mend(uint8_t *text, size_t length) {
  if (length == 0) return;
  uint8_t *at = text, *end = text + length;
  while ((at += utf8_check(at, (size_t)(end - at))) < end) *at++ = '?';
}

uint32_t utf8_code(const uint8_t *at, size_t step) {
  if (step == 1) return at[0];
  uint32_t code = at[0] & (0xffu >> (step + 1));
  for (size_t i = 1; i < step; i++) code = code << 6 | (at[i] & 0x3fu);
  return code;
}

bool utf8_is_unfit(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 || code == 0x200e || code == 0x200f ||
         (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0x061c || code == 0xfeff;
}
