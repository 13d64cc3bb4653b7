// The supervisor's part of a retry: its chain out of a plan, and its flag in the state folder.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <fcntl.h>

#include "proto/job.h"
#include "supervisor/plan_build.h"
#include "supervisor/plan_retry.h"
#include "supervisor/retry_flag.h"

static char folder[64];

static int make_folder(void **state) {
  (void)state;
  strcpy(folder, "/tmp/weir-test-retry-XXXXXX");
  unsetenv("WEIR_STATE");
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
  (void)state;
  char path[100];
  snprintf(path, sizeof path, "%s/pipe.yaml", folder);
  unlink(path);
  return rmdir(folder);
}

// ---- chains

static const char text[] = "pipeline: p\n"
                           "sources:\n"
                           "  src: {type: file, path: in.ndjson, lanes: 1}\n"
                           "topics:\n"
                           "  raw: {from: src}\n"
                           "transforms:\n"
                           "  one: {sql: SELECT n FROM raw, columns: {n: bigint}}\n"
                           "  two: {sql: SELECT n FROM one, columns: {n: bigint}}\n"
                           "sinks:\n"
                           "  all: {from: raw, type: file, path: all.ndjson}\n"
                           "  ones: {from: one, type: table, url: 'sqlite:x.db', table: ones}\n"
                           "  twos: {from: two, type: file, path: twos.ndjson}\n";

static struct plan *plan_with(const char *content) {
  char path[100];
  snprintf(path, sizeof path, "%s/pipe.yaml", folder);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(content, f);
  fclose(f);
  struct plan_report report;
  struct plan_options options = {.file = path};
  struct plan *plan = plan_make(&options, &report);
  plan_report_free(&report);
  assert_non_null(plan);
  plan_retry_reserve(plan);
  return plan;
}

static struct plan *plan_of(void) {
  return plan_with(text);
}

// "name<parent edge (letters of: ...)" of each worker, one a line.
static char *draw(const struct plan *plan, const struct plan_chain *chain) {
  struct buffer out = {0};
  for (size_t w = 0; w < chain->worker_count; w++) {
    const struct plan_worker *worker = &chain->workers[w];
    buffer_print(&out, "%s<%s#%u [%s]", plan->nodes[worker->node].name, plan->nodes[chain->workers[worker->parent].node].name,
                 worker->reader, worker->edge);
    if (worker->input) buffer_print(&out, " reads %s", worker->input);
    for (size_t d = 0; d < worker->dead_node_count; d++) buffer_print(&out, " +%s", plan->nodes[worker->dead_nodes[d]].name);
    assert_true((worker->ring_bytes > 0) == (worker->children > 0));
    buffer_byte(&out, '\n');
  }
  char *copy = memory_text(buffer_cstring(&out));
  buffer_free(&out);
  return copy;
}

static void expect_chain(struct plan *plan, const char *node, const char *wanted) {
  const struct plan_chain *chain = plan_retry_chain(plan, node);
  assert_non_null(chain);
  assert_string_equal(chain->retry, node);
  assert_int_equal(chain->lanes, 1);
  char *drawn = draw(plan, chain);
  assert_string_equal(drawn, wanted);
  free(drawn);
}

static void test_letters_of_a_transform_enter_at_it(void **state) {
  (void)state;
  struct plan *plan = plan_of();
  expect_chain(plan, "one",
               "retry:one<retry:one#0 []\n"
               "one<retry:one#0 [retry:one] reads raw\n"
               "two<one#0 [retry:one>one] reads one\n"
               "twos<two#0 [retry:one>one>two] reads two +two\n"
               "ones<one#1 [retry:one>one] reads one +retry:one +one\n");
  plan_free(plan);
}

static void test_letters_of_a_source_enter_behind_it(void **state) {
  (void)state;
  struct plan *plan = plan_of();
  expect_chain(plan, "src",
               "retry:src<retry:src#0 []\n"
               "one<retry:src#0 [retry:src>raw] reads raw\n"
               "two<one#0 [retry:src>raw>one] reads one\n"
               "twos<two#0 [retry:src>raw>one>two] reads two +two\n"
               "ones<one#1 [retry:src>raw>one] reads one +one\n"
               "all<retry:src#1 [retry:src>raw] reads raw +retry:src\n");
  plan_free(plan);
}

static void test_letters_of_a_sink_go_to_it_alone(void **state) {
  (void)state;
  struct plan *plan = plan_of();
  expect_chain(plan, "twos",
               "retry:twos<retry:twos#0 []\n"
               "twos<retry:twos#0 [retry:twos] reads two +retry:twos\n");
  plan_free(plan);
}

static void test_the_stores_are_those_of_the_sinks_behind_the_node(void **state) {
  (void)state;
  struct plan *plan = plan_of();
  const struct plan_chain *chain = plan_retry_chain(plan, "one");
  struct job_value settings = plan_settings(&plan->nodes[chain->source]), store;
  struct job_walk walk = job_walk_start(job_get(settings, "stores"));
  const char *const sinks[] = {"twos", "ones"}, *const kinds[] = {"file", "table"};
  for (size_t i = 0; i < 2; i++) {
    assert_true(job_walk_next(&walk, NULL, &store));
    char *sink = job_text(store, "sink", ""), *kind = job_text(store, "kind", "");
    assert_string_equal(sink, sinks[i]);
    assert_string_equal(kind, kinds[i]);
    assert_true(job_has(job_get(store, "settings")));
    free(sink);
    free(kind);
  }
  assert_false(job_walk_next(&walk, NULL, &store));
  assert_true(plan_retry_reaches(plan, "one", "twos"));
  assert_true(plan_retry_reaches(plan, "all", "all"));
  assert_false(plan_retry_reaches(plan, "one", "all"));
  plan_free(plan);
}

static void test_nothing_of_the_plan_moves(void **state) {
  (void)state;
  struct plan *plan = plan_of();
  const struct plan_node *nodes = plan->nodes;
  const struct plan_chain *chains = plan->chains;
  static const char *const names[] = {"src", "one", "two", "all", "ones", "twos", "one"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) assert_non_null(plan_retry_chain(plan, names[i]));
  assert_ptr_equal(plan->nodes, nodes);
  assert_ptr_equal(plan->chains, chains);
  assert_int_equal(plan->chain_count, 1 + 6);
  assert_null(plan_retry_chain(plan, "raw"));
  assert_null(plan_retry_chain(plan, "nobody"));
  plan_free(plan);
}

static const char brokers[] = "pipeline: p\n"
                              "kafka: {brokers: '127.0.0.1:1'}\n"
                              "sources:\n"
                              "  src: {type: file, path: in.ndjson, lanes: 1}\n"
                              "topics:\n"
                              "  raw: {from: src, key: n}\n"
                              "sinks:\n"
                              "  all: {from: raw, type: file, path: 'all.{lane}.ndjson'}\n";

// What the reader of a topic could not read goes to what reads it; what the writer could not write, to the topic.
static void test_a_topic_has_letters_of_two_kinds(void **state) {
  (void)state;
  struct plan *plan = plan_with(brokers);
  const struct plan_node *raw = &plan->nodes[plan_node_find(plan, "raw")], *all = &plan->nodes[plan_node_find(plan, "all")];
  const struct plan_node *src = &plan->nodes[plan_node_find(plan, "src")];
  char *of_reader = plan_retry_key(raw, all), *of_writer = plan_retry_key(raw, raw), *of_source = plan_retry_key(src, raw);
  assert_string_equal(of_reader, "raw");
  assert_string_equal(of_writer, "to:raw");
  assert_string_equal(of_source, "src");
  expect_chain(plan, of_reader,
               "retry:raw<retry:raw#0 []\n"
               "all<retry:raw#0 [retry:raw] reads raw +retry:raw\n");
  expect_chain(plan, of_writer,
               "retry:to:raw<retry:to:raw#0 []\n"
               "raw<retry:to:raw#0 [retry:to:raw] reads src +retry:to:raw\n");
  expect_chain(plan, of_source,
               "retry:src<retry:src#0 []\n"
               "raw<retry:src#0 [retry:src] reads src +retry:src\n");
  free(of_reader);
  free(of_writer);
  free(of_source);
  plan_free(plan);
}

// ---- flags

static void test_a_flag_comes_down_when_nobody_has_marked_since(void **state) {
  (void)state;
  struct error e = {0};
  int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  int held = retry_flag_raise(folder, "one", &e);
  assert_true(held >= 0);
  assert_int_equal(retry_flag_token(at, "one"), 0); // somebody is marking
  assert_int_equal(retry_flag_lower(at, "one", 1), RETRY_FLAG_BUSY);
  retry_flag_leave(held);
  uint64_t first = retry_flag_token(at, "one");
  assert_int_not_equal(first, 0);
  held = retry_flag_raise(folder, "one", &e);
  retry_flag_leave(held);
  assert_int_equal(retry_flag_lower(at, "one", first), RETRY_FLAG_NEWER);
  assert_int_equal(retry_flag_lower(at, "one", 0), RETRY_FLAG_NEWER); // it began while somebody was marking
  uint64_t second = retry_flag_token(at, "one");
  assert_int_not_equal(second, first);
  assert_int_equal(retry_flag_lower(at, "one", second), RETRY_FLAG_LOWERED);
  assert_int_equal(faccessat(at, "retry-one", F_OK, 0), -1);
  assert_int_equal(retry_flag_lower(at, "one", second), RETRY_FLAG_LOWERED); // twice is as good as once
  close(at);
}

static void test_a_flag_needs_a_folder(void **state) {
  (void)state;
  struct error e = {0};
  assert_int_equal(retry_flag_raise("/nowhere/at/all", "one", &e), -1);
  assert_int_equal(e.class, ERROR_ENVIRONMENT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_letters_of_a_transform_enter_at_it),
      cmocka_unit_test(test_letters_of_a_source_enter_behind_it),
      cmocka_unit_test(test_letters_of_a_sink_go_to_it_alone),
      cmocka_unit_test(test_the_stores_are_those_of_the_sinks_behind_the_node),
      cmocka_unit_test(test_nothing_of_the_plan_moves),
      cmocka_unit_test(test_a_topic_has_letters_of_two_kinds),
      cmocka_unit_test(test_a_flag_comes_down_when_nobody_has_marked_since),
      cmocka_unit_test(test_a_flag_needs_a_folder),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
