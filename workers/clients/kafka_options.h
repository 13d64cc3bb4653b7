// The `options:` of the pipeline file. See kafka_options.c. Included by workers/clients/kafka.c only.
#pragma once
#include "workers/clients/kafka_parts.h"

enum kafka_kind { KAFKA_ANY, KAFKA_CONSUMERS, KAFKA_PRODUCERS };

// Sets those that are for clients of this kind, with KAFKA_ANY all of them, as a check does. False: at least one is wrong; e is the last,
// `find` (may be NULL) was told of each.
bool kafka_options_set(rd_kafka_conf_t *conf, enum kafka_kind kind, struct job_value options, kafka_finding *find, void *context,
                       struct error *e);
