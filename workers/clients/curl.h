// HTTP: one request at a time, without ever blocking its caller for longer than a moment. The only file that knows libcurl.
//
// Called by: the HTTP source. While a request runs, the caller's `turn` is called at least ten times a second; it may do other work and
// may end the request.
//
// Invariants: an answer never takes more memory than max_body, also when it is packed; at most HTTP_REDIRECTS redirects are followed, only
// to http and https, and never from https back to http; headers, user and token of the caller go to the configured origin (scheme, host,
// port) only, never to another one that a redirect or a next link names. No text that leaves here holds a query or a password.
//
// Errors: what a server or the network did is ERROR_OUTAGE, with code "network", "timeout", "tls", "too-large", "redirect" or "http-NNN"
// (http_status_error); an address that is none is ERROR_CONFIG.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"

enum { HTTP_REDIRECTS = 5, HTTP_HEADER_MOST = 1024 };

struct http_client;

struct http_request {
  const char *url;
  const char *origin; // an address of the origin that may see headers, user and token
  const char *method; // "GET", "POST", "PUT"
  const char *body;   // NULL: none
  const char *const *headers;
  size_t header_count;         // "Name: value"
  const char *basic, *bearer;  // "user:password", a token; NULL: none
  const char *etag, *modified; // of the last answer: asks for 304; NULL: none
  const char *user_agent, *ca_file;
  bool insecure; // certificates are not verified
  uint64_t timeout_ms, connect_timeout_ms, max_body;
};

struct http_answer {
  long status;
  struct buffer body;     // unpacked, with HTTP_PADDING bytes of room behind
  char *etag, *modified;  // NULL: none, or over HTTP_HEADER_MOST
  int64_t retry_after_ms; // -1: the server did not say
  char *url;              // where the answer came from, after redirects
};
enum { HTTP_PADDING = 64 };

typedef bool http_turn(void *context); // false: end the request
enum http_outcome { HTTP_FAILED = -1, HTTP_STOPPED = 0, HTTP_ANSWERED = 1 };

// Open it after fork or exec. Ends the process when out of memory.
struct http_client *http_client_new(void);
void http_client_free(struct http_client *client); // NULL is allowed
// Any status is an answer. `answer` is emptied first and belongs to the caller (http_answer_free).
enum http_outcome http_fetch(struct http_client *client, const struct http_request *request, http_turn *turn, void *context,
                             struct http_answer *answer, struct error *e);
void http_answer_free(struct http_answer *answer);
// Sets e for an answer that is no success: "http-503", with the first bytes of what the server said, unless they repeat what we sent.
void http_status_error(const struct http_answer *answer, const struct http_request *request, struct error *e);
// True for what may pass by itself: 408, 425, 429 and 5xx.
bool http_status_passes(long status);

// A link found in an answer, made whole by the address of that answer. NULL (e set, ERROR_OUTAGE): not an http address. Owned by the
// caller.
char *http_url_join(const char *base, const char *link, struct error *e);
bool http_same_origin(const char *one, const char *other);
// "https://host:port/path" for logs: no user, password, query or fragment. Owned by the caller.
char *http_url_shown(const char *url);
// Why an address cannot be asked, for people; static. NULL: it can.
const char *http_url_wrong(const char *url);
const char *http_library_version(void);

// Of the library that is loaded, and of its TLS; for `weir version`.
const char *http_version(void);
const char *http_tls_version(void);
