// Errors carry where and why, from the place that found them up to the one place that reports them.
//
// A function that can fail takes a `struct error *` last, returns false / NULL / negative, and has called error_set exactly once. Callers
// add what they were doing with error_add ("while ...") and pass it on. Only the reporting place (a worker's main loop, the command line)
// prints. Texts tell the user what to do where there is something to do, and never hold secrets.
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum error_class {
  ERROR_NONE = 0,
  ERROR_OUTAGE,      // a server, network or disk that may come back: wait with backoff and try again
  ERROR_DATA,        // this record is at fault: dead letter
  ERROR_CONFIG,      // the pipeline file or the command line: exit 2
  ERROR_OPERATOR,    // somebody must decide or repair (identity, privilege, missing table, full dead-letter brake): stop, exit 1
  ERROR_FENCED,      // another instance owns this stream now
  ERROR_REWIND,      // the target lost what it had acknowledged: cut the lane and start from durable positions
  ERROR_ENVIRONMENT, // this machine: no memory, no descriptor, state folder unusable: exit 3
  ERROR_FAULT,       // a broken invariant of ours or garbage in shared memory
};

enum { ERROR_TEXT = 2048, ERROR_CODE = 16 };

struct error {
  enum error_class class;
  char code[ERROR_CODE]; // SQLSTATE, "http-500", "json", "too-large", ...: the machine-readable reason; "" when none
  char text[ERROR_TEXT]; // "while committing to events: relation \"events\" does not exist"
  const char *file;
  int line; // where it was found (static)
};

// Sets class, code (may be "") and text. An error already set is replaced.
#define error_set(e, class_, code_, ...) error_set_at((e), (class_), (code_), __FILE__, __LINE__, __VA_ARGS__)
void error_set_at(struct error *e, enum error_class class, const char *code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
// Puts "FORMAT: " before the text.
void error_add(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
void error_clear(struct error *e);
static inline bool error_is_set(const struct error *e) {
  return e->class != ERROR_NONE;
}
const char *error_class_name(enum error_class class); // "outage", "data", ...

// Out of memory ends the worker cleanly; the supervisor restarts it. These never return NULL: they log one line (without allocating) and
// _exit(EXIT_OUT_OF_MEMORY).
enum { EXIT_OUT_OF_MEMORY = 71 };
void *memory_get(size_t size); // zeroed; memory_get(0) gives a pointer that can be freed
void *memory_resize(void *old, size_t size);
char *memory_text(const char *text); // strdup
char *memory_text_n(const char *text, size_t length);
char *memory_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
