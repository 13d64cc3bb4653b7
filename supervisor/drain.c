// See drain.h for the manual page.
#include "supervisor/drain.h"

#include "shm/words.h"
#include "supervisor/instance.h"
#include "supervisor/lane.h"
#include "supervisor/say.h"

static const uint64_t ms_ns = 1000000;

// ---- what is left

// Streams of the lane's source on which this sink is behind; 1 when it cannot be told.
static uint32_t left_at(const struct seat *sink) {
  struct words source, feedback;
  if (words_attach(&source, sink->lane->source_words, false) != 0) return 1;
  uint32_t left = 1;
  if (words_attach(&feedback, sink->feedback, false) == 0) {
    left = pending_streams(&source, &feedback);
    words_detach(&feedback);
  }
  words_detach(&source);
  return left;
}

static bool is_waited_for(const struct seat *seat) {
  return seat_is_sink(seat) && seat->state != SEAT_ENDED;
}

static bool lane_has_ended(const struct lane *lane) {
  for (size_t s = 0; s < lane->seat_count; s++)
    if (lane->seats[s].state != SEAT_ENDED) return false;
  return true;
}

static bool lane_has_left(const struct lane *lane) {
  if (lane->seats[0].state != SEAT_ENDED) return true;
  for (size_t s = 1; s < lane->seat_count; s++)
    if (is_waited_for(&lane->seats[s]) && left_at(&lane->seats[s]) > 0) return true;
  return false;
}

// ---- telling

static void say_waiting(struct instance *i, const struct seat *sink, uint64_t now_ns) {
  struct log_line l;
  char doing[SLOT_TEXT];
  uint64_t capacity, passed_ms = (now_ns - i->stop.draining_ns) / ms_ns, limit_ms = i->plan->drain_ms;
  slot_doing_get(&sink->slot, doing);
  say_begin(i, &l, LOG_LEVEL_INFO, "waiting for what is not stored yet", sink);
  log_text(&l, "source", sink->lane->seats[0].name);
  log_uint(&l, "partitions", left_at(sink));
  log_uint(&l, "ring_bytes", seat_backlog(sink, &capacity));
  if (doing[0]) log_text(&l, "doing", doing);
  log_uint(&l, "given_up_in_s", passed_ms < limit_ms ? (limit_ms - passed_ms + 999) / 1000 : 0);
  log_end(&l);
}

static void say_all_waiting(struct instance *i, uint64_t now_ns) {
  i->stop.told_ns = now_ns;
  for (size_t l = 0; l < i->lane_count; l++)
    for (size_t s = 1; s < i->lanes[l].seat_count; s++)
      if (is_waited_for(&i->lanes[l].seats[s]) && !i->lanes[l].given_up) say_waiting(i, &i->lanes[l].seats[s], now_ns);
}

void drain_tell_left(struct instance *i) {
  for (size_t n = 0; n < i->lane_count; n++) {
    const struct lane *lane = &i->lanes[n];
    for (size_t s = 1; s < lane->seat_count; s++) {
      const struct seat *sink = &lane->seats[s];
      uint32_t left = is_waited_for(sink) ? left_at(sink) : 0;
      struct log_line l;
      if (left == 0) continue;
      say_begin(i, &l, LOG_LEVEL_WARN, "not stored in time", sink);
      log_text(&l, "source", i->plan->nodes[lane->chain->source].name);
      log_uint(&l, "partitions", left);
      log_text(&l, "next", "the source gives it again at the next start, from what this sink has stored");
      log_end(&l);
    }
  }
}

// ---- lanes with nothing left

static void lane_dismiss(struct instance *i, struct lane *lane) {
  struct log_line l;
  say_begin(i, &l, LOG_LEVEL_INFO, "everything is stored: the end of the run is not waited for", NULL);
  log_text(&l, "source", lane->seats[0].name);
  log_end(&l);
  for (size_t s = 0; s < lane->seat_count; s++) seat_dismiss(&lane->seats[s], "nothing is left to store");
}

static void lane_check(struct instance *i, struct lane *lane, uint64_t now_ns) {
  if (lane->given_up || lane->cutting || lane_has_ended(lane) || lane_has_left(lane)) {
    lane->done_ns = 0;
    return;
  }
  if (lane->done_ns == 0) lane->done_ns = now_ns;
  if (now_ns - lane->done_ns >= DRAIN_GRACE_MS * ms_ns) lane_dismiss(i, lane);
}

void drain_check(struct instance *i, uint64_t now_ns) {
  if (i->stop.phase != STOP_DRAINING) return;
  if (i->stop.draining_ns == 0) i->stop.draining_ns = i->stop.told_ns = now_ns;
  for (size_t l = 0; l < i->lane_count; l++) lane_check(i, &i->lanes[l], now_ns);
  if (now_ns - i->stop.told_ns >= DRAIN_TELL_MS * ms_ns) say_all_waiting(i, now_ns);
  stop_check(i);
}
