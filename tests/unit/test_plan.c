// Whole pipeline files: what becomes of them, and what is said of broken ones. The SQL is the real stage's, the sinks are the real kinds.
#include "tests/unit/plan_help.h"

#include <limits.h>

static void test_a_line_of_three(void **state) {
  (void)state;
  struct made m = make_good(SOURCE "transforms:\n  upper:\n    sql: SELECT id, upper(name) AS name FROM lines\n"
                                   "    columns: {id: bigint not null, name: text}\n"
                                   "sinks:\n  out:\n    from: upper\n    type: table\n    url: sqlite:x.db\n    table: t\n");
  const struct plan *p = m.plan;
  char *real = realpath(folder, NULL);
  char wanted[200];
  snprintf(wanted, sizeof wanted, "%s/.weir/pipe", real);
  free(real);
  assert_string_equal(p->pipeline, "pipe");
  assert_string_equal(p->state, wanted);
  assert_true(p->stop_above == 0.5);
  assert_int_equal(p->dead_store_bytes, 1 << 30);
  assert_int_equal(p->drain_ms, 30000);
  assert_int_equal(p->node_count, 3);
  assert_int_equal(p->chain_count, 1);
  const struct plan_chain *c = &p->chains[0];
  assert_int_equal(c->worker_count, 3);
  assert_int_equal(c->lanes, 1);
  assert_int_equal(strlen(c->fingerprint), 16);
  assert_string_equal(c->workers[0].edge, "");
  assert_int_equal(c->workers[0].parent, 0);
  assert_int_equal(c->workers[0].children, 1);
  assert_int_equal(c->workers[0].ring_bytes, 2 << 20);
  assert_string_equal(c->workers[1].edge, "lines");
  assert_string_equal(c->workers[2].edge, "lines>upper");
  assert_int_equal(c->workers[2].children, 0);
  assert_int_equal(c->workers[2].ring_bytes, 0);
  assert_int_equal(c->workers[2].dead_node_count, 2);
  assert_int_equal(p->nodes[1].from_count, 1);
  assert_int_equal(p->nodes[1].from[0], 0);
  assert_non_null(p->nodes[1].form);
  // The sink learns what its input gives.
  struct job_value settings = {.at = p->nodes[2].settings.at, .end = p->nodes[2].settings.at + p->nodes[2].settings.length};
  struct job_walk walk = job_walk_start(job_get(settings, "input_columns"));
  struct job_value column;
  assert_int_equal(walk.left, 2);
  assert_true(job_walk_next(&walk, NULL, &column));
  char *name = job_text(column, "name", ""), *type = job_text(column, "type", "");
  assert_string_equal(name, "id");
  assert_string_equal(type, "bigint");
  assert_true(job_bool(column, "not_null", false));
  free(name);
  free(type);
  done(&m);
}

static void test_a_tree(void **state) {
  (void)state;
  // A diamond: `both` reads two transforms, so it stands in the tree twice. The topic has no worker, but a place in the edge.
  struct made m = make_good(SOURCE "transforms:\n  a: {sql: SELECT 1 AS x FROM lines}\n  b: {sql: SELECT 2 AS x FROM raw}\n"
                                   "topics:\n  raw: {from: lines}\n"
                                   "sinks:\n" SINK("last", "lines") TABLE("both", "[b, a]"));
  const struct plan *p = m.plan;
  const struct plan_chain *c = &p->chains[0];
  assert_int_equal(c->worker_count, 6);
  for (size_t i = 1; i < c->worker_count; i++) assert_true(c->workers[i].parent < i);
  assert_int_equal(c->workers[0].children, 3);
  const struct plan_worker *b = worker_at(c, p, "b", "lines>raw");
  assert_int_equal(b->parent, 0);
  const struct plan_worker *both_b = worker_at(c, p, "both", "lines>raw>b");
  const struct plan_worker *both_a = worker_at(c, p, "both", "lines>a");
  const struct plan_worker *last = worker_at(c, p, "last", "lines");
  assert_true(&c->workers[both_b->parent] == b);
  // Readers of one ring have numbers of their own.
  assert_true(b->reader != last->reader && b->reader != worker_at(c, p, "a", "lines")->reader);
  // The source's dead letters go to the sink that stands first in the file, each stage's to the one behind it.
  assert_int_equal(last->dead_node_count, 1);
  assert_int_equal(last->dead_nodes[0], node_index(p, "lines"));
  assert_int_equal(both_a->dead_node_count, 1);
  assert_int_equal(both_a->dead_nodes[0], node_index(p, "a"));
  assert_int_equal(both_b->dead_nodes[0], node_index(p, "b"));
  assert_null(p->nodes[node_index(p, "raw")].kind);
  done(&m);
}

static void test_two_sources_are_two_chains(void **state) {
  (void)state;
  struct made m =
      make_good("sources:\n  a: {type: file, path: a}\n  b: {type: generate, sql: SELECT n AS id, count: 5, partitions: 3, lanes: 2}\n"
                "  c: {type: file, path: c}\n"
                "sinks:\n" SINK("out", "[a, b]"));
  assert_int_equal(m.plan->chain_count, 2);
  assert_int_equal(m.plan->chains[1].lanes, 2);
  assert_string_equal(m.plan->chains[1].workers[1].edge, "b");
  assert_true(has_message(&m, CHECK_WARNING, 4, 3, "no sink reads what source `c` gives"));
  done(&m);
}

static void test_rings(void **state) {
  (void)state;
  const char *copy = "  pg: {from: a, type: table, url: 'postgresql://h/d', table: t}\n";
  char text[1000];
  snprintf(text, sizeof text, "sources:\n  a: {type: file, path: a}\nsinks:\n%s", copy);
  struct made m = make_good(text);
  assert_int_equal(m.plan->chains[0].workers[0].ring_bytes, 8 << 20); // COPY wants room
  done(&m);
  snprintf(text, sizeof text, "ring: 4MiB\nsources:\n  a: {type: file, path: a}\nsinks:\n%s", copy);
  m = make_good(text);
  assert_int_equal(m.plan->chains[0].workers[0].ring_bytes, 4 << 20);
  done(&m);
  snprintf(text, sizeof text, "ring: 4MiB\nsources:\n  a: {type: file, path: a, ring: 64KiB}\nsinks:\n%s", copy);
  m = make_good(text);
  assert_int_equal(m.plan->chains[0].workers[0].ring_bytes, 64 << 10);
  done(&m);
  m = make_good(
      "sources:\n  a: {type: file, path: a}\nsinks:\n  pg: {from: a, type: table, url: 'postgresql://h/d', table: t, mode: upsert, "
      "key: id}\n");
  assert_int_equal(m.plan->chains[0].workers[0].ring_bytes, 2 << 20);
  done(&m);
}

static void test_lanes_are_bounded_by_partitions(void **state) {
  (void)state;
  struct made m = make_good("sources:\n  a: {type: file, path: a, lanes: 4}\nsinks:\n" SINK("out", "a"));
  assert_int_equal(m.plan->chains[0].lanes, 1);
  assert_true(has_message(&m, CHECK_WARNING, 2, 3, "1 partition"));
  done(&m);
}

static void test_names(void **state) {
  (void)state;
  struct made m = make_good("pipeline: other\n" SOURCE "sinks:\n" SINK("out", "lines"));
  assert_string_equal(m.plan->pipeline, "other");
  done(&m);
  assert_broken("pipeline: a/b\n" SOURCE "sinks:\n" SINK("out", "lines"), 1, 11, "must be a name");
  assert_broken("sources:\n  a b: {type: file, path: x}\nsinks:\n" SINK("out", "lines"), 2, 3, "cannot be a name");
  assert_broken(SOURCE "sinks:\n" SINK("Lines", "lines"), 4, 3, "taken by the source in line 2");
  assert_broken(SOURCE SOURCE "sinks:\n" SINK("out", "lines"), 3, 1, "twice");
}

static void test_state_folder(void **state) {
  (void)state;
  char path[100];
  struct plan_report report;
  struct made m = make_good(SOURCE "sinks:\n" SINK("out", "lines"));
  done(&m);
  snprintf(path, sizeof path, "%s/pipe.yaml", folder);
  struct plan *p = plan_make(&(struct plan_options){.file = path, .state = "/var/lib/x"}, &report);
  assert_string_equal(p->state, "/var/lib/x");
  plan_free(p);
  plan_report_free(&report);
  setenv("WEIR_STATE", "here", 1);
  p = plan_make(&(struct plan_options){.file = path}, &report);
  unsetenv("WEIR_STATE");
  char *cwd = realpath(".", NULL), wanted[1000];
  snprintf(wanted, sizeof wanted, "%s/here", cwd);
  assert_string_equal(p->state, wanted);
  free(cwd);
  plan_free(p);
  plan_report_free(&report);
}

static void test_when(void **state) {
  (void)state;
  unsetenv("WEIR_TEST_NONE");
  // What is left out may name variables that are not set; a list loses the entry.
  struct made m = make_good(SOURCE "  more: {when: \"${WEIR_TEST_NONE:-}\", type: file, path: \"${WEIR_TEST_NONE}\"}\n"
                                   "sinks:\n" SINK("out", "[lines, more]"));
  assert_int_equal(m.plan->node_count, 2);
  done(&m);
  assert_broken(SOURCE "  more: {when: \"\", type: file, path: x}\nsinks:\n" SINK("out", "more"), 5, 15, "left out by `when:`");
  m = make_good(SOURCE "  more: {when: \"yes\", type: file, path: x}\nsinks:\n" TABLE("out", "[lines, more]"));
  assert_int_equal(m.plan->node_count, 3);
  done(&m);
}

static void test_references(void **state) {
  (void)state;
  struct made m = make(SOURCE "sinks:\n" SINK("out", "linse"));
  assert_true(has_message(&m, CHECK_ERROR, 4, 15, "reads `linse`, which is not there"));
  assert_string_equal(m.report.messages[0].suggestion, "lines");
  done(&m);
  assert_broken(SOURCE "sinks:\n" SINK("a", "lines") SINK("b", "a"), 5, 13, "that is a sink");
  assert_broken(SOURCE "topics:\n  a: {from: b}\n  b: {from: a}\nsinks:\n" SINK("out", "lines"), 4, 3, "circle: a -> b -> a");
  assert_broken(SOURCE "transforms:\n  a: {sql: SELECT 1 AS x FROM b}\n  b: {sql: SELECT 1 AS x FROM a}\nsinks:\n" SINK("out", "lines"), 4,
                3, "circle: a -> b -> a");
  assert_broken(SOURCE "topics:\n  t: {from: lines}\nsinks: {}\n", 1, 1, "nothing flows");
}

#define FILE_SINK(name, from, path) "  " name ": {from: " from ", type: file, path: " path "}\n"

// Two writers of one file would wait for each other's lock for ever.
static void test_a_file_has_one_writer(void **state) {
  (void)state;
  assert_broken(SOURCE "sinks:\n" FILE_SINK("a", "lines", "x") FILE_SINK("b", "lines", "x"), 5, 0,
                "sink `b` would write x, which sink `a` in line 4 writes as well");
  assert_broken(SOURCE "sinks:\n" FILE_SINK("a", "lines", "no/./such/../x") FILE_SINK("b", "lines", ".//no/x"), 5, 0, "sink `a` in line 4");
  char text[2 * PATH_MAX], real[PATH_MAX], link[120];
  assert_non_null(realpath(folder, real));
  snprintf(link, sizeof link, "%s/other", folder);
  assert_int_equal(symlink(".", link), 0);
  snprintf(text, sizeof text, SOURCE "sinks:\n" FILE_SINK("a", "lines", "%s/x") FILE_SINK("b", "lines", "%s/other/x"), real, folder);
  assert_broken(text, 5, 0, "sink `a` in line 4");
  unlink(link);
  // Lanes write files of their own: the second lane's name is what the other sink writes.
  assert_broken("sources:\n  n: {type: generate, sql: SELECT n, partitions: 2, lanes: 2}\nsinks:\n" FILE_SINK(
                    "a", "n", "out.ndjson") "  b: {from: n, type: file, path: 'out.{lane}.ndjson'}\n",
                5, 0, "which sink `a` in line 4");
  assert_broken(SOURCE "  more: {type: file, path: y}\nsinks:\n" FILE_SINK("a", "[lines, more]", "x"), 5, 0,
                "with what comes by lines and with what comes by more");
  struct made m = make_good(SOURCE "sinks:\n" FILE_SINK("a", "lines", "x") FILE_SINK("b", "lines", "sub/x") FILE_SINK("c", "lines", "x.1"));
  done(&m);
}

static void test_topics_and_lookups(void **state) {
  (void)state;
  assert_broken(SOURCE "topics:\n  t: {key: id}\nsinks:\n" SINK("out", "t"), 4, 3, "neither `from` nor brokers");
  assert_broken(SOURCE "lookups:\n  l: {}\nsinks:\n" SINK("out", "lines"), 4, 3, "lookup `l` needs `type`: http, file, sqlite or postgres");
}

static void test_kinds(void **state) {
  (void)state;
  assert_broken("sources:\n  a: {type: fil, path: x}\nsinks:\n" SINK("out", "a"), 2, 13, "no source of type `fil`: http, file or generate");
  assert_broken("sources:\n  a: {path: x}\nsinks:\n" SINK("out", "a"), 2, 3, "needs `type`: http, file or generate");
  assert_broken("sources:\n  a: {type: [x]}\nsinks:\n" SINK("out", "a"), 2, 13, "must be a single value");
  assert_broken("sources:\n  a: x\nsinks:\n" SINK("out", "a"), 2, 6, "must be a map of settings");
  assert_broken("sources:\n  a:\nsinks:\n" SINK("out", "a"), 2, 0, "must be a map of settings, not empty");
  assert_broken("sources: [a]\nsinks:\n" SINK("out", "a"), 1, 10, "must be a map of nodes");
  assert_broken("- a\n", 1, 1, "a pipeline file is a map");
  assert_broken("weir: 2\n" SOURCE "sinks:\n" SINK("out", "lines"), 1, 7, "must be 1");
}

static void test_sql_places(void **state) {
  (void)state;
  assert_broken(SOURCE "transforms:\n  a:\n    sql: |\n      SELECT id\n      FROM linse\nsinks:\n" SINK("out", "a"), 7, 12, "linse");
  assert_broken(SOURCE "transforms:\n  a:\n    sql: |\n      SELECT id,\n      FROM lines\nsinks:\n" SINK("out", "a"), 7, 0, "FROM");
  assert_broken(SOURCE "transforms:\n  a: {sql: DELETE FROM lines}\nsinks:\n" SINK("out", "a"), 4, 0, "a");
}

static void test_key_that_nobody_produces(void **state) {
  (void)state;
  assert_broken(SOURCE "transforms:\n  a: {sql: SELECT id FROM lines, columns: {id: bigint}}\n"
                       "sinks:\n  out: {from: a, type: table, url: 'sqlite:x', table: t, mode: upsert, key: idd}\n",
                6, 77, "idd");
  assert_broken(SOURCE "sinks:\n  out: {from: lines, type: table, url: 'sqlite:x', table: t, mode: upsert}\n", 4, 0, "key");
}

// Ways double at every step, so a short file could ask for millions of workers.
static void test_unfolding_is_bounded(void **state) {
  (void)state;
  struct buffer text = {0};
  buffer_text(&text, SOURCE "topics:\n  t0: {from: lines}\n");
  for (int i = 1; i < 40; i++) {
    buffer_print(&text, "  a%d: {from: t%d}\n  b%d: {from: t%d}\n", i, i - 1, i, i - 1);
    buffer_print(&text, "  t%d: {from: [a%d, b%d]}\n", i, i, i);
  }
  buffer_text(&text, "sinks:\n" SINK("out", "t39"));
  struct made m = make(buffer_cstring(&text));
  assert_null(m.plan);
  assert_true(m.report.failed);
  done(&m);
  buffer_free(&text);
}

static void test_many_readers(void **state) {
  (void)state;
  struct buffer text = {0};
  buffer_text(&text, SOURCE "sinks:\n");
  for (int i = 0; i < 9; i++) buffer_print(&text, "  s%d: {from: lines, type: file, path: x%d}\n", i, i);
  assert_broken(buffer_cstring(&text), 2, 3, "more than 8 nodes read `lines`");
  buffer_free(&text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_line_of_three),
      cmocka_unit_test(test_a_tree),
      cmocka_unit_test(test_two_sources_are_two_chains),
      cmocka_unit_test(test_rings),
      cmocka_unit_test(test_lanes_are_bounded_by_partitions),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_state_folder),
      cmocka_unit_test(test_when),
      cmocka_unit_test(test_references),
      cmocka_unit_test(test_a_file_has_one_writer),
      cmocka_unit_test(test_topics_and_lookups),
      cmocka_unit_test(test_kinds),
      cmocka_unit_test(test_sql_places),
      cmocka_unit_test(test_key_that_nobody_produces),
      cmocka_unit_test(test_unfolding_is_bounded),
      cmocka_unit_test(test_many_readers),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
