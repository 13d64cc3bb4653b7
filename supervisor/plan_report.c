// Messages with their places, and how they look on a terminal. Secrets in the shown line are covered (secret.h).
#include "supervisor/plan_report.h"

#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"
#include "supervisor/config_file.h"
#include "supervisor/config_yaml.h"
#include "supervisor/secret.h"

enum {
  SHOWN_COLUMNS = 120, // a longer line is cut around the caret
  SHOWN_BEFORE = 80,
};

// Control characters, those of Unicode too, could move a terminal's cursor or change what was printed before.
static void make_harmless(char *text, bool keep_newlines) {
  for (unsigned char *p = (unsigned char *)text; *p; p++) {
    if (*p == '\t') *p = ' ';
    if ((*p < 0x20 && !(keep_newlines && *p == '\n')) || *p == 0x7f) *p = '?';
    if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) p[0] = p[1] = '?';
  }
}

static bool is_known(const struct plan_report *report, enum check_level level, int line, int column, const char *text) {
  for (size_t i = 0; i < report->count; i++) {
    const struct plan_message *m = &report->messages[i];
    if (m->level == level && m->line == line && m->column == column && strcmp(m->text, text) == 0) return true;
  }
  return false;
}

void plan_report_add_list(struct plan_report *report, enum check_level level, struct plan_place place, const char *suggestion,
                          const char *format, va_list list) {
  if (level == CHECK_ERROR) report->failed = true;
  if (report->count >= REPORT_MOST) return;
  char text[ERROR_TEXT * 4];
  vsnprintf(text, sizeof text, format, list);
  make_harmless(text, level == CHECK_NOTE);
  if (is_known(report, level, place.line, place.column, text)) return;
  if ((report->count & (report->count - 1)) == 0)
    report->messages = memory_resize(report->messages, (report->count ? report->count * 2 : 1) * sizeof *report->messages);
  struct plan_message *m = &report->messages[report->count++];
  *m = (struct plan_message){.level = level, .line = place.line, .column = place.column, .width = place.width, .text = memory_text(text)};
  if (suggestion) {
    m->suggestion = memory_text(suggestion);
    make_harmless(m->suggestion, false);
  }
}

void plan_report_add(struct plan_report *report, enum check_level level, int line, int column, const char *suggestion, const char *format,
                     ...) {
  va_list list;
  va_start(list, format);
  plan_report_add_list(report, level, (struct plan_place){line, column, 0}, suggestion, format, list);
  va_end(list);
}

void plan_report_add_wide(struct plan_report *report, enum check_level level, struct plan_place place, const char *suggestion,
                          const char *format, ...) {
  va_list list;
  va_start(list, format);
  plan_report_add_list(report, level, place, suggestion, format, list);
  va_end(list);
}

void plan_report_add_value(struct plan_report *report, enum check_level level, const struct config_node *value, const char *suggestion,
                           const char *format, ...) {
  va_list list;
  va_start(list, format);
  plan_report_add_list(report, level, (struct plan_place){value->line, value->column, value->width}, suggestion, format, list);
  va_end(list);
}

// Insertion sort: stable, and there are few.
void plan_report_sort(struct plan_report *report) {
  for (size_t i = 1; i < report->count; i++) {
    struct plan_message moved = report->messages[i];
    size_t j = i;
    while (j > 0) {
      const struct plan_message *before = &report->messages[j - 1];
      if (before->line < moved.line || (before->line == moved.line && before->column <= moved.column)) break;
      report->messages[j] = *before;
      j--;
    }
    report->messages[j] = moved;
  }
}

size_t plan_report_count(const struct plan_report *report, enum check_level level) {
  size_t count = 0;
  for (size_t i = 0; i < report->count; i++) count += report->messages[i].level == level;
  return count;
}

void plan_report_free(struct plan_report *report) {
  for (size_t i = 0; i < report->count; i++) {
    free(report->messages[i].text);
    free(report->messages[i].suggestion);
  }
  free(report->messages);
  free(report->covers);
  *report = (struct plan_report){0};
}

void plan_report_cover(struct plan_report *report, const struct plan_cover *cover) {
  if ((report->cover_count & (report->cover_count - 1)) == 0)
    report->covers = memory_resize(report->covers, (report->cover_count ? report->cover_count * 2 : 1) * sizeof *report->covers);
  report->covers[report->cover_count++] = *cover;
}

// Stars over what is known to be a secret in line `number`, and over what only looks like one.
static void hide_secrets(const struct plan_report *report, char *line, int number) {
  char *mask = memory_get(strlen(line) + 1);
  secret_mask(line, mask);
  for (size_t i = 0; i < report->cover_count; i++) {
    const struct plan_cover *c = &report->covers[i];
    if (number < c->line || number > c->last_line) continue;
    secret_mask_columns(line, mask, number == c->line ? c->column : 1, number == c->last_line ? c->last_column + 1 : INT_MAX);
  }
  secret_apply(line, mask);
  free(mask);
}

// Bytes that are no UTF-8 become ?: then every character has its column.
static void make_valid(char *line) {
  size_t left = strlen(line);
  for (unsigned char *p = (unsigned char *)line; left > 0;) {
    size_t bytes = utf8_step(p, left);
    if (bytes == 0) *p = '?';
    if (bytes == 0) bytes = 1;
    p += bytes;
    left -= bytes;
  }
}

// Columns that a character takes: the wide blocks of East Asian scripts and pictures take two.
static int character_width(const unsigned char *at, size_t bytes) {
  if (bytes < 3) return 1;
  unsigned code = bytes == 3 ? ((at[0] & 0xfu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu))
                             : ((at[0] & 7u) << 18 | (at[1] & 0x3fu) << 12 | (at[2] & 0x3fu) << 6 | (at[3] & 0x3fu));
  bool wide = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) ||
              (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) ||
              (code >= 0x1f300 && code <= 0x1faff) || (code >= 0x20000 && code <= 0x3fffd);
  return wide ? 2 : 1;
}

// Line `number` of `text` as an own copy without its end; NULL when there is none.
static char *copy_line(const char *text, int number) {
  for (int i = 1; i < number; i++) {
    const char *end = strchr(text, '\n');
    if (!end) return NULL;
    text = end + 1;
  }
  return memory_text_n(text, strcspn(text, "\r\n"));
}

static bool is_word(char c) {
  return isalnum((unsigned char)c) || c == '_';
}

// Draws on from the character at `at`, where the caret stands: below the whole value, or below the word.
static void draw_line_below(struct buffer *out, const unsigned char *at, const unsigned char *end, int width) {
  bool word = width == 0;
  if (at == end || (word && !is_word((char)*at))) return;
  for (int column = 0; at < end && (word ? is_word((char)*at) : column < width); column++) {
    size_t bytes = utf8_step(at, (size_t)(end - at));
    if (bytes == 0) bytes = 1;
    for (int i = column == 0; i < character_width(at, bytes); i++) buffer_byte(out, '~');
    at += bytes;
  }
}

struct look {
  const char *strong, *error, *warning, *caret, *plain;
};
static const struct look colourful = {"\033[1m", "\033[1;31m", "\033[1;33m", "\033[1;32m", "\033[0m"};
static const struct look colourless = {"", "", "", "", ""};

static void print_line(const struct plan_report *report, const char *text, const struct plan_message *m, const struct look *look,
                       struct buffer *out) {
  char *line = copy_line(text, m->line);
  if (!line) return;
  hide_secrets(report, line, m->line);
  make_harmless(line, false);
  make_valid(line);
  const unsigned char *at = (const unsigned char *)line;
  size_t left = strlen(line);
  struct buffer under = {0};
  const unsigned char *shown = at;
  for (int column = 1; column < m->column && left > 0; column++) {
    size_t bytes = utf8_step(at, left);
    if (bytes == 0) bytes = 1;
    if (column + SHOWN_BEFORE == m->column && column > 1) {
      shown = at;
      buffer_clear(&under);
    }
    for (int i = 0; i < character_width(at, bytes); i++) buffer_byte(&under, ' ');
    at += bytes;
    left -= bytes;
  }
  size_t length = strlen((const char *)shown);
  if (length > SHOWN_COLUMNS * 4) length = SHOWN_COLUMNS * 4;
  while (length > 0 && (shown[length] & 0xc0) == 0x80) length--;
  buffer_print(out, "%5d | %.*s\n      | %.*s%s^", m->line, (int)length, shown, (int)under.length, (const char *)under.at, look->caret);
  if (at < shown + length) draw_line_below(out, at, shown + length, m->width);
  buffer_print(out, "%s\n", look->plain);
  buffer_free(&under);
  free(line);
}

// Line 0: the file as a whole.
static void print_message(const struct plan_report *report, const struct plan_message *m, const char *file, const char *text,
                          const struct look *look, struct buffer *out) {
  bool error = m->level == CHECK_ERROR;
  buffer_print(out, "%s%s:", look->strong, file);
  if (m->line > 0) buffer_print(out, "%d:%d:", m->line, m->column);
  buffer_print(out, "%s %s%s:%s %s\n", look->plain, error ? look->error : look->warning, error ? "error" : "warning", look->plain, m->text);
  if (text && m->line > 0) print_line(report, text, m, look, out);
  if (m->suggestion) buffer_print(out, "      = did you mean `%s`?\n", m->suggestion);
}

void plan_report_print(const struct plan_report *report, const char *file, const char *text, bool colour, struct buffer *out) {
  // A failed plan has no text to hand on: the file is read once more, only to be shown.
  char *own = NULL;
  if (!text && report->count > 0) text = own = config_file_read(file, NULL);
  for (size_t i = 0; i < report->count; i++)
    if (report->messages[i].level != CHECK_NOTE)
      print_message(report, &report->messages[i], file, text, colour ? &colourful : &colourless, out);
  if (report->count == REPORT_MOST) buffer_print(out, "%s: more messages than %d: the rest is left out\n", file, REPORT_MOST);
  free(own);
}
