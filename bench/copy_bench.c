// The limit of writing: a bare libpq loop, COPY ... BINARY of the bench's rows, nothing around it. Called by kafka.py.
//
//   copy_bench CONNINFO TABLE COUNT WRITERS     each writer has a connection and commits every ROWS rows; prints CPU seconds per million
//
// All rows are made before the first is sent, so that neither rate nor CPU time holds anything but libpq and the server.
#include <endian.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "bench/record.h"

enum { ROWS = 20000, ROW_MOST = 256, WRITERS_MOST = 16, FIELDS = 7 };
static const int64_t postgres_epoch_ms = INT64_C(946684800000); // 2000-01-01

struct writer {
  pthread_t thread;
  const char *conninfo, *table;
  uint64_t first, last; // numbers of its rows
  char *rows;           // encoded, one behind the other
  size_t *ends;         // where each batch of them ends
  size_t batches;
};

static void die(const char *what) {
  fprintf(stderr, "copy_bench: %s\n", what);
  exit(1);
}

static char *put16(char *at, uint16_t v) {
  v = htobe16(v);
  memcpy(at, &v, sizeof v);
  return at + sizeof v;
}

static char *put32(char *at, uint32_t v) {
  v = htobe32(v);
  memcpy(at, &v, sizeof v);
  return at + sizeof v;
}

static char *put64(char *at, uint64_t v) {
  v = htobe64(v);
  memcpy(put32(at, sizeof v), &v, sizeof v);
  return at + sizeof(uint32_t) + sizeof v;
}

static char *put_text(char *at, const char *text, size_t length) {
  memcpy(put32(at, (uint32_t)length), text, length);
  return at + sizeof(uint32_t) + length;
}

static char *put_row(char *at, uint64_t n) {
  static const char note[RECORD_BYTES] = "";
  struct bench_record r = record_values((int64_t)n, n);
  uint64_t amount;
  memcpy(&amount, &r.amount, sizeof amount);
  at = put16(at, FIELDS);
  at = put64(at, (uint64_t)r.id);
  at = put32(put32(at, sizeof r.user_id), (uint32_t)r.user_id);
  at = put_text(at, r.name, strlen(r.name));
  at = put_text(at, r.email, strlen(r.email));
  at = put64(at, amount);
  at = put64(at, (uint64_t)((r.ts_ms - postgres_epoch_ms) * 1000));
  size_t length = record_note(&r);
  char *end = put_text(at, note, length);
  memset(end - length, 'n', length);
  return end;
}

static void make_rows(struct writer *w) {
  uint64_t count = w->last - w->first + 1;
  w->rows = malloc(count * ROW_MOST);
  w->ends = malloc((count / ROWS + 1) * sizeof *w->ends);
  if (!w->rows || !w->ends) die("no memory");
  char *at = w->rows;
  for (uint64_t n = w->first; n <= w->last;) {
    for (unsigned row = 0; row < ROWS && n <= w->last; row++, n++) at = put_row(at, n);
    w->ends[w->batches++] = (size_t)(at - w->rows);
  }
}

static void *write_rows(void *context) {
  struct writer *w = context;
  char sql[256];
  PGconn *c = PQconnectdb(w->conninfo);
  if (PQstatus(c) != CONNECTION_OK) die(PQerrorMessage(c));
  snprintf(sql, sizeof sql, "COPY %s (id, user_id, name, email, amount, ts, note) FROM STDIN BINARY", w->table);
  static const char head[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";
  for (size_t batch = 0, start = 0; batch < w->batches; start = w->ends[batch++]) {
    PQclear(PQexec(c, sql));
    if (PQputCopyData(c, head, sizeof head) != 1 || PQputCopyData(c, w->rows + start, (int)(w->ends[batch] - start)) != 1 ||
        PQputCopyData(c, "\377\377", 2) != 1 || PQputCopyEnd(c, NULL) != 1)
      die(PQerrorMessage(c));
    for (PGresult *result; (result = PQgetResult(c)); PQclear(result))
      if (PQresultStatus(result) != PGRES_COMMAND_OK) die(PQerrorMessage(c));
  }
  PQfinish(c);
  return NULL;
}

static double cpu_s(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int main(int count, char **arguments) {
  if (count != 5) die("usage: copy_bench CONNINFO TABLE COUNT WRITERS");
  uint64_t rows = strtoull(arguments[3], NULL, 10), writers = strtoull(arguments[4], NULL, 10);
  if (writers < 1 || writers > WRITERS_MOST || rows < writers) die("1 to 16 writers, a row for each");
  static struct writer all[WRITERS_MOST];
  for (uint64_t i = 0; i < writers; i++) {
    all[i] =
        (struct writer){.conninfo = arguments[1], .table = arguments[2], .first = rows * i / writers + 1, .last = rows * (i + 1) / writers};
    make_rows(&all[i]);
  }
  double before = cpu_s();
  for (uint64_t i = 0; i < writers; i++)
    if (pthread_create(&all[i].thread, NULL, write_rows, &all[i]) != 0) die("no thread");
  for (uint64_t i = 0; i < writers; i++) pthread_join(all[i].thread, NULL);
  printf("{\"cpu_s_per_million\": %.3f}\n", (cpu_s() - before) * 1e6 / (double)rows);
  return 0;
}
