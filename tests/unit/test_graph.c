// The drawing of a pipeline: every node and edge is there, and no secret.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/graph.h"
#include "supervisor/plan.h"

static const char pipeline[] = "pipeline: drawn\n"
                               "sources:\n"
                               "  lines: {type: file, path: ['in \"1\".ndjson', none-*]}\n"
                               "  web: {type: http, url: 'https://me:hunter2@api.example/x?token=abc'}\n"
                               "topics:\n"
                               "  raw: {from: [lines, web]}\n"
                               "sinks:\n"
                               "  copy: {from: raw, type: table, url: 'sqlite:out.db', table: t}\n"
                               "  pg: {from: web, type: table, url: 'postgresql://me:hunter2#@h/d?password=hunter3', table: t}\n";

static char *drawn(enum graph_format format) {
  // The pattern matches nothing in any folder that this may be run from: matches would make lanes.
  char folder[] = "/tmp/weir-test-graph-XXXXXX", path[64];
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/drawn.yaml", folder);
  int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, pipeline, strlen(pipeline)), (ssize_t)strlen(pipeline));
  close(fd);
  struct plan_report report;
  struct plan *plan = plan_make(&(struct plan_options){.file = path}, &report);
  unlink(path);
  rmdir(folder);
  for (size_t i = 0; i < report.count && !plan; i++) print_message("%d: %s\n", report.messages[i].line, report.messages[i].text);
  assert_non_null(plan);
  struct buffer out = {0};
  graph_print(plan, format, &out);
  buffer_cstring(&out);
  plan_report_free(&report);
  plan_free(plan);
  assert_null(strstr((char *)out.at, "hunter"));
  assert_null(strstr((char *)out.at, "abc"));
  return (char *)out.at;
}

static void test_text(void **state) {
  (void)state;
  char *text = drawn(GRAPH_TEXT);
  assert_string_equal(text, "drawn\n"
                            "├─ lines  file in \"1\".ndjson none-*\n"
                            "│  └─ raw  topic, records pass on\n"
                            "│     └─ copy  table t in sqlite:out.db\n"
                            "└─ web  http https://me:*******@api.example/x\n"
                            "   ├─ raw  (see above)\n"
                            "   └─ pg  table t in postgresql://me:********@h/d\n");
  free(text);
}

static void test_dot(void **state) {
  (void)state;
  char *text = drawn(GRAPH_DOT);
  assert_non_null(strstr(text, "digraph \"drawn\" {"));
  assert_non_null(strstr(text, "n0 [shape=cds, label=\"lines\\nfile in \\\"1\\\".ndjson none-*\"];"));
  assert_non_null(strstr(text, "  n0 -> n2;\n  n1 -> n2;\n  n2 -> n3;\n  n1 -> n4;\n}\n"));
  free(text);
}

static void test_mermaid(void **state) {
  (void)state;
  char *text = drawn(GRAPH_MERMAID);
  assert_true(strncmp(text, "flowchart LR\n", 13) == 0);
  assert_non_null(strstr(text, "n0([\"lines<br/>file in #34;1#34;.ndjson none-*\"])"));
  assert_non_null(strstr(text, "  n0 --> n2\n  n1 --> n2\n  n2 --> n3\n  n1 --> n4\n"));
  free(text);
}

static void test_json(void **state) {
  (void)state;
  char *text = drawn(GRAPH_JSON);
  assert_non_null(strstr(text, "\"name\":\"web\",\"section\":\"source\",\"kind\":\"http\",\"lanes\":1,\"form\":null"));
  assert_non_null(strstr(text, "\"edges\":[{\"from\":\"lines\",\"to\":\"raw\"},{\"from\":\"web\",\"to\":\"raw\"},"));
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_text),
      cmocka_unit_test(test_dot),
      cmocka_unit_test(test_mermaid),
      cmocka_unit_test(test_json),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
