// A strict, slow reading of JSON (RFC 8259) that says where a document breaks and why. Called after the fast parser has refused a document,
// and by the fuzzer, as its oracle: the two were written apart and must agree on every input.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct json_flaw {
  size_t offset;    // of the first byte that cannot stand there; the length where the document ends too early
  const char *what; // static
  bool too_deep;
};

// True: one well-formed document, nested at most `depth` deep (at most JSON_SCAN_DEPTH_MOST).
enum { JSON_SCAN_DEPTH_MOST = 1024 };
bool json_scan(const char *text, size_t length, unsigned depth, struct json_flaw *flaw);
