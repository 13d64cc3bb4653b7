// The state that the parts of the HTTP source share: http_source.c (loop, start, end), http_flow.c (journal -> ring), http_poll.c
// (API -> journal).
#pragma once
#include "proto/json.h"
#include "proto/msgpack.h"
#include "workers/clients/curl.h"
#include "workers/common/http_settings.h"
#include "workers/sources/journal.h"
#include "workers/sources/source.h"

// The kind's own words of the ring's note: the journal's totals when this run began. What this run has done is the difference, which no
// kill between the journal and the ring can change.
enum http_note { HTTP_NOTE_SET, HTTP_NOTE_POLLS, HTTP_NOTE_UNCHANGED, HTTP_NOTE_BYTES, HTTP_NOTE_WORDS };

struct http_source {
  struct worker *w;
  struct source source;
  struct http_settings set;
  struct journal *journal;
  char *journal_path;
  struct http_client *client;
  struct json_parser *json;
  struct msgpack_path *key; // NULL: emit all
  uint64_t stream;
  uint32_t blocked;     // payload bytes that found no room in the ring; 0: the flow has nothing to wait for
  struct error failure; // of a flow inside a wait or a request: ends the source
};

// Journal -> ring, without waiting: all that is there and fits. False: e.
bool http_flow(struct http_source *h, struct error *e);
// True when everything in the journal is in the ring.
bool http_flowed(const struct http_source *h);
// Sleeps until `until_ns` while records flow on. False: a stop was asked, or h->failure is set.
bool http_idle(struct http_source *h, uint64_t until_ns, const char *doing);
// The account, out of the ring's counters and the journal's totals.
void http_account(struct http_source *h);

enum http_poll_result { HTTP_POLL_BROKEN, HTTP_POLL_FAILED, HTTP_POLL_STOPPED, HTTP_POLL_DONE };
// One poll: all requests, all pages. FAILED: nothing of it is kept (with a cursor: the pages before), *wait_ms: the server wants to be left
// alone for so long. BROKEN: e ends the source.
enum http_poll_result http_poll(struct http_source *h, uint64_t *wait_ms, struct error *e);
