// Copies of dead letters: every letter that a sink's store gets is given a number, so that a source can read them as a stream.
//
// Called by the letters source; implemented in workers/sinks/store_letters.c.
//
// The order is that in which letters become visible: what was committed later has a higher number, whatever its time says. Table
// weir_copied beside weir_dead holds the number of each letter, weir_copies the identity of the stream and the highest number given out.
// Numbers are given once, in one transaction with the counter; a number whose letter is gone (dropped, or sent again) stays empty.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "workers/common/stores.h"

enum { STORE_LETTERS_ID = 33 };

struct store_copies {
  bool found; // the store has had letters
  char id[STORE_LETTERS_ID];
  uint64_t last; // the highest number given out
};
// Numbers the letters that have none yet, and tells how far that went. After an error, or when nothing was found, the store must be closed.
bool store_letters_number(struct store *s, struct store_copies *stream, struct error *e);

struct store_copy {
  uint64_t number;
  bool gone, cut; // the rest is not there
  const char *id, *node, *reason, *code, *source, *partition, *column, *constraint, *format,
      *message; // valid during the call
  const char *first;
  int64_t position, part;
  const uint8_t *data;
  size_t length;
};
typedef void store_copy_told(void *context, const struct store_copy *copy);
// The first `most` numbers behind `after`, in order.
bool store_letters_read(struct store *s, uint64_t after, unsigned most, store_copy_told *tell, void *context, struct error *e);
// Numbers up to `upto` whose letters are gone are forgotten.
bool store_letters_forget(struct store *s, uint64_t upto, struct error *e);
