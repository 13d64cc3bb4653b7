// Optimal string alignment over three rows. Near means at most a third of the longer name, and at most 3 edits.
#include "supervisor/suggest.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

enum { MOST_EDITS = 3 };

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

static int lower(char c) {
  return tolower((unsigned char)c);
}

size_t suggest_distance(const char *a, const char *b) {
  size_t rows = strlen(a), columns = strlen(b);
  if (rows > SUGGEST_LENGTH || columns > SUGGEST_LENGTH) return SIZE_MAX;
  size_t table[3][SUGGEST_LENGTH + 1];
  for (size_t j = 0; j <= columns; j++) table[0][j] = j;
  for (size_t i = 1; i <= rows; i++) {
    size_t *row = table[i % 3], *above = table[(i + 2) % 3], *two_above = table[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= columns; j++) {
      size_t same = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
      row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + same);
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
        row[j] = least(row[j], two_above[j - 2] + 1);
    }
  }
  return table[rows % 3][columns];
}

struct suggest suggest_start(const char *wanted) {
  return (struct suggest){.wanted = wanted, .distance = SIZE_MAX};
}

void suggest_try(struct suggest *s, const char *name) {
  size_t distance = suggest_distance(s->wanted, name);
  size_t wanted = strlen(s->wanted), other = strlen(name);
  size_t longer = wanted > other ? wanted : other;
  if (distance > MOST_EDITS || distance * 3 > longer + 2 || distance >= longer || distance >= s->distance) return;
  s->best = name;
  s->distance = distance;
}
