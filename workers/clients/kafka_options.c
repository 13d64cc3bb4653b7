// The `options:` of the pipeline file: which of librdkafka's properties a user may set, checked against the library's own list.
//
// Called by kafka.c. What weir must decide itself to keep its promises, or what has a setting of its own, is refused with a word on what to
// use instead; everything else is left to the library to judge. One map is for all clients: each gets what is meant for its kind, because
// the library warns of the rest at every start.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "workers/clients/kafka_options.h"

struct refusal {
  const char *name;    // a name that ends with "." stands for all that begin with it
  const char *instead; // the setting to use, or, in decided[], the reason and what to do
};

static const struct refusal refusals[] = {
    {"bootstrap.servers", "kafka.brokers"},
    {"metadata.broker.list", "kafka.brokers"},
    {"security.protocol", "kafka.security and kafka.sasl"},
    {"ssl.ca.location", "kafka.tls.ca_file"},
    {"ssl.ca.pem", "kafka.tls.ca_file"},
    {"ssl.certificate.location", "kafka.tls.certificate"},
    {"ssl.certificate.pem", "kafka.tls.certificate"},
    {"ssl.key.location", "kafka.tls.key"},
    {"ssl.key.pem", "kafka.tls.key"},
    {"ssl.key.password", "kafka.tls.key_password"},
    {"ssl.keystore.location", "kafka.tls.certificate and kafka.tls.key"},
    {"ssl.keystore.password", "kafka.tls.certificate and kafka.tls.key"},
    {"enable.ssl.certificate.verification", "kafka.tls.verify"},
    {"ssl.endpoint.identification.algorithm", "kafka.tls.verify"},
    {"sasl.mechanism", "kafka.sasl.mechanism"},
    {"sasl.mechanisms", "kafka.sasl.mechanism"},
    {"sasl.username", "kafka.sasl.user"},
    {"sasl.password", "kafka.sasl.password"},
    {"sasl.kerberos.", NULL},
    {"sasl.oauthbearer.", NULL},
    {"enable.sasl.oauthbearer.unsecure.jwt", NULL},
    {"group.id", "`group` of the topic"},
    {"group.instance.id", NULL},
    {"partition.assignment.strategy", "`assign` of the topic"},
    {"enable.auto.commit", NULL},
    {"auto.commit.enable", NULL},
    {"auto.commit.interval.ms", NULL},
    {"enable.auto.offset.store", NULL},
    {"auto.offset.reset", "`start` of the topic"},
    {"isolation.level", NULL},
    {"enable.partition.eof", NULL},
    {"transactional.id", NULL},
    {"transaction.timeout.ms", "`transaction_timeout` of the topic"},
    {"enable.idempotence", "`delivery` of the topic"},
    {"enable.gapless.guarantee", NULL},
    {"acks", "`delivery` of the topic"},
    {"request.required.acks", "`delivery` of the topic"},
    {"message.timeout.ms", "`transaction_timeout` of the topic"},
    {"delivery.timeout.ms", "`transaction_timeout` of the topic"},
    {"compression.codec", "`compression` of the topic"},
    {"compression.type", "`compression` of the topic"},
    {"partitioner", NULL},
    {"delivery.report.only.error", NULL},
    {"allow.auto.create.topics", "`create` of the topic"},
    {"plugin.library.paths", NULL},
    {"test.mock.num.brokers", NULL},
    {"offset.store.", NULL},
    {"internal.", NULL},
};

#define MEMBERS "a successor counts on it that the group gives a silent instance up after 10 s and a stuck one after 45 s; leave it out"

#define IDEMPOTENT "its writers are idempotent, so the library settles the order and the repeats of what it sends; leave it out"

// What weir decides for other reasons than exactly once: a value of the user's would have no effect, or would be refused when the client is
// made.
static const struct refusal decided[] = {
    {"session.timeout.ms", MEMBERS},
    {"heartbeat.interval.ms", MEMBERS},
    {"max.poll.interval.ms", MEMBERS},
    {"group.protocol", "its group deals out all partitions at once, as only the classic protocol does; leave it out"},
    {"max.in.flight", IDEMPOTENT},
    {"max.in.flight.requests.per.connection", IDEMPOTENT},
    {"retries", IDEMPOTENT},
    {"message.send.max.retries", IDEMPOTENT},
    {"queuing.strategy", IDEMPOTENT},
    {"topic.blacklist", "it leaves out the brokers' own topics and weir_positions; what else is read says `topic` of the topic"},
    {"batch.size", "a batch is as large as the topics take; use linger.ms or batch.num.messages, or max.message.bytes of the topic"},
    {"message.max.bytes",
     "a message may be as large as its topic takes; use max.message.bytes of the topic, or fetch.max.bytes for reading"},
};

static bool names(const struct refusal *r, const char *option) {
  size_t length = strlen(r->name);
  if (r->name[length - 1] == '.') return strncmp(option, r->name, length) == 0;
  return strcmp(option, r->name) == 0;
}

static bool is_refused(const char *option, struct error *e) {
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    if (!names(&refusals[i], option)) continue;
    if (refusals[i].instead)
      error_set(e, ERROR_CONFIG, "option", "the option %s has a setting of its own: use %s", option, refusals[i].instead);
    else
      error_set(e, ERROR_CONFIG, "option", "the option %s is decided by weir: exactly once would not hold with another value", option);
    return true;
  }
  for (size_t i = 0; i < sizeof decided / sizeof *decided; i++) {
    if (!names(&decided[i], option)) continue;
    error_set(e, ERROR_CONFIG, "option", "the option %s is decided by weir: %s", option, decided[i].instead);
    return true;
  }
  return false;
}

// ---- consumers and producers

// The library's own list, one property a line: "linger.ms    |  P  | 0 .. 900000 | ...". NULL: it cannot be had. Owned by the caller.
static char *property_list(void) {
  char *list = NULL;
  size_t length = 0;
  FILE *out = open_memstream(&list, &length);
  if (!out) return NULL;
  rd_kafka_conf_properties_show(out);
  if (fclose(out) == 0) return list;
  free(list);
  return NULL;
}

// 'C': for consumers, 'P': for producers, anything else: for both, or not listed.
static char kind_of(const char *list, const char *name) {
  size_t length = strlen(name);
  for (const char *line = list; line; line = strchr(line, '\n')) {
    line += *line == '\n';
    if (strncmp(line, name, length) != 0) continue;
    const char *bar = line + length + strspn(line + length, " ");
    if (*bar == '|') return bar[1 + strspn(bar + 1, " ")];
  }
  return '\0';
}

static bool is_for(enum kafka_kind kind, const char *list, const char *name) {
  if (kind == KAFKA_ANY) return true;
  return kind_of(list, name) != (kind == KAFKA_CONSUMERS ? 'P' : 'C');
}

// ---- setting them

// One option into conf. The library's text names the property and what it may be; a value is in it only where the property is no secret,
// and those that are secrets were refused before.
static bool option_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *e) {
  if (is_refused(name, e)) return false;
  return kafka_set(conf, name, value, e);
}

bool kafka_options_set(rd_kafka_conf_t *conf, enum kafka_kind kind, struct job_value options, kafka_finding *find, void *context,
                       struct error *e) {
  char *list = kind != KAFKA_ANY && job_has(options) ? property_list() : NULL;
  struct job_walk walk = job_walk_start(options);
  struct job_value value;
  char *name;
  bool good = true;
  while (walk.map && job_walk_next(&walk, &name, &value)) {
    char *text = job_value_text(value);
    struct error found = {0};
    if (!text)
      error_set(&found, ERROR_CONFIG, "option", "the option %s has no value", name);
    else if (is_for(kind, list, name) && !option_set(conf, name, text, &found))
      good = false;
    if (error_is_set(&found)) {
      good = false;
      char *setting = memory_print("options.%s", name);
      if (find) find(context, setting, NULL, found.text);
      free(setting);
      *e = found;
    }
    free(text);
    free(name);
  }
  free(list);
  return good;
}
