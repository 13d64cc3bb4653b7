// See settings_value.h.
#include "supervisor/settings_value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MOST = 63 };

struct unit {
  const char *name;
  int64_t factor;
};
static const struct unit duration_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit size_units[] = {{"B", 1},     {"KiB", 1024},   {"MiB", 1 << 20},  {"GiB", 1 << 30},
                                         {"kB", 1000}, {"MB", 1000000}, {"GB", 1000000000}};

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool value_int(const char *text, int64_t *value) {
  const char *digits = text + (*text == '-' || *text == '+');
  if (!is_digit(*digits)) return false;
  char *end;
  errno = 0;
  long long read = strtoll(text, &end, 10);
  if (*end || errno) return false;
  *value = read;
  return true;
}

bool value_bool(const char *text, bool *value) {
  *value = strcmp(text, "true") == 0;
  return *value || strcmp(text, "false") == 0;
}

bool value_ratio(const char *text, double *value) {
  if (!is_digit(*text)) return false;
  char *end;
  double read = strtod(text, &end);
  if (strcmp(end, "%") == 0)
    read /= 100;
  else if (*end)
    return false;
  if (!isfinite(read) || read < 0 || read > 1) return false;
  *value = read;
  return true;
}

// One number with its unit; moves *text behind it.
static bool take_amount(const char **text, const struct unit *units, size_t count, int64_t *amount) {
  if (!is_digit(**text)) return false;
  char *end;
  errno = 0;
  long long number = strtoll(*text, &end, 10);
  if (errno) return false;
  size_t length = 0;
  while (isalpha((unsigned char)end[length])) length++;
  for (size_t i = 0; i < count; i++) {
    if (strlen(units[i].name) != length || strncmp(units[i].name, end, length) != 0) continue;
    *text = end + length;
    return !__builtin_mul_overflow(number, units[i].factor, amount);
  }
  return false;
}

bool value_size(const char *text, int64_t *bytes) {
  int64_t number;
  if (is_digit(*text) && value_int(text, &number)) {
    *bytes = number;
    return true;
  }
  return take_amount(&text, size_units, sizeof size_units / sizeof *size_units, bytes) && !*text;
}

bool value_choice(const char *text, const char *choices) {
  size_t length = strcspn(text, "|");
  if (text[length]) return false;
  for (const char *p = choices; p; p = strchr(p, '|'), p = p ? p + 1 : NULL)
    if (strncmp(p, text, length) == 0 && (p[length] == '|' || !p[length]) && length > 0) return true;
  return false;
}

bool value_name(const char *text) {
  size_t length = strlen(text);
  if (length == 0 || length > NAME_MOST || (!isalnum((unsigned char)*text) && *text != '_')) return false;
  for (const char *p = text; *p; p++)
    if (!isalnum((unsigned char)*p) && !strchr("_-.", *p)) return false;
  return true;
}

bool value_node_name(const char *text) {
  return value_name(text) && !is_digit(*text) && !strchr(text, '.');
}

void value_duration_text(int64_t milliseconds, char out[32]) {
  if (milliseconds == 0) {
    snprintf(out, 32, "0");
    return;
  }
  size_t unit = sizeof duration_units / sizeof *duration_units - 1;
  while (unit > 0 && milliseconds % duration_units[unit].factor != 0) unit--;
  snprintf(out, 32, "%" PRId64 "%s", milliseconds / duration_units[unit].factor, duration_units[unit].name);
}

void value_size_text(int64_t bytes, char out[32]) {
  size_t unit = 3;
  while (unit > 0 && bytes % size_units[unit].factor != 0) unit--;
  snprintf(out, 32, "%" PRId64 "%s", bytes / size_units[unit].factor, unit ? size_units[unit].name : " bytes");
}
