// Settings of an HTTP source or lookup out of the job. Names and defaults stand in the table of settings; the defaults here are those of a
// job that lacks a setting.
#include "workers/common/http_settings.h"

#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/hash.h"
#include "proto/version.h"

static void pairs_load(struct http_pairs *pairs, struct job_value map) {
  struct job_walk walk = job_walk_start(map);
  struct job_value value;
  char *name;
  if (!walk.map) return;
  pairs->list = memory_get(walk.left * sizeof *pairs->list);
  while (job_walk_next(&walk, &name, &value)) {
    char *text = job_value_text(value);
    if (name && text) {
      pairs->list[pairs->count++] = (struct http_pair){name, text};
    } else {
      free(name);
      free(text);
    }
  }
}

static void pairs_free(struct http_pairs *pairs) {
  for (size_t i = 0; i < pairs->count; i++) {
    free(pairs->list[i].name);
    free(pairs->list[i].value);
  }
  free(pairs->list);
}

static void requests_load(struct http_settings *s, struct job_value list) {
  struct job_walk walk = job_walk_start(list);
  struct job_value map;
  s->requests = memory_get((walk.left + 1) * sizeof *s->requests);
  while (!walk.map && job_walk_next(&walk, NULL, &map)) pairs_load(&s->requests[s->request_count++], map);
  if (s->request_count == 0) s->request_count = 1;
}

// A line break in a header would begin another header.
static bool headers_load(struct http_settings *s, struct job_value map, struct error *e) {
  struct http_pairs pairs = {0};
  pairs_load(&pairs, map);
  s->headers = memory_get((pairs.count + 1) * sizeof *s->headers);
  bool good = true;
  for (size_t i = 0; i < pairs.count && good; i++) {
    const char *name = pairs.list[i].name, *value = pairs.list[i].value;
    good = *name && !strpbrk(name, ":\r\n \t") && !strpbrk(value, "\r\n");
    if (!good) error_set(e, ERROR_CONFIG, "headers", "\"%s\" is no header: its name or its value holds what a header cannot hold", name);
    // libcurl reads "Name:" as "without this header" and "Name;" as an empty one.
    if (good) s->headers[s->header_count++] = *value ? memory_print("%s: %s", name, value) : memory_print("%s;", name);
  }
  pairs_free(&pairs);
  return good;
}

static void pagination_load(struct http_settings *s, struct job_value map) {
  s->page_start = job_int(map, "start", 1);
  s->page_size = job_int(map, "size", 0);
  s->page_most = job_int(map, "most", 1000);
  if ((s->page_path = job_text(map, "next", NULL))) {
    s->paging = HTTP_NEXT_LINK;
  } else if ((s->page_path = job_text(map, "cursor", NULL))) {
    s->paging = HTTP_CURSOR;
    s->page_param = job_text(map, "param", "cursor");
  } else if ((s->page_param = job_text(map, "page", NULL))) {
    s->paging = HTTP_PAGE_NUMBER;
  }
}

// `tls_verify` is a word in a pipeline file and may be a boolean in a job made by hand.
static bool is_insecure(struct job_value settings) {
  char *verify = job_text(settings, "tls_verify", "true");
  bool insecure = strcmp(verify, "insecure") == 0 || strcmp(verify, "false") == 0;
  free(verify);
  return insecure;
}

static uint64_t at_least(struct job_value settings, const char *name, int64_t otherwise, int64_t least) {
  int64_t value = job_int(settings, name, otherwise);
  return (uint64_t)(value < least ? least : value);
}

bool http_settings_load(struct http_settings *s, struct job_value settings, struct error *e) {
  struct job_value auth = job_get(settings, "auth");
  char *emit = job_text(settings, "emit", "all");
  *s = (struct http_settings){.url = job_text(settings, "url", NULL),
                              .method = job_text(settings, "method", "GET"),
                              .body = job_text(settings, "body", NULL),
                              .basic = job_text(auth, "basic", NULL),
                              .bearer = job_text(auth, "bearer", NULL),
                              .ca_file = job_text(settings, "ca_file", NULL),
                              .user_agent = job_text(settings, "user_agent", "weir/" WEIR_VERSION),
                              .records = job_text(settings, "records", ""),
                              .key = job_text(settings, "key", NULL),
                              .start = job_text(settings, "start", "earliest"),
                              .changed = strcmp(emit, "changed") == 0,
                              .insecure = is_insecure(settings),
                              .every_ms = at_least(settings, "every", 300000, 1),
                              .timeout_ms = at_least(settings, "timeout", 30000, 1),
                              .connect_timeout_ms = at_least(settings, "connect_timeout", 10000, 1),
                              .max_body = at_least(settings, "max_body", 64 << 20, 1),
                              .keep_ms = at_least(settings, "keep", 86400000, 0),
                              .forget_ms = at_least(settings, "forget", 90 * (int64_t)86400000, 0),
                              .retries = (unsigned)at_least(settings, "retries", 3, 0)};
  free(emit);
  pairs_load(&s->query, job_get(settings, "query"));
  requests_load(s, job_get(settings, "requests"));
  pagination_load(s, job_get(settings, "pagination"));
  if (!headers_load(s, job_get(settings, "headers"), e)) return false;
  if (!s->url)
    error_set(e, ERROR_CONFIG, "url", "url is missing");
  else if (s->changed && !s->key)
    error_set(e, ERROR_CONFIG, "key", "emit: changed needs a key");
  else if (s->basic && !strchr(s->basic, ':'))
    error_set(e, ERROR_CONFIG, "auth.basic", "basic is user:password, and there is no colon in it");
  return !error_is_set(e);
}

void http_settings_free(struct http_settings *s) {
  char *texts[] = {s->url,        s->method,  s->body, s->basic, s->bearer,    s->ca_file,
                   s->user_agent, s->records, s->key,  s->start, s->page_path, s->page_param};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
  for (size_t i = 0; i < s->header_count; i++) free(s->headers[i]);
  free(s->headers);
  pairs_free(&s->query);
  for (size_t i = 0; i < s->request_count; i++) pairs_free(&s->requests[i]);
  free(s->requests);
  *s = (struct http_settings){0};
}

// Everything but the unreserved characters of RFC 3986 as %XX.
static void percent_add(struct buffer *out, const char *text) {
  static const char digits[] = "0123456789ABCDEF";
  for (const char *at = text; *at; at++) {
    unsigned char byte = (unsigned char)*at;
    bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || strchr("-._~", byte);
    if (!plain) buffer_byte(out, '%');
    buffer_byte(out, plain ? byte : (uint8_t)digits[byte >> 4]);
    if (!plain) buffer_byte(out, (uint8_t)digits[byte & 15]);
  }
}

static void parameter_add(struct buffer *out, bool *first, const char *name, const char *value) {
  buffer_byte(out, *first ? '?' : '&');
  *first = false;
  percent_add(out, name);
  buffer_byte(out, '=');
  percent_add(out, value);
}

char *http_settings_url(const struct http_settings *s, size_t request, const char *name, const char *value) {
  struct buffer out = {0};
  size_t length = strcspn(s->url, "#");
  bool first = !memchr(s->url, '?', length);
  buffer_add(&out, s->url, length);
  const struct http_pairs *pairs[] = {&s->query, &s->requests[request]};
  for (size_t p = 0; p < 2; p++)
    for (size_t i = 0; i < pairs[p]->count; i++) parameter_add(&out, &first, pairs[p]->list[i].name, pairs[p]->list[i].value);
  if (name) parameter_add(&out, &first, name, value);
  char *url = memory_text(buffer_cstring(&out));
  buffer_free(&out);
  return url;
}

uint64_t http_settings_hash(const struct http_settings *s, size_t request, const char *fingerprint) {
  char *url = http_settings_url(s, request, NULL, NULL);
  struct buffer text = {0};
  const char *const parts[] = {
      fingerprint, s->method, url, s->body ? s->body : "", s->records, s->key ? s->key : "", s->changed ? "changed" : "all"};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) buffer_add(&text, parts[i], strlen(parts[i]) + 1);
  uint64_t hash = hash_bytes(text.at, text.length, 0);
  buffer_free(&text);
  free(url);
  return hash;
}
