// What the records and the dead letter of a message keep of it (proto/message_tail.h), and the message again, for the letter that is sent
// again.
//
// Called by the topic source and by the retry source. Of a message that is made again everything is there that a record can name, but for
// headers and a key that were too large to be kept: such a letter is cut, and is not sent again.
#pragma once
#include <stdbool.h>

#include "proto/buffer.h"
#include "proto/message_tail.h"
#include "workers/clients/kafka_consumer.h"

// Into `out`, which is empty when key and headers take more than `most` bytes.
void topic_letter_tail(const struct kafka_record *r, const char *topic, size_t most, struct buffer *out);
// A record as the consumer gave it; `m` and `value` must outlive it. Its headers are told by topic_letter_headers.
struct kafka_record topic_letter_record(const struct dead_message *m, const void *value, size_t length);
void topic_letter_headers(const struct kafka_record *r, kafka_header_found *header, void *context);
