// Topics at brokers in the plan: where chains are cut, what the workers of a topic are told, and what is said of files that cannot be meant
// so. No broker is needed: nothing here asks one.
#include "tests/unit/plan_help.h"

#define KAFKA                         "kafka: {brokers: '127.0.0.1:1', sasl: {mechanism: PLAIN, user: u, password: hunter2}}\n"
#define TOPIC_TABLE(name, from, more) "  " name ": {from: " from ", type: table, url: 'sqlite:x.db', table: " name ", " more "}\n"

static const struct plan_chain *chain_of(const struct plan *p, const char *source) {
  for (size_t c = 0; c < p->chain_count; c++)
    if (p->chains[c].source == node_index(p, source)) return &p->chains[c];
  fail_msg("no chain of %s", source);
  return NULL;
}

static struct job_value settings_of(const struct plan *p, const char *node) {
  const struct buffer *b = &p->nodes[node_index(p, node)].settings;
  return (struct job_value){.at = b->at, .end = b->at + b->length};
}

static void assert_text(struct job_value map, const char *name, const char *wanted) {
  char *text = job_text(map, name, "");
  assert_string_equal(text, wanted);
  free(text);
}

// "a,b" of a list of texts.
static void assert_texts(struct job_value map, const char *name, const char *wanted) {
  struct buffer all = {0};
  struct job_value one;
  for (struct job_walk walk = job_walk_start(job_get(map, name)); job_walk_next(&walk, NULL, &one);) {
    char *text = job_value_text(one);
    buffer_print(&all, "%s%s", all.length ? "," : "", text);
    free(text);
  }
  assert_string_equal(buffer_cstring(&all), wanted);
  buffer_free(&all);
}

static const char through[] = KAFKA SOURCE "topics:\n"
                                           "  raw: {from: lines, key: id, create: {partitions: 3}}\n"
                                           "  clean: {from: a, topic: other.name, lanes: 2, assign: group}\n"
                                           "transforms:\n"
                                           "  a: {sql: 'SELECT id, _key AS k, x_offset, _timestamp FROM raw', columns: {id: bigint not "
                                           "null, k: text, x_offset: int, _timestamp: timestamp}}\n"
                                           "sinks:\n" TOPIC_TABLE("out", "clean", "mode: append");

static void test_chains_end_and_begin_at_topics(void **state) {
  (void)state;
  struct made m = make_good(through);
  const struct plan *p = m.plan;
  assert_int_equal(p->chain_count, 3);
  const struct plan_chain *first = chain_of(p, "lines"), *middle = chain_of(p, "raw"), *last = chain_of(p, "clean");
  assert_int_equal(first->worker_count, 2);
  assert_int_equal(first->workers[1].kind->role, WORKER_SINKER);
  assert_string_equal(first->workers[1].edge, "lines");
  assert_int_equal(first->workers[1].dead_node_count, 1); // the topic stores the source's dead letters
  assert_int_equal(middle->worker_count, 3);
  assert_int_equal(middle->workers[0].kind->role, WORKER_PRODUCER);
  assert_string_equal(middle->workers[0].kind->name, "topic");
  assert_string_equal(middle->workers[1].edge, "raw");
  assert_string_equal(middle->workers[2].edge, "raw>a");
  assert_int_equal(middle->workers[2].node, node_index(p, "clean"));
  assert_string_equal(last->workers[1].edge, "clean");
  assert_true(middle->lanes >= 1 && middle->lanes <= 3);
  assert_int_equal(last->lanes, 2);
  // Who waits for whom at the end of a run with --once.
  assert_true(!first->fed && middle->fed && last->fed);
  assert_true(plan_chain_feeds(p, first, middle) && plan_chain_feeds(p, middle, last));
  assert_true(!plan_chain_feeds(p, first, last) && !plan_chain_feeds(p, middle, first));
  assert_true(!middle->shared && last->shared);
  const struct plan_node *raw = &p->nodes[node_index(p, "raw")];
  assert_string_equal(plan_kind_name(raw, raw->kind), "topic_writer");
  assert_string_equal(plan_kind_name(raw, raw->reader), "topic_reader");
  done(&m);
}

static void test_workers_are_told(void **state) {
  (void)state;
  struct made m = make_good("dead_letters: {topic: gone}\n" KAFKA SOURCE "topics:\n"
                            "  raw: {from: lines}\n  seen: {topic: '^ev.*', metadata: [_topic]}\n"
                            "transforms:\n  a: {sql: 'SELECT id, _key AS k, a_offset, _timestamp FROM raw'}\n"
                            "sinks:\n" TOPIC_TABLE("out", "[a, seen]", "mode: append"));
  struct job_value raw = settings_of(m.plan, "raw"), seen = settings_of(m.plan, "seen");
  assert_text(raw, "topic", "raw");
  assert_text(raw, "format", "json");
  assert_text(raw, "dead_topic", "gone");
  assert_texts(raw, "metadata", "_key,_timestamp"); // what SQL names, and not what only looks like it
  assert_text(job_get(raw, "kafka"), "brokers", "127.0.0.1:1");
  assert_text(job_get(job_get(raw, "kafka"), "sasl"), "password", "hunter2");
  assert_text(seen, "topic", "^ev.*");
  assert_texts(seen, "metadata", "_topic");
  done(&m);
}

static void test_dead_letters_are_copied(void **state) {
  (void)state;
  struct made m = make_good("dead_letters: {topic: gone}\n" KAFKA SOURCE
                            "topics:\n  raw: {from: lines}\nsinks:\n" TOPIC_TABLE("one", "raw", "mode: append") SINK("two", "lines"));
  const struct plan *p = m.plan;
  assert_int_equal(p->chain_count, 4);
  for (size_t i = 0; i < 2; i++) {
    const char *name = i ? "letters:two" : "letters:one";
    const struct plan_chain *copies = chain_of(p, name);
    assert_int_equal(copies->worker_count, 2);
    assert_int_equal(copies->workers[1].node, node_index(p, "dead_letters:gone"));
    assert_string_equal(copies->workers[1].edge, name);
    assert_string_equal(copies->workers[0].kind->name, "letters");
    assert_true(copies->fed);
    // They end behind the chains of their own sink.
    assert_int_equal(plan_chain_feeds(p, chain_of(p, "raw"), copies), i == 0);
    assert_int_equal(plan_chain_feeds(p, chain_of(p, "lines"), copies), i == 1);
  }
  struct job_value topic = settings_of(p, "dead_letters:gone"), source = settings_of(p, "letters:one");
  assert_text(topic, "topic", "gone");
  assert_text(topic, "format", "bytes");
  assert_text(topic, "delivery", "exactly_once");
  assert_text(job_get(topic, "headers"), "weir.reason", "reason");
  assert_text(job_get(topic, "kafka"), "brokers", "127.0.0.1:1");
  assert_text(source, "sink", "one");
  assert_text(job_get(source, "settings"), "url", "sqlite:x.db");
  done(&m);
  // Without brokers there is nothing to copy to.
  m = make_good("dead_letters: {topic: gone}\n" SOURCE "sinks:\n" SINK("two", "lines"));
  assert_int_equal(m.plan->chain_count, 1);
  done(&m);
  assert_broken("dead_letters: {topic: weir_positions}\n" KAFKA SOURCE "sinks:\n" SINK("two", "lines"), 1, 23, "weir's own positions");
  assert_broken("dead_letters: {topic: 'a b'}\n" KAFKA SOURCE "sinks:\n" SINK("two", "lines"), 1, 23, "a topic's name has letters");
}

// Names of the nodes whose dead letters the sink stores, joined by ",", in all chains.
static char *letters_at(const struct plan *p, const char *sink) {
  struct buffer all = {0};
  for (size_t c = 0; c < p->chain_count; c++)
    for (size_t w = 0; w < p->chains[c].worker_count; w++) {
      const struct plan_worker *worker = &p->chains[c].workers[w];
      for (size_t d = 0; d < worker->dead_node_count && worker->node == node_index(p, sink); d++)
        buffer_print(&all, "%s%s", all.length ? "," : "", p->nodes[worker->dead_nodes[d]].name);
    }
  char *text = memory_text(buffer_cstring(&all));
  buffer_free(&all);
  return text;
}

static void assert_letters(const char *file, const char *sink, const char *wanted) {
  struct made m = make_good(file);
  char *nodes = letters_at(m.plan, sink);
  assert_string_equal(nodes, wanted);
  free(nodes);
  done(&m);
}

#define CHECKED    KAFKA SOURCE "transforms:\n  a: {sql: SELECT id FROM lines, checks: {c: id > 0}}\n"
#define TWO_TOPICS "topics:\n  t: {from: a}\n  u: {from: a}\n"
#define TWO_SINKS  "sinks:\n" TOPIC_TABLE("out", "a", "mode: append") SINK("copy", "a")
#define GONE       "dead_letters: {topic: gone}\n"

// Not the order of the sections decides whether a letter can be sent again.
static void test_letters_go_where_they_can_be_retried(void **state) {
  (void)state;
  assert_letters(GONE CHECKED TWO_TOPICS TWO_SINKS, "out", "lines,a");
  assert_letters(GONE CHECKED TWO_SINKS TWO_TOPICS, "out", "lines,a");
  assert_letters(GONE CHECKED TWO_TOPICS "sinks:\n" SINK("copy", "a"), "copy", "lines,a");
  // Each node has a choice only of the sinks behind it; topics alone go by the order of the file.
  assert_letters(GONE CHECKED TWO_TOPICS "sinks:\n" SINK("copy", "lines"), "t", "a");
  assert_letters(GONE CHECKED TWO_TOPICS "sinks:\n" SINK("copy", "lines"), "copy", "lines");
  assert_letters(GONE CHECKED TWO_TOPICS, "t", "lines,a");
  // A topic whose letters lie in the state folder is as good as a table.
  assert_letters(CHECKED TWO_TOPICS TWO_SINKS, "t", "lines,a");
  assert_letters(CHECKED TWO_SINKS TWO_TOPICS, "out", "lines,a");
}

static void test_columns_go_through_topics(void **state) {
  (void)state;
  struct made m = make_good(through);
  struct job_value column;
  struct job_walk walk = job_walk_start(job_get(settings_of(m.plan, "out"), "input_columns"));
  static const char *const names[] = {"id", "k", "x_offset", "_timestamp"};
  for (size_t i = 0; i < 4; i++) {
    assert_true(job_walk_next(&walk, NULL, &column));
    assert_text(column, "name", names[i]);
    assert_false(job_bool(column, "not_null", true)); // others may write to the topic, too
  }
  assert_false(job_walk_next(&walk, NULL, &column));
  done(&m);
  m = make_good(KAFKA SOURCE "topics:\n  t: {topic: x, format: string}\nsinks:\n" TOPIC_TABLE("out", "t", "mode: append")
                    SINK("all", "lines"));
  walk = job_walk_start(job_get(settings_of(m.plan, "out"), "input_columns"));
  assert_true(job_walk_next(&walk, NULL, &column));
  assert_text(column, "name", "value");
  assert_text(column, "type", "text");
  done(&m);
}

static char *fingerprint_with(const char *more) {
  char text[600];
  snprintf(text, sizeof text, KAFKA SOURCE "topics:\n  t: {from: lines%s}\nsinks:\n" SINK("out", "t"), more);
  struct made m = make_good(text);
  char *print = memory_text(chain_of(m.plan, "t")->fingerprint);
  done(&m);
  return print;
}

static void test_what_flows(void **state) {
  (void)state;
  static const char *const same[] = {", topic: t", ", start: latest", ", group: g", ", key: id", ", format: json", ", metadata: [_key]"};
  static const char *const other[] = {", topic: u", ", format: string", ", key_format: bytes"};
  char *print = fingerprint_with("");
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
    char *one = fingerprint_with(same[i]);
    assert_string_equal(one, print);
    free(one);
  }
  for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
    char *one = fingerprint_with(other[i]);
    assert_string_not_equal(one, print);
    free(one);
  }
  free(print);
}

static void test_one_name_at_the_brokers(void **state) {
  (void)state;
  // Two nodes, one topic: what one writes the other reads.
  struct made m =
      make_good(KAFKA SOURCE "topics:\n  w: {from: lines, topic: x.1}\n  r: {topic: '^x'}\n  s: {topic: y}\nsinks:\n" TOPIC_TABLE(
          "out", "[r, s]", "mode: append"));
  assert_true(chain_of(m.plan, "r")->fed);
  assert_false(chain_of(m.plan, "s")->fed);
  done(&m);
  assert_broken(
      KAFKA SOURCE
      "topics:\n  w: {from: a, topic: x}\n  r: {topic: x}\ntransforms:\n  a: {sql: SELECT 1 AS x FROM r}\nsinks:\n" SINK("out", "lines"),
      5, 3, "circle: w -> r -> a");
}

static void test_broken(void **state) {
  (void)state;
  const char *rest = "sinks:\n" SINK("out", "[t, lines]");
  static const struct {
    const char *topic;
    int column;
    const char *part;
  } cases[] = {
      {"{from: lines, topic: a/b}", 20, "a topic's name has letters"},
      {"{from: lines, topic: ^a}", 20, "can be read, not written"},
      {"{topic: '^('}", 15, "no extended regular expression"},
      {"{from: lines, topic: weir_positions}", 20, "weir's own positions"},
      {"{from: lines, topic: gone}", 20, "dead letters go there"},
      {"{from: lines, key: a, key_sql: b}", 28, "exclude each other"},
      {"{from: lines, metadata: [_kee]}", 20, "metadata is of _key"},
      {"{from: lines, format: avro}", 28, "must be json or msgpack or string or bytes"},
      {"{topic: gone}", 7, "dead letters go there"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[600];
    snprintf(text, sizeof text, "dead_letters: {topic: gone}\n" KAFKA SOURCE "topics:\n  t: %s\n%s", cases[i].topic, rest);
    assert_broken(text, 6, cases[i].column, cases[i].part);
  }
}

static void test_what_has_no_effect(void **state) {
  (void)state;
  struct made m =
      make_good(KAFKA SOURCE "topics:\n  w: {from: lines, start: latest}\n  r: {topic: x, key: id}\n  n: {}\nsinks:\n" SINK("out", "r"));
  assert_true(has_message(&m, CHECK_WARNING, 5, 20, "nothing reads it"));
  assert_true(has_message(&m, CHECK_WARNING, 6, 17, "only read"));
  assert_true(has_message(&m, CHECK_WARNING, 7, 3, "not used"));
  // A topic that is only written keeps its source running.
  assert_int_equal(chain_of(m.plan, "lines")->worker_count, 2);
  done(&m);
}

static size_t count_key_warnings(const struct made *m) {
  size_t warnings = 0;
  for (size_t i = 0; i < m->report.count; i++) warnings += strstr(m->report.messages[i].text, "stored last is not promised") != NULL;
  return warnings;
}

static size_t key_warnings(const char *topic, const char *mode) {
  char text[900];
  snprintf(text, sizeof text,
           KAFKA SOURCE
           "topics:\n  t: {from: lines%s}\n"
           "transforms:\n  a: {sql: 'SELECT id, k AS kk, upper(id) AS u FROM t', columns: {id: bigint not null, kk: int, u: text}}\n"
           "sinks:\n" TOPIC_TABLE("out", "a", "%s"),
           topic, mode);
  struct made m = make_good(text);
  size_t warnings = count_key_warnings(&m);
  done(&m);
  return warnings;
}

static void test_keys(void **state) {
  (void)state;
  assert_int_equal(key_warnings(", key: id", "mode: upsert, key: id"), 0);
  assert_int_equal(key_warnings(", key: id", "mode: upsert, key: [kk, id]"), 0);
  assert_int_equal(key_warnings(", key: id", "mode: upsert, key: kk"), 1);
  assert_int_equal(key_warnings(", key: k", "mode: upsert, key: kk"), 0);
  assert_int_equal(key_warnings(", key: [id, k]", "mode: upsert, key: id"), 1);
  assert_int_equal(key_warnings("", "mode: upsert, key: id"), 1);
  assert_int_equal(key_warnings(", key: id", "mode: append"), 0);
  // What is not sure is not told.
  assert_int_equal(key_warnings(", key: id", "mode: upsert, key: u"), 0);
  assert_int_equal(key_warnings(", key_sql: id", "mode: upsert, key: kk"), 0);
  assert_int_equal(key_warnings(", create: {partitions: 1}", "mode: upsert, key: kk"), 0);
}

// Topics t and then u, with a transform before each of them and before the table.
static size_t warnings_above(const char *t, const char *u, const char *key, const char *topic) {
  char text[1200], named[40];
  snprintf(text, sizeof text,
           KAFKA SOURCE "topics:\n  t: {from: lines%s}\n  u: {from: a%s}\n"
                        "transforms:\n  a: {sql: 'SELECT id AS i, k, upper(id) AS x, _key AS tk FROM t'}\n"
                        "  b: {sql: 'SELECT i AS id, k AS kk, x, tk, _key AS uk, _partition AS up FROM u'}\n"
                        "sinks:\n" TOPIC_TABLE("out", "b", "mode: upsert, key: %s"),
           t, u, key);
  struct made m = make_good(text);
  size_t warnings = count_key_warnings(&m);
  snprintf(named, sizeof named, "topic `%s` is ", topic);
  for (size_t i = 0; i < m.report.count; i++)
    if (strstr(m.report.messages[i].text, "stored last")) assert_non_null(strstr(m.report.messages[i].text, named));
  done(&m);
  return warnings;
}

static void test_keys_further_up(void **state) {
  (void)state;
  assert_int_equal(warnings_above(", key: id", ", key: i", "id", ""), 0);
  assert_int_equal(warnings_above(", key: id", ", key: k", "[id, kk]", ""), 0);
  // The last topic is in order by the table's key, the first is not.
  assert_int_equal(warnings_above(", key: k", ", key: i", "id", "t"), 1);
  assert_int_equal(warnings_above("", ", key: i", "id", "t"), 1);
  assert_int_equal(warnings_above(", key: id", ", key: k", "id", "u"), 1);
  // One partition at the end does not bring back an order that was lost above it.
  assert_int_equal(warnings_above(", key: k", ", create: {partitions: 1}", "id", "t"), 1);
  assert_int_equal(warnings_above(", key: k, create: {partitions: 1}", ", key: i", "id", ""), 0);
  assert_int_equal(warnings_above(", key: k", ", key_sql: i", "id", "t"), 1);
  // What is not sure is not told: expressions, what the topic does not pass on, what is not the record's.
  assert_int_equal(warnings_above(", key: k", ", key: x", "x", ""), 0);
  assert_int_equal(warnings_above(", key: k", ", key: i, value: [k, x]", "id", ""), 0);
  assert_int_equal(warnings_above(", key: k", ", key: i, format: string, value: i", "[id, kk]", ""), 0);
  // The message's key stands for all of its columns, its partition for itself.
  assert_int_equal(warnings_above(", key: [id, k]", ", key: tk", "tk", ""), 0);
  assert_int_equal(warnings_above(", key: k", ", key: [i, k]", "uk", ""), 0);
  assert_int_equal(warnings_above(", key: k", ", key: i", "[up, kk]", ""), 0);
}

static void test_keys_of_topics_under_other_names(void **state) {
  (void)state;
  // Of two that write one topic both are looked at; a topic that this file only reads has a key that nobody knows.
  struct made m =
      make_good(KAFKA SOURCE "topics:\n  w: {from: lines, topic: x.1, key: id}\n  v: {from: lines, topic: x.2, key: k}\n"
                             "  r: {topic: '^x'}\n  s: {topic: y}\n"
                             "sinks:\n" TOPIC_TABLE("out", "r", "mode: upsert, key: k") TOPIC_TABLE("other", "s", "mode: upsert, key: k"));
  assert_int_equal(count_key_warnings(&m), 1);
  assert_true(has_message(&m, CHECK_WARNING, 10, 77, "topic `w` is partitioned by `id`"));
  done(&m);
}

static void test_keys_of_many_ways(void **state) {
  (void)state;
  // A thousand million ways up, of which each step has eight.
  struct buffer text = {0};
  buffer_text(&text, KAFKA SOURCE "topics:\n  t0: {from: lines, key: id}\n");
  for (int t = 1; t <= 10; t++) {
    buffer_print(&text, "  t%d: {key: id, from: [", t);
    for (int n = 0; n < 8; n++) buffer_print(&text, "%sa%d_%d", n ? ", " : "", t, n);
    buffer_text(&text, "]}\n");
  }
  buffer_text(&text, "transforms:\n");
  for (int t = 1; t <= 10; t++)
    for (int n = 0; n < 8; n++) buffer_print(&text, "  a%d_%d: {sql: SELECT id FROM t%d}\n", t, n, t - 1);
  buffer_text(&text, "sinks:\n" TOPIC_TABLE("out", "t10", "mode: upsert, key: id"));
  struct made m = make_good(buffer_cstring(&text));
  assert_int_equal(count_key_warnings(&m), 0);
  done(&m);
  buffer_free(&text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_chains_end_and_begin_at_topics),
      cmocka_unit_test(test_workers_are_told),
      cmocka_unit_test(test_dead_letters_are_copied),
      cmocka_unit_test(test_letters_go_where_they_can_be_retried),
      cmocka_unit_test(test_columns_go_through_topics),
      cmocka_unit_test(test_what_flows),
      cmocka_unit_test(test_one_name_at_the_brokers),
      cmocka_unit_test(test_broken),
      cmocka_unit_test(test_what_has_no_effect),
      cmocka_unit_test(test_keys),
      cmocka_unit_test(test_keys_further_up),
      cmocka_unit_test(test_keys_of_topics_under_other_names),
      cmocka_unit_test(test_keys_of_many_ways),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
