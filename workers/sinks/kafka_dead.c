// A dead letter as a message.
#include "workers/sinks/kafka_dead.h"

#include <stdlib.h>
#include <string.h>

#include "proto/msgpack.h"

static void put_text(struct msgpack_writer *w, const char *name, const char *text) {
  msgpack_write_cstring(w, name);
  msgpack_write_cstring(w, text);
}

// {"pipeline": .., "sink": .., "source": .., "partition": .., "position": .., "part": ..} as JSON.
static void put_origin(const struct dead_entry *entry, struct buffer *json) {
  size_t room = 256 + strlen(entry->pipeline) + strlen(entry->sink) + strlen(entry->source) + strlen(entry->partition);
  uint8_t *bytes = memory_get(room);
  struct msgpack_writer w = {.at = bytes, .end = bytes + room};
  const uint8_t *at = bytes;
  msgpack_write_map(&w, 6);
  put_text(&w, "pipeline", entry->pipeline);
  put_text(&w, "sink", entry->sink);
  put_text(&w, "source", entry->source);
  put_text(&w, "partition", entry->partition);
  msgpack_write_cstring(&w, "position");
  msgpack_write_uint(&w, entry->position);
  msgpack_write_cstring(&w, "part");
  msgpack_write_uint(&w, entry->part);
  msgpack_to_json(&at, w.at, json);
  free(bytes);
}

struct text {
  const char *name, *at;
  size_t length;
};

static bool is_format(const struct dead_letter *l, const char *format) {
  return l->format_length == strlen(format) && memcmp(l->format, format, l->format_length) == 0;
}

// A record of weir's own is told as JSON: that is what its readers can read. Whatever else died stays as it was.
static bool tell_as_json(const struct dead_letter *l, struct buffer *json) {
  const uint8_t *at = l->data, *end = l->data + l->data_length;
  return (is_format(l, "msgpack") || is_format(l, "tombstone")) && !l->cut && l->data && msgpack_to_json(&at, end, json) && at == end;
}

// Key and headers of the original. False: there was no room for them.
static bool put_message(const struct dead_letter *l, size_t room, struct kafka_dead *letter) {
  struct dead_message *m = &letter->message;
  if (!dead_message_read(m, l->message, l->message_length)) return true;
  size_t size = dead_message_size(m);
  if (size > room) {
    dead_message_free(m);
    return false;
  }
  letter->key = m->key.bytes;
  letter->key_length = m->key.length;
  letter->headers = memory_resize(letter->headers, (m->header_count + KAFKA_DEAD_HEADERS) * sizeof *letter->headers);
  for (size_t i = 0; i < m->header_count; i++)
    letter->headers[letter->count++] =
        (struct kafka_header){.name = m->headers[i].name, .value = m->headers[i].value.bytes, .length = m->headers[i].value.length};
  return true;
}

// How much of `most` key and headers of the original may take, beside a value and our own headers.
static size_t message_room(size_t most, size_t overhead, size_t value) {
  size_t quarter = most / 4;
  bool is_cut_anyway = overhead + value > most;
  return is_cut_anyway || most - overhead - value > quarter ? quarter : most - overhead - value;
}

// What is known of its death; the first six always.
static void put_texts(const struct text *texts, struct kafka_dead *letter) {
  size_t total = 0;
  for (size_t i = 0; i < KAFKA_DEAD_HEADERS - 1; i++) total += texts[i].length;
  buffer_reserve(&letter->texts, total + 1);
  for (size_t i = 0; i < KAFKA_DEAD_HEADERS - 1; i++) {
    if (i >= 6 && texts[i].length == 0) continue;
    letter->headers[letter->count++] =
        (struct kafka_header){.name = texts[i].name, .value = letter->texts.at + letter->texts.length, .length = texts[i].length};
    buffer_add(&letter->texts, texts[i].at, texts[i].length);
  }
}

void kafka_dead_make(const struct dead_entry *entry, uint32_t most, struct kafka_dead *letter) {
  const struct dead_letter *l = &entry->letter;
  struct buffer origin = {0};
  *letter = (struct kafka_dead){.value = l->data ? l->data : (const void *)"",
                                .value_length = l->data_length,
                                .headers = memory_get(KAFKA_DEAD_HEADERS * sizeof *letter->headers)};
  bool told = tell_as_json(l, &letter->json), json = told && is_format(l, "msgpack");
  if (told) {
    letter->value = letter->json.at;
    letter->value_length = letter->json.length;
  }
  put_origin(entry, &origin);
  const struct text texts[KAFKA_DEAD_HEADERS - 1] = {
      {"weir.reason", l->reason, l->reason_length}, {"weir.code", l->code, l->code_length},
      {"weir.node", l->node, l->node_length},       {"weir.origin", (const char *)origin.at, origin.length},
      {"weir.id", entry->id, strlen(entry->id)},    {"weir.format", json ? "json" : l->format, json ? 4 : l->format_length},
      {"weir.column", l->column, l->column_length}, {"weir.constraint", l->constraint, l->constraint_length},
  };
  size_t overhead = (size_t)KAFKA_DEAD_HEADERS * 24;
  for (size_t i = 0; i < KAFKA_DEAD_HEADERS - 1; i++) overhead += texts[i].length;
  bool whole = put_message(l, message_room(most, overhead, letter->value_length), letter);
  put_texts(texts, letter);
  buffer_free(&origin);
  overhead += dead_message_size(&letter->message);
  size_t room = most > overhead ? most - overhead : 0;
  bool cut = l->cut || !whole || letter->value_length > room;
  if (letter->value_length > room) letter->value_length = room;
  if (cut) letter->headers[letter->count++] = (struct kafka_header){.name = "weir.cut", .value = "true", .length = 4};
}

void kafka_dead_free(struct kafka_dead *letter) {
  dead_message_free(&letter->message);
  free(letter->headers);
  buffer_free(&letter->texts);
  buffer_free(&letter->json);
}
