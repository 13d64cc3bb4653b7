// What the files of the PostgreSQL client share; nobody else includes it.
#pragma once
#include <libpq-fe.h>

#include "workers/clients/postgres.h"

enum { POSTGRES_PARAMS_MOST = 4096 };

struct postgres {
  PGconn *link;
  int backend;                     // the server's process, as it says itself
  uint64_t deadline_ns;            // when waiting for this connection ends; 0: never
  struct postgres_options options; // texts owned
  char *place, *line;
  char *texts[4]; // of `failure`
  struct postgres_failure failure;
};

// Waits for the socket, at most a second, and ticks when nothing came. 1: ready; 0: not yet; -1: e is set. *since_ns is set at the first
// call of one wait.
int postgres_wait_socket(struct postgres *p, short events, uint64_t *since_ns, struct error *e);
// The parameters that an address gives, for PQconninfoFree; NULL: e is set. See postgres_url_check.
PQconninfoOption *postgres_url_parse(const char *url, struct error *e);
void postgres_connection_error(struct postgres *p, const char *code, struct error *e);
void postgres_failure_free(struct postgres *p);
