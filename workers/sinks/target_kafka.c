// A topic as a target: rows, positions and dead letters in one transaction of Kafka.
//
// Called by the sink core through struct target_kind. What lies in weir_positions is described in kafka_positions.h, who may write it in
// kafka_fence.c.
//
// Opening, in this order (a static chain): topics; is another owner alive?; init_transactions, which fences whoever had the lane's id and
// ends his last transaction; our name under the id; only then the positions are read, by read_committed and up to the high watermark, and
// again as long as ids of another shape had to be ended. Read before, they could be older than what the fenced one still commits.
//
// With `delivery: at_least_once` there are no transactions: a position is sent when the brokers have taken all rows before it.
//
// Rule: after a timeout or a lost connection in a transaction the writer is closed and everything is opened again (kafka_producer.h).
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/log.h"
#include "shm/crash_point.h"
#include "workers/sinks/owner.h"
#include "workers/sinks/target_kafka_parts.h"

enum { BUSY_MS = 5000 };

static struct kafka_target *own(struct target *t) {
  return (struct kafka_target *)t;
}

struct kafka_writer_setup kafka_setup_of(const struct kafka_target *t) {
  return (struct kafka_writer_setup){.target = &t->base.setup, .settings = &t->settings, .topics = &t->topics, .key = t->key};
}

struct kafka_admin *kafka_admin_of(struct kafka_target *t, enum kafka_view view, struct error *e) {
  const struct target_setup *setup = &t->base.setup;
  char *client = memory_print("weir %s/%s", setup->pipeline, setup->sink);
  struct kafka_admin_setup admin = {
      .kafka = t->settings.kafka, .client = client, .view = view, .tick = setup->tick, .context = setup->context};
  struct kafka_admin *a = kafka_admin_open(&admin, e);
  free(client);
  return a;
}

static struct target *target_make(const struct target_setup *setup, struct error *e) {
  struct kafka_target *t = memory_get(sizeof *t);
  t->base = (struct target){.kind = &target_kafka, .setup = *setup};
  if (!topic_settings_read(&t->settings, setup->settings, e)) {
    free(t);
    return NULL;
  }
  kafka_positions_make(&t->positions, setup->pipeline, setup->sink);
  if (t->settings.key_sql) t->key = kafka_key_open(t->settings.key_sql, e);
  if (!t->settings.key_sql || t->key) return &t->base;
  t->base.kind->free(&t->base);
  return NULL;
}

static void target_close(struct target *base) {
  struct kafka_target *t = own(base);
  for (size_t i = 0; i < t->writer_count; i++) kafka_writer_free(&t->writers[i]);
  t->writer_count = 0;
  kafka_admin_close(t->admin);
  t->admin = NULL;
  sqlite_close(t->letters);
  t->letters = NULL;
  t->opened = false;
}

static void target_free(struct target *base) {
  struct kafka_target *t = own(base);
  target_close(base);
  kafka_positions_free(&t->positions);
  kafka_key_close(t->key);
  kafka_refused_clear(&t->refused);
  topic_settings_free(&t->settings);
  for (size_t i = 0; i < t->fenced_count; i++) free(t->fenced[i]);
  free(t->fenced);
  free(t->writers);
  free(t->watched.owner);
  free(t);
}

// ---- writers

static struct kafka_writer *writer_add(struct kafka_target *t, char *id, const char *source, const char *partition) {
  t->writers = memory_resize(t->writers, (t->writer_count + 1) * sizeof *t->writers);
  struct kafka_writer *w = &t->writers[t->writer_count++];
  // Lanes that write without keys begin at different partitions.
  *w = (struct kafka_writer){.id = id, .next_partition = t->base.setup.lane + t->writer_count - 1};
  if (source) w->source = memory_text(source);
  if (partition) w->partition = memory_text(partition);
  return w;
}

static struct kafka_writer *writer_of(const struct kafka_target *t, const struct target_stream *s) {
  if (!kafka_is_shared(t)) return t->writer_count > 0 ? &t->writers[0] : NULL;
  for (size_t i = 0; i < t->writer_count; i++) {
    struct kafka_writer *w = &t->writers[i];
    if (strcmp(w->partition, s->stream->partition) == 0 && strcmp(w->source, s->stream->source) == 0) return w;
  }
  return NULL;
}

static void writer_drop(struct kafka_target *t, struct kafka_writer *w) {
  kafka_writer_free(w);
  *w = t->writers[--t->writer_count];
}

// ---- opening

static bool open_letters(struct kafka_target *t, struct error *e) {
  const struct target_setup *setup = &t->base.setup;
  if (t->settings.dead_topic) return true;
  char *path = memory_print("%s/dead.db", setup->state);
  t->letters = sqlite_open(path, SQLITE_MAKE, BUSY_MS, e);
  free(path);
  if (!t->letters || !sqlite_dead_make(t->letters, e)) return false;
  sqlite_dead_use(&t->dead, t->letters, setup->dead_store_bytes);
  return true;
}

static uint64_t stored_rows(const struct kafka_positions *p) {
  uint64_t rows = 0;
  for (size_t i = 0; i < p->count; i++) rows += p->at[i].totals.rows;
  return rows;
}

// Topics, and for a static chain a living owner: by a handle that sees what is not committed yet, too.
static bool look(struct kafka_target *t, struct error *e) {
  const struct target_setup *setup = &t->base.setup;
  struct kafka_admin *everything = kafka_admin_of(t, KAFKA_EVERYTHING, e);
  bool good = everything && kafka_topics_positions(everything, &t->topics, e);
  if (good) t->partition = kafka_positions_partition(setup->pipeline, setup->sink, t->topics.positions_partitions);
  good = good && kafka_positions_read(&t->positions, everything, t->partition, e) && (kafka_is_shared(t) || kafka_look_at_owner(t, e)) &&
         kafka_topics_open(everything, &t->settings, setup, stored_rows(&t->positions), &t->topics, e);
  kafka_admin_close(everything);
  return good;
}

static bool take_lane(struct kafka_target *t, struct error *e) {
  struct kafka_writer *w = writer_add(t, kafka_id_of_lane(&t->base.setup), NULL, NULL);
  struct kafka_writer_setup setup = kafka_setup_of(t);
  CRASH_POINT("sink.kafka_before_init");
  if (!kafka_writer_open(w, &setup, e)) return false;
  CRASH_POINT("sink.kafka_after_init");
  return kafka_sign(t, t->base.setup.owner, e);
}

static bool target_open(struct target *base, bool *fresh, struct error *e) {
  struct kafka_target *t = own(base);
  bool sound = t->opened;
  for (size_t i = 0; i < t->writer_count; i++) sound = sound && t->writers[i].producer && kafka_producer_is_sound(t->writers[i].producer);
  *fresh = !sound;
  if (sound) return true;
  target_close(base);
  bool looked = open_letters(t, e) && look(t, e), good = looked && (kafka_is_shared(t) || take_lane(t, e));
  if (good) t->admin = kafka_admin_of(t, KAFKA_COMMITTED, e);
  good = good && t->admin && kafka_read_fenced(t, e);
  if (good) {
    t->opened = t->held = true;
    log_say(LOG_LEVEL_INFO, "connected to Kafka for topic %s", t->settings.topic);
    return true;
  }
  // The first transaction was ended by somebody, perhaps by the brokers for its age: who the owner is now the next look says.
  if (looked && e->class == ERROR_FENCED) e->class = ERROR_OUTAGE;
  target_close(base);
  return false;
}

// ---- streams

static struct target_stored stored_of(struct kafka_target *t, const struct target_stream *s) {
  const struct kafka_position *row = kafka_positions_find(&t->positions, t->base.setup.edge, s->stream->source, s->stream->partition);
  if (!row) return (struct target_stored){.identity = "", .fingerprint = "", .owner = ""};
  // A static chain looked at the owner before it took his fence (kafka_look_at_owner), by a clock of its own: the brokers' may be ahead.
  int64_t silent_ms = kafka_is_shared(t) ? clock_micros() / 1000 - kafka_positions_seen(&t->positions, row->owner) : INT64_MAX;
  return (struct target_stored){.exists = true,
                                .position = row->has_position,
                                .at = row->position,
                                .identity = row->identity,
                                .fingerprint = row->fingerprint,
                                .owner = row->owner,
                                .silent_ms = silent_ms};
}

// Writes the stream's row as it is in the table.
static bool put_position(struct kafka_target *t, struct kafka_writer *w, struct kafka_position *row, struct error *e) {
  kafka_text_set(&row->writer, w->id);
  row->seen_ms = clock_micros() / 1000;
  return kafka_writer_position(w, row, t->partition, e);
}

static bool take_row(struct kafka_target *t, struct target_stream *s, struct error *e) {
  const struct target_setup *setup = &t->base.setup;
  struct kafka_position *row = kafka_positions_find(&t->positions, setup->edge, s->stream->source, s->stream->partition);
  struct kafka_writer *w = writer_of(t, s);
  kafka_text_set(&row->owner, setup->owner);
  kafka_text_set(&row->identity, s->stream->identity);
  kafka_text_set(&row->fingerprint, s->stream->fingerprint);
  row->epoch++;
  if (!kafka_writer_begin(w, e) || !put_position(t, w, row, e)) return false;
  s->found = true;
  s->epoch = row->epoch;
  s->position = row->position;
  s->start = row->start;
  s->witness = row->witness;
  s->totals = row->totals;
  return true;
}

static bool judge(struct kafka_target *t, struct target_stream *s, struct error *e) {
  struct target_stored stored = stored_of(t, s);
  struct target_stream before = *s;
  s->found = s->lost = false;
  switch (target_judge(&t->base.setup, s, &stored, e)) {
  case VERDICT_WAIT:
  case VERDICT_STOP: return false;
  case VERDICT_LOST:
    *s = before; // what we brought stays in the account
    s->lost = true;
    return true;
  case VERDICT_TAKE: return take_row(t, s, e);
  case VERDICT_NONE: break;
  }
  s->position = s->start = s->witness = 0;
  s->totals = (struct target_totals){0};
  s->since_ms = 0;
  // One that was forgotten on purpose begins as if nothing had been.
  if (!stored.exists) s->since_ms = kafka_positions_since(&t->positions, t->base.setup.edge, s->stream->source);
  return true;
}

static bool commit_begun(struct kafka_target *t, struct error *e) {
  for (size_t i = 0; i < t->writer_count; i++)
    if (t->writers[i].begun && !kafka_writer_commit(&t->writers[i], e)) return false;
  return true;
}

// A shared chain: what another instance has taken from us is not taken back. This is looked for before its fence is taken.
static bool mark_taken(struct kafka_target *t, struct target_stream **streams, size_t count, struct error *e) {
  bool any = false;
  for (size_t i = 0; i < count; i++) any = any || streams[i]->epoch > 0 || streams[i]->was_ours;
  if (!any) return true;
  if (!kafka_positions_read(&t->positions, t->admin, t->partition, e)) return false;
  for (size_t i = 0; i < count; i++) {
    struct target_stored stored = stored_of(t, streams[i]);
    bool foreign = stored.exists && stored.owner[0] != '\0' && !owner_is_state(stored.owner, t->base.setup.state_id);
    if (foreign && (streams[i]->epoch > 0 || streams[i]->was_ours)) streams[i]->lost = true;
  }
  return true;
}

// The writers of streams that came. Positions are read again behind their init.
static bool take_streams(struct kafka_target *t, struct target_stream **streams, size_t count, struct error *e) {
  struct kafka_writer_setup setup = kafka_setup_of(t);
  bool added = false;
  if (!mark_taken(t, streams, count, e)) return false;
  for (size_t i = 0; i < count; i++) {
    struct target_stream *s = streams[i];
    struct kafka_writer *w = writer_of(t, s);
    if (s->lost || (w && w->producer)) continue;
    if (!w)
      w = writer_add(t, kafka_id_of_stream(&t->base.setup, s->stream->source, s->stream->partition), s->stream->source,
                     s->stream->partition);
    if (!kafka_writer_open(w, &setup, e)) return false;
    added = true;
  }
  return !added || kafka_read_fenced(t, e);
}

static bool target_attach(struct target *base, struct target_stream **streams, size_t count, struct error *e) {
  struct kafka_target *t = own(base);
  bool good = !kafka_is_shared(t) || take_streams(t, streams, count, e);
  for (size_t i = 0; i < count && good; i++)
    if (!streams[i]->lost) good = judge(t, streams[i], e);
  CRASH_POINT("sink.kafka_before_take");
  if (good && commit_begun(t, e)) return true;
  if (e->class == ERROR_FENCED) e->class = ERROR_OUTAGE; // looked at anew by the next open
  target_close(base);
  return false;
}

// From what was read behind the fence of this lane, or, where each partition has one of its own, from what is committed now.
static bool target_look(struct target *base, const struct target_stream *s, bool *there, uint64_t *epoch, struct target_totals *totals,
                        struct error *e) {
  struct kafka_target *t = own(base);
  (void)e;
  const struct kafka_position *row = kafka_positions_find(&t->positions, t->base.setup.edge, s->stream->source, s->stream->partition);
  *there = row != NULL;
  if (!row) return true;
  *epoch = row->epoch;
  *totals = row->totals;
  return true;
}

static bool target_start(struct target *base, struct target_stream *s, uint64_t start, struct error *e) {
  struct kafka_target *t = own(base);
  const struct target_setup *setup = &t->base.setup;
  struct kafka_writer *w = writer_of(t, s);
  struct kafka_position *row = kafka_positions_get(&t->positions, setup->edge, s->stream->source, s->stream->partition);
  kafka_text_set(&row->owner, setup->owner);
  kafka_text_set(&row->identity, s->stream->identity);
  kafka_text_set(&row->fingerprint, s->stream->fingerprint);
  row->has_position = true;
  row->position = row->start = start;
  row->witness = 0;
  row->epoch = row->epoch > 0 ? row->epoch + 1 : (uint64_t)clock_micros() / 1000;
  if (w && kafka_writer_begin(w, e) && put_position(t, w, row, e) && kafka_writer_commit(w, e)) {
    s->found = true;
    s->epoch = row->epoch;
    s->position = s->start = start;
    s->witness = 0;
    s->totals = row->totals;
    return true;
  }
  if (!error_is_set(e)) error_set(e, ERROR_FAULT, "writer", "a stream without a writer is to start");
  if (e->class == ERROR_FENCED) e->class = ERROR_OUTAGE;
  target_close(base);
  return false;
}

// ---- the batch

static bool is_letter(const struct batch_row *row) {
  return row->state == ROW_DEAD || (row->is_letter && row->state == ROW_LIVE);
}

// A transaction for every writer that has a stream that moves.
static bool begin_all(struct kafka_target *t, struct target_streams *streams, struct error *e) {
  for (size_t i = 0; i < streams->count; i++) {
    if (!streams->at[i].moves) continue;
    struct kafka_writer *w = writer_of(t, &streams->at[i]);
    if (!w) {
      error_set(e, ERROR_FAULT, "writer", "a stream without a writer moves");
      return false;
    }
    if (!kafka_writer_begin(w, e)) return false;
  }
  return true;
}

// One row. A suspect is sent alone: what is on its way before it, and then itself, is waited for.
static bool send_row(struct kafka_target *t, struct kafka_writer *w, const struct kafka_writer_setup *setup, struct batch *b, size_t i,
                     struct error *e) {
  switch (kafka_refused_find(&t->refused, &b->rows[i])) {
  case REFUSAL_NONE: return kafka_writer_row(w, setup, b, i, e);
  case REFUSAL_ALONE: batch_kill(b, &b->rows[i], t->refused.reason, t->refused.code, NULL, NULL); return true;
  case REFUSAL_SUSPECT: break;
  }
  return kafka_writer_push(w, e) && kafka_producer_flush(w->producer, e) && kafka_writer_row(w, setup, b, i, e) &&
         kafka_writer_push(w, e) && kafka_producer_flush(w->producer, e);
}

static bool send_rows(struct kafka_target *t, struct batch *b, struct target_streams *streams, struct kafka_writer **failed,
                      struct error *e) {
  struct kafka_writer_setup setup = kafka_setup_of(t);
  struct kafka_writer *w = NULL;
  uint32_t of = UINT32_MAX;
  for (size_t i = 0; i < b->count; i++) {
    const struct batch_row *row = &b->rows[i];
    if (row->state != ROW_LIVE || row->is_letter) continue;
    if (row->stream != of) w = writer_of(t, &streams->at[row->stream]);
    *failed = w;
    of = row->stream;
    if (!send_row(t, w, &setup, b, i, e)) return false;
  }
  for (size_t i = 0; i < t->writer_count; i++)
    if (!kafka_writer_push(&t->writers[i], e)) return false;
  return true;
}

static bool store_letters(struct kafka_target *t, struct batch *b, struct target_streams *streams, struct error *e) {
  if (!batch_has_letters(b)) return true;
  if (!t->settings.dead_topic) {
    if (!sqlite_begin(t->letters, e)) return false;
    if (sqlite_dead_add_batch(&t->dead, &t->base.setup, streams, b, e) && sqlite_commit(t->letters, e)) return true;
    sqlite_rollback(t->letters);
    return false;
  }
  struct kafka_writer_setup setup = kafka_setup_of(t);
  for (size_t i = 0; i < b->count; i++) {
    if (!is_letter(&b->rows[i])) continue;
    struct dead_entry entry;
    dead_entry_make(&t->base.setup, streams, b, &b->rows[i], &entry);
    bool sent = kafka_writer_letter(writer_of(t, &streams->at[b->rows[i].stream]), &setup, &entry, e);
    dead_entry_free(&entry);
    if (!sent) return false;
  }
  return true;
}

static struct kafka_position *row_of(struct kafka_target *t, const struct target_stream *s) {
  return kafka_positions_get(&t->positions, t->base.setup.edge, s->stream->source, s->stream->partition);
}

static bool send_positions(struct kafka_target *t, struct target_streams *streams, struct error *e) {
  // At least once: nothing is said of rows that the brokers have not taken.
  if (!t->settings.exactly_once)
    for (size_t i = 0; i < t->writer_count; i++)
      if (!kafka_producer_flush(t->writers[i].producer, e)) return false;
  for (size_t i = 0; i < streams->count; i++) {
    const struct target_stream *s = &streams->at[i];
    if (!s->moves) continue;
    struct kafka_position *row = row_of(t, s);
    row->has_position = true;
    row->position = s->next_position;
    row->witness = s->next_witness;
    row->epoch = s->epoch;
    row->totals = s->next;
    if (!put_position(t, writer_of(t, s), row, e)) return false;
  }
  return true;
}

// Moves the streams of a writer whose transaction is durable: a later one that fails must not write them again.
static void moved(struct kafka_target *t, const struct kafka_writer *w, struct target_streams *streams) {
  for (size_t i = 0; i < streams->count; i++) {
    struct target_stream *s = &streams->at[i];
    if (!s->moves || writer_of(t, s) != w) continue;
    struct target_streams one = {.at = s, .count = 1};
    target_moved(&one);
  }
}

static bool commit_all(struct kafka_target *t, struct target_streams *streams, struct kafka_writer **failed, struct error *e) {
  for (size_t i = 0; i < t->writer_count; i++) {
    struct kafka_writer *w = &t->writers[i];
    if (!w->begun) continue;
    *failed = w;
    if (!kafka_writer_commit(w, e)) return false;
    moved(t, w, streams);
  }
  return true;
}

static bool write(struct kafka_target *t, struct batch *b, struct target_streams *streams, struct kafka_writer **failed, struct error *e) {
  const struct target_setup *setup = &t->base.setup;
  CRASH_POINT("sink.before_fence");
  if (!begin_all(t, streams, e)) return false;
  CRASH_POINT("sink.after_fence");
  if (!send_rows(t, b, streams, failed, e)) return false;
  CRASH_POINT("sink.after_rows");
  if (!setup->may_commit(setup->context, b, e) || !store_letters(t, b, streams, e)) return false;
  CRASH_POINT("sink.after_dead");
  target_count(b, streams);
  if (!send_positions(t, streams, e)) return false;
  CRASH_POINT("sink.before_commit");
  return commit_all(t, streams, failed, e);
}

static bool abort_all(struct kafka_target *t) {
  bool good = true;
  for (size_t i = 0; i < t->writer_count; i++)
    if (t->writers[i].begun && !kafka_writer_abort(&t->writers[i])) good = false;
  return good;
}

// Whether the topics take something else now than what is known of them: then that is why messages were refused.
static bool has_changed(struct kafka_target *t) {
  struct error ignored = {0};
  struct kafka_topics now = t->topics;
  bool known = kafka_topics_open(t->admin, &t->settings, &t->base.setup, 0, &now, &ignored);
  return !known || memcmp(&now, &t->topics, sizeof now) != 0;
}

// What was refused is noted, for the next try. False: nothing more can be found out, or the topics take something else now.
static bool note_refused(struct kafka_target *t, const struct batch *b, const struct kafka_writer *w, const struct error *why) {
  size_t count;
  const uint64_t *marks = kafka_producer_failures(w->producer, &count);
  return kafka_refused_note(&t->refused, b, marks, count, why) && !has_changed(t);
}

// Opens everything anew behind a refusal, without the core: nothing was lost, only the transaction. False: the core has to look.
static bool begin_anew(struct kafka_target *t, const struct target_streams *streams, struct error *e) {
  bool fresh;
  target_close(&t->base);
  if (kafka_is_shared(t) || !target_open(&t->base, &fresh, e)) return false;
  for (size_t i = 0; i < streams->count; i++) {
    const struct target_stream *s = &streams->at[i];
    if (!s->found || s->lost || s->finished) continue;
    const struct kafka_position *row = row_of(t, s);
    bool same = row->has_position && row->position == s->position && row->epoch == s->epoch && strcmp(row->owner, t->base.setup.owner) == 0;
    if (!same) return false;
  }
  return true;
}

static bool fail_commit(struct kafka_target *t, struct kafka_writer *failed, struct target_streams *streams, struct error *e) {
  if (e->class == ERROR_FENCED && failed) {
    kafka_see_why(t, failed, streams, e);
    if (e->class == ERROR_FENCED && kafka_is_shared(t)) {
      // The others go on.
      kafka_writer_close(failed);
      writer_drop(t, failed);
      if (abort_all(t)) return false;
    }
  } else if (e->class != ERROR_DATA && abort_all(t))
    return false;
  if (e->class == ERROR_DATA) e->class = ERROR_OUTAGE; // what the topics take is asked anew
  target_close(&t->base);
  return false;
}

static bool target_commit(struct target *base, struct batch *b, struct target_streams *streams, struct error *e) {
  struct kafka_target *t = own(base);
  struct kafka_writer *failed = t->writer_count > 0 ? &t->writers[0] : NULL;
  while (!write(t, b, streams, &failed, e)) {
    struct error why = *e;
    bool again = e->class == ERROR_DATA && failed && note_refused(t, b, failed, &why);
    error_clear(e);
    if (again && begin_anew(t, streams, e)) {
      batch_begin(b);
      failed = &t->writers[0];
      continue;
    }
    if (!error_is_set(e)) *e = why;
    return fail_commit(t, t->writer_count > 0 ? failed : NULL, streams, e);
  }
  kafka_refused_clear(&t->refused);
  return true;
}

// ---- signs of life

static bool target_beat(struct target *base, struct target_streams *streams, struct error *e) {
  struct kafka_target *t = own(base);
  if (kafka_is_shared(t) || t->writer_count == 0) return true;
  if (kafka_sign(t, base->setup.owner, e)) return true;
  if (e->class == ERROR_FENCED) kafka_see_why(t, &t->writers[0], streams, e);
  if (e->class == ERROR_DATA) e->class = ERROR_OUTAGE;
  target_close(base);
  return false;
}

static bool release_stream(struct kafka_target *t, const struct target_stream *s, const char *left, struct error *e) {
  struct kafka_writer *w = writer_of(t, s);
  struct kafka_position *row = row_of(t, s);
  if (!w || !w->producer) return true;
  kafka_text_set(&row->owner, left);
  return kafka_writer_begin(w, e) && put_position(t, w, row, e);
}

static bool target_release(struct target *base, struct target_stream *const *streams, size_t count, struct error *e) {
  struct kafka_target *t = own(base);
  if (!t->opened) return true;
  char *left = owner_left(base->setup.owner);
  bool good = true;
  for (size_t i = 0; i < count && good; i++) good = release_stream(t, streams[i], left, e);
  good = good && commit_begun(t, e);
  if (good && !kafka_is_shared(t)) good = kafka_sign(t, left, e);
  free(left);
  for (size_t i = 0; i < count && kafka_is_shared(t); i++) {
    struct kafka_writer *w = writer_of(t, streams[i]);
    if (w) writer_drop(t, w);
  }
  return good;
}

const struct target_kind target_kafka = {
    .name = "kafka",
    .make = target_make,
    .open = target_open,
    .close = target_close,
    .attach = target_attach,
    .look = target_look,
    .start = target_start,
    .commit = target_commit,
    .beat = target_beat,
    .release = target_release,
    .free = target_free,
};
