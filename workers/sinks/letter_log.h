// What died, in the log: one line for each kind of death (node, code, column, check), at most every ten seconds, with how many there were.
// It names no value and no reason text, because a reason may quote the data; `weir dlq show` has both, for who may see them.
//
// Called by the sink core after a commit, when the letters are durable. A worker that dies in between tells less than there was; the store
// has them all.
#pragma once
#include <stdint.h>

#include "workers/sinks/target.h"

enum { LETTER_LOG_KINDS = 16, LETTER_LOG_TEXT = 64, LETTER_LOG_SECONDS = 10 };

struct letter_kind {
  char node[LETTER_LOG_TEXT], code[LETTER_LOG_TEXT], column[LETTER_LOG_TEXT], constraint[LETTER_LOG_TEXT], check[LETTER_LOG_TEXT];
  char source[LETTER_LOG_TEXT], partition[LETTER_LOG_TEXT];
  uint64_t position; // of the first one that is not told yet
  uint64_t count;    // not told yet
  uint64_t told_ns;  // monotonic; 0: never
};

struct letter_log {
  char *topic; // where the letters go; NULL: into a store that `weir dlq` reads. Owned by the sink
  struct letter_kind kinds[LETTER_LOG_KINDS];
  unsigned used;
  uint64_t others; // of kinds beyond the room, not told yet
  uint64_t others_told_ns;
};

// The batch is durable. `sink` is the node's own name, for rows that died here.
void letter_log_batch(struct letter_log *log, const char *sink, const struct batch *b, const struct target_streams *streams);
// Writes the lines that are due; with `all`, whatever is left.
void letter_log_tell(struct letter_log *log, uint64_t now_ns, bool all);
