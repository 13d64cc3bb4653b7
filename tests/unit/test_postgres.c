// The PostgreSQL client against a real server: statements, pipelines, COPY, and what errors mean.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/pg_server.h"

static struct pg_server server;
static struct postgres *p;
static struct error e;

static void expect_error(const char *sql, enum error_class class, const char *code) {
  assert_false(postgres_exec(p, sql, &e));
  assert_int_equal(e.class, class);
  assert_string_equal(e.code, code);
  assert_true(postgres_is_sound(p));
}

static void test_statements(void **state) {
  (void)state;
  struct postgres_result *r = postgres_query(p, "SELECT 1; SELECT 'a', NULL, 42", &e); // the last one counts
  assert_non_null(r);
  assert_int_equal(postgres_rows(r), 1);
  assert_int_equal(postgres_columns(r), 3);
  assert_string_equal(postgres_text(r, 0, 0), "a");
  assert_true(postgres_is_null(r, 0, 1));
  assert_int_equal(postgres_int(r, 0, 2), 42);
  postgres_result_free(r);
  struct postgres_param params[] = {{.bytes = "it's"}, {.bytes = NULL}, {.bytes = "\x00\xff\x01", .length = 3, .type = 17, .binary = true}};
  r = postgres_call(p, "SELECT $1::text, $2::text IS NULL, length($3), 1 / (2 - 1)", params, 3, &e);
  assert_non_null(r);
  assert_string_equal(postgres_text(r, 0, 0), "it's");
  assert_string_equal(postgres_text(r, 0, 1), "t");
  assert_int_equal(postgres_int(r, 0, 2), 3);
  postgres_result_free(r);
}

static void test_what_errors_mean(void **state) {
  (void)state;
  assert_true(postgres_exec(p, "CREATE TABLE t (id bigint PRIMARY KEY, v text CONSTRAINT named CHECK (v <> 'bad'))", &e));
  assert_true(postgres_exec(p, "INSERT INTO t VALUES (1, 'x')", &e));
  expect_error("INSERT INTO t VALUES (1, 'x')", ERROR_DATA, "23505");
  assert_string_equal(postgres_failure(p)->constraint, "t_pkey");
  expect_error("INSERT INTO t VALUES (2, 'bad')", ERROR_DATA, "23514");
  assert_string_equal(postgres_failure(p)->constraint, "named");
  assert_string_equal(postgres_failure(p)->table, "t");
  expect_error("INSERT INTO t VALUES (NULL)", ERROR_DATA, "23502");
  assert_string_equal(postgres_failure(p)->column, "id");
  expect_error("SELECT 1 / 0", ERROR_DATA, "22012");
  expect_error("SELECT * FROM nowhere", ERROR_OPERATOR, "42P01");
  expect_error("SELEKT", ERROR_OPERATOR, "42601");
  expect_error("SET statement_timeout = 20; SELECT pg_sleep(10)", ERROR_OUTAGE, "57014");
  // Of several errors the first counts, and what stands behind it is not executed.
  expect_error("INSERT INTO t VALUES (1, 'x'); INSERT INTO t VALUES (7, 'y'); SELECT * FROM nowhere", ERROR_DATA, "23505");
  expect_pg(&server, "SELECT count(*) FROM t", "1");
}

static void test_pipeline_stops_at_the_first_error(void **state) {
  (void)state;
  size_t failed;
  assert_true(postgres_exec(p, "CREATE TABLE t (id bigint PRIMARY KEY)", &e));
  struct postgres_param one = {.bytes = "1"}, two = {.bytes = "2"}, three = {.bytes = "3"};
  struct postgres_statement good[] = {{"BEGIN", NULL, 0}, {"INSERT INTO t VALUES ($1)", &one, 1}, {"COMMIT", NULL, 0}};
  assert_true(postgres_run(p, good, 3, &failed, &e));
  struct postgres_statement bad[] = {{"BEGIN", NULL, 0},
                                     {"INSERT INTO t VALUES ($1)", &two, 1},
                                     {"INSERT INTO t VALUES ($1)", &one, 1},
                                     {"INSERT INTO t VALUES ($1)", &three, 1},
                                     {"COMMIT", NULL, 0}};
  assert_false(postgres_run(p, bad, 5, &failed, &e));
  assert_int_equal(failed, 2);
  assert_string_equal(e.code, "23505");
  assert_true(postgres_exec(p, "ROLLBACK", &e)); // the session goes on
  expect_pg(&server, "SELECT id FROM t", "1");
}

static void test_copy_names_the_line(void **state) {
  (void)state;
  static const char rows[] = "1\tone\n2\ttwo\nx\tthree\n";
  assert_true(postgres_exec(p, "CREATE TABLE \"odd, 9\" (id bigint, v text)", &e));
  assert_true(postgres_copy_begin(p, "BEGIN; COPY \"odd, 9\" FROM STDIN", &e));
  assert_true(postgres_copy_data(p, rows, strlen("1\tone\n2\ttwo\n"), &e));
  assert_true(postgres_copy_end(p, &e));
  assert_true(postgres_exec(p, "COMMIT", &e));
  expect_pg(&server, "SELECT count(*) FROM \"odd, 9\"", "2");
  assert_true(postgres_exec(p, "CREATE TABLE t (id bigint, v text)", &e));
  assert_true(postgres_copy_begin(p, "COPY t FROM STDIN", &e));
  assert_true(postgres_copy_data(p, rows, strlen(rows), &e));
  assert_false(postgres_copy_end(p, &e));
  assert_string_equal(e.code, "22P02");
  assert_int_equal(postgres_failure(p)->copy_line, 3);
  assert_false(postgres_copy_begin(p, "SELECT 1", &e)); // takes no data
  assert_int_equal(e.class, ERROR_FAULT);
  assert_true(postgres_exec(p, "SELECT 1", &e));
}

static void test_much_data_does_not_block(void **state) {
  (void)state;
  enum { BYTES = 8 << 20 };
  char *bytes = memory_get(BYTES);
  memset(bytes, 'x', BYTES);
  for (size_t i = 99; i < BYTES; i += 100) bytes[i] = '\n';
  assert_true(postgres_exec(p, "CREATE TABLE t (v text)", &e));
  assert_true(postgres_copy_begin(p, "COPY t FROM STDIN", &e));
  for (size_t i = 0; i < BYTES; i += 1 << 16) assert_true(postgres_copy_data(p, bytes + i, 1 << 16, &e));
  assert_true(postgres_copy_end(p, &e));
  expect_pg(&server, "SELECT count(*) FROM t", "83887"); // 83,886 whole lines and what is behind them
  free(bytes);
}

static void test_the_session(void **state) {
  (void)state;
  expect_pg(&server, "SELECT current_setting('synchronous_commit'), current_setting('TimeZone'), current_setting('client_encoding')",
            "on|UTC|UTF8");
  assert_non_null(strstr(postgres_place(p), "postgres"));
  assert_non_null(strstr(postgres_line(p), "not encrypted"));
  assert_true(postgres_backend_pid(p) > 0);
  assert_true(postgres_server_version(p) >= 150000);
}

static void test_a_session_that_is_ended(void **state) {
  (void)state;
  char *sql = memory_print("SELECT pg_terminate_backend(%d)", postgres_backend_pid(p));
  pg_do(&server, sql);
  free(sql);
  assert_false(postgres_exec(p, "SELECT 1", &e));
  assert_int_equal(e.class, ERROR_OUTAGE);
  assert_false(postgres_is_sound(p));
}

static void refuse(const char *url, enum error_class class) {
  struct postgres_options o = {.url = url, .application = "test", .connect_ms = 3000, .statement_ms = 1000};
  assert_null(postgres_open(&o, &e));
  assert_int_equal(e.class, class);
  assert_null(strstr(e.text, "secret"));
}

static void test_connections_that_fail(void **state) {
  (void)state;
  char *url = memory_print("postgresql://postgres:secret@127.0.0.1:%d/nowhere", server.port);
  refuse(url, ERROR_OUTAGE); // the database may be made yet
  free(url);
  url = memory_print("postgresql://nobody:secret@127.0.0.1:%d/postgres", server.port);
  refuse(url, ERROR_OUTAGE); // so may the role
  free(url);
  url = memory_print("postgresql://postgres:secret@127.0.0.1:%d/postgres", free_port());
  refuse(url, ERROR_OUTAGE);
  free(url);
  // No host of that name: libpq knows at once, so nobody waits for connect_ms; the name may be made yet.
  refuse("postgresql://u:secret@nohost.invalid/x", ERROR_OUTAGE);
  assert_non_null(strstr(e.text, "could not translate host name"));
  refuse("postgresql://u:secret@[::1/x", ERROR_CONFIG);
}

static void test_addresses_that_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *url, *part;
  } bad[] = {
      {"postgresql://u:a/secret@h/x", "%2F"},
      {"postgresql://u:a@secret@h/x", "%40"},
      {"postgresql://u:1/x?user=secret@h", "%40"},
      {"postgresql://u:%secret@h/x", "%25"},
      {"postgresql://u:secret@h/x?no_such_option=1", "`no_such_option`"},
      {"postgresql://u:secret@h/x?sslmode=secret", "`sslmode`"},
      {"postgresql://u:secret@h/x?keepalives=secret", "`keepalives`"},
      {"postgresql://u:secret@h/x?secret", "NAME=VALUE"},
      {"postgresql://u:secret", "port"},
      {"postgresql://h:0/x", "port"},
      {"postgresql://h:-1/x", "port"},
      {"host=h password=secret", "begins with postgresql://"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    refuse(bad[i].url, ERROR_CONFIG);
    assert_non_null(strstr(e.text, bad[i].part));
    error_clear(&e);
    assert_false(postgres_url_check(bad[i].url, &e));
  }
  assert_true(postgres_url_check("postgresql://u:a?b%2f%40@h:1,k:,l:65535/x?sslmode=allow&ssl=true&password=&connect_timeout=-1", &e));
}

// To another machine only an encrypted and verified line will do, unless the URL says otherwise in words. The number is 127.0.0.1 to the
// resolver, and no local name to us.
static void test_lines_to_other_machines(void **state) {
  (void)state;
  char *url = memory_print("postgresql://postgres@2130706433:%d/postgres", server.port);
  refuse(url, ERROR_OUTAGE);
  assert_non_null(strstr(e.text, "SSL"));
  char *plain = memory_print("%s?sslmode=disable", url);
  struct postgres_options o = {.url = plain, .application = "test", .connect_ms = 20000, .statement_ms = 1000};
  struct postgres *open = postgres_open(&o, &e);
  assert_non_null(open);
  assert_non_null(strstr(postgres_line(open), "NOT encrypted"));
  postgres_close(open);
  free(plain);
  free(url);
}

static void test_texts_inside_statements(void **state) {
  (void)state;
  static const char *const texts[] = {"plain", "it's", "back\\slash", "\\'", "", "ü\n"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    char *quoted = postgres_quote_text(texts[i]), *sql = memory_print("SELECT %s", quoted);
    expect_pg(&server, sql, texts[i]);
    free(quoted);
    free(sql);
  }
  char *schema, *bare, *full = postgres_quote_table("my schema.My\"T", &schema, &bare);
  assert_string_equal(full, "\"my schema\".\"My\"\"T\"");
  assert_string_equal(schema, "my schema");
  assert_string_equal(bare, "My\"T");
  free(full), free(schema), free(bare);
  full = postgres_quote_table("t", &schema, NULL);
  assert_string_equal(full, "\"t\"");
  assert_null(schema);
  free(full);
}

static int open_server(void **state) {
  (void)state;
  pg_open(&server);
  return 0;
}

static int close_server(void **state) {
  (void)state;
  pg_close(&server);
  return 0;
}

static int open_session(void **state) {
  (void)state;
  pg_do(&server, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
  p = pg_connect(&server);
  error_clear(&e);
  return 0;
}

static int close_session(void **state) {
  (void)state;
  postgres_close(p);
  return 0;
}

#define WITH_SESSION(test) cmocka_unit_test_setup_teardown(test, open_session, close_session)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_SESSION(test_statements),
      WITH_SESSION(test_what_errors_mean),
      WITH_SESSION(test_pipeline_stops_at_the_first_error),
      WITH_SESSION(test_copy_names_the_line),
      WITH_SESSION(test_much_data_does_not_block),
      WITH_SESSION(test_the_session),
      WITH_SESSION(test_a_session_that_is_ended),
      WITH_SESSION(test_connections_that_fail),
      WITH_SESSION(test_addresses_that_are_refused),
      WITH_SESSION(test_lines_to_other_machines),
      WITH_SESSION(test_texts_inside_statements),
  };
  return cmocka_run_group_tests(tests, open_server, close_server);
}
