// The brake: a sink whose rows die in masses stops and says so, because a changed source must not drain into the dead letters.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"
#include "workers/sinks/batch.h"

enum { BRAKE_WINDOW = 1000 };

struct brake {
  double stop_above;          // share of the last BRAKE_WINDOW rows
  uint8_t dead[BRAKE_WINDOW]; // by row number modulo the window: 1 = it died
  unsigned next, sum;
};

// Looks at the rows of a batch that is about to be committed. False: ERROR_OPERATOR.
bool brake_allows(const struct brake *brake, const struct batch *b, struct error *e);
// The batch is durable: its rows are part of the window now.
void brake_note(struct brake *brake, const struct batch *b);
