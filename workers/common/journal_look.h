// A look into a source's journal from outside, for the verbs: how far it goes and what lies between two positions. Read only; the owner of
// the journal is workers/sources/journal.h, which describes its tables.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"

struct journal_span {
  int64_t last;         // the highest position given out
  int64_t records;      // that lie behind `from` and up to `to`
  int64_t first, until; // arrival of the first and the last of them, microseconds; 0 when there is none
};
// False: the source has no journal (e is ERROR_NONE), or it cannot be read (e is set).
bool journal_look(const char *state, const char *source, int64_t from, int64_t to, struct journal_span *span, struct error *e);
