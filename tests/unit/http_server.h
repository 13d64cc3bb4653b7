// A small HTTP server in a child process, for tests: one connection at a time, each request answered by the test's own function. What was
// asked stands in memory shared with the test.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SERVER_REQUESTS = 256, SERVER_TEXT = 2048 };

struct server_log {
  _Atomic unsigned count;
  char requests[SERVER_REQUESTS][SERVER_TEXT];
};

struct server {
  struct server_log *log; // shared
  pid_t pid;
  int port;
};

// Answers request `number` (from 1). The connection is closed afterwards.
typedef void server_answer(int fd, const char *request, unsigned number);

static inline void server_send(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
    if (n <= 0) return; // the client may hang up in the middle: that is what some tests are about
    bytes += n;
    length -= (size_t)n;
  }
}

// A whole answer; `headers` are lines ending in \r\n.
static inline void server_reply(int fd, const char *status, const char *headers, const char *body) {
  char head[2048];
  int length =
      snprintf(head, sizeof head, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n", status, headers, strlen(body));
  server_send(fd, head, (size_t)length);
  server_send(fd, body, strlen(body));
}

static inline void server_serve(struct server *s, int listener, server_answer *answer) {
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    char text[SERVER_TEXT] = "";
    size_t length = 0;
    while (length < sizeof text - 1 && !strstr(text, "\r\n\r\n")) {
      ssize_t n = recv(fd, text + length, sizeof text - 1 - length, 0);
      if (n <= 0) break;
      length += (size_t)n;
      text[length] = '\0';
    }
    if (length > 0) {
      unsigned number = atomic_load(&s->log->count);
      if (number < SERVER_REQUESTS) memcpy(s->log->requests[number], text, sizeof text);
      atomic_store(&s->log->count, number + 1);
      answer(fd, text, number + 1);
    }
    shutdown(fd, SHUT_WR);
    close(fd);
  }
}

static inline void server_start(struct server *s, server_answer *answer) {
  s->log = mmap(NULL, sizeof *s->log, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(s->log != MAP_FAILED);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof at;
  assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
  assert_int_equal(listen(listener, 16), 0);
  assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &length), 0);
  s->port = ntohs(at.sin_port);
  fflush(NULL);
  s->pid = fork();
  assert_true(s->pid >= 0);
  if (s->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    server_serve(s, listener, answer);
  }
  close(listener);
}

static inline void server_stop(struct server *s) {
  kill(s->pid, SIGKILL);
  waitpid(s->pid, NULL, 0);
  munmap(s->log, sizeof *s->log);
}

static inline unsigned server_count(const struct server *s) {
  return atomic_load(&s->log->count);
}
