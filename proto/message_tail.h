// What a record carries of the message that it came from, behind its body: key, headers, place, time. Rows that die further down get it
// into their dead letters, whatever their SQL has made of them.
//
// A sequence of msgpack values up to the end: key (bytes, nil for null), topic text, partition, offset, milliseconds (-1: none), tombstone
// bool; then for each header, in order, name text and value (bytes, nil for null). Written once by the reader, copied as it is by stages,
// turned into the text of dead_message.h only when a row dies. Its length stands in the record's header (proto/record.h).
//
// Called by the topic source and the retry source, which write it; by the topic source, stages and sinks, which read it for a letter.
#pragma once
#include "proto/dead_message.h"

// Bytes that a tail may have; what would be longer is left out.
enum { MESSAGE_TAIL_MOST = UINT16_MAX };

// Everything of *m with its headers; more of them may follow. What a tail cannot hold is cleared by message_tail_end.
void message_tail_begin(struct buffer *out, const struct dead_message *m);
// False: there is too much of it already, more need not be added.
bool message_tail_header(struct buffer *out, const char *name, struct dead_bytes value);
// Clears `out` when it is longer than `most` (which counts up to MESSAGE_TAIL_MOST).
void message_tail_end(struct buffer *out, size_t most);

// As the text of a dead letter into `out`, which is cleared first. Empty: there is no tail, it is none, or the text would exceed
// LIMIT_DEAD_MESSAGE.
void message_tail_text(const uint8_t *at, size_t length, struct buffer *out);
