// Reading from Kafka with librdkafka's high-level consumer, its partitions assigned by hand. See kafka_consumer.h.
//
// Rules that this file keeps because of bugs in the library (2.0.2): partitions are never paused, resumed or sought while batches are taken
// from a queue; the library stores no offsets; what comes is dropped by the caller unless its offset rises.
#include "workers/clients/kafka_consumer.h"

#include <errno.h>
#include <pthread.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "proto/log.h"
#include "workers/clients/kafka_parts.h"

enum { BATCH = 512, DEALS = 4, CLOSE_SECONDS = 3, WOKEN = 16, QUARTER = 1 << 20, MESSAGE_OVERHEAD = 64 };

struct kafka_consumer {
  rd_kafka_t *handle;
  rd_kafka_queue_t *queue;
  int wake_fd;
  char *cluster, *group; // group NULL: no member of one
  // The names by index, and the index of the topic whose record came last: mostly the next one's too.
  char **topics;
  uint32_t topic_count, last_topic;
  const rd_kafka_topic_t *last_handle;
  // What was taken: those from `at` on are still to be walked, `held` is the one in the caller's hand.
  rd_kafka_message_t *batch[BATCH], *held;
  size_t batch_count, at;
  // What the group has dealt out or taken away: the first one is in the caller's hand once it was told.
  struct kafka_dealt deals[DEALS];
  size_t deal_count;
  bool deal_told, too_many_deals;
  bool commit_failed;                       // told once until it works again
  rd_kafka_topic_partition_list_t *reading; // what is read now
  unsigned woken;                           // how many partitions were used for that so far
  size_t taken, quarter;                    // bytes since the fetchers were woken; when to wake them again
};

static const struct kafka_option defaults[] = {
    // Answers come as soon as there is one record; an idle partition is asked again ten times a second.
    {"fetch.min.bytes", "1"},
    {"fetch.wait.max.ms", "100"},
    {"fetch.error.backoff.ms", "50"},
    // A small queue, woken often (wake_fetchers), is as fast as a large one. Records are unpacked in it, and each costs some hundred bytes.
    {"queued.max.messages.kbytes", "4096"},
    {"fetch.message.max.bytes", "262144"},
    {"fetch.max.bytes", "8388608"},
    {"check.crcs", "true"},
    {"topic.metadata.refresh.interval.ms", "30000"},
};

static void commit_answered(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *offsets, void *context) {
  (void)rk, (void)offsets;
  struct kafka_consumer *c = context;
  bool failed = code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR__NO_OFFSET;
  if (failed && !c->commit_failed)
    log_say(LOG_LEVEL_WARN, "the group's offsets, which tools for lag look at, cannot be stored: %s", rd_kafka_err2str(code));
  c->commit_failed = failed;
}

static size_t quarter_of_queue(const rd_kafka_conf_t *conf) {
  char text[32] = "";
  size_t length = sizeof text;
  if (rd_kafka_conf_get(conf, "queued.max.messages.kbytes", text, &length) != RD_KAFKA_CONF_OK) return QUARTER;
  unsigned long long kib = strtoull(text, NULL, 10);
  return kib == 0 ? QUARTER : (size_t)kib << 8;
}

// Called by the library while a batch is taken. It waits for our answer, kafka_consumer_read, which need not come from in here.
static void group_dealt(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list, void *context) {
  struct kafka_consumer *c = context;
  if (c->deal_count == DEALS) {
    c->too_many_deals = true;
    return;
  }
  struct kafka_dealt *d = &c->deals[c->deal_count++];
  d->deal = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS ? KAFKA_GIVEN : rd_kafka_assignment_lost(rk) ? KAFKA_LOST : KAFKA_TAKEN;
  d->count = (size_t)list->cnt;
  d->all = memory_get((d->count + 1) * sizeof *d->all);
  for (int i = 0; i < list->cnt; i++)
    d->all[i] = (struct kafka_partition){.topic = kafka_consumer_topic(c, list->elems[i].topic), .number = list->elems[i].partition};
}

static bool member_set(rd_kafka_conf_t *conf, const char *member, struct error *e) {
  static const struct kafka_option fixed[] = {
      // Eager deals only: the library's cooperative ones lose and repeat assignments.
      {"partition.assignment.strategy", "range"},
      {"session.timeout.ms", "10000"},
      {"heartbeat.interval.ms", "3000"},
      // How long others wait in a new deal for a member whose sink does not take what it has: then its partitions go to them.
      {"max.poll.interval.ms", "45000"},
      {"topic.blacklist", "^__,^weir_positions$"}, // as is_of_brokers
  };
  bool good = kafka_set(conf, "group.instance.id", member, e);
  for (size_t i = 0; good && i < sizeof fixed / sizeof *fixed; i++) good = kafka_set(conf, fixed[i].name, fixed[i].value, e);
  rd_kafka_conf_set_rebalance_cb(conf, group_dealt);
  return good;
}

static rd_kafka_conf_t *configuration(struct kafka_consumer *c, struct job_value kafka, const char *client, const char *group,
                                      const char *member, struct error *e) {
  static const struct kafka_option fixed[] = {
      {"enable.auto.commit", "false"},       {"enable.auto.offset.store", "false"}, {"auto.offset.reset", "error"},
      {"isolation.level", "read_committed"}, {"enable.partition.eof", "true"},      {"allow.auto.create.topics", "false"},
  };
  rd_kafka_conf_t *conf = kafka_configuration(kafka, RD_KAFKA_CONSUMER, client, defaults, sizeof defaults / sizeof *defaults, e);
  if (!conf) return NULL;
  bool good = kafka_set(conf, "group.id", group, e) && (!member || member_set(conf, member, e));
  for (size_t i = 0; good && i < sizeof fixed / sizeof *fixed; i++) good = kafka_set(conf, fixed[i].name, fixed[i].value, e);
  if (!good) {
    rd_kafka_conf_destroy(conf);
    return NULL;
  }
  c->quarter = quarter_of_queue(conf);
  rd_kafka_conf_set_opaque(conf, c);
  rd_kafka_conf_set_offset_commit_cb(conf, commit_answered);
  return conf;
}

struct kafka_consumer *kafka_consumer_open(struct job_value kafka, const char *client, const char *group, const char *member,
                                           struct error *e) {
  static const uint64_t one = 1;
  struct kafka_consumer *c = memory_get(sizeof *c);
  c->group = member ? memory_text(group) : NULL;
  c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  rd_kafka_conf_t *conf = configuration(c, kafka, client, group, member, e);
  if (conf) c->handle = kafka_new(RD_KAFKA_CONSUMER, conf, e);
  if (c->wake_fd < 0) error_set(e, ERROR_ENVIRONMENT, "eventfd", "cannot make an eventfd: %s", strerror(errno));
  if (!c->handle || c->wake_fd < 0) {
    kafka_consumer_close(c);
    return NULL;
  }
  c->queue = rd_kafka_queue_get_consumer(c->handle);
  rd_kafka_queue_io_event_enable(c->queue, c->wake_fd, &one, sizeof one);
  return c;
}

static void batch_free(struct kafka_consumer *c) {
  if (c->held) rd_kafka_message_destroy(c->held);
  c->held = NULL;
  for (; c->at < c->batch_count; c->at++) rd_kafka_message_destroy(c->batch[c->at]);
  c->batch_count = c->at = 0;
}

static void deals_drop(struct kafka_consumer *c, size_t count) {
  for (size_t i = 0; i < count; i++) free(c->deals[i].all);
  c->deal_count -= count;
  memmove(c->deals, c->deals + count, c->deal_count * sizeof *c->deals);
}

// Without a goodbye to the group, which may be away for long: there is nothing in it that anybody trusts.
static void *destroy(void *handle) {
  rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
  return NULL;
}

// The library may wait for ever for a partition that was deleted.
static void handle_destroy(rd_kafka_t *handle) {
  pthread_t thread;
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += CLOSE_SECONDS;
  if (pthread_create(&thread, NULL, destroy, handle) != 0) return;
  if (pthread_timedjoin_np(thread, NULL, &end) != 0) pthread_detach(thread);
}

void kafka_consumer_close(struct kafka_consumer *c) {
  if (!c) return;
  batch_free(c);
  deals_drop(c, c->deal_count);
  if (c->queue) rd_kafka_queue_io_event_enable(c->queue, -1, NULL, 0);
  if (c->queue) rd_kafka_queue_destroy(c->queue);
  if (c->reading) rd_kafka_topic_partition_list_destroy(c->reading);
  if (c->handle) handle_destroy(c->handle);
  if (c->wake_fd >= 0) close(c->wake_fd);
  for (uint32_t i = 0; i < c->topic_count; i++) free(c->topics[i]);
  free(c->topics);
  free(c->cluster);
  free(c->group);
  free(c);
}

int kafka_consumer_wake_fd(const struct kafka_consumer *c) {
  return c->wake_fd;
}

// ---- the cluster

const char *kafka_consumer_cluster(struct kafka_consumer *c, int wait_ms, struct error *e) {
  if (c->cluster) return c->cluster;
  // The library connects when something is asked for, and the id alone is no question: it comes with any list of topics.
  const rd_kafka_metadata_t *m = NULL;
  if (rd_kafka_metadata(c->handle, 0, NULL, &m, wait_ms) == RD_KAFKA_RESP_ERR_NO_ERROR) rd_kafka_metadata_destroy(m);
  char *id = rd_kafka_clusterid(c->handle, 0);
  if (!id) {
    char report[ERROR_TEXT];
    kafka_consumer_serve(c);
    kafka_consumer_trouble(c, report);
    // Refused logins are waited out, too: the account may just be being made. But they are called by their name.
    const char *what = strstr(report, "uthentication") ? "the brokers do not take the login" : "no broker answers";
    error_set(e, ERROR_OUTAGE, "brokers", "%s%s%s", what, report[0] ? ": " : "", report);
    return NULL;
  }
  c->cluster = memory_text(id);
  rd_kafka_mem_free(c->handle, id);
  return c->cluster;
}

char *kafka_consumer_other_cluster(struct kafka_consumer *c) {
  char *id = rd_kafka_clusterid(c->handle, 0);
  if (!id) return NULL;
  char *other = c->cluster && strcmp(c->cluster, id) != 0 ? memory_text(id) : NULL;
  rd_kafka_mem_free(c->handle, id);
  return other;
}

uint32_t kafka_consumer_topic(struct kafka_consumer *c, const char *name) {
  for (uint32_t i = 0; i < c->topic_count; i++)
    if (strcmp(c->topics[i], name) == 0) return i;
  c->topics = memory_resize(c->topics, (c->topic_count + 1) * sizeof *c->topics);
  c->topics[c->topic_count] = memory_text(name);
  return c->topic_count++;
}

const char *kafka_consumer_topic_name(const struct kafka_consumer *c, uint32_t topic) {
  return c->topics[topic];
}

// What brokers and weir keep for themselves; a pattern for everything does not mean them.
static bool is_of_brokers(const char *topic) {
  return strncmp(topic, "__", 2) == 0 || strcmp(topic, "weir_positions") == 0;
}

static void found_all(const rd_kafka_metadata_t *m, const regex_t *pattern, kafka_topic_found *found, void *context) {
  for (int i = 0; i < m->topic_cnt; i++) {
    const rd_kafka_metadata_topic_t *t = &m->topics[i];
    if (t->err == RD_KAFKA_RESP_ERR_NO_ERROR && !is_of_brokers(t->topic) && regexec(pattern, t->topic, 0, NULL, 0) == 0)
      found(context, t->topic, t->partition_cnt);
  }
}

static bool found_one(const rd_kafka_metadata_t *m, const char *name, kafka_topic_found *found, void *context, struct error *e) {
  if (m->topic_cnt != 1) {
    error_set(e, ERROR_OUTAGE, "brokers", "the broker did not say anything about topic %s", name);
    return false;
  }
  const rd_kafka_metadata_topic_t *t = &m->topics[0];
  bool absent = t->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || t->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
  if (t->err != RD_KAFKA_RESP_ERR_NO_ERROR && !absent) {
    char *what = memory_print("topic %s", name);
    kafka_error(e, t->err, what, NULL);
    free(what);
    return false;
  }
  found(context, name, absent ? 0 : t->partition_cnt);
  return true;
}

bool kafka_consumer_find(struct kafka_consumer *c, const char *name, int wait_ms, kafka_topic_found *found, void *context,
                         struct error *e) {
  const rd_kafka_metadata_t *m = NULL;
  regex_t pattern;
  bool many = name[0] == '^';
  if (many && regcomp(&pattern, name, REG_EXTENDED | REG_NOSUB) != 0) {
    error_set(e, ERROR_CONFIG, "topic", "topic: \"%s\" is no extended regular expression", name);
    return false;
  }
  rd_kafka_topic_t *one = many ? NULL : rd_kafka_topic_new(c->handle, name, NULL);
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__INVALID_ARG;
  if (many || one) code = rd_kafka_metadata(c->handle, many, one, &m, wait_ms);
  bool good = code == RD_KAFKA_RESP_ERR_NO_ERROR;
  if (!good)
    kafka_error(e, code, "asking the brokers for their topics", NULL);
  else if (many)
    found_all(m, &pattern, found, context);
  else
    good = found_one(m, name, found, context, e);
  if (m) rd_kafka_metadata_destroy(m);
  if (one) rd_kafka_topic_destroy(one);
  if (many) regfree(&pattern);
  return good;
}

static rd_kafka_topic_partition_list_t *list_of(const struct kafka_consumer *c, const struct kafka_partition *all, size_t count) {
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
  for (size_t i = 0; i < count; i++)
    rd_kafka_topic_partition_list_add(list, c->topics[all[i].topic], all[i].number)->offset = all[i].offset;
  return list;
}

static bool offset_read(const struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list, struct kafka_partition *p,
                        struct error *e) {
  const rd_kafka_topic_partition_t *answer = rd_kafka_topic_partition_list_find(list, c->topics[p->topic], p->number);
  rd_kafka_resp_err_t code = answer ? answer->err : RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR && (answer->offset >= 0 || answer->offset == RD_KAFKA_OFFSET_END)) {
    p->offset = answer->offset;
    return true;
  }
  char *what = memory_print("asking for the offsets of topic %s, partition %d", c->topics[p->topic], p->number);
  kafka_error(e, code, what, NULL);
  // A partition that was there a moment ago comes back, or its topic is seen to be gone at the next look.
  e->class = ERROR_OUTAGE;
  free(what);
  return false;
}

bool kafka_consumer_offsets_since(struct kafka_consumer *c, struct kafka_partition *all, size_t count, int wait_ms, struct error *e) {
  if (count == 0) return true;
  rd_kafka_topic_partition_list_t *list = list_of(c, all, count);
  rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(c->handle, list, wait_ms);
  bool good = code == RD_KAFKA_RESP_ERR_NO_ERROR;
  if (!good) kafka_error(e, code, "asking the brokers for offsets", NULL);
  for (size_t i = 0; good && i < count; i++) good = offset_read(c, list, &all[i], e);
  rd_kafka_topic_partition_list_destroy(list);
  return good;
}

bool kafka_consumer_offsets(struct kafka_consumer *c, struct kafka_partition *all, size_t count, int64_t millis, int wait_ms,
                            struct error *e) {
  for (size_t i = 0; i < count; i++) all[i].offset = millis;
  if (!kafka_consumer_offsets_since(c, all, count, wait_ms, e)) return false;
  bool good = true;
  // No record with that time or a later one: those begin at the end.
  for (size_t i = 0; good && millis != KAFKA_END && i < count; i++)
    if (all[i].offset == RD_KAFKA_OFFSET_END) good = kafka_consumer_offsets(c, &all[i], 1, KAFKA_END, wait_ms, e);
  return good;
}

// ---- reading

bool kafka_consumer_read(struct kafka_consumer *c, const struct kafka_partition *all, size_t count, struct error *e) {
  batch_free(c);
  if (c->deal_told) deals_drop(c, 1);
  c->deal_told = false;
  rd_kafka_topic_partition_list_t *list = list_of(c, all, count);
  rd_kafka_resp_err_t code = rd_kafka_assign(c->handle, count > 0 ? list : NULL);
  if (c->reading) rd_kafka_topic_partition_list_destroy(c->reading);
  c->reading = list;
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
  kafka_error(e, code, "taking up partitions", NULL);
  return false;
}

bool kafka_consumer_join(struct kafka_consumer *c, const char *name, struct error *e) {
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, name, RD_KAFKA_PARTITION_UA);
  rd_kafka_resp_err_t code = rd_kafka_subscribe(c->handle, list);
  rd_kafka_topic_partition_list_destroy(list);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
  kafka_error(e, code, "joining the group", NULL);
  return false;
}

bool kafka_consumer_is_member(struct kafka_consumer *c) {
  return !rd_kafka_assignment_lost(c->handle);
}

const struct kafka_dealt *kafka_consumer_dealt(const struct kafka_consumer *c) {
  return &c->deals[0];
}

static uint32_t topic_of(struct kafka_consumer *c, const rd_kafka_message_t *m) {
  if (m->rkt == c->last_handle && m->rkt) return c->last_topic;
  c->last_handle = m->rkt;
  c->last_topic = m->rkt ? kafka_consumer_topic(c, rd_kafka_topic_name(m->rkt)) : 0;
  return c->last_topic;
}

static enum kafka_come event_of(struct kafka_consumer *c, const rd_kafka_message_t *m, struct error *e) {
  if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) return KAFKA_AT_END;
  char fatal[ERROR_TEXT] = "";
  rd_kafka_resp_err_t code = m->err;
  if (code == RD_KAFKA_RESP_ERR__FATAL) code = rd_kafka_fatal_error(c->handle, fatal, sizeof fatal);
  char *what = m->rkt ? memory_print("reading topic %s, partition %d", c->topics[topic_of(c, m)], m->partition)
                      : memory_print("reading from the brokers%s%s", c->group ? " as group " : "", c->group ? c->group : "");
  kafka_error(e, code, what, fatal[0] ? fatal : rd_kafka_message_errstr(m));
  free(what);
  return KAFKA_ERROR;
}

// The library's fetching threads look at the queue only when something happens on their connection. One that has found it full sleeps for a
// second, however fast the queue is emptied meanwhile. So whenever a quarter of the queue was taken they are woken by the cheapest question
// there is; nobody waits for its answer.
static void wake_fetchers(struct kafka_consumer *c) {
  const rd_kafka_topic_partition_list_t *all = c->reading;
  c->taken = 0;
  // Of many partitions a few at a time, in turns: neighbours mostly have other leaders.
  int count = all->cnt < WOKEN ? all->cnt : WOKEN;
  rd_kafka_topic_partition_list_t *some = rd_kafka_topic_partition_list_new(count);
  for (int i = 0; i < count; i++) {
    const rd_kafka_topic_partition_t *one = &all->elems[c->woken++ % (unsigned)all->cnt];
    rd_kafka_topic_partition_list_add(some, one->topic, one->partition)->offset = RD_KAFKA_OFFSET_END;
  }
  if (count > 0) rd_kafka_offsets_for_times(c->handle, some, 0);
  rd_kafka_topic_partition_list_destroy(some);
}

// What was dealt while a batch was taken is told when that batch is walked: its records came before. Nothing is taken meanwhile.
static bool batch_take(struct kafka_consumer *c) {
  c->at = c->batch_count = 0;
  if (c->deal_count > 0) return false;
  if (c->taken > c->quarter && c->reading) wake_fetchers(c);
  ssize_t came = rd_kafka_consume_batch_queue(c->queue, 0, c->batch, BATCH);
  c->batch_count = came > 0 ? (size_t)came : 0;
  return c->batch_count > 0;
}

static enum kafka_come deal_next(struct kafka_consumer *c, struct error *e) {
  if (c->too_many_deals) {
    error_set(e, ERROR_OUTAGE, "group", "the group deals faster than it can be followed");
    return KAFKA_ERROR;
  }
  c->deal_told = c->deal_count > 0;
  return c->deal_told ? KAFKA_DEALT : KAFKA_NOTHING;
}

enum kafka_come kafka_consumer_next(struct kafka_consumer *c, struct kafka_record *record, struct error *e) {
  if (c->held) rd_kafka_message_destroy(c->held);
  c->held = NULL;
  if (c->at == c->batch_count && !batch_take(c)) return deal_next(c, e);
  rd_kafka_message_t *m = c->held = c->batch[c->at++];
  *record = (struct kafka_record){.topic = topic_of(c, m), .partition = m->partition, .offset = m->offset, .whole = m};
  if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) return event_of(c, m, e);
  rd_kafka_timestamp_type_t type;
  record->millis = rd_kafka_message_timestamp(m, &type);
  record->key = m->key;
  record->key_length = (uint32_t)m->key_len;
  record->value = m->payload;
  c->taken += m->len + m->key_len + MESSAGE_OVERHEAD;
  record->value_length = (uint32_t)m->len;
  return KAFKA_RECORD;
}

bool kafka_consumer_has_more(const struct kafka_consumer *c) {
  return c->at < c->batch_count || c->deal_count > 0;
}

void kafka_consumer_serve(struct kafka_consumer *c) {
  rd_kafka_poll(c->handle, 0);
}

void kafka_consumer_trouble(struct kafka_consumer *c, char *out) {
  (void)c;
  kafka_last_report(out);
}

bool kafka_consumer_topic_gone(struct kafka_consumer *c) {
  (void)c;
  return kafka_last_topic_gone();
}

// True: the message has no headers, without asking the library, which makes five blocks of memory to find that out (2.0.2).
//
// In the record format 2 the number of headers stands right behind the value, and the library hands values out where they lie in what it
// has fetched. Older formats have no headers, so whatever byte stands there is right or asks the library; one that could lie on a page of
// its own is not looked at.
// Source: https://kafka.apache.org/documentation/#record (headers); what the library does: rd_kafka_msgset_reader_msg_v2.
static bool has_no_headers(const rd_kafka_message_t *m) {
  enum { PAGE_LEAST = 4096, VERSION_KNOWN = 0x02000000, VERSION_NOT_KNOWN = 0x03000000 };
  const uint8_t *behind = m->payload ? (const uint8_t *)m->payload + m->len : NULL;
  bool is_known = rd_kafka_version() >= VERSION_KNOWN && rd_kafka_version() < VERSION_NOT_KNOWN;
  return is_known && behind && (uintptr_t)behind % PAGE_LEAST != 0 && *behind == 0;
}

void kafka_record_headers(const struct kafka_record *record, kafka_header_found *header, void *context) {
  rd_kafka_headers_t *all;
  const char *name;
  const void *value;
  size_t length;
  if (has_no_headers(record->whole)) return;
  if (rd_kafka_message_headers(record->whole, &all) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  for (size_t i = 0; rd_kafka_header_get_all(all, i, &name, &value, &length) == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
    if (!header(context, name, value, length)) return;
}

// ---- what others see

void kafka_consumer_commit(struct kafka_consumer *c, const struct kafka_partition *all, size_t count, bool wait) {
  if (count == 0) return;
  rd_kafka_topic_partition_list_t *list = list_of(c, all, count);
  rd_kafka_resp_err_t code = rd_kafka_commit(c->handle, list, !wait);
  if (wait) commit_answered(c->handle, code, list, c);
  rd_kafka_topic_partition_list_destroy(list);
}
