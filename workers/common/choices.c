// The commands that error messages offer. See choices.h.
#include "workers/common/choices.h"

#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/error.h"

static bool is_plain(const char *text) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+=,-";
  return *text && text[strspn(text, plain)] == '\0';
}

// Inside single quotes a shell changes nothing; a quote itself is written '\''.
static void put_word(struct buffer *out, const char *text) {
  if (is_plain(text)) {
    buffer_text(out, text);
    return;
  }
  buffer_byte(out, '\'');
  for (const char *p = text; *p; p++)
    if (*p == '\'')
      buffer_text(out, "'\\''");
    else
      buffer_byte(out, (uint8_t)*p);
  buffer_byte(out, '\'');
}

static char *taken(struct buffer *out) {
  buffer_cstring(out);
  return (char *)out->at;
}

char *choice_quote(const char *text) {
  struct buffer out = {0};
  put_word(&out, text);
  return taken(&out);
}

static void put_command(struct buffer *out, struct job_value root, const char *words) {
  char *file = job_text(root, "file", "FILE"), *state = job_text(root, "state_option", NULL);
  buffer_print(out, "weir %s ", words);
  put_word(out, file);
  if (state) {
    buffer_text(out, " --state ");
    put_word(out, state);
  }
  free(file);
  free(state);
}

char *choice_command(struct job_value root, const char *words) {
  struct buffer out = {0};
  put_command(&out, root, words);
  return taken(&out);
}

char *choice_positions(struct job_value root, const char *sink) {
  struct buffer out = {0};
  struct job_walk walk = job_walk_start(job_get(root, "sinks"));
  struct job_value one;
  bool any = sink != NULL;
  put_command(&out, root, "positions set");
  if (sink) buffer_print(&out, " %s", sink);
  while (!sink && job_walk_next(&walk, NULL, &one)) {
    char *name = job_value_text(one);
    buffer_print(&out, " %s", name ? name : "");
    free(name);
    any = true;
  }
  if (!any) buffer_text(&out, " SINK");
  return taken(&out);
}
