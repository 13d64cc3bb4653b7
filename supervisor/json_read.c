// See json_read.h.
#include "supervisor/json_read.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/json.h"

bool json_read(const struct buffer *text, struct buffer *packed, struct job_value *root) {
  struct json_parser *parser = json_parser_new();
  struct error e = {0};
  char *padded = memory_get(text->length + JSON_PADDING);
  if (text->length > 0) memcpy(padded, text->at, text->length);
  buffer_clear(packed);
  bool good = json_to_msgpack(parser, padded, text->length, packed, &e);
  *root = (struct job_value){.at = good ? packed->at : NULL, .end = good ? packed->at + packed->length : NULL};
  free(padded);
  json_parser_free(parser);
  return good;
}
