// Measures the ring between processes: rate, CPU time a record at each end, latency to a reader that is awake and to one that sleeps.
//
//   ring_bench            the whole table, about half a minute
//   ring_bench --quick    128 bytes and one reader only
//   ring_bench --busy N   N records through a ring whose ends are both busy; run it under `strace -f -c` to count system calls
//
// On a virtual machine the processors may be near (one core's two halves, or a shared cache) or far, and may change in between. So each run
// stands between two ping-pongs over a shared word; a run in which the two differ is dropped, and near or far is printed beside each
// figure. A record's size includes its header of 8 bytes. The writer copies the payload from a template, a reader sums every byte of it.
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/ring.h"

enum {
  CAPACITY = 1 << 20,
  PUBLISH_BYTES = 4096, // a batch
  RUNS = 5,
  RUN_MS = 120,
  PING_PONGS = 20000,
  NEAR_NS = 250, // a round trip below this is near
  LATENCIES = 2000,
  SPINS = 20, // looks at the ring before an end goes to sleep: about a microsecond
};

static void die(const char *what) {
  fprintf(stderr, "ring_bench: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t clock_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void) {
  return clock_ns(CLOCK_MONOTONIC);
}

static cpu_set_t allowed; // the processors that we may use, as they were before anybody was pinned

// To processor `which` of those; with one only, all share it.
static void pin(unsigned which) {
  which %= (unsigned)CPU_COUNT(&allowed);
  for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed) || which-- != 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) die("sched_setaffinity");
    return;
  }
}

static void spin_pause(void) {
#ifdef __x86_64__
  __builtin_ia32_pause();
#endif
}

// ---- what the processes of a run share beside the ring ----------------------------------------------------------------------------------

struct end_result {
  uint64_t records, cpu_ns, wall_ns, sleeps, sum;
  double quiet_rate; // M records/s in the fastest tenth of the windows
};

struct shared {
  _Alignas(RING_LINE) _Atomic uint64_t ping;
  _Alignas(RING_LINE) _Atomic uint64_t pong;
  _Alignas(RING_LINE) _Atomic uint32_t ready;
  _Alignas(RING_LINE) struct end_result writer;
  struct end_result readers[RING_READERS_MAX];
  uint64_t latency_ns[LATENCIES];
};

struct run {
  uint32_t payload;
  unsigned readers;
  uint64_t batch;   // bytes between two publications
  uint64_t records; // 0: by time
  unsigned gap_us;  // latency: one record each gap; 0: flat out
  bool spin;        // latency: the reader never sleeps
  int fd, writer_bell, reader_bell[RING_READERS_MAX];
  struct shared *shared;
};

// ---- near or far ------------------------------------------------------------------------------------------------------------------------

static pid_t child(void) {
  pid_t pid = fork();
  if (pid < 0) die("fork");
  return pid;
}

static void reap(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    fprintf(stderr, "ring_bench: a process of the run failed\n");
    exit(1);
  }
}

static uint64_t ping_pong_ns(struct shared *s) {
  atomic_store(&s->ping, 0);
  atomic_store(&s->pong, 0);
  pid_t pid = child();
  if (pid == 0) {
    pin(1);
    for (uint64_t i = 1; i <= PING_PONGS; i++) {
      while (atomic_load(&s->ping) != i) spin_pause();
      atomic_store(&s->pong, i);
    }
    _exit(0);
  }
  pin(0);
  uint64_t best = UINT64_MAX, part = now_ns();
  for (uint64_t i = 1; i <= PING_PONGS; i++) {
    atomic_store(&s->ping, i);
    while (atomic_load(&s->pong) != i) spin_pause();
    if (i % 500 != 0) continue;
    uint64_t now = now_ns();
    if (now - part < best) best = now - part;
    part = now;
  }
  reap(pid);
  return best / 500;
}

// ---- the two ends -----------------------------------------------------------------------------------------------------------------------

static void bell_wait(int bell) {
  uint64_t count = 0;
  if (read(bell, &count, sizeof count) != sizeof count) die("read from a bell");
}

// True when the writer should try again, after having slept or not.
static void writer_wait(struct ring_writer *w, const struct run *run, struct end_result *result) {
  ring_publish(w);
  for (int i = 0; i < SPINS; i++) {
    if (ring_room(w, w->at + CAPACITY / 8)) return;
    spin_pause();
  }
  if (!ring_writer_sleep(w, run->payload)) return;
  result->sleeps++;
  bell_wait(run->writer_bell);
}

// The rate over short parts of a run. On a shared machine the fastest tenth of them are those in which neither end lost its processor; a
// window is several rings long, so that a full or an empty ring cannot feign speed.
struct windows {
  uint64_t position, records, ns; // where the present one began
  size_t count;
  uint64_t ps[1 << 14]; // picoseconds a record, of each window
};

static void windows_look(struct windows *windows, uint64_t position, uint64_t records) {
  if (position - windows->position < 4 * (uint64_t)CAPACITY || windows->count == sizeof windows->ps / sizeof *windows->ps) return;
  uint64_t now = now_ns();
  if (windows->records > 0) windows->ps[windows->count++] = (now - windows->ns) * 1000 / (records - windows->records);
  windows->position = position;
  windows->records = records;
  windows->ns = now;
}

static int number_compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static double windows_rate(struct windows *windows) {
  if (windows->count == 0) return 0;
  qsort(windows->ps, windows->count, sizeof *windows->ps, number_compare);
  return 1e6 / (double)windows->ps[windows->count / 10];
}

static void writer_run(const struct run *run) {
  struct ring_writer w;
  if (ring_writer_attach(&w, run->fd, run->reader_bell) != 0) die("attach");
  static uint8_t template[1 << 16];
  memset(template, 1, sizeof template);
  static struct windows windows;
  struct end_result result = {0};
  while (atomic_load(&run->shared->ready) < run->readers) sched_yield();
  uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), start = now_ns(), end = start + RUN_MS * UINT64_C(1000000);
  uint64_t records = 0, due = 0, look = 0; // look: when to look at the clock again
  for (;;) {
    uint8_t *at = ring_reserve(&w, run->payload);
    if (at == NULL) {
      writer_wait(&w, run, &result);
      continue;
    }
    memcpy(at, template, run->payload);
    ring_commit(&w, run->payload);
    ring_group_end(&w);
    records++;
    if (w.at < due) continue;
    w.note[0] = records;
    ring_publish(&w);
    due = w.at + run->batch;
    windows_look(&windows, w.at, records);
    if (run->records > 0) {
      if (records >= run->records) break;
    } else if (records >= look) {
      if (now_ns() >= end) break;
      look = records + 1000;
    }
  }
  ring_publish(&w);
  result.records = records;
  while (!ring_reserve(&w, 0)) writer_wait(&w, run, &result); // an empty record ends the run
  ring_commit(&w, 0);
  ring_group_end(&w);
  ring_publish(&w);
  result.cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  result.wall_ns = now_ns() - start;
  result.quiet_rate = windows_rate(&windows);
  run->shared->writer = result;
}

// Not inlined: within a larger function the compiler may keep the sum in memory, and then its own work is measured instead of the ring's.
__attribute__((noinline)) static uint64_t record_sum(const uint8_t *bytes, uint32_t length) {
  uint64_t sum = 0, more = 0;
  uint32_t i = 0;
  for (; i + 16 <= length; i += 16) {
    uint64_t words[2];
    memcpy(words, bytes + i, sizeof words);
    sum += words[0];
    more += words[1];
  }
  if (i + 8 <= length) {
    uint64_t word = 0;
    memcpy(&word, bytes + i, sizeof word);
    sum += word;
    i += 8;
  }
  for (; i < length; i++) sum += bytes[i];
  return sum + more;
}

// Waits until there is something at the cursor: looks for a while, then sleeps.
static void reader_wait(struct ring_reader *r, const struct run *run, unsigned index, struct end_result *result) {
  ring_release(r, r->cursor);
  for (int i = 0; i < SPINS || run->spin; i++) {
    if (ring_refill(r)) return;
    spin_pause();
  }
  if (!ring_reader_sleep(r)) return;
  result->sleeps++;
  bell_wait(run->reader_bell[index]);
}

static void reader_run(const struct run *run, unsigned index) {
  struct ring_reader r;
  if (ring_reader_attach(&r, run->fd, index, run->writer_bell) != 0) die("attach");
  struct end_result result = {0};
  atomic_fetch_add(&run->shared->ready, 1);
  uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), start = now_ns(), due = 0;
  for (;;) {
    struct ring_view v;
    if (!ring_next(&r, &v)) {
      if (r.fault != RING_OK) die(ring_fault_text(r.fault));
      reader_wait(&r, run, index, &result);
      continue;
    }
    if (v.length == 0) break;
    result.sum += record_sum(v.payload, v.length);
    result.records++;
    if (v.end < due) continue;
    ring_release(&r, v.end);
    due = v.end + PUBLISH_BYTES;
  }
  ring_release(&r, r.cursor);
  result.cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  result.wall_ns = now_ns() - start;
  run->shared->readers[index] = result;
}

// ---- latency ----------------------------------------------------------------------------------------------------------------------------

static void stamp_run(const struct run *run) {
  struct ring_writer w;
  if (ring_writer_attach(&w, run->fd, run->reader_bell) != 0) die("attach");
  while (atomic_load(&run->shared->ready) < run->readers) sched_yield();
  uint64_t next = now_ns();
  for (int i = 0; i < LATENCIES; i++) {
    next += run->gap_us * UINT64_C(1000);
    while (now_ns() < next) spin_pause();
    uint8_t *at = ring_reserve(&w, run->payload);
    if (at == NULL) die("room");
    uint64_t now = now_ns();
    memcpy(at, &now, sizeof now);
    ring_commit(&w, run->payload);
    ring_group_end(&w);
    ring_publish(&w);
  }
}

static void stamp_reader_run(const struct run *run) {
  struct ring_reader r;
  if (ring_reader_attach(&r, run->fd, 0, run->writer_bell) != 0) die("attach");
  atomic_fetch_add(&run->shared->ready, 1);
  for (int i = 0; i < LATENCIES;) {
    struct ring_view v;
    while (ring_next(&r, &v)) {
      uint64_t stamp = 0;
      memcpy(&stamp, v.payload, sizeof stamp);
      run->shared->latency_ns[i++] = now_ns() - stamp;
    }
    ring_release(&r, r.cursor);
    if (!run->spin && i < LATENCIES && ring_reader_sleep(&r)) bell_wait(run->reader_bell[0]);
  }
}

// ---- runs -------------------------------------------------------------------------------------------------------------------------------

static void run_once(struct run *run) {
  struct ring_spec spec = {.capacity = CAPACITY, .readers = run->readers, .writer_words = 4, .reader_words = 4};
  run->fd = ring_create(&spec);
  if (run->fd < 0) die("ring_create");
  run->writer_bell = eventfd(0, EFD_CLOEXEC);
  pid_t pids[RING_READERS_MAX];
  atomic_store(&run->shared->ready, 0);
  for (unsigned i = 0; i < run->readers; i++) run->reader_bell[i] = eventfd(0, EFD_CLOEXEC);
  for (unsigned i = 0; i < run->readers; i++) {
    pids[i] = child();
    if (pids[i] != 0) continue;
    pin(1 + i);
    if (run->gap_us > 0) {
      stamp_reader_run(run);
    } else {
      reader_run(run, i);
    }
    _exit(0);
  }
  pid_t writer = child();
  if (writer == 0) {
    pin(0);
    if (run->gap_us > 0) {
      stamp_run(run);
    } else {
      writer_run(run);
    }
    _exit(0);
  }
  reap(writer);
  for (unsigned i = 0; i < run->readers; i++) {
    reap(pids[i]);
    close(run->reader_bell[i]);
  }
  close(run->writer_bell);
  close(run->fd);
}

// Runs between two ping-pongs. False: the processors moved, the run says nothing.
static bool run_placed(struct run *run, const char **place) {
  uint64_t before = ping_pong_ns(run->shared);
  run_once(run);
  uint64_t after = ping_pong_ns(run->shared);
  *place = before < NEAR_NS ? "near" : "far";
  return (before < NEAR_NS) == (after < NEAR_NS) && before < 2 * after && after < 2 * before;
}

struct figure {
  double rate, quiet, writer_ns, reader_ns; // of the best run kept: the machine is shared, a slower one says how busy it was
  const char *place;
  int kept;
};

static void measure_rate(struct shared *shared, uint32_t size, unsigned readers, uint64_t batch) {
  struct figure best = {.place = "moved"};
  for (int i = 0; i < RUNS; i++) {
    struct run run = {.payload = size - RING_FRAME, .readers = readers, .batch = batch, .shared = shared};
    const char *place = NULL;
    if (!run_placed(&run, &place)) continue;
    best.kept++;
    const struct end_result *w = &shared->writer;
    double rate = (double)w->records * 1e3 / (double)w->wall_ns;
    if (rate <= best.rate) continue;
    uint64_t reader_cpu = 0;
    for (unsigned k = 0; k < readers; k++) {
      reader_cpu += shared->readers[k].cpu_ns;
      if (shared->readers[k].records != w->records) die("records were lost");
    }
    best.rate = rate;
    best.quiet = w->quiet_rate;
    best.place = place;
    best.writer_ns = (double)w->cpu_ns / (double)w->records;
    best.reader_ns = (double)reader_cpu / (double)w->records / readers;
  }
  printf("%7u %8u %9s %12.1f %7.1f %10.1f %10.1f   %s, %d of %d runs kept\n", size, readers, batch > 0 ? "4 KiB" : "each", best.rate,
         best.quiet, best.writer_ns, best.reader_ns, best.place, best.kept, RUNS);
  fflush(stdout);
}

static void measure_latency(struct shared *shared, bool spin) {
  struct run run = {.payload = 120, .readers = 1, .gap_us = spin ? 20 : 200, .spin = spin, .shared = shared};
  const char *place = NULL;
  bool kept = run_placed(&run, &place);
  qsort(shared->latency_ns, LATENCIES, sizeof *shared->latency_ns, number_compare);
  printf("latency, reader %-7s p50 %6.2f us   p99 %7.2f us   %s\n",
         spin ? "awake:" : "asleep:", (double)shared->latency_ns[LATENCIES / 2] / 1e3,
         (double)shared->latency_ns[LATENCIES / 100 * 99] / 1e3, kept ? place : "moved");
}

// Both ends in one process, turn by turn: what the instructions alone cost, with no other processor and no waiting in it.
static void measure_solo(uint32_t size) {
  struct ring_spec spec = {.capacity = 1 << 16, .readers = 1, .writer_words = 4, .reader_words = 4};
  const int none[1] = {-1};
  struct ring_writer w;
  struct ring_reader r;
  int fd = ring_create(&spec);
  if (fd < 0 || ring_writer_attach(&w, fd, none) != 0 || ring_reader_attach(&r, fd, 0, -1) != 0) die("attach");
  static uint8_t template[1 << 16];
  double writer_best = 1e9, reader_best = 1e9;
  uint64_t sum = 0;
  for (int turn = 0; turn < 20000; turn++) {
    uint64_t start = now_ns(), records = 0;
    for (uint64_t batch = 0; batch < 4; batch++) {
      for (uint64_t end = w.at + PUBLISH_BYTES; w.at < end; records++) {
        uint8_t *at = ring_reserve(&w, size - RING_FRAME);
        if (at == NULL) die("room");
        memcpy(at, template, size - RING_FRAME);
        ring_commit(&w, size - RING_FRAME);
        ring_group_end(&w);
      }
      ring_publish(&w);
    }
    uint64_t middle = now_ns();
    struct ring_view v;
    while (ring_next(&r, &v)) sum += record_sum(v.payload, v.length);
    ring_release(&r, r.cursor);
    double writer_ns = (double)(middle - start) / (double)records, reader_ns = (double)(now_ns() - middle) / (double)records;
    if (writer_ns < writer_best) writer_best = writer_ns;
    if (reader_ns < reader_best) reader_best = reader_ns;
  }
  printf("%7u     solo     4 KiB                      %10.1f %10.1f   one process, warm%s\n", size, writer_best, reader_best,
         sum == 0 ? "" : "!");
  ring_writer_detach(&w);
  ring_reader_detach(&r);
  close(fd);
}

static void measure_busy(struct shared *shared, uint64_t records) {
  struct run run = {.payload = 120, .readers = 1, .batch = PUBLISH_BYTES, .records = records, .shared = shared};
  run_once(&run);
  printf("%llu records of 128 bytes; sleeps: writer %llu, reader %llu\n", (unsigned long long)shared->readers[0].records,
         (unsigned long long)shared->writer.sleeps, (unsigned long long)shared->readers[0].sleeps);
}

int main(int argc, char **argv) {
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) die("sched_getaffinity");
  struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) die("mmap");
  if (argc == 3 && strcmp(argv[1], "--busy") == 0) {
    measure_busy(shared, strtoull(argv[2], NULL, 10));
    return 0;
  }
  bool quick = argc == 2 && strcmp(argv[1], "--quick") == 0;
  if (argc > 1 && !quick) {
    fprintf(stderr, "usage: ring_bench [--quick | --busy RECORDS]\n");
    return 2;
  }
  printf(
      "  bytes  readers published  M records/s   quiet  writer ns  reader ns   (quiet: the fastest tenth; CPU ns a record, at each end)\n");
  for (uint32_t size = 16; size <= 1024; size *= 8) measure_solo(size);
  measure_rate(shared, 128, 1, PUBLISH_BYTES);
  measure_rate(shared, 128, 1, 0);
  for (unsigned readers = 1; readers <= RING_READERS_MAX && !quick; readers *= 2) {
    for (uint32_t size = 16; size <= 1024; size *= 8) {
      if (readers > 1 || size != 128) measure_rate(shared, size, readers, PUBLISH_BYTES);
    }
  }
  measure_latency(shared, true);
  measure_latency(shared, false);
  return 0;
}
