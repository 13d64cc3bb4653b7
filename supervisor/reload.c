// See reload.h for the manual page.
#include "supervisor/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/instance.h"
#include "supervisor/say.h"

enum { SAID_MOST = 16384 };

// ---- the check

static void check_run(const struct instance *i, pid_t supervisor, int said) {
  static const int plain[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGPIPE};
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != supervisor) _exit(3);
  for (size_t s = 0; s < sizeof plain / sizeof *plain; s++) signal(plain[s], SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nowhere < 0 || dup2(nowhere, STDIN_FILENO) < 0 || dup2(nowhere, STDOUT_FILENO) < 0 || dup2(said, STDERR_FILENO) < 0) _exit(3);
  unsetenv("NOTIFY_SOCKET");
  execl("/proc/self/exe", "weir", "check", i->options.file, "--no-color", "--state", i->folder.path, (char *)NULL);
  _exit(3);
}

static void refuse(struct instance *i, struct control_client *client, const char *why) {
  say(i, LOG_LEVEL_WARN, "no reload: %s", why);
  control_refuse(client, why);
}

void reload_begin(struct instance *i, struct control_client *client) {
  struct reload *r = &i->reload;
  if (i->options.retry_only) {
    refuse(i, client, "this only sends dead letters again, and ends by itself");
    return;
  }
  if (i->stop.phase != STOP_RUNNING || r->state != RELOAD_IDLE) {
    refuse(i, client, r->state == RELOAD_IDLE ? "weir is stopping" : "a reload is under way");
    return;
  }
  r->said = memfd_create("weir-check", MFD_CLOEXEC);
  pid_t self = getpid(), pid = r->said < 0 ? -1 : fork();
  if (pid == 0) check_run(i, self, r->said);
  if (pid < 0) {
    if (r->said >= 0) close(r->said);
    refuse(i, client, "no process can be made to check the file");
    return;
  }
  notify_reloading(&i->notify);
  say(i, LOG_LEVEL_INFO, "reload: checking %s", i->options.file);
  r->pid = pid;
  r->client = client;
  r->state = RELOAD_CHECKING;
}

// ---- the answer

static char *said_read(int fd) {
  char *text = memory_get(SAID_MOST + 1);
  ssize_t got = pread(fd, text, SAID_MOST, 0);
  text[got > 0 ? got : 0] = '\0';
  return text;
}

// The messages of the check as they are; in a JSON log each line in a log line.
static void said_show(struct instance *i, const char *text) {
  while (*text) {
    size_t length = strcspn(text, "\n");
    if (i->options.log_json) {
      struct log_line l;
      say_begin(i, &l, LOG_LEVEL_ERROR, "check", NULL);
      log_text_n(&l, "text", text, length);
      log_end(&l);
    } else {
      say_raw(i, text, length);
    }
    text += length + (text[length] == '\n');
  }
}

static void check_bad(struct instance *i, struct control_client *client, const char *text) {
  said_show(i, text);
  say(i, LOG_LEVEL_ERROR, "reload: the file is not good; the pipeline goes on as before");
  notify_say(&i->notify, "READY=1");
  char *answer = memory_print("the file is not good; the pipeline goes on as before\n%s", text);
  control_refuse(client, answer);
  free(answer);
}

static void check_good(struct instance *i, struct control_client *client) {
  struct buffer answer = {0};
  buffer_print(&answer, "{\"reloading\":true,\"pid\":%d}\n", (int)getpid());
  control_answer(client, &answer);
  buffer_free(&answer);
  i->reload.state = RELOAD_DRAINING;
  stop_ask(i, "reload: the file is good");
}

void reload_reaped(struct instance *i, pid_t pid, int status) {
  struct reload *r = &i->reload;
  if (r->state != RELOAD_CHECKING || pid != r->pid) return; // an orphan of somebody else: reaped, and that is all
  char *text = said_read(r->said);
  struct control_client *client = r->client;
  close(r->said);
  r->client = NULL;
  r->state = RELOAD_IDLE;
  if (i->stop.phase != STOP_RUNNING)
    control_refuse(client, "weir is stopping");
  else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
    check_good(i, client);
  else
    check_bad(i, client, text);
  free(text);
}

void reload_exec(struct instance *i) {
  struct error e = {0};
  if (state_folder_keep(&i->folder, &e)) {
    say(i, LOG_LEVEL_INFO, "reload: drained, starting again");
    execv("/proc/self/exe", i->options.argv);
    error_set(&e, ERROR_ENVIRONMENT, "exec", "cannot execute /proc/self/exe: %s", strerror(errno));
  }
  say(i, LOG_LEVEL_ERROR, "reload: %s", e.text);
}
