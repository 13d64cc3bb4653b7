// Errors: class, code, text and place. See error.h for who sets and who reports.
//
// Texts are formatted into a buffer of the stack first, so that an argument may point into the error that is being written.
#include "proto/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Copies `text` into e->text. What does not fit is cut at the end of a UTF-8 character and ends in "...".
static void text_keep(struct error *e, const char *text) {
  size_t length = strlen(text);
  if (length < sizeof e->text) {
    memcpy(e->text, text, length + 1);
    return;
  }
  size_t keep = sizeof e->text - sizeof "...";
  while (keep > 0 && ((unsigned char)text[keep] & 0xc0) == 0x80) keep--;
  memcpy(e->text, text, keep);
  memcpy(e->text + keep, "...", sizeof "...");
}

void error_set_at(struct error *e, enum error_class class, const char *code, const char *file, int line, const char *format, ...) {
  char text[ERROR_TEXT + 8];
  char code_copy[ERROR_CODE];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  (void)snprintf(code_copy, sizeof code_copy, "%s", code);
  memcpy(e->code, code_copy, sizeof code_copy);
  e->class = class;
  e->file = file;
  e->line = line;
  text_keep(e, text);
}

void error_add(struct error *e, const char *format, ...) {
  char text[2 * ERROR_TEXT];
  va_list arguments;
  va_start(arguments, format);
  int printed = vsnprintf(text, ERROR_TEXT, format, arguments);
  va_end(arguments);
  size_t length = printed < 0 ? 0 : (size_t)printed;
  if (length >= ERROR_TEXT) length = ERROR_TEXT - 1;
  (void)snprintf(text + length, sizeof text - length, ": %s", e->text);
  text_keep(e, text);
}

void error_clear(struct error *e) {
  memset(e, 0, sizeof *e);
}

const char *error_class_name(enum error_class class) {
  switch (class) {
  case ERROR_NONE: return "none";
  case ERROR_OUTAGE: return "outage";
  case ERROR_DATA: return "data";
  case ERROR_CONFIG: return "config";
  case ERROR_OPERATOR: return "operator";
  case ERROR_FENCED: return "fenced";
  case ERROR_REWIND: return "rewind";
  case ERROR_ENVIRONMENT: return "environment";
  case ERROR_FAULT: return "fault";
  }
  return "unknown";
}
