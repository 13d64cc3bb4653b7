// Positions in a partition of a topic, looked at while nobody reads it. See workers/common/position_look.h.
//
// A broker that does not answer, or a topic that is gone, is no reason to refuse a number: whoever sets it may know better.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/clients/kafka_consumer.h"
#include "workers/sources/topic_source.h"

enum { ASK_MS = 5000 };

struct ends {
  int64_t first, last;
};

// "2", or "orders/2" of a pattern: the topic's name (owned by the caller) and the number.
static char *partition_split(const struct position_ask *ask, int32_t *number) {
  const char *slash = strrchr(ask->partition, '/');
  *number = (int32_t)strtol(slash ? slash + 1 : ask->partition, NULL, 10);
  if (slash) return memory_text_n(ask->partition, (size_t)(slash - ask->partition));
  return job_text(ask->settings, "topic", ask->source);
}

static bool ends_ask(const struct position_ask *ask, struct ends *ends, struct error *e) {
  struct kafka_consumer *c = kafka_consumer_open(job_get(ask->settings, "kafka"), "weir-positions", "weir-positions", NULL, e);
  struct kafka_partition p = {0};
  char *topic = partition_split(ask, &p.number);
  bool good = c != NULL;
  if (good) p.topic = kafka_consumer_topic(c, topic);
  good = good && kafka_consumer_offsets(c, &p, 1, KAFKA_FIRST, ASK_MS, e);
  ends->first = p.offset;
  good = good && kafka_consumer_offsets(c, &p, 1, KAFKA_END, ASK_MS, e);
  ends->last = p.offset;
  kafka_consumer_close(c);
  free(topic);
  return good;
}

bool topic_position_look(const struct position_ask *ask, struct position_answer *answer, struct error *e) {
  struct error why = {0};
  struct ends ends;
  answer->to = ask->goal == POSITION_AT ? ask->at : 0; // 0: the beginning, wherever that is
  if (!ends_ask(ask, &ends, &why)) {
    snprintf(answer->why, sizeof answer->why, "%.250s", why.text);
    if (ask->goal == POSITION_LATEST) *e = why;
    return ask->goal != POSITION_LATEST;
  }
  if (ask->goal == POSITION_LATEST) answer->to = ends.last;
  if (answer->to > ends.last || (answer->to > 0 && answer->to < ends.first)) {
    error_set(e, ERROR_OPERATOR, "position",
              "the topic has what is behind position %lld, up to %lld: %lld would be an error at the next run", (long long)ends.first,
              (long long)ends.last, (long long)answer->to);
    return false;
  }
  int64_t from = ask->from < ends.first ? ends.first : ask->from, to = answer->to < ends.first ? ends.first : answer->to;
  answer->records = to > from ? to - from : from - to;
  answer->what = "offsets of the topic";
  answer->counted = true;
  return true;
}
