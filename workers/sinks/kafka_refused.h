// Records that the brokers have refused, until the batch that holds them is durable.
//
// Called by target_kafka.c. A broker refuses a whole batch of messages and does not say which of them is at fault. So whoever was in it is
// suspect and is sent alone in the next try; who is refused alone is to blame, and becomes a dead letter.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "workers/sinks/batch.h"

enum kafka_refusal { REFUSAL_NONE, REFUSAL_SUSPECT, REFUSAL_ALONE };

struct kafka_refused {
  struct refused_record *at;
  size_t count, room;
  char *reason, code[ERROR_CODE]; // what the brokers said last
};

void kafka_refused_clear(struct kafka_refused *r);
enum kafka_refusal kafka_refused_find(const struct kafka_refused *r, const struct batch_row *row);
// The rows with these marks (indexes in the batch) were refused with `why`. False: none of them is a row that was not to blame before.
bool kafka_refused_note(struct kafka_refused *r, const struct batch *b, const uint64_t *marks, size_t count, const struct error *why);
