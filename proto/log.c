// Log lines: logfmt or JSON, one write(2) each, nothing allocated.
//
// What may stand in a value: anything; it comes from servers, files and users. Invariants: a line is one line; a terminal gets no control
// character, nothing that turns the direction of text, no broken UTF-8; with JSON each line parses. A line that gets too long keeps its
// shape: the value that does not fit is cut and ends in "...", later fields are left out.
#include "proto/log.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/error.h"
#include "proto/utf8.h"

enum {
  LINE_TAIL = 8,      // room that fields leave for: the dots of a cut, a quote, "}" and the newline
  CHARACTER_MOST = 8, // the longest escape, and more than any character
  CONTEXT_NAME = 300,
  MESSAGE_MOST = 1024,
};

static struct {
  bool json;
  enum log_level least;
  char worker[CONTEXT_NAME];
  int pid;
  unsigned generation;
} format = {.least = LOG_LEVEL_INFO};

void log_format(bool json, enum log_level least) {
  format.json = json;
  format.least = least;
}

void log_context(const char *worker, int pid, unsigned generation) {
  (void)snprintf(format.worker, sizeof format.worker, "%s", worker);
  format.pid = pid;
  format.generation = generation;
}

static const char *level_name(enum log_level level) {
  switch (level) {
  case LOG_LEVEL_DEBUG: return "debug";
  case LOG_LEVEL_INFO: return "info";
  case LOG_LEVEL_WARN: return "warn";
  case LOG_LEVEL_ERROR: return "error";
  }
  return "unknown";
}

static bool has_room(const struct log_line *l, size_t more) {
  return l->length + more + LINE_TAIL <= sizeof l->text;
}

static void put(struct log_line *l, const char *bytes, size_t length) {
  memcpy(l->text + l->length, bytes, length);
  l->length += length;
}

// Starts a field: separator, key, equals sign or colon. False (and nothing written) when it would not fit with some of its value.
static bool put_key(struct log_line *l, const char *key) {
  size_t length = strlen(key);
  if (l->skip || !has_room(l, length + 5 + 2 * CHARACTER_MOST)) return false;
  if (l->json) {
    if (l->length > 1) put(l, ",", 1);
    put(l, "\"", 1);
    put(l, key, length);
    put(l, "\":", 2);
  } else {
    if (l->length > 0) put(l, " ", 1);
    put(l, key, length);
    put(l, "=", 1);
  }
  return true;
}

// One character of a value, escaped where it must be, into `out`; returns its length. *step says how many bytes it took.
static size_t escape(const uint8_t *at, size_t left, bool json, size_t *step, char out[CHARACTER_MOST + 1]) {
  *step = utf8_step(at, left);
  if (*step == 0) {
    *step = 1;
    // A byte that is no UTF-8: JSON has only characters, so it becomes the replacement character there.
    return (size_t)snprintf(out, CHARACTER_MOST + 1, json ? "\\ufffd" : "\\x%02x", *at);
  }
  uint32_t code = utf8_code(at, *step);
  static const char plain[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
  const char *found = code != 0 && code < 0x80 ? strchr(plain, (int)code) : NULL;
  if (found) {
    out[0] = '\\';
    out[1] = letters[found - plain];
    return 2;
  }
  if (utf8_is_unfit(code)) return (size_t)snprintf(out, CHARACTER_MOST + 1, "\\u%04x", code);
  memcpy(out, at, *step);
  return *step;
}

static bool needs_quotes(const char *value, size_t length) {
  if (length == 0) return true;
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)value[i];
    if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\') return true;
  }
  return false;
}

void log_text_n(struct log_line *l, const char *key, const char *value, size_t length) {
  if (!value || !put_key(l, key)) return;
  bool quotes = l->json || needs_quotes(value, length);
  if (quotes) put(l, "\"", 1);
  size_t step;
  for (size_t i = 0; i < length; i += step) {
    char out[CHARACTER_MOST + 1];
    size_t size = escape((const uint8_t *)value + i, length - i, l->json, &step, out);
    if (!has_room(l, size)) {
      put(l, "...", 3);
      break;
    }
    put(l, out, size);
  }
  if (quotes) put(l, "\"", 1);
}

void log_text(struct log_line *l, const char *key, const char *value) {
  if (value) log_text_n(l, key, value, strlen(value));
}

// A number needs no quotes; `text` is ours.
static void put_number(struct log_line *l, const char *key, const char *text) {
  size_t length = strlen(text);
  if (!l->skip && has_room(l, strlen(key) + length + 5) && put_key(l, key)) put(l, text, length);
}

void log_int(struct log_line *l, const char *key, int64_t value) {
  char text[32];
  (void)snprintf(text, sizeof text, "%lld", (long long)value);
  put_number(l, key, text);
}

void log_uint(struct log_line *l, const char *key, uint64_t value) {
  char text[32];
  (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  put_number(l, key, text);
}

void log_double(struct log_line *l, const char *key, double value) {
  char text[32];
  (void)snprintf(text, sizeof text, "%.6g", value);
  put_number(l, key, isfinite(value) || !l->json ? text : "null");
}

// "2026-11-21T06:00:00.123Z": milliseconds always, so that lines stay in columns.
static void put_time(struct log_line *l) {
  char text[CLOCK_TEXT];
  int64_t now = clock_micros();
  int64_t millis = now / 1000 % 1000;
  (void)clock_print(now - now % 1000000, text);
  size_t seconds = sizeof "2026-11-21T06:00:00" - 1;
  (void)snprintf(text + seconds, sizeof text - seconds, ".%03dZ", (int)millis);
  log_text(l, "ts", text);
}

void log_begin(struct log_line *l, enum log_level level, const char *message) {
  l->length = 0;
  l->json = format.json;
  l->skip = level < format.least;
  if (l->skip) return;
  if (l->json) put(l, "{", 1);
  put_time(l);
  log_text(l, "level", level_name(level));
  log_text(l, "msg", message);
  if (format.worker[0] == '\0') return;
  log_text(l, "worker", format.worker);
  log_int(l, "pid", format.pid);
  log_uint(l, "generation", format.generation);
}

void log_end(struct log_line *l) {
  if (l->skip) return;
  if (l->json) put(l, "}", 1);
  put(l, "\n", 1);
  // What cannot be logged cannot be reported either: a full or closed standard error loses the line.
  ssize_t written;
  do written = write(STDERR_FILENO, l->text, l->length);
  while (written < 0 && errno == EINTR);
}

void log_error(struct log_line *l, const struct error *e) {
  log_text(l, "error", e->text);
  if (e->code[0] != '\0') log_text(l, "code", e->code);
  log_text(l, "class", error_class_name(e->class));
  if (!e->file) return;
  char at[256];
  (void)snprintf(at, sizeof at, "%s:%d", e->file, e->line);
  log_text(l, "at", at);
}

void log_say(enum log_level level, const char *text, ...) {
  char message[MESSAGE_MOST];
  va_list arguments;
  va_start(arguments, text);
  (void)vsnprintf(message, sizeof message, text, arguments);
  va_end(arguments);
  struct log_line line;
  log_begin(&line, level, message);
  log_end(&line);
}
