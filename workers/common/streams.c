// The stream table of a lane: encoding and decoding of its entries. What the table means stands in streams.h.
#include "workers/common/streams.h"

#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/job.h"
#include "proto/msgpack.h"

static size_t stream_size(const struct stream *s) {
  return 128 + strlen(s->source) + strlen(s->partition) + strlen(s->identity) + strlen(s->fingerprint);
}

int64_t stream_append(struct shared_register *r, const struct stream *s, struct error *e) {
  size_t room = stream_size(s);
  uint8_t *bytes = memory_get(room);
  struct msgpack_writer w = {.at = bytes, .end = bytes + room};
  msgpack_write_map(&w, 5);
  msgpack_write_cstring(&w, "source");
  msgpack_write_cstring(&w, s->source);
  msgpack_write_cstring(&w, "partition");
  msgpack_write_cstring(&w, s->partition);
  msgpack_write_cstring(&w, "identity");
  msgpack_write_cstring(&w, s->identity);
  msgpack_write_cstring(&w, "fingerprint");
  msgpack_write_cstring(&w, s->fingerprint);
  msgpack_write_cstring(&w, "replaces");
  msgpack_write_int(&w, s->replaces);
  int64_t handle = register_append(r, bytes, (uint32_t)(w.at - bytes));
  free(bytes);
  if (handle >= 0) return handle;
  error_set(e, ERROR_ENVIRONMENT, "streams", "the lane's stream table is full (partition \"%s\"): use more lanes", s->partition);
  return -1;
}

bool stream_get(struct shared_register *r, uint64_t handle, struct stream *s, struct error *e) {
  const uint8_t *bytes;
  uint32_t length;
  memset(s, 0, sizeof *s);
  if (register_at(r, handle, &bytes, &length) != 0 || !msgpack_valid(bytes, bytes + length)) {
    error_set(e, ERROR_FAULT, "streams", "the lane's stream table has no valid entry %llu", (unsigned long long)handle);
    return false;
  }
  struct job_value map = {.at = bytes, .end = bytes + length};
  s->source = job_text(map, "source", "");
  s->partition = job_text(map, "partition", "");
  s->identity = job_text(map, "identity", "");
  s->fingerprint = job_text(map, "fingerprint", "");
  s->replaces = job_int(map, "replaces", -1);
  return true;
}

void stream_free(struct stream *s) {
  free(s->source);
  free(s->partition);
  free(s->identity);
  free(s->fingerprint);
  memset(s, 0, sizeof *s);
}
