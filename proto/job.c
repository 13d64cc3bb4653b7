// What a worker is told at its start: the map of job.h, read by key.
//
// Called by every worker once, before its loop; so plain look-ups by name are fast enough. The supervisor wrote the map, but it is checked
// as a whole all the same: a worker that trusts its job can be crashed by whoever can pass it a descriptor.
#include "proto/job.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "proto/clock.h"
#include "proto/error.h"
#include "proto/limits.h"
#include "proto/msgpack.h"

// A job holds a pipeline's settings, so it may be somewhat longer than the longest pipeline file.
enum { JOB_MOST = 4 * LIMIT_CONFIG };

static bool read_whole(int fd, uint8_t *at, size_t size, struct error *e) {
  size_t have = 0;
  while (have < size) {
    ssize_t got = pread(fd, at + have, size - have, (off_t)have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      error_set(e, ERROR_FAULT, "job", "reading the job: %s", got < 0 ? strerror(errno) : "it is shorter than it says");
      return false;
    }
    have += (size_t)got;
  }
  return true;
}

bool job_load(int fd, struct job *job, struct error *e) {
  struct stat info;
  if (fstat(fd, &info) < 0) {
    error_set(e, ERROR_FAULT, "job", "no job on descriptor %d (%s): a worker is started by `weir run`, not by hand", fd, strerror(errno));
    return false;
  }
  if (info.st_size <= 0 || info.st_size > JOB_MOST) {
    error_set(e, ERROR_FAULT, "job", "the job on descriptor %d has %lld bytes", fd, (long long)info.st_size);
    return false;
  }
  size_t size = (size_t)info.st_size;
  uint8_t *copy = memory_get(size);
  if (!read_whole(fd, copy, size, e)) {
    free(copy);
    return false;
  }
  struct msgpack_value head;
  const uint8_t *at = copy;
  if (!msgpack_valid(copy, copy + size) || !msgpack_read(&at, copy + size, &head) || head.type != MSGPACK_MAP) {
    free(copy);
    error_set(e, ERROR_FAULT, "job", "the job on descriptor %d is not a msgpack map", fd);
    return false;
  }
  *job = (struct job){copy, copy + size};
  return true;
}

struct job_value job_root(const struct job *job) {
  return (struct job_value){job->at, job->end};
}

static bool read_value(struct job_value v, struct msgpack_value *value) {
  return v.at && msgpack_read(&v.at, v.end, value);
}

struct job_value job_get(struct job_value map, const char *key) {
  struct job_value found = {0};
  struct msgpack_value value;
  if (!map.at || !msgpack_find(map.at, map.end, key, strlen(key), &found.at, &found.end)) return (struct job_value){0};
  if (!read_value(found, &value) || value.type == MSGPACK_NIL) return (struct job_value){0};
  return found;
}

bool job_has(struct job_value v) {
  return v.at != NULL;
}

char *job_value_text(struct job_value v) {
  struct msgpack_value value;
  if (!read_value(v, &value) || value.type == MSGPACK_NIL) return NULL;
  if (value.type == MSGPACK_TEXT || value.type == MSGPACK_BYTES) return memory_text_n((const char *)value.bytes, value.length);
  if (value.type == MSGPACK_TIMESTAMP) {
    char text[CLOCK_TEXT];
    return memory_text_n(text, clock_print(value.micros, text));
  }
  struct buffer json = {0};
  if (!msgpack_to_json(&v.at, v.end, &json)) {
    buffer_free(&json);
    return NULL;
  }
  char *text = memory_text_n((const char *)json.at, json.length);
  buffer_free(&json);
  return text;
}

char *job_text(struct job_value map, const char *key, const char *otherwise) {
  char *text = job_value_text(job_get(map, key));
  if (text || !otherwise) return text;
  return memory_text(otherwise);
}

int64_t job_value_int(struct job_value v, int64_t otherwise) {
  struct msgpack_value value;
  if (!read_value(v, &value)) return otherwise;
  if (value.type == MSGPACK_INT) return value.i;
  // 2^63 and above do not fit; below, a whole double is an integer that somebody wrote as 5.0.
  bool whole = value.type == MSGPACK_DOUBLE && trunc(value.d) == value.d && fabs(value.d) < 9223372036854775808.0;
  return whole ? (int64_t)value.d : otherwise;
}

int64_t job_int(struct job_value map, const char *key, int64_t otherwise) {
  return job_value_int(job_get(map, key), otherwise);
}

double job_double(struct job_value map, const char *key, double otherwise) {
  struct msgpack_value value;
  if (!read_value(job_get(map, key), &value)) return otherwise;
  if (value.type == MSGPACK_DOUBLE) return value.d;
  if (value.type == MSGPACK_UINT) return (double)value.u;
  return value.type == MSGPACK_INT ? (double)value.i : otherwise;
}

bool job_bool(struct job_value map, const char *key, bool otherwise) {
  struct msgpack_value value;
  return read_value(job_get(map, key), &value) && value.type == MSGPACK_BOOL ? value.boolean : otherwise;
}

struct job_walk job_walk_start(struct job_value v) {
  struct msgpack_value value;
  if (!v.at || !msgpack_read(&v.at, v.end, &value)) return (struct job_walk){0};
  if (value.type != MSGPACK_ARRAY && value.type != MSGPACK_MAP) return (struct job_walk){0};
  return (struct job_walk){.at = v.at, .end = v.end, .left = value.length, .map = value.type == MSGPACK_MAP};
}

bool job_walk_next(struct job_walk *walk, char **key, struct job_value *value) {
  if (key) *key = NULL;
  if (walk->left == 0) return false;
  walk->left--;
  struct job_value name = {walk->at, walk->end};
  if (walk->map && !msgpack_skip(&walk->at, walk->end)) return false;
  value->at = walk->at;
  if (!msgpack_skip(&walk->at, walk->end)) return false;
  value->end = walk->at;
  if (walk->map && key) *key = job_value_text(name);
  return true;
}
