// A guess at the next key of a map: records of one stream look alike, so the n-th key of the last record is compared with the n-th of this
// one as it stands there, head and all, in two words. Used by the SQL stage (fields.c) and the table sinks (table.c).
//
// A guess that does not fit costs the comparison; what it stands for (`slot`) is found the slow way then.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { MSGPACK_GUESS_SHORT = 16 }; // bytes of the longest encoded key that is guessed, and bytes that must be readable for a look

struct msgpack_guess {
  uint64_t word[2], mask[2];
  uint32_t size; // of the encoded key
  int32_t slot;  // what the key is to the caller
};

// No key fits it: whatever is masked out is not 1.
static inline void msgpack_guess_none(struct msgpack_guess *guess) {
  *guess = (struct msgpack_guess){.word = {1, 0}};
}

static inline bool msgpack_guess_fits(const struct msgpack_guess *guess, const uint8_t *at, const uint8_t *end) {
  uint64_t word[2];
  if (end - at < MSGPACK_GUESS_SHORT) return false;
  memcpy(word, at, sizeof word);
  return (((word[0] & guess->mask[0]) ^ guess->word[0]) | ((word[1] & guess->mask[1]) ^ guess->word[1])) == 0;
}

// The encoded key of `size` bytes at `at`; a longer one is not guessed.
static inline void msgpack_guess_set(struct msgpack_guess *guess, const uint8_t *at, size_t size, int32_t slot) {
  uint8_t key[MSGPACK_GUESS_SHORT] = {0}, mask[MSGPACK_GUESS_SHORT] = {0};
  if (size > MSGPACK_GUESS_SHORT) return;
  memcpy(key, at, size);
  memset(mask, 0xff, size);
  memcpy(guess->word, key, sizeof guess->word);
  memcpy(guess->mask, mask, sizeof guess->mask);
  guess->size = (uint32_t)size;
  guess->slot = slot;
}
