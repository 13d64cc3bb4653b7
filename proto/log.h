// One log line per decision, on standard error, in one write(2): logfmt, or a JSON object with `--log json`.
//   ts=2026-11-21T06:00:00.123Z level=warn msg="worker died" worker=cleaned/0 pid=4711 generation=3 cause=SIGKILL next="start at once"
// Values that need it are quoted and escaped; control characters never reach the terminal. Lines over LOG_LINE bytes are cut.
// Called by every process; log_context gives the fields that each line of a process carries.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum { LOG_LINE = 4096 };

struct log_line {
  char text[LOG_LINE];
  size_t length;
  bool json;
  bool skip; // below the level that is shown
};

void log_format(bool json, enum log_level least);
// worker e.g. "cleaned/0" ("" for the supervisor: then no such fields are printed).
void log_context(const char *worker, int pid, unsigned generation);

void log_begin(struct log_line *l, enum log_level level, const char *message);
void log_text(struct log_line *l, const char *key, const char *value); // NULL prints nothing
void log_text_n(struct log_line *l, const char *key, const char *value, size_t length);
void log_int(struct log_line *l, const char *key, int64_t value);
void log_uint(struct log_line *l, const char *key, uint64_t value);
void log_double(struct log_line *l, const char *key, double value);
void log_end(struct log_line *l);

struct error;
void log_error(struct log_line *l, const struct error *e); // error=, code=, class=, at=file:line
// The short form: message only.
void log_say(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
