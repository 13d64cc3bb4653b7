// The records of topic weir_positions.
#include "workers/sinks/kafka_positions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hash.h"
#include "proto/json.h"
#include "proto/msgpack.h"

enum { RECORD_MOST = 1 << 20 };

void kafka_text_set(char **text, const char *value) {
  char *copy = memory_text(value);
  free(*text);
  *text = copy;
}

static void position_free(struct kafka_position *row) {
  char *texts[] = {row->pipeline, row->sink,        row->edge,  row->source, row->partition,
                   row->identity, row->fingerprint, row->owner, row->writer};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
}

static void writer_free(struct kafka_writer_seen *w) {
  char *texts[] = {w->pipeline, w->sink, w->edge, w->id, w->owner};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
}

void kafka_positions_make(struct kafka_positions *p, const char *pipeline, const char *sink) {
  *p = (struct kafka_positions){.pipeline = pipeline, .sink = sink, .json = json_parser_new()};
}

void kafka_positions_clear(struct kafka_positions *p) {
  for (size_t i = 0; i < p->count; i++) position_free(&p->at[i]);
  for (size_t i = 0; i < p->writer_count; i++) writer_free(&p->writers[i]);
  p->count = p->writer_count = 0;
}

void kafka_positions_free(struct kafka_positions *p) {
  kafka_positions_clear(p);
  free(p->at);
  free(p->writers);
  if (p->json) json_parser_free(p->json);
  *p = (struct kafka_positions){0};
}

int32_t kafka_positions_partition(const char *pipeline, const char *sink, int32_t partitions) {
  char *name = memory_print("%s/%s", pipeline, sink);
  int32_t used = partitions < KAFKA_POSITIONS_MOST ? partitions : KAFKA_POSITIONS_MOST;
  int32_t at = (int32_t)(hash_kafka(name, strlen(name)) & 0x7fffffff) % (used > 0 ? used : 1);
  free(name);
  return at;
}

// ---- the table

static struct kafka_position *find_row(struct kafka_positions *p, const struct kafka_position *key) {
  for (size_t i = 0; i < p->count; i++) {
    struct kafka_position *row = &p->at[i];
    if (strcmp(row->partition, key->partition) == 0 && strcmp(row->source, key->source) == 0 && strcmp(row->edge, key->edge) == 0 &&
        strcmp(row->sink, key->sink) == 0 && strcmp(row->pipeline, key->pipeline) == 0)
      return row;
  }
  return NULL;
}

static struct kafka_position *add_row(struct kafka_positions *p, const struct kafka_position *key) {
  if (p->count == p->room) {
    p->room = p->room ? p->room * 2 : 16;
    p->at = memory_resize(p->at, p->room * sizeof *p->at);
  }
  struct kafka_position *row = &p->at[p->count++];
  *row = (struct kafka_position){.pipeline = memory_text(key->pipeline),
                                 .sink = memory_text(key->sink),
                                 .edge = memory_text(key->edge),
                                 .source = memory_text(key->source),
                                 .partition = memory_text(key->partition),
                                 .identity = memory_text(""),
                                 .fingerprint = memory_text(""),
                                 .owner = memory_text(""),
                                 .writer = memory_text("")};
  return row;
}

static struct kafka_position key_of(const struct kafka_positions *p, const char *edge, const char *source, const char *partition) {
  return (struct kafka_position){.pipeline = (char *)(uintptr_t)p->pipeline,
                                 .sink = (char *)(uintptr_t)p->sink,
                                 .edge = (char *)(uintptr_t)edge,
                                 .source = (char *)(uintptr_t)source,
                                 .partition = (char *)(uintptr_t)partition};
}

struct kafka_position *kafka_positions_find(struct kafka_positions *p, const char *edge, const char *source, const char *partition) {
  struct kafka_position key = key_of(p, edge, source, partition);
  return find_row(p, &key);
}

struct kafka_position *kafka_positions_get(struct kafka_positions *p, const char *edge, const char *source, const char *partition) {
  struct kafka_position key = key_of(p, edge, source, partition), *row = find_row(p, &key);
  return row ? row : add_row(p, &key);
}

static struct kafka_writer_seen *find_writer(struct kafka_positions *p, const struct kafka_writer_seen *key) {
  for (size_t i = 0; i < p->writer_count; i++) {
    struct kafka_writer_seen *w = &p->writers[i];
    if (strcmp(w->id, key->id) == 0 && strcmp(w->edge, key->edge) == 0 && strcmp(w->sink, key->sink) == 0 &&
        strcmp(w->pipeline, key->pipeline) == 0)
      return w;
  }
  return NULL;
}

static struct kafka_writer_seen *add_writer(struct kafka_positions *p, const struct kafka_writer_seen *key) {
  if (p->writer_count == p->writer_room) {
    p->writer_room = p->writer_room ? p->writer_room * 2 : 8;
    p->writers = memory_resize(p->writers, p->writer_room * sizeof *p->writers);
  }
  struct kafka_writer_seen *w = &p->writers[p->writer_count++];
  *w = (struct kafka_writer_seen){.pipeline = memory_text(key->pipeline),
                                  .sink = memory_text(key->sink),
                                  .edge = memory_text(key->edge),
                                  .id = memory_text(key->id),
                                  .owner = memory_text("")};
  return w;
}

struct kafka_writer_seen *kafka_positions_writer(struct kafka_positions *p, const char *edge, const char *id) {
  struct kafka_writer_seen key = {.pipeline = (char *)(uintptr_t)p->pipeline,
                                  .sink = (char *)(uintptr_t)p->sink,
                                  .edge = (char *)(uintptr_t)edge,
                                  .id = (char *)(uintptr_t)id};
  return find_writer(p, &key);
}

uint64_t kafka_positions_since(const struct kafka_positions *p, const char *edge, const char *source) {
  uint64_t since = 0;
  for (size_t i = 0; i < p->count; i++) {
    const struct kafka_position *row = &p->at[i];
    if (row->has_position && strcmp(row->edge, edge) == 0 && strcmp(row->source, source) == 0 && (since == 0 || row->epoch < since))
      since = row->epoch;
  }
  return since;
}

int64_t kafka_positions_seen(const struct kafka_positions *p, const char *owner) {
  int64_t seen = INT64_MIN;
  for (size_t i = 0; i < p->count; i++)
    if (p->at[i].seen_ms > seen && strcmp(p->at[i].owner, owner) == 0) seen = p->at[i].seen_ms;
  for (size_t i = 0; i < p->writer_count; i++)
    if (p->writers[i].seen_ms > seen && strcmp(p->writers[i].owner, owner) == 0) seen = p->writers[i].seen_ms;
  return seen;
}

// ---- writing records

static void put_name(struct buffer *out, const char *name) {
  if (out->length > 0 && out->at[out->length - 1] != '{') buffer_byte(out, ',');
  buffer_print(out, "\"%s\":", name);
}

static void put_text(struct buffer *out, const char *name, const char *text) {
  uint8_t head[8];
  size_t length = strlen(text);
  struct buffer typed = {0};
  uint8_t *behind = msgpack_put_text_head(head, (uint32_t)length);
  buffer_add(&typed, head, (size_t)(behind - head));
  buffer_add(&typed, text, length);
  const uint8_t *at = typed.at;
  put_name(out, name);
  msgpack_to_json(&at, typed.at + typed.length, out);
  buffer_free(&typed);
}

static void put_number(struct buffer *out, const char *name, uint64_t value) {
  put_name(out, name);
  buffer_print(out, "%" PRIu64, value);
}

static void open_key(struct buffer *out, const char *kind, const char *pipeline, const char *sink, const char *edge) {
  buffer_clear(out);
  buffer_byte(out, '{');
  put_text(out, "kind", kind);
  put_text(out, "pipeline", pipeline);
  put_text(out, "sink", sink);
  put_text(out, "edge", edge);
}

void kafka_position_key(const struct kafka_position *row, struct buffer *out) {
  open_key(out, "position", row->pipeline, row->sink, row->edge);
  put_text(out, "source", row->source);
  put_text(out, "partition", row->partition);
  buffer_byte(out, '}');
}

void kafka_position_value(const struct kafka_position *row, struct buffer *out) {
  buffer_clear(out);
  buffer_byte(out, '{');
  if (row->has_position) {
    put_number(out, "position", row->position);
    put_number(out, "start", row->start);
  } else
    buffer_text(out, "\"position\":null");
  put_number(out, "witness", row->witness);
  put_text(out, "identity", row->identity);
  put_text(out, "fingerprint", row->fingerprint);
  put_number(out, "epoch", row->epoch);
  put_number(out, "rows", row->totals.rows);
  put_number(out, "superseded", row->totals.superseded);
  put_number(out, "dead", row->totals.dead);
  put_text(out, "owner", row->owner);
  put_text(out, "writer", row->writer);
  buffer_byte(out, '}');
}

void kafka_writer_key(const struct kafka_writer_seen *w, struct buffer *out) {
  open_key(out, "writer", w->pipeline, w->sink, w->edge);
  put_text(out, "id", w->id);
  buffer_byte(out, '}');
}

void kafka_writer_value(const struct kafka_writer_seen *w, struct buffer *out) {
  buffer_clear(out);
  buffer_byte(out, '{');
  put_text(out, "owner", w->owner);
  buffer_byte(out, '}');
}

// ---- reading records

// JSON as msgpack in `out`. False: none of ours, or broken.
static bool read_json(struct kafka_positions *p, const void *text, size_t length, struct buffer *out) {
  struct error ignored = {0};
  buffer_clear(out);
  if (!text || length == 0 || length > RECORD_MOST) return false;
  char *padded = memory_get(length + JSON_PADDING);
  memcpy(padded, text, length);
  bool good = json_to_msgpack(p->json, padded, length, out, &ignored);
  free(padded);
  return good;
}

// A text of the map, owned by the caller; NULL when absent or no text.
static char *get_text(const struct buffer *map, const char *name) {
  const uint8_t *at, *end;
  struct msgpack_value value;
  if (!msgpack_find(map->at, map->at + map->length, name, strlen(name), &at, &end)) return NULL;
  if (!msgpack_read(&at, end, &value) || value.type != MSGPACK_TEXT || memchr(value.bytes, '\0', value.length)) return NULL;
  return memory_text_n((const char *)value.bytes, value.length);
}

static bool get_number(const struct buffer *map, const char *name, uint64_t *number) {
  const uint8_t *at, *end;
  struct msgpack_value value;
  if (!msgpack_find(map->at, map->at + map->length, name, strlen(name), &at, &end)) return false;
  if (!msgpack_read(&at, end, &value)) return false;
  if (value.type == MSGPACK_UINT)
    *number = value.u;
  else if (value.type == MSGPACK_INT && value.i >= 0)
    *number = (uint64_t)value.i;
  else
    return false;
  return true;
}

static bool replace_text(const struct buffer *map, const char *name, char **text) {
  char *found = get_text(map, name);
  if (!found) return false;
  free(*text);
  *text = found;
  return true;
}

static void remove_row(struct kafka_positions *p, const struct kafka_position *key) {
  struct kafka_position *row = find_row(p, key);
  if (!row) return;
  position_free(row);
  *row = p->at[--p->count];
}

static bool unreadable(const struct kafka_record *record, struct error *e) {
  error_set(e, ERROR_OPERATOR, "positions",
            "the record at offset %" PRId64 " of topic " KAFKA_POSITIONS_TOPIC
            " is not understood: %.*s. Nothing was changed. It was written by "
            "a newer weir, or by hand",
            record->offset, record->key_length < 512 ? (int)record->key_length : 512, (const char *)record->key);
  return false;
}

static bool take_position(struct kafka_positions *p, const struct kafka_position *key, const struct kafka_record *record,
                          struct buffer *map, struct error *e) {
  if (!key->source || !key->partition) return unreadable(record, e);
  if (!record->value) {
    remove_row(p, key);
    return true;
  }
  if (!read_json(p, record->value, record->value_length, map)) return unreadable(record, e);
  struct kafka_position *row = find_row(p, key);
  if (!row) row = add_row(p, key);
  row->has_position = get_number(map, "position", &row->position);
  row->seen_ms = record->time_ms;
  bool good = (!row->has_position || get_number(map, "start", &row->start)) && get_number(map, "witness", &row->witness) &&
              get_number(map, "epoch", &row->epoch) && get_number(map, "rows", &row->totals.rows) &&
              get_number(map, "superseded", &row->totals.superseded) && get_number(map, "dead", &row->totals.dead) &&
              replace_text(map, "identity", &row->identity) && replace_text(map, "fingerprint", &row->fingerprint) &&
              replace_text(map, "owner", &row->owner) && replace_text(map, "writer", &row->writer);
  return good || unreadable(record, e);
}

static bool take_writer(struct kafka_positions *p, const struct kafka_writer_seen *key, const struct kafka_record *record,
                        struct buffer *map, struct error *e) {
  if (!key->id) return unreadable(record, e);
  struct kafka_writer_seen *w = find_writer(p, key);
  if (!record->value) {
    if (w) writer_free(w);
    if (w) *w = p->writers[--p->writer_count];
    return true;
  }
  if (!read_json(p, record->value, record->value_length, map)) return unreadable(record, e);
  if (!w) w = add_writer(p, key);
  w->seen_ms = record->time_ms;
  return replace_text(map, "owner", &w->owner) || unreadable(record, e);
}

bool kafka_positions_take(struct kafka_positions *p, const struct kafka_record *record, struct error *e) {
  struct buffer key = {0}, value = {0};
  bool good = true;
  if (read_json(p, record->key, record->key_length, &key)) {
    char *kind = get_text(&key, "kind"), *pipeline = get_text(&key, "pipeline"), *sink = get_text(&key, "sink"),
         *edge = get_text(&key, "edge"), *source = get_text(&key, "source"), *partition = get_text(&key, "partition"),
         *id = get_text(&key, "id");
    bool ours = kind && pipeline && sink && edge && (!p->pipeline || strcmp(pipeline, p->pipeline) == 0) &&
                (!p->sink || strcmp(sink, p->sink) == 0);
    struct kafka_position row = {.pipeline = pipeline, .sink = sink, .edge = edge, .source = source, .partition = partition};
    struct kafka_writer_seen writer = {.pipeline = pipeline, .sink = sink, .edge = edge, .id = id};
    if (ours && strcmp(kind, "position") == 0)
      good = take_position(p, &row, record, &value, e);
    else if (ours && strcmp(kind, "writer") == 0)
      good = take_writer(p, &writer, record, &value, e);
    char *texts[] = {kind, pipeline, sink, edge, source, partition, id};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
  }
  buffer_free(&key);
  buffer_free(&value);
  return good;
}

struct reading {
  struct kafka_positions *p;
  struct error e; // the first
};

static void take(void *context, const struct kafka_record *record) {
  struct reading *r = context;
  if (!error_is_set(&r->e)) kafka_positions_take(r->p, record, &r->e);
}

bool kafka_positions_read(struct kafka_positions *p, struct kafka_admin *a, int32_t partition, struct error *e) {
  struct reading r = {.p = p};
  kafka_positions_clear(p);
  if (!kafka_partition_read(a, KAFKA_POSITIONS_TOPIC, partition, take, &r, e)) return false;
  if (!error_is_set(&r.e)) return true;
  *e = r.e;
  return false;
}
