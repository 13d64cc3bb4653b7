// The key of a message by an SQL expression (`key_sql`) over the record's fields.
//
// Called by kafka_rows.c for each record, and by the check for its columns. The expression is evaluated by SQLite in a database of its own
// in memory: it sees the fields that it names, and nothing else.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "workers/sinks/topic_settings.h"

struct kafka_key;

// ERROR_CONFIG: the expression is none.
struct kafka_key *kafka_key_open(const char *expression, struct error *e);
void kafka_key_close(struct kafka_key *k); // NULL is allowed
// The fields that it names.
const struct topic_names *kafka_key_columns(const struct kafka_key *k);
// Appends the key of a record. False: e (ERROR_DATA): it cannot be evaluated, or is null.
bool kafka_key_make(struct kafka_key *k, enum topic_format format, const uint8_t *body, const uint8_t *end, struct buffer *out,
                    struct error *e);
