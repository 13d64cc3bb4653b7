// JSON to msgpack through simdjson. The C++ file behind this header (json_simdjson.cc) is the only one of the project.
//
// Numbers keep their kind: int64, uint64 (above INT64_MAX), double; a number that fits none (1e999, 20 digits and more) stays text, its
// digits as they stand, and is counted. Strings stay UTF-8. A duplicate key keeps the last value, at the place of the first. Depth is
// bounded by LIMIT_DEPTH, the result by LIMIT_RECORD. Broken JSON or invalid UTF-8 gives an error with the byte offset in the document,
// never a crash. One parser per thread; its memory is kept between documents (malloc each time costs a factor of 3) and given back by
// json_parser_trim.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;
struct error;
struct json_parser;
struct msgpack_writer;

struct json_parser *json_parser_new(void); // ends the process when out of memory
void json_parser_free(struct json_parser *p);
void json_parser_trim(struct json_parser *p);                  // after a large document: back to a few KiB
uint64_t json_parser_odd_numbers(const struct json_parser *p); // numbers kept as text since json_parser_new

// Bytes that must be readable (any value) behind a text given to the parser.
enum { JSON_PADDING = 64 };

// One document (any JSON value) to one msgpack value appended to `out`. `text` needs JSON_PADDING readable bytes behind `length`. On error
// out is unchanged, e: class ERROR_DATA, code "json" (or "too-deep", "too-large"), text "... at byte N".
bool json_to_msgpack(struct json_parser *p, const char *text, size_t length, struct buffer *out, struct error *e);
// The same into fixed memory (a ring reservation). Code "too-large" when it does not fit.
bool json_to_msgpack_at(struct json_parser *p, const char *text, size_t length, struct msgpack_writer *out, struct error *e);

// A document with many records in it: parse once, then the records one by one. `path` ("events", "data.items", "" for the document itself)
// must lead to an array (each element is a record) or an object (one record). An absent path is ERROR_DATA with code "no-records":
// a failed poll, not an empty one. The text must stay until json_records_close.
bool json_records_open(struct json_parser *p, const char *text, size_t length, const char *path, struct error *e);
// Appends the next record to out. 1: given; 0: no more; -1: error (one record, e.g. too large or too deep: the next call goes on behind
// it).
int json_records_next(struct json_parser *p, struct buffer *out, struct error *e);
// The text of the record that the last call of json_records_next gave or refused, as it stands in the document ("" before the first).
// Found by walking the text from the record that was asked for before: meant for records that were refused, not for all.
const char *json_record_text(struct json_parser *p, size_t *length);
// Any other value of the open document (next link, cursor): appended as msgpack; false when absent.
bool json_document_value(struct json_parser *p, const char *path, struct buffer *out);
void json_records_close(struct json_parser *p);
