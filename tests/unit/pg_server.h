// A PostgreSQL server of a test's own: made in a temporary folder, on a Unix socket and a free loopback port, gone at the end.
// PostgreSQL refuses to run as root: there it runs as user postgres.
#pragma once
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "workers/clients/postgres.h"

struct pg_server {
  char folder[64];
  int port;
  char *url; // as superuser postgres, over the socket
  bool running;
};

static inline const char *pg_bin(void) {
  static const char *const places[] = {"/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/17/bin"};
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
    if (access(places[i], X_OK) == 0) return places[i];
  return NULL;
}

static inline int pg_command(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline int pg_command(const char *format, ...) {
  char text[1024], line[1200];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  snprintf(line, sizeof line, "%s %s >/dev/null 2>&1 </dev/null", geteuid() == 0 ? "runuser -u postgres --" : "", text);
  return system(line);
}

static inline int free_port(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof a;
  assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && getsockname(fd, (struct sockaddr *)&a, &length) == 0);
  close(fd);
  return ntohs(a.sin_port);
}

static inline void pg_start(struct pg_server *s) {
  assert_int_equal(pg_command("%s/pg_ctl -D %s/data -l %s/log -w -o \"-p %d -k %s -c listen_addresses=127.0.0.1\" start", pg_bin(),
                              s->folder, s->folder, s->port, s->folder),
                   0);
  s->running = true;
}

// "fast", or "immediate" as after a crash.
static inline void pg_stop(struct pg_server *s, const char *mode) {
  assert_int_equal(pg_command("%s/pg_ctl -D %s/data -m %s -w stop", pg_bin(), s->folder, mode), 0);
  s->running = false;
}

static inline void pg_open(struct pg_server *s) {
  *s = (struct pg_server){.port = free_port()};
  assert_non_null(pg_bin());
  strcpy(s->folder, "/tmp/weir-pg-XXXXXX");
  assert_non_null(mkdtemp(s->folder));
  char line[256];
  snprintf(line, sizeof line, "chown postgres %s", s->folder);
  if (geteuid() == 0) assert_int_equal(system(line), 0);
  assert_int_equal(pg_command("%s/initdb -D %s/data -U postgres -A trust -E UTF8 --locale=C --no-sync", pg_bin(), s->folder), 0);
  s->url = memory_print("postgresql://postgres@/postgres?host=%s&port=%d", s->folder, s->port);
  pg_start(s);
}

static inline void pg_close(struct pg_server *s) {
  char line[256];
  if (s->running) pg_stop(s, "immediate");
  snprintf(line, sizeof line, "rm -rf %s", s->folder);
  assert_int_equal(system(line), 0);
  free(s->url);
}

static inline struct postgres *pg_connect(const struct pg_server *s) {
  struct postgres_options o = {.url = s->url, .application = "test", .connect_ms = 20000, .statement_ms = 60000};
  struct error e = {0};
  struct postgres *p = postgres_open(&o, &e);
  if (!p) fail_msg("%s", e.text);
  return p;
}

static inline void pg_do(const struct pg_server *s, const char *sql) {
  struct error e = {0};
  struct postgres *p = pg_connect(s);
  if (!postgres_exec(p, sql, &e)) fail_msg("%s: %s", sql, e.text);
  postgres_close(p);
}

// All rows of a query as text, columns with | and rows with newlines between.
static inline void expect_pg(const struct pg_server *s, const char *sql, const char *expected) {
  struct error e = {0};
  struct buffer out = {0};
  struct postgres *p = pg_connect(s);
  struct postgres_result *r = postgres_query(p, sql, &e);
  if (!r) fail_msg("%s: %s", sql, e.text);
  for (size_t row = 0; row < postgres_rows(r); row++) {
    if (row > 0) buffer_byte(&out, '\n');
    for (int c = 0; c < postgres_columns(r); c++) {
      if (c > 0) buffer_byte(&out, '|');
      buffer_text(&out, postgres_is_null(r, row, c) ? "null" : postgres_text(r, row, c));
    }
  }
  postgres_result_free(r);
  postgres_close(p);
  assert_string_equal(buffer_cstring(&out), expected);
  buffer_free(&out);
}
