// Kills a real process (SIGKILL) at every single instruction of its dealings with a ring, and looks whether its successor and its
// neighbours come to the right end: no record lost, none torn, none twice, nobody asleep for ever.
//
// A victim is forked and traced with ptrace. The first one is single-stepped through its whole window, to learn the instructions; then, for
// each of them, another one is run up to it, killed and reaped. This process then does what the supervisor does (rings the bells of the
// dead one's neighbours), lets the neighbours go on, becomes the successor itself, and compares what arrived with what had to. In a second
// pass the successor is killed, too, at a step that differs for each of its predecessor's.
//
// Neighbours act only when their bell has rung: who sleeps through a change is found by the count at the end. The test also counts the
// kills after which a neighbour slept over a change until the supervisor's ring: were there none, the test could not see a lost bell.
//
// Usage: ring_step [seed]. Exit code 0 when all is right, 1 with the scenario and the step otherwise.
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/ring.h"

enum {
  CAPACITY = 4096,
  NEIGHBOURS = 2,    // readers of the victim's output
  STEPS_MAX = 20000, // a window longer than this is a mistake in the test
};

// What a neighbour behind a ring has seen: records must come numbered 1, 2, 3 ...
struct watcher {
  struct ring_reader reader;
  int bell;
  bool asleep;
  uint64_t next;
};

struct world {
  const struct scenario *scenario;
  int in_fd, out_fd;         // the victim's input ring and output ring; -1 when it has none
  int victim_bell;           // rung by its neighbours
  struct ring_writer feeder; // the neighbour before the input ring
  int feeder_bell;
  bool feeder_asleep;
  uint64_t fed, feed_goal; // records put into the input ring, and to be put
  struct watcher watchers[NEIGHBOURS];
  unsigned watcher_count;
  uint64_t seen; // what the victim (as a reader) has counted in the end
};

struct scenario {
  const char *name;
  void (*setup)(struct world *w);
  void (*work)(struct world *w); // attaches, goes on from where the predecessor was, returns when there is nothing to do
  void (*check)(struct world *w);
  bool from_attach; // the window opens before the attach, else behind it
};

static struct {
  const char *scenario;
  long step, step2;
  bool victim; // this process is the victim: its windows are real
  uint64_t sleepers_kicked, kills;
} run;

static void fail(const char *what, uint64_t got, uint64_t want) {
  fprintf(stderr, "ring_step: %s, killed at step %ld (successor at %ld): %s: got %" PRIu64 ", wanted %" PRIu64 "\n", run.scenario, run.step,
          run.step2, what, got, want);
  exit(1);
}

static void expect(const char *what, uint64_t got, uint64_t want) {
  if (got != want) fail(what, got, want);
}

static bool bell_clear(int bell) {
  uint64_t count = 0;
  return read(bell, &count, sizeof count) == sizeof count;
}

static void bell_ring(int bell) {
  const uint64_t one = 1;
  if (write(bell, &one, sizeof one) != sizeof one) fail("write to a bell", (uint64_t)errno, 0);
}

// The victim stops here for its tracer; everybody else walks through.
static void window_open(void) {
  if (run.victim) raise(SIGSTOP);
}

// ---- records: everything about record n follows from n --------------------------------------------------------------------------------

static uint32_t record_size(uint64_t n) {
  return (uint32_t)(sizeof n + n * 37 % 400);
}

static bool record_put(struct ring_writer *w, uint64_t n) {
  uint8_t *at = ring_reserve(w, record_size(n));
  if (at == NULL) return false;
  memcpy(at, &n, sizeof n);
  memset(at + sizeof n, (int)(n * 31), record_size(n) - sizeof n);
  ring_commit(w, record_size(n));
  return true;
}

static uint64_t record_check(const struct ring_view *v) {
  uint64_t n = 0;
  if (v->length < sizeof n) fail("a record's length", v->length, sizeof n);
  memcpy(&n, v->payload, sizeof n);
  expect("a record's length", v->length, record_size(n));
  // The victim leaves the bytes to its successor, who sees them all: fewer instructions to be killed at that are not the ring's.
  for (uint32_t i = sizeof n; i < v->length && !run.victim; i++) expect("a byte of a record", v->payload[i], (uint8_t)(n * 31));
  return n;
}

// ---- the neighbours -------------------------------------------------------------------------------------------------------------------

static int bell_make(void) {
  int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (bell < 0) fail("eventfd", (uint64_t)errno, 0);
  return bell;
}

// Reads all there is, then goes to sleep. Does nothing while it sleeps and its bell is silent.
static void watcher_turn(struct watcher *o) {
  if (o->asleep && !bell_clear(o->bell)) return;
  struct ring_view v;
  do {
    while (ring_next(&o->reader, &v)) expect("the order of records", record_check(&v), o->next++);
    expect("a reader's fault", o->reader.fault, RING_OK);
    ring_release(&o->reader, o->reader.cursor);
  } while (!ring_reader_sleep(&o->reader));
  o->asleep = true;
}

// Puts records into the input ring until the goal is reached or the ring is full; then goes to sleep.
static void feeder_turn(struct world *w) {
  if (w->in_fd < 0 || (w->feeder_asleep && !bell_clear(w->feeder_bell))) return;
  w->feeder_asleep = false;
  while (w->fed < w->feed_goal) {
    if (record_put(&w->feeder, w->fed + 1)) {
      w->fed++;
      ring_group_end(&w->feeder);
    } else if (ring_writer_sleep(&w->feeder, record_size(w->fed + 1))) {
      w->feeder_asleep = true;
      break;
    }
    expect("the feeder's fault", w->feeder.fault, RING_OK);
  }
  ring_publish(&w->feeder);
}

static void neighbours_turn(struct world *w) {
  feeder_turn(w);
  for (unsigned i = 0; i < w->watcher_count; i++) watcher_turn(&w->watchers[i]);
}

// True when a neighbour sleeps although what it waits for has come.
static bool neighbour_oversleeps(struct world *w) {
  for (unsigned i = 0; i < w->watcher_count; i++) {
    struct watcher *o = &w->watchers[i];
    uint64_t tail = atomic_load(&o->reader.writer_area->tail);
    uint64_t rings = 0;
    if (o->asleep && tail != o->reader.cursor && read(o->bell, &rings, sizeof rings) != sizeof rings) return true;
    if (rings > 0) bell_ring(o->bell);
  }
  if (!w->feeder_asleep || atomic_load(&w->feeder.reader_area[0]->head) <= atomic_load(&w->feeder.area->space_at)) return false;
  if (!bell_clear(w->feeder_bell)) return true;
  bell_ring(w->feeder_bell);
  return false;
}

// What the supervisor does when it has reaped a worker.
static void supervisor_kick(struct world *w) {
  if (neighbour_oversleeps(w)) run.sleepers_kicked++;
  bell_ring(w->feeder_bell);
  for (unsigned i = 0; i < w->watcher_count; i++) bell_ring(w->watchers[i].bell);
}

// ---- the rings of a world -------------------------------------------------------------------------------------------------------------

static int ring_make(unsigned readers) {
  struct ring_spec spec = {.capacity = CAPACITY, .readers = readers, .writer_words = 3, .reader_words = 3};
  int fd = ring_create(&spec);
  if (fd < 0) fail("ring_create", (uint64_t)-fd, 0);
  return fd;
}

// The victim's output, watched; its first lap is nearly full, so that the victim writes across the end of the ring.
static void world_add_output(struct world *w) {
  w->out_fd = ring_make(NEIGHBOURS);
  w->watcher_count = NEIGHBOURS;
  struct ring_writer filler;
  int bells[NEIGHBOURS];
  for (int i = 0; i < NEIGHBOURS; i++) bells[i] = w->watchers[i].bell = bell_make();
  expect("attach", (uint64_t)ring_writer_attach(&filler, w->out_fd, bells), 0);
  for (int i = 0; i < NEIGHBOURS; i++) {
    w->watchers[i].next = 1;
    expect("attach", (uint64_t)ring_reader_attach(&w->watchers[i].reader, w->out_fd, (unsigned)i, w->victim_bell), 0);
  }
  for (int lap = 0; lap < 4; lap++) {
    while (ring_reserve(&filler, 960) != NULL) ring_commit(&filler, 960);
    ring_group_end(&filler);
    ring_publish(&filler);
    for (int i = 0; i < NEIGHBOURS; i++) {
      struct ring_view v;
      while (ring_next(&w->watchers[i].reader, &v)) {}
      ring_release(&w->watchers[i].reader, w->watchers[i].reader.cursor);
    }
  }
  ring_writer_detach(&filler);
  neighbours_turn(w);
}

static void world_add_input(struct world *w, uint64_t records) {
  w->in_fd = ring_make(1);
  w->feed_goal = records;
  expect("attach", (uint64_t)ring_writer_attach(&w->feeder, w->in_fd, &w->victim_bell), 0);
  feeder_turn(w);
}

static void world_open(struct world *w, const struct scenario *s) {
  *w = (struct world){.scenario = s, .in_fd = -1, .out_fd = -1, .victim_bell = bell_make(), .feeder_bell = bell_make()};
  s->setup(w);
}

static void world_close(struct world *w) {
  for (unsigned i = 0; i < w->watcher_count; i++) {
    ring_reader_detach(&w->watchers[i].reader);
    close(w->watchers[i].bell);
  }
  if (w->in_fd >= 0) {
    ring_writer_detach(&w->feeder);
    close(w->in_fd);
  }
  if (w->out_fd >= 0) close(w->out_fd);
  close(w->victim_bell);
  close(w->feeder_bell);
}

// ---- writer: groups of two records, two groups a publish, the count in its note ---------------------------------------------------------

enum { WRITER_GROUPS = 5 };

static void writer_attach(struct world *w, struct ring_writer *out) {
  int bells[NEIGHBOURS];
  for (int i = 0; i < NEIGHBOURS; i++) bells[i] = w->watchers[i].bell;
  expect("the writer's attach", (uint64_t)ring_writer_attach(out, w->out_fd, bells), 0);
}

static void writer_work(struct world *w) {
  struct ring_writer out;
  if (w->scenario->from_attach) window_open();
  writer_attach(w, &out);
  if (!w->scenario->from_attach) window_open();
  expect("the words of one note", out.note[1], out.note[0] * out.note[0]);
  while (out.note[0] < WRITER_GROUPS) {
    uint64_t n = 2 * out.note[0];
    if (!record_put(&out, n + 1) || !record_put(&out, n + 2)) fail("room", 0, 1);
    out.note[0]++;
    out.note[1] = out.note[0] * out.note[0];
    ring_group_end(&out);
    if (out.note[0] % 2 == 0) ring_publish(&out);
  }
  ring_publish(&out);
  expect("the writer's fault", out.fault, RING_OK);
  if (!run.victim) ring_writer_detach(&out);
}

static void writer_check(struct world *w) {
  for (unsigned i = 0; i < w->watcher_count; i++) expect("records at a reader", w->watchers[i].next, 2 * WRITER_GROUPS + 1);
}

// ---- blocked writer: its ring is full, it announces that it sleeps --------------------------------------------------------------------

enum {
  BLOCKED_RECORDS = 40,
  BLOCKED_WINDOW = 15, // records put before the window opens: a few more fit
};

static void blocked_work(struct world *w) {
  struct ring_writer out;
  writer_attach(w, &out);
  for (bool opened = false; out.note[0] < BLOCKED_RECORDS;) {
    if (!opened && out.note[0] >= BLOCKED_WINDOW) {
      window_open();
      opened = true;
    }
    if (record_put(&out, out.note[0] + 1)) {
      out.note[0]++;
      ring_group_end(&out);
    } else if (ring_writer_sleep(&out, record_size(out.note[0] + 1))) {
      if (run.victim) return;
      neighbours_turn(w);
      if (!bell_clear(w->victim_bell)) fail("the writer sleeps for ever", 0, 1);
    }
  }
  ring_publish(&out);
  ring_writer_detach(&out);
}

static void blocked_check(struct world *w) {
  for (unsigned i = 0; i < w->watcher_count; i++) expect("records at a reader", w->watchers[i].next, BLOCKED_RECORDS + 1);
}

// ---- reader: counts and sums what it reads into its note, releases every second record
// ----------------------------------------------------

enum { READER_RECORDS = 30 };

static void reader_setup(struct world *w) {
  world_add_input(w, READER_RECORDS);
}

static void reader_work(struct world *w) {
  struct ring_reader in;
  if (w->scenario->from_attach) window_open();
  expect("the reader's attach", (uint64_t)ring_reader_attach(&in, w->in_fd, 0, w->feeder_bell), 0);
  if (!w->scenario->from_attach) window_open();
  expect("the words of one note", in.note[1], in.note[0] * (in.note[0] + 1) / 2);
  for (;;) {
    (void)bell_clear(w->victim_bell);
    struct ring_view v;
    while (ring_next(&in, &v)) {
      uint64_t n = record_check(&v);
      in.note[0]++;
      in.note[1] += n;
      expect("the order of records", n, in.note[0]);
      if (n % 2 == 0) ring_release(&in, v.end);
    }
    expect("the reader's fault", in.fault, RING_OK);
    ring_release(&in, in.cursor);
    if (!ring_reader_sleep(&in)) continue;
    if (run.victim) return;
    feeder_turn(w);
    if (in.note[0] == READER_RECORDS) break;
    uint64_t rings = 0;
    if (read(w->victim_bell, &rings, sizeof rings) != sizeof rings) fail("the reader sleeps for ever", in.note[0], READER_RECORDS);
  }
  w->seen = in.note[0];
  ring_reader_detach(&in);
}

static void reader_check(struct world *w) {
  expect("records at the reader", w->seen, READER_RECORDS);
  expect("records fed", w->fed, READER_RECORDS);
  expect("a drained ring", ring_drained(&w->feeder), true);
}

// ---- transformer: input n gives n % 3 outputs; its cursor in the input stands in the note of its output
// ---------------------------------------

enum { STAGE_INPUTS = 14 }; // 14 % 3 = 2: the last input gives outputs, so its end is in a note

static uint64_t stage_outputs(void) {
  uint64_t outputs = 0;
  for (uint64_t n = 1; n <= STAGE_INPUTS; n++) outputs += n % 3;
  return outputs;
}

static void stage_setup(struct world *w) {
  world_add_output(w);
  world_add_input(w, STAGE_INPUTS);
}

// One turn: reads what there is, up to `limit` inputs a publish; false when there was nothing.
static bool stage_turn(struct ring_reader *in, struct ring_writer *out) {
  struct ring_view v;
  bool any = false;
  for (int taken = 0; taken < 3 && ring_next(in, &v); taken++) {
    uint64_t n = record_check(&v);
    for (uint64_t i = 0; i < n % 3; i++) {
      if (!record_put(out, out->note[1] + 1)) fail("room", 0, 1);
      out->note[1]++;
    }
    out->note[0] = v.end;
    out->note[2] = n;
    ring_group_end(out);
    any = true;
  }
  expect("the stage's fault", in->fault | out->fault, RING_OK);
  ring_publish(out);
  ring_release(in, in->cursor);
  return any;
}

static void stage_work(struct world *w) {
  struct ring_reader in;
  struct ring_writer out;
  if (w->scenario->from_attach) window_open();
  expect("the stage's input", (uint64_t)ring_reader_attach(&in, w->in_fd, 0, w->feeder_bell), 0);
  writer_attach(w, &out);
  if (out.note[0] > in.head) ring_seek(&in, out.note[0]);
  if (!w->scenario->from_attach) window_open();
  for (;;) {
    (void)bell_clear(w->victim_bell);
    while (stage_turn(&in, &out)) {
      if (!run.victim) neighbours_turn(w);
    }
    if (!ring_reader_sleep(&in)) continue;
    if (run.victim) return;
    neighbours_turn(w);
    uint64_t rings = 0;
    if (w->fed == STAGE_INPUTS && out.note[2] == STAGE_INPUTS) break;
    if (read(w->victim_bell, &rings, sizeof rings) != sizeof rings) fail("the stage sleeps for ever", out.note[2], STAGE_INPUTS);
  }
  ring_reader_detach(&in);
  ring_writer_detach(&out);
}

static void stage_check(struct world *w) {
  for (unsigned i = 0; i < w->watcher_count; i++) expect("records at a reader", w->watchers[i].next, stage_outputs() + 1);
  expect("a drained input", ring_drained(&w->feeder), true);
}

// ---- stepping and killing -------------------------------------------------------------------------------------------------------------

// The instructions of a window, as one victim passed through them step by step. To kill another victim before step k, it is not stepped
// again but run to its `pass`-th arrival at that address: the same place, hundreds of times faster.
struct trace {
  long steps;
  uintptr_t address[STEPS_MAX];
  uint32_t pass[STEPS_MAX]; // earlier arrivals at the same address
};

static struct trace trace;

static pid_t victim_start(struct world *w) {
  pid_t pid = fork();
  if (pid < 0) fail("fork", (uint64_t)errno, 0);
  if (pid == 0) {
    run.victim = true;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(3);
    w->scenario->work(w);
    _exit(0);
  }
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) fail("waitpid", (uint64_t)errno, 0);
  if (!WIFSTOPPED(status)) fail("the victim did not reach its window: wait status", (uint64_t)status, 0);
  neighbours_turn(w); // whom the victim's attach has rung: they are asleep again when the window opens
  return pid;
}

// Lets the victim go on by `request` (a step, or until the breakpoint). False: it came to its end in order.
static bool victim_go(pid_t pid, enum __ptrace_request request) {
  int status = 0;
  if (ptrace(request, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid) fail("ptrace", (uint64_t)errno, 0);
  if (WIFEXITED(status)) {
    expect("the victim's exit code", (uint64_t)WEXITSTATUS(status), 0);
    return false;
  }
  if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) fail("the victim's stop", (uint64_t)status, SIGTRAP);
  return true;
}

static void victim_kill(pid_t pid) {
  int status = 0;
  if (kill(pid, SIGKILL) != 0 || waitpid(pid, &status, 0) != pid) fail("kill", (uint64_t)errno, 0);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) fail("the victim's end", (uint64_t)status, SIGKILL);
  run.kills++;
}

#ifdef __x86_64__
static uintptr_t victim_address(pid_t pid) {
  struct user_regs_struct regs;
  if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) != 0) fail("registers", (uint64_t)errno, 0);
  return regs.rip;
}

static void victim_poke(pid_t pid, uintptr_t address, long word) {
  if (ptrace(PTRACE_POKETEXT, pid, address, word) != 0) fail("breakpoint", (uint64_t)errno, 0);
}

// Runs the victim to the place where `step` instructions of its window are done. False: it came to its end before.
static bool victim_advance(pid_t pid, long step) {
  uintptr_t address = trace.address[step];
  errno = 0;
  long word = ptrace(PTRACE_PEEKTEXT, pid, address, NULL);
  if (errno != 0) fail("reading an instruction", (uint64_t)errno, 0);
  for (uint32_t pass = 0;; pass++) {
    victim_poke(pid, address, (word & ~0xffL) | 0xcc); // int3
    if (!victim_go(pid, PTRACE_CONT)) return false;
    struct user_regs_struct regs;
    if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) != 0) fail("registers", (uint64_t)errno, 0);
    expect("the breakpoint's address", regs.rip, address + 1);
    if (pass == trace.pass[step]) return true;
    regs.rip = address;
    if (ptrace(PTRACE_SETREGS, pid, NULL, &regs) != 0) fail("registers", (uint64_t)errno, 0);
    victim_poke(pid, address, word);
    if (!victim_go(pid, PTRACE_SINGLESTEP)) return false;
  }
}
#else
static uintptr_t victim_address(pid_t pid) {
  (void)pid;
  return 0; // not needed where every victim is stepped
}

static bool victim_advance(pid_t pid, long step) {
  for (long i = 0; i < step; i++) {
    if (!victim_go(pid, PTRACE_SINGLESTEP)) return false;
  }
  return true;
}
#endif

static bool victim_kill_at(struct world *w, long step) {
  pid_t pid = victim_start(w);
  if (!victim_advance(pid, step)) return false;
  victim_kill(pid);
  return true;
}

// Steps one victim through its whole window, writing down where it passed.
static void trace_take(struct world *w) {
  pid_t pid = victim_start(w);
  trace.steps = 0;
  do {
    if (trace.steps == STEPS_MAX) fail("instructions", STEPS_MAX, 0);
    uintptr_t address = victim_address(pid);
    uint32_t pass = 0;
    for (long i = 0; i < trace.steps; i++) pass += trace.address[i] == address;
    trace.address[trace.steps] = address;
    trace.pass[trace.steps] = pass;
    trace.steps++;
  } while (victim_go(pid, PTRACE_SINGLESTEP));
}

// What comes after the last death: the neighbours go on, this process is the successor, and everything must come to the right end.
static void world_finish(struct world *w) {
  supervisor_kick(w);
  neighbours_turn(w);
  w->scenario->work(w);
  neighbours_turn(w);
  w->scenario->check(w);
  world_close(w);
}

// A world with one death at `step`, and one of the successor at `step2` (which it may not reach: it has less to do) when that is not
// negative.
static void world_survives(const struct scenario *s, long step, long step2) {
  struct world w;
  run.step = step;
  run.step2 = step2;
  world_open(&w, s);
  if (!victim_kill_at(&w, step)) fail("the victim never came to this step", 0, 1);
  if (step2 >= 0) {
    supervisor_kick(&w);
    neighbours_turn(&w);
    (void)victim_kill_at(&w, step2);
  }
  world_finish(&w);
}

static void scenario_run(const struct scenario *s, uint64_t *random) {
  run.scenario = s->name;
  run.step = run.step2 = -1;
  run.sleepers_kicked = run.kills = 0;
  struct world w; // nobody is killed in this one; it also binds the library's symbols before instructions are counted
  world_open(&w, s);
  world_finish(&w);
  world_open(&w, s);
  trace_take(&w);
  world_finish(&w);
  for (long step = 0; step < trace.steps; step++) world_survives(s, step, -1);
  for (long step = 0; step < trace.steps; step += 5) {
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    world_survives(s, step, (long)((*random >> 33) % (uint64_t)trace.steps));
  }
  printf("ring_step: %-20s %5ld instructions, %6" PRIu64 " kills, %4" PRIu64 " left a neighbour asleep until it was rung\n", s->name,
         trace.steps, run.kills, run.sleepers_kicked);
  fflush(stdout);
}

int main(int argc, char **argv) {
  static const struct scenario scenarios[] = {
      {"writer", world_add_output, writer_work, writer_check, false},
      {"writer attaching", world_add_output, writer_work, writer_check, true},
      {"writer without room", world_add_output, blocked_work, blocked_check, false},
      {"reader", reader_setup, reader_work, reader_check, false},
      {"reader attaching", reader_setup, reader_work, reader_check, true},
      {"stage", stage_setup, stage_work, stage_check, false},
  };
  uint64_t random = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
  cpu_set_t one; // tracer and victim on one processor: a step is a switch, not a wake-up across the machine
  CPU_ZERO(&one);
  CPU_SET((size_t)sched_getcpu(), &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) fprintf(stderr, "ring_step: not pinned: %s\n", strerror(errno));
  uint64_t kicked = 0;
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
    scenario_run(&scenarios[i], &random);
    kicked += run.sleepers_kicked;
  }
  if (kicked == 0) {
    fprintf(stderr, "ring_step: no kill left a sleeper behind: this test would not see a lost bell\n");
    return 1;
  }
  return 0;
}
