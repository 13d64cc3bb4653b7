// Kafka: what its clients (kafka_consumer.h, kafka_producer.h, kafka_admin.h) have in common. Nobody else knows librdkafka.
//
// All of them are configured from the map `kafka` of a topic's settings:
//   brokers text; security "auto", "tls" or "plaintext"; tls {ca_file, certificate, key, key_password, verify "true" or "insecure"};
//   sasl {mechanism, user, password}; options: a map of librdkafka's own properties.
// With auto the line is encrypted as soon as one broker is another machine or `tls` is there; certificates are verified unless the file
// says insecure. Called by: the topic reader, the topic writer, and their checks.
//
// Errors: what may pass by itself (no broker, no leader, a coordinator that is loading, a refused login) is ERROR_OUTAGE; a producer or
// member that another one has replaced is ERROR_FENCED; a record that no broker takes is ERROR_DATA; a missing right or an unknown topic is
// ERROR_OPERATOR. The code is "kafka-N", with the number of the protocol (or of librdkafka, below zero).
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "proto/error.h"
#include "proto/job.h"

// Told once for each thing that is wrong with the map. `setting` is a path from it: "options.acks", "tls.ca_file", "brokers".
typedef void kafka_finding(void *context, const char *setting, const char *suggestion, const char *text);
// Every setting of the map against the library that is loaded. Options that weir decides by itself are refused with the setting to use.
void kafka_check(struct job_value kafka, kafka_finding *find, void *context);

// What protects the line to the brokers, for `check --connect`: "encrypted, the brokers' certificates are verified; login by PLAIN as x".
// Owned by the caller.
char *kafka_line(struct job_value kafka);
// Of the library that is loaded, for `weir version`.
const char *kafka_version(void);
