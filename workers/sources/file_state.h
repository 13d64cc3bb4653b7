// The state that the parts of the file source share: file_source.c (settings, loop), file_find.c (which files), file_bytes.c (one file's
// bytes), file_lines.c, file_values.c, file_document.c (what is in them).
//
// Position of an input: the byte offset behind it; in a JSON document the number of the record, from 1. Identity: device and inode.
// Witness: a hash of the input's last bytes, so that the same inode with other bytes is noticed before anything is read behind them.
//
// Life of one file:
//
//   READING --end reached, follow--> AT_END --it has grown--> READING
//      |                               |  \--its path names another file, and it has been quiet--> (taken to its last byte) READING the
//      |                               |                                                         new one, a new stream that replaces it
//      \--end reached, not followed----+--> DONE
//   Shrunk below what is delivered, or other bytes before the position, in any state: the source stops (ERROR_OPERATOR).
#pragma once
#include "proto/buffer.h"
#include "proto/json.h"
#include "workers/sources/source.h"

enum file_format { FILE_NDJSON, FILE_JSON, FILE_MSGPACK };
enum file_state { FILE_READING, FILE_AT_END, FILE_DONE };

struct file {
  char *path; // as found: the partition's name
  uint64_t device, inode;
  uint64_t stream; // handle
  int fd;          // -1 while closed
  bool input;      // standard input: bytes come once
  enum file_state state;
  uint64_t at;       // next byte to look at, >= the position of the stream
  uint64_t end_size; // AT_END: its size then
  unsigned quiet;    // AT_END: polls in a row at which its path named another file and nothing came
  // A line over the limit on its way: where it began and its first bytes.
  bool giant;
  uint64_t giant_from;
  struct buffer giant_head;
};

struct file_source {
  struct worker *w;
  struct source source;
  struct json_parser *json;
  enum file_format format;
  char *records;
  char *start; // "earliest", "latest" or a time
  bool follow;
  uint64_t max_record;
  int poll_ms;
  char **patterns;
  size_t pattern_count;
  struct file *files;
  size_t file_count;
  // The one read buffer: `held` bytes of the file `owner` from its offset `at` on, JSON_PADDING readable bytes behind.
  char *block;
  size_t block_room, held;
  uint64_t block_at; // standard input: offset of the first byte held
  bool block_end;    // nothing was behind these bytes when they were read
  int64_t time;      // arrival of the block
};
