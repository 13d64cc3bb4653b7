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

bool value_is_whole(const char *text) {
  text += *text == '-' || *text == '+';
  return *text && text[strspn(text, "0123456789")] == '\0';
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

// ---- what was probably meant

struct word {
  const char *word;
  int64_t factor;
  const char *unit; // as the language writes it; NULL: in another unit
};
static const struct word duration_words[] = {
    {"ms", 1, "ms"},           {"msec", 1, "ms"},         {"msecs", 1, "ms"},        {"millis", 1, "ms"},     {"millisecond", 1, "ms"},
    {"milliseconds", 1, "ms"}, {"s", 1000, "s"},          {"sec", 1000, "s"},        {"secs", 1000, "s"},     {"second", 1000, "s"},
    {"seconds", 1000, "s"},    {"m", 60000, "m"},         {"min", 60000, "m"},       {"mins", 60000, "m"},    {"minute", 60000, "m"},
    {"minutes", 60000, "m"},   {"h", 3600000, "h"},       {"hr", 3600000, "h"},      {"hrs", 3600000, "h"},   {"hour", 3600000, "h"},
    {"hours", 3600000, "h"},   {"d", 86400000, "d"},      {"day", 86400000, "d"},    {"days", 86400000, "d"}, {"w", 604800000, NULL},
    {"wk", 604800000, NULL},   {"week", 604800000, NULL}, {"weeks", 604800000, NULL}};
// A bare K, M, G is taken for the binary one, as most programs do.
static const struct word size_words[] = {{"B", 1, "B"},         {"byte", 1, "B"},      {"bytes", 1, "B"},       {"k", 1024, "KiB"},
                                         {"KiB", 1024, "KiB"},  {"kB", 1000, "kB"},    {"m", 1 << 20, "MiB"},   {"MiB", 1 << 20, "MiB"},
                                         {"MB", 1000000, "MB"}, {"g", 1 << 30, "GiB"}, {"GiB", 1 << 30, "GiB"}, {"GB", 1000000000, "GB"}};

static const struct word *find_word(const struct word *words, size_t count, const char *text) {
  for (size_t i = 0; i < count; i++)
    if (strcasecmp(words[i].word, text) == 0) return &words[i];
  return NULL;
}

// "1.5 GiB": one number, perhaps with a fraction, and one word; *number is what stands before the word, *amount both together.
static const struct word *read_amount(const char *text, const struct word *words, size_t count, double *number, int64_t *amount) {
  char *end;
  if (!is_digit(*text)) return NULL;
  *number = strtod(text, &end);
  end += strspn(end, " _");
  const struct word *word = find_word(words, count, end);
  double whole = word ? *number * (double)word->factor : -1;
  if (!word || whole > 1e15 || whole != floor(whole)) return NULL;
  *amount = (int64_t)whole;
  return word;
}

bool value_duration_near(const char *text, char out[VALUE_TEXT]) {
  double number;
  int64_t amount;
  const struct word *word = read_amount(text, duration_words, sizeof duration_words / sizeof *duration_words, &number, &amount);
  if (!word) return false;
  if (word->unit && number == floor(number))
    snprintf(out, VALUE_TEXT, "%.0f%s", number, word->unit);
  else
    value_duration_text(amount, out);
  return true;
}

bool value_size_near(const char *text, char out[VALUE_TEXT]) {
  double number;
  int64_t amount;
  const struct word *word = read_amount(text, size_words, sizeof size_words / sizeof *size_words, &number, &amount);
  if (!word) return false;
  if (number == floor(number))
    snprintf(out, VALUE_TEXT, "%.0f%s", number, word->unit);
  else if (word->factor % 1024 == 0)
    value_size_text(amount, out);
  else
    snprintf(out, VALUE_TEXT, "%" PRId64, amount);
  return true;
}
