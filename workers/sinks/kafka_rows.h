// Records as messages of a topic: key, value and headers as bytes.
//
// Called by target_kafka.c. Bytes are appended to a buffer of the caller, which hands them to the producer without another copy; places are
// offsets because the buffer moves while it grows.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "workers/sinks/batch.h"
#include "workers/sinks/kafka_key.h"
#include "workers/sinks/topic_settings.h"

struct kafka_place {
  bool is_there; // false: a message without a key, or without a value
  size_t at, length;
};

struct kafka_row {
  struct kafka_place key, value;
};

// Why a record cannot be a message.
struct kafka_fault {
  const char *reason, *code, *column; // static, or the settings', or those of `e`; column NULL: the record as a whole
  struct error e;                     // of the key's expression
};

// `key`: of `key_sql`, NULL: without. False: *fault, and `out` is as it was.
bool kafka_row_make(const struct topic_settings *s, struct kafka_key *key, const struct batch_row *record, struct buffer *out,
                    struct kafka_row *row, struct kafka_fault *fault);
// The text of one column: as it is where it is a text or bytes, a time as ISO-8601, all else as JSON. Not there when absent or null.
bool kafka_column_text(const struct batch_row *record, const char *column, struct buffer *out, struct kafka_place *place);
