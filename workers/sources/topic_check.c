// What `weir check` asks of a topic that is read: settings, and with --connect brokers, topic, and what protects the line.
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "workers/sources/topic_body.h"
#include "workers/sources/topic_source.h"

enum { CONNECT_MS = 5000 };

static void kafka_found(void *context, const char *setting, const char *suggestion, const char *text) {
  struct check *c = context;
  char *whole = memory_print("kafka.%s", setting);
  check_find(c, CHECK_ERROR, whole, -1, suggestion, "%s", text);
  free(whole);
}

static void topic_check(struct check *c, const char *topic) {
  regex_t pattern;
  if (topic[0] != '^') return;
  if (regcomp(&pattern, topic, REG_EXTENDED | REG_NOSUB) != 0)
    check_find(c, CHECK_ERROR, "topic", -1, NULL, "\"%s\" is no extended regular expression", topic);
  else
    regfree(&pattern);
}

struct found {
  struct check *c;
  unsigned topics;
};

static void topic_found(void *context, const char *name, int32_t partitions) {
  struct found *f = context;
  f->topics += partitions > 0;
  if (partitions > 0) check_find(f->c, CHECK_NOTE, "topic", -1, NULL, "topic %s has %d partitions", name, partitions);
}

static void connect_check(struct check *c, const char *topic) {
  struct job_value kafka = job_get(c->settings, "kafka");
  struct error e = {0};
  char *line = kafka_line(kafka);
  struct kafka_consumer *consumer = kafka_consumer_open(kafka, "weir-check", "weir-check", NULL, &e);
  struct found f = {.c = c};
  bool good = consumer && kafka_consumer_cluster(consumer, CONNECT_MS, &e), answers = good;
  if (good) check_find(c, CHECK_NOTE, "topic", -1, NULL, "cluster %s answers; %s", kafka_consumer_cluster(consumer, 0, &e), line);
  good = good && kafka_consumer_find(consumer, topic, CONNECT_MS, topic_found, &f, &e);
  bool made = job_has(job_get(c->settings, "from"));
  if (!good)
    check_find(c, CHECK_ERROR, answers ? "topic" : "kafka.brokers", -1, NULL, "%s", e.text);
  else if (f.topics == 0 && !made)
    check_find(c, CHECK_WARNING, "topic", -1, NULL, "topic %s is not there: a run waits for it, one with --once stops", topic);
  kafka_consumer_close(consumer);
  free(line);
}

void topic_source_check(struct check *c) {
  struct topic_body body;
  struct error e = {0};
  size_t before = c->finding_count;
  char *topic = job_text(c->settings, "topic", c->node), *start = job_text(c->settings, "start", "earliest");
  int64_t micros;
  kafka_check(job_get(c->settings, "kafka"), kafka_found, c);
  topic_check(c, topic);
  if (strcmp(start, "earliest") != 0 && strcmp(start, "latest") != 0 && !clock_parse(start, strlen(start), &micros))
    check_find(c, CHECK_ERROR, "start", -1, NULL, "start is earliest, latest or a time, not \"%s\"", start);
  if (!topic_body_open(&body, c->settings, &e)) check_find(c, CHECK_ERROR, e.code, -1, NULL, "%s", e.text);
  topic_body_close(&body);
  if (c->connect && c->finding_count == before) connect_check(c, topic);
  free(topic);
  free(start);
}
