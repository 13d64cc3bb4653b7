// Spawning: one new process for a seat.
//
// NAME          spawn - fork, arrange descriptors, exec ourselves as a worker
// DESCRIPTION   The child dies with the supervisor (PR_SET_PDEATHSIG, then getppid checked), ignores the signals that a terminal or a
//               service manager sends to the whole group (the supervisor decides what they mean), has an empty signal mask, and holds
//               only: 0 (sources; /dev/null for all others), 1 and 2 (a pipe that the supervisor reads), JOB_FD, and what the job names.
//               Then it executes /proc/self/exe with `--worker NODE/LANE`, so that a worker is always of the same build as its
//               supervisor.
//               WEIR_WORKER=role/node and WEIR_GENERATION stand in its environment, for people who look at processes and for tests.
// DIAGNOSTICS   A process that cannot be made is an environment error and ends the pipeline with 3; one that cannot be executed exits with
//               WORKER_EXIT_ENVIRONMENT after a line on its standard error.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/job.h"
#include "shm/crash_point.h"
#include "supervisor/instance.h"
#include "supervisor/job_memfd.h"
#include "supervisor/lane.h"
#include "supervisor/say.h"

static void child_fail(const char *what) {
  dprintf(STDERR_FILENO, "a worker cannot be started: %s: %s\n", what, strerror(errno));
  _exit(WORKER_EXIT_ENVIRONMENT);
}

static void child_signals(void) {
  static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
  static const int plain[] = {SIGCHLD, SIGUSR1, SIGUSR2};
  for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) signal(plain[i], SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child_descriptors(const struct seat *seat, int job, int output, const struct job_fds *fds) {
  bool source = seat->plan->kind->role == WORKER_PRODUCER;
  int input = !source ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
  if (input >= 0 && dup2(input, STDIN_FILENO) < 0) child_fail("standard input");
  if (dup2(output, STDERR_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0) child_fail("standard error");
  // Number JOB_FD is never one of ours (run.c occupies it), so nothing that the job names is lost here.
  if (dup2(job, JOB_FD) < 0) child_fail("the job");
  for (unsigned i = 0; i < fds->count; i++)
    if (fcntl(fds->fd[i], F_SETFD, 0) != 0) child_fail("a descriptor");
}

static void child_environment(const struct seat *seat) {
  char text[32];
  char *worker = memory_print("%s/%s", worker_role_name(seat->plan->kind->role), seat->node->name);
  snprintf(text, sizeof text, "%u", seat->spawned);
  if (setenv("WEIR_WORKER", worker, 1) != 0 || setenv("WEIR_GENERATION", text, 1) != 0) child_fail("the environment");
  unsetenv("NOTIFY_SOCKET");
}

// In the child. Everything that the supervisor opened is close-on-exec, so what is not named by the job ends at the exec.
static void child_run(const struct seat *seat, pid_t supervisor, int job, int output, const struct job_fds *fds) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) child_fail("PR_SET_PDEATHSIG");
  if (getppid() != supervisor) _exit(WORKER_EXIT_AGAIN); // it died in between, and the signal will never come
  child_signals();
  child_descriptors(seat, job, output, fds);
  child_environment(seat);
  execl("/proc/self/exe", "weir", "--worker", seat->name, (char *)NULL);
  child_fail("/proc/self/exe");
}

static void spawn_failed(struct seat *seat, const char *what, const char *why) {
  struct log_line l;
  say_begin(seat->lane->instance, &l, LOG_LEVEL_ERROR, "a worker cannot be started", seat);
  log_text(&l, "what", what);
  log_text(&l, "error", why);
  log_text(&l, "next", "the pipeline stops with 3");
  log_end(&l);
  stop_failed(seat->lane->instance, seat, 3, why);
}

static void seat_begins(struct seat *seat, pid_t pid, int output) {
  seat->pid = pid;
  seat->state = SEAT_RUNNING;
  seat->started_ns = clock_monotonic_ns();
  seat->kill_reason = NULL;
  worker_output_begin(seat, output);
  seat->spawned++;
}

void seat_spawn(struct seat *seat) {
  struct error e = {0};
  struct job_fds fds;
  int job = job_memfd_make(seat, &fds, &e);
  if (job < 0) {
    spawn_failed(seat, "its job", e.text);
    return;
  }
  int output[2] = {-1, -1};
  if (pipe2(output, O_CLOEXEC | O_NONBLOCK) != 0 || fcntl(output[1], F_SETFL, 0) != 0) {
    spawn_failed(seat, "a pipe for its output", strerror(errno));
  } else {
    pid_t self = getpid(), pid = fork();
    if (pid == 0) child_run(seat, self, job, output[1], &fds);
    CRASH_POINT("supervisor.forked");
    if (pid > 0)
      seat_begins(seat, pid, output[0]);
    else
      spawn_failed(seat, "a process", strerror(errno));
    if (pid < 0) close(output[0]);
  }
  if (output[1] >= 0) close(output[1]);
  close(job);
}
