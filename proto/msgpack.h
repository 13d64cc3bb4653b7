// msgpack, written and read by hand on the hot path (five times cheaper than a packer library; that library is the oracle in the tests).
// Source of the encoding: the MessagePack specification (msgpack.org), including the timestamp extension (type -1).
//
// Readers never trust: every length is checked against `end`. Every spelling of a value by any encoder is read (uint8 for 5, str32 for
// "a", float32, ...); our writer uses the shortest.
// Kinds: MSGPACK_INT holds what fits int64; MSGPACK_UINT only what is above INT64_MAX. MSGPACK_TEXT is not checked for UTF-8 here.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buffer;

enum msgpack_type {
  MSGPACK_NIL,
  MSGPACK_BOOL,
  MSGPACK_INT,
  MSGPACK_UINT,
  MSGPACK_DOUBLE,
  MSGPACK_TEXT,
  MSGPACK_BYTES,
  MSGPACK_ARRAY,
  MSGPACK_MAP,
  MSGPACK_TIMESTAMP,
  MSGPACK_EXT,
};

struct msgpack_value {
  enum msgpack_type type;
  int8_t ext;      // MSGPACK_EXT: its type
  uint32_t length; // bytes of text, bytes or ext; elements of an array; pairs of a map
  union {
    bool boolean;
    int64_t i;
    uint64_t u;
    double d;
    int64_t micros;       // MSGPACK_TIMESTAMP: microseconds since 1970-01-01T00:00:00Z
    const uint8_t *bytes; // text, bytes, ext: into the source; array, map: first element
  };
};

// Reads the head of one value at *at: a scalar whole, of an array or map only the count (its elements follow at *at).
// False: truncated or not msgpack; *at unchanged.
// A container whose count exceeds the bytes that remain is truncated.
static inline bool msgpack_read(const uint8_t **at, const uint8_t *end, struct msgpack_value *value);
// Steps over one whole value, nested ones included, at most LIMIT_DEPTH deep. False: broken or too deep.
bool msgpack_skip(const uint8_t **at, const uint8_t *end);
// The same with another bound, at most MSGPACK_DEPTH_MOST: for whole documents, whose records are nested less deep than they are.
enum { MSGPACK_DEPTH_MOST = 1024 };
bool msgpack_skip_deep(const uint8_t **at, const uint8_t *end, unsigned depth);
// True: exactly one well-formed value between at and end (depth bounded, texts valid UTF-8, map keys texts).
bool msgpack_valid(const uint8_t *at, const uint8_t *end);
// In a map at `map`: the value of `key`; the last one where the key repeats. Sets *found to its first byte and *found_end behind it.
bool msgpack_find(const uint8_t *map, const uint8_t *end, const char *key, size_t key_length, const uint8_t **found,
                  const uint8_t **found_end);

// Path "a.b[0].c", compiled once, walked many times. `\` escapes the next character; "[\"x.y\"]" is a key too.
struct msgpack_path;
struct error;
struct msgpack_path *msgpack_path_new(const char *text, struct error *e);
void msgpack_path_free(struct msgpack_path *path);
// False when some step is absent (or not a container).
bool msgpack_path_find(const struct msgpack_path *path, const uint8_t *at, const uint8_t *end, const uint8_t **found,
                       const uint8_t **found_end);

// Only where the value begins, without stepping over it: for large documents whose keys are texts that do not repeat (as JSON gives them).
bool msgpack_path_start(const struct msgpack_path *path, const uint8_t *at, const uint8_t *end, const uint8_t **start);

// The steps of a path, for who walks something else by it: true: a key of *number bytes (not terminated); false: element *number.
uint32_t msgpack_path_steps(const struct msgpack_path *path);
bool msgpack_path_step(const struct msgpack_path *path, uint32_t step, const char **key, uint32_t *number);

// Writer into fixed memory: what does not fit is dropped and `overflow` is set; check it once at the end.
struct msgpack_writer {
  uint8_t *at, *end;
  bool overflow;
};
static inline void msgpack_write_nil(struct msgpack_writer *w);
static inline void msgpack_write_bool(struct msgpack_writer *w, bool value);
static inline void msgpack_write_int(struct msgpack_writer *w, int64_t value);
static inline void msgpack_write_uint(struct msgpack_writer *w, uint64_t value);
static inline void msgpack_write_double(struct msgpack_writer *w, double value);
static inline void msgpack_write_text(struct msgpack_writer *w, const char *text, uint32_t length);
static inline void msgpack_write_bytes(struct msgpack_writer *w, const void *bytes, uint32_t length);
static inline void msgpack_write_array(struct msgpack_writer *w, uint32_t count);
static inline void msgpack_write_map(struct msgpack_writer *w, uint32_t count);
static inline void msgpack_write_timestamp(struct msgpack_writer *w, int64_t micros);
static inline void msgpack_write_raw(struct msgpack_writer *w, const void *value, size_t length); // an encoded value, copied
static inline void msgpack_write_cstring(struct msgpack_writer *w, const char *text);
// A map whose count is not known at its start: reserves 5 bytes (map32) to be filled later. NULL when there is no room; closing NULL does
// nothing.
static inline uint8_t *msgpack_map_open(struct msgpack_writer *w);
static inline void msgpack_map_close(uint8_t *opened, uint32_t count);
static inline uint8_t *msgpack_array_open(struct msgpack_writer *w);
static inline void msgpack_array_close(uint8_t *opened, uint32_t count);

// The value as JSON text (NaN and infinities: null; bytes: base64 text; timestamps: ISO-8601 UTC text; uint64 as digits; control
// characters escaped). False when broken. Doubles: shortest form that reads back the same.
bool msgpack_to_json(const uint8_t **at, const uint8_t *end, struct buffer *out);

#include "proto/msgpack_inline.h" // the bodies of all that is `static inline` above
