// What a lookup's worker tells about its table, as a row of words that it alone writes: the supervisor shows them, the transformers that
// join the lookup look at the generation between two batches. Zero: nothing has been loaded yet.
//
// The generation is stored last, so that whoever sees it finds the file of that number in place.
#pragma once
#include "shm/words.h"

enum lookup_word {
  LOOKUP_GENERATION, // number in the name of the file that is in use
  LOOKUP_ROWS,
  LOOKUP_BYTES,     // of the file
  LOOKUP_LOADED,    // microseconds UTC at which its rows were read
  LOOKUP_CONFIRMED, // the same, or later: when the source last said that nothing has changed
  LOOKUP_GIVEN_UP,  // not 0: its worker has ended without ever having loaded anything, and nobody will start another one
  LOOKUP_WORDS
};
