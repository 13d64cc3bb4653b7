// What a worker prints (supervisor/worker_output.h): whole log lines pass, anything else gets a label, nothing is lost or mixed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "supervisor/instance.h"
#include "supervisor/lane.h"
#include "workers/workers.h"

struct fixture {
  struct instance i;
  struct lane lane;
  struct seat seat;
  struct plan_node node;
  struct plan_worker worker;
  int writer;  // the worker's end
  int printed; // stands in for standard error
  int before;  // the real one
  char text[1 << 16];
};

static int setup(void **state) {
  struct fixture *f = memory_get(sizeof *f);
  int ends[2];
  f->i.base = event_base_new();
  f->lane = (struct lane){.instance = &f->i, .seats = &f->seat, .seat_count = 1};
  f->node = (struct plan_node){.name = memory_text("cleaned"), .kind = worker_kind_find(WORKER_TRANSFORMER, "sql")};
  f->worker = (struct plan_worker){.kind = f->node.kind};
  f->seat = (struct seat){
      .lane = &f->lane, .plan = &f->worker, .node = &f->node, .name = memory_text("cleaned/0"), .pid = 4711, .spawned = 3, .output.fd = -1};
  f->printed = memfd_create("printed", MFD_CLOEXEC);
  if (!f->i.base || f->printed < 0 || pipe2(ends, O_CLOEXEC) != 0) return -1;
  if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) return -1;
  f->writer = ends[1];
  f->before = dup(STDERR_FILENO);
  worker_output_begin(&f->seat, ends[0]);
  *state = f;
  return dup2(f->printed, STDERR_FILENO) < 0 ? -1 : 0;
}

static int teardown(void **state) {
  struct fixture *f = *state;
  dup2(f->before, STDERR_FILENO);
  worker_output_end(&f->seat);
  log_format(false, LOG_LEVEL_INFO);
  event_base_free(f->i.base);
  close(f->before);
  close(f->printed);
  if (f->writer >= 0) close(f->writer);
  free(f->node.name);
  free(f->seat.name);
  free(f);
  return 0;
}

static void prints(struct fixture *f, const char *text) {
  assert_int_equal(write(f->writer, text, strlen(text)), strlen(text));
  event_base_loop(f->i.base, EVLOOP_NONBLOCK);
}

static void dies(struct fixture *f) {
  close(f->writer);
  f->writer = -1;
  worker_output_end(&f->seat);
}

static const char *shown(struct fixture *f) {
  ssize_t got = pread(f->printed, f->text, sizeof f->text - 1, 0);
  assert_true(got >= 0);
  f->text[got] = '\0';
  return f->text;
}

static size_t lines_of(const char *text) {
  size_t count = 0;
  for (; *text; text++) count += *text == '\n';
  return count;
}

static void test_log_lines_pass_as_they_are(void **state) {
  struct fixture *f = *state;
  prints(f, "ts=1 level=info msg=a\nts=2 level=info msg=b\n");
  assert_string_equal(shown(f), "ts=1 level=info msg=a\nts=2 level=info msg=b\n");
}

static void test_other_lines_are_labelled(void **state) {
  struct fixture *f = *state;
  prints(f, "free(): invalid pointer\x1b[31m\n\n");
  const char *text = shown(f);
  assert_int_equal(lines_of(text), 1);
  assert_non_null(strstr(text, "worker=cleaned/0"));
  assert_non_null(strstr(text, "pid=4711"));
  assert_non_null(strstr(text, "generation=2"));
  assert_non_null(strstr(text, "text=\"free(): invalid pointer"));
  assert_null(strchr(text, 0x1b));
}

static void test_a_line_in_pieces_is_one_line(void **state) {
  struct fixture *f = *state;
  prints(f, "ts=1 lev");
  assert_string_equal(shown(f), "");
  prints(f, "el=info");
  prints(f, " msg=a\nts=2 m");
  assert_string_equal(shown(f), "ts=1 level=info msg=a\n");
  prints(f, "sg=b\n");
  assert_string_equal(shown(f), "ts=1 level=info msg=a\nts=2 msg=b\n");
}

static void test_the_last_words_are_read_after_its_death(void **state) {
  struct fixture *f = *state;
  // Nobody has looked yet: all of it is still in the pipe, the end without its newline.
  assert_int_equal(write(f->writer, "ts=1 msg=a\nAborted", 18), 18);
  dies(f);
  const char *text = shown(f);
  assert_int_equal(lines_of(text), 2);
  assert_int_equal(strncmp(text, "ts=1 msg=a\n", 11), 0);
  assert_non_null(strstr(text, "text=Aborted"));
}

static void test_a_line_without_end_is_cut_into_pieces(void **state) {
  struct fixture *f = *state;
  char piece[1001];
  memset(piece, 'q', sizeof piece - 1);
  piece[1000] = '\0';
  for (int i = 0; i < 20; i++) prints(f, piece);
  prints(f, "end\n");
  dies(f);
  const char *text = shown(f);
  size_t found = 0;
  for (const char *at = text; *at; at++) found += *at == 'q';
  assert_true(lines_of(text) >= 5);
  for (const char *line = text; *line; line += strcspn(line, "\n") + 1) assert_true(strcspn(line, "\n") < LOG_LINE);
  assert_int_equal(found, 20000);
}

static void test_json_lines_pass_and_others_become_json(void **state) {
  struct fixture *f = *state;
  f->i.options.log_json = true;
  log_format(true, LOG_LEVEL_INFO);
  prints(f, "{\"ts\":\"1\"}\nts=1 msg=a\n");
  const char *text = shown(f);
  assert_int_equal(lines_of(text), 2);
  assert_int_equal(strncmp(text, "{\"ts\":\"1\"}\n{", 12), 0);
  assert_non_null(strstr(text, "\"text\":\"ts=1 msg=a\""));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_log_lines_pass_as_they_are, setup, teardown),
      cmocka_unit_test_setup_teardown(test_other_lines_are_labelled, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_line_in_pieces_is_one_line, setup, teardown),
      cmocka_unit_test_setup_teardown(test_the_last_words_are_read_after_its_death, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_line_without_end_is_cut_into_pieces, setup, teardown),
      cmocka_unit_test_setup_teardown(test_json_lines_pass_and_others_become_json, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
