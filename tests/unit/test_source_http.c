// The HTTP source as a whole process, against a server of the test's own: polls, changes, pages, failures, deaths, and what it refuses.
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

static char *settings_of(const char *more) {
  return memory_print("{\"url\": \"http://127.0.0.1:%d/v3/events\", \"retries\": 1, \"timeout\": 20000%s%s}", server.port, *more ? "," : "",
                      more);
}
#define EVENTS  "\"records\": \"events\""
#define CHANGED EVENTS ", \"key\": \"id\", \"emit\": \"changed\""

static void lane_open(struct rig *r, unsigned count, uint64_t capacity) {
  rig_open(r, sinks, count, capacity);
  r->state = folder;
}

static void account_holds(const struct rig *r) {
  assert_int_equal(rig_counter(r, COUNT_IN),
                   rig_counter(r, COUNT_WITH_ROWS) + rig_counter(r, COUNT_FILTERED) + rig_counter(r, COUNT_DEAD_RECORDS));
  assert_int_equal(rig_counter(r, COUNT_ROWS_MADE), rig_counter(r, COUNT_OUT) + rig_counter(r, COUNT_DEAD_ROWS));
}

static char last_error[SLOT_TEXT];
static uint64_t last_in, last_filtered, last_failed;

// One whole --once run; its exit code.
static int run(const char *more) {
  struct rig r;
  lane_open(&r, 1, 1 << 20);
  char *settings = settings_of(more);
  rig_start(&r, "http", settings);
  int code = rig_finish(&r);
  assert_true(code != WORKER_EXIT_DONE || r.ended[0]);
  account_holds(&r);
  rig_error(&r, last_error);
  last_in = rig_counter(&r, COUNT_IN);
  last_filtered = rig_counter(&r, COUNT_FILTERED);
  last_failed = rig_counter(&r, COUNT_FAILED_POLLS);
  free(settings);
  rig_close(&r);
  return code;
}

static void expect(const char *const *texts, size_t count) {
  for (size_t i = 0; i < count && i < sinks[0].got_count; i++) assert_string_equal(sinks[0].got[i], texts[i]);
  assert_int_equal(sinks[0].got_count, count);
}
#define EXPECT(...) expect((const char *const[]){__VA_ARGS__}, sizeof(const char *const[]){__VA_ARGS__} / sizeof(char *))

static bool asked(unsigned request, const char *text) {
  return strstr(server.log->requests[request - 1], text) != NULL;
}

static void two_events(int fd, const char *request, unsigned number) {
  (void)request, (void)number;
  server_reply(fd, "200 OK", "Content-Type: application/json\r\n",
               "{\"title\": \"t\", \"events\": [\t{\"id\": 1, \"m\": 35.00}, {\"id\": 2}]}");
}

static void one_poll(void **state) {
  (void)state;
  server_start(&server, two_events);
  assert_int_equal(run(EVENTS ", \"query\": {\"a b\": \"x&y\"}, \"requests\": [{\"status\": \"open\"}, {\"status\": \"closed\"}], "
                              "\"headers\": {\"X-Key\": \"k\"}, \"auth\": {\"bearer\": \"secret\"}"),
                   WORKER_EXIT_DONE);
  EXPECT("{\"id\":1,\"m\":35.0}", "{\"id\":2}", "{\"id\":1,\"m\":35.0}", "{\"id\":2}");
  assert_int_equal(last_in, 4);
  assert_int_equal(server_count(&server), 2);
  assert_true(asked(1, "GET /v3/events?a%20b=x%26y&status=open HTTP/1.1\r\n"));
  assert_true(asked(2, "status=closed"));
  assert_true(asked(1, "X-Key: k\r\n"));
  assert_true(asked(1, "Authorization: Bearer secret\r\n"));
  assert_true(asked(1, "gzip"));
  assert_string_equal(last_error, "");
}

static void unchanged_records_send_nothing(void **state) {
  (void)state;
  server_start(&server, two_events);
  assert_int_equal(run(CHANGED), WORKER_EXIT_DONE);
  assert_int_equal(run(CHANGED), WORKER_EXIT_DONE);
  EXPECT("{\"id\":1,\"m\":35.0}", "{\"id\":2}");
  assert_int_equal(last_in, 2);
  assert_int_equal(last_filtered, 2);
  // An emptied sink gets the whole present state again.
  target_free(&sinks[0]);
  assert_int_equal(run(CHANGED), WORKER_EXIT_DONE);
  EXPECT("{\"id\":1,\"m\":35.0}", "{\"id\":2}");
}

static void one_changes(int fd, const char *request, unsigned number) {
  (void)request;
  char body[200];
  snprintf(body, sizeof body, "{\"events\": [{\"id\": 1, \"m\": %u}, {\"id\": 2}]}", number);
  server_reply(fd, "200 OK", "", body);
}

static void a_changed_record_flows(void **state) {
  (void)state;
  server_start(&server, one_changes);
  assert_int_equal(run(CHANGED ", \"keep\": 0"), WORKER_EXIT_DONE);
  assert_int_equal(run(CHANGED ", \"keep\": 0"), WORKER_EXIT_DONE);
  EXPECT("{\"id\":1,\"m\":1}", "{\"id\":2}", "{\"id\":1,\"m\":2}");
  // The trim at the second poll was before the third record replaced the first; now the first is gone, and the present state is whole.
  assert_int_equal(run(CHANGED ", \"keep\": 0"), WORKER_EXIT_DONE);
  target_free(&sinks[0]);
  assert_int_equal(run(CHANGED ", \"keep\": 0"), WORKER_EXIT_DONE);
  assert_string_equal(sinks[0].got[0], "{\"id\":2}");
  assert_string_equal(sinks[0].got[sinks[0].got_count - 1], "{\"id\":1,\"m\":4}");
}

static void with_etag(int fd, const char *request, unsigned number) {
  (void)number;
  if (strstr(request, "If-None-Match: \"v1\""))
    server_reply(fd, "304 Not Modified", "ETag: \"v1\"\r\n", "");
  else
    server_reply(fd, "200 OK", "ETag: \"v1\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "{\"events\": [{\"id\": 1}]}");
}

static void not_modified(void **state) {
  (void)state;
  server_start(&server, with_etag);
  assert_int_equal(run(CHANGED), WORKER_EXIT_DONE);
  assert_int_equal(run(CHANGED), WORKER_EXIT_DONE);
  assert_true(asked(2, "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"));
  EXPECT("{\"id\":1}");
  assert_int_equal(last_in, 0);
  assert_int_equal(last_failed, 0);
  // Another way to read the answer must not be told "not modified".
  assert_int_equal(run("\"records\": \"\", \"key\": \"events[0].id\", \"emit\": \"changed\""), WORKER_EXIT_DONE);
  assert_false(asked(3, "If-None-Match"));
  EXPECT("{\"id\":1}", "{\"events\":[{\"id\":1}]}");
}

static void fails_once(int fd, const char *request, unsigned number) {
  if (number == 1)
    server_reply(fd, "503 Service Unavailable", "", "busy");
  else if (number == 2)
    server_reply(fd, "200 OK", "", "{\"events\": [{\"id\": 1}, {\"id\"");
  else
    two_events(fd, request, number);
}

static void failures_are_tried_again(void **state) {
  (void)state;
  server_start(&server, fails_once);
  assert_int_equal(run(EVENTS ", \"retries\": 2"), WORKER_EXIT_DONE);
  EXPECT("{\"id\":1,\"m\":35.0}", "{\"id\":2}");
  assert_int_equal(last_failed, 0); // the poll has gone well
  assert_string_equal(last_error, "");
}

static void no_records(int fd, const char *request, unsigned number) {
  (void)request, (void)number;
  server_reply(fd, "200 OK", "", "{\"error\": \"maintenance\"}");
}

static void an_answer_without_its_records_is_a_failed_poll(void **state) {
  (void)state;
  server_start(&server, no_records);
  assert_int_equal(run(CHANGED), WORKER_EXIT_DONE);
  assert_int_equal(sinks[0].got_count, 0);
  assert_int_equal(last_failed, 1);
  assert_int_equal(server_count(&server), 2);
  assert_non_null(strstr(last_error, "events"));
}

static void login_page(int fd, const char *request, unsigned number) {
  (void)request;
  server_reply(fd, "200 OK", "", number == 1 ? "" : "<!DOCTYPE html>\n<title>Sign in</title>");
}

static void an_answer_that_is_no_json_is_recognised(void **state) {
  (void)state;
  server_start(&server, login_page);
  assert_int_equal(run(EVENTS ", \"retries\": 0"), WORKER_EXIT_DONE);
  assert_non_null(strstr(last_error, "it is empty"));
  assert_int_equal(run(EVENTS ", \"retries\": 0"), WORKER_EXIT_DONE);
  assert_non_null(strstr(last_error, "it begins with: <!DOCTYPE html>"));
}

static void forbidden(int fd, const char *request, unsigned number) {
  (void)request, (void)number;
  server_reply(fd, "401 Unauthorized", "", "{\"reason\": \"topsecret is no key of ours\"}");
}

static void a_refusal_is_not_tried_again_at_once(void **state) {
  (void)state;
  server_start(&server, forbidden);
  assert_int_equal(run(EVENTS ", \"query\": {\"apikey\": \"topsecret\"}"), WORKER_EXIT_DONE);
  assert_int_equal(server_count(&server), 1);
  assert_non_null(strstr(last_error, "401"));
  assert_null(strstr(last_error, "topsecret"));
}

static void too_many(int fd, const char *request, unsigned number) {
  if (number == 1)
    server_reply(fd, "429 Too Many Requests", "Retry-After: 1\r\n", "");
  else
    two_events(fd, request, number);
}

static void retry_after_is_honoured(void **state) {
  (void)state;
  server_start(&server, too_many);
  uint64_t begun = clock_monotonic_ns();
  assert_int_equal(run(EVENTS), WORKER_EXIT_DONE);
  assert_true(clock_monotonic_ns() - begun >= 1000000000u);
  assert_int_equal(sinks[0].got_count, 2);
}

static void endless(int fd, const char *request, unsigned number) {
  (void)request, (void)number;
  static char spaces[1 << 16];
  memset(spaces, ' ', sizeof spaces);
  server_send(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 38);
  for (int i = 0; i < 100000; i++) {
    if (send(fd, spaces, sizeof spaces, MSG_NOSIGNAL) <= 0) return;
  }
}

static void an_endless_body_ends_at_the_limit(void **state) {
  (void)state;
  server_start(&server, endless);
  assert_int_equal(run(EVENTS ", \"max_body\": 1000000, \"retries\": 0"), WORKER_EXIT_DONE);
  assert_non_null(strstr(last_error, "max_body"));
  assert_int_equal(last_failed, 1);
}

// `text` packed by gzip(1), as a whole answer.
static void reply_packed(int fd, const char *generator) {
  static char packed[1 << 20];
  char head[200], command[300];
  snprintf(command, sizeof command, "%s | gzip -c", generator);
  FILE *gzip = popen(command, "r");
  if (!gzip) return;
  size_t length = fread(packed, 1, sizeof packed, gzip);
  pclose(gzip);
  int head_length =
      snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", length);
  server_send(fd, head, (size_t)head_length);
  server_send(fd, packed, length);
}

static void packed_answer(int fd, const char *request, unsigned number) {
  (void)request;
  if (number == 1)
    reply_packed(fd, "printf '{\"events\": [{\"id\": 1}]}'");
  else
    reply_packed(fd, "head -c 50000000 /dev/zero | tr '\\0' ' '");
}

static void packed_answers(void **state) {
  (void)state;
  server_start(&server, packed_answer);
  assert_int_equal(run(EVENTS), WORKER_EXIT_DONE);
  EXPECT("{\"id\":1}");
  assert_int_equal(run(EVENTS ", \"max_body\": 1000000, \"retries\": 0"), WORKER_EXIT_DONE);
  assert_non_null(strstr(last_error, "max_body"));
}

static void silent(int fd, const char *request, unsigned number) {
  (void)fd, (void)request, (void)number;
  pause();
}

static void a_silent_server_is_a_timeout(void **state) {
  (void)state;
  server_start(&server, silent);
  assert_int_equal(run(EVENTS ", \"timeout\": 300, \"retries\": 0"), WORKER_EXIT_DONE);
  assert_int_equal(last_failed, 1);
}

static void a_stop_is_heard_while_a_server_is_silent(void **state) {
  (void)state;
  struct rig r;
  server_start(&server, silent);
  lane_open(&r, 1, 1 << 20);
  r.once = false;
  char *settings = settings_of(EVENTS);
  rig_start(&r, "http", settings);
  while (server_count(&server) == 0) {
    rig_pump(&r);
    rig_sleep(&r);
  }
  rig_stop(&r);
  // The harness gives up after a minute; the request's own timeout is 20 s, of which nothing may be seen in the account.
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  assert_true(r.ended[0]);
  assert_int_equal(rig_counter(&r, COUNT_FAILED_POLLS), 0);
  rig_close(&r);
  free(settings);
}

static void redirects(int fd, const char *request, unsigned number) {
  char headers[200];
  if (strstr(request, "/loop")) {
    server_reply(fd, "302 Found", "Location: /loop\r\n", "");
  } else if (number == 1) {
    // Another name for the same machine is another host.
    const char *port = strstr(request, "127.0.0.1:");
    snprintf(headers, sizeof headers, "Location: http://localhost:%d/other\r\n", port ? atoi(port + 10) : 0);
    server_reply(fd, "302 Found", headers, "");
  } else {
    two_events(fd, request, number);
  }
}

static void a_redirect_does_not_carry_secrets_away(void **state) {
  (void)state;
  server_start(&server, redirects);
  assert_int_equal(run(EVENTS ", \"headers\": {\"X-Key\": \"k\"}, \"auth\": {\"basic\": \"me:secret\"}"), WORKER_EXIT_DONE);
  assert_int_equal(sinks[0].got_count, 2);
  assert_true(asked(1, "Authorization: Basic"));
  assert_true(asked(1, "X-Key: k"));
  assert_true(asked(2, "GET /other"));
  assert_false(asked(2, "Authorization"));
  assert_false(asked(2, "X-Key"));
}

static void pages_by_number(int fd, const char *request, unsigned number) {
  (void)number;
  if (strstr(request, "p=1 "))
    server_reply(fd, "200 OK", "", "{\"events\": [{\"id\": 1}, {\"id\": 2}]}");
  else if (strstr(request, "p=2 "))
    server_reply(fd, "200 OK", "", "{\"events\": [{\"id\": 3}, {\"id\": 4}]}");
  else
    server_reply(fd, "200 OK", "", "{\"events\": []}");
}

static void pages_with_numbers(void **state) {
  (void)state;
  server_start(&server, pages_by_number);
  assert_int_equal(run(EVENTS ", \"pagination\": {\"page\": \"p\"}"), WORKER_EXIT_DONE);
  EXPECT("{\"id\":1}", "{\"id\":2}", "{\"id\":3}", "{\"id\":4}");
  assert_int_equal(server_count(&server), 3);
}

static void pages_by_link(int fd, const char *request, unsigned number) {
  if (strstr(request, "/v3/next"))
    server_reply(fd, "200 OK", "", "{\"events\": [{\"id\": 2}], \"paging\": {\"next\": null}}");
  else if (number == 1)
    server_reply(fd, "200 OK", "", "{\"events\": [{\"id\": 1}], \"paging\": {\"next\": \"next?x=1\"}}");
  else
    server_reply(fd, "200 OK", "", "{\"events\": [{\"id\": 9}], \"paging\": {\"next\": \"file:///etc/passwd\"}}");
}

static void pages_with_links(void **state) {
  (void)state;
  server_start(&server, pages_by_link);
  assert_int_equal(run(EVENTS ", \"pagination\": {\"next\": \"paging.next\"}"), WORKER_EXIT_DONE);
  EXPECT("{\"id\":1}", "{\"id\":2}");
  // A poll whose second page cannot be had leaves nothing of its first.
  assert_int_equal(run(EVENTS ", \"pagination\": {\"next\": \"paging.next\"}"), WORKER_EXIT_DONE);
  EXPECT("{\"id\":1}", "{\"id\":2}");
  assert_non_null(strstr(last_error, "no http address"));
}

static void cursors(int fd, const char *request, unsigned number) {
  if (strstr(request, "since=c2"))
    server_reply(fd, "200 OK", "", number < 4 ? "{\"events\": [], \"cursor\": \"c2\"}" : "{\"events\": [{\"id\": 3}], \"cursor\": \"c3\"}");
  else if (strstr(request, "since=c1"))
    server_reply(fd, "200 OK", "", "{\"events\": [{\"id\": 2}], \"cursor\": \"c2\"}");
  else if (strstr(request, "since=c3"))
    server_reply(fd, "200 OK", "", "{\"events\": [], \"cursor\": \"c3\"}");
  else
    server_reply(fd, "200 OK", "", "{\"events\": [{\"id\": 1}], \"cursor\": \"c1\"}");
}

static void a_cursor_goes_on_where_the_last_poll_ended(void **state) {
  (void)state;
  server_start(&server, cursors);
  const char *more = EVENTS ", \"pagination\": {\"cursor\": \"cursor\", \"param\": \"since\"}";
  assert_int_equal(run(more), WORKER_EXIT_DONE);
  EXPECT("{\"id\":1}", "{\"id\":2}");
  assert_int_equal(server_count(&server), 3);
  assert_int_equal(run(more), WORKER_EXIT_DONE);
  EXPECT("{\"id\":1}", "{\"id\":2}", "{\"id\":3}");
  assert_true(asked(4, "since=c2"));
}

static void circle(int fd, const char *request, unsigned number) {
  (void)request, (void)number;
  server_reply(fd, "200 OK", "", "{\"events\": [{\"id\": 1}], \"next\": \"/v3/events\"}");
}

static void pages_in_circles_end(void **state) {
  (void)state;
  server_start(&server, circle);
  assert_int_equal(run(EVENTS ", \"pagination\": {\"next\": \"next\", \"most\": 5}"), WORKER_EXIT_DONE);
  assert_int_equal(sinks[0].got_count, 0);
  assert_int_equal(server_count(&server), 5);
}

static void bad_records(int fd, const char *request, unsigned number) {
  (void)request, (void)number;
  static char body[100000];
  strcpy(body, "{\"events\": [{\"id\": 1}, 5, {\"x\": 1}, {\"id\": 2, \"deep\": ");
  for (int i = 0; i < 100; i++) strcat(body, "[");
  for (int i = 0; i < 100; i++) strcat(body, "]");
  strcat(body, "}, {\"id\": 3}]}");
  server_reply(fd, "200 OK", "", body);
}

static void records_that_cannot_go_on_are_dead_letters_once(void **state) {
  (void)state;
  server_start(&server, bad_records);
  assert_int_equal(run(CHANGED), WORKER_EXIT_DONE);
  struct buffer deep = {0};
  buffer_text(&deep, "dead too-deep {\"id\": 2, \"deep\": ");
  for (int i = 0; i < 200; i++) buffer_byte(&deep, i < 100 ? '[' : ']');
  buffer_byte(&deep, '}');
  EXPECT("{\"id\":1}", "dead not-an-object \x05", "dead no-key \x81\xa1x\x01", buffer_cstring(&deep), "{\"id\":3}");
  buffer_free(&deep);
  assert_int_equal(run(CHANGED), WORKER_EXIT_DONE);
  assert_int_equal(sinks[0].got_count, 5);
  assert_int_equal(last_filtered, 5);
}

static void large_records(int fd, const char *request, unsigned number) {
  (void)request, (void)number;
  static char body[100000];
  char fill[50001];
  memset(fill, 'x', 50000);
  fill[50000] = '\0';
  snprintf(body, sizeof body, "{\"events\": [{\"id\": 1}, {\"id\": \"%s\"}, {\"id\": 2}]}", fill);
  server_reply(fd, "200 OK", "", body);
}

static void a_record_over_the_ring_is_a_dead_letter(void **state) {
  (void)state;
  struct rig r;
  server_start(&server, large_records);
  lane_open(&r, 1, 1 << 16);
  char *settings = settings_of(EVENTS);
  rig_start(&r, "http", settings);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  assert_int_equal(sinks[0].got_count, 3);
  assert_memory_equal(sinks[0].got[1], "dead too-large", 14);
  assert_string_equal(sinks[0].got[2], "{\"id\":2}");
  account_holds(&r);
  rig_close(&r);
  free(settings);
}

static void many(int fd, const char *request, unsigned number) {
  (void)request, (void)number;
  enum { RECORDS = 20000 };
  static char body[RECORDS * 24];
  size_t length = (size_t)sprintf(body, "{\"events\": [{\"id\": 0}");
  for (int i = 1; i < RECORDS; i++) length += (size_t)sprintf(body + length, ",{\"id\": %d}", i);
  strcpy(body + length, "]}");
  server_reply(fd, "200 OK", "", body);
}

// Kills at every stage of a run: no record twice, none lost, and the account of the whole run is exact.
static void kills(void **state) {
  (void)state;
  struct rig r;
  server_start(&server, many);
  lane_open(&r, 2, 1 << 16);
  char *settings = settings_of(CHANGED);
  for (unsigned life = 0; life < 30; life++) {
    rig_start(&r, "http", settings);
    size_t want = sinks[0].got_count + 300;
    uint64_t until = clock_monotonic_ns() + (10 + life * 3) * 1000000u;
    while (sinks[0].got_count < want && clock_monotonic_ns() < until)
      if (!rig_pump(&r)) rig_sleep(&r);
    rig_kill(&r);
  }
  rig_start(&r, "http", settings);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  for (unsigned sink = 0; sink < 2; sink++) {
    assert_int_equal(sinks[sink].got_count, 20000);
    for (int i = 0; i < 20000; i++) assert_int_equal(atoi(sinks[sink].got[i] + 6), i);
  }
  account_holds(&r);
  assert_int_equal(rig_counter(&r, COUNT_WITH_ROWS), 20000);
  assert_int_equal(rig_counter(&r, COUNT_FILTERED), 0);
  rig_close(&r);
  free(settings);
}

static void polls_go_on_while_a_sink_is_down(void **state) {
  (void)state;
  struct rig r;
  server_start(&server, many);
  lane_open(&r, 1, 1 << 16);
  r.once = false;
  char *settings = settings_of(EVENTS ", \"every\": 50");
  rig_start(&r, "http", settings);
  rig_until(&r, 1);
  sinks[0].hold = true;
  unsigned before = server_count(&server);
  uint64_t deadline = clock_monotonic_ns() + HARNESS_WAIT_S * 1000000000ull;
  while (server_count(&server) < before + 3 && clock_monotonic_ns() < deadline) usleep(1000);
  assert_true(server_count(&server) >= before + 3);
  sinks[0].hold = false;
  rig_until(&r, 20000 * 2);
  rig_stop(&r);
  assert_int_equal(rig_finish(&r), WORKER_EXIT_DONE);
  for (size_t i = 0; i < sinks[0].got_count; i++) {
    assert_int_equal(sinks[0].positions[i], i + 1);
    assert_int_equal(atoi(sinks[0].got[i] + 6), i % 20000);
  }
  account_holds(&r);
  rig_close(&r);
  free(settings);
}

static void a_lost_journal_has_another_identity(void **state) {
  (void)state;
  server_start(&server, two_events);
  assert_int_equal(run(CHANGED), WORKER_EXIT_DONE);
  char *identity = memory_text(sinks[0].rows[0].identity), *file = memory_print("%s/journal-input.db", folder);
  assert_int_equal(remove(file), 0);
  assert_int_equal(run(CHANGED), WORKER_EXIT_DONE);
  assert_string_not_equal(sinks[0].rows[0].identity, identity);
  free(identity);
  free(file);
}

static void copy_journal(const char *from, const char *to) {
  char *command = memory_print("rm -f '%s/%s'*; for s in '' -wal; do if [ -f '%s/%s'$s ]; then cp '%s/%s'$s '%s/%s'$s; fi; done", folder,
                               to, folder, from, folder, from, folder, to);
  assert_int_equal(system(command), 0);
  free(command);
}

static void an_older_journal_is_refused(void **state) {
  (void)state;
  server_start(&server, two_events);
  assert_int_equal(run(EVENTS), WORKER_EXIT_DONE);
  copy_journal("journal-input.db", "old.db");
  assert_int_equal(run(EVENTS), WORKER_EXIT_DONE);
  assert_int_equal(sinks[0].got_count, 4);
  copy_journal("old.db", "journal-input.db");
  assert_int_equal(run(EVENTS), WORKER_EXIT_OPERATOR);
  assert_non_null(strstr(last_error, "older copy"));
  assert_non_null(strstr(last_error, "weir positions set"));
  assert_int_equal(sinks[0].got_count, 4);
}

static void a_sink_behind_the_kept_records_is_refused(void **state) {
  (void)state;
  server_start(&server, two_events);
  for (int i = 0; i < 3; i++) assert_int_equal(run(EVENTS ", \"keep\": 0"), WORKER_EXIT_DONE);
  assert_int_equal(sinks[0].got_count, 6);
  sinks[0].rows[0].position = 1;
  assert_int_equal(run(EVENTS ", \"keep\": 0"), WORKER_EXIT_OPERATOR);
  assert_non_null(strstr(last_error, "weir positions set"));
  // A sink that has never had a position starts with what is left.
  target_free(&sinks[0]);
  assert_int_equal(run(EVENTS ", \"keep\": 0"), WORKER_EXIT_DONE);
  assert_true(sinks[0].got_count >= 2);
}

int main(void) {
  cmocka_set_test_filter(getenv("UNIT_TEST"));
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(one_poll),
      TEST(unchanged_records_send_nothing),
      TEST(a_changed_record_flows),
      TEST(not_modified),
      TEST(failures_are_tried_again),
      TEST(an_answer_without_its_records_is_a_failed_poll),
      TEST(an_answer_that_is_no_json_is_recognised),
      TEST(a_refusal_is_not_tried_again_at_once),
      TEST(retry_after_is_honoured),
      TEST(an_endless_body_ends_at_the_limit),
      TEST(packed_answers),
      TEST(a_silent_server_is_a_timeout),
      TEST(a_stop_is_heard_while_a_server_is_silent),
      TEST(a_redirect_does_not_carry_secrets_away),
      TEST(pages_with_numbers),
      TEST(pages_with_links),
      TEST(a_cursor_goes_on_where_the_last_poll_ended),
      TEST(pages_in_circles_end),
      TEST(records_that_cannot_go_on_are_dead_letters_once),
      TEST(a_record_over_the_ring_is_a_dead_letter),
      TEST(kills),
      TEST(polls_go_on_while_a_sink_is_down),
      TEST(a_lost_journal_has_another_identity),
      TEST(an_older_journal_is_refused),
      TEST(a_sink_behind_the_kept_records_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
