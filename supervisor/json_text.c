// See json_text.h. The pipeline file was checked when it was read, but names of files and what targets hold may be anything: bytes that are
// no UTF-8 become U+FFFD.
#include "supervisor/json_text.h"

#include <inttypes.h>
#include <string.h>

#include "proto/utf8.h"

static void put_string(struct buffer *out, const char *text) {
  buffer_byte(out, '"');
  size_t left = strlen(text), bytes;
  for (const unsigned char *p = (const unsigned char *)text; left > 0; p += bytes, left -= bytes) {
    bytes = utf8_step(p, left);
    if (bytes == 0) {
      buffer_text(out, "\\ufffd");
      bytes = 1;
    } else if (*p == '"' || *p == '\\')
      buffer_print(out, "\\%c", *p);
    else if (*p == '\n')
      buffer_text(out, "\\n");
    else if (*p < 0x20 || *p == 0x7f)
      buffer_print(out, "\\u%04x", *p);
    else
      buffer_add(out, p, bytes);
  }
  buffer_byte(out, '"');
}

static void new_line(struct json_text *j) {
  if (!j->pretty) return;
  buffer_byte(j->out, '\n');
  for (unsigned i = 0; i < j->depth; i++) buffer_text(j->out, "  ");
}

static void begin(struct json_text *j, const char *key) {
  if (j->has_before) buffer_byte(j->out, ',');
  if (j->depth > 0) new_line(j);
  if (key) {
    put_string(j->out, key);
    buffer_text(j->out, j->pretty ? ": " : ":");
  }
  j->has_before = true;
}

void json_text_open(struct json_text *j, const char *key, char bracket) {
  begin(j, key);
  buffer_byte(j->out, (uint8_t)bracket);
  j->has_before = false;
  j->depth++;
}

void json_text_close(struct json_text *j, char bracket) {
  j->depth--;
  if (j->has_before) new_line(j);
  buffer_byte(j->out, (uint8_t)bracket);
  j->has_before = true;
}

void json_text_string(struct json_text *j, const char *key, const char *value) {
  begin(j, key);
  if (value)
    put_string(j->out, value);
  else
    buffer_text(j->out, "null");
}

void json_text_int(struct json_text *j, const char *key, int64_t value) {
  begin(j, key);
  buffer_print(j->out, "%" PRId64, value);
}

void json_text_bool(struct json_text *j, const char *key, bool value) {
  begin(j, key);
  buffer_text(j->out, value ? "true" : "false");
}

void json_text_raw(struct json_text *j, const char *key, const char *json) {
  begin(j, key);
  buffer_text(j->out, json);
}
