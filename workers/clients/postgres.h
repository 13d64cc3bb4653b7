// PostgreSQL: the one place that knows libpq's header. Connects, sends statements, streams COPY, and says what an error means to weir.
//
// Called by the sinks and the verbs that look at targets. One connection belongs to one thread of one process.
//
// Waiting: every call that waits for the server calls `tick` once a second, so that the caller can show it and renew its deadline; it gives
// up only when the connection breaks (TCP keepalives and tcp_user_timeout see to that) or the server's own timeouts end the statement.
//
// Errors: a broken connection, a full disk, too many connections, a deadlock, a shutdown, a refused login are ERROR_OUTAGE; a refused row
// (class 22, 23, a trigger's exception) is ERROR_DATA; a missing table, column or privilege is ERROR_OPERATOR. The code is the SQLSTATE,
// "connect" or "connection". Of several errors of one statement the first counts: the last is only its echo.
//
// Sessions: UTF-8, UTC, synchronous_commit on, read committed; the server looks after our socket (client_connection_check_interval), so
// that a dead client's transaction ends at once. A pooler in between (PgBouncer) must give each session a connection of its own. TLS to a
// remote host is on and verified unless the URL says otherwise in words.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

struct postgres; // a connection

struct postgres_options {
  const char *url;
  const char *application;
  uint64_t connect_ms, statement_ms;
  void (*tick)(void *context, unsigned seconds); // NULL: nobody wants to know
  void *context;
};

// What can be said of an address without a connection: its form, its port, the names of its parameters, and the values of those that libpq
// would refuse. False: ERROR_CONFIG, which names what is wrong and holds no value.
bool postgres_url_check(const char *url, struct error *e);
// NULL: ERROR_OUTAGE or ERROR_CONFIG; ERROR_OPERATOR behind a pooler that does not keep a session together.
struct postgres *postgres_open(const struct postgres_options *options, struct error *e);
void postgres_close(struct postgres *p); // NULL is allowed
// False: the connection is broken, close it.
bool postgres_is_sound(const struct postgres *p);
// "127.0.0.1:5432/db as user", for messages: no password. Valid until close.
const char *postgres_place(const struct postgres *p);
int postgres_backend_pid(const struct postgres *p);
// What protects the line: "TLSv1.3, certificate verified (verify-full)", "not encrypted: local socket", ...
const char *postgres_line(const struct postgres *p);
int postgres_server_version(const struct postgres *p);

// What the server said about the last error beside its text; "" where it said nothing. Valid until the next call.
struct postgres_failure {
  const char *constraint, *column, *table, *context;
  uint64_t copy_line; // from "COPY t, line 7, column c": 7; 0: it named none
};
const struct postgres_failure *postgres_failure(const struct postgres *p);

// ---- statements

struct postgres_param {
  const char *bytes; // NULL: null. Text must be terminated.
  size_t length;     // binary only
  uint32_t type;     // oid, 0: let the server decide
  bool binary;
};
struct postgres_result;

// One or several statements without parameters, in one round trip, in the given transaction or, outside one, in one of their own. The rows
// of the last one; NULL: e is set. Free it with postgres_result_free.
struct postgres_result *postgres_query(struct postgres *p, const char *sql, struct error *e);
bool postgres_exec(struct postgres *p, const char *sql, struct error *e); // the same, rows not wanted
// One statement with parameters $1... Results come as text.
struct postgres_result *postgres_call(struct postgres *p, const char *sql, const struct postgres_param *params, size_t count,
                                      struct error *e);

// Several statements with parameters in one round trip (pipeline mode): none is executed behind one that failed. False: e is set, and
// *failed is the index of that statement.
struct postgres_statement {
  const char *sql;
  const struct postgres_param *params;
  size_t count;
};
bool postgres_run(struct postgres *p, const struct postgres_statement *statements, size_t count, size_t *failed, struct error *e);

size_t postgres_rows(const struct postgres_result *r);
int postgres_columns(const struct postgres_result *r);
const char *postgres_column_name(const struct postgres_result *r, int column);
uint64_t postgres_changed(const struct postgres_result *r); // rows inserted, updated or deleted
bool postgres_is_null(const struct postgres_result *r, size_t row, int column);
const char *postgres_text(const struct postgres_result *r, size_t row, int column); // terminated; "" for null
size_t postgres_length(const struct postgres_result *r, size_t row, int column);
int64_t postgres_int(const struct postgres_result *r, size_t row, int column);
void postgres_result_free(struct postgres_result *r);

// ---- COPY ... FROM STDIN

// Sends `sql`, whose last statement is the COPY, and waits until the server takes data.
bool postgres_copy_begin(struct postgres *p, const char *sql, struct error *e);
bool postgres_copy_data(struct postgres *p, const void *bytes, size_t length, struct error *e);
// Bytes for one call that leave nothing over for a small packet of its own: libpq sends in pieces of 8 KiB, a message's head is 5 bytes.
enum { POSTGRES_COPY_PIECE = (64 << 10) - 5 };
// Ends it; the server's answer to all of the data.
bool postgres_copy_end(struct postgres *p, struct error *e);

// ---- texts inside statements; owned by the caller

char *postgres_quote_name(const char *name);
char *postgres_quote_text(const char *text);
// "schema.table" as it stands in settings: each part quoted; *schema (may be NULL) is the unquoted schema or NULL. Owned by the caller.
char *postgres_quote_table(const char *table, char **schema, char **bare);
const char *postgres_library_version(void);

// Of the library that is loaded, as PQlibVersion gives it: 150018 is 15.18. For `weir version`.
int postgres_version(void);
