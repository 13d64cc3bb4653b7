// A producer of Kafka. The contract stands in kafka_producer.h.
//
// librdkafka runs threads of its own. What they tell (a connection was lost, a message was refused) arrives in two ways: connection states
// from any thread, under a lock; refused messages only while this thread polls, flushes or commits.
#include "workers/clients/kafka_producer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/clock.h"
#include "workers/clients/kafka_parts.h"

enum {
  SLICE_MS = 1000,
  SETTLE_MS = 100,
  PATIENCE_MOST_MS = 60000,
  METADATA_MS = 30000,
  INIT_MS = 60000,
  ABORT_MS = 10000,
  FAILURES_MOST = 1 << 20,
  NUMBER_TEXT = 24
};

struct kafka_outlet {
  struct kafka_producer *producer;
  struct kafka_outlet *next;
  rd_kafka_topic_t *topic;
  int32_t partitions;
  // Messages sorted by partition, kept from call to call.
  rd_kafka_message_t *sorted;
  size_t room;
  uint32_t *place; // by partition
};

struct kafka_producer {
  rd_kafka_t *rk;
  struct kafka_producer_setup setup;
  char *transactional_id;
  struct kafka_outlet *outlets;
  uint64_t *failures; // marks
  size_t failure_count, failure_room;
  rd_kafka_resp_err_t first_failure;
  bool other_failure;  // one of them is no fault of its message
  bool in_transaction; // begun, and neither committed nor aborted
  bool broken;
  pthread_mutex_t lock;
  unsigned lost; // connections lost so far; under the lock, written by the library's threads
  unsigned lost_before;
};

// ---- what the library tells

static rd_kafka_resp_err_t state_heard(rd_kafka_t *rk, int32_t broker, const char *protocol, const char *name, int port, const char *state,
                                       void *context) {
  (void)rk, (void)broker, (void)protocol, (void)name, (void)port;
  struct kafka_producer *p = context;
  if (strcmp(state, "DOWN") != 0) return RD_KAFKA_RESP_ERR_NO_ERROR;
  pthread_mutex_lock(&p->lock);
  p->lost++;
  pthread_mutex_unlock(&p->lock);
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t made_heard(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *context, char *text, size_t room) {
  (void)conf, (void)text, (void)room;
  return rd_kafka_interceptor_add_on_broker_state_change(rk, "weir", state_heard, context);
}

static unsigned lost_connections(struct kafka_producer *p) {
  pthread_mutex_lock(&p->lock);
  unsigned lost = p->lost;
  pthread_mutex_unlock(&p->lock);
  return lost;
}

// Only failures are reported (delivery.report.only.error).
static void failure_heard(rd_kafka_t *rk, const rd_kafka_message_t *message, void *context) {
  (void)rk;
  struct kafka_producer *p = context;
  if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) return;
  // What the end of the transaction has swept away says nothing about its cause.
  bool swept = message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE || message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
  if (swept) return;
  if (p->first_failure == RD_KAFKA_RESP_ERR_NO_ERROR) p->first_failure = message->err;
  // Behind a message that was refused its successors fail too, for want of its number.
  if (kafka_error_class(message->err) != ERROR_DATA) {
    if (p->failure_count == 0) p->other_failure = true;
    return;
  }
  if (p->failure_count >= FAILURES_MOST) return;
  if (p->failure_count == p->failure_room) {
    p->failure_room = p->failure_room ? p->failure_room * 2 : 256;
    p->failures = memory_resize(p->failures, p->failure_room * sizeof *p->failures);
  }
  p->failures[p->failure_count++] = (uint64_t)(uintptr_t)message->_private;
}

const uint64_t *kafka_producer_failures(const struct kafka_producer *p, size_t *count) {
  *count = p->failure_count;
  return p->failures;
}

// ---- opening and closing

static const struct kafka_option defaults[] = {
    {"linger.ms", "5"},
    {"batch.num.messages", "100000"},
    {"queue.buffering.max.messages", "10000000"},
    {"queue.buffering.max.kbytes", "2097151"},
};

static bool configure(rd_kafka_conf_t *conf, struct kafka_producer *p, struct error *e) {
  const struct kafka_producer_setup *setup = &p->setup;
  // A message that has not arrived when the brokers give the transaction up is lost with it: it must have failed before.
  unsigned message_ms = setup->transaction_ms > 4000 ? setup->transaction_ms - 2000 : setup->transaction_ms / 2;
  char transaction[NUMBER_TEXT], message[NUMBER_TEXT], batch[NUMBER_TEXT];
  snprintf(transaction, sizeof transaction, "%u", setup->transaction_ms);
  snprintf(message, sizeof message, "%u", message_ms);
  snprintf(batch, sizeof batch, "%" PRIu32, setup->batch_bytes);
  bool good = kafka_set(conf, "enable.idempotence", "true", e) && kafka_set(conf, "acks", "all", e) &&
              kafka_set(conf, "message.timeout.ms", message, e) && kafka_set(conf, "compression.codec", setup->compression, e) &&
              kafka_set(conf, "delivery.report.only.error", "true", e) && kafka_set(conf, "batch.size", batch, e) &&
              // The caller bounds messages by what the topic takes, which is told as a reason; the library shall not refuse earlier.
              kafka_set(conf, "message.max.bytes", "1000000000", e);
  if (good && setup->transactional_id)
    good = kafka_set(conf, "transactional.id", setup->transactional_id, e) && kafka_set(conf, "transaction.timeout.ms", transaction, e);
  rd_kafka_conf_set_dr_msg_cb(conf, failure_heard);
  rd_kafka_conf_set_opaque(conf, p);
  if (good && rd_kafka_conf_interceptor_add_on_new(conf, "weir", made_heard, p) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    error_set(e, ERROR_FAULT, "kafka", "the client library takes no interceptor");
    good = false;
  }
  return good;
}

struct kafka_producer *kafka_producer_open(const struct kafka_producer_setup *setup, struct error *e) {
  rd_kafka_conf_t *conf =
      kafka_configuration(setup->kafka, RD_KAFKA_PRODUCER, setup->client, defaults, sizeof defaults / sizeof *defaults, e);
  if (!conf) return NULL;
  struct kafka_producer *p = memory_get(sizeof *p);
  p->setup = *setup;
  p->transactional_id = setup->transactional_id ? memory_text(setup->transactional_id) : NULL;
  p->setup.transactional_id = p->transactional_id;
  pthread_mutex_init(&p->lock, NULL);
  if (configure(conf, p, e))
    p->rk = kafka_new(RD_KAFKA_PRODUCER, conf, e);
  else
    rd_kafka_conf_destroy(conf);
  if (p->rk) return p;
  kafka_producer_close(p);
  return NULL;
}

void kafka_producer_close(struct kafka_producer *p) {
  if (!p) return;
  // An open transaction would hold up readers until its timeout. What is unsound is ended by the successor's init.
  struct error e = {0};
  if (p->rk && p->in_transaction && kafka_producer_is_sound(p)) kafka_producer_abort(p, &e);
  if (p->rk) rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  while (p->outlets) {
    struct kafka_outlet *o = p->outlets;
    p->outlets = o->next;
    rd_kafka_topic_destroy(o->topic);
    free(o->sorted);
    free(o->place);
    free(o);
  }
  if (p->rk) rd_kafka_destroy(p->rk);
  pthread_mutex_destroy(&p->lock);
  free(p->failures);
  free(p->transactional_id);
  free(p);
}

bool kafka_producer_is_sound(struct kafka_producer *p) {
  return !p->broken;
}

// ---- waiting

// Tells what we wait for; the library's own words when there are any.
static void tick(const struct kafka_producer *p, const char *what, uint64_t since_ns) {
  unsigned seconds = (unsigned)((clock_monotonic_ns() - since_ns) / 1000000000);
  if (p->setup.tick) p->setup.tick(p->setup.context, what, seconds);
}

static void outage(struct error *e, const char *what) {
  char report[ERROR_TEXT];
  kafka_last_report(report);
  error_set(e, ERROR_OUTAGE, "kafka-timeout", "%s: no answer in time%s%.1000s", what, report[0] ? ": " : "", report);
}

static bool is_passing(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS ||
         code == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE || code == RD_KAFKA_RESP_ERR_NOT_COORDINATOR ||
         code == RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS || code == RD_KAFKA_RESP_ERR__TRANSPORT;
}

// What a transaction is about: its id and its topics, since the brokers' own words name neither. Owned by the caller.
static char *transaction_name(const struct kafka_producer *p, const char *what) {
  struct buffer text = {0};
  buffer_print(&text, "%s as %s", what, p->transactional_id ? p->transactional_id : "");
  for (const struct kafka_outlet *o = p->outlets; o; o = o->next)
    buffer_print(&text, "%s %s", o == p->outlets ? " into" : ",", rd_kafka_topic_name(o->topic));
  char *name = memory_text(buffer_cstring(&text));
  buffer_free(&text);
  return name;
}

bool kafka_producer_init(struct kafka_producer *p, struct error *e) {
  static const char what[] = "waiting for the transaction coordinator of Kafka";
  uint64_t began = clock_monotonic_ns();
  for (;;) {
    rd_kafka_error_t *error = rd_kafka_init_transactions(p->rk, SLICE_MS);
    if (!error) break;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    bool again = rd_kafka_error_is_retriable(error) || is_passing(code);
    bool late = clock_monotonic_ns() - began > INIT_MS * 1000000ull;
    if (again && late)
      outage(e, what);
    else if (!again) {
      char *name = transaction_name(p, "cannot begin to write with transactions");
      kafka_error(e, code, name, rd_kafka_error_string(error));
      free(name);
    }
    rd_kafka_error_destroy(error);
    if (late || !again) return false;
    tick(p, what, began);
  }
  p->lost_before = lost_connections(p);
  return true;
}

// ---- transactions

static void forget_failures(struct kafka_producer *p) {
  p->failure_count = 0;
  p->first_failure = RD_KAFKA_RESP_ERR_NO_ERROR;
  p->other_failure = false;
}

// Whether messages were refused, and that is all that is wrong.
static bool is_refused(struct kafka_producer *p) {
  char fatal[ERROR_TEXT];
  return p->failure_count > 0 && !p->other_failure && rd_kafka_fatal_error(p->rk, fatal, sizeof fatal) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void refused(const struct kafka_producer *p, struct error *e) {
  kafka_error(e, p->first_failure, "the brokers have refused a message", NULL);
}

// The error of a transaction. Refused messages are its cause when there are any: the library only says that there were.
static bool transaction_failed(struct kafka_producer *p, rd_kafka_error_t *error, const char *doing, struct error *e) {
  char fatal[ERROR_TEXT], *what = transaction_name(p, doing);
  rd_kafka_resp_err_t code = rd_kafka_error_code(error), cause = rd_kafka_fatal_error(p->rk, fatal, sizeof fatal);
  rd_kafka_poll(p->rk, kafka_error_class(code) == ERROR_DATA ? SETTLE_MS : 0); // which messages were refused may still be on its way to us
  bool was_refused = is_refused(p);
  if (kafka_error_class(code) == ERROR_FENCED || kafka_error_class(cause) == ERROR_FENCED)
    error_set(e, ERROR_FENCED, "kafka-fenced", "%s: another producer has taken over %s", what, p->transactional_id);
  else if (was_refused)
    refused(p, e);
  else {
    kafka_error(e, code, what, rd_kafka_error_string(error));
    // Whatever else it is, the streams are read again and the transaction is done again: only what that cannot mend must stop.
    if (e->class == ERROR_DATA || e->class == ERROR_FENCED) e->class = ERROR_OUTAGE;
    if (p->first_failure != RD_KAFKA_RESP_ERR_NO_ERROR && kafka_error_class(p->first_failure) == ERROR_OPERATOR)
      kafka_error(e, p->first_failure, what, NULL);
  }
  if (!was_refused || rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__TIMED_OUT) p->broken = true;
  rd_kafka_error_destroy(error);
  free(what);
  return false;
}

// How long a call may wait: what takes longer is given up and done again, whatever the brokers would still allow.
static int patience_ms(const struct kafka_producer *p) {
  return p->setup.transaction_ms < PATIENCE_MOST_MS ? (int)p->setup.transaction_ms : PATIENCE_MOST_MS;
}

bool kafka_producer_begin(struct kafka_producer *p, struct error *e) {
  forget_failures(p);
  p->lost_before = lost_connections(p);
  if (!p->transactional_id) return true;
  // The last commit went well, but what it was asked for twice is still on its way once: it would end this transaction.
  if (p->broken) {
    error_set(e, ERROR_OUTAGE, "kafka-unsure", "a connection to Kafka was lost in a transaction: a new producer takes over");
    return false;
  }
  rd_kafka_error_t *error = rd_kafka_begin_transaction(p->rk);
  if (error) return transaction_failed(p, error, "cannot begin a transaction", e);
  p->in_transaction = true;
  return true;
}

// A connection that was lost meanwhile may have left a request behind.
static void look_back(struct kafka_producer *p) {
  if (lost_connections(p) != p->lost_before) p->broken = true;
}

bool kafka_producer_commit(struct kafka_producer *p, struct error *e) {
  if (!p->transactional_id) return kafka_producer_flush(p, e);
  rd_kafka_error_t *error = rd_kafka_commit_transaction(p->rk, patience_ms(p));
  look_back(p);
  if (error) return transaction_failed(p, error, "cannot commit a transaction", e);
  p->in_transaction = false;
  return true;
}

bool kafka_producer_abort(struct kafka_producer *p, struct error *e) {
  if (!p->in_transaction) return true;
  rd_kafka_error_t *error = rd_kafka_abort_transaction(p->rk, ABORT_MS);
  look_back(p);
  p->in_transaction = false;
  if (!error) return true;
  p->broken = true;
  return transaction_failed(p, error, "cannot abort a transaction", e);
}

bool kafka_producer_flush(struct kafka_producer *p, struct error *e) {
  rd_kafka_resp_err_t code = rd_kafka_flush(p->rk, patience_ms(p));
  look_back(p);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR && p->first_failure == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
  char fatal[ERROR_TEXT];
  rd_kafka_resp_err_t cause = rd_kafka_fatal_error(p->rk, fatal, sizeof fatal);
  if (cause != RD_KAFKA_RESP_ERR_NO_ERROR)
    kafka_error(e, cause, "cannot write", fatal);
  else
    kafka_error(e, p->first_failure != RD_KAFKA_RESP_ERR_NO_ERROR ? p->first_failure : code, "cannot write", NULL);
  bool was_refused = is_refused(p) && code == RD_KAFKA_RESP_ERR_NO_ERROR;
  if (!was_refused) p->broken = true;
  if (was_refused)
    refused(p, e);
  else if (e->class == ERROR_DATA)
    e->class = ERROR_OUTAGE;
  return false;
}

// ---- outlets

static bool find_partitions(struct kafka_outlet *o, const char *name, struct error *e) {
  struct kafka_producer *p = o->producer;
  char *what = memory_print("waiting for Kafka to tell of topic %s", name);
  uint64_t began = clock_monotonic_ns();
  bool late = false;
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
  while (o->partitions == 0 && !late && !error_is_set(e)) {
    const struct rd_kafka_metadata *seen;
    code = rd_kafka_metadata(p->rk, 0, o->topic, &seen, SLICE_MS);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
      if (seen->topic_cnt == 1) {
        code = seen->topics[0].err;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) o->partitions = seen->topics[0].partition_cnt;
      }
      rd_kafka_metadata_destroy(seen);
    }
    late = clock_monotonic_ns() - began > METADATA_MS * 1000000ull;
    if (o->partitions > 0) break;
    if (kafka_error_class(code) == ERROR_OPERATOR && (late || code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED))
      kafka_error(e, code, what, NULL);
    else if (late)
      outage(e, what);
    else {
      tick(p, what, began);
      rd_kafka_poll(p->rk, 50);
    }
  }
  free(what);
  return o->partitions > 0;
}

struct kafka_outlet *kafka_outlet_open(struct kafka_producer *p, const char *topic, struct error *e) {
  struct kafka_outlet *o = memory_get(sizeof *o);
  o->producer = p;
  o->topic = rd_kafka_topic_new(p->rk, topic, NULL);
  if (!o->topic) {
    kafka_error(e, rd_kafka_last_error(), topic, NULL);
    free(o);
    return NULL;
  }
  o->next = p->outlets;
  p->outlets = o;
  // Asking before the first message also spares it the second that the library would wait for what it does not know.
  if (!find_partitions(o, topic, e)) return NULL;
  o->place = memory_get(((size_t)o->partitions + 1) * sizeof *o->place);
  return o;
}

int32_t kafka_outlet_partitions(const struct kafka_outlet *o) {
  return o->partitions;
}

// Fills o->sorted: messages by partition, in their order within it. place[partition] is where those of the next one begin, after it.
static bool sort(struct kafka_outlet *o, const struct kafka_message *messages, size_t count, struct error *e) {
  if (count > o->room) {
    o->room = count;
    o->sorted = memory_resize(o->sorted, count * sizeof *o->sorted);
  }
  memset(o->place, 0, ((size_t)o->partitions + 1) * sizeof *o->place);
  for (size_t i = 0; i < count; i++) {
    if (messages[i].partition < 0 || messages[i].partition >= o->partitions) {
      error_set(e, ERROR_FAULT, "partition", "a message for partition %" PRId32 " of %" PRId32, messages[i].partition, o->partitions);
      return false;
    }
    o->place[messages[i].partition + 1]++;
  }
  for (int32_t i = 0; i < o->partitions; i++) o->place[i + 1] += o->place[i];
  for (size_t i = 0; i < count; i++) {
    const struct kafka_message *m = &messages[i];
    o->sorted[o->place[m->partition]++] = (rd_kafka_message_t){.payload = (void *)(uintptr_t)m->value,
                                                               .len = m->value_length,
                                                               .key = (void *)(uintptr_t)m->key,
                                                               .key_len = m->key_length,
                                                               ._private = (void *)(uintptr_t)m->mark};
  }
  return true;
}

// One partition's messages. A full queue is emptied by waiting; anything else is the transaction's end.
static bool send_sorted(struct kafka_outlet *o, int32_t partition, rd_kafka_message_t *messages, size_t count, struct error *e) {
  struct kafka_producer *p = o->producer;
  uint64_t began = clock_monotonic_ns();
  for (size_t done = 0; done < count;) {
    size_t some = count - done < 100000 ? count - done : 100000;
    int good = rd_kafka_produce_batch(o->topic, partition, 0, messages + done, (int)some);
    if (good == (int)some) {
      done += some;
      continue;
    }
    rd_kafka_resp_err_t code = messages[done + (size_t)good].err;
    done += (size_t)good;
    bool late = clock_monotonic_ns() - began > p->setup.transaction_ms * 1000000ull;
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && !late) {
      rd_kafka_poll(p->rk, 10);
      continue;
    }
    rd_kafka_poll(p->rk, 0); // what was refused says why the transaction takes no more
    if (is_refused(p)) {
      refused(p, e);
      return false;
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) code = RD_KAFKA_RESP_ERR__FAIL;
    char fatal[ERROR_TEXT];
    rd_kafka_resp_err_t cause = rd_kafka_fatal_error(p->rk, fatal, sizeof fatal);
    if (kafka_error_class(cause) == ERROR_FENCED)
      error_set(e, ERROR_FENCED, "kafka-fenced", "cannot write: another producer has taken over %s", p->transactional_id);
    else
      kafka_error(e, code, "cannot write", cause != RD_KAFKA_RESP_ERR_NO_ERROR ? fatal : NULL);
    if (e->class == ERROR_DATA || (e->class == ERROR_FENCED && kafka_error_class(cause) != ERROR_FENCED)) e->class = ERROR_OUTAGE;
    p->broken = true;
    return false;
  }
  return true;
}

bool kafka_outlet_send(struct kafka_outlet *o, const struct kafka_message *messages, size_t count, struct error *e) {
  if (count == 0) return true;
  if (!sort(o, messages, count, e)) return false;
  uint32_t from = 0;
  for (int32_t i = 0; i < o->partitions; i++) {
    uint32_t end = o->place[i]; // moved there while sorting
    if (end > from && !send_sorted(o, i, o->sorted + from, end - from, e)) return false;
    from = end;
  }
  return true;
}

bool kafka_outlet_send_one(struct kafka_outlet *o, const struct kafka_message *m, const struct kafka_header *headers, size_t count,
                           struct error *e) {
  rd_kafka_headers_t *list = rd_kafka_headers_new(count);
  for (size_t i = 0; i < count; i++)
    rd_kafka_header_add(list, headers[i].name, -1, headers[i].value, headers[i].value ? (ssize_t)headers[i].length : -1);
  rd_kafka_vu_t parts[] = {
      {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = o->topic},
      {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = m->partition},
      {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
      {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {.ptr = (void *)(uintptr_t)m->key, .size = m->key_length}},
      {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {.ptr = (void *)(uintptr_t)m->value, .size = m->value_length}},
      {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)m->mark},
      {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = list},
  };
  rd_kafka_error_t *error;
  uint64_t began = clock_monotonic_ns();
  while ((error = rd_kafka_produceva(o->producer->rk, parts, sizeof parts / sizeof *parts))) {
    bool late = clock_monotonic_ns() - began > o->producer->setup.transaction_ms * 1000000ull;
    if (rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR__QUEUE_FULL || late) break;
    rd_kafka_error_destroy(error);
    rd_kafka_poll(o->producer->rk, 10);
  }
  if (!error) return true;
  rd_kafka_headers_destroy(list);
  return transaction_failed(o->producer, error, "cannot write", e);
}
