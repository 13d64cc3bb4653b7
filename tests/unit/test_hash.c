// The stored hash against published vectors of XXH64 (those of the algorithm's own sanity check: a generated buffer, two seeds).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "proto/hash.h"

static const uint64_t prime32 = 2654435761u, prime64 = 11400714785074694797u;

static void agrees_with_published_vectors(void **state) {
  (void)state;
  static const struct {
    size_t length;
    uint64_t seed, hash;
  } vectors[] = {
      {0, 0, 0xEF46DB3751D8E999u},
      {0, 2654435761u, 0xAC75FDA2929B17EFu},
      {1, 0, 0xE934A84ADB052768u},
      {1, 2654435761u, 0x5014607643A9B4C3u},
      {4, 0, 0x9136A0DCA57457EEu},
      {14, 0, 0x8282DCC4994E35C8u},
      {14, 2654435761u, 0xC3BD6BF63DEB6DF0u},
      {222, 0, 0xB641AE8CB691C174u},
      {222, 2654435761u, 0x20CB8AB7AE10C14Au},
  };
  uint8_t bytes[222];
  uint64_t generator = prime32;
  for (size_t i = 0; i < sizeof bytes; i++) {
    bytes[i] = (uint8_t)(generator >> 56);
    generator *= prime64;
  }
  for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
    assert_int_equal(hash_bytes(bytes, vectors[i].length, vectors[i].seed), vectors[i].hash);
}

// As the tests of Kafka's Java client have them.
static void deals_keys_as_java_does(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int32_t hash;
  } vectors[] = {
      {"21", -973932308},
      {"foobar", -790332482},
      {"a-little-bit-long-string", -985981536},
      {"a-little-bit-longer-string", -1486304829},
      {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
      {"abc", 479470107},
  };
  for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
    assert_int_equal((int32_t)hash_kafka(vectors[i].text, strlen(vectors[i].text)), vectors[i].hash);
}

static void agrees_on_a_text(void **state) {
  (void)state;
  assert_int_equal(hash_bytes("abc", 3, 0), 0x44BC2CF5AD770999u);
  assert_int_equal(hash_bytes("a", 1, 0), 0xD24EC4F1A98C6E5Bu);
}

static void does_not_care_about_alignment(void **state) {
  (void)state;
  uint8_t bytes[80] = {0};
  for (size_t i = 0; i < 64; i++) bytes[i] = (uint8_t)(i * 37);
  for (size_t length = 0; length <= 64; length++) {
    uint64_t expected = hash_bytes(bytes, length, 5);
    for (size_t shift = 1; shift < 8; shift++) {
      uint8_t moved[80];
      memcpy(moved + shift, bytes, length);
      assert_int_equal(hash_bytes(moved + shift, length, 5), expected);
    }
    if (length > 0) assert_int_not_equal(hash_bytes(bytes, length - 1, 5), expected);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_with_published_vectors),
      cmocka_unit_test(agrees_on_a_text),
      cmocka_unit_test(deals_keys_as_java_does),
      cmocka_unit_test(does_not_care_about_alignment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
