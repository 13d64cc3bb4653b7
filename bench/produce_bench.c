// Writes the bench's records into a topic: flat out, or at a steady rate.
//
//   produce_bench BROKERS TOPIC COUNT                 numbers from 1, as fast as it goes, lz4; prints records/s and CPU seconds per million
//   produce_bench BROKERS TOPIC COUNT RATE            RATE records a second, no linger; `id` is the microsecond at which it was handed over
//
// Records go to the partitions in turn. Called by kafka.py.
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "bench/record.h"

enum { NS = 1000000000 };

struct tally {
  uint64_t failed;
};

static void die(const char *what) {
  fprintf(stderr, "produce_bench: %s\n", what);
  exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
  char why[512];
  if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) die(why);
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
  (void)rk;
  struct tally *tally = opaque;
  if (message->err) tally->failed++;
}

static uint64_t now_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static rd_kafka_t *open_producer(const char *brokers, bool steady, struct tally *tally) {
  char why[512];
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", brokers);
  set(conf, "compression.codec", "lz4");
  set(conf, "linger.ms", steady ? "0" : "20");
  set(conf, "batch.num.messages", "10000");
  set(conf, "queue.buffering.max.messages", "500000");
  set(conf, "enable.idempotence", "true");
  rd_kafka_conf_set_dr_msg_cb(conf, delivered);
  rd_kafka_conf_set_opaque(conf, tally);
  rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
  if (!rk) die(why);
  return rk;
}

static int partitions_of(rd_kafka_t *rk, rd_kafka_topic_t *topic) {
  const struct rd_kafka_metadata *metadata;
  if (rd_kafka_metadata(rk, 0, topic, &metadata, 10000) || metadata->topic_cnt != 1) die("no metadata");
  int count = metadata->topics[0].partition_cnt;
  rd_kafka_metadata_destroy(metadata);
  if (count == 0) die("the topic is not there");
  return count;
}

static void sleep_until(uint64_t due_ns) {
  struct timespec t = {.tv_sec = (time_t)(due_ns / NS), .tv_nsec = (long)(due_ns % NS)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) continue;
}

static void hand_over(rd_kafka_t *rk, rd_kafka_topic_t *topic, int partition, char *text) {
  while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, text, RECORD_BYTES, NULL, 0, NULL) != 0) {
    if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) die(rd_kafka_err2str(rd_kafka_last_error()));
    rd_kafka_poll(rk, 10);
  }
}

int main(int count, char **arguments) {
  if (count != 4 && count != 5) die("usage: produce_bench BROKERS TOPIC COUNT [RATE]");
  uint64_t records = strtoull(arguments[3], NULL, 10), rate = count == 5 ? strtoull(arguments[4], NULL, 10) : 0;
  struct tally tally = {0};
  rd_kafka_t *rk = open_producer(arguments[1], rate > 0, &tally);
  rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, arguments[2], NULL);
  int partitions = partitions_of(rk, topic);
  uint64_t began = now_ns(CLOCK_MONOTONIC);
  int64_t last = 0;
  char text[RECORD_BYTES + 1];
  for (uint64_t n = 0; n < records; n++) {
    if (rate > 0) sleep_until(began + n * NS / rate);
    int64_t stamp = (int64_t)(now_ns(CLOCK_REALTIME) / 1000);
    last = stamp > last ? stamp : last + 1;
    struct bench_record r = record_values(rate > 0 ? last : (int64_t)n + 1, n + 1);
    record_text(&r, text);
    hand_over(rk, topic, (int)(n % (uint64_t)partitions), text);
    if (n % 256 == 0) rd_kafka_poll(rk, 0);
  }
  if (rd_kafka_flush(rk, 60000) || tally.failed) die("not all records were delivered");
  double seconds = (double)(now_ns(CLOCK_MONOTONIC) - began) / NS;
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  double cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
  printf("{\"records_s\": %.0f, \"cpu_s_per_million\": %.3f}\n", (double)records / seconds, cpu * 1e6 / (double)records);
  rd_kafka_topic_destroy(topic);
  rd_kafka_destroy(rk);
  return 0;
}
