// A dead letter as a message: the original bytes are the value, what is known of its death stands in headers whose names begin with
// "weir.".
//
// Called by the topic sink for its own letters. Headers: weir.reason, weir.code, weir.node, weir.origin ("SOURCE[PARTITION] POSITION"),
// weir.id, weir.format, and where they apply weir.column, weir.constraint, weir.cut.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "workers/clients/kafka_producer.h"
#include "workers/sinks/target.h"

enum { KAFKA_DEAD_HEADERS = 9 };

struct kafka_dead {
  const void *key, *value;
  size_t key_length, value_length;
  struct kafka_header headers[KAFKA_DEAD_HEADERS];
  size_t count;
  struct buffer texts; // holds the values of the headers
  struct buffer json;  // holds the value, when it is a record of weir's own
};

// `most` bounds key, value and headers together: a longer value is cut and says so.
void kafka_dead_make(const struct dead_entry *entry, uint32_t most, struct kafka_dead *letter);
void kafka_dead_free(struct kafka_dead *letter);
