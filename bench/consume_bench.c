// The limit of reading: librdkafka takes the records of a topic and counts them, nothing else. Called by kafka.py.
//
//   consume_bench BROKERS TOPIC COUNT      every partition from its beginning; prints records/s from the first record on, and CPU seconds
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { BATCH = 10000, SILENCE_MS = 30000 };

static void die(const char *what) {
  fprintf(stderr, "consume_bench: %s\n", what);
  exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
  char why[512];
  if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) die(why);
}

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void assign_all(rd_kafka_t *rk, const char *topic) {
  rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
  const struct rd_kafka_metadata *metadata;
  if (rd_kafka_metadata(rk, 0, handle, &metadata, 10000) || metadata->topic_cnt != 1) die("no metadata");
  rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(metadata->topics[0].partition_cnt);
  for (int i = 0; i < metadata->topics[0].partition_cnt; i++)
    rd_kafka_topic_partition_list_add(all, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
  rd_kafka_assign(rk, all);
  rd_kafka_topic_partition_list_destroy(all);
  rd_kafka_metadata_destroy(metadata);
  rd_kafka_topic_destroy(handle);
}

int main(int count, char **arguments) {
  if (count != 4) die("usage: consume_bench BROKERS TOPIC COUNT");
  uint64_t wanted = strtoull(arguments[3], NULL, 10), taken = 0;
  char why[512];
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", arguments[1]);
  set(conf, "group.id", "consume_bench");
  set(conf, "fetch.message.max.bytes", "4194304");
  set(conf, "queued.min.messages", "1000000");
  rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
  if (!rk) die(why);
  rd_kafka_poll_set_consumer(rk);
  assign_all(rk, arguments[2]);
  rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
  static rd_kafka_message_t *messages[BATCH];
  double began = 0, heard = now_s();
  while (taken < wanted) {
    ssize_t n = rd_kafka_consume_batch_queue(queue, 20, messages, BATCH);
    if (n > 0) heard = now_s();
    if (n > 0 && began == 0) began = heard;
    if (now_s() - heard > SILENCE_MS / 1e3) die("nothing comes any more");
    for (ssize_t i = 0; i < n; i++) {
      taken += !messages[i]->err;
      rd_kafka_message_destroy(messages[i]);
    }
  }
  double seconds = now_s() - began;
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  double cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
  printf("{\"records_s\": %.0f, \"cpu_s_per_million\": %.3f}\n", (double)taken / seconds, cpu * 1e6 / (double)taken);
  fflush(stdout);
  _Exit(0); // closing the client in order takes longer than the measurement
}
