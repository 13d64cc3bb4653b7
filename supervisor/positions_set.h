// `weir positions set`: one sink's positions, changed after it was said what that repeats or skips.
//
// NAME          positions_set - look, foretell, ask, store
// DESCRIPTION   Each stream of the sink that the words choose is looked at through its source's kind (position_look.h): a place in the
//               middle of a record, or one that the source has not given out, is refused before anything is changed. All streams are
//               changed in one transaction.
// DIAGNOSTICS   As verb_stores.h.
#pragma once
#include "supervisor/verb_stores.h"

struct positions_wish {
  const char *source, *partition; // NULL: any
  const char *to;                 // a number, "earliest", "latest", "forget"; NULL: the user forgot it
  bool dry_run, yes, json;
};
int positions_set(const struct plan *plan, const char *sink, const struct positions_wish *wish);
