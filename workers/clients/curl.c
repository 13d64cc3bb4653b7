// libcurl through its multi interface, in short turns. Redirects are followed here and not by the library, because the library would carry
// the caller's own headers (an API key, say) to whatever host a server names.
#include "workers/clients/curl.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/memory.h"

enum { TURN_MS = 100, SHOWN_BYTES = 200, SECRET_LEAST = 4 };

struct http_client {
  CURLM *multi;
  CURL *easy; // kept between requests: it holds the connection
  char message[CURL_ERROR_SIZE];
};

// One request on its way.
struct transfer {
  struct http_client *client;
  const struct http_request *request;
  struct http_answer *answer;
  bool too_large;
};

struct http_client *http_client_new(void) {
  struct http_client *client = memory_get(sizeof *client);
  // With CURLOPT_NOSIGNAL the library leaves SIGPIPE to the program.
  signal(SIGPIPE, SIG_IGN);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  client->multi = curl_multi_init();
  client->easy = curl_easy_init();
  if (!client->multi || !client->easy) memory_exhausted(0); // curl fails here only for want of memory
  return client;
}

void http_client_free(struct http_client *client) {
  if (!client) return;
  curl_easy_cleanup(client->easy);
  curl_multi_cleanup(client->multi);
  curl_global_cleanup();
  free(client);
}

void http_answer_free(struct http_answer *answer) {
  buffer_free(&answer->body);
  free(answer->etag);
  free(answer->modified);
  free(answer->url);
  *answer = (struct http_answer){.retry_after_ms = -1};
}

static char *url_part(CURLU *url, CURLUPart part, unsigned flags) {
  char *text = NULL, *copy = NULL;
  if (curl_url_get(url, part, &text, flags) == CURLUE_OK) copy = memory_text(text);
  curl_free(text);
  return copy;
}

// Parsed, or NULL when it is not an address of http or https.
static CURLU *url_parse(const char *text) {
  CURLU *url = curl_url();
  if (url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK) {
    char *scheme = url_part(url, CURLUPART_SCHEME, 0);
    bool good = scheme && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    free(scheme);
    if (good) return url;
  }
  curl_url_cleanup(url);
  return NULL;
}

// "https://user:55/w0rd@host" is a host named user with a port to the library: an @ behind a port may be the end of a password.
static void hide_broken_password(CURLU *url) {
  char *port = url_part(url, CURLUPART_PORT, 0), *path = url_part(url, CURLUPART_PATH, 0);
  if (port && path && strchr(path, '@')) {
    curl_url_set(url, CURLUPART_PORT, NULL, 0);
    curl_url_set(url, CURLUPART_PATH, NULL, 0);
  }
  free(port);
  free(path);
}

char *http_url_shown(const char *text) {
  CURLU *url = url_parse(text);
  if (!url) return memory_text("(not an address)");
  hide_broken_password(url);
  curl_url_set(url, CURLUPART_USER, NULL, 0);
  curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
  curl_url_set(url, CURLUPART_QUERY, NULL, 0);
  curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
  char *shown = url_part(url, CURLUPART_URL, 0);
  curl_url_cleanup(url);
  return shown ? shown : memory_text("(not an address)");
}

// A blank between // and the path, and one anywhere.
static bool has_blank(const char *text, bool *in_host) {
  const char *host = strstr(text, "//"), *blank = strpbrk(text, " \t");
  *in_host = host && blank && blank < host + 2 + strcspn(host + 2, "/?#");
  return blank != NULL;
}

const char *http_url_wrong(const char *text) {
  bool in_host, blank = has_blank(text, &in_host);
  CURLU *url = curl_url();
  CURLUcode code = url ? curl_url_set(url, CURLUPART_URL, text, 0) : CURLUE_OUT_OF_MEMORY;
  char *port = code == CURLUE_OK ? url_part(url, CURLUPART_PORT, 0) : NULL;
  bool bad_port = code == CURLUE_BAD_PORT_NUMBER || (port && strcmp(port, "0") == 0);
  free(port);
  curl_url_cleanup(url);
  if (blank) return in_host ? "there is a blank in its host" : "there is a blank in it: write %20";
  if (bad_port) return "its port is no number from 1 to 65535";
  url = url_parse(text);
  curl_url_cleanup(url);
  return url ? NULL : "it begins with http:// or https:// and a host";
}

static bool same_part(CURLU *one, CURLU *other, CURLUPart part) {
  char *a = url_part(one, part, CURLU_DEFAULT_PORT), *b = url_part(other, part, CURLU_DEFAULT_PORT);
  bool same = a && b && strcasecmp(a, b) == 0;
  free(a);
  free(b);
  return same;
}

bool http_same_origin(const char *one, const char *other) {
  CURLU *a = url_parse(one), *b = url_parse(other);
  bool same = a && b && same_part(a, b, CURLUPART_SCHEME) && same_part(a, b, CURLUPART_HOST) && same_part(a, b, CURLUPART_PORT);
  curl_url_cleanup(a);
  curl_url_cleanup(b);
  return same;
}

char *http_url_join(const char *base, const char *link, struct error *e) {
  CURLU *url = url_parse(base);
  char *joined = NULL;
  // Setting a relative address on a handle that holds one resolves it.
  if (url && curl_url_set(url, CURLUPART_URL, link, 0) == CURLUE_OK) joined = url_part(url, CURLUPART_URL, 0);
  curl_url_cleanup(url);
  CURLU *check = joined ? url_parse(joined) : NULL;
  curl_url_cleanup(check);
  if (check) return joined;
  free(joined);
  error_set(e, ERROR_OUTAGE, "link", "the server named a next address that is no http address");
  return NULL;
}

static size_t body_comes(char *bytes, size_t size, size_t count, void *context) {
  struct transfer *t = context;
  size_t length = size * count;
  if (length > t->request->max_body - t->answer->body.length) {
    t->too_large = true;
    return 0; // anything but `length` ends the transfer
  }
  buffer_add(&t->answer->body, bytes, length);
  return length;
}

static int progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up) {
  (void)down, (void)up_total, (void)up;
  struct transfer *t = context;
  // A length that the server announces needs no waiting for the last byte. It counts packed bytes, and unpacking makes them no fewer.
  if (down_total > 0 && (uint64_t)down_total > t->request->max_body) t->too_large = true;
  return t->too_large;
}

static struct curl_slist *header_add(struct curl_slist *list, const char *name, const char *value) {
  char *line = memory_print("%s%s", name, value);
  struct curl_slist *longer = curl_slist_append(list, line);
  free(line);
  if (!longer) memory_exhausted(strlen(name) + strlen(value));
  return longer;
}

static struct curl_slist *headers_of(const struct http_request *r, bool trusted) {
  struct curl_slist *list = header_add(NULL, "Accept: ", "application/json, */*;q=0.5");
  if (r->etag) list = header_add(list, "If-None-Match: ", r->etag);
  if (r->modified) list = header_add(list, "If-Modified-Since: ", r->modified);
  bool typed = !r->body;
  for (size_t i = 0; trusted && i < r->header_count; i++) {
    list = header_add(list, r->headers[i], "");
    typed = typed || strncasecmp(r->headers[i], "Content-Type:", 13) == 0;
  }
  // The library would call it a form.
  return typed ? list : header_add(list, "Content-Type: ", "application/json");
}

static void transfer_options(struct transfer *t, const char *url, const char *method, bool trusted, struct curl_slist *headers) {
  const struct http_request *r = t->request;
  CURL *easy = t->client->easy;
  curl_easy_reset(easy);
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); // a name that is being looked up holds up no stop
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->client->message);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)r->connect_timeout_ms);
  curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
  curl_easy_setopt(easy, CURLOPT_USERAGENT, r->user_agent);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, r->insecure ? 0L : 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, r->insecure ? 0L : 2L);
  if (r->ca_file) curl_easy_setopt(easy, CURLOPT_CAINFO, r->ca_file);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_comes);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
  curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, progress);
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, t);
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
  if (strcmp(method, "GET") != 0) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body ? r->body : "");
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
  }
  if (trusted && r->basic) {
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(easy, CURLOPT_USERPWD, r->basic);
  } else if (trusted && r->bearer) {
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, r->bearer);
  }
}

// Drives the transfer to its end in turns of at most TURN_MS. False: the caller ended it.
static bool transfer_drive(struct transfer *t, http_turn *turn, void *context, CURLcode *code) {
  CURLM *multi = t->client->multi;
  int running = 1, left;
  bool go_on = true;
  curl_multi_add_handle(multi, t->client->easy);
  while (go_on && curl_multi_perform(multi, &running) == CURLM_OK && running > 0) {
    go_on = turn(context);
    if (go_on) curl_multi_poll(multi, NULL, 0, TURN_MS, NULL);
  }
  *code = CURLE_ABORTED_BY_CALLBACK;
  for (CURLMsg *m; (m = curl_multi_info_read(multi, &left));)
    if (m->msg == CURLMSG_DONE) *code = m->data.result;
  curl_multi_remove_handle(multi, t->client->easy);
  return go_on;
}

static char *header_of(CURL *easy, const char *name) {
  struct curl_header *header;
  if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK) return NULL;
  size_t length = strlen(header->value);
  return length > 0 && length <= HTTP_HEADER_MOST ? memory_text(header->value) : NULL;
}

static const char *code_name(CURLcode code) {
  if (code == CURLE_OPERATION_TIMEDOUT) return "timeout";
  if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR || code == CURLE_SSL_CACERT_BADFILE) return "tls";
  return "network";
}

static void transfer_error(const struct transfer *t, const char *url, CURLcode code, struct error *e) {
  char *shown = http_url_shown(url);
  if (t->too_large) {
    error_set(e, ERROR_OUTAGE, "too-large", "the answer of %s is larger than max_body (%llu bytes): nothing of it is used", shown,
              (unsigned long long)t->request->max_body);
  } else if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL) {
    error_set(e, ERROR_CONFIG, "url", "%s cannot be asked: %s", shown, curl_easy_strerror(code));
  } else {
    const char *why = t->client->message[0] ? t->client->message : curl_easy_strerror(code);
    error_set(e, ERROR_OUTAGE, code_name(code), "%s does not answer: %s", shown, why);
  }
  free(shown);
}

// One request without redirects. The answer's body is empty when it failed.
static enum http_outcome fetch_one(struct transfer *t, const char *url, const char *method, http_turn *turn, void *context,
                                   struct error *e) {
  struct http_answer *answer = t->answer;
  http_answer_free(answer);
  t->client->message[0] = '\0';
  bool trusted = http_same_origin(url, t->request->origin);
  struct curl_slist *headers = headers_of(t->request, trusted);
  transfer_options(t, url, method, trusted, headers);
  CURLcode code;
  bool drove = transfer_drive(t, turn, context, &code);
  CURL *easy = t->client->easy;
  if (drove && code == CURLE_OK) {
    curl_off_t after = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer->status);
    if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &after) == CURLE_OK && after > 0) answer->retry_after_ms = (int64_t)after * 1000;
    answer->etag = header_of(easy, "ETag");
    answer->modified = header_of(easy, "Last-Modified");
    answer->url = memory_text(url);
    buffer_reserve(&answer->body, HTTP_PADDING);
    memset(answer->body.at + answer->body.length, 0, HTTP_PADDING);
  } else {
    buffer_free(&answer->body);
  }
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
  curl_slist_free_all(headers);
  if (!drove) return HTTP_STOPPED;
  if (code == CURLE_OK) return HTTP_ANSWERED;
  transfer_error(t, url, code, e);
  return HTTP_FAILED;
}

// Where the answer sends us. NULL: nowhere, it is the answer (or, with e set, a place where we do not go).
static char *redirect_of(struct http_client *client, const struct http_answer *answer, const char *url, struct error *e) {
  bool moved = answer->status == 301 || answer->status == 302 || answer->status == 303 || answer->status == 307 || answer->status == 308;
  char *to = NULL;
  if (!moved || curl_easy_getinfo(client->easy, CURLINFO_REDIRECT_URL, &to) != CURLE_OK || !to) return NULL;
  CURLU *target = url_parse(to), *from = url_parse(url);
  char *scheme = target ? url_part(target, CURLUPART_SCHEME, 0) : NULL, *old = from ? url_part(from, CURLUPART_SCHEME, 0) : NULL;
  bool good = scheme && old && (strcmp(scheme, "https") == 0 || strcmp(old, "http") == 0);
  free(scheme);
  free(old);
  curl_url_cleanup(target);
  curl_url_cleanup(from);
  if (good) return memory_text(to);
  char *shown = http_url_shown(url);
  error_set(e, ERROR_OUTAGE, "redirect", "%s redirects to a place that is not followed (no http address, or from https to http)", shown);
  free(shown);
  return NULL;
}

enum http_outcome http_fetch(struct http_client *client, const struct http_request *request, http_turn *turn, void *context,
                             struct http_answer *answer, struct error *e) {
  struct transfer t = {.client = client, .request = request, .answer = answer};
  char *url = memory_text(request->url);
  const char *method = request->method;
  enum http_outcome outcome = HTTP_FAILED;
  for (unsigned hops = 0;; hops++) {
    outcome = fetch_one(&t, url, method, turn, context, e);
    if (outcome != HTTP_ANSWERED) break;
    char *next = redirect_of(client, answer, url, e);
    if (!next && !error_is_set(e)) break;
    outcome = HTTP_FAILED;
    if (next && hops == HTTP_REDIRECTS) {
      char *shown = http_url_shown(request->url);
      error_set(e, ERROR_OUTAGE, "redirect", "%s: more than %d redirects in a row", shown, HTTP_REDIRECTS);
      free(shown);
    }
    if (error_is_set(e)) {
      free(next);
      break;
    }
    // 307 and 308 repeat the request as it is; the older ones are followed by a GET, as every client does.
    if (answer->status != 307 && answer->status != 308) method = "GET";
    free(url);
    url = next;
  }
  free(url);
  return outcome;
}

static bool holds(const char *text, const char *secret, size_t length) {
  return length >= SECRET_LEAST && memmem(text, strlen(text), secret, length) != NULL;
}

// Does the text repeat what we sent: a token, a password, the value of a header or of a query parameter?
static bool holds_secret(const char *text, const struct http_request *r) {
  if (r->bearer && holds(text, r->bearer, strlen(r->bearer))) return true;
  const char *password = r->basic ? strchr(r->basic, ':') : NULL;
  if (password && holds(text, password + 1, strlen(password + 1))) return true;
  for (size_t i = 0; i < r->header_count; i++) {
    const char *value = strstr(r->headers[i], ": ");
    if (value && holds(text, value + 2, strlen(value + 2))) return true;
  }
  for (const char *value = strchr(r->url, '='); value; value = strchr(value + 1, '='))
    if (holds(text, value + 1, strcspn(value + 1, "&#"))) return true;
  return false;
}

void http_status_error(const struct http_answer *answer, const struct http_request *request, struct error *e) {
  char *shown = http_url_shown(request->url), said[SHOWN_BYTES + 1], code[32];
  size_t length = 0;
  for (size_t i = 0; i < answer->body.length && length < SHOWN_BYTES; i++) {
    uint8_t byte = answer->body.at[i];
    said[length++] = byte < ' ' || byte > '~' ? ' ' : (char)byte;
  }
  said[length] = '\0';
  if (holds_secret(said, request)) said[0] = '\0';
  snprintf(code, sizeof code, "http-%ld", answer->status);
  error_set(e, ERROR_OUTAGE, code, "%s answers %ld%s%s", shown, answer->status, *said ? ": " : "", said);
  free(shown);
}

bool http_status_passes(long status) {
  return status == 408 || status == 425 || status == 429 || status >= 500;
}

const char *http_library_version(void) {
  return curl_version();
}

const char *http_version(void) {
  return curl_version_info(CURLVERSION_NOW)->version;
}

const char *http_tls_version(void) {
  const char *tls = curl_version_info(CURLVERSION_NOW)->ssl_version;
  return tls ? tls : "none";
}
