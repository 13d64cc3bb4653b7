// The SQLite client against real files: values, transactions, and what errors mean.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/clients/sqlite.h"

struct place {
  char *folder, *path;
  struct sqlite *db;
  struct error e;
};

static int open_place(void **state) {
  struct place *p = memory_get(sizeof *p);
  p->folder = memory_text("/tmp/weir-test-XXXXXX");
  assert_non_null(mkdtemp(p->folder));
  p->path = memory_print("%s/x.db", p->folder);
  p->db = sqlite_open(p->path, SQLITE_MAKE, 50, &p->e);
  assert_non_null(p->db);
  assert_true(sqlite_exec(p->db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT NOT NULL DEFAULT 'd', CHECK (a <> 'bad'))", &p->e));
  *state = p;
  return 0;
}

static int close_place(void **state) {
  struct place *p = *state;
  char *command = memory_print("rm -rf '%s'", p->folder);
  sqlite_close(p->db);
  assert_int_equal(system(command), 0);
  free(command);
  free(p->folder);
  free(p->path);
  free(p);
  return 0;
}

static void expect_error(struct place *p, const char *sql, enum error_class class, const char *code) {
  assert_false(sqlite_exec(p->db, sql, &p->e));
  assert_int_equal(p->e.class, class);
  assert_string_equal(p->e.code, code);
}

static int64_t one(struct place *p, const char *sql) {
  int64_t value;
  assert_true(sqlite_one_int(p->db, sql, -7, &value, &p->e));
  return value;
}

static void test_values_come_back(void **state) {
  struct place *p = *state;
  struct sqlite_query *q = sqlite_prepare(p->db, "INSERT INTO t (a) VALUES (?1)", &p->e);
  assert_non_null(q);
  assert_ptr_equal(sqlite_prepare(p->db, "INSERT INTO t (a) VALUES (?1)", &p->e), q); // prepared once
  sqlite_bind_int(q, 1, INT64_MIN);
  assert_true(sqlite_run(q, &p->e));
  assert_int_equal(sqlite_last_id(p->db), 1);
  sqlite_bind_double(q, 1, -0.5);
  assert_true(sqlite_run(q, &p->e));
  sqlite_bind_text(q, 1, "a\0bc", 3);
  assert_true(sqlite_run(q, &p->e));
  sqlite_bind_blob(q, 1, NULL, 0);
  assert_true(sqlite_run(q, &p->e));
  sqlite_bind_null(q, 1);
  assert_true(sqlite_run(q, &p->e));
  q = sqlite_prepare(p->db, "SELECT a FROM t ORDER BY id", &p->e);
  size_t length;
  assert_int_equal(sqlite_step(q, &p->e), SQLITE_GOT_ROW);
  assert_int_equal(sqlite_column_kind(q, 0), SQLITE_IS_INT);
  assert_true(sqlite_column_int(q, 0) == INT64_MIN);
  assert_int_equal(sqlite_step(q, &p->e), SQLITE_GOT_ROW);
  assert_int_equal(sqlite_column_kind(q, 0), SQLITE_IS_DOUBLE);
  assert_true(sqlite_column_double(q, 0) == -0.5);
  assert_int_equal(sqlite_step(q, &p->e), SQLITE_GOT_ROW);
  assert_int_equal(sqlite_column_kind(q, 0), SQLITE_IS_TEXT);
  assert_memory_equal(sqlite_column_text(q, 0, &length), "a\0b", 3);
  assert_int_equal(length, 3);
  assert_int_equal(sqlite_step(q, &p->e), SQLITE_GOT_ROW);
  assert_int_equal(sqlite_column_kind(q, 0), SQLITE_IS_BLOB); // an empty blob is not null
  assert_non_null(sqlite_column_blob(q, 0, &length));
  assert_int_equal(length, 0);
  assert_int_equal(sqlite_step(q, &p->e), SQLITE_GOT_ROW);
  assert_int_equal(sqlite_column_kind(q, 0), SQLITE_IS_NULL);
  assert_string_equal(sqlite_column_text(q, 0, &length), "");
  assert_int_equal(sqlite_step(q, &p->e), SQLITE_END);
  assert_int_equal(sqlite_step(q, &p->e), SQLITE_GOT_ROW); // reset by its end
}

static void test_what_errors_mean(void **state) {
  struct place *p = *state;
  assert_true(sqlite_exec(p->db, "INSERT INTO t VALUES (1, 'x', 'y')", &p->e));
  expect_error(p, "INSERT INTO t VALUES (1, 'x', 'y')", ERROR_DATA, "primary-key");
  expect_error(p, "INSERT INTO t VALUES (2, 'x', NULL)", ERROR_DATA, "not-null");
  expect_error(p, "INSERT INTO t VALUES (2, 'bad', 'y')", ERROR_DATA, "check");
  expect_error(p, "INSERT INTO t VALUES ('two', 'x', 'y')", ERROR_DATA, "datatype");
  expect_error(p, "INSERT INTO nowhere VALUES (1)", ERROR_OPERATOR, "sql");
  expect_error(p, "SELECT \"no_such_column\" FROM t", ERROR_OPERATOR, "sql"); // a misspelt name is no text
  assert_true(sqlite_exec(p->db, "CREATE UNIQUE INDEX u ON t (a)", &p->e));
  expect_error(p, "INSERT INTO t VALUES (2, 'x', 'y')", ERROR_DATA, "unique");
}

static void test_files_that_cannot_be_opened(void **state) {
  struct place *p = *state;
  char *absent = memory_print("%s/absent.db", p->folder), *no_folder = memory_print("%s/no/x.db", p->folder);
  char *text = memory_print("%s/text", p->folder);
  struct error e = {0};
  assert_null(sqlite_open(absent, SQLITE_FOR_READING, 50, &e));
  assert_int_equal(e.class, ERROR_OUTAGE);
  assert_null(sqlite_open(absent, SQLITE_FOR_WRITING, 50, &e));
  assert_int_not_equal(access(absent, F_OK), 0); // neither makes it
  assert_null(sqlite_open(no_folder, SQLITE_MAKE, 50, &e));
  assert_int_equal(e.class, ERROR_OUTAGE); // somebody may make it
  assert_string_equal(e.code, "cantopen");
  char *told = memory_print("the folder %s/no is not there", p->folder);
  assert_non_null(strstr(e.text, told));
  free(told);
  FILE *f = fopen(text, "w");
  for (int i = 0; i < 100; i++) fputs("this is no database, but long enough to look like one\n", f);
  fclose(f);
  assert_null(sqlite_open(text, SQLITE_MAKE, 50, &e));
  assert_int_equal(e.class, ERROR_OPERATOR);
  assert_string_equal(e.code, "notadb");
  free(absent);
  free(no_folder);
  free(text);
}

static void test_transactions(void **state) {
  struct place *p = *state;
  assert_true(sqlite_begin(p->db, &p->e));
  assert_true(sqlite_in_transaction(p->db));
  assert_true(sqlite_exec(p->db, "INSERT INTO t (a) VALUES (1)", &p->e));
  assert_true(sqlite_savepoint(p->db, &p->e));
  assert_true(sqlite_exec(p->db, "INSERT INTO t (a) VALUES (2)", &p->e));
  assert_true(sqlite_savepoint_rollback(p->db, &p->e));
  assert_true(sqlite_savepoint(p->db, &p->e));
  assert_true(sqlite_exec(p->db, "INSERT INTO t (a) VALUES (3)", &p->e));
  assert_true(sqlite_savepoint_release(p->db, &p->e));
  assert_true(sqlite_commit(p->db, &p->e));
  assert_int_equal(one(p, "SELECT sum(a) FROM t"), 4);
  assert_true(sqlite_begin(p->db, &p->e));
  assert_true(sqlite_exec(p->db, "DELETE FROM t", &p->e));
  assert_int_equal(sqlite_changes(p->db), 2);
  sqlite_rollback(p->db);
  sqlite_rollback(p->db); // nothing is open: does nothing
  assert_false(sqlite_in_transaction(p->db));
  assert_int_equal(one(p, "SELECT count(*) FROM t"), 2);
  assert_int_equal(one(p, "SELECT a FROM t WHERE id = 99"), -7);
}

static void test_two_writers(void **state) {
  struct place *p = *state;
  struct error e = {0};
  struct sqlite *other = sqlite_open(p->path, SQLITE_FOR_WRITING, 50, &e);
  assert_non_null(other);
  assert_true(sqlite_begin(p->db, &p->e));
  assert_false(sqlite_begin(other, &e));
  assert_int_equal(e.class, ERROR_OUTAGE);
  assert_string_equal(e.code, "busy");
  int64_t count;
  assert_true(sqlite_one_int(other, "SELECT count(*) FROM t", 0, &count, &e)); // readers read on
  assert_true(sqlite_commit(p->db, &p->e));
  assert_true(sqlite_begin(other, &e));
  sqlite_close(other); // with a transaction open
}

static void test_removed_under_us(void **state) {
  struct place *p = *state;
  assert_false(sqlite_has_moved(p->db));
  assert_int_equal(unlink(p->path), 0);
  assert_true(sqlite_has_moved(p->db));
}

// What was committed is there after SIGKILL, what was not is not.
static void test_killed_in_a_transaction(void **state) {
  struct place *p = *state;
  sqlite_close(p->db);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    struct error e = {0};
    struct sqlite *db = sqlite_open(p->path, SQLITE_FOR_WRITING, 1000, &e);
    if (!db || !sqlite_begin(db, &e) || !sqlite_exec(db, "INSERT INTO t (a) VALUES (1)", &e) || !sqlite_commit(db, &e)) _exit(1);
    if (!sqlite_begin(db, &e) || !sqlite_exec(db, "INSERT INTO t (a) VALUES (2)", &e)) _exit(1);
    raise(SIGKILL);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status));
  p->db = sqlite_open(p->path, SQLITE_FOR_WRITING, 1000, &p->e);
  assert_non_null(p->db);
  assert_int_equal(one(p, "SELECT sum(a) FROM t"), 1);
}

static void test_settings_of_a_connection(void **state) {
  struct place *p = *state;
  assert_int_equal(one(p, "PRAGMA synchronous"), 2); // FULL
  struct sqlite_query *q = sqlite_prepare(p->db, "PRAGMA journal_mode", &p->e);
  assert_int_equal(sqlite_step(q, &p->e), SQLITE_GOT_ROW);
  assert_string_equal(sqlite_column_text(q, 0, NULL), "wal");
  sqlite_reset(q);
  uint64_t bytes;
  assert_true(sqlite_bytes_used(p->db, &bytes, &p->e));
  assert_true(bytes > 0);
  char *quoted = sqlite_quote_name("a\"b");
  assert_string_equal(quoted, "\"a\"\"b\"");
  free(quoted);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_values_come_back, open_place, close_place),
      cmocka_unit_test_setup_teardown(test_what_errors_mean, open_place, close_place),
      cmocka_unit_test_setup_teardown(test_files_that_cannot_be_opened, open_place, close_place),
      cmocka_unit_test_setup_teardown(test_transactions, open_place, close_place),
      cmocka_unit_test_setup_teardown(test_two_writers, open_place, close_place),
      cmocka_unit_test_setup_teardown(test_removed_under_us, open_place, close_place),
      cmocka_unit_test_setup_teardown(test_killed_in_a_transaction, open_place, close_place),
      cmocka_unit_test_setup_teardown(test_settings_of_a_connection, open_place, close_place),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
