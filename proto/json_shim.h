// The border between C (json.c, msgpack_json.c) and the one C++ file (json_simdjson.cc). No exception and no C++ type crosses it.
//
// The C++ side parses and writes msgpack; it says only that something is wrong. What is wrong and where, the strict scanner (json_scan.h)
// finds out afterwards: broken documents are rare, and the fast path need not keep the books for them.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct json_shim;

enum json_shim_result { JSON_SHIM_DONE, JSON_SHIM_BROKEN, JSON_SHIM_TOO_DEEP };

struct json_shim *json_shim_new(void);
void json_shim_free(struct json_shim *s);

// Bytes of the longest text that is looked at.
#define JSON_SHIM_LONGEST ((size_t)1 << 30)

// First half: finds the places where something begins, checks UTF-8 and that strings end. On success *most is the number of bytes that the
// second half may touch at its target (more than it will use): it is given that room and checks no bound.
bool json_shim_index(struct json_shim *s, const char *text, size_t length, size_t *most);
// Second half: the indexed document as one msgpack value at `out`. Containers nested more than `depth` deep: JSON_SHIM_TOO_DEEP. *odd
// counts the numbers that stayed text.
enum json_shim_result json_shim_convert(struct json_shim *s, uint8_t *out, unsigned depth, size_t *written, uint64_t *odd);
// Bytes that are kept for the next document.
size_t json_shim_memory(const struct json_shim *s);

// The shortest digits that read back as the same (finite) number, as JSON has numbers; always with a "." or an "e", so that a double stays
// one. Returns the length; no terminator.
enum { JSON_DOUBLE_TEXT = 40 };
size_t json_shim_print_double(double value, char out[JSON_DOUBLE_TEXT]);
// Of the parser that this was built with.
const char *json_shim_version(void);

#ifdef __cplusplus
}
#endif
