// What a record of a topic becomes: the fields of its value, or of a tombstone's key, and the metadata that is wanted.
//
// Called by topic_source.c; knows nothing of streams and rings.
#pragma once
#include "proto/buffer.h"
#include "proto/job.h"
#include "proto/json.h"
#include "proto/msgpack.h"
#include "workers/clients/kafka_consumer.h"

enum topic_format { TOPIC_JSON, TOPIC_MSGPACK, TOPIC_STRING, TOPIC_BYTES };
enum topic_meta { TOPIC_KEY, TOPIC_TOPIC, TOPIC_PARTITION, TOPIC_OFFSET, TOPIC_TIMESTAMP, TOPIC_HEADERS, TOPIC_METAS };

struct topic_body {
  enum topic_format value_format, key_format;
  bool wanted[TOPIC_METAS];
  bool plain; // JSON and no metadata: topic_body_plain will do
  struct json_parser *json;
  // How a record tells its headers: kafka_record_headers, if nobody sets another way.
  void (*headers)(const struct kafka_record *record, kafka_header_found *header, void *context);
  struct buffer text;             // a document with the padding that the parser needs
  struct buffer key, value, body; // key and value as msgpack; the whole
};

bool topic_body_open(struct topic_body *b, struct job_value settings, struct error *e);
void topic_body_close(struct topic_body *b);
// Gives back the memory that large records took.
void topic_body_trim(struct topic_body *b);
// Bytes that topic_body_plain may need for a value of this length.
size_t topic_body_room(uint32_t length);
// A JSON object straight into place. False: it is none, or does not fit, or is broken; topic_body_make says which.
bool topic_body_plain(struct topic_body *b, const struct kafka_record *r, struct msgpack_writer *out);
// Any record, into b->body. False: why, ERROR_DATA.
bool topic_body_make(struct topic_body *b, const struct kafka_record *r, const char *topic, struct error *why);
