// A writer of a topic sink: the transaction in hand, and the memory of what was sent in it.
#include "workers/sinks/kafka_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hash.h"
#include "workers/sinks/kafka_dead.h"

enum { CHUNK_BYTES = 256 << 10, CHUNK_ROWS = 4096 };

struct encoded {
  struct kafka_row row;
  int32_t partition;
  uint64_t mark;
};

struct kafka_chunk {
  struct kafka_chunk *next;
  struct buffer bytes;
  struct encoded rows[CHUNK_ROWS];
  size_t count;
};

static void chunks_free(struct kafka_chunk **list) {
  while (*list) {
    struct kafka_chunk *c = *list;
    *list = c->next;
    buffer_free(&c->bytes);
    free(c);
  }
}

// Nothing of the last transaction is on its way any more: its memory is free again.
static void take_back(struct kafka_writer *w) {
  while (w->sent) {
    struct kafka_chunk *c = w->sent;
    w->sent = c->next;
    c->next = w->spare;
    w->spare = c;
  }
}

static struct kafka_chunk *chunk_of(struct kafka_writer *w) {
  if (!w->filling) {
    w->filling = w->spare ? w->spare : memory_get(sizeof *w->filling);
    w->spare = w->spare ? w->spare->next : NULL;
    w->filling->next = NULL;
    w->filling->count = 0;
    buffer_clear(&w->filling->bytes);
    buffer_reserve(&w->filling->bytes, CHUNK_BYTES);
  }
  return w->filling;
}

// ---- opening and closing

bool kafka_writer_open(struct kafka_writer *w, const struct kafka_writer_setup *setup, struct error *e) {
  const struct topic_settings *s = setup->settings;
  const struct target_setup *target = setup->target;
  char *client = memory_print("weir %s/%s", target->pipeline, target->sink);
  struct kafka_producer_setup producer = {.kafka = s->kafka,
                                          .client = client,
                                          .transactional_id = s->exactly_once ? w->id : NULL,
                                          .transaction_ms = s->transaction_ms,
                                          .compression = s->compression,
                                          .batch_bytes = setup->topics->batch_bytes,
                                          .tick = target->tick,
                                          .context = target->context};
  w->producer = kafka_producer_open(&producer, e);
  free(client);
  if (!w->producer) return false;
  if (s->exactly_once && !kafka_producer_init(w->producer, e)) goto failed;
  w->rows = kafka_outlet_open(w->producer, s->topic, e);
  if (!w->rows) goto failed;
  w->positions = kafka_outlet_open(w->producer, KAFKA_POSITIONS_TOPIC, e);
  if (!w->positions) goto failed;
  if (s->dead_topic) w->letters = kafka_outlet_open(w->producer, s->dead_topic, e);
  if (s->dead_topic && !w->letters) goto failed;
  return true;
failed:
  kafka_writer_close(w);
  return false;
}

void kafka_writer_close(struct kafka_writer *w) {
  kafka_producer_close(w->producer);
  w->producer = NULL;
  w->rows = w->letters = w->positions = NULL;
  w->begun = false;
  take_back(w);
  if (w->filling) {
    w->filling->next = w->spare;
    w->spare = w->filling;
    w->filling = NULL;
  }
}

void kafka_writer_free(struct kafka_writer *w) {
  kafka_writer_close(w);
  chunks_free(&w->spare);
  free(w->id);
  free(w->source);
  free(w->partition);
  *w = (struct kafka_writer){0};
}

// ---- rows

bool kafka_writer_begin(struct kafka_writer *w, struct error *e) {
  if (w->begun) return true;
  take_back(w);
  w->begun = kafka_producer_begin(w->producer, e);
  return w->begun;
}

bool kafka_writer_push(struct kafka_writer *w, struct error *e) {
  struct kafka_chunk *c = w->filling;
  if (!c || c->count == 0) return true;
  struct kafka_message messages[512];
  bool good = true;
  for (size_t done = 0; done < c->count && good;) {
    size_t some = c->count - done < 512 ? c->count - done : 512;
    for (size_t i = 0; i < some; i++) {
      const struct encoded *r = &c->rows[done + i];
      messages[i] = (struct kafka_message){.key = r->row.key.is_there ? c->bytes.at + r->row.key.at : NULL,
                                           .key_length = r->row.key.length,
                                           .value = r->row.value.is_there ? c->bytes.at + r->row.value.at : NULL,
                                           .value_length = r->row.value.length,
                                           .partition = r->partition,
                                           .mark = r->mark};
    }
    good = kafka_outlet_send(w->rows, messages, some, e);
    done += some;
  }
  c->next = w->sent;
  w->sent = c;
  w->filling = NULL;
  return good;
}

static int32_t deal(struct kafka_writer *w, const struct kafka_place *key, const uint8_t *bytes) {
  uint32_t partitions = (uint32_t)kafka_outlet_partitions(w->rows);
  if (key->is_there) return (int32_t)((hash_kafka(bytes + key->at, key->length) & 0x7fffffff) % partitions);
  return (int32_t)(w->next_partition++ % partitions);
}

// A message that is the copy of a dead letter.
struct copy {
  struct dead_message original; // the message that the letter was; empty where it was none
  bool cut;                     // the copy has not all of the letter
};

// A message with headers goes out by itself, copied; those that the original of a letter had stand in front of ours.
static bool send_with_headers(struct kafka_writer *w, const struct topic_settings *s, const struct kafka_place *places,
                              const struct copy *copy, const struct encoded *r, const struct buffer *bytes, struct error *e) {
  const struct dead_message *original = &copy->original;
  struct kafka_header *headers = memory_get((original->header_count + s->header_count + 1) * sizeof *headers);
  size_t count = 0;
  for (size_t i = 0; i < original->header_count; i++)
    headers[count++] = (struct kafka_header){
        .name = original->headers[i].name, .value = original->headers[i].value.bytes, .length = original->headers[i].value.length};
  for (size_t i = 0; i < s->header_count; i++)
    if (places[i].is_there)
      headers[count++] = (struct kafka_header){.name = s->headers[i].name, .value = bytes->at + places[i].at, .length = places[i].length};
  // Said already where the letter itself is cut: of two headers of a name the last counts, and both say the same.
  if (copy->cut) headers[count++] = (struct kafka_header){.name = "weir.cut", .value = "true", .length = 4};
  struct kafka_message message = {.key = r->row.key.is_there ? bytes->at + r->row.key.at : NULL,
                                  .key_length = r->row.key.length,
                                  .value = r->row.value.is_there ? bytes->at + r->row.value.at : NULL,
                                  .value_length = r->row.value.length,
                                  .partition = r->partition,
                                  .mark = r->mark};
  bool good = kafka_outlet_send_one(w->rows, &message, headers, count, e);
  free(headers);
  return good;
}

// Why the topic would not take this message; NULL: it does.
static const char *refusal(const struct kafka_writer_setup *setup, const struct kafka_row *row, size_t size, const char **code, char *text,
                           size_t room) {
  if (!row->key.is_there && setup->topics->compacted) {
    *code = "no-key";
    return "the topic is compacted and takes no message without a key";
  }
  if (size <= setup->topics->row_most) return NULL;
  *code = "too-large";
  snprintf(text, room, "the message has %zu bytes, the topic takes %" PRIu32 " (max.message.bytes)", size, setup->topics->row_most);
  return text;
}

// The values of the headers lie behind key and value; returns what all headers count.
static size_t put_headers(const struct topic_settings *s, const struct batch_row *record, struct buffer *bytes,
                          struct kafka_place *places) {
  enum { HEADER_OVERHEAD = 8 };
  size_t before = bytes->length, names = 0;
  for (size_t i = 0; i < s->header_count; i++)
    if (kafka_column_text(record, s->headers[i].column, bytes, &places[i])) names += strlen(s->headers[i].name) + HEADER_OVERHEAD;
  return bytes->length - before + names;
}

// The message that a letter was, out of its column; its key becomes the key of the copy. Key and headers stay out where they would take
// more than a quarter of what the topic takes, as in the letters that this sink makes itself (kafka_dead.c).
static void original_read(const struct topic_settings *s, uint32_t most, const struct batch_row *record, struct buffer *bytes,
                          struct kafka_row *row, struct copy *copy) {
  struct kafka_place text;
  size_t before = bytes->length;
  struct dead_message *m = &copy->original;
  *copy = (struct copy){0};
  if (!s->message || !kafka_column_text(record, s->message, bytes, &text)) return;
  dead_message_read(m, (const char *)bytes->at + text.at, text.length);
  bytes->length = before;
  copy->cut = dead_message_size(m) > most / 4;
  if (copy->cut) dead_message_free(m);
  if (!m->key.bytes) return;
  row->key = (struct kafka_place){.is_there = true, .at = before, .length = m->key.length};
  buffer_add(bytes, m->key.bytes, m->key.length);
}

// A copy that the topic does not take goes without key and headers of the original where that is enough, else its value is cut. `other` is
// what key and headers take. Returns the size of the message.
static size_t copy_fit(const struct topic_settings *s, uint32_t most, size_t other, struct kafka_row *row, struct copy *copy) {
  enum { MARK = 24 }; // what the header takes that says so
  size_t of_message = dead_message_size(&copy->original);
  if (s->message && of_message > 0 && other + row->value.length > most && other - of_message + row->value.length + MARK <= most) {
    dead_message_free(&copy->original);
    row->key = (struct kafka_place){0};
    copy->cut = true;
    return other - of_message + row->value.length;
  }
  size_t room = most > other + MARK ? most - other - MARK : 0;
  if (s->message && other + row->value.length > most && room > 0) {
    row->value.length = room;
    copy->cut = true;
  }
  return other + row->value.length;
}

bool kafka_writer_row(struct kafka_writer *w, const struct kafka_writer_setup *setup, struct batch *b, uint64_t mark, struct error *e) {
  const struct topic_settings *s = setup->settings;
  struct batch_row *record = &b->rows[mark];
  if (record->set_aside) {
    batch_kill(b, record, "set aside unseen: this input killed its worker again and again", "poison", NULL, NULL);
    return true;
  }
  struct kafka_chunk *c = chunk_of(w);
  struct encoded *r = &c->rows[c->count];
  struct kafka_fault fault = {0};
  size_t before = c->bytes.length;
  if (!kafka_row_make(s, setup->key, record, &c->bytes, &r->row, &fault)) {
    batch_kill(b, record, fault.reason, fault.code, fault.column, NULL);
    return true;
  }
  struct copy copy;
  uint32_t most = setup->topics->row_most;
  original_read(s, most, record, &c->bytes, &r->row, &copy);
  struct kafka_place *places = s->header_count > 0 ? memory_get(s->header_count * sizeof *places) : NULL;
  size_t other = dead_message_size(&copy.original) + (copy.original.key.bytes ? 0 : r->row.key.length) +
                 (places ? put_headers(s, record, &c->bytes, places) : 0);
  size_t size = copy_fit(s, most, other, &r->row, &copy);
  char text[128];
  const char *code, *why = refusal(setup, &r->row, size, &code, text, sizeof text);
  bool good = true;
  if (!why) r->partition = deal(w, &r->row.key, c->bytes.at);
  r->mark = mark;
  if (why)
    batch_kill(b, record, why, code, NULL, NULL);
  else if (places)
    good = send_with_headers(w, s, places, &copy, r, &c->bytes, e);
  else
    c->count++;
  if (why || places) c->bytes.length = before;
  free(places);
  dead_message_free(&copy.original);
  return good && ((c->count < CHUNK_ROWS && c->bytes.length < CHUNK_BYTES) || kafka_writer_push(w, e));
}

// ---- letters, positions, signs of life

bool kafka_writer_letter(struct kafka_writer *w, const struct kafka_writer_setup *setup, const struct dead_entry *entry, struct error *e) {
  struct kafka_dead letter;
  kafka_dead_make(entry, setup->topics->letter_most, &letter);
  struct kafka_message message = {.key = letter.key,
                                  .key_length = letter.key_length,
                                  .value = letter.value,
                                  .value_length = letter.value_length,
                                  .mark = KAFKA_MARK_OTHER};
  uint32_t partitions = (uint32_t)kafka_outlet_partitions(w->letters);
  uint32_t hash = letter.key ? hash_kafka(letter.key, letter.key_length) : hash_kafka(entry->id, strlen(entry->id));
  message.partition = (int32_t)((hash & 0x7fffffff) % partitions);
  bool good = kafka_outlet_send_one(w->letters, &message, letter.headers, letter.count, e);
  kafka_dead_free(&letter);
  return good;
}

static bool send_record(struct kafka_writer *w, const struct buffer *key, const struct buffer *value, int32_t partition, struct error *e) {
  struct kafka_message message = {.key = key->at,
                                  .key_length = key->length,
                                  .value = value->at,
                                  .value_length = value->length,
                                  .partition = partition,
                                  .mark = KAFKA_MARK_OTHER};
  return kafka_outlet_send_one(w->positions, &message, NULL, 0, e);
}

bool kafka_writer_position(struct kafka_writer *w, const struct kafka_position *row, int32_t partition, struct error *e) {
  struct buffer key = {0}, value = {0};
  kafka_position_key(row, &key);
  kafka_position_value(row, &value);
  bool good = send_record(w, &key, &value, partition, e);
  buffer_free(&key);
  buffer_free(&value);
  return good;
}

bool kafka_writer_sign(struct kafka_writer *w, const struct kafka_writer_seen *seen, int32_t partition, struct error *e) {
  struct buffer key = {0}, value = {0};
  kafka_writer_key(seen, &key);
  kafka_writer_value(seen, &value);
  bool good = send_record(w, &key, &value, partition, e);
  buffer_free(&key);
  buffer_free(&value);
  return good;
}

// ---- the end

bool kafka_writer_commit(struct kafka_writer *w, struct error *e) {
  if (!kafka_producer_commit(w->producer, e)) return false;
  w->begun = false;
  return true;
}

bool kafka_writer_abort(struct kafka_writer *w) {
  struct error e = {0};
  if (!w->producer) return false;
  bool good = kafka_producer_is_sound(w->producer) && kafka_producer_abort(w->producer, &e);
  w->begun = false;
  if (w->filling) { // encoded, and never sent
    w->filling->count = 0;
    buffer_clear(&w->filling->bytes);
  }
  if (!good) kafka_writer_close(w);
  return good;
}
