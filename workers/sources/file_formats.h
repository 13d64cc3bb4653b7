// What is in a file: each format takes inputs out of the block (or the document) and puts them into the ring.
#pragma once
#include "workers/sources/file_state.h"

// Takes the complete lines out of the block and moves file->at behind them. `last`: the rest without a newline is a line too.
bool file_lines_take(struct file_source *f, struct file *file, bool last, struct error *e);
// Takes the complete msgpack values out of the block. `last`: a rest is a broken value.
bool file_values_take(struct file_source *f, struct file *file, bool last, struct error *e);
// Takes the records of the whole document behind the stream's position.
bool file_document_take(struct file_source *f, struct file *file, struct error *e);
// Number of records in the document: where `latest` starts.
bool file_document_count(struct file_source *f, struct file *file, uint64_t *count, struct error *e);
// The record at `position` is the one that the witness names. False: ERROR_OPERATOR with the choices.
bool file_document_verify(struct file_source *f, struct file *file, uint64_t position, uint64_t witness, struct error *e);

// One JSON text as one input: data when it is an object, else a dead letter.
bool file_json_input(struct file_source *f, const struct source_input *input, const char *text, size_t length, struct error *e);
// The length of the one msgpack value at `at`, whatever it nests. SHORT: its end is not there.
enum file_span { FILE_SPAN_WHOLE, FILE_SPAN_SHORT, FILE_SPAN_BROKEN };
enum file_span file_value_span(const uint8_t *at, const uint8_t *end, size_t *length);
// One msgpack value as one input.
bool file_value_input(struct file_source *f, const struct source_input *input, const uint8_t *at, size_t length, struct error *e);
// True when the value is a map.
static inline bool file_is_map(uint8_t head) {
  return (head & 0xf0) == 0x80 || head == 0xde || head == 0xdf;
}
