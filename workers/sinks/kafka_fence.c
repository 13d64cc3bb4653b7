// The fence of a topic sink: transactional ids. Who has initialised an id last is the only one whose transactions commit.
//
//   static chain: one id for each lane and number of lanes, "weir/PIPELINE/SINK/EDGE/lane/L-of-N"
//   shared chain: one id for each source partition,         "weir/PIPELINE/SINK/EDGE/stream/SOURCE/PARTITION"
//
// A partition of the source belongs to the same lane as long as there are as many lanes, so an id of the own shape is taken over by its
// successor alone. Ids of another shape (4 lanes became 2, static became shared) have no successor: every start ends them, all that are
// recorded. Each id is recorded in weir_positions before its first commit, and positions are read after the own id was recorded: so of two
// shapes that start together at least one sees the other.
//
// Who initialises an id ends its owner at once, so a living owner is looked for before.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/log.h"
#include "workers/sinks/owner.h"
#include "workers/sinks/target_kafka_parts.h"

enum { WHY_MS = 3000, WHY_STEP_MS = 300 };

static char *id_begin(const struct target_setup *setup) {
  return memory_print("weir/%s/%s/%s/", setup->pipeline, setup->sink, setup->edge);
}

char *kafka_id_of_lane(const struct target_setup *setup) {
  char *begin = id_begin(setup), *id = memory_print("%slane/%u-of-%u", begin, setup->lane, setup->lanes);
  free(begin);
  return id;
}

char *kafka_id_of_stream(const struct target_setup *setup, const char *source, const char *partition) {
  char *begin = id_begin(setup), *id = memory_print("%sstream/%s/%s", begin, source, partition);
  free(begin);
  return id;
}

// Whether an id is one that this shape of the sink uses itself, in this lane or another.
static bool is_own_shape(const struct kafka_target *t, const char *id) {
  const struct target_setup *setup = &t->base.setup;
  char *begin = id_begin(setup), *end = memory_print("-of-%u", setup->lanes);
  size_t length = strlen(begin), id_length = strlen(id), end_length = strlen(end);
  bool own = strncmp(id, begin, length) == 0;
  if (own && kafka_is_shared(t))
    own = strncmp(id + length, "stream/", 7) == 0;
  else if (own)
    own = strncmp(id + length, "lane/", 5) == 0 && id_length > end_length && strcmp(id + id_length - end_length, end) == 0;
  free(begin);
  free(end);
  return own;
}

// ---- a living owner

static bool is_foreign(const struct kafka_target *t, const char *owner) {
  return owner[0] != '\0' && !owner_has_left(owner) && !owner_is_state(owner, t->base.setup.state_id);
}

// The owner's silence. A sign that did not change while this process was watching is old, whatever the clocks say.
static bool is_silent(struct kafka_target *t, const char *owner, int64_t seen_ms) {
  struct kafka_watched *w = &t->watched;
  uint64_t now = clock_monotonic_ns();
  if (!w->owner || strcmp(w->owner, owner) != 0 || w->seen_ms != seen_ms) {
    kafka_text_set(&w->owner, owner);
    w->seen_ms = seen_ms;
    w->since_ns = now;
  }
  bool watched = now - w->since_ns >= TARGET_OWNER_SILENT_SECONDS * 1000000000ull;
  return watched || clock_micros() / 1000 - seen_ms >= TARGET_OWNER_SILENT_SECONDS * 1000;
}

// The owner of this sink and edge that was seen last and is none of ours; NULL: none.
static const char *foreign_owner(const struct kafka_target *t, const struct kafka_positions *p) {
  const char *found = NULL, *edge = t->base.setup.edge;
  int64_t latest = INT64_MIN;
  for (size_t i = 0; i < p->count + p->writer_count; i++) {
    bool row = i < p->count;
    const char *owner = row ? p->at[i].owner : p->writers[i - p->count].owner;
    if (strcmp(row ? p->at[i].edge : p->writers[i - p->count].edge, edge) != 0 || !is_foreign(t, owner)) continue;
    int64_t seen = kafka_positions_seen(p, owner);
    if (found && seen <= latest) continue;
    found = owner;
    latest = seen;
  }
  return found;
}

bool kafka_look_at_owner(struct kafka_target *t, struct error *e) {
  const struct target_setup *setup = &t->base.setup;
  struct kafka_positions *p = &t->positions;
  char *id = kafka_id_of_lane(setup);
  struct kafka_writer_seen *ours = kafka_positions_writer(p, setup->edge, id);
  const char *owner = foreign_owner(t, p);
  free(id);
  // However long that one has been silent, and even if it has left since: taking it back would fence each other in turn.
  if (t->held && ours && ours->owner[0] != '\0' && !owner_is_state(ours->owner, setup->state_id)) {
    error_set(e, ERROR_FENCED, "fenced", "this sink was taken over by another instance (%s)", ours->owner);
    return false;
  }
  if (!owner || setup->take_over || is_silent(t, owner, kafka_positions_seen(p, owner))) return true;
  error_set(e, ERROR_OUTAGE, "owned",
            "topic %s belongs to a running instance (%s); waiting until it has been silent for %d s (--take-over does not wait)",
            t->settings.topic, owner, TARGET_OWNER_SILENT_SECONDS);
  return false;
}

bool kafka_sign(struct kafka_target *t, const char *owner, struct error *e) {
  const struct target_setup *setup = &t->base.setup;
  struct kafka_writer *w = &t->writers[0];
  struct kafka_writer_seen seen = {.pipeline = (char *)(uintptr_t)setup->pipeline,
                                   .sink = (char *)(uintptr_t)setup->sink,
                                   .edge = (char *)(uintptr_t)setup->edge,
                                   .id = w->id,
                                   .owner = (char *)(uintptr_t)owner};
  return kafka_writer_begin(w, e) && kafka_writer_sign(w, &seen, t->partition, e) && kafka_writer_commit(w, e);
}

// ---- other shapes

static bool was_fenced(const struct kafka_target *t, const char *id) {
  for (size_t i = 0; i < t->fenced_count; i++)
    if (strcmp(t->fenced[i], id) == 0) return true;
  return false;
}

// Takes an id over, leaves our name under it, and lets it go.
static bool fence_id(struct kafka_target *t, const char *id, struct error *e) {
  const struct target_setup *setup = &t->base.setup;
  struct kafka_writer w = {.id = memory_text(id)};
  struct kafka_writer_setup writer = kafka_setup_of(t);
  struct kafka_writer_seen seen = {.pipeline = (char *)(uintptr_t)setup->pipeline,
                                   .sink = (char *)(uintptr_t)setup->sink,
                                   .edge = (char *)(uintptr_t)setup->edge,
                                   .id = w.id,
                                   .owner = (char *)(uintptr_t)setup->owner};
  bool good = kafka_writer_open(&w, &writer, e) && kafka_writer_begin(&w, e) && kafka_writer_sign(&w, &seen, t->partition, e) &&
              kafka_writer_commit(&w, e);
  kafka_writer_free(&w);
  // Another lane of ours ends the same ids at the same time: whoever comes last has ended it for all.
  if (!good && e->class == ERROR_FENCED) {
    error_clear(e);
    good = true;
  }
  if (!good) return false;
  t->fenced = memory_resize(t->fenced, (t->fenced_count + 1) * sizeof *t->fenced);
  t->fenced[t->fenced_count++] = memory_text(id);
  log_say(LOG_LEVEL_INFO, "ended the transactions of %s, which has no successor", id);
  return true;
}

// The next id of another shape that was not ended yet; NULL: none. Owned by the caller.
static char *next_to_fence(struct kafka_target *t) {
  const struct kafka_positions *p = &t->positions;
  for (size_t i = 0; i < p->count + p->writer_count; i++) {
    bool row = i < p->count;
    const char *edge = row ? p->at[i].edge : p->writers[i - p->count].edge, *id = row ? p->at[i].writer : p->writers[i - p->count].id;
    if (strcmp(edge, t->base.setup.edge) != 0 || id[0] == '\0' || is_own_shape(t, id) || was_fenced(t, id)) continue;
    return memory_text(id);
  }
  return NULL;
}

bool kafka_read_fenced(struct kafka_target *t, struct error *e) {
  char *id;
  bool good = true, fenced = true;
  while (good && fenced) {
    fenced = false;
    if (!kafka_positions_read(&t->positions, t->admin, t->partition, e)) return false;
    if (!t->settings.exactly_once) return true;
    while (good && (id = next_to_fence(t))) {
      good = fence_id(t, id, e);
      fenced = true;
      free(id);
    }
  }
  return good;
}

// ---- fenced ourselves

static bool is_of(const struct kafka_writer *w, const struct target_stream *s) {
  if (!s->found || s->lost || s->finished) return false;
  return !w->source || (strcmp(w->source, s->stream->source) == 0 && strcmp(w->partition, s->stream->partition) == 0);
}

// What the records say of this writer's streams now. *lost: whose owner is another; *set: whose position was set.
static void compare(const struct kafka_target *t, struct kafka_positions *now, const struct kafka_writer *w, struct target_streams *streams,
                    size_t *lost, bool *set) {
  const struct target_setup *setup = &t->base.setup;
  struct kafka_writer_seen *own = kafka_positions_writer(now, setup->edge, w->id);
  bool all = own && !kafka_is_shared(t) && strcmp(own->owner, setup->owner) != 0;
  for (size_t i = 0; i < streams->count; i++) {
    struct target_stream *s = &streams->at[i];
    if (!is_of(w, s)) continue;
    struct kafka_position *row = kafka_positions_find(now, setup->edge, s->stream->source, s->stream->partition);
    bool other = all || (row && strcmp(row->owner, setup->owner) != 0);
    if (other) s->lost = true;
    *lost += other;
    *set = *set || !row || row->epoch != s->epoch;
  }
}

bool kafka_see_why(struct kafka_target *t, const struct kafka_writer *w, struct target_streams *streams, struct error *e) {
  uint64_t began = clock_monotonic_ns();
  struct kafka_positions now;
  size_t lost = 0;
  bool set = false, good = true;
  error_clear(e);
  struct kafka_admin *admin = kafka_admin_of(t, KAFKA_EVERYTHING, e);
  if (!admin) return false;
  kafka_positions_make(&now, t->base.setup.pipeline, t->base.setup.sink);
  // The next owner writes his name a moment after he has fenced us.
  for (;;) {
    good = kafka_positions_read(&now, admin, t->partition, e);
    if (good) compare(t, &now, w, streams, &lost, &set);
    uint64_t waited_ms = (clock_monotonic_ns() - began) / 1000000;
    if (!good || lost > 0 || set || waited_ms >= WHY_MS) break;
    t->base.setup.tick(t->base.setup.context, "fenced: looking for the next owner", (unsigned)(waited_ms / 1000));
    usleep(WHY_STEP_MS * 1000);
  }
  kafka_positions_free(&now);
  kafka_admin_close(admin);
  if (!good) return false;
  if (lost > 0 || set) return target_fenced(lost, e);
  error_set(e, ERROR_OUTAGE, "transaction", "the brokers have ended a transaction of %s: it took longer than `transaction_timeout`", w->id);
  return false;
}
