// Key and headers of a dead letter, as any database may hold them: what is read and written again is the same; nothing else is read. The
// same bytes as what a record carries of its message: the text that comes of them is one of ours.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/message_tail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
  if (!holds) abort();
}

static void same(struct dead_bytes one, struct dead_bytes other) {
  must((one.bytes == NULL) == (other.bytes == NULL) && one.length == other.length);
  must(one.length == 0 || memcmp(one.bytes, other.bytes, one.length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct dead_message first, second;
  struct buffer out = {0};
  message_tail_text(data, size, &out);
  if (out.length > 0) {
    must(dead_message_read(&first, (const char *)out.at, out.length));
    dead_message_free(&first);
  }
  if (!dead_message_read(&first, (const char *)data, size)) {
    buffer_free(&out);
    return 0;
  }
  dead_message_head(&out, first.key);
  for (size_t i = 0; i < first.header_count; i++) dead_message_header(&out, first.headers[i].name, first.headers[i].value);
  if (first.topic) dead_message_place(&out, first.topic, first.partition, first.offset);
  dead_message_tail(&out, first.millis, first.tombstone);
  must(dead_message_read(&second, (const char *)out.at, out.length));
  same(first.key, second.key);
  must(first.header_count == second.header_count);
  for (size_t i = 0; i < first.header_count; i++) {
    must(strcmp(first.headers[i].name, second.headers[i].name) == 0);
    same(first.headers[i].value, second.headers[i].value);
  }
  must((first.topic == NULL) == (second.topic == NULL));
  must(!first.topic || (strcmp(first.topic, second.topic) == 0 && first.partition == second.partition && first.offset == second.offset));
  must(first.tombstone == second.tombstone && (first.millis < 0 || first.millis == second.millis));
  dead_message_free(&first);
  dead_message_free(&second);
  buffer_free(&out);
  return 0;
}
