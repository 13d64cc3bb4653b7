// The configuration of Kafka's clients: what is refused and with which word, when the line is encrypted, and that no secret is told.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/json.h"
#include "workers/clients/kafka.h"
#include "workers/clients/kafka_parts.h"

// The map `kafka` as the job carries it, from JSON.
static struct job_value map_of(const char *json, struct buffer *out) {
  char text[1024] = {0};
  struct error e = {0};
  (void)snprintf(text, sizeof text - JSON_PADDING, "%s", json);
  struct json_parser *parser = json_parser_new();
  assert_true(json_to_msgpack(parser, text, strlen(text), out, &e));
  json_parser_free(parser);
  return (struct job_value){.at = out->at, .end = out->at + out->length};
}

struct heard {
  unsigned count;
  char all[4096];
};

static void hear(void *context, const char *setting, const char *suggestion, const char *text) {
  (void)suggestion;
  struct heard *h = context;
  size_t used = strlen(h->all);
  (void)snprintf(h->all + used, sizeof h->all - used, "%s: %s\n", setting, text);
  h->count++;
}

static struct heard check(const char *json) {
  struct buffer b = {0};
  struct heard h = {0};
  kafka_check(map_of(json, &b), hear, &h);
  buffer_free(&b);
  return h;
}

static void good_options_pass(void **state) {
  (void)state;
  struct heard h =
      check("{\"brokers\": \"127.0.0.1:9092\", \"options\": {\"fetch.max.bytes\": 1000000, \"linger.ms\": \"5\", \"check.crcs\": false}}");
  assert_int_equal(h.count, 0);
}

static void bad_options_are_all_told(void **state) {
  (void)state;
  struct heard h = check("{\"brokers\": \"b:9092\", \"options\": {\"fetch.max.bites\": 1, \"linger.ms\": \"soon\", \"group.id\": \"x\","
                         "\"isolation.level\": \"read_uncommitted\", \"sasl.password\": \"hunter2\", \"sasl.kerberos.keytab\": \"k\"}}");
  assert_int_equal(h.count, 6);
  assert_non_null(strstr(h.all, "options.fetch.max.bites: "));
  assert_non_null(strstr(h.all, "options.linger.ms: "));
  assert_non_null(strstr(h.all, "options.group.id: the option group.id has a setting of its own: use `group` of the topic"));
  assert_non_null(strstr(h.all, "options.isolation.level: the option isolation.level is decided by weir"));
  assert_non_null(strstr(h.all, "use kafka.sasl.password"));
  assert_null(strstr(h.all, "hunter2"));
}

// What is set behind the user's options: a value that was taken would have no effect, and nobody would know.
static void options_without_effect_are_refused(void **state) {
  (void)state;
  static const char *const fixed[] = {// every client
                                      "bootstrap.servers", "security.protocol", "enable.ssl.certificate.verification",
                                      "ssl.endpoint.identification.algorithm", "ssl.ca.location", "ssl.certificate.location",
                                      "ssl.key.location", "ssl.key.password", "sasl.mechanism", "sasl.username", "sasl.password",
                                      // the consumer
                                      "group.id", "group.instance.id", "partition.assignment.strategy", "session.timeout.ms",
                                      "heartbeat.interval.ms", "max.poll.interval.ms", "topic.blacklist", "enable.auto.commit",
                                      "enable.auto.offset.store", "auto.offset.reset", "isolation.level", "enable.partition.eof",
                                      "allow.auto.create.topics",
                                      // the producer
                                      "enable.idempotence", "acks", "message.timeout.ms", "compression.codec", "delivery.report.only.error",
                                      "batch.size", "message.max.bytes", "transactional.id", "transaction.timeout.ms"};
  char text[200], start[100];
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
    snprintf(text, sizeof text, "{\"brokers\":\"b:1\",\"options\":{\"%s\":\"5000\"}}", fixed[i]);
    snprintf(start, sizeof start, "options.%s: the option %s ", fixed[i], fixed[i]);
    struct heard h = check(text);
    assert_int_equal(h.count, 1);
    assert_ptr_equal(strstr(h.all, start), h.all);
    assert_true(strstr(h.all, " is decided by weir: ") || strstr(h.all, " has a setting of its own: use "));
  }
}

// What librdkafka refuses only when the writer's client is made, which would end a run that the check had passed.
static void options_against_idempotence_are_refused(void **state) {
  (void)state;
  static const char *const given[][2] = {{"max.in.flight", "6"},
                                         {"max.in.flight.requests.per.connection", "6"},
                                         {"retries", "0"},
                                         {"message.send.max.retries", "0"},
                                         {"queuing.strategy", "lifo"}};
  char text[200], line[300];
  for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
    snprintf(text, sizeof text, "{\"brokers\":\"b:1\",\"options\":{\"%s\":\"%s\"}}", given[i][0], given[i][1]);
    snprintf(line, sizeof line, "options.%s: the option %s is decided by weir: its writers are idempotent, ", given[i][0], given[i][0]);
    struct heard h = check(text);
    assert_int_equal(h.count, 1);
    assert_ptr_equal(strstr(h.all, line), h.all);
  }
}

static void assert_property(rd_kafka_type_t type, const char *name, bool wanted) {
  struct buffer b = {0};
  struct error e = {0};
  char value[100] = "";
  size_t room = sizeof value;
  struct job_value map = map_of("{\"brokers\": \"b:1\", \"options\": {\"linger.ms\": 77, \"fetch.wait.max.ms\": 77, "
                                "\"queue.buffering.max.kbytes\": 77, \"statistics.interval.ms\": 77}}",
                                &b);
  rd_kafka_conf_t *conf = kafka_configuration(map, type, "me", NULL, 0, &e);
  assert_non_null(conf);
  assert_int_equal(rd_kafka_conf_get(conf, name, value, &room), RD_KAFKA_CONF_OK);
  assert_true((strcmp(value, "77") == 0) == wanted);
  rd_kafka_conf_destroy(conf);
  buffer_free(&b);
}

// The library warns of what is for the other kind.
static void options_go_to_clients_of_their_kind(void **state) {
  (void)state;
  assert_property(RD_KAFKA_PRODUCER, "linger.ms", true);
  assert_property(RD_KAFKA_CONSUMER, "linger.ms", false);
  assert_property(RD_KAFKA_PRODUCER, "queue.buffering.max.kbytes", true);
  assert_property(RD_KAFKA_CONSUMER, "queue.buffering.max.kbytes", false);
  assert_property(RD_KAFKA_PRODUCER, "fetch.wait.max.ms", false);
  assert_property(RD_KAFKA_CONSUMER, "fetch.wait.max.ms", true);
  assert_property(RD_KAFKA_PRODUCER, "statistics.interval.ms", true);
  assert_property(RD_KAFKA_CONSUMER, "statistics.interval.ms", true);
}

static void login_is_checked(void **state) {
  (void)state;
  assert_int_equal(
      check("{\"brokers\": \"b:1\", \"sasl\": {\"mechanism\": \"SCRAM-SHA-512\", \"user\": \"u\", \"password\": \"p\"}}").count, 0);
  struct heard h = check("{\"brokers\": \"b:1\", \"sasl\": {\"mechanism\": \"GSSAPI\", \"user\": \"u\", \"password\": \"p\"}}");
  assert_int_equal(h.count, 1);
  assert_non_null(strstr(h.all, "sasl.mechanism: "));
}

static void brokers_are_hosts_and_ports(void **state) {
  (void)state;
  static const char *const good[] = {"a", "a:9092", "a:1, b:65535 ,c", "[::1]", "[::1]:9092", "::1", "a:9092,"};
  static const char *const bad[] = {"kafka://a:9092",    "a:99999",          "a:0", "a:", "a:x", "a:1,b:90x", ":9092", "[::1]:70000",
                                    "a:000000000009092", "me:secret@a:9092", "me@a"};
  char text[100];
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    snprintf(text, sizeof text, "{\"brokers\":\"%s\"}", good[i]);
    assert_int_equal(check(text).count, 0);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    snprintf(text, sizeof text, "{\"brokers\":\"%s\"}", bad[i]);
    struct heard h = check(text);
    assert_int_equal(h.count, 1);
    assert_ptr_equal(strstr(h.all, "brokers: a broker is host:port"), h.all);
  }
}

static void expect_line(const char *json, const char *part) {
  struct buffer b = {0};
  char *line = kafka_line(map_of(json, &b));
  assert_non_null(strstr(line, part));
  assert_null(strstr(line, "hunter2"));
  free(line);
  buffer_free(&b);
}

static void line_is_encrypted_to_other_machines(void **state) {
  (void)state;
  expect_line("{\"brokers\": \"127.0.0.1:9092,localhost:9093, [::1]:9094\"}", "it does not leave this machine");
  expect_line("{\"brokers\": \"127.0.0.1:9092,kafka.example.org:9093\"}", "encrypted, the brokers' certificates are verified");
  expect_line("{\"brokers\": \"localhost.example.org:9093\"}", "encrypted, the brokers' certificates are verified");
  expect_line("{\"brokers\": \"127.example.org:9093\"}", "encrypted, the brokers' certificates are verified");
  expect_line("{\"brokers\": \"127.0.0.1:9093\", \"tls\": {\"ca_file\": \"x\"}}", "encrypted, the brokers' certificates are verified");
  expect_line("{\"brokers\": \"127.0.0.1:9093\", \"security\": \"tls\"}", "encrypted, the brokers' certificates are verified");
  expect_line("{\"brokers\": \"b:9093\", \"security\": \"plaintext\"}", "NOT encrypted");
  expect_line("{\"brokers\": \"b:9093\", \"tls\": {\"verify\": \"insecure\"}}", "NOT verified");
  expect_line("{\"brokers\": \"b:9093\", \"sasl\": {\"mechanism\": \"PLAIN\", \"user\": \"me\", \"password\": \"hunter2\"}}",
              "login by PLAIN as me");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(good_options_pass),
      cmocka_unit_test(bad_options_are_all_told),
      cmocka_unit_test(options_without_effect_are_refused),
      cmocka_unit_test(options_against_idempotence_are_refused),
      cmocka_unit_test(options_go_to_clients_of_their_kind),
      cmocka_unit_test(login_is_checked),
      cmocka_unit_test(brokers_are_hosts_and_ports),
      cmocka_unit_test(line_is_encrypted_to_other_machines),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
