// What is not stored yet, seen from outside. See pending.h.
#include "workers/common/pending.h"

#include "workers/common/feedback.h"
#include "workers/common/streams.h"

uint32_t pending_streams(const struct words *source, const struct words *sink) {
  uint32_t streams = source->count / STREAM_WORDS, answered = sink->count / FEEDBACK_WORDS, pending = 0;
  for (uint32_t i = 0; i < streams; i++) {
    uint64_t issued = words_load(source, i * STREAM_WORDS + STREAM_ISSUED);
    uint64_t stored = i < answered ? words_load(sink, i * FEEDBACK_WORDS + FEEDBACK_POSITION) : 0;
    pending += issued > stored;
  }
  return pending;
}
