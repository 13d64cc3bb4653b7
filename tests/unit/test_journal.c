// The journal by itself: positions, what counts as changed, what a rollback and a trim leave, and what it refuses to open.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "workers/clients/sqlite.h"
#include "workers/sources/journal.h"

static char folder[32], path[64];
static struct error e;
static struct journal *j;

static int setup(void **state) {
  (void)state;
  strcpy(folder, "/tmp/weir-test-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  snprintf(path, sizeof path, "%s/journal-a.db", folder);
  e = (struct error){0};
  j = journal_open(path, &e);
  return j ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  char command[64];
  journal_close(j);
  j = NULL;
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command);
}

static void reopen(void) {
  journal_close(j);
  j = journal_open(path, &e);
  assert_non_null(j);
}

// Adds a record with body `text` (and key) that arrived at `at` seconds.
static void add(const char *key, const char *text, int64_t at) {
  struct journal_record r = {.kind = JOURNAL_DATA, .arrival = at * 1000000, .body = (const uint8_t *)text, .length = strlen(text)};
  assert_true(journal_add(j, &r, key, key ? strlen(key) : 0, &e));
}

static void commit(void) {
  assert_true(journal_commit(j, &e));
}

static void begin(void) {
  assert_true(journal_begin(j, &e));
}

struct seen_text {
  char text[256];
  unsigned most;
};

static bool visit(void *context, const struct journal_record *record) {
  struct seen_text *seen = context;
  char one[64];
  snprintf(one, sizeof one, "%llu=%.*s ", (unsigned long long)record->position, (int)record->length, (const char *)record->body);
  strcat(seen->text, one);
  return --seen->most > 0;
}

static void expect(uint64_t behind, const char *text) {
  struct seen_text seen = {.most = 100};
  assert_true(journal_read(j, behind, visit, &seen, &e));
  assert_string_equal(seen.text, text);
}

static void positions_rise_and_are_never_given_out_again(void **state) {
  (void)state;
  begin();
  add(NULL, "a", 1);
  add(NULL, "b", 1);
  commit();
  assert_true(journal_trim(j, 2, INT64_MAX, &e));
  expect(0, "");
  reopen();
  begin();
  add(NULL, "c", 2);
  commit();
  expect(0, "3=c ");
  assert_int_equal(journal_totals(j)->next, 4);
  assert_int_equal(journal_totals(j)->trimmed, 2);
}

static void a_rollback_leaves_nothing(void **state) {
  (void)state;
  begin();
  add("k", "a", 1);
  journal_polled(j, 100, true);
  struct journal_request r = {.etag = "e"};
  assert_true(journal_request_set(j, 7, &r, &e));
  journal_rollback(j);
  expect(0, "");
  assert_int_equal(journal_totals(j)->next, 1);
  assert_int_equal(journal_totals(j)->polls, 0);
  begin();
  add("k", "a", 1);
  commit();
  expect(0, "1=a ");
  struct journal_request got;
  assert_true(journal_request_get(j, 7, &got, &e));
  assert_null(got.etag);
}

static void only_what_changed_is_kept(void **state) {
  (void)state;
  begin();
  add("k1", "a", 1);
  add("k2", "b", 1);
  add("k1", "a", 1);
  commit();
  begin();
  add("k1", "c", 2);
  add("k2", "b", 2);
  commit();
  expect(0, "1=a 2=b 3=c ");
  assert_int_equal(journal_totals(j)->unchanged, 2);
  reopen();
  assert_int_equal(journal_totals(j)->unchanged, 2);
}

static void the_newest_of_each_key_stays(void **state) {
  (void)state;
  begin();
  add("k1", "a", 1);
  add("k2", "b", 1);
  add("k1", "c", 1);
  commit();
  assert_true(journal_trim(j, 3, 100 * 1000000, &e));
  expect(0, "2=b 3=c ");
  // A key that is forgotten lets its record go, and is new when it comes back.
  begin();
  add("k2", "b", 10000);
  assert_true(journal_forget(j, 5000 * 1000000ll, &e));
  commit();
  assert_true(journal_trim(j, 3, INT64_MAX, &e));
  expect(0, "2=b ");
  begin();
  add("k1", "c", 10001);
  commit();
  expect(2, "4=c ");
}

static void trim_keeps_what_a_sink_lacks_and_what_is_young(void **state) {
  (void)state;
  begin();
  add(NULL, "a", 1);
  add(NULL, "b", 2);
  add(NULL, "c", 3);
  commit();
  assert_true(journal_trim(j, 1, INT64_MAX, &e));
  expect(0, "2=b 3=c ");
  assert_true(journal_trim(j, 3, 3 * 1000000, &e));
  expect(0, "3=c ");
}

static void reading_stops_where_it_is_told(void **state) {
  (void)state;
  begin();
  for (int i = 0; i < 5; i++) add(NULL, "x", 1);
  commit();
  struct seen_text seen = {.most = 2};
  assert_true(journal_read(j, 1, visit, &seen, &e));
  assert_string_equal(seen.text, "2=x 3=x ");
  expect(3, "4=x 5=x ");
}

static void requests_are_remembered(void **state) {
  (void)state;
  struct journal_request r = {.etag = "\"1\"", .cursor = "next"}, got;
  begin();
  assert_true(journal_request_set(j, UINT64_MAX, &r, &e));
  commit();
  reopen();
  assert_true(journal_request_get(j, UINT64_MAX, &got, &e));
  assert_string_equal(got.etag, "\"1\"");
  assert_null(got.modified);
  assert_string_equal(got.cursor, "next");
  journal_request_free(&got);
}

static void identity_is_made_once_and_differs(void **state) {
  (void)state;
  char first[JOURNAL_IDENTITY], other[80];
  strcpy(first, journal_identity(j));
  assert_memory_equal(first, "journal:", 8);
  assert_int_equal(strlen(first), 8 + 32);
  reopen();
  assert_string_equal(journal_identity(j), first);
  snprintf(other, sizeof other, "%s/journal-b.db", folder);
  struct journal *b = journal_open(other, &e);
  assert_non_null(b);
  assert_string_not_equal(journal_identity(b), first);
  journal_close(b);
}

static void the_file_is_for_its_owner_only(void **state) {
  (void)state;
  struct stat info;
  assert_int_equal(stat(path, &info), 0);
  assert_int_equal(info.st_mode & 0777, 0600);
  assert_true(journal_in_place(j));
  assert_int_equal(remove(path), 0);
  assert_false(journal_in_place(j));
}

static void another_format_is_refused(void **state) {
  (void)state;
  journal_close(j);
  struct sqlite *db = sqlite_open(path, SQLITE_FOR_WRITING, 100, &e);
  assert_non_null(db);
  assert_true(sqlite_exec(db, "UPDATE meta SET format = 2", &e));
  sqlite_close(db);
  j = journal_open(path, &e);
  assert_null(j);
  assert_int_equal(e.class, ERROR_OPERATOR);
  assert_non_null(strstr(e.text, "format 2"));
}

static void garbage_is_refused(void **state) {
  (void)state;
  char other[80], command[160];
  snprintf(other, sizeof other, "%s/journal-b.db", folder);
  snprintf(command, sizeof command, "yes garbage | head -c 8192 > %s", other);
  assert_int_equal(system(command), 0);
  assert_null(journal_open(other, &e));
  assert_int_equal(e.class, ERROR_OPERATOR);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(positions_rise_and_are_never_given_out_again),
      TEST(a_rollback_leaves_nothing),
      TEST(only_what_changed_is_kept),
      TEST(the_newest_of_each_key_stays),
      TEST(trim_keeps_what_a_sink_lacks_and_what_is_young),
      TEST(reading_stops_where_it_is_told),
      TEST(requests_are_remembered),
      TEST(identity_is_made_once_and_differs),
      TEST(the_file_is_for_its_owner_only),
      TEST(another_format_is_refused),
      TEST(garbage_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
