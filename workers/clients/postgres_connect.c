// PostgreSQL: connecting. Which parameters a session gets, and what protects its line.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"
#include "workers/clients/postgres_parts.h"

enum { PARAMETERS_MOST = 64 };
static const char system_roots[] = "/etc/ssl/certs/ca-certificates.crt";

// Keywords and values as libpq wants them; values are owned.
struct parameters {
  const char *keys[PARAMETERS_MOST + 1];
  const char *values[PARAMETERS_MOST + 1];
  int count;
};

static const char *parameter(const struct parameters *p, const char *key) {
  for (int i = 0; i < p->count; i++)
    if (strcmp(p->keys[i], key) == 0) return p->values[i];
  return NULL;
}

// Sets a parameter that the URL does not.
static void parameter_add(struct parameters *p, const char *key, const char *value) {
  if (parameter(p, key) || p->count == PARAMETERS_MOST) return;
  p->keys[p->count] = key;
  p->values[p->count++] = memory_text(value);
}

static bool is_local(const char *host) {
  if (!host || host[0] == '\0' || host[0] == '/' || host[0] == '@') return true; // a socket
  bool number = strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host);
  return number || strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0;
}

// True when one of the hosts (a list with commas) is another machine.
static bool is_remote(const struct parameters *p) {
  const char *host = parameter(p, "hostaddr");
  if (!host) host = parameter(p, "host");
  if (!host) host = getenv("PGHOST");
  char *list = memory_text(host ? host : ""), *rest = list, *one;
  bool remote = false;
  while ((one = strsep(&rest, ","))) remote = remote || !is_local(one);
  free(list);
  return remote;
}

// A certificate authority that the user has put where libpq looks by itself.
static bool has_own_roots(void) {
  const char *home = getenv("HOME");
  char *path = memory_print("%s/.postgresql/root.crt", home ? home : "");
  bool there = access(path, R_OK) == 0;
  free(path);
  return there || getenv("PGSSLROOTCERT");
}

static void add_tls(struct parameters *p) {
  if (!is_remote(p) || parameter(p, "sslmode") || getenv("PGSSLMODE")) return;
  parameter_add(p, "sslmode", "verify-full");
  if (!has_own_roots()) parameter_add(p, "sslrootcert", system_roots);
}

static bool parameters_read(struct parameters *p, const struct postgres_options *options, PQconninfoOption **parsed, struct error *e) {
  *parsed = postgres_url_parse(options->url, e);
  if (!*parsed) return false;
  for (PQconninfoOption *o = *parsed; o->keyword && p->count < PARAMETERS_MOST; o++)
    if (o->val) {
      p->keys[p->count] = o->keyword;
      p->values[p->count++] = memory_text(o->val);
    }
  parameter_add(p, "application_name", options->application);
  parameter_add(p, "client_encoding", "UTF8");
  parameter_add(p, "gssencmode", "disable");
  parameter_add(p, "keepalives_idle", "10");
  parameter_add(p, "keepalives_interval", "5");
  parameter_add(p, "keepalives_count", "3");
  parameter_add(p, "tcp_user_timeout", "30000");
  parameter_add(p, "target_session_attrs", "read-write");
  add_tls(p);
  return true;
}

static void parameters_free(struct parameters *p, PQconninfoOption *parsed) {
  for (int i = 0; i < p->count; i++) free((char *)(uintptr_t)p->values[i]);
  PQconninfoFree(parsed);
}

static char *place_text(const struct parameters *p) {
  const char *host = parameter(p, "host"), *port = parameter(p, "port"), *name = parameter(p, "dbname"), *user = parameter(p, "user");
  return memory_print("%s:%s/%s%s%s", host && host[0] ? host : "local", port && port[0] ? port : "5432", name ? name : "",
                      user ? " as " : "", user ? user : "");
}

static bool connect_finish(struct postgres *p, struct error *e) {
  uint64_t deadline = clock_monotonic_ns() + p->options.connect_ms * 1000000, since = 0;
  // No host of that name, or an option that libpq refuses: there is no socket to wait for, and the library has said why already.
  PostgresPollingStatusType state = PQstatus(p->link) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK) {
    if (state == PGRES_POLLING_FAILED) {
      postgres_connection_error(p, "connect", e);
      return false;
    }
    if (clock_monotonic_ns() > deadline) {
      error_set(e, ERROR_OUTAGE, "connect", "PostgreSQL at %s did not answer within %llu ms", p->place,
                (unsigned long long)p->options.connect_ms);
      return false;
    }
    // libpq takes every call for the news that the socket is ready.
    int ready = postgres_wait_socket(p, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, &since, e);
    if (ready < 0) return false;
    if (ready > 0) state = PQconnectPoll(p->link);
  }
  return true;
}

// What every session of ours needs, and what is worth trying: a server too old, or a role without the right, goes without.
static bool session_set(struct postgres *p, struct error *e) {
  static const char *const tries[] = {
      "SET client_connection_check_interval = '500ms'",
      "SET lc_messages = 'C'",
      "SET idle_session_timeout = 0",
  };
  char *sql = memory_print("SET standard_conforming_strings = on; SET timezone = 'UTC'; SET bytea_output = 'hex'; "
                           "SET default_transaction_isolation = 'read committed'; SET synchronous_commit = on; "
                           "SET idle_in_transaction_session_timeout = '60s'; SET statement_timeout = %llu; SELECT pg_backend_pid()",
                           (unsigned long long)p->options.statement_ms);
  struct postgres_result *r = postgres_query(p, sql, e);
  bool ok = r != NULL;
  if (ok) p->backend = (int)postgres_int(r, 0, 0);
  postgres_result_free(r);
  free(sql);
  struct error ignored = {0};
  for (size_t i = 0; ok && i < sizeof tries / sizeof tries[0]; i++)
    if (!postgres_exec(p, tries[i], &ignored) && !postgres_is_sound(p)) {
      *e = ignored;
      return false;
    }
  return ok;
}

static char *line_text(PGconn *link, const struct parameters *p) {
  const char *mode = parameter(p, "sslmode");
  if (!mode) mode = getenv("PGSSLMODE");
  if (!mode) mode = "prefer";
  if (!PQsslInUse(link)) {
    if (is_remote(p)) return memory_print("NOT encrypted: %s says sslmode=%s", parameter(p, "sslmode") ? "the URL" : "PGSSLMODE", mode);
    return memory_text("not encrypted: it does not leave this machine");
  }
  bool verified = strcmp(mode, "verify-full") == 0 || strcmp(mode, "verify-ca") == 0;
  return memory_print("encrypted (%s), %s (sslmode=%s)", PQsslAttribute(link, "protocol"),
                      verified ? "the server's certificate is verified" : "the server's certificate is NOT verified", mode);
}

static struct postgres *postgres_new(const struct postgres_options *options, const struct parameters *parameters) {
  struct postgres *p = memory_get(sizeof *p);
  p->options = *options;
  p->options.url = p->options.application = NULL; // not ours to keep, and not needed any more
  p->place = place_text(parameters);
  postgres_failure_free(p);
  p->link = PQconnectStartParams(parameters->keys, parameters->values, 0);
  return p;
}

// Notices are for people at a prompt; ours would fill the log.
static void drop_notice(void *context, const PGresult *r) {
  (void)context, (void)r;
}

// `most_ms`: how long it may wait for anything, ever; 0: as long as it takes.
static struct postgres *session_open(const struct postgres_options *options, uint64_t most_ms, struct error *e) {
  struct parameters parameters = {0};
  PQconninfoOption *parsed;
  struct postgres *p = NULL;
  if (parameters_read(&parameters, options, &parsed, e)) {
    p = postgres_new(options, &parameters);
    if (most_ms > 0) p->deadline_ns = clock_monotonic_ns() + most_ms * 1000000;
    bool good = p->link && connect_finish(p, e);
    if (good) {
      PQsetNoticeReceiver(p->link, drop_notice, NULL);
      good = PQsetnonblocking(p->link, 1) == 0 && session_set(p, e);
      p->line = line_text(p->link, &parameters);
    }
    if (!good) {
      postgres_close(p);
      p = NULL;
    }
  }
  parameters_free(&parameters, parsed);
  return p;
}

// ---- poolers

enum { POOLER_ROUNDS = 3, POOLER_MS = 5000 };

// Which process of the server answers now; 0: e is set.
static int backend_now(struct postgres *p, struct error *e) {
  struct postgres_result *r = postgres_query(p, "SELECT pg_backend_pid()", e);
  int pid = r ? (int)postgres_int(r, 0, 0) : 0;
  postgres_result_free(r);
  return pid;
}

static bool not_kept(const struct postgres *p, struct error *e) {
  error_set(e, ERROR_OPERATOR, "pooler",
            "PostgreSQL at %s is reached through a connection pooler that gives a session's connection to others between its transactions, "
            "and with it what weir has set in it: use `pool_mode = session` for this database, or connect to the server itself",
            p->place);
  return false;
}

// A pooler that keeps sessions together leaves our process of the server to us alone; one that does not gives it to the next one who asks,
// while we are idle. That is looked for from a second session. False: e is set; when there is no room for a second session nothing can be
// said, and that is an outage.
static bool session_is_kept(struct postgres *p, const struct postgres_options *options, struct error *e) {
  struct postgres *other = session_open(options, POOLER_MS, e);
  bool kept = other != NULL;
  for (int round = 0; kept && round < POOLER_ROUNDS; round++) {
    int ours = backend_now(p, e), theirs = ours ? backend_now(other, e) : 0;
    if (!theirs)
      kept = false;
    else if (ours != p->backend || theirs == p->backend)
      kept = not_kept(p, e);
  }
  postgres_close(other);
  if (!kept && e->class == ERROR_OUTAGE) error_add(e, "a second session through the pooler, to see whether it keeps sessions together");
  return kept;
}

struct postgres *postgres_open(const struct postgres_options *options, struct error *e) {
  struct postgres *p = session_open(options, 0, e);
  // Only a pooler gives us another number than the process has.
  if (!p || p->backend == PQbackendPID(p->link) || session_is_kept(p, options, e)) return p;
  postgres_close(p);
  return NULL;
}

void postgres_close(struct postgres *p) {
  if (!p) return;
  postgres_failure_free(p);
  PQfinish(p->link);
  free(p->place);
  free(p->line);
  free(p);
}

bool postgres_is_sound(const struct postgres *p) {
  return PQstatus(p->link) == CONNECTION_OK;
}

const char *postgres_place(const struct postgres *p) {
  return p->place;
}

int postgres_backend_pid(const struct postgres *p) {
  return p->backend;
}

const char *postgres_line(const struct postgres *p) {
  return p->line;
}

int postgres_server_version(const struct postgres *p) {
  return PQserverVersion(p->link);
}

const char *postgres_library_version(void) {
  static char text[32];
  int v = PQlibVersion();
  snprintf(text, sizeof text, "%d.%d", v / 10000, v % 10000);
  return text;
}
