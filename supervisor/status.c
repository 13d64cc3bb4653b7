// See status.h. The object is built as msgpack and printed by the one JSON printer of the project; status_table.c shows it to people.
#include "supervisor/status.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/error.h"
#include "proto/msgpack.h"
#include "supervisor/instance.h"
#include "supervisor/lane.h"
#include "supervisor/ring_look.h"
#include "supervisor/tally.h"

enum { HOST_MOST = 255, TOP_ROOM = 4096, NODE_ROOM = 2 * SLOT_TEXT + 1536 };

static void text_put(struct msgpack_writer *w, const char *key, const char *value) {
  msgpack_write_cstring(w, key);
  if (value)
    msgpack_write_cstring(w, value);
  else
    msgpack_write_nil(w);
}

static void uint_put(struct msgpack_writer *w, const char *key, uint64_t value) {
  msgpack_write_cstring(w, key);
  msgpack_write_uint(w, value);
}

static void double_put(struct msgpack_writer *w, const char *key, double value) {
  msgpack_write_cstring(w, key);
  if (value == 0)
    msgpack_write_int(w, 0);
  else
    msgpack_write_double(w, value);
}

static uint32_t counters_put(struct msgpack_writer *w, const uint64_t *counters) {
  static const struct {
    const char *key;
    enum slot_counter counter;
  } shown[] = {{"in", COUNT_IN},
               {"out", COUNT_OUT},
               {"filtered", COUNT_FILTERED},
               {"superseded", COUNT_SUPERSEDED},
               {"late", COUNT_LATE},
               {"dead", COUNT_DEAD_ROWS},
               {"with_rows", COUNT_WITH_ROWS},
               {"dead_records", COUNT_DEAD_RECORDS},
               {"rows_made", COUNT_ROWS_MADE},
               {"bytes_in", COUNT_BYTES_IN},
               {"failed_polls", COUNT_FAILED_POLLS},
               {"ignored_fields", COUNT_IGNORED_FIELDS},
               {"text_numbers", COUNT_TEXT_NUMBERS}};
  for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) uint_put(w, shown[i].key, counters[shown[i].counter]);
  return sizeof shown / sizeof *shown;
}

// ---- one worker

static enum slot_state state_of(const struct seat *seat, const struct slot_words *words) {
  if (seat->failed) return SLOT_FAILED;
  if (seat->state == SEAT_ENDED) return SLOT_STOPPED;
  return seat->pid == 0 ? SLOT_STARTING : words->state;
}

// Of a source the fullest reader of the ring that it writes.
static double fill_of(const struct seat *seat) {
  uint64_t backlog = 0, capacity = 0, most = 0;
  if (seat_parent(seat)) {
    most = seat_backlog(seat, &capacity);
  } else {
    for (unsigned reader = 0; reader < seat->plan->children; reader++)
      if (ring_look(seat->ring, reader, &backlog, &capacity) && backlog > most) most = backlog;
  }
  return capacity == 0 ? 0 : (double)most / (double)capacity;
}

static double lag_of(const struct slot_words *words) {
  uint64_t now = (uint64_t)clock_micros() * 1000;
  if (words->oldest_ns == 0 || words->oldest_ns >= now) return 0;
  // To the millisecond: more digits would only look exact.
  return (double)((now - words->oldest_ns) / 1000000) / 1000.0;
}

static void seat_put(struct msgpack_writer *w, const struct seat *seat) {
  const struct instance *i = seat->lane->instance;
  struct slot_words words;
  char doing[SLOT_TEXT], error[SLOT_TEXT];
  slot_words_get(&seat->slot, &words);
  slot_doing_get(&seat->slot, doing);
  slot_error_get(&seat->slot, error);
  uint8_t *opened = msgpack_map_open(w);
  text_put(w, "name", seat->node->name);
  text_put(w, "kind", plan_kind_name(seat->node, seat->plan->kind));
  text_put(w, "role", worker_role_name(seat->plan->kind->role));
  text_put(w, "source", i->plan->nodes[seat->lane->chain->source].name);
  text_put(w, "edge", seat->plan->edge);
  uint_put(w, "lane", seat->lane->number);
  msgpack_write_cstring(w, "pid");
  if (seat->pid > 0)
    msgpack_write_int(w, seat->pid);
  else
    msgpack_write_nil(w);
  text_put(w, "state", slot_state_name(state_of(seat, &words)));
  text_put(w, "doing", seat->pid > 0 && doing[0] ? doing : NULL);
  uint_put(w, "restarts", seat->spawned > 0 ? seat->spawned - 1 : 0);
  uint32_t pairs = counters_put(w, words.counters);
  double_put(w, "ring_fill", fill_of(seat));
  uint_put(w, "position", words.position);
  double_put(w, "lag_s", lag_of(&words));
  text_put(w, "last_error", error[0] ? error : NULL);
  msgpack_map_close(opened, pairs + 14);
}

// ---- lookups

static void text_time_put(struct msgpack_writer *w, const char *key, int64_t micros) {
  char text[CLOCK_TEXT];
  clock_print(micros / 1000000 * 1000000, text);
  text_put(w, key, micros > 0 ? text : NULL);
}

// A lookup beside the workers: the same keys where they have a meaning, and those of its table.
static void lookup_put(struct msgpack_writer *w, const struct seat *seat) {
  struct slot_words words;
  struct lookup_table table;
  char doing[SLOT_TEXT], error[SLOT_TEXT];
  slot_words_get(&seat->slot, &words);
  slot_doing_get(&seat->slot, doing);
  slot_error_get(&seat->slot, error);
  lookup_look(seat, &table);
  int64_t age = clock_micros() - table.confirmed;
  uint8_t *opened = msgpack_map_open(w);
  text_put(w, "name", seat->node->name);
  text_put(w, "kind", "lookup");
  text_put(w, "role", worker_role_name(WORKER_LOOKUP));
  text_put(w, "type", seat->node->kind->name);
  uint_put(w, "lane", 0);
  msgpack_write_cstring(w, "pid");
  if (seat->pid > 0)
    msgpack_write_int(w, seat->pid);
  else
    msgpack_write_nil(w);
  text_put(w, "state", slot_state_name(state_of(seat, &words)));
  text_put(w, "doing", seat->pid > 0 && doing[0] ? doing : NULL);
  uint_put(w, "restarts", seat->spawned > 0 ? seat->spawned - 1 : 0);
  uint32_t pairs = counters_put(w, words.counters);
  double_put(w, "ring_fill", 0);
  uint_put(w, "position", table.generation);
  double_put(w, "lag_s", 0);
  uint_put(w, "rows", table.rows);
  uint_put(w, "bytes", table.bytes);
  msgpack_write_cstring(w, "age_s");
  if (table.generation > 0)
    msgpack_write_int(w, age > 0 ? age / 1000000 : 0);
  else
    msgpack_write_nil(w);
  text_time_put(w, "loaded", table.loaded);
  text_put(w, "last_error", error[0] ? error : NULL);
  msgpack_map_close(opened, pairs + 17);
}

// ---- the whole

static const char *state_of_all(const struct instance *i) {
  if (i->stop.failures > 0) return "failed";
  if (i->stop.phase != STOP_RUNNING) return "stopping";
  return i->ready ? "running" : "starting";
}

static uint32_t top_put(struct msgpack_writer *w, const struct instance *i) {
  char host[HOST_MOST + 1] = "", since[CLOCK_TEXT];
  if (gethostname(host, HOST_MOST) != 0) host[0] = '\0';
  int64_t up_us = (int64_t)((clock_monotonic_ns() - i->started_ns) / 1000);
  clock_print((clock_micros() - up_us) / 1000000 * 1000000, since);
  text_put(w, "pipeline", i->plan->pipeline);
  text_put(w, "state", state_of_all(i));
  uint_put(w, "pid", (uint64_t)getpid());
  text_put(w, "host", host);
  text_put(w, "since", since);
  text_put(w, "file", i->plan->file);
  text_put(w, "state_folder", i->folder.path);
  return 7;
}

static void print(const uint8_t *bytes, const struct msgpack_writer *w, struct buffer *out) {
  const uint8_t *at = bytes;
  // Only a room that was counted too small can end up here; an empty answer would hide it.
  if (w->overflow || !msgpack_to_json(&at, w->at, out)) buffer_text(out, "{\"error\":\"the status does not fit its room\"}");
  buffer_byte(out, '\n');
}

static size_t room_for(const struct instance *i) {
  size_t room = TOP_ROOM + strlen(i->plan->pipeline) + strlen(i->plan->file) + strlen(i->folder.path);
  for (size_t l = 0; l < i->lane_count; l++)
    for (size_t s = 0; s < i->lanes[l].seat_count; s++) room += NODE_ROOM + strlen(i->lanes[l].seats[s].plan->edge);
  return room + tally_count(i->plan) * NODE_ROOM;
}

void status_json(const struct instance *i, struct buffer *out) {
  size_t room = room_for(i), count = 0;
  uint8_t *bytes = memory_get(room);
  struct msgpack_writer w = {.at = bytes, .end = bytes + room};
  for (size_t l = 0; l < i->lane_count; l++) count += i->lanes[l].seat_count;
  count += i->lookup_count;
  uint8_t *opened = msgpack_map_open(&w);
  uint32_t pairs = top_put(&w, i);
  msgpack_write_cstring(&w, "nodes");
  msgpack_write_array(&w, (uint32_t)count);
  for (size_t l = 0; l < i->lane_count; l++)
    for (size_t s = 0; s < i->lanes[l].seat_count; s++) seat_put(&w, &i->lanes[l].seats[s]);
  for (size_t l = 0; l < i->lookup_count; l++) lookup_put(&w, &i->lookups[l].seats[0]);
  msgpack_map_close(opened, pairs + 1);
  print(bytes, &w, out);
  free(bytes);
}

void status_account_json(const struct instance *i, struct buffer *out) {
  size_t room = room_for(i);
  uint8_t *bytes = memory_get(room);
  struct msgpack_writer w = {.at = bytes, .end = bytes + room};
  struct tally *tallies = tally_take(i);
  uint8_t *opened = msgpack_map_open(&w);
  uint32_t pairs = top_put(&w, i), count = 0;
  msgpack_write_cstring(&w, "nodes");
  uint8_t *nodes = msgpack_array_open(&w);
  for (size_t n = 0; n < tally_count(i->plan); n++) {
    if (tallies[n].workers == 0) continue;
    uint8_t *node = msgpack_map_open(&w);
    text_put(&w, "name", tallies[n].node->name);
    text_put(&w, "kind", plan_kind_name(tallies[n].node, tallies[n].kind));
    text_put(&w, "role", worker_role_name(tallies[n].kind->role));
    uint_put(&w, "restarts", tallies[n].restarts);
    uint_put(&w, "rewinds", tallies[n].cuts);
    msgpack_map_close(node, 5 + counters_put(&w, tallies[n].counters));
    count++;
  }
  msgpack_array_close(nodes, count);
  msgpack_map_close(opened, pairs + 1);
  print(bytes, &w, out);
  free(tallies);
  free(bytes);
}
