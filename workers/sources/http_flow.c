// Journal -> ring. Records are read in order behind the position of the last one in the ring, so there is no state of its own to lose: a
// successor, a new sink and an emptied one all come to the same query.
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "workers/sources/http_state.h"

enum { RECORDS_PER_TURN = 64, DEAD_FRAME = 4096 };

static uint64_t position_of(const struct http_source *h) {
  return h->source.streams[h->stream].position;
}

bool http_flowed(const struct http_source *h) {
  return position_of(h) + 1 >= journal_totals(h->journal)->next;
}

struct flow {
  struct http_source *h;
  struct error *e;
  unsigned taken;
  bool failed;
};

// A dead letter out of the journal: taken apart and written anew, because it may have to be cut to fit this ring.
static bool dead_flow(struct http_source *h, const struct source_input *input, const struct journal_record *record, struct error *e) {
  struct dead_letter d;
  if (!dead_read(record->body, record->body + record->length, &d)) {
    error_set(e, ERROR_OPERATOR, "journal", "record %llu of the journal \"%s\" is damaged", (unsigned long long)record->position,
              h->journal_path);
    return false;
  }
  char *code = memory_text_n(d.code, d.code_length), *reason = memory_text_n(d.reason, d.reason_length);
  char *format = memory_text_n(d.format, d.format_length);
  struct source_dead dead = {.code = code, .reason = reason, .format = format, .bytes = d.data, .length = d.data_length, .cut = d.cut};
  bool good = source_input_dead(&h->source, input, &dead, e);
  free(code);
  free(reason);
  free(format);
  return good;
}

static bool data_flow(struct http_source *h, const struct source_input *input, const struct journal_record *record, struct error *e) {
  struct source_dead dead = {.format = "msgpack", .bytes = record->body, .length = record->length};
  if (worker_is_set_aside(h->w, input->stream, input->position)) {
    dead.code = "poison";
    dead.reason = "this input killed the worker that took it, again and again";
    return source_input_dead(&h->source, input, &dead, e);
  }
  if (record->length > source_body_max(&h->source)) {
    char *reason = memory_print("a record of %zu bytes is more than a quarter of the ring (setting ring)", record->length);
    dead.code = "too-large";
    dead.reason = reason;
    bool good = source_input_dead(&h->source, input, &dead, e);
    free(reason);
    return good;
  }
  uint8_t *body = source_part_begin(&h->source, (uint32_t)record->length, e);
  if (!body) return false;
  memcpy(body, record->body, record->length);
  source_part_end(&h->source, input, (uint32_t)record->length);
  return source_input_end(&h->source, input, e);
}

static bool record_flow(void *context, const struct journal_record *record) {
  struct flow *flow = context;
  struct http_source *h = flow->h;
  size_t most = source_body_max(&h->source), room = record->length + DEAD_FRAME;
  if (!source_has_room(&h->source, (uint32_t)(room > most ? most : room), &h->blocked)) return false;
  struct source_input input = {.stream = h->stream, .position = record->position, .time = record->arrival};
  worker_hand(h->w, input.stream, input.position);
  bool good = record->kind == JOURNAL_DEAD ? dead_flow(h, &input, record, flow->e) : data_flow(h, &input, record, flow->e);
  flow->failed = !good;
  return good && (++flow->taken % RECORDS_PER_TURN != 0 || !source_turn(&h->source));
}

bool http_flow(struct http_source *h, struct error *e) {
  struct flow flow = {.h = h, .e = e};
  h->blocked = 0;
  if (http_flowed(h)) return true;
  bool good = journal_read(h->journal, position_of(h), record_flow, &flow, e) && !flow.failed;
  http_account(h);
  source_publish(&h->source);
  return good;
}

void http_account(struct http_source *h) {
  const struct journal_totals *totals = journal_totals(h->journal);
  uint64_t *c = h->w->counters;
  source_count_numbers(&h->source);
  c[COUNT_FILTERED] = totals->unchanged - h->source.extra[HTTP_NOTE_UNCHANGED];
  c[COUNT_BYTES_IN] = totals->bytes - h->source.extra[HTTP_NOTE_BYTES];
  c[COUNT_IN] = c[COUNT_WITH_ROWS] + c[COUNT_FILTERED] + c[COUNT_DEAD_RECORDS];
  worker_counters_show(h->w);
}

bool http_idle(struct http_source *h, uint64_t until_ns, const char *doing) {
  for (;;) {
    if (source_turn(&h->source)) return false;
    uint64_t now = clock_monotonic_ns();
    if (now >= until_ns) return true;
    // Uncommitted records are no one's business but the poll's.
    if (!journal_in_transaction(h->journal) && !http_flow(h, &h->failure)) return false;
    if (h->blocked > 0 && !source_sleep(&h->source, h->blocked)) continue;
    uint64_t left = (until_ns - now + 999999) / 1000000;
    worker_wait(h->w, left > 3600000 ? 3600000 : (int)left, h->blocked > 0 ? SLOT_BLOCKED : SLOT_WAITING, doing);
  }
}
