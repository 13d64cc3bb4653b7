// A dead letter as a message.
#include "workers/sinks/kafka_dead.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/msgpack.h"

struct text {
  const char *name, *at;
  size_t length;
};

// A record of weir's own is told as JSON: that is what its readers can read. Whatever else died stays as it was.
static bool tell_as_json(const struct dead_letter *l, struct buffer *json) {
  const uint8_t *at = l->data, *end = l->data + l->data_length;
  bool is_record = l->format_length == 7 && memcmp(l->format, "msgpack", 7) == 0;
  return is_record && !l->cut && l->data && msgpack_to_json(&at, end, json) && at == end;
}

void kafka_dead_make(const struct dead_entry *entry, uint32_t most, struct kafka_dead *letter) {
  const struct dead_letter *l = &entry->letter;
  struct buffer origin = {0};
  *letter = (struct kafka_dead){.value = l->data ? l->data : (const void *)"", .value_length = l->data_length};
  bool json = tell_as_json(l, &letter->json);
  if (json) {
    letter->value = letter->json.at;
    letter->value_length = letter->json.length;
  }
  buffer_print(&origin, "%s[%s] %" PRIu64, entry->source, entry->partition, entry->position);
  const struct text texts[KAFKA_DEAD_HEADERS - 1] = {
      {"weir.reason", l->reason, l->reason_length}, {"weir.code", l->code, l->code_length},
      {"weir.node", l->node, l->node_length},       {"weir.origin", (const char *)origin.at, origin.length},
      {"weir.id", entry->id, strlen(entry->id)},    {"weir.format", json ? "json" : l->format, json ? 4 : l->format_length},
      {"weir.column", l->column, l->column_length}, {"weir.constraint", l->constraint, l->constraint_length},
  };
  size_t total = 0;
  for (size_t i = 0; i < KAFKA_DEAD_HEADERS - 1; i++) total += texts[i].length;
  buffer_reserve(&letter->texts, total + 1);
  for (size_t i = 0; i < KAFKA_DEAD_HEADERS - 1; i++) {
    bool always = i < 6;
    if (!always && texts[i].length == 0) continue;
    letter->headers[letter->count++] =
        (struct kafka_header){.name = texts[i].name, .value = letter->texts.at + letter->texts.length, .length = texts[i].length};
    buffer_add(&letter->texts, texts[i].at, texts[i].length);
  }
  buffer_free(&origin);
  size_t overhead = total + KAFKA_DEAD_HEADERS * 24;
  size_t room = most > overhead ? most - overhead : 0;
  bool cut = l->cut || letter->value_length > room;
  if (letter->value_length > room) letter->value_length = room;
  if (cut) letter->headers[letter->count++] = (struct kafka_header){.name = "weir.cut", .value = "true", .length = 4};
}

void kafka_dead_free(struct kafka_dead *letter) {
  buffer_free(&letter->texts);
  buffer_free(&letter->json);
}
