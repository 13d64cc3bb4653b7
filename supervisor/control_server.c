// See control_server.h for the manual page.
#include "supervisor/control_server.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "proto/control.h"
#include "supervisor/instance.h"
#include "supervisor/json_text.h"
#include "supervisor/status.h"

struct control_client {
  struct instance *instance;
  int fd;
  struct event *event;
  char request[CONTROL_REQUEST_MAX];
  size_t length;
  struct buffer answer;
  size_t sent;
};

static const struct timeval patience = {.tv_sec = CONTROL_SECONDS};

static void client_close(struct control_client *c) {
  for (int n = 0; n < CONTROL_CLIENTS; n++)
    if (c->instance->control.clients[n] == c) c->instance->control.clients[n] = NULL;
  if (c->event) event_free(c->event);
  close(c->fd);
  buffer_free(&c->answer);
  free(c);
}

// ---- answering

// Sends what the socket takes now. True when the client is gone: everything is sent, or it broke off.
static bool client_send(struct control_client *c) {
  while (c->sent < c->answer.length) {
    ssize_t n = send(c->fd, c->answer.at + c->sent, c->answer.length - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return false;
    if (n < 0) break;
    c->sent += (size_t)n;
  }
  client_close(c);
  return true;
}

static void client_writable(int fd, short what, void *context) {
  (void)fd;
  struct control_client *c = context;
  if (what & EV_TIMEOUT)
    client_close(c);
  else
    client_send(c);
}

void control_answer(struct control_client *c, const struct buffer *text) {
  if (!c) return;
  buffer_add(&c->answer, text->at, text->length);
  if (client_send(c)) return;
  if (c->event) event_free(c->event);
  c->event = event_new(c->instance->base, c->fd, EV_WRITE | EV_PERSIST, client_writable, c);
  if (!c->event || event_add(c->event, &patience) != 0) client_close(c);
}

void control_refuse(struct control_client *c, const char *text) {
  struct buffer answer = {0};
  struct json_text j = {.out = &answer};
  json_text_open(&j, NULL, '{');
  json_text_string(&j, "error", text);
  json_text_close(&j, '}');
  buffer_byte(&answer, '\n');
  control_answer(c, &answer);
  buffer_free(&answer);
}

// ---- asking

static void answer_status(struct control_client *c) {
  struct buffer text = {0};
  status_json(c->instance, &text);
  control_answer(c, &text);
  buffer_free(&text);
}

static void answer_stop(struct control_client *c) {
  struct instance *i = c->instance;
  struct buffer text = {0};
  buffer_print(&text, "{\"stopping\":true,\"pid\":%d,\"drain_ms\":%llu}\n", (int)getpid(), (unsigned long long)i->plan->drain_ms);
  control_answer(c, &text);
  buffer_free(&text);
  stop_ask(i, "weir stop");
}

static void client_ask(struct control_client *c) {
  event_free(c->event);
  c->event = NULL;
  switch (control_parse(c->request, c->length)) {
  case CONTROL_STATUS: answer_status(c); break;
  case CONTROL_STOP: answer_stop(c); break;
  case CONTROL_RELOAD: reload_begin(c->instance, c); break;
  case CONTROL_RETRY: retry_begin(c->instance, c); break;
  case CONTROL_UNKNOWN: control_refuse(c, "this weir does not know that request"); break;
  }
}

static void client_readable(int fd, short what, void *context) {
  struct control_client *c = context;
  if (what & EV_TIMEOUT) {
    client_close(c);
    return;
  }
  ssize_t n = recv(fd, c->request + c->length, sizeof c->request - c->length, MSG_DONTWAIT);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n <= 0) {
    client_close(c);
    return;
  }
  c->length += (size_t)n;
  const char *end = memchr(c->request, '\n', c->length);
  if (!end && c->length < sizeof c->request) return;
  c->length = end ? (size_t)(end - c->request) : c->length;
  client_ask(c);
}

static void client_accept(int listener, short what, void *context) {
  (void)what;
  struct instance *i = context;
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  int place = 0;
  while (place < CONTROL_CLIENTS && i->control.clients[place]) place++;
  if (place == CONTROL_CLIENTS) {
    close(fd);
    return;
  }
  struct control_client *c = memory_get(sizeof *c);
  *c = (struct control_client){.instance = i, .fd = fd};
  i->control.clients[place] = c;
  c->event = event_new(i->base, fd, EV_READ | EV_PERSIST, client_readable, c);
  if (!c->event || event_add(c->event, &patience) != 0) client_close(c);
}

// ---- the socket

// Binds through the folder's descriptor: a path may be longer than a socket address.
static bool socket_bind(int fd, int folder) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control", folder);
  // One left by an instance that was killed: the lock says that nobody listens there.
  if (unlinkat(folder, "control", 0) != 0 && errno != ENOENT) return false;
  mode_t before = umask(0177);
  bool bound = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
  umask(before);
  return bound && listen(fd, CONTROL_CLIENTS) == 0;
}

bool control_server_open(struct instance *i, struct error *e) {
  struct control_server *s = &i->control;
  s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s->fd >= 0 && socket_bind(s->fd, i->folder.folder)) {
    s->event = event_new(i->base, s->fd, EV_READ | EV_PERSIST, client_accept, i);
    if (s->event && event_add(s->event, NULL) == 0) return true;
  }
  error_set(e, ERROR_ENVIRONMENT, "control", "cannot make the control socket in %s: %s", i->folder.path, strerror(errno));
  return false;
}

void control_server_close(struct instance *i) {
  struct control_server *s = &i->control;
  for (int n = 0; n < CONTROL_CLIENTS; n++)
    if (s->clients[n]) client_close(s->clients[n]);
  if (s->event) {
    event_free(s->event);
    // An answer to nobody is better than a socket file that nobody listens to; it may be gone already.
    unlinkat(i->folder.folder, "control", 0);
  }
  if (s->fd >= 0) close(s->fd);
  *s = (struct control_server){.fd = -1};
}
