// The job: loaded from a sealed memfd, read by key with defaults, walked; damaged ones are refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/job.h"
#include "proto/msgpack.h"

static int job_file(const void *bytes, size_t length) {
  int fd = memfd_create("job", MFD_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, bytes, length), (ssize_t)length);
  return fd;
}

static size_t write_sample(uint8_t *memory, size_t room) {
  struct msgpack_writer w = {memory, memory + room, false};
  msgpack_write_map(&w, 11);
  msgpack_write_cstring(&w, "role"), msgpack_write_cstring(&w, "sinker");
  msgpack_write_cstring(&w, "lanes"), msgpack_write_int(&w, 4);
  msgpack_write_cstring(&w, "once"), msgpack_write_bool(&w, true);
  msgpack_write_cstring(&w, "set_aside"), msgpack_write_nil(&w);
  msgpack_write_cstring(&w, "rate"), msgpack_write_double(&w, 2.5);
  msgpack_write_cstring(&w, "whole"), msgpack_write_double(&w, 5.0);
  msgpack_write_cstring(&w, "huge"), msgpack_write_uint(&w, UINT64_MAX);
  msgpack_write_cstring(&w, "nodes"), msgpack_write_array(&w, 3);
  msgpack_write_cstring(&w, "a"), msgpack_write_int(&w, 7), msgpack_write_nil(&w);
  msgpack_write_cstring(&w, "headers"), msgpack_write_map(&w, 2);
  msgpack_write_cstring(&w, "X-B"), msgpack_write_cstring(&w, "1"), msgpack_write_cstring(&w, "X-A"), msgpack_write_bool(&w, false);
  msgpack_write_cstring(&w, "since"), msgpack_write_timestamp(&w, 0);
  msgpack_write_cstring(&w, "settings"), msgpack_write_map(&w, 1), msgpack_write_cstring(&w, "url"), msgpack_write_cstring(&w, "sqlite:x");
  assert_false(w.overflow);
  return (size_t)(w.at - memory);
}

static struct job_value sample_root(struct job *job) {
  uint8_t memory[512];
  struct error e = {0};
  int fd = job_file(memory, write_sample(memory, sizeof memory));
  if (!job_load(fd, job, &e)) fail_msg("%s", e.text);
  close(fd);
  return job_root(job);
}

static void check_text(char *text, const char *expected) {
  assert_non_null(text);
  assert_string_equal(text, expected);
  free(text);
}

static void reads_by_key(void **state) {
  (void)state;
  struct job job;
  struct job_value root = sample_root(&job);
  check_text(job_text(root, "role", NULL), "sinker");
  check_text(job_text(root, "lanes", NULL), "4");
  check_text(job_text(root, "once", NULL), "true");
  check_text(job_text(root, "rate", NULL), "2.5");
  check_text(job_text(root, "huge", NULL), "18446744073709551615");
  check_text(job_text(root, "since", NULL), "1970-01-01T00:00:00Z");
  check_text(job_text(root, "nothing", "default"), "default");
  check_text(job_text(root, "set_aside", "default"), "default");
  assert_null(job_text(root, "nothing", NULL));
  assert_int_equal(job_int(root, "lanes", 1), 4);
  assert_int_equal(job_int(root, "whole", 1), 5);
  assert_int_equal(job_int(root, "rate", 1), 1);
  assert_int_equal(job_int(root, "huge", 1), 1);
  assert_int_equal(job_int(root, "role", 9), 9);
  assert_int_equal(job_int(root, "nothing", -3), -3);
  assert_true(job_double(root, "rate", 0) == 2.5);
  assert_true(job_double(root, "lanes", 0) == 4.0);
  assert_true(job_double(root, "role", 1.5) == 1.5);
  assert_true(job_bool(root, "once", false));
  assert_true(job_bool(root, "nothing", true));
  assert_false(job_bool(root, "lanes", false));
  check_text(job_text(job_get(root, "settings"), "url", NULL), "sqlite:x");
  assert_false(job_has(job_get(job_get(root, "nothing"), "url")));
  assert_false(job_has(job_get(job_get(root, "role"), "url")));
  free((void *)(uintptr_t)job.at);
}

static void walks_arrays_and_maps(void **state) {
  (void)state;
  struct job job;
  struct job_value root = sample_root(&job), value;
  char *key;
  struct job_walk walk = job_walk_start(job_get(root, "nodes"));
  assert_true(job_walk_next(&walk, NULL, &value));
  check_text(job_value_text(value), "a");
  assert_true(job_walk_next(&walk, &key, &value));
  assert_null(key);
  assert_int_equal(job_value_int(value, 0), 7);
  assert_true(job_walk_next(&walk, NULL, &value));
  assert_null(job_value_text(value));
  assert_false(job_walk_next(&walk, NULL, &value));
  walk = job_walk_start(job_get(root, "headers"));
  assert_true(job_walk_next(&walk, &key, &value));
  check_text(key, "X-B");
  check_text(job_value_text(value), "1");
  assert_true(job_walk_next(&walk, &key, &value));
  check_text(key, "X-A");
  check_text(job_value_text(value), "false");
  assert_false(job_walk_next(&walk, &key, &value));
  assert_null(key);
  walk = job_walk_start(job_get(root, "nothing"));
  assert_false(job_walk_next(&walk, NULL, &value));
  walk = job_walk_start(job_get(root, "role"));
  assert_false(job_walk_next(&walk, NULL, &value));
  free((void *)(uintptr_t)job.at);
}

static void damaged_jobs_are_refused(void **state) {
  (void)state;
  uint8_t memory[512];
  size_t length = write_sample(memory, sizeof memory);
  struct job job;
  for (size_t cut = 0; cut < length; cut++) {
    struct error e = {0};
    int fd = job_file(memory, cut);
    assert_false(job_load(fd, &job, &e));
    assert_int_equal(e.class, ERROR_FAULT);
    close(fd);
  }
  static const char *const others[] = {"\x90", "\xa1x", "\x05", "\xc1"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    struct error e = {0};
    int fd = job_file(others[i], strlen(others[i]));
    assert_false(job_load(fd, &job, &e));
    close(fd);
  }
  struct error e = {0};
  assert_false(job_load(-1, &job, &e));
  assert_non_null(strstr(e.text, "weir run"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_by_key),
      cmocka_unit_test(walks_arrays_and_maps),
      cmocka_unit_test(damaged_jobs_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
