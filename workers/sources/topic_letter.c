// Messages and their dead letters: see topic_letter.h.
#include "workers/sources/topic_letter.h"

#include <string.h>

#include "proto/limits.h"

static bool header_keep(void *context, const char *name, const void *value, size_t length) {
  struct buffer *out = context;
  if (strlen(name) + length > LIMIT_DEAD_MESSAGE) {
    buffer_reserve(out, LIMIT_DEAD_MESSAGE + 1);
    out->length = LIMIT_DEAD_MESSAGE + 1; // too large, whatever it holds: it is not even looked at
    return false;
  }
  dead_message_header(out, name, (struct dead_bytes){.bytes = value, .length = length});
  return out->length <= LIMIT_DEAD_MESSAGE;
}

bool topic_letter_keep(const struct kafka_record *r, const char *topic, struct buffer *out) {
  buffer_clear(out);
  if (r->key_length > LIMIT_DEAD_MESSAGE) return false;
  dead_message_head(out, (struct dead_bytes){.bytes = r->key, .length = r->key_length});
  kafka_record_headers(r, header_keep, out);
  dead_message_place(out, topic, r->partition, r->offset);
  dead_message_tail(out, r->millis, !r->value);
  if (out->length <= LIMIT_DEAD_MESSAGE) return true;
  buffer_clear(out);
  return false;
}

struct kafka_record topic_letter_record(const struct dead_message *m, const void *value, size_t length) {
  return (struct kafka_record){.partition = m->partition,
                               .offset = m->offset,
                               .millis = m->millis,
                               .key = m->key.bytes,
                               .key_length = (uint32_t)m->key.length,
                               .value = m->tombstone ? NULL : value,
                               .value_length = m->tombstone ? 0 : (uint32_t)length,
                               .whole = m};
}

void topic_letter_headers(const struct kafka_record *r, kafka_header_found *header, void *context) {
  const struct dead_message *m = r->whole;
  for (size_t i = 0; i < m->header_count; i++)
    if (!header(context, m->headers[i].name, m->headers[i].value.bytes, m->headers[i].value.length)) return;
}
