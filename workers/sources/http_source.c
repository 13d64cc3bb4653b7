// The HTTP source: polls on schedule (http_poll.c), lets the journal flow (http_flow.c), trims it, and ends.
//
// A poll never waits for a sink and a sink never waits for a poll longer than one look around: while a request is under way, or a failed
// one waits for its next try, records flow on.
//
// DIAGNOSTICS. Stops the source (an operator must decide): a position of a sink that the journal has not given out, or that it no longer
// holds; a journal of another format, or damaged. A failed poll never does: it is counted and shown, and the next one comes after backoff,
// at the latest after `every`. With --once the run ends in order after a failed poll too, with its error left in the slot.
#include "workers/sources/http_source.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/log.h"
#include "workers/common/choices.h"
#include "workers/common/feedback.h"
#include "workers/sources/http_state.h"

enum { FIRST_BACKOFF_MS = 1000 };
#define HTTP_PARTITION "journal"

// No sink has a position: what the journal holds of another address would flow into a sink that is new, and nobody would know.
static bool is_own(struct http_source *h, struct error *e) {
  bool own;
  if (!journal_is_of(h->journal, h->w->fingerprint, &own, e)) return false;
  if (own) return true;
  error_set(
      e, ERROR_OPERATOR, "identity",
      "the journal \"%s\" was filled with other settings of source %s (those that decide what flows: url, query, records, ...), and its "
      "records would flow into a sink that has none yet. Nothing was changed. Choices: set them as they were; give what is new a "
      "state folder of its own (--state DIR); or `rm %s*` (what it holds and has not delivered is gone)",
      h->journal_path, h->w->source, h->journal_path);
  return false;
}

static bool start_of(void *owner, uint64_t stream, uint64_t *position, struct error *e) {
  struct http_source *h = owner;
  const struct journal_totals *totals = journal_totals(h->journal);
  int64_t micros;
  (void)stream;
  if (!is_own(h, e)) return false;
  if (strcmp(h->set.start, "latest") == 0) {
    *position = totals->next - 1;
    return true;
  }
  // The beginning is what the journal still has; with `emit: changed` that is the whole present state, wherever it lies.
  *position = h->key ? 0 : totals->trimmed;
  if (strcmp(h->set.start, "earliest") == 0) return true;
  if (clock_parse(h->set.start, strlen(h->set.start), &micros)) return journal_before(h->journal, micros, position, e);
  error_set(e, ERROR_CONFIG, "start", "start is earliest, latest or a time, not \"%s\"", h->set.start);
  return false;
}

// The choices for a position that does not fit the journal, behind what was found.
static bool refuse(const struct http_source *h, const char *found, const char *first, uint64_t to, const char *then, struct error *e) {
  char *set = choice_positions(job_root(&h->w->job), NULL), *partition = choice_quote(HTTP_PARTITION);
  error_set(e, ERROR_OPERATOR, "position", "%s. Nothing was sent or skipped. Choices: %s; or `%s --source %s --partition %s --to %llu` %s",
            found, first, set, h->w->source, partition, (unsigned long long)to, then);
  free(set);
  free(partition);
  return false;
}

static bool position_check(void *owner, uint64_t stream, uint64_t position, uint64_t witness, struct error *e) {
  struct http_source *h = owner;
  const struct journal_totals *totals = journal_totals(h->journal);
  (void)stream, (void)witness;
  bool above = position >= totals->next, below = !h->key && position < totals->trimmed;
  if (!above && !below) return true;
  char *found = above ? memory_print("a sink has position %llu, but the journal \"%s\" has only given out positions up to %llu: an older "
                                     "copy of it was put back",
                                     (unsigned long long)position, h->journal_path, (unsigned long long)(totals->next - 1))
                      : memory_print("a sink has position %llu, but the journal \"%s\" holds only what is behind position %llu (setting "
                                     "keep)",
                                     (unsigned long long)position, h->journal_path, (unsigned long long)totals->trimmed);
  if (above)
    refuse(h, found, "put the newer journal back", totals->next - 1,
           "(what is polled from now on is delivered), or to a lower one (delivered again from there)", e);
  else
    refuse(h, found, "put an older copy of the journal back", totals->trimmed, "(what lies between is skipped)", e);
  free(found);
  return false;
}

static bool journal_attach(struct http_source *h, struct error *e) {
  if (strchr(h->w->source, '/')) {
    error_set(e, ERROR_CONFIG, "name", "the source's name \"%s\" cannot be part of a file name", h->w->source);
    return false;
  }
  h->journal_path = memory_print("%s/journal-%s.db", h->w->state, h->w->source);
  h->journal = journal_open(h->journal_path, e);
  return h->journal != NULL;
}

// The totals at the beginning of the run go into the note with the first record that is published: before the first poll.
static void baseline_set(struct http_source *h) {
  const struct journal_totals *totals = journal_totals(h->journal);
  uint64_t *note = h->source.extra;
  if (!note[HTTP_NOTE_SET]) {
    note[HTTP_NOTE_SET] = 1;
    note[HTTP_NOTE_POLLS] = totals->polls;
    note[HTTP_NOTE_UNCHANGED] = totals->unchanged;
    note[HTTP_NOTE_BYTES] = totals->bytes;
  }
  http_account(h);
}

static bool trim(struct http_source *h, struct error *e) {
  uint64_t upto = feedback_minimum(h->w->feedback, h->w->feedbacks, h->stream);
  if (upto == 0 || journal_trim(h->journal, upto, clock_micros() - (int64_t)h->set.keep_ms * 1000, e)) return true;
  // A full disk must not keep records from flowing: what could not go now goes after the next poll.
  if (e->class != ERROR_OUTAGE) return false;
  worker_show_error(h->w, e, "the journal cannot be trimmed now");
  error_clear(e);
  return true;
}

// One poll and when the next is due. *polled: nothing more is to be polled with --once.
static bool poll_turn(struct http_source *h, struct backoff *backoff, uint64_t *next_ns, bool *polled, struct error *e) {
  uint64_t begun = clock_monotonic_ns(), wait_ms = 0;
  if (!journal_in_place(h->journal)) {
    error_set(e, ERROR_ENVIRONMENT, "state", "the journal \"%s\" was removed or replaced while weir runs", h->journal_path);
    return false;
  }
  enum http_poll_result result = http_poll(h, &wait_ms, e);
  malloc_trim(0); // an answer may be large and is gone now
  if (result == HTTP_POLL_BROKEN) return false;
  if (result == HTTP_POLL_STOPPED) return true;
  *polled = true;
  uint64_t every = h->set.every_ms, after = every, took_ms = (clock_monotonic_ns() - begun) / 1000000u;
  // Polls that take longer than `every` must not starve the flow behind them: it gets as much time as the poll has had.
  if (after < 2 * took_ms) after = 2 * took_ms;
  if (result == HTTP_POLL_DONE) {
    backoff_reset(backoff);
    backoff->next_ms = FIRST_BACKOFF_MS;
    slot_error_set(&h->w->slot, "");
    worker_did_work(h->w);
  } else {
    uint64_t soon = backoff_next(backoff);
    if (soon > every) soon = every;
    after = wait_ms > soon ? wait_ms : soon;
    begun = clock_monotonic_ns();
  }
  *next_ns = begun + after * 1000000u;
  return trim(h, e);
}

static bool http_loop(struct http_source *h, struct error *e) {
  struct backoff backoff = {.next_ms = FIRST_BACKOFF_MS, .most_ms = h->set.every_ms};
  uint64_t next = 0;
  // A successor within one --once run does not poll again what its predecessor has committed.
  bool polled = journal_totals(h->journal)->polls != h->source.extra[HTTP_NOTE_POLLS];
  while (!source_turn(&h->source)) {
    bool finished = h->w->once && polled;
    if (!finished && clock_monotonic_ns() >= next && !poll_turn(h, &backoff, &next, &polled, e)) return false;
    if (!http_flow(h, e)) return false;
    finished = h->w->once && polled;
    if (finished && http_flowed(h)) return true;
    if (!finished && !http_idle(h, next, "waiting for the next poll")) break;
    if (finished && h->blocked > 0 && source_sleep(&h->source, h->blocked)) worker_wait(h->w, -1, SLOT_BLOCKED, NULL);
  }
  if (!error_is_set(&h->failure)) return true;
  *e = h->failure;
  return false;
}

static void state_free(struct http_source *h) {
  journal_close(h->journal);
  http_client_free(h->client);
  msgpack_path_free(h->key);
  if (h->json) json_parser_free(h->json);
  free(h->journal_path);
  http_settings_free(&h->set);
  source_close(&h->source);
}

static bool source_work(struct http_source *h, struct error *e) {
  struct source_kind kind = {.owner = h, .start = start_of, .check = position_check};
  if (!http_settings_load(&h->set, h->w->settings, e)) return false;
  if (h->set.changed && !(h->key = msgpack_path_new(h->set.key, e))) return false;
  if (!journal_attach(h, e) || !source_open(&h->source, h->w, &kind, HTTP_NOTE_WORDS, e)) return false;
  if (h->source.ended) return true;
  baseline_set(h);
  h->source.json = h->json = json_parser_new();
  h->client = http_client_new();
  int64_t stream = source_stream(&h->source, HTTP_PARTITION, journal_identity(h->journal), -1, false, e);
  if (stream < 0) return false;
  h->stream = (uint64_t)stream;
  if (!source_settle(&h->source, e) && !(h->source.stop && !error_is_set(e))) return false;
  if (!h->source.stop && !(journal_sign(h->journal, h->w->fingerprint, e) && http_loop(h, e))) return false;
  http_account(h);
  return source_end(&h->source, e);
}

int http_source_run(struct worker *w) {
  struct http_source h = {.w = w, .source = {.w = w}};
  struct error e = {0};
  int code = source_leave(&h.source, source_work(&h, &e), &e);
  state_free(&h);
  return code;
}

static void check_url(struct check *c, const struct http_settings *set) {
  const char *wrong = http_url_wrong(set->url);
  char *shown = http_url_shown(set->url);
  bool plain = strncmp(shown, "http:", 5) == 0;
  if (wrong)
    check_find(c, CHECK_ERROR, "url", -1, NULL, "this is no address: %s", wrong);
  else if (c->connect && plain)
    check_find(c, CHECK_NOTE, "url", -1, NULL, "%s: not encrypted", shown);
  else if (c->connect)
    check_find(c, CHECK_NOTE, "url", -1, NULL, "%s: encrypted, certificate %s", shown, set->insecure ? "NOT verified" : "verified");
  free(shown);
}

void http_source_check(struct check *c) {
  struct http_settings set;
  struct error e = {0};
  struct job_value paging = job_get(c->settings, "pagination");
  int ways = job_has(job_get(paging, "next")) + job_has(job_get(paging, "page")) + job_has(job_get(paging, "cursor"));
  int64_t micros;
  if (!http_settings_load(&set, c->settings, &e)) check_find(c, CHECK_ERROR, e.code, -1, NULL, "%s", e.text);
  if (set.url) check_url(c, &set);
  if (set.key) {
    struct error bad = {0};
    struct msgpack_path *path = msgpack_path_new(set.key, &bad);
    if (!path) check_find(c, CHECK_ERROR, "key", -1, NULL, "%s", bad.text);
    msgpack_path_free(path);
  }
  if (set.key && !set.changed) check_find(c, CHECK_WARNING, "key", -1, NULL, "key means nothing without `emit: changed`");
  if (job_has(paging) && ways != 1)
    check_find(c, CHECK_ERROR, "pagination", -1, NULL, "pagination goes by exactly one of next, page and cursor");
  if (set.basic && set.bearer) check_find(c, CHECK_ERROR, "auth", -1, NULL, "auth is either basic or bearer");
  if (set.body && strcmp(set.method, "GET") == 0) check_find(c, CHECK_ERROR, "body", -1, NULL, "a GET has no body: use method POST");
  if (strcmp(set.start, "earliest") != 0 && strcmp(set.start, "latest") != 0 && !clock_parse(set.start, strlen(set.start), &micros))
    check_find(c, CHECK_ERROR, "start", -1, NULL, "start is earliest, latest or a time, not \"%s\"", set.start);
  http_settings_free(&set);
}
