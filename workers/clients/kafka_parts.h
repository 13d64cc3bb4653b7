// What the parts of the Kafka client share: configurations, and what an error of librdkafka means. Included by workers/clients/kafka*.c
// and their unit test only.
#pragma once
#include <librdkafka/rdkafka.h>

#include "workers/clients/kafka.h"

struct kafka_option {
  const char *name, *value;
};

// A configuration: weir's general defaults, then `defaults` of the client, then what the file says under `options` for clients
// of this type, then brokers and security. What must not be overridden the caller sets behind this, with kafka_set. `client` becomes
// client.id. NULL: e, ERROR_CONFIG.
rd_kafka_conf_t *kafka_configuration(struct job_value kafka, rd_kafka_type_t type, const char *client, const struct kafka_option *defaults,
                                     size_t count, struct error *e);
bool kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *e);
// Makes the handle and takes over conf, also on failure. NULL: e. Only ever after fork: this starts threads.
rd_kafka_t *kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct error *e);

// "WHAT: text of the error", with class and code as in kafka.h. `detail` (may be NULL) is what the library says beyond the code.
void kafka_error(struct error *e, rd_kafka_resp_err_t code, const char *what, const char *detail);
enum error_class kafka_error_class(rd_kafka_resp_err_t code);
// The last thing that the library reported by itself ("no broker answers", "login refused"), for what a waiting worker shows. `out` holds
// ERROR_TEXT bytes; "" when there was nothing since the last call. Reports arrive while the handle is polled.
void kafka_last_report(char *out);
// Whether it has reported since the last call that a topic is not there.
bool kafka_last_topic_gone(void);
