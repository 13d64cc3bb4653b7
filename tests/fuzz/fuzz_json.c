// Any bytes as a JSON document. The first byte chooses what lies behind the text and how it is read; the rest is the text.
//
// Holds: the fast reader and the strict scanner judge alike; what is taken is sound msgpack; writing it as JSON and reading that gives the
// same bytes; fixed memory gives the same as a growing buffer; nothing is read behind the padding (address sanitizer).
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "proto/json.h"
#include "proto/json_scan.h"
#include "proto/limits.h"
#include "proto/msgpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct json_parser *parser;

static void must(bool holds) {
  if (!holds) abort();
}

static char *padded(const uint8_t *text, size_t length, uint8_t fill) {
  char *copy = memory_get(length + JSON_PADDING);
  memset(copy, fill, length + JSON_PADDING);
  if (length > 0) memcpy(copy, text, length);
  return copy;
}

static void check_way_back(const struct buffer *first) {
  struct buffer json = {0}, second = {0};
  struct error e = {0};
  const uint8_t *at = first->at;
  must(msgpack_valid(first->at, first->at + first->length));
  must(msgpack_to_json(&at, first->at + first->length, &json));
  char *text = padded(json.at, json.length, '}');
  must(json_to_msgpack(parser, text, json.length, &second, &e));
  must(second.length == first->length && memcmp(second.at, first->at, second.length) == 0);
  free(text);
  buffer_free(&json);
  buffer_free(&second);
}

static void check_fixed(const char *text, size_t length, const struct buffer *whole, size_t room) {
  struct error e = {0};
  uint8_t *memory = memory_get(room);
  struct msgpack_writer w = {memory, memory + room, false};
  bool done = json_to_msgpack_at(parser, text, length, &w, &e);
  must(done == (room >= whole->length));
  if (done) must((size_t)(w.at - memory) == whole->length && memcmp(memory, whole->at, whole->length) == 0);
  free(memory);
}

// The piece of the text that a record was made of says the same when it is read alone. (A parser of its own: the document stays open.)
static void check_piece(const char *text, size_t length, const struct buffer *record) {
  static struct json_parser *other;
  struct error e = {0};
  struct buffer again = {0};
  size_t piece;
  const char *at = json_record_text(parser, &piece);
  must(at >= text && at <= text + length && piece <= (size_t)(text + length - at));
  if (!other) other = json_parser_new();
  must(json_to_msgpack(other, at, piece, &again, &e) == (record->length > 0));
  must(again.length == record->length && (again.length == 0 || memcmp(again.at, record->at, again.length) == 0));
  buffer_free(&again);
}

static void check_records(const char *text, size_t length, const char *path) {
  struct error e = {0};
  struct buffer out = {0};
  if (json_records_open(parser, text, length, path, &e)) {
    int more;
    while ((more = json_records_next(parser, &out, &e)) != 0) {
      if (more > 0) must(msgpack_valid(out.at, out.at + out.length));
      if (more < 0) must(e.class == ERROR_DATA);
      check_piece(text, length, &out);
      buffer_clear(&out);
    }
  }
  (void)json_document_value(parser, "next", &out);
  json_records_close(parser);
  buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!parser) parser = json_parser_new();
  if (size == 0) return 0;
  size_t length = size - 1;
  char *text = padded(data + 1, length, data[0]);
  struct buffer out = {0};
  struct error e = {0};
  struct json_flaw flaw;
  bool taken = json_to_msgpack(parser, text, length, &out, &e);
  must(taken == json_scan(text, length, LIMIT_DEPTH, &flaw));
  if (taken) {
    check_way_back(&out);
    check_fixed(text, length, &out, data[0]);
    check_fixed(text, length, &out, out.length);
    check_fixed(text, length, &out, 4 * length + 1000);
  } else {
    must(e.class == ERROR_DATA && flaw.offset <= length);
  }
  check_records(text, length, data[0] % 2 ? "a.b[0]" : "");
  buffer_free(&out);
  free(text);
  return 0;
}
