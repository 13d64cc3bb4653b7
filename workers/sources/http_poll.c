// API -> journal: one poll asks every request and every page of it, and commits what is new as one transaction. With a cursor each page is
// committed with the cursor behind it: a long first fill is not begun again from the start when something breaks.
//
// What fails (no answer, a status that is no success, broken JSON, an absent records path) is counted and tried again with backoff, up to
// `retries` times; then the poll has failed and nothing of it is kept.
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/hash.h"
#include "proto/limits.h"
#include "workers/sources/http_state.h"

enum { RECORDS_PER_TURN = 64, BACKOFF_FIRST_MS = 500, BACKOFF_MS = 10000, WAIT_MOST_MS = 60000, DEAD_KEY = 9, BEGINNING = 60 };

struct poll {
  struct http_source *h;
  struct error *e;
  struct http_answer answer;
  struct journal_request remembered;
  int64_t arrival;
  uint64_t records; // of the present page
  bool unmodified;  // some request answered 304: not every key that exists was seen
  uint64_t wait_ms; // the server wants to be left alone
};

// Called ten times a second while a request is under way.
static bool request_turn(void *context) {
  struct http_source *h = context;
  if (source_turn(&h->source)) return false;
  slot_state_set(&h->w->slot, SLOT_WAITING);
  return journal_in_transaction(h->journal) || http_flow(h, &h->failure);
}

static void request_fill(const struct poll *p, const char *url, bool conditional, struct http_request *request) {
  const struct http_settings *set = &p->h->set;
  *request = (struct http_request){.url = url,
                                   .origin = set->url,
                                   .method = set->method,
                                   .body = set->body,
                                   .headers = (const char *const *)set->headers,
                                   .header_count = set->header_count,
                                   .basic = set->basic,
                                   .bearer = set->bearer,
                                   .etag = conditional ? p->remembered.etag : NULL,
                                   .modified = conditional ? p->remembered.modified : NULL,
                                   .user_agent = set->user_agent,
                                   .ca_file = set->ca_file,
                                   .insecure = set->insecure,
                                   .timeout_ms = set->timeout_ms,
                                   .connect_timeout_ms = set->connect_timeout_ms,
                                   .max_body = set->max_body};
}

// What stands at the beginning of an answer that is no JSON at all, so that a login page or a proxy's word is recognised.
static void beginning_add(const char *text, size_t length, struct error *why) {
  char shown[BEGINNING + 1];
  size_t used = 0;
  while (used < BEGINNING && used < length && text[used] >= ' ' && text[used] <= '~') {
    shown[used] = text[used];
    used++;
  }
  shown[used] = '\0';
  if (used > 0) error_set(why, ERROR_DATA, "json", "it is no JSON; it begins with: %s", shown);
}

static bool records_open(struct poll *p, const char *text, size_t length, struct error *why) {
  if (length == 0) {
    error_set(why, ERROR_DATA, "json", "it is empty");
    return false;
  }
  if (json_records_open(p->h->json, text, length, p->h->set.records, why)) return true;
  if (text[0] == '<') beginning_add(text, length, why);
  return false;
}

// Is the answer one that can be used? A good one leaves its records open in the parser. *again: trying again may help.
static bool answer_open(struct poll *p, const struct http_request *request, bool *again, struct error *why) {
  const struct http_answer *a = &p->answer;
  *again = true;
  if (a->status == 304 && (request->etag || request->modified)) return true;
  if (a->status == 204) return true;
  if (a->status < 200 || a->status > 299) {
    *again = http_status_passes(a->status);
    http_status_error(a, request, why);
    return false;
  }
  // A byte order mark is no part of the document.
  size_t mark = a->body.length >= 3 && memcmp(a->body.at, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  if (records_open(p, (const char *)a->body.at + mark, a->body.length - mark, why)) return true;
  char *shown = http_url_shown(request->url);
  error_add(why, "the answer of %s", shown);
  free(shown);
  return false;
}

// One try. *why is set when it failed.
static enum http_poll_result page_try(struct poll *p, const char *url, bool conditional, bool *again, struct error *why) {
  struct http_request request;
  request_fill(p, url, conditional, &request);
  char *shown = http_url_shown(url), *doing = memory_print("asking %s", shown);
  worker_busy_until(p->h->w, 30, doing);
  enum http_outcome outcome = http_fetch(p->h->client, &request, request_turn, p->h, &p->answer, why);
  slot_doing_set(&p->h->w->slot, "");
  free(doing);
  free(shown);
  p->arrival = clock_micros();
  *again = true;
  if (outcome == HTTP_STOPPED) return HTTP_POLL_STOPPED;
  return outcome == HTTP_ANSWERED && answer_open(p, &request, again, why) ? HTTP_POLL_DONE : HTTP_POLL_FAILED;
}

// One page, tried again with backoff.
static enum http_poll_result page_fetch(struct poll *p, const char *url, bool conditional) {
  struct http_source *h = p->h;
  struct backoff backoff = {.next_ms = BACKOFF_FIRST_MS, .most_ms = BACKOFF_MS};
  for (unsigned tries = 0;; tries++) {
    bool again;
    struct error why = {0};
    enum http_poll_result result = page_try(p, url, conditional, &again, &why);
    if (result != HTTP_POLL_FAILED) return result;
    if (why.class == ERROR_CONFIG || why.class == ERROR_FAULT) {
      *p->e = why;
      return HTTP_POLL_BROKEN;
    }
    uint64_t wait = backoff_next(&backoff);
    if (p->answer.retry_after_ms > 0 && (uint64_t)p->answer.retry_after_ms > wait) wait = (uint64_t)p->answer.retry_after_ms;
    bool last = !again || tries >= h->set.retries || wait > WAIT_MOST_MS;
    worker_show_error(h->w, &why, last ? "the poll failed" : "a request failed and is tried again");
    if (last) {
      // A request that goes well in the end has cost time and nothing else: the poll has not failed.
      h->w->counters[COUNT_FAILED_POLLS]++;
      worker_counters_show(h->w);
      if (p->answer.retry_after_ms > 0) p->wait_ms = (uint64_t)p->answer.retry_after_ms;
      return HTTP_POLL_FAILED;
    }
    if (!http_idle(h, clock_monotonic_ns() + wait * 1000000u, "waiting before the next try")) return HTTP_POLL_STOPPED;
  }
}

// A record that cannot go on becomes a dead letter in the journal, so that it is as exact as the others. With `emit: changed` it has a key
// like they do (no msgpack begins with its first byte), or it would come again with every poll.
static bool dead_add(struct poll *p, const char *code, const char *reason, const char *format, const void *data, size_t length) {
  struct dead_letter letter = {.node = p->h->w->node, .code = code, .reason = reason, .format = format, .data = data};
  letter.data_length = length > UINT32_MAX ? UINT32_MAX : (uint32_t)length;
  uint32_t room = dead_size(&letter);
  uint8_t *bytes = memory_get(room), key[DEAD_KEY] = {0xc1};
  struct msgpack_writer w = {.at = bytes, .end = bytes + room};
  dead_write(&w, &letter, LIMIT_DEAD_DATA);
  struct journal_record out = {.kind = JOURNAL_DEAD, .arrival = p->arrival, .body = bytes, .length = (size_t)(w.at - bytes)};
  uint64_t hash = hash_bytes(bytes, out.length, 0);
  memcpy(key + 1, &hash, sizeof hash);
  bool good = journal_add(p->h->journal, &out, p->h->key ? key : NULL, sizeof key, p->e);
  free(bytes);
  return good;
}

static bool record_add(struct poll *p, const struct buffer *record) {
  const uint8_t *key = NULL, *key_end = NULL, *end = record->at + record->length;
  uint8_t head = *record->at;
  bool map = (head & 0xf0) == 0x80 || head == 0xde || head == 0xdf;
  if (!map) return dead_add(p, "not-an-object", "a record is a JSON object; this is another value", "msgpack", record->at, record->length);
  if (p->h->key && (!msgpack_path_find(p->h->key, record->at, end, &key, &key_end) || *key == 0xc0))
    return dead_add(p, "no-key", "the record has nothing in the field that is its key", "msgpack", record->at, record->length);
  struct journal_record out = {.kind = JOURNAL_DATA, .arrival = p->arrival, .body = record->at, .length = record->length};
  return journal_add(p->h->journal, &out, key, (size_t)(key_end - key), p->e);
}

// A record that is nested too deep or too large, with its text as it stands in the answer.
static bool refused_add(struct poll *p, const struct error *why) {
  size_t length;
  const char *text = json_record_text(p->h->json, &length);
  char *reason = memory_print("record %llu of the answer: %s", (unsigned long long)p->records, why->text);
  bool good = dead_add(p, why->code, reason, "raw", text, length);
  free(reason);
  return good;
}

// All records of the open answer into the open transaction. STOPPED: a stop was asked.
static enum http_poll_result records_add(struct poll *p) {
  struct buffer record = {0};
  enum http_poll_result result = HTTP_POLL_DONE;
  p->records = 0;
  while (result == HTTP_POLL_DONE) {
    struct error why = {0};
    buffer_clear(&record);
    int got = json_records_next(p->h->json, &record, &why);
    if (got == 0) break;
    p->records++;
    if (got < 0 ? !refused_add(p, &why) : !record_add(p, &record))
      result = HTTP_POLL_FAILED;
    else if (p->records % RECORDS_PER_TURN == 0 && source_turn(&p->h->source))
      result = HTTP_POLL_STOPPED;
  }
  buffer_free(&record);
  return result;
}

// The text at `path` of the open answer: of a string or a number. NULL: absent, null or empty.
static char *answer_text(struct poll *p, const char *path) {
  struct buffer value = {0};
  char *text = NULL;
  if (json_document_value(p->h->json, path, &value)) {
    text = job_value_text((struct job_value){value.at, value.at + value.length});
    if (text && !*text) {
      free(text);
      text = NULL;
    }
  }
  buffer_free(&value);
  return text;
}

// The address of the page behind this one. *next NULL: this was the last.
static bool page_next(struct poll *p, size_t request, uint64_t page, char **next, struct error *e) {
  const struct http_settings *set = &p->h->set;
  char *text = NULL;
  *next = NULL;
  switch (set->paging) {
  case HTTP_ONE_PAGE: return true;
  case HTTP_NEXT_LINK:
    text = answer_text(p, set->page_path);
    if (text) *next = http_url_join(p->answer.url, text, e);
    break;
  case HTTP_PAGE_NUMBER:
    if (p->records == 0 || (int64_t)p->records < set->page_size) return true;
    text = memory_print("%lld", (long long)set->page_start + (long long)page);
    *next = http_settings_url(set, request, set->page_param, text);
    break;
  case HTTP_CURSOR:
    text = answer_text(p, set->page_path);
    bool moves = text && p->records > 0 && (!p->remembered.cursor || strcmp(text, p->remembered.cursor) != 0);
    if (moves) *next = http_settings_url(set, request, set->page_param, text);
    // No cursor ends a walk through pages: the next poll begins at the first one again. A cursor with nothing behind it waits there.
    free(p->remembered.cursor);
    p->remembered.cursor = text;
    text = NULL;
    break;
  }
  free(text);
  return !error_is_set(e);
}

static char *page_first(const struct poll *p, size_t request) {
  const struct http_settings *set = &p->h->set;
  if (set->paging == HTTP_CURSOR && p->remembered.cursor) return http_settings_url(set, request, set->page_param, p->remembered.cursor);
  if (set->paging != HTTP_PAGE_NUMBER) return http_settings_url(set, request, NULL, NULL);
  char *number = memory_print("%lld", (long long)set->page_start), *url = http_settings_url(set, request, set->page_param, number);
  free(number);
  return url;
}

// What an answer leaves behind for the next poll. Conditions only make sense where one answer is all there is.
static void request_remember(struct poll *p) {
  if (p->h->set.paging != HTTP_ONE_PAGE || p->answer.status == 304) return;
  free(p->remembered.etag);
  free(p->remembered.modified);
  p->remembered.etag = p->answer.etag;
  p->remembered.modified = p->answer.modified;
  p->answer.etag = p->answer.modified = NULL;
}

// One page into the journal. *url becomes the next page's, NULL behind the last.
static enum http_poll_result page_take(struct poll *p, size_t request, uint64_t page, uint64_t hash, char **url) {
  struct journal *j = p->h->journal;
  enum http_poll_result result = page_fetch(p, *url, p->h->set.paging == HTTP_ONE_PAGE);
  free(*url);
  *url = NULL;
  if (result != HTTP_POLL_DONE) return result;
  if (p->answer.status == 304) {
    p->unmodified = true;
    return HTTP_POLL_DONE;
  }
  p->records = 0;
  bool body = p->answer.status != 204;
  if (!journal_in_transaction(j) && !journal_begin(j, p->e)) return HTTP_POLL_FAILED;
  if (body) result = records_add(p);
  journal_polled(j, p->answer.body.length, false);
  if (result == HTTP_POLL_DONE && body && !page_next(p, request, page, url, p->e)) result = HTTP_POLL_FAILED;
  json_records_close(p->h->json);
  buffer_free(&p->answer.body);
  request_remember(p);
  if (result == HTTP_POLL_DONE && !journal_request_set(j, hash, &p->remembered, p->e)) result = HTTP_POLL_FAILED;
  if (result == HTTP_POLL_DONE && p->h->set.paging == HTTP_CURSOR && *url && !journal_commit(j, p->e)) result = HTTP_POLL_FAILED;
  return result;
}

static enum http_poll_result request_poll(struct poll *p, size_t request) {
  uint64_t hash = http_settings_hash(&p->h->set, request, p->h->w->fingerprint);
  journal_request_free(&p->remembered);
  if (!journal_request_get(p->h->journal, hash, &p->remembered, p->e)) return HTTP_POLL_FAILED;
  enum http_poll_result result = HTTP_POLL_DONE;
  char *url = page_first(p, request);
  for (uint64_t page = 1; url && result == HTTP_POLL_DONE; page++) {
    if (page > (uint64_t)p->h->set.page_most) {
      error_set(p->e, ERROR_OUTAGE, "pages", "the answer has more than %lld pages (pagination.most): the server may answer in circles",
                (long long)p->h->set.page_most);
      result = HTTP_POLL_FAILED;
      break;
    }
    result = page_take(p, request, page, hash, &url);
  }
  free(url);
  return result;
}

// All requests went well: the poll becomes one commit.
static enum http_poll_result poll_commit(struct poll *p) {
  struct http_source *h = p->h;
  if (!journal_in_transaction(h->journal) && !journal_begin(h->journal, p->e)) return HTTP_POLL_FAILED;
  journal_polled(h->journal, 0, true);
  int64_t before = clock_micros() - (int64_t)h->set.forget_ms * 1000;
  if (h->key && !p->unmodified && !journal_forget(h->journal, before, p->e)) return HTTP_POLL_FAILED;
  return journal_commit(h->journal, p->e) ? HTTP_POLL_DONE : HTTP_POLL_FAILED;
}

enum http_poll_result http_poll(struct http_source *h, uint64_t *wait_ms, struct error *e) {
  struct poll p = {.h = h, .e = e};
  enum http_poll_result result = HTTP_POLL_DONE;
  for (size_t i = 0; i < h->set.request_count && result == HTTP_POLL_DONE; i++) result = request_poll(&p, i);
  if (result == HTTP_POLL_DONE) result = poll_commit(&p);
  journal_rollback(h->journal);
  http_answer_free(&p.answer);
  journal_request_free(&p.remembered);
  json_records_close(h->json);
  json_parser_trim(h->json);
  if (error_is_set(&h->failure)) {
    *e = h->failure;
    return HTTP_POLL_BROKEN;
  }
  // A full or unreadable disk fails the poll; what only an operator can repair ends the source.
  if (result == HTTP_POLL_FAILED && error_is_set(e)) {
    if (e->class != ERROR_OUTAGE) return HTTP_POLL_BROKEN;
    h->w->counters[COUNT_FAILED_POLLS]++;
    worker_show_error(h->w, e, "the poll failed");
    error_clear(e);
  }
  *wait_ms = p.wait_ms;
  http_account(h);
  return result;
}
