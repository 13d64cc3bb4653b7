// What a dead letter keeps of the message that its input was: key, headers, time. A text, so that it can be read in any store:
//
//   {"key": K, "headers": [["NAME", V], ...], "topic": "NAME", "partition": N, "offset": N, "timestamp": MILLISECONDS, "tombstone": true}
//
// K and V are null, a text, or {"hex": "00ff"} where the bytes are no UTF-8 or hold a NUL, which not every store takes. Headers stand in
// their order, with those of the same name; without any the list is left out, as are the time that a message has not and the mark of a
// message whose value is null. Where it lay stands in it, too, because a letter of a retry has the retry for its origin.
//
// Called by message_tail.c, which writes it; by the writers of topics, the retry source and `weir dlq`, which read it. An input that was no
// message has none (the text is "").
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"

// `bytes` NULL: null.
struct dead_bytes {
  const uint8_t *bytes;
  size_t length;
};
struct dead_header {
  const char *name; // terminated
  struct dead_bytes value;
};
struct dead_message {
  struct dead_bytes key;
  struct dead_header *headers;
  size_t header_count;
  int64_t millis;    // -1: none
  const char *topic; // terminated; NULL: where it lay is not known
  int32_t partition;
  int64_t offset;
  bool tombstone;
  struct buffer memory; // what all of the above points into
};

// Writing: head, then each header in order, then place where it is known, then tail.
void dead_message_head(struct buffer *out, struct dead_bytes key);
void dead_message_header(struct buffer *out, const char *name, struct dead_bytes value);
void dead_message_place(struct buffer *out, const char *topic, int32_t partition, int64_t offset);
void dead_message_tail(struct buffer *out, int64_t millis, bool tombstone);

// False: the text is none of ours, and *m is empty. Freed by dead_message_free in both cases.
bool dead_message_read(struct dead_message *m, const char *text, size_t length);
// What key and headers count against the size of a message.
size_t dead_message_size(const struct dead_message *m);
void dead_message_free(struct dead_message *m);
