// "did you mean ...?": the nearest of some names, by edit distance (insertions, deletions, replacements, swapped neighbours; case ignored).
// Called for settings, node names, kinds, types, and by the command line for verbs and options.
#pragma once
#include <stddef.h>

enum { SUGGEST_LENGTH = 64 }; // longer names are never compared

struct suggest {
  const char *wanted;
  const char *best; // NULL: nothing is near
  size_t distance;
};
struct suggest suggest_start(const char *wanted);
void suggest_try(struct suggest *s, const char *name);
// Edits between two names; SIZE_MAX when one of them is longer than SUGGEST_LENGTH.
size_t suggest_distance(const char *a, const char *b);
