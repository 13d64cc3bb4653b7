// Filling the report of plan.h: whoever reads the pipeline file adds what is wrong with it, with the place, and goes on.
//
// Texts may quote the file: control characters are made harmless here, so that no caller has to think of the terminal. Called by config_*,
// settings and plan_*; never by workers (they answer with findings, which plan_ask turns into messages).
#pragma once
#include <stdarg.h>

#include "supervisor/plan.h"

enum {
  REPORT_MOST = 200, // messages kept of one file; a broken generated file must not fill the screen
};

// `suggestion` (may be NULL) is the name that was probably meant. A message that stands there already is not added twice.
void plan_report_add(struct plan_report *report, enum check_level level, int line, int column, const char *suggestion, const char *format,
                     ...) __attribute__((format(printf, 6, 7)));
// About all of a text of the file, whatever blanks are in it.
struct config_node;
void plan_report_add_value(struct plan_report *report, enum check_level level, const struct config_node *value, const char *suggestion,
                           const char *format, ...) __attribute__((format(printf, 5, 6)));
// At any place; `width` as in plan_message.
struct plan_place {
  int line, column, width;
};
void plan_report_add_list(struct plan_report *report, enum check_level level, struct plan_place place, const char *suggestion,
                          const char *format, va_list list) __attribute__((format(printf, 5, 0)));
void plan_report_add_wide(struct plan_report *report, enum check_level level, struct plan_place place, const char *suggestion,
                          const char *format, ...) __attribute__((format(printf, 5, 6)));
// By place; messages of one place keep the order in which they were found.
void plan_report_sort(struct plan_report *report);
size_t plan_report_count(const struct plan_report *report, enum check_level level);
// From now on the characters of the file from (line, column) to (last_line, last_column) are shown as stars.
void plan_report_cover(struct plan_report *report, const struct plan_cover *cover);
