// One pass over the written text; recursion only for the defaults. See config_substitute.h.
#include "supervisor/config_substitute.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "proto/utf8.h"
#include "supervisor/config_place.h"
#include "supervisor/plan_report.h"

struct substitution {
  const struct config_source *source;
  struct config_node *node;
  struct plan_report *report;
  struct buffer out;
  bool secret;
};

static void complain(struct substitution *s, const char *at, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void complain(struct substitution *s, const char *at, const char *format, ...) {
  char text[ERROR_TEXT];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  int line, column;
  config_place_written(s->source, s->node, (size_t)(at - s->node->written), &line, &column);
  plan_report_add(s->report, CHECK_ERROR, line, column, NULL, "%s", text);
}

// The brace that closes the ${ before `at`; NULL when there is none before `end`.
static const char *find_close(const char *at, const char *end) {
  unsigned open = 1;
  for (; at < end; at++) {
    if (at[0] == '$' && at + 1 < end && at[1] == '{') {
      open++;
      at++;
    } else if (*at == '}' && --open == 0) {
      return at;
    }
  }
  return NULL;
}

static size_t name_length(const char *at, const char *end) {
  const char *p = at;
  while (p < end && (*p == '_' || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (p > at && *p >= '0' && *p <= '9'))) p++;
  return (size_t)(p - at);
}

static bool add(struct substitution *s, const char *at, const char *bytes, size_t length) {
  if (s->out.length + length > SUBSTITUTE_VALUE) {
    complain(s, at, "this value grows over %d bytes", SUBSTITUTE_VALUE);
    return false;
  }
  buffer_add(&s->out, bytes, length);
  return true;
}

// Reads at most SUBSTITUTE_FILE bytes; NULL with errno set (0: *why tells).
static char *read_small_file(const char *path, size_t *length, const char **why) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0) {
    *why = strerror(errno);
    if (fd >= 0) close(fd);
    return NULL;
  }
  char *text = memory_get(SUBSTITUTE_FILE + 1);
  size_t got = 0;
  ssize_t n = 1;
  while (S_ISREG(st.st_mode) && got <= SUBSTITUTE_FILE && n > 0) {
    n = read(fd, text + got, SUBSTITUTE_FILE + 1 - got);
    if (n > 0) got += (size_t)n;
  }
  *why = !S_ISREG(st.st_mode)                            ? "not a regular file"
         : n < 0                                         ? strerror(errno)
         : got > SUBSTITUTE_FILE                         ? "longer than 64 KiB"
         : memchr(text, 0, got)                          ? "holds a NUL byte"
         : utf8_check((const uint8_t *)text, got) != got ? "not UTF-8"
                                                         : NULL;
  close(fd);
  if (*why) {
    free(text);
    return NULL;
  }
  *length = got;
  return text;
}

static bool put_file(struct substitution *s, const char *at, const char *path) {
  if (!s->source->folder) {
    complain(s, at, "${file:...} cannot be read here");
    return false;
  }
  char *full = path[0] == '/' ? memory_text(path) : memory_print("%s/%s", s->source->folder, path);
  size_t length = 0;
  const char *why = NULL;
  char *text = read_small_file(full, &length, &why);
  free(full);
  if (!text) {
    complain(s, at, "${file:%s} cannot be read: %s", path, why);
    return false;
  }
  while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r')) length--;
  s->secret = true;
  bool fine = add(s, at, text, length);
  memset(text, 0, length);
  free(text);
  return fine;
}

static bool put_text(struct substitution *s, const char *at, const char *end, unsigned depth, bool spans);

// file:PATH, where PATH may hold ${...}: expanded at the end of `out`, then taken off again.
static bool put_file_expression(struct substitution *s, const char *dollar, const char *path, const char *end, unsigned depth) {
  size_t before = s->out.length;
  if (path == end) {
    complain(s, dollar, "${file:} needs a path: ${file:secrets/password}");
    return false;
  }
  if (!put_text(s, path, end, depth + 1, false)) return false;
  char *name = memory_text_n((const char *)s->out.at + before, s->out.length - before);
  s->out.length = before;
  bool fine = put_file(s, dollar, name);
  free(name);
  return fine;
}

// The inside of one ${...}, from `at` to `end`; `dollar` is where it begins, for messages.
static bool put_expression(struct substitution *s, const char *dollar, const char *at, const char *end, unsigned depth) {
  if (depth > SUBSTITUTE_DEPTH) {
    complain(s, dollar, "${...} nested more than %d deep", SUBSTITUTE_DEPTH);
    return false;
  }
  if (end - at >= 5 && memcmp(at, "file:", 5) == 0) return put_file_expression(s, dollar, at + 5, end, depth);
  size_t length = name_length(at, end);
  const char *rest = at + length;
  bool has_default = end - rest >= 2 && rest[0] == ':' && rest[1] == '-';
  if (length == 0 || (rest != end && !has_default)) {
    complain(s, dollar, "${...} must be ${NAME}, ${NAME:-default} or ${file:PATH}; a real `${` is written `$${`");
    return false;
  }
  char *name = memory_text_n(at, length);
  const char *value = getenv(name);
  bool fine;
  if (value && utf8_check((const uint8_t *)value, strlen(value)) != strlen(value)) {
    complain(s, dollar, "the value of ${%s} is not UTF-8", name);
    fine = false;
  } else if (value && (*value || !has_default)) {
    fine = add(s, dollar, value, strlen(value));
  } else if (has_default) {
    fine = put_text(s, rest + 2, end, depth + 1, false);
  } else {
    complain(s, dollar, "${%s} is not set and has no default: set it, or write ${%s:-default}", name, name);
    fine = false;
  }
  free(name);
  return fine;
}

static void note_span(struct config_node *node, struct config_span span) {
  node->spans = memory_resize(node->spans, (node->span_count + 1) * sizeof *node->spans);
  node->spans[node->span_count++] = span;
}

// Text with ${...} in it. `spans`: the outermost level, whose replacements are noted in the node.
static bool put_text(struct substitution *s, const char *at, const char *end, unsigned depth, bool spans) {
  bool fine = true;
  while (at < end) {
    const char *dollar = memchr(at, '$', (size_t)(end - at));
    if (!dollar || dollar + 1 == end) return add(s, at, at, (size_t)(end - at)) && fine;
    if (!add(s, at, at, (size_t)(dollar - at))) return false;
    size_t before = s->out.length;
    if (end - dollar >= 3 && dollar[1] == '$' && dollar[2] == '{') {
      if (!add(s, dollar, "${", 2)) return false;
      at = dollar + 3;
    } else if (dollar[1] == '{') {
      const char *close = find_close(dollar + 2, end);
      if (!close) {
        complain(s, dollar, "this ${ is not closed by }");
        return false;
      }
      // Goes on after a mistake: the next ${...} may have one of its own.
      fine &= put_expression(s, dollar, dollar + 2, close, depth);
      at = close + 1;
    } else {
      if (!add(s, dollar, "$", 1)) return false;
      at = dollar + 1;
      continue;
    }
    const char *base = s->node->written;
    if (spans) note_span(s->node, (struct config_span){(size_t)(dollar - base), (size_t)(at - base), before, s->out.length});
  }
  return fine;
}

static void substitute_text(const struct config_source *source, struct config_node *node, struct plan_report *report) {
  if (!memchr(node->written, '$', node->written_length)) return;
  struct substitution s = {.source = source, .node = node, .report = report};
  node->broken = !put_text(&s, node->written, node->written + node->written_length, 0, true);
  free(node->text);
  node->text = memory_text_n((const char *)s.out.at, s.out.length);
  node->length = s.out.length;
  node->secret = s.secret;
  buffer_free(&s.out);
}

void config_substitute(const struct config_source *source, struct config_node *node, struct plan_report *report) {
  if (node->kind == CONFIG_TEXT) substitute_text(source, node, report);
  for (size_t i = 0; i < node->count; i++) config_substitute(source, &node->entries[i].value, report);
}
