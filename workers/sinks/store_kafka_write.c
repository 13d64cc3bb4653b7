// Writes changed positions back to weir_positions, against sinks that may be running.
//
// A sink reads its positions once, behind init_transactions of its id. So what is written here counts only when no sink can commit behind
// it on what it had read before:
//   1. init_transactions of every id under which the changed streams were ever written: their sinks cannot commit any more;
//   2. the positions are read again, and the changes are done on what is there now;
//   3. one transaction, under one of the ids, sends the records and waits until the brokers have them;
//   4. under each other id a transaction is committed that changes nothing: it proves that no sink has come back between 1 and 3. One that
//      comes back later reads behind the records, and waits for their transaction to end, as every reader of committed records does;
//   5. the transaction of 3 is committed, which proves the same for its own id.
// Whatever fails is done again from 1. A sink that was fenced finds its own name and another epoch, and goes back to what is stored.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "workers/clients/kafka_producer.h"
#include "workers/sinks/kafka_topics.h"
#include "workers/sinks/store_kafka.h"

enum { TRIES = 5, TRANSACTION_MS = 30000 };

// A transactional id that was taken over.
struct taken {
  const char *pipeline, *sink, *edge, *owner; // of a stream that it wrote
  char *id;
  struct kafka_producer *producer;
  struct kafka_outlet *positions;
};

// What a position becomes.
struct change {
  struct kafka_position *was;
  struct kafka_position is; // texts owned; writer empty
};

struct work {
  struct kafka_store *s;
  struct taken *taken;
  size_t taken_count;
  struct change *changes;
  size_t change_count;
};

// ---- what has changed

static void changes_free(struct work *w) {
  for (size_t i = 0; i < w->change_count; i++) {
    struct kafka_position *is = &w->changes[i].is;
    char *texts[] = {is->pipeline, is->sink, is->edge, is->source, is->partition, is->identity, is->fingerprint, is->owner, is->writer};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) free(texts[k]);
  }
  free(w->changes);
  w->changes = NULL;
  w->change_count = 0;
}

static uint64_t number(const char *text) {
  return text ? strtoull(text, NULL, 10) : 0;
}

static bool tell_row(void *context, const char *const *c) {
  struct work *w = context;
  uint64_t index = number(c[0]) - 1;
  if (index >= w->s->loaded.count) return true;
  struct kafka_position *was = &w->s->loaded.at[index];
  if (was->epoch == number(c[6])) return true; // every statement of a store that changes a row raises its epoch
  w->changes = memory_resize(w->changes, (w->change_count + 1) * sizeof *w->changes);
  w->changes[w->change_count++] = (struct change){
      .was = was,
      .is = {.pipeline = memory_text(c[1]),
             .sink = memory_text(c[2]),
             .edge = memory_text(c[3]),
             .source = memory_text(c[4]),
             .partition = memory_text(c[5]),
             .epoch = number(c[6]),
             .has_position = c[7] != NULL,
             .position = number(c[7]),
             .start = number(c[8]),
             .identity = memory_text(c[9]),
             .fingerprint = memory_text(c[10]),
             // 64 bits without a sign in the record, with one in SQL.
             .witness = c[11] && c[11][0] == '-' ? (uint64_t)strtoll(c[11], NULL, 10) : number(c[11]),
             .totals = {.rows = number(c[12]), .superseded = number(c[13]), .dead = number(c[14])},
             .owner = memory_text(c[15]),
             .writer = memory_text(was->writer)},
  };
  return true;
}

static bool find_changes(struct work *w, struct error *e) {
  static const char sql[] = "SELECT id, pipeline, sink, edge, source, partition, epoch, position, start, identity, fingerprint, witness, "
                            "rows, superseded, dead, owner FROM weir_positions ORDER BY id";
  changes_free(w);
  return store_sqlite_run(w->s->memory, sql, NULL, 0, tell_row, w, NULL, e);
}

static bool again(struct work *w, struct error *e) {
  struct kafka_store *s = w->s;
  if (!kafka_store_load(s, e)) return false;
  for (size_t i = 0; i < s->change_count; i++) {
    const struct kafka_statement *st = &s->changes[i];
    if (!store_sqlite_run(s->memory, st->sql, (const char *const *)st->params, st->count, NULL, NULL, NULL, e)) return false;
  }
  return find_changes(w, e);
}

// ---- ids

static bool is_taken(const struct work *w, const char *id) {
  for (size_t i = 0; i < w->taken_count; i++)
    if (strcmp(w->taken[i].id, id) == 0) return true;
  return false;
}

static bool take_id(struct work *w, const struct kafka_position *row, const char *id, const char *owner, bool *added, struct error *e) {
  const struct topic_settings *settings = &w->s->settings;
  if (id[0] == '\0' || is_taken(w, id)) return true;
  struct kafka_producer_setup setup = {.kafka = settings->kafka,
                                       .client = "weir positions",
                                       .transactional_id = id,
                                       .transaction_ms = TRANSACTION_MS,
                                       .compression = "none",
                                       .batch_bytes = KAFKA_BATCH_MOST};
  struct kafka_producer *producer = kafka_producer_open(&setup, e);
  struct kafka_outlet *positions = NULL;
  if (producer && kafka_producer_init(producer, e)) positions = kafka_outlet_open(producer, KAFKA_POSITIONS_TOPIC, e);
  if (!positions) {
    kafka_producer_close(producer);
    return false;
  }
  w->taken = memory_resize(w->taken, (w->taken_count + 1) * sizeof *w->taken);
  w->taken[w->taken_count++] = (struct taken){.pipeline = row->pipeline,
                                              .sink = row->sink,
                                              .edge = row->edge,
                                              .owner = memory_text(owner),
                                              .id = memory_text(id),
                                              .producer = producer,
                                              .positions = positions};
  struct taken *t = &w->taken[w->taken_count - 1];
  t->pipeline = memory_text(t->pipeline);
  t->sink = memory_text(t->sink);
  t->edge = memory_text(t->edge);
  return *added = true;
}

static void taken_free(struct work *w) {
  for (size_t i = 0; i < w->taken_count; i++) {
    struct taken *t = &w->taken[i];
    kafka_producer_close(t->producer);
    char *texts[] = {(char *)(uintptr_t)t->pipeline, (char *)(uintptr_t)t->sink, (char *)(uintptr_t)t->edge, (char *)(uintptr_t)t->owner,
                     t->id};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) free(texts[k]);
  }
  free(w->taken);
  w->taken = NULL;
  w->taken_count = 0;
}

// The ids of all streams that change. *added: some were not taken before.
static bool take_ids(struct work *w, bool *added, struct error *e) {
  const struct kafka_positions *p = &w->s->loaded;
  *added = false;
  for (size_t i = 0; i < w->change_count; i++) {
    const struct kafka_position *was = w->changes[i].was;
    if (!take_id(w, was, was->writer, was->owner, added, e)) return false;
    for (size_t k = 0; k < p->writer_count; k++) {
      const struct kafka_writer_seen *seen = &p->writers[k];
      bool same = strcmp(seen->pipeline, was->pipeline) == 0 && strcmp(seen->sink, was->sink) == 0 && strcmp(seen->edge, was->edge) == 0;
      if (same && !take_id(w, was, seen->id, seen->owner, added, e)) return false;
    }
  }
  return true;
}

// ---- writing

static bool send_one(struct work *w, struct taken *t, const char *pipeline, const char *sink, const struct buffer *key,
                     const struct buffer *value, struct error *e) {
  struct kafka_message message = {.key = key->at,
                                  .key_length = key->length,
                                  .value = value ? value->at : NULL,
                                  .value_length = value ? value->length : 0,
                                  .partition = kafka_positions_partition(pipeline, sink, w->s->partitions)};
  return kafka_outlet_send_one(t->positions, &message, NULL, 0, e);
}

// The new record; under another name the old one goes.
static bool send_change(struct work *w, struct taken *t, const struct change *c, struct error *e) {
  struct buffer was = {0}, is = {0}, value = {0};
  kafka_position_key(c->was, &was);
  kafka_position_key(&c->is, &is);
  kafka_position_value(&c->is, &value);
  bool renamed = was.length != is.length || memcmp(was.at, is.at, is.length) != 0;
  bool good = (!renamed || send_one(w, t, c->was->pipeline, c->was->sink, &was, NULL, e)) &&
              send_one(w, t, c->is.pipeline, c->is.sink, &is, &value, e);
  buffer_free(&was);
  buffer_free(&is);
  buffer_free(&value);
  return good;
}

static bool prove(struct work *w, struct taken *t, struct error *e) {
  struct kafka_writer_seen seen = {.pipeline = (char *)(uintptr_t)t->pipeline,
                                   .sink = (char *)(uintptr_t)t->sink,
                                   .edge = (char *)(uintptr_t)t->edge,
                                   .id = t->id,
                                   .owner = (char *)(uintptr_t)t->owner};
  struct buffer key = {0}, value = {0};
  kafka_writer_key(&seen, &key);
  kafka_writer_value(&seen, &value);
  bool good = kafka_producer_begin(t->producer, e) && send_one(w, t, t->pipeline, t->sink, &key, &value, e) &&
              kafka_producer_commit(t->producer, e);
  buffer_free(&key);
  buffer_free(&value);
  return good;
}

static bool write_changes(struct work *w, struct error *e) {
  struct taken *first = &w->taken[0];
  if (!kafka_producer_begin(first->producer, e)) return false;
  for (size_t i = 0; i < w->change_count; i++)
    if (!send_change(w, first, &w->changes[i], e)) return false;
  if (!kafka_producer_flush(first->producer, e)) return false;
  for (size_t i = 1; i < w->taken_count; i++)
    if (!prove(w, &w->taken[i], e)) return false;
  return kafka_producer_commit(first->producer, e);
}

static bool try_once(struct work *w, struct error *e) {
  bool added = true;
  if (!find_changes(w, e)) return false;
  while (added && w->change_count > 0) {
    if (!take_ids(w, &added, e)) return false;
    if (added && !again(w, e)) return false;
  }
  return w->change_count == 0 || write_changes(w, e);
}

bool kafka_store_write(struct kafka_store *s, struct error *e) {
  struct work w = {.s = s};
  bool good = false;
  for (int i = 0; i < TRIES && !good; i++) {
    error_clear(e);
    good = (i == 0 || again(&w, e)) && try_once(&w, e);
    taken_free(&w); // what is unsound, or was fenced by a sink that came back, is of no use any more
    if (!good && e->class != ERROR_FENCED && e->class != ERROR_OUTAGE) break;
  }
  changes_free(&w);
  if (!good) error_add(e, "writing positions");
  return good;
}
