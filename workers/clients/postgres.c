// PostgreSQL: statements and their answers. Connecting is postgres_connect.c; the contract stands in postgres.h.
//
// The connection is in libpq's non-blocking mode throughout: every wait is the one poll() in wait_socket, which ticks.
#include "workers/clients/postgres.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "workers/clients/postgres_parts.h"

// ---- errors

static bool is_class(const char *state, const char *classes) {
  for (; *classes; classes += 3)
    if (strncmp(state, classes, 2) == 0) return true;
  return false;
}

static bool is_one_of(const char *state, const char *states) {
  return strstr(states, state) != NULL;
}

static enum error_class class_of(const char *state) {
  if (state[0] == '\0') return ERROR_OUTAGE; // libpq's own words: the connection
  if (is_one_of(state, "40001 40P01 55P03 57014 25006 25P03 25P02")) return ERROR_OUTAGE;
  if (is_one_of(state, "54000 P0001 21000 44000")) return ERROR_DATA; // 54000: an index row too long
  if (is_class(state, "22 23 ")) return ERROR_DATA;
  if (is_class(state, "08 53 57 58 XX ")) return ERROR_OUTAGE;
  return ERROR_OPERATOR;
}

// The line of the data in "COPY t, line 7, column c: ...": the first number behind the name and a comma, in whatever language. A name with
// a comma and a digit of its own would mislead: the caller bounds the number and finds the row by halving then.
static uint64_t copy_line(const char *context) {
  const char *at = strncmp(context, "COPY ", 5) == 0 ? strchr(context, ',') : NULL;
  return at ? strtoull(at + strcspn(at, "0123456789"), NULL, 10) : 0;
}

static char *keep_field(const PGresult *r, int field) {
  const char *text = PQresultErrorField(r, field);
  return memory_text(text ? text : "");
}

static void failure_clear(struct postgres *p) {
  free(p->texts[0]), free(p->texts[1]), free(p->texts[2]), free(p->texts[3]);
  memset(p->texts, 0, sizeof p->texts);
  p->failure = (struct postgres_failure){.constraint = "", .column = "", .table = "", .context = ""};
}

void postgres_failure_free(struct postgres *p) {
  failure_clear(p);
}

// libpq ends its messages with a line feed.
static int trimmed(const char *text) {
  size_t length = strlen(text);
  while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' ')) length--;
  return (int)length;
}

void postgres_connection_error(struct postgres *p, const char *code, struct error *e) {
  const char *text = PQerrorMessage(p->link);
  error_set(e, ERROR_OUTAGE, code, "PostgreSQL at %s: %.*s", p->place, trimmed(text), text);
}

// Takes the error of a result, unless one was taken before.
static void take_error(struct postgres *p, const PGresult *r, struct error *e) {
  if (error_is_set(e)) return;
  const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE), *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
  const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
  if (!state) {
    postgres_connection_error(p, "connection", e);
    return;
  }
  failure_clear(p);
  static const int fields[] = {PG_DIAG_CONSTRAINT_NAME, PG_DIAG_COLUMN_NAME, PG_DIAG_TABLE_NAME, PG_DIAG_CONTEXT};
  for (size_t i = 0; i < 4; i++) p->texts[i] = keep_field(r, fields[i]);
  p->failure = (struct postgres_failure){.constraint = p->texts[0], .column = p->texts[1], .table = p->texts[2], .context = p->texts[3]};
  p->failure.copy_line = copy_line(p->texts[3]);
  error_set(e, class_of(state), state, "PostgreSQL: %s%s%.400s", text ? text : state, detail ? "; " : "", detail ? detail : "");
}

const struct postgres_failure *postgres_failure(const struct postgres *p) {
  return &p->failure;
}

// ---- waiting

int postgres_wait_socket(struct postgres *p, short events, uint64_t *since_ns, struct error *e) {
  struct pollfd fd = {.fd = PQsocket(p->link), .events = events};
  if (*since_ns == 0) *since_ns = clock_monotonic_ns();
  int ready = poll(&fd, 1, 1000);
  if (ready < 0 && errno != EINTR) {
    error_set(e, ERROR_OUTAGE, "connection", "cannot wait for PostgreSQL: %s", strerror(errno));
    return -1;
  }
  if (ready > 0) return 1;
  if (p->deadline_ns > 0 && clock_monotonic_ns() > p->deadline_ns) {
    error_set(e, ERROR_OUTAGE, "connect", "PostgreSQL at %s does not answer", p->place);
    return -1;
  }
  if (p->options.tick) p->options.tick(p->options.context, (unsigned)((clock_monotonic_ns() - *since_ns) / 1000000000));
  return 0;
}

// Sends what is buffered; takes in what comes meanwhile, since a server that cannot write to us does not read either.
static bool flush(struct postgres *p, struct error *e) {
  uint64_t since = 0;
  for (;;) {
    int left = PQflush(p->link);
    if (left == 0) return true;
    if (left < 0 || !PQconsumeInput(p->link)) break;
    if (postgres_wait_socket(p, POLLIN | POLLOUT, &since, e) < 0) return false;
  }
  postgres_connection_error(p, "connection", e);
  return false;
}

// The next result of what was sent; NULL: no more of this statement, or the connection broke (e is set).
static PGresult *next_result(struct postgres *p, struct error *e) {
  uint64_t since = 0;
  while (PQisBusy(p->link)) {
    if (postgres_wait_socket(p, POLLIN, &since, e) < 0) return NULL;
    if (PQconsumeInput(p->link)) continue;
    // The server's last words, as 57P01, may have arrived before the connection broke: they are read below.
    if (PQisBusy(p->link)) {
      if (!error_is_set(e)) postgres_connection_error(p, "connection", e);
      return NULL;
    }
  }
  return PQgetResult(p->link);
}

static bool is_error(const PGresult *r) {
  ExecStatusType status = PQresultStatus(r);
  return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE || status == PGRES_NONFATAL_ERROR;
}

// ---- statements

struct postgres_result {
  PGresult *r;
};

// All results of a simple query; the last one with rows or none is kept.
static PGresult *collect(struct postgres *p, struct error *e) {
  PGresult *last = NULL, *r;
  while ((r = next_result(p, e))) {
    if (is_error(r)) take_error(p, r, e);
    PQclear(last);
    last = r;
    if (PQresultStatus(r) == PGRES_COPY_IN || PQresultStatus(r) == PGRES_COPY_OUT) break;
  }
  if (!error_is_set(e) && last) return last;
  if (!error_is_set(e)) postgres_connection_error(p, "connection", e);
  PQclear(last);
  return NULL;
}

static struct postgres_result *wrap(PGresult *r) {
  if (!r) return NULL;
  struct postgres_result *result = memory_get(sizeof *result);
  result->r = r;
  return result;
}

static bool sent(struct postgres *p, int ok, struct error *e) {
  if (ok) return flush(p, e);
  postgres_connection_error(p, "connection", e);
  return false;
}

struct postgres_result *postgres_query(struct postgres *p, const char *sql, struct error *e) {
  error_clear(e);
  failure_clear(p);
  return sent(p, PQsendQuery(p->link, sql), e) ? wrap(collect(p, e)) : NULL;
}

bool postgres_exec(struct postgres *p, const char *sql, struct error *e) {
  struct postgres_result *r = postgres_query(p, sql, e);
  postgres_result_free(r);
  return r != NULL;
}

static int send_statement(struct postgres *p, const struct postgres_statement *s) {
  Oid types[POSTGRES_PARAMS_MOST];
  const char *values[POSTGRES_PARAMS_MOST];
  int lengths[POSTGRES_PARAMS_MOST], formats[POSTGRES_PARAMS_MOST];
  for (size_t i = 0; i < s->count; i++) {
    types[i] = s->params[i].type;
    values[i] = s->params[i].bytes;
    lengths[i] = (int)s->params[i].length;
    formats[i] = s->params[i].binary;
  }
  return PQsendQueryParams(p->link, s->sql, (int)s->count, types, values, lengths, formats, 0);
}

struct postgres_result *postgres_call(struct postgres *p, const char *sql, const struct postgres_param *params, size_t count,
                                      struct error *e) {
  struct postgres_statement s = {.sql = sql, .params = params, .count = count};
  error_clear(e);
  failure_clear(p);
  return sent(p, send_statement(p, &s), e) ? wrap(collect(p, e)) : NULL;
}

// Results of one statement in pipeline mode, up to the NULL behind them.
static bool finish_statement(struct postgres *p, struct error *e) {
  PGresult *r;
  bool good = true;
  while ((r = next_result(p, e))) {
    if (is_error(r)) take_error(p, r, e);
    good = good && !is_error(r) && PQresultStatus(r) != PGRES_PIPELINE_ABORTED;
    PQclear(r);
  }
  return good && !error_is_set(e);
}

static bool finish_pipeline(struct postgres *p, size_t count, size_t *failed, struct error *e) {
  *failed = count;
  for (size_t i = 0; i < count && postgres_is_sound(p); i++)
    if (!finish_statement(p, e) && *failed == count) *failed = i;
  if (postgres_is_sound(p)) PQclear(next_result(p, e)); // the mark of the sync
  if (PQexitPipelineMode(p->link) != 1 && !error_is_set(e)) postgres_connection_error(p, "connection", e);
  return !error_is_set(e);
}

bool postgres_run(struct postgres *p, const struct postgres_statement *statements, size_t count, size_t *failed, struct error *e) {
  error_clear(e);
  failure_clear(p);
  *failed = 0;
  int ok = PQenterPipelineMode(p->link);
  for (size_t i = 0; i < count && ok; i++) ok = send_statement(p, &statements[i]);
  if (!sent(p, ok && PQpipelineSync(p->link), e)) return false;
  return finish_pipeline(p, count, failed, e);
}

size_t postgres_rows(const struct postgres_result *r) {
  return (size_t)PQntuples(r->r);
}

int postgres_columns(const struct postgres_result *r) {
  return PQnfields(r->r);
}

const char *postgres_column_name(const struct postgres_result *r, int column) {
  const char *name = PQfname(r->r, column);
  return name ? name : "";
}

uint64_t postgres_changed(const struct postgres_result *r) {
  return strtoull(PQcmdTuples(r->r), NULL, 10);
}

bool postgres_is_null(const struct postgres_result *r, size_t row, int column) {
  return PQgetisnull(r->r, (int)row, column) == 1;
}

const char *postgres_text(const struct postgres_result *r, size_t row, int column) {
  return PQgetvalue(r->r, (int)row, column);
}

size_t postgres_length(const struct postgres_result *r, size_t row, int column) {
  return (size_t)PQgetlength(r->r, (int)row, column);
}

int64_t postgres_int(const struct postgres_result *r, size_t row, int column) {
  return strtoll(postgres_text(r, row, column), NULL, 10);
}

void postgres_result_free(struct postgres_result *r) {
  if (!r) return;
  PQclear(r->r);
  free(r);
}

// ---- COPY

bool postgres_copy_begin(struct postgres *p, const char *sql, struct error *e) {
  error_clear(e);
  failure_clear(p);
  PGresult *r = sent(p, PQsendQuery(p->link, sql), e) ? collect(p, e) : NULL;
  bool ready = r && PQresultStatus(r) == PGRES_COPY_IN;
  if (r && !ready) error_set(e, ERROR_FAULT, "copy", "the server takes no data for: %s", sql);
  PQclear(r);
  return ready;
}

bool postgres_copy_data(struct postgres *p, const void *bytes, size_t length, struct error *e) {
  uint64_t since = 0;
  // What the server has not taken yet goes first: libpq would keep it all, and move it about with every piece that is sent.
  if (!flush(p, e)) return false;
  for (;;) {
    int put = PQputCopyData(p->link, bytes, (int)length);
    if (put == 1) return true;
    if (put < 0 || !PQconsumeInput(p->link)) break;
    if (postgres_wait_socket(p, POLLIN | POLLOUT, &since, e) < 0) return false;
  }
  postgres_connection_error(p, "connection", e);
  return false;
}

bool postgres_copy_end(struct postgres *p, struct error *e) {
  uint64_t since = 0;
  int put;
  while ((put = PQputCopyEnd(p->link, NULL)) == 0)
    if (postgres_wait_socket(p, POLLIN | POLLOUT, &since, e) < 0) return false;
  PGresult *r = sent(p, put == 1, e) ? collect(p, e) : NULL;
  PQclear(r);
  return r != NULL;
}

// ---- texts

char *postgres_quote_name(const char *name) {
  char *quoted = memory_get(2 * strlen(name) + 3), *at = quoted;
  *at++ = '"';
  for (; *name; name++) {
    if (*name == '"') *at++ = '"';
    *at++ = *name;
  }
  *at++ = '"';
  *at = '\0';
  return quoted;
}

// standard_conforming_strings is on in our sessions; E'' is used where a backslash stands anyway, so that it could not matter.
char *postgres_quote_text(const char *text) {
  char *quoted = memory_get(2 * strlen(text) + 5), *at = quoted;
  if (strchr(text, '\\')) *at++ = ' ', *at++ = 'E';
  *at++ = '\'';
  for (; *text; text++) {
    if (*text == '\'' || *text == '\\') *at++ = *text;
    *at++ = *text;
  }
  *at++ = '\'';
  *at = '\0';
  return quoted;
}

char *postgres_quote_table(const char *table, char **schema, char **bare) {
  const char *dot = strchr(table, '.');
  char *first = dot ? memory_text_n(table, (size_t)(dot - table)) : NULL, *second = memory_text(dot ? dot + 1 : table);
  char *quoted_first = first ? postgres_quote_name(first) : NULL, *quoted_second = postgres_quote_name(second);
  char *full = first ? memory_print("%s.%s", quoted_first, quoted_second) : memory_text(quoted_second);
  free(quoted_first);
  free(quoted_second);
  if (schema)
    *schema = first;
  else
    free(first);
  if (bare)
    *bare = second;
  else
    free(second);
  return full;
}

int postgres_version(void) {
  return PQlibVersion();
}
