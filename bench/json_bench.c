// What JSON and msgpack cost, in CPU time of this process: the 200-byte record of seven fields into fixed memory, and whole documents.
//
//   json_bench [DOCUMENT.json [RECORDS-PATH]]
//
// Each figure is the best of several rounds: on a shared machine the least disturbed round says most about the code.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "proto/json.h"
#include "proto/msgpack.h"

enum { ROUNDS = 9, VARIANTS = 1024, RECORDS = 200000, SLOT = 512, RECORD_ROOM = 1024 };

static double cpu_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static _Noreturn void fail(const struct error *e) {
  fprintf(stderr, "json_bench: %s\n", e->text);
  exit(1);
}

// Records that differ, so that the branch predictor cannot learn one by heart.
static size_t make_record(char *out, unsigned i) {
  static const char note[] = "the quick brown fox jumps over the lazy dog and runs away, far";
  int length = snprintf(out, SLOT,
                        "{\"id\":%" PRIu64 ",\"user_id\":%u,\"name\":\"user-%u\",\"email\":\"user-%u@example.com\",\"amount\":%u.%02u,"
                        "\"ts\":\"2026-11-21T00:%02u:%02u.%03uZ\",\"note\":\"%.*s\"}",
                        1000000007u * (uint64_t)(i + 1), i * 7919 % 2000000000, i % 100000, i % 100000, i % 9973, i % 100, i / 60 % 60,
                        i % 60, i % 1000, (int)(52 + i % 10), note);
  return (size_t)length;
}

struct records {
  char *text;
  size_t lengths[VARIANTS], total;
};

static void make_records(struct records *r) {
  r->text = memory_get((size_t)VARIANTS * SLOT + JSON_PADDING);
  r->total = 0;
  for (unsigned i = 0; i < VARIANTS; i++) {
    r->lengths[i] = make_record(r->text + (size_t)i * SLOT, i);
    r->total += r->lengths[i];
  }
}

static void bench_records(const struct records *r, struct json_parser *parser) {
  static uint8_t memory[RECORD_ROOM];
  double best = 1e9;
  struct error e = {0};
  for (int round = 0; round < ROUNDS; round++) {
    double start = cpu_seconds();
    for (unsigned i = 0; i < RECORDS; i++) {
      struct msgpack_writer out = {memory, memory + sizeof memory, false};
      unsigned n = i % VARIANTS;
      if (!json_to_msgpack_at(parser, r->text + (size_t)n * SLOT, r->lengths[n], &out, &e)) fail(&e);
    }
    double took = cpu_seconds() - start;
    if (took < best) best = took;
  }
  double bytes = (double)r->total / VARIANTS;
  printf("record   %.0f bytes, 7 fields, JSON -> msgpack  %7.1f ns/record  %5.2f GB/s   (aim 120 ns)\n", bytes, best / RECORDS * 1e9,
         bytes * RECORDS / best / 1e9);
}

// msgpack alone: the same seven fields written from values, and read back.
static void bench_msgpack(void) {
  static uint8_t memory[RECORD_ROOM];
  double best_write = 1e9, best_read = 1e9;
  uint64_t sum = 0;
  for (int round = 0; round < ROUNDS; round++) {
    double start = cpu_seconds();
    for (unsigned i = 0; i < RECORDS; i++) {
      struct msgpack_writer w = {memory, memory + sizeof memory, false};
      msgpack_write_map(&w, 7);
      msgpack_write_cstring(&w, "id"), msgpack_write_int(&w, 1000000007 * (int64_t)i);
      msgpack_write_cstring(&w, "user_id"), msgpack_write_int(&w, i);
      msgpack_write_cstring(&w, "name"), msgpack_write_cstring(&w, "user-12345");
      msgpack_write_cstring(&w, "email"), msgpack_write_cstring(&w, "user-12345@example.com");
      msgpack_write_cstring(&w, "amount"), msgpack_write_double(&w, i * 0.01);
      msgpack_write_cstring(&w, "ts"), msgpack_write_timestamp(&w, 1795219200123000 + i);
      msgpack_write_cstring(&w, "note"), msgpack_write_cstring(&w, "the quick brown fox jumps over the lazy dog");
    }
    double middle = cpu_seconds();
    for (unsigned i = 0; i < RECORDS; i++) {
      const uint8_t *at = memory;
      struct msgpack_value value;
      for (int n = 0; n < 15; n++) {
        if (!msgpack_read(&at, memory + sizeof memory, &value)) exit(1);
        sum += value.length;
      }
    }
    double end = cpu_seconds();
    if (middle - start < best_write) best_write = middle - start;
    if (end - middle < best_read) best_read = end - middle;
  }
  printf("msgpack  7 fields written %.1f ns, read %.1f ns   (check %" PRIu64 ")\n", best_write / RECORDS * 1e9, best_read / RECORDS * 1e9,
         sum);
}

static char *read_file(const char *path, size_t *length) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) {
    perror(path);
    exit(1);
  }
  *length = (size_t)ftell(file);
  rewind(file);
  char *text = memory_get(*length + JSON_PADDING);
  if (fread(text, 1, *length, file) != *length) {
    perror(path);
    exit(1);
  }
  fclose(file);
  return text;
}

static void bench_document(const char *path, const char *records, struct json_parser *parser) {
  size_t length;
  char *text = read_file(path, &length);
  double best_whole = 1e9, best_records = 1e9;
  unsigned long count = 0;
  struct buffer out = {0};
  struct error e = {0};
  size_t size = 0;
  for (int round = 0; round < ROUNDS * 3; round++) {
    double start = cpu_seconds();
    buffer_clear(&out);
    if (!json_to_msgpack(parser, text, length, &out, &e)) fail(&e);
    double middle = cpu_seconds();
    size = out.length;
    buffer_clear(&out);
    count = 0;
    if (!json_records_open(parser, text, length, records, &e)) fail(&e);
    int more;
    while ((more = json_records_next(parser, &out, &e)) > 0) count++;
    if (more < 0) fail(&e);
    double end = cpu_seconds();
    if (middle - start < best_whole) best_whole = middle - start;
    if (end - middle < best_records) best_records = end - middle;
  }
  printf("document %zu bytes -> %zu of msgpack          %5.2f GB/s whole, %5.2f GB/s as %lu records at \"%s\"   (aim 2 GB/s)\n", length,
         size, (double)length / best_whole / 1e9, (double)length / best_records / 1e9, count, records);
  buffer_free(&out);
  free(text);
}

int main(int argc, char **argv) {
  struct records records;
  struct json_parser *parser = json_parser_new();
  make_records(&records);
  bench_records(&records, parser);
  bench_msgpack();
  if (argc > 1) bench_document(argv[1], argc > 2 ? argv[2] : "events", parser);
  free(records.text);
  json_parser_free(parser);
  return 0;
}
