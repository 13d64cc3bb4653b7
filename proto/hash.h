// One hash for identities, seen records and witnesses: 64 bits, the same on every machine and in every release (it is stored).
// The XXH64 algorithm by its public specification, seed 0 unless given.
#pragma once
#include <stddef.h>
#include <stdint.h>
uint64_t hash_bytes(const void *bytes, size_t length, uint64_t seed);
// The hash by which Kafka's Java client deals keys to partitions: (hash & 0x7fffffff) % partitions.
uint32_t hash_kafka(const void *bytes, size_t length);
