// The configuration of every Kafka client, its log lines, and what its errors mean to weir.
//
// librdkafka writes its log from threads of its own: lines are ours, one write(2) each, and bounded in number, because a broker that is
// away is reported by every thread that misses it.
#include "workers/clients/kafka.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "proto/clock.h"
#include "proto/log.h"
#include "workers/clients/kafka_options.h"

enum { LOG_BURST = 5, LOG_SECONDS = 10, SETTING_TEXT = 512 };

// Lines shown in the present stretch of LOG_SECONDS, lines left out, and the last report. Written by all threads of the library.
static struct {
  pthread_mutex_t lock;
  uint64_t since_ns;
  unsigned shown, left_out;
  char report[ERROR_TEXT];
  bool topic_gone; // it has reported that a topic is not there
} told = {.lock = PTHREAD_MUTEX_INITIALIZER};

static enum log_level level_of(int syslog_level) {
  // Whatever a client library finds an error is an outage to weir, which waits and says so.
  if (syslog_level <= LOG_WARNING) return LOG_LEVEL_WARN;
  return syslog_level == LOG_NOTICE ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
}

// True when there is room for one more line; *left_out lines were not shown before it.
static bool may_log(unsigned *left_out) {
  uint64_t now = clock_monotonic_ns();
  pthread_mutex_lock(&told.lock);
  if (told.since_ns == 0 || now - told.since_ns > LOG_SECONDS * 1000000000ull) {
    told.since_ns = now;
    told.shown = 0;
  }
  bool may = told.shown < LOG_BURST;
  *left_out = may ? told.left_out : 0;
  if (may) {
    told.shown++;
    told.left_out = 0;
  } else
    told.left_out++;
  pthread_mutex_unlock(&told.lock);
  return may;
}

static void log_heard(const rd_kafka_t *rk, int level, const char *facility, const char *text) {
  (void)rk;
  unsigned left_out;
  if (level_of(level) != LOG_LEVEL_DEBUG && !may_log(&left_out)) return;
  if (level_of(level) == LOG_LEVEL_DEBUG) left_out = 0;
  struct log_line l;
  log_begin(&l, level_of(level), "librdkafka");
  log_text(&l, "about", facility);
  log_text(&l, "text", text);
  if (left_out > 0) log_uint(&l, "left_out", left_out);
  log_end(&l);
}

// Up to 2.6.0 the library sends its part of a SCRAM login's nonce twice (its change 4895); brokers 4.x do not take that, those before do.
static const char *scram_hint(const char *reason) {
  enum { MENDED = 0x020601ff };
  bool scram = strstr(reason, "SCRAM") != NULL;
  return scram && rd_kafka_version() < MENDED
             ? "; brokers 4.x refuse every SCRAM login of librdkafka before 2.6.1: use PLAIN over TLS there"
             : "";
}

static void error_heard(rd_kafka_t *rk, int code, const char *reason, void *context) {
  (void)rk, (void)context;
  pthread_mutex_lock(&told.lock);
  (void)snprintf(told.report, sizeof told.report, "%s (%s%s)", reason, rd_kafka_err2str((rd_kafka_resp_err_t)code), scram_hint(reason));
  told.topic_gone |= code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
                     code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
  pthread_mutex_unlock(&told.lock);
}

bool kafka_last_topic_gone(void) {
  pthread_mutex_lock(&told.lock);
  bool gone = told.topic_gone;
  told.topic_gone = false;
  pthread_mutex_unlock(&told.lock);
  return gone;
}

void kafka_last_report(char *out) {
  pthread_mutex_lock(&told.lock);
  memcpy(out, told.report, sizeof told.report);
  told.report[0] = '\0';
  pthread_mutex_unlock(&told.lock);
}

bool kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *e) {
  char text[SETTING_TEXT];
  if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK) return true;
  error_set(e, ERROR_CONFIG, "option", "%s", text);
  return false;
}

// ---- security

// The host of "host:port"; a name that only begins like one of ours is another machine.
static bool is_local(const char *broker) {
  if (broker[0] == '[') return strncmp(broker, "[::1]", 5) == 0;
  size_t length = strcspn(broker, ":");
  if (length == 9 && strncmp(broker, "localhost", 9) == 0) return true;
  return strncmp(broker, "127.", 4) == 0 && strspn(broker, "0123456789.") >= length;
}

static bool is_remote(const char *brokers) {
  char *list = memory_text(brokers), *rest = list, *one;
  bool remote = false;
  while ((one = strsep(&rest, ","))) {
    one += strspn(one, " \t");
    char *scheme = strstr(one, "://");
    if (scheme) one = scheme + 3;
    remote = remote || (one[0] != '\0' && !is_local(one));
  }
  free(list);
  return remote;
}

// What is wrong with the list of brokers, NULL: nothing. The client itself takes any text, and then waits for a machine of that name.
static const char *brokers_wrong(char *list) {
  char *rest = list, *one;
  while ((one = strsep(&rest, ","))) {
    one += strspn(one, " \t");
    if (strchr(one, '@')) return "a broker is host:port, without user and password: `sasl` says who logs in";
    if (strstr(one, "://")) return "a broker is host:port, without a scheme: `security` and `sasl` say how it is spoken to";
    const char *colon = strrchr(one, ':');
    // "[::1]" has no port, and neither has "::1".
    if (!colon || strchr(colon, ']') || (one[0] != '[' && strchr(one, ':') != colon)) continue;
    size_t digits = strspn(colon + 1, "0123456789");
    long port = digits > 0 && digits < 6 ? strtol(colon + 1, NULL, 10) : 0;
    if (colon == one) return "a broker is host:port, and here the host is missing";
    if (port < 1 || port > 65535 || colon[1 + digits + strspn(colon + 1 + digits, " \t")] != '\0')
      return "a broker is host:port, with a port from 1 to 65535";
  }
  return NULL;
}

// security: auto is encrypted unless all brokers are on this machine and no `tls` is there.
static bool is_encrypted(struct job_value kafka) {
  char *security = job_text(kafka, "security", "auto"), *brokers = job_text(kafka, "brokers", "");
  bool encrypted = is_remote(brokers) || job_has(job_get(kafka, "tls"));
  if (strcmp(security, "auto") != 0) encrypted = strcmp(security, "plaintext") != 0;
  free(security);
  free(brokers);
  return encrypted;
}

static bool is_verified(struct job_value kafka) {
  char *verify = job_text(job_get(kafka, "tls"), "verify", "true");
  bool verified = strcmp(verify, "insecure") != 0;
  free(verify);
  return verified;
}

static bool has_login(struct job_value kafka) {
  return job_has(job_get(job_get(kafka, "sasl"), "mechanism"));
}

// A setting of ours under the library's name. Its error text would show the value, which may be a secret.
static bool secret_set(rd_kafka_conf_t *conf, const char *name, struct job_value map, const char *key, struct error *e) {
  char *value = job_text(map, key, NULL);
  struct error told_too_much = {0};
  bool good = !value || value[0] == '\0' || kafka_set(conf, name, value, &told_too_much);
  if (!good) error_set(e, ERROR_CONFIG, key, "the library does not take this value of kafka's setting %s", key);
  free(value);
  return good;
}

static bool tls_set(rd_kafka_conf_t *conf, struct job_value kafka, struct error *e) {
  struct job_value tls = job_get(kafka, "tls");
  bool verify = is_verified(kafka);
  // The library does not do the second by itself: the name in the certificate must be the broker's.
  return kafka_set(conf, "enable.ssl.certificate.verification", verify ? "true" : "false", e) &&
         kafka_set(conf, "ssl.endpoint.identification.algorithm", verify ? "https" : "none", e) &&
         secret_set(conf, "ssl.ca.location", tls, "ca_file", e) && secret_set(conf, "ssl.certificate.location", tls, "certificate", e) &&
         secret_set(conf, "ssl.key.location", tls, "key", e) && secret_set(conf, "ssl.key.password", tls, "key_password", e);
}

static bool sasl_set(rd_kafka_conf_t *conf, struct job_value sasl, struct error *e) {
  static const char *const known[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};
  char *mechanism = job_text(sasl, "mechanism", "");
  bool good = false;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) good = good || strcmp(mechanism, known[i]) == 0;
  if (!good) error_set(e, ERROR_CONFIG, "mechanism", "sasl.mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, not \"%s\"", mechanism);
  good = good && kafka_set(conf, "sasl.mechanism", mechanism, e) && secret_set(conf, "sasl.username", sasl, "user", e) &&
         secret_set(conf, "sasl.password", sasl, "password", e);
  free(mechanism);
  return good;
}

static bool security_set(rd_kafka_conf_t *conf, struct job_value kafka, struct error *e) {
  bool tls = is_encrypted(kafka), sasl = has_login(kafka);
  const char *protocol = tls ? (sasl ? "sasl_ssl" : "ssl") : (sasl ? "sasl_plaintext" : "plaintext");
  return kafka_set(conf, "security.protocol", protocol, e) && (!tls || tls_set(conf, kafka, e)) &&
         (!sasl || sasl_set(conf, job_get(kafka, "sasl"), e));
}

char *kafka_line(struct job_value kafka) {
  struct job_value sasl = job_get(kafka, "sasl");
  char *mechanism = job_text(sasl, "mechanism", ""), *user = job_text(sasl, "user", ""), *brokers = job_text(kafka, "brokers", "");
  const char *line = !is_encrypted(kafka) ? (is_remote(brokers) ? "NOT encrypted: kafka.security says plaintext"
                                                                : "not encrypted: it does not leave this machine")
                     : is_verified(kafka) ? "encrypted, the brokers' certificates are verified"
                                          : "encrypted, the brokers' certificates are NOT verified";
  char *text = has_login(kafka) ? memory_print("%s; login by %s as %s", line, mechanism, user) : memory_print("%s; no login", line);
  free(mechanism);
  free(user);
  free(brokers);
  return text;
}

// ---- configurations

static const struct kafka_option general[] = {
    {"socket.nagle.disable", "true"}, // it delays each request behind the first by up to 40 ms
    {"socket.keepalive.enable", "true"},
    {"reconnect.backoff.ms", "100"},
    {"reconnect.backoff.max.ms", "5000"},
    // client
};

rd_kafka_conf_t *kafka_configuration(struct job_value kafka, rd_kafka_type_t type, const char *client, const struct kafka_option *defaults,
                                     size_t count, struct error *e) {
  enum kafka_kind kind = type == RD_KAFKA_PRODUCER ? KAFKA_PRODUCERS : KAFKA_CONSUMERS;
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  char *brokers = job_text(kafka, "brokers", "");
  bool good = kafka_set(conf, "client.id", client, e);
  for (size_t i = 0; good && i < sizeof general / sizeof *general; i++) good = kafka_set(conf, general[i].name, general[i].value, e);
  for (size_t i = 0; good && i < count; i++) good = kafka_set(conf, defaults[i].name, defaults[i].value, e);
  good = good && kafka_options_set(conf, kind, job_get(kafka, "options"), NULL, NULL, e) &&
         kafka_set(conf, "bootstrap.servers", brokers, e) && security_set(conf, kafka, e);
  free(brokers);
  if (good) {
    rd_kafka_conf_set_log_cb(conf, log_heard);
    rd_kafka_conf_set_error_cb(conf, error_heard);
    return conf;
  }
  rd_kafka_conf_destroy(conf);
  return NULL;
}

rd_kafka_t *kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct error *e) {
  char text[SETTING_TEXT];
  // A broker that closes its connection must not end the worker.
  signal(SIGPIPE, SIG_IGN);
  rd_kafka_t *made = rd_kafka_new(type, conf, text, sizeof text);
  if (made) return made;
  rd_kafka_conf_destroy(conf);
  error_set(e, ERROR_CONFIG, "kafka", "no Kafka client can be made of these settings: %s", text);
  return NULL;
}

void kafka_check(struct job_value kafka, kafka_finding *find, void *context) {
  struct error e = {0};
  char *brokers = job_text(kafka, "brokers", "");
  const char *wrong = brokers_wrong(brokers);
  if (wrong) find(context, "brokers", NULL, wrong);
  free(brokers);
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  kafka_options_set(conf, KAFKA_ANY, job_get(kafka, "options"), find, context, &e);
  struct error security = {0};
  if (!security_set(conf, kafka, &security)) {
    bool of_sasl = strcmp(security.code, "mechanism") == 0 || strcmp(security.code, "user") == 0 || strcmp(security.code, "password") == 0;
    char *setting = memory_print("%s.%s", of_sasl ? "sasl" : "tls", security.code);
    find(context, setting, NULL, security.text);
    free(setting);
  }
  rd_kafka_conf_destroy(conf);
}

// ---- errors

enum error_class kafka_error_class(rd_kafka_resp_err_t code) {
  switch ((int)code) { // the codes of a newer broker are none of the enum
  case RD_KAFKA_RESP_ERR__FENCED:
  case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
  case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
  case RD_KAFKA_RESP_ERR_TRANSACTION_COORDINATOR_FENCED:
  case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID: return ERROR_FENCED;
  case RD_KAFKA_RESP_ERR_INVALID_MSG:
  case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
  case RD_KAFKA_RESP_ERR_INVALID_RECORD:
  case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP: return ERROR_DATA;
  case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
  case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
  case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
  case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
  case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
  case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
  case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
  case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
  case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
  case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
  case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
  case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
  case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
  case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
  case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT: return ERROR_OPERATOR;
  default: return ERROR_OUTAGE;
  }
}

void kafka_error(struct error *e, rd_kafka_resp_err_t code, const char *what, const char *detail) {
  char number[ERROR_CODE];
  (void)snprintf(number, sizeof number, "kafka-%d", (int)code);
  bool more = detail && detail[0] != '\0' && strcmp(detail, rd_kafka_err2str(code)) != 0;
  error_set(e, kafka_error_class(code), number, "%s: %s%s%s", what, rd_kafka_err2str(code), more ? ": " : "", more ? detail : "");
}

const char *kafka_version(void) {
  return rd_kafka_version_str();
}
