// Rules of a polling source between its journal, its server and its sinks: what may be forgotten when, and what counts as seen.
// tests/mutants breaks each of them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/http_server.h"
#include "tests/unit/source_harness.h"

static struct target sinks[HARNESS_SINKS];
static char *folder;
static struct server server;

static int setup(void **state) {
  (void)state;
  folder = test_folder();
  unsetenv("http_proxy");
  return 0;
}

static int teardown(void **state) {
  (void)state;
  for (size_t i = 0; i < HARNESS_SINKS; i++) target_free(&sinks[i]);
  test_folder_remove(folder);
  server_stop(&server);
  return 0;
}

static void source_begin(struct rig *r, unsigned count, bool once, const char *more) {
  rig_open(r, sinks, count, 1 << 20);
  r->state = folder;
  r->once = once;
  char *settings =
      memory_print("{\"url\": \"http://127.0.0.1:%d/\", \"retries\": 0, \"timeout\": 20000, \"records\": \"events\"%s}", server.port, more);
  rig_start(r, "http", settings);
  free(settings);
}

// One whole --once run.
static void run(const char *more) {
  struct rig r;
  source_begin(&r, 1, true, more);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_close(&r);
}

static void one_record(int fd, const char *request, unsigned number) {
  (void)request;
  char body[64];
  snprintf(body, sizeof body, "{\"events\": [{\"id\": %u}]}", number);
  server_reply(fd, "200 OK", "", body);
}

// One sink stands still, the other one and the polls go on: what is trimmed meanwhile is what both have. The instance then dies with
// everything in its rings, and the slow sink gets from the journal what it lacks.
static void the_journal_keeps_what_the_slower_sink_lacks(void **state) {
  (void)state;
  enum { SOON = 3, MORE = 10 };
  struct rig r;
  server_start(&server, one_record);
  source_begin(&r, 2, false, ", \"every\": 10, \"keep\": 0");
  rig_until(&r, SOON);
  sinks[1].hold = true;
  rig_until(&r, sinks[0].got_count + MORE);
  rig_kill(&r);
  rig_close(&r);
  sinks[1].hold = false;
  assert_true(sinks[1].got_count < sinks[0].got_count);
  source_begin(&r, 2, true, ", \"keep\": 0");
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  rig_close(&r);
  assert_true(sinks[1].got_count >= SOON + MORE);
  for (size_t i = 0; i < sinks[1].got_count; i++) assert_int_equal(sinks[1].positions[i], i + 1);
  assert_int_equal(sinks[1].got_count, sinks[0].got_count);
}

// An answer that breaks off, with an ETag in front; afterwards a server that says "not modified" to whoever names that ETag.
static void cut_then_whole(int fd, const char *request, unsigned number) {
  if (strstr(request, "If-None-Match"))
    server_reply(fd, "304 Not Modified", "ETag: \"v1\"\r\n", "");
  else
    server_reply(fd, "200 OK", "ETag: \"v1\"\r\n",
                 number == 1 ? "{\"events\": [{\"id\": 1}, {\"id\"" : "{\"events\": [{\"id\": 1}, {\"id\": 2}]}");
}

static void an_etag_counts_only_with_its_records(void **state) {
  (void)state;
  server_start(&server, cut_then_whole);
  run("");
  assert_int_equal(sinks[0].got_count, 0);
  run("");
  assert_int_equal(sinks[0].got_count, 2);
  run("");
  assert_int_equal(sinks[0].got_count, 2);
}

// Two pages, of which the second one fails at first.
static void second_page_fails_once(int fd, const char *request, unsigned number) {
  if (number == 2)
    server_reply(fd, "404 Not Found", "", "");
  else if (strstr(request, "page=2"))
    server_reply(fd, "200 OK", "", "{\"events\": [{\"id\": 2}]}");
  else
    server_reply(fd, "200 OK", "", "{\"events\": [{\"id\": 1}], \"next\": \"/?page=2\"}");
}

static void a_poll_that_breaks_off_leaves_nothing_seen(void **state) {
  (void)state;
  static const char settings[] = ", \"key\": \"id\", \"emit\": \"changed\", \"pagination\": {\"next\": \"next\"}";
  server_start(&server, second_page_fails_once);
  run(settings);
  assert_int_equal(sinks[0].got_count, 0);
  run(settings);
  assert_int_equal(sinks[0].got_count, 2);
  assert_string_equal(sinks[0].got[0], "{\"id\":1}");
  assert_string_equal(sinks[0].got[1], "{\"id\":2}");
}

int main(void) {
  cmocka_set_test_filter(getenv("UNIT_TEST"));
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(the_journal_keeps_what_the_slower_sink_lacks),
      TEST(an_etag_counts_only_with_its_records),
      TEST(a_poll_that_breaks_off_leaves_nothing_seen),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
