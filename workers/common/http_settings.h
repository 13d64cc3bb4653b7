// The settings of an HTTP source or lookup, and the addresses that follow from them. Called by sources/http_*.c and lookups/.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/job.h"

enum http_paging { HTTP_ONE_PAGE, HTTP_NEXT_LINK, HTTP_PAGE_NUMBER, HTTP_CURSOR };

struct http_pair {
  char *name, *value;
};

struct http_pairs {
  struct http_pair *list;
  size_t count;
};

struct http_settings {
  char *url, *method, *body, *basic, *bearer, *ca_file, *user_agent, *records, *key, *start;
  char **headers; // "Name: value"
  size_t header_count;
  struct http_pairs query;
  struct http_pairs *requests; // at least one, perhaps empty
  size_t request_count;
  bool changed, insecure;
  enum http_paging paging;
  char *page_path, *page_param; // where the next link or cursor stands; which parameter takes the number or cursor
  int64_t page_start, page_size, page_most;
  uint64_t every_ms, timeout_ms, connect_timeout_ms, max_body, keep_ms, forget_ms;
  unsigned retries;
};

bool http_settings_load(struct http_settings *s, struct job_value settings, struct error *e);
void http_settings_free(struct http_settings *s);
// The address of a request: url, query, the request's own parameters, and one more (name NULL: none). Owned by the caller.
char *http_settings_url(const struct http_settings *s, size_t request, const char *name, const char *value);
// A hash that names a request: what is remembered for it (ETag, cursor) holds for exactly this question and this way to read the answer.
uint64_t http_settings_hash(const struct http_settings *s, size_t request, const char *fingerprint);
