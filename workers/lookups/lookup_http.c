// A table out of an answer of an API: one request, its records are the rows.
#include <stdlib.h>
#include <string.h>

#include "workers/clients/curl.h"
#include "workers/common/http_settings.h"
#include "workers/lookups/lookup.h"

enum { SLACK_SECONDS = 30 };

enum lookup_outcome lookup_take_records(struct lookup_load *l, struct json_parser *json, struct error *e) {
  struct buffer record = {0};
  enum lookup_outcome outcome = LOOKUP_LOAD_DONE;
  for (;;) {
    buffer_clear(&record);
    int got = json_records_next(json, &record, e);
    if (got == 0) break;
    if (got < 0) {
      error_add(e, "row %llu", (unsigned long long)l->build->rows + 1);
      outcome = LOOKUP_LOAD_FAILED;
      break;
    }
    if (lookup_build_row(l->build, record.at, record.at + record.length, e)) continue;
    outcome = error_is_set(e) ? LOOKUP_LOAD_FAILED : LOOKUP_LOAD_STOPPED;
    break;
  }
  buffer_free(&record);
  return outcome;
}

static void request_fill(const struct lookup_load *l, const struct http_settings *set, const char *url, struct http_request *request) {
  *request = (struct http_request){.url = url,
                                   .origin = set->url,
                                   .method = set->method,
                                   .body = set->body,
                                   .headers = (const char *const *)set->headers,
                                   .header_count = set->header_count,
                                   .basic = set->basic,
                                   .bearer = set->bearer,
                                   .etag = l->etag,
                                   .modified = l->modified,
                                   .user_agent = set->user_agent,
                                   .ca_file = set->ca_file,
                                   .insecure = set->insecure,
                                   .timeout_ms = set->timeout_ms,
                                   .connect_timeout_ms = set->connect_timeout_ms,
                                   .max_body = set->max_body};
}

static enum lookup_outcome body_take(struct lookup_load *l, const struct http_settings *set, const struct http_answer *answer,
                                     struct error *e) {
  const struct buffer *body = &answer->body;
  // A byte order mark is no part of the document.
  size_t mark = body->length >= 3 && memcmp(body->at, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  struct json_parser *json = json_parser_new();
  enum lookup_outcome outcome = LOOKUP_LOAD_FAILED;
  l->busy(l->context, SLACK_SECONDS, NULL); // parsing is one call
  if (json_records_open(json, (const char *)body->at + mark, body->length - mark, set->records, e)) {
    outcome = lookup_take_records(l, json, e);
    json_records_close(json);
  }
  json_parser_free(json);
  return outcome;
}

static enum lookup_outcome answer_take(struct lookup_load *l, const struct http_settings *set, const struct http_request *request,
                                       struct http_answer *answer, struct error *e) {
  if (answer->retry_after_ms > 0) l->retry_after_ms = (uint64_t)answer->retry_after_ms;
  if (answer->status == 304 && (l->etag || l->modified)) return LOOKUP_LOAD_SAME;
  enum lookup_outcome outcome = LOOKUP_LOAD_FAILED;
  if (answer->status < 200 || answer->status > 299 || answer->status == 204)
    http_status_error(answer, request, e);
  else
    outcome = body_take(l, set, answer, e);
  if (outcome != LOOKUP_LOAD_DONE) return outcome;
  free(l->etag);
  free(l->modified);
  l->etag = answer->etag;
  l->modified = answer->modified;
  answer->etag = answer->modified = NULL;
  return outcome;
}

enum lookup_outcome lookup_http_load(struct lookup_load *l, struct error *e) {
  struct http_settings set;
  enum lookup_outcome outcome = LOOKUP_LOAD_FAILED;
  if (http_settings_load(&set, l->settings, e)) {
    char *url = http_settings_url(&set, 0, NULL, NULL), *shown = http_url_shown(url), *doing = memory_print("asking %s", shown);
    struct http_client *client = http_client_new();
    struct http_request request;
    struct http_answer answer = {0};
    request_fill(l, &set, url, &request);
    l->busy(l->context, SLACK_SECONDS, doing);
    switch (http_fetch(client, &request, l->turn, l->context, &answer, e)) {
    case HTTP_FAILED: break; // the client's message names the address
    case HTTP_STOPPED: outcome = LOOKUP_LOAD_STOPPED; break;
    case HTTP_ANSWERED:
      outcome = answer_take(l, &set, &request, &answer, e);
      if (outcome == LOOKUP_LOAD_FAILED) error_add(e, "the answer of %s", shown);
      break;
    }
    http_answer_free(&answer);
    http_client_free(client);
    free(doing);
    free(shown);
    free(url);
  }
  http_settings_free(&set);
  return outcome;
}

bool lookup_http_look(struct job_value settings, struct error *e) {
  struct http_settings set;
  bool good = http_settings_load(&set, settings, e);
  const char *wrong = set.url ? http_url_wrong(set.url) : NULL;
  if (good && wrong)
    error_set(e, ERROR_CONFIG, "url", "this is no address: %s", wrong);
  else if (good && set.basic && set.bearer)
    error_set(e, ERROR_CONFIG, "auth", "auth is either basic or bearer");
  else if (good && set.body && strcmp(set.method, "GET") == 0)
    error_set(e, ERROR_CONFIG, "body", "a GET has no body: use method POST");
  http_settings_free(&set);
  return !error_is_set(e);
}
