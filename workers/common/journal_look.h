// A look into a source's journal from outside, for `weir positions`: how far it goes and what lies between two positions. Read only; the
// owner of the journal is workers/sources/journal.h, which describes its tables.
#pragma once
#include "workers/common/position_look.h"

bool journal_position_look(const struct position_ask *ask, struct position_answer *answer, struct error *e);
