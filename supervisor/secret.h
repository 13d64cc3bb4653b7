// What may be a secret in a pipeline file, and the stars that are printed in its place: one a character, so that columns stay.
//
// A value that was understood is covered where it stands (secret_cover); a line of a file that was not is looked through for what usually
// holds one (secret_hide). Called by settings.c, plan_report.c and graph.c.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "supervisor/config_yaml.h"

struct plan_report;

enum secret_form {
  SECRET_WHOLE,   // all of it, but for the NAME of ${NAME}: it is no secret, and helps
  SECRET_ADDRESS, // user and password in front of an @, and parameters
};

// In place. The text may become shorter, since a character has up to four bytes.
void secret_hide(char *line);
void secret_hide_address(char *url);
// Every text of the value (a list or a map has several), in the report.
void secret_cover(const struct config_source *source, const struct config_node *value, enum secret_form form, struct plan_report *report);
// The same for columns `from` up to `to` (not included) of a line; bytes of `mask` are set.
void secret_mask_columns(const char *line, char *mask, int from, int to);
// Marks in `mask` (a byte for each of the line's) what secret_hide would cover, and puts the stars in place of what is marked.
void secret_mask(const char *line, char *mask);
void secret_apply(char *line, const char *mask);
