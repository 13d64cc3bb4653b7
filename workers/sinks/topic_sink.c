// The topic sink: the sink core with Kafka as its target.
#include "workers/sinks/topic_sink.h"

#include <malloc.h>

#include "workers/sinks/sink.h"

// Of what is sent in one transaction the client library takes and frees a megabyte at a time: given back to the system and taken again,
// each of its pages would be cleared anew.
enum { KEEP_BYTES = 32 << 20 };

int topic_sink_run(struct worker *w) {
  mallopt(M_MMAP_THRESHOLD, KEEP_BYTES);
  mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
  return sink_run(w, &target_kafka);
}
