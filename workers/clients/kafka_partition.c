// Reads one partition of a small topic from its beginning to its end, by the simple consumer of the library: no group, no commits.
//
// The end is the high watermark of the first answer. Committed records alone are told up to the last stable offset, which stands still at
// an open transaction, whoever's it is: so the end of what can be read is no end as long as it lies below that watermark.
//
// A leader that was just elected may hold a watermark that is behind what its predecessor has acknowledged. It says so when it is asked for
// the end, not when it is read from: so it is asked first.
#include <inttypes.h>
#include <stdlib.h>

#include "proto/clock.h"
#include "workers/clients/kafka_admin_parts.h"

enum { SLICE_MS = 500 };

struct reading {
  struct kafka_admin *admin;
  rd_kafka_topic_t *topic;
  const char *name;
  int32_t partition;
  int64_t end; // -1: not known yet
  kafka_record_told *tell;
  void *context;
};

// The topic is there: a broker that does not know it, or this partition of it, will know it soon.
static void told(struct error *e, rd_kafka_resp_err_t code, const char *what, const char *detail) {
  kafka_error(e, code, what, detail);
  if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
      code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
    e->class = ERROR_OUTAGE;
}

// The watermark that came with the last answer of the brokers.
static void note_end(struct reading *r) {
  int64_t low, high;
  if (r->end >= 0) return;
  if (rd_kafka_get_watermark_offsets(r->admin->rk, r->name, r->partition, &low, &high) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  if (high >= 0) r->end = high;
}

enum step { STEP_ON, STEP_NOTHING, STEP_END, STEP_FAILED };

static enum step take(struct reading *r, const rd_kafka_message_t *m, struct error *e) {
  note_end(r);
  if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) return r->end >= 0 && m->offset >= r->end ? STEP_END : STEP_NOTHING;
  if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    told(e, m->err, r->name, rd_kafka_message_errstr(m));
    return STEP_FAILED;
  }
  struct kafka_record record = {.key = m->key,
                                .key_length = m->key_len,
                                .value = m->payload,
                                .value_length = m->len,
                                .offset = m->offset,
                                .time_ms = rd_kafka_message_timestamp(m, NULL)};
  r->tell(r->context, &record);
  return r->end >= 0 && m->offset + 1 >= r->end ? STEP_END : STEP_ON;
}

static bool read_all(struct reading *r, struct error *e) {
  char *what = memory_print("reading topic %s, partition %" PRId32, r->name, r->partition);
  char *open = memory_print("%s: waiting for a transaction of somebody else to end", what);
  struct kafka_admin_wait wait;
  kafka_admin_wait_begin(&wait, r->admin, what);
  enum step step = STEP_ON;
  while (step == STEP_ON || step == STEP_NOTHING) {
    rd_kafka_message_t *m = rd_kafka_consume(r->topic, r->partition, SLICE_MS);
    enum step before = step;
    step = m ? take(r, m, e) : STEP_NOTHING;
    if (m) rd_kafka_message_destroy(m);
    // The clock runs while nothing comes.
    if (step == STEP_ON) kafka_admin_wait_begin(&wait, r->admin, what);
    if (step == STEP_NOTHING && before == STEP_NOTHING && r->end >= 0) wait.what = open;
    if (step == STEP_NOTHING && !kafka_admin_wait_on(&wait, e)) step = STEP_FAILED;
  }
  free(what);
  free(open);
  return step == STEP_END;
}

// The offset of the end, as the leader says. The library's call for watermarks would do, but before 2.3.0 it does not come back when the
// leader is gone, whatever time it was given.
static rd_kafka_resp_err_t end_ask(const struct reading *r) {
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, r->name, r->partition)->offset = RD_KAFKA_OFFSET_END;
  rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(r->admin->rk, list, SLICE_MS);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) code = list->elems[0].err;
  rd_kafka_topic_partition_list_destroy(list);
  return code;
}

// Waits until the leader knows all that was acknowledged.
static bool wait_for_leader(const struct reading *r, struct error *e) {
  char *what = memory_print("asking for the end of topic %s, partition %" PRId32, r->name, r->partition);
  struct kafka_admin_wait wait;
  kafka_admin_wait_begin(&wait, r->admin, what);
  for (;;) {
    rd_kafka_resp_err_t code = end_ask(r);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) break;
    told(e, code, what, NULL);
    if (e->class != ERROR_OUTAGE) break;
    error_clear(e);
    if (!kafka_admin_wait_on(&wait, e)) break;
    rd_kafka_poll(r->admin->rk, 50);
  }
  free(what);
  return !error_is_set(e);
}

bool kafka_partition_read(struct kafka_admin *a, const char *topic, int32_t partition, kafka_record_told *tell, void *context,
                          struct error *e) {
  struct reading r = {.admin = a, .name = topic, .partition = partition, .end = -1, .tell = tell, .context = context};
  struct kafka_topic seen;
  // Whoever asks for a topic's leader before he reads is not made to wait for the library's next look at the cluster.
  if (!kafka_topic_look(a, topic, &seen, e) || !wait_for_leader(&r, e)) return false;
  r.topic = rd_kafka_topic_new(a->rk, topic, NULL);
  if (!r.topic || rd_kafka_consume_start(r.topic, partition, RD_KAFKA_OFFSET_BEGINNING) != 0) {
    told(e, rd_kafka_last_error(), topic, NULL);
    if (r.topic) rd_kafka_topic_destroy(r.topic);
    return false;
  }
  bool good = read_all(&r, e);
  rd_kafka_consume_stop(r.topic, partition);
  rd_kafka_topic_destroy(r.topic);
  return good;
}
