// XXH64, written from the public specification (github.com/Cyan4973/xxHash, doc/xxhash_spec.md). The value is stored in journals and
// positions, so it may never change: the test holds published vectors against it.
#include "proto/hash.h"

#include <endian.h>
#include <string.h>

static const uint64_t prime1 = 0x9E3779B185EBCA87u, prime2 = 0xC2B2AE3D27D4EB4Fu, prime3 = 0x165667B19E3779F9u,
                      prime4 = 0x85EBCA77C2B2AE63u, prime5 = 0x27D4EB2F165667C5u;

static uint64_t rotate(uint64_t value, unsigned bits) {
  return value << bits | value >> (64 - bits);
}

static uint64_t read64(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return le64toh(value);
}

static uint32_t read32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return le32toh(value);
}

static uint64_t round_one(uint64_t accumulator, uint64_t lane) {
  return rotate(accumulator + lane * prime2, 31) * prime1;
}

static uint64_t merge(uint64_t hash, uint64_t accumulator) {
  return (hash ^ round_one(0, accumulator)) * prime1 + prime4;
}

// Whole stripes of 32 bytes: four accumulators side by side.
static uint64_t hash_stripes(const uint8_t **at, const uint8_t *end, uint64_t seed) {
  uint64_t a = seed + prime1 + prime2, b = seed + prime2, c = seed, d = seed - prime1;
  const uint8_t *p = *at;
  for (; end - p >= 32; p += 32) {
    a = round_one(a, read64(p));
    b = round_one(b, read64(p + 8));
    c = round_one(c, read64(p + 16));
    d = round_one(d, read64(p + 24));
  }
  *at = p;
  uint64_t hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
  return merge(merge(merge(merge(hash, a), b), c), d);
}

uint64_t hash_bytes(const void *bytes, size_t length, uint64_t seed) {
  const uint8_t *at = bytes;
  uint64_t hash;
  if (length >= 32) {
    const uint8_t *end = at + length;
    hash = hash_stripes(&at, end, seed);
  } else {
    hash = seed + prime5;
  }
  hash += length;
  size_t left = length % 32;
  for (; left >= 8; left -= 8, at += 8) hash = rotate(hash ^ round_one(0, read64(at)), 27) * prime1 + prime4;
  if (left >= 4) {
    hash = rotate(hash ^ read32(at) * prime1, 23) * prime2 + prime3;
    at += 4;
    left -= 4;
  }
  for (; left > 0; left--, at++) hash = rotate(hash ^ *at * prime5, 11) * prime1;
  hash = (hash ^ hash >> 33) * prime2;
  hash = (hash ^ hash >> 29) * prime3;
  return hash ^ hash >> 32;
}

// MurmurHash2 with the seed of Kafka's Java client, from the published algorithm (32-bit words, little endian).
uint32_t hash_kafka(const void *bytes, size_t length) {
  static const uint32_t multiplier = 0x5bd1e995u, seed = 0x9747b28cu;
  const uint8_t *at = bytes, *end = at + length;
  uint32_t h = seed ^ (uint32_t)length;
  for (; end - at >= 4; at += 4) {
    uint32_t k = read32(at) * multiplier;
    k ^= k >> 24;
    h = (h * multiplier) ^ (k * multiplier);
  }
  if (end > at) {
    for (size_t i = 0; i < (size_t)(end - at); i++) h ^= (uint32_t)at[i] << (8 * i);
    h *= multiplier;
  }
  h ^= h >> 13;
  h *= multiplier;
  return h ^ h >> 15;
}
