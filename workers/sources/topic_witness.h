// The witness of a position in a topic: a check value over time, key and value of the last record in front of it, stored with it. It must
// stay the same in every release. Fast rather than hard to forge: it tells a topic that was made anew, not an enemy. 0 stands for "no
// witness".
//
//   bits 0 to 47   the check value, never 0
//   bits 48 to 63  how many offsets lie between that record and the position: marks of transactions and aborted records, of which nothing
//                  flows, though the position moves over them
#pragma once
#include <endian.h>
#include <stdint.h>
#include <string.h>

#define TOPIC_WITNESS_BITS 48
#define TOPIC_WITNESS_HASH (((uint64_t)1 << TOPIC_WITNESS_BITS) - 1)

static inline uint64_t topic_witness_fold(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t topic_witness_load(const uint8_t *at) {
  uint64_t v;
  memcpy(&v, at, sizeof v);
  return le64toh(v);
}

// Sixteen bytes a step, and three steps at once where there is enough: a step must wait for the one before it. The last step covers the
// last sixteen bytes, whatever it covers twice.
static inline uint64_t topic_witness_bytes(const uint8_t *at, uint32_t length, uint64_t hash) {
  static const uint64_t one = 0xa0761d6478bd642fu, two = 0xe7037ed1a0b428dbu, three = 0x8ebc6af09c88c6e3u;
  uint8_t few[16] = {0};
  hash ^= length;
  if (length < sizeof few) {
    if (length > 0) memcpy(few, at, length);
    return topic_witness_fold(topic_witness_load(few) ^ two, topic_witness_load(few + 8) ^ hash);
  }
  const uint8_t *last = at + length - 16;
  if (length > 48) {
    uint64_t second = hash, third = hash;
    for (; at + 32 < last; at += 48) {
      hash = topic_witness_fold(topic_witness_load(at) ^ one, topic_witness_load(at + 8) ^ hash);
      second = topic_witness_fold(topic_witness_load(at + 16) ^ two, topic_witness_load(at + 24) ^ second);
      third = topic_witness_fold(topic_witness_load(at + 32) ^ three, topic_witness_load(at + 40) ^ third);
    }
    hash ^= second ^ (third << 1 | third >> 63);
  }
  for (; at < last; at += 16) hash = topic_witness_fold(topic_witness_load(at) ^ two, topic_witness_load(at + 8) ^ hash);
  return topic_witness_fold(topic_witness_load(last) ^ two, topic_witness_load(last + 8) ^ hash);
}

// `key` and `value` NULL: null, which is not the same as empty.
static inline uint64_t topic_witness(int64_t millis, const uint8_t *key, uint32_t key_length, const uint8_t *value, uint32_t value_length) {
  uint64_t hash = topic_witness_fold((uint64_t)millis ^ 0x8ebc6af09c88c6e3u, 0x589965cc75374cc3u ^ (uint64_t)(!key + 2 * !value));
  if (key) hash = topic_witness_bytes(key, key_length, hash);
  hash = topic_witness_bytes(value, value_length, hash) & TOPIC_WITNESS_HASH;
  return hash == 0 ? 1 : hash;
}

// The offset of the record that the witness of a position speaks of.
static inline uint64_t topic_witness_offset(uint64_t position, uint64_t witness) {
  return position - 1 - (witness >> TOPIC_WITNESS_BITS);
}

// What the witness becomes where the position moves on by `more` offsets without a record; 0 when the record is too far away by then.
static inline uint64_t topic_witness_moved(uint64_t witness, uint64_t more) {
  uint64_t between = (witness >> TOPIC_WITNESS_BITS) + more;
  if (witness == 0 || between < more || between > UINT16_MAX) return 0;
  return between << TOPIC_WITNESS_BITS | (witness & TOPIC_WITNESS_HASH);
}
