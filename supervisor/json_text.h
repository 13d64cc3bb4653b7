// JSON printed piece by piece, for the answers of verbs with --json and for the JSON Schema. Commas and escapes are set here; the caller
// opens and closes in the right order.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"

struct json_text {
  struct buffer *out;
  bool pretty;     // two blanks a level, a line for each value
  bool has_before; // the next value needs a comma
  unsigned depth;
};

// `key` NULL in arrays and for the outermost value. A NULL string is null.
void json_text_open(struct json_text *j, const char *key, char bracket);
void json_text_close(struct json_text *j, char bracket);
void json_text_string(struct json_text *j, const char *key, const char *value);
void json_text_int(struct json_text *j, const char *key, int64_t value);
void json_text_bool(struct json_text *j, const char *key, bool value);
void json_text_raw(struct json_text *j, const char *key, const char *json); // a value that is JSON already
