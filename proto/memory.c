// Memory that is either there or ends the process: the functions of error.h.
//
// Nobody handles a missing allocation in place. The process says so in one line, written without allocating, and leaves with
// EXIT_OUT_OF_MEMORY: its ring and its notes hold everything that a successor needs.
#include "proto/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/log.h"

void memory_exhausted(size_t wanted) {
  struct log_line line;
  log_begin(&line, LOG_LEVEL_ERROR, "out of memory");
  log_uint(&line, "wanted_bytes", wanted);
  log_end(&line);
  _exit(EXIT_OUT_OF_MEMORY);
}

void *memory_get(size_t size) {
  void *memory = calloc(1, size ? size : 1);
  if (!memory) memory_exhausted(size);
  return memory;
}

void *memory_resize(void *old, size_t size) {
  void *memory = realloc(old, size ? size : 1);
  if (!memory) memory_exhausted(size);
  return memory;
}

char *memory_text(const char *text) {
  return memory_text_n(text, strlen(text));
}

char *memory_text_n(const char *text, size_t length) {
  char *copy = malloc(length + 1);
  if (!copy) memory_exhausted(length);
  if (length > 0) memcpy(copy, text, length);
  copy[length] = '\0';
  return copy;
}

char *memory_print(const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  // vsnprintf fails only on an encoding error of wide characters or over INT_MAX bytes: there is no text to give then.
  if (length < 0) length = 0;
  char *text = memory_get((size_t)length + 1);
  (void)vsnprintf(text, (size_t)length + 1, format, again);
  va_end(again);
  return text;
}
