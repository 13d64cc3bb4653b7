// The control line and the asking, against a real unix socket served by a thread.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "proto/control.h"
#include "proto/error.h"

static void lines_are_understood(void **state) {
  (void)state;
  static const struct {
    const char *line;
    enum control_verb verb;
  } cases[] = {
      {"{\"verb\":\"status\"}", CONTROL_STATUS},
      {"{\"verb\":\"stop\"}\n", CONTROL_STOP},
      {" { \"x\": 1, \"verb\" : \"reload\" } ", CONTROL_RELOAD},
      {"{\"verb\":\"stop\",\"verb\":\"status\"}", CONTROL_STATUS},
      {"{\"verb\":\"sta\\u0074us\"}", CONTROL_STATUS},
      {"{\"verb\":\"Status\"}", CONTROL_UNKNOWN},
      {"{\"verb\":\"statu\"}", CONTROL_UNKNOWN},
      {"{\"verb\":1}", CONTROL_UNKNOWN},
      {"{\"verb\":null}", CONTROL_UNKNOWN},
      {"{}", CONTROL_UNKNOWN},
      {"[\"status\"]", CONTROL_UNKNOWN},
      {"status", CONTROL_UNKNOWN},
      {"", CONTROL_UNKNOWN},
      {"{\"verb\":\"status\"", CONTROL_UNKNOWN},
      {"\xff\xfe", CONTROL_UNKNOWN},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(control_parse(cases[i].line, strlen(cases[i].line)), cases[i].verb);
  char large[CONTROL_REQUEST_MAX + 100];
  memset(large, ' ', sizeof large);
  memcpy(large, "{\"verb\":\"status\"}", 17);
  assert_int_equal(control_parse(large, CONTROL_REQUEST_MAX), CONTROL_STATUS);
  assert_int_equal(control_parse(large, sizeof large), CONTROL_UNKNOWN);
}

static void printed_lines_parse(void **state) {
  (void)state;
  for (enum control_verb verb = CONTROL_STATUS; verb <= CONTROL_RELOAD; verb++) {
    char line[CONTROL_REQUEST_MAX];
    control_print(verb, line);
    assert_int_equal(line[strlen(line) - 1], '\n');
    assert_int_equal(control_parse(line, strlen(line)), verb);
  }
}

// A listener that takes one connection, reads the line and answers `answer` of `length` bytes.
struct listener {
  char folder[256], path[512];
  int fd;
  const char *answer;
  size_t length;
  enum control_verb asked;
  pthread_t thread;
};

static void *serve(void *argument) {
  struct listener *l = argument;
  int fd = accept(l->fd, NULL, NULL);
  char line[CONTROL_REQUEST_MAX];
  size_t have = 0;
  ssize_t got;
  while (have < sizeof line && (got = read(fd, line + have, sizeof line - have)) > 0) {
    have += (size_t)got;
    if (memchr(line, '\n', have)) break;
  }
  l->asked = control_parse(line, have);
  for (size_t sent = 0; sent < l->length;) {
    ssize_t n = send(fd, l->answer + sent, l->length - sent, MSG_NOSIGNAL);
    if (n <= 0) break;
    sent += (size_t)n;
  }
  close(fd);
  return NULL;
}

// Binds `name` in a new folder; a longer path than a socket address holds is reached from within its folder.
static void listen_at(struct listener *l, const char *name) {
  strcpy(l->folder, "/tmp/weir-control-XXXXXX");
  assert_non_null(mkdtemp(l->folder));
  snprintf(l->path, sizeof l->path, "%s/%s", l->folder, name);
  char *slash = strrchr(l->path, '/');
  *slash = '\0';
  if (strcmp(l->path, l->folder) != 0) assert_int_equal(mkdir(l->path, 0700), 0);
  int here = open(".", O_RDONLY | O_CLOEXEC);
  assert_int_equal(chdir(l->path), 0);
  *slash = '/';
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, slash + 1);
  l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(l->fd, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(listen(l->fd, 1), 0);
  assert_int_equal(fchdir(here), 0);
  close(here);
}

static void take_away(struct listener *l) {
  close(l->fd);
  unlink(l->path);
  *strrchr(l->path, '/') = '\0';
  if (strcmp(l->path, l->folder) != 0) rmdir(l->path);
  rmdir(l->folder);
}

static bool ask(struct listener *l, enum control_verb verb, const char *answer, size_t length, struct buffer *out, struct error *e) {
  l->answer = answer;
  l->length = length;
  assert_int_equal(pthread_create(&l->thread, NULL, serve, l), 0);
  bool answered = control_ask(l->path, verb, out, e);
  pthread_join(l->thread, NULL);
  assert_int_equal(l->asked, verb);
  return answered;
}

static void asks_and_reads_to_the_end(void **state) {
  (void)state;
  struct listener l;
  struct buffer out = {0};
  struct error e = {0};
  size_t length = 3 << 20;
  char *large = memory_get(length);
  memset(large, 'j', length);
  listen_at(&l, "control");
  assert_true(ask(&l, CONTROL_STATUS, "{\"state\":\"running\"}", 19, &out, &e));
  assert_memory_equal(out.at, "{\"state\":\"running\"}", 19);
  buffer_clear(&out);
  assert_true(ask(&l, CONTROL_RELOAD, large, length, &out, &e));
  assert_int_equal(out.length, length);
  assert_memory_equal(out.at, large, length);
  take_away(&l);
  buffer_free(&out);
  free(large);
}

static void too_large_and_empty_answers_are_errors(void **state) {
  (void)state;
  struct listener l;
  struct buffer out = {0};
  struct error e = {0};
  size_t length = (16 << 20) + 1;
  char *large = memory_get(length);
  listen_at(&l, "control");
  assert_false(ask(&l, CONTROL_STOP, large, length, &out, &e));
  assert_int_equal(e.class, ERROR_ENVIRONMENT);
  assert_string_equal(e.code, "too-large");
  error_clear(&e);
  assert_false(ask(&l, CONTROL_STOP, "", 0, &out, &e));
  assert_int_equal(e.class, ERROR_ENVIRONMENT);
  take_away(&l);
  buffer_free(&out);
  free(large);
}

static void long_paths_work(void **state) {
  (void)state;
  struct listener l;
  struct buffer out = {0};
  struct error e = {0};
  char name[200];
  memset(name, 'd', 150);
  strcpy(name + 150, "/control");
  listen_at(&l, name);
  assert_true(strlen(l.path) > sizeof((struct sockaddr_un *)0)->sun_path);
  if (!ask(&l, CONTROL_STATUS, "{}", 2, &out, &e)) fail_msg("%s", e.text);
  take_away(&l);
  buffer_free(&out);
}

static void nobody_there_is_said(void **state) {
  (void)state;
  struct listener l;
  struct buffer out = {0};
  struct error e = {0};
  listen_at(&l, "control");
  close(l.fd);
  assert_false(control_ask(l.path, CONTROL_STATUS, &out, &e));
  assert_string_equal(e.code, "not-running");
  l.fd = -1;
  char path[512];
  memcpy(path, l.path, sizeof path);
  take_away(&l);
  assert_false(control_ask(path, CONTROL_STATUS, &out, &e));
  assert_int_equal(e.class, ERROR_ENVIRONMENT);
  assert_string_equal(e.code, "not-running");
  assert_int_equal(out.length, 0);
  buffer_free(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lines_are_understood),      cmocka_unit_test(printed_lines_parse),
      cmocka_unit_test(asks_and_reads_to_the_end), cmocka_unit_test(too_large_and_empty_answers_are_errors),
      cmocka_unit_test(long_paths_work),           cmocka_unit_test(nobody_there_is_said),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
