// A growing byte buffer, kept between uses so that the hot path does not allocate. Zero-initialise; buffer_free at the end.
// Out of memory ends the process (error.h).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
  uint8_t *at;
  size_t length, room;
};
void buffer_reserve(struct buffer *b, size_t more); // room for `more` bytes behind length
void buffer_add(struct buffer *b, const void *bytes, size_t length);
// `length` bytes behind the end, to be written by the caller: for hot paths that write several values at once.
static inline uint8_t *buffer_take(struct buffer *b, size_t length) {
  if (length > b->room - b->length) buffer_reserve(b, length);
  uint8_t *at = b->at + b->length;
  b->length += length;
  return at;
}
void buffer_text(struct buffer *b, const char *text);
void buffer_print(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_byte(struct buffer *b, uint8_t byte);
const char *buffer_cstring(struct buffer *b); // terminates without counting the terminator
void buffer_clear(struct buffer *b);
void buffer_free(struct buffer *b);
