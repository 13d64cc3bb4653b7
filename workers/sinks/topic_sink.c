// The topic sink: the sink core with Kafka as its target.
#include "workers/sinks/topic_sink.h"

#include "workers/sinks/sink.h"

int topic_sink_run(struct worker *w) {
  return sink_run(w, &target_kafka);
}
