// The topic sink: records into a topic of Kafka, exactly once.
#pragma once
#include "workers/workers.h"

int topic_sink_run(struct worker *w);
void topic_sink_check(struct check *c);
store_opener topic_store_open;
