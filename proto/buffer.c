// The growing byte buffer of buffer.h. Room doubles, so that adding byte by byte stays linear.
#include "proto/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"

enum { SMALLEST_ROOM = 64 };

void buffer_reserve(struct buffer *b, size_t more) {
  if (more <= b->room - b->length) return;
  size_t need;
  if (__builtin_add_overflow(b->length, more, &need)) memory_exhausted(more);
  size_t room = b->room < SMALLEST_ROOM ? SMALLEST_ROOM : b->room;
  while (room < need) room = room > SIZE_MAX / 2 ? need : room * 2;
  b->at = memory_resize(b->at, room);
  b->room = room;
}

void buffer_add(struct buffer *b, const void *bytes, size_t length) {
  if (length == 0) return;
  buffer_reserve(b, length);
  memcpy(b->at + b->length, bytes, length);
  b->length += length;
}

void buffer_text(struct buffer *b, const char *text) {
  buffer_add(b, text, strlen(text));
}

void buffer_print(struct buffer *b, const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  buffer_reserve(b, SMALLEST_ROOM);
  size_t room = b->room - b->length;
  int printed = vsnprintf((char *)b->at + b->length, room, format, arguments);
  va_end(arguments);
  size_t length = printed < 0 ? 0 : (size_t)printed;
  if (length >= room) {
    buffer_reserve(b, length + 1);
    (void)vsnprintf((char *)b->at + b->length, length + 1, format, again);
  }
  va_end(again);
  b->length += length;
}

void buffer_byte(struct buffer *b, uint8_t byte) {
  buffer_reserve(b, 1);
  b->at[b->length++] = byte;
}

const char *buffer_cstring(struct buffer *b) {
  buffer_reserve(b, 1);
  b->at[b->length] = '\0';
  return (const char *)b->at;
}

void buffer_clear(struct buffer *b) {
  b->length = 0;
}

void buffer_free(struct buffer *b) {
  free(b->at);
  *b = (struct buffer){0};
}
