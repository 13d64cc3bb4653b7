// Messages and their dead letters: see topic_letter.h.
#include "workers/sources/topic_letter.h"

static bool header_keep(void *context, const char *name, const void *value, size_t length) {
  return message_tail_header(context, name, (struct dead_bytes){.bytes = value, .length = length});
}

void topic_letter_tail(const struct kafka_record *r, const char *topic, size_t most, struct buffer *out) {
  message_tail_begin(out, &(struct dead_message){.key = {.bytes = r->key, .length = r->key_length},
                                                 .topic = topic,
                                                 .partition = r->partition,
                                                 .offset = r->offset,
                                                 .millis = r->millis,
                                                 .tombstone = !r->value});
  kafka_record_headers(r, header_keep, out);
  message_tail_end(out, most);
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
