// A dead letter as a message: the original bytes are the value, what is known of its death stands in headers whose names begin with
// "weir.".
//
// Called by the topic sink for its own letters. Headers: weir.reason, weir.code, weir.node, weir.origin ({"source": .., "partition": ..,
// "position": .., ..}), weir.id, weir.format, and where they apply weir.column, weir.constraint, weir.cut. Of what was a message itself key
// and headers stand in front of them, so that ours are the last of their names.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/dead_message.h"
#include "workers/clients/kafka_producer.h"
#include "workers/sinks/target.h"

enum { KAFKA_DEAD_HEADERS = 9 };

struct kafka_dead {
  const void *key, *value;
  size_t key_length, value_length;
  struct kafka_header *headers;
  size_t count;
  struct dead_message message; // holds the key and the headers of the original
  struct buffer texts;         // holds the values of the headers
  struct buffer json;          // holds the value, when it is a record of weir's own
};

// `most` bounds key, value and headers together. Key and headers of the original are left out where they would take more than a quarter of
// it, or where the value fits without them only; then a longer value is cut. A letter that is not whole says so.
void kafka_dead_make(const struct dead_entry *entry, uint32_t most, struct kafka_dead *letter);
void kafka_dead_free(struct kafka_dead *letter);
