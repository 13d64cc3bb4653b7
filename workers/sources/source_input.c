// Inputs into the ring: records of one input form a group, the note says behind which input it ends, the account counts it. See source.h.
//
// Invariant: between source_input_end and the next source_part_end no group is open; the note is staged just before each group ends.
#include <stddef.h>
#include <string.h>

#include "proto/json.h"
#include "proto/limits.h"
#include "proto/log.h"
#include "shm/crash_point.h"
#include "workers/sources/source.h"

uint32_t source_body_max(const struct source *s) {
  uint64_t most = ring_record_max(s->w->output.capacity) - sizeof(struct record_header);
  return most > LIMIT_RECORD ? LIMIT_RECORD : (uint32_t)most;
}

uint32_t source_message_max(const struct source *s) {
  return source_body_max(s) / 4;
}

bool source_has_room(struct source *s, uint32_t room, uint32_t *wanted) {
  uint32_t size = room + (uint32_t)sizeof(struct record_header);
  // After a fault there is no room to wait for: whoever writes next finds the fault and reports it.
  if (s->w->output.fault != RING_OK) return true;
  if (ring_reserve(&s->w->output, size)) {
    ring_abort(&s->w->output);
    return true;
  }
  *wanted = size;
  return false;
}

bool source_sleep(struct source *s, uint32_t wanted) {
  source_publish(s);
  return ring_writer_sleep(&s->w->output, wanted);
}

uint8_t *source_part_begin(struct source *s, uint32_t room, struct error *e) {
  struct ring_writer *out = &s->w->output;
  uint32_t size = room + (uint32_t)sizeof(struct record_header);
  uint8_t *at;
  while (!(at = ring_reserve(out, size)))
    if (!worker_output_room(s->w, size, e)) return NULL;
  return at + sizeof(struct record_header);
}

void source_part_abort(struct source *s) {
  ring_abort(&s->w->output);
}

void source_parts_abort(struct source *s) {
  ring_group_abort(&s->w->output);
  s->parts = s->dead_parts = 0;
}

uint64_t source_parts_room(const struct source *s) {
  uint64_t most = ring_group_max(s->w->output.capacity), used = ring_group_bytes(&s->w->output);
  return used < most ? most - used : 0;
}

static uint8_t record_flags(const struct source_input *input) {
  return (uint8_t)((input->retry ? RECORD_RETRY : 0) | (input->tombstone ? RECORD_DELETE : 0));
}

// What a record carries of its message, behind a body of `length` bytes in the open reservation; returns how many bytes.
static uint16_t message_put(const struct ring_writer *out, const struct source_input *input, uint8_t *payload, uint32_t length) {
  const struct buffer *m = input->message;
  uint64_t before = sizeof(struct record_header) + (uint64_t)length;
  if (!m || m->length == 0 || m->length > UINT16_MAX || before + m->length > out->open) return 0;
  memcpy(payload + before, m->at, m->length);
  return (uint16_t)m->length;
}

static void part_finish(struct source *s, const struct source_input *input, enum record_kind kind, uint32_t length) {
  struct worker *w = s->w;
  struct ring_writer *out = &w->output;
  // The open reservation begins at out->at; ring_commit moves it.
  uint8_t *payload = out->data + (out->at & out->mask) + RING_FRAME;
  struct record_header header = {.kind = (uint8_t)kind,
                                 .stream = (uint32_t)input->stream,
                                 .position = input->position,
                                 .part = s->parts++,
                                 .flags = kind == RECORD_DATA ? record_flags(input) : 0,
                                 .code = input->retry          ? input->again
                                         : kind == RECORD_DEAD ? RECORD_PART_ALL
                                                               : 0,
                                 .witness = input->witness,
                                 .time = input->time};
  uint32_t behind = 0;
  if (kind == RECORD_DEAD)
    header.node = (uint16_t)w->node_index;
  else
    behind = header.message = message_put(out, input, payload, length);
  record_write(payload, &header);
  s->last_flags = payload + offsetof(struct record_header, flags);
  ring_commit(out, length + (uint32_t)sizeof header + behind);
  s->dead_parts += kind == RECORD_DEAD;
}

void source_part_end(struct source *s, const struct source_input *input, uint32_t length) {
  part_finish(s, input, RECORD_DATA, length);
}

bool source_part_dead(struct source *s, const struct source_input *input, const struct source_dead *dead, struct error *e) {
  struct dead_letter letter = {.node = s->dead_node,
                               .reason = dead->reason,
                               .code = dead->code,
                               .format = dead->format ? dead->format : "raw",
                               .message = dead->message};
  uint32_t frame = dead_size(&letter), most = source_body_max(s);
  // Key and headers stay out before the whole letter does.
  bool without = frame > most && letter.message;
  if (without) letter.message = NULL;
  if (without) frame = dead_size(&letter);
  if (frame > most) {
    error_set(e, ERROR_OPERATOR, "too-large", "the ring is too small even for a dead letter of %u bytes (setting ring)", frame);
    return false;
  }
  letter.data = dead->bytes;
  letter.data_length = dead->length > LIMIT_DEAD_DATA ? LIMIT_DEAD_DATA : (uint32_t)dead->length;
  // What could not be read needs its message to be read again; of a record nothing is missing without it.
  bool needs_message = !dead->format || strcmp(dead->format, "raw") == 0;
  letter.cut = dead->cut || (without && needs_message) || dead->length > letter.data_length;
  uint32_t room = frame + letter.data_length;
  if (room > most) room = most;
  uint8_t *at = source_part_begin(s, room, e);
  if (!at) return false;
  struct msgpack_writer out = {.at = at, .end = at + room};
  dead_write(&out, &letter, room - frame);
  part_finish(s, input, RECORD_DEAD, (uint32_t)(out.at - at));
  return true;
}

// The share is of the whole window, so that a few broken inputs right at the start do not stop the source.
static bool brake_allows(struct source *s, bool died, struct error *e) {
  s->window_dead = s->window_dead + died - s->window[s->window_at];
  s->window[s->window_at] = died;
  s->window_at = (s->window_at + 1) % SOURCE_WINDOW;
  if (!died || s->window_dead <= s->stop_above * SOURCE_WINDOW) return true;
  error_set(
      e, ERROR_OPERATOR, "brake",
      "%u of the last %d inputs became dead letters, more than dead_letters.stop_above (%g) allows: is this what source \"%s\" used to "
      "read? Mend it, or raise dead_letters.stop_above, then start again",
      s->window_dead, SOURCE_WINDOW, s->stop_above, s->w->source);
  return false;
}

void source_count_numbers(struct source *s) {
  uint64_t now = s->json ? json_parser_odd_numbers(s->json) : 0, *count = &s->w->counters[COUNT_TEXT_NUMBERS];
  if (now == s->text_numbers) return;
  if (*count == 0) log_say(LOG_LEVEL_WARN, "a number fits neither 64 bits nor a double: it stays text; `weir status` counts them");
  *count += now - s->text_numbers;
  s->text_numbers = now;
}

bool source_input_end(struct source *s, const struct source_input *input, struct error *e) {
  struct worker *w = s->w;
  bool died = s->parts > 0 && s->parts == s->dead_parts;
  s->streams[input->stream].position = input->position;
  s->streams[input->stream].witness = input->witness;
  s->last_position = input->position;
  uint64_t *note = source_note(s, input->stream);
  note[0] = input->position;
  note[1] = input->witness;
  w->counters[COUNT_IN]++;
  w->counters[s->parts == 0 ? COUNT_FILTERED : died ? COUNT_DEAD_RECORDS : COUNT_WITH_ROWS]++;
  w->counters[COUNT_ROWS_MADE] += s->parts;
  w->counters[COUNT_OUT] += s->parts - s->dead_parts;
  w->counters[COUNT_DEAD_ROWS] += s->dead_parts;
  w->counters[COUNT_BYTES_IN] += input->bytes;
  source_count_numbers(s);
  worker_counters_note(w, w->output.note);
  if (s->parts > 0) {
    *s->last_flags |= RECORD_LAST;
    CRASH_POINT("source.before_group_end");
    ring_group_end(&w->output);
  }
  s->parts = s->dead_parts = 0;
  if (w->careful) source_publish(s);
  return brake_allows(s, died, e);
}

bool source_input_dead(struct source *s, const struct source_input *input, const struct source_dead *dead, struct error *e) {
  return source_part_dead(s, input, dead, e) && source_input_end(s, input, e);
}

bool source_progress(struct source *s, uint64_t stream, struct error *e) {
  struct ring_writer *out = &s->w->output;
  struct record_header header = {.kind = RECORD_PROGRESS,
                                 .flags = RECORD_LAST,
                                 .stream = (uint32_t)stream,
                                 .position = s->streams[stream].position,
                                 .witness = s->streams[stream].witness};
  uint8_t *at = source_part_begin(s, 0, e);
  if (!at) return false;
  record_write(at - sizeof header, &header);
  ring_commit(out, sizeof header);
  ring_group_end(out);
  return true;
}

bool source_skip(struct source *s, uint64_t stream, uint64_t position, uint64_t witness, struct error *e) {
  // The mark may have to wait for room, and what is published meanwhile must not say more than the ring holds.
  uint8_t *at = source_part_begin(s, 0, e);
  if (!at) return false;
  source_part_abort(s);
  s->streams[stream].position = position;
  s->streams[stream].witness = witness;
  uint64_t *note = source_note(s, stream);
  note[0] = position;
  note[1] = witness;
  return source_progress(s, stream, e);
}

void source_publish(struct source *s) {
  struct worker *w = s->w;
  if (w->output.group_end != w->output.published) {
    CRASH_POINT("source.before_publish");
    ring_publish(&w->output);
    CRASH_POINT("source.after_publish");
    worker_did_work(w);
  }
  for (uint64_t i = 0; i < s->count; i++)
    if (s->streams[i].begun) words_store(&w->source_words, source_word(i, STREAM_ISSUED), s->streams[i].position);
  slot_position_set(&w->slot, s->last_position);
  worker_hand(w, UINT64_MAX, 0);
  worker_counters_show(w);
}
