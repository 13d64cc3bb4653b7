// The two ends of the control socket that both the command line and the supervisor need: the request line and the asking.
//
// The supervisor listens and answers (supervisor/control.c). Nothing here waits longer than ASK_SECONDS in all or keeps more than
// ANSWER_MOST.
#include "proto/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/buffer.h"
#include "proto/clock.h"
#include "proto/error.h"
#include "proto/json.h"
#include "proto/msgpack.h"

enum { ANSWER_MOST = 16 << 20, ASK_SECONDS = 10, READ_PIECE = 16384 };

static const struct {
  const char *name;
  enum control_verb verb;
} verbs[] = {{"status", CONTROL_STATUS}, {"stop", CONTROL_STOP}, {"reload", CONTROL_RELOAD}, {"retry", CONTROL_RETRY}};

static enum control_verb verb_of(const struct buffer *request) {
  const uint8_t *at, *end;
  struct msgpack_value name;
  if (!msgpack_find(request->at, request->at + request->length, "verb", 4, &at, &end)) return CONTROL_UNKNOWN;
  if (!msgpack_read(&at, end, &name) || name.type != MSGPACK_TEXT) return CONTROL_UNKNOWN;
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    if (name.length == strlen(verbs[i].name) && memcmp(name.bytes, verbs[i].name, name.length) == 0) return verbs[i].verb;
  return CONTROL_UNKNOWN;
}

enum control_verb control_parse(const char *line, size_t length) {
  char padded[CONTROL_REQUEST_MAX + JSON_PADDING] = {0};
  if (length > CONTROL_REQUEST_MAX) return CONTROL_UNKNOWN;
  memcpy(padded, line, length);
  struct json_parser *parser = json_parser_new();
  struct buffer request = {0};
  struct error e = {0};
  enum control_verb verb = CONTROL_UNKNOWN;
  if (json_to_msgpack(parser, padded, length, &request, &e)) verb = verb_of(&request);
  buffer_free(&request);
  json_parser_free(parser);
  return verb;
}

void control_print(enum control_verb verb, char out[CONTROL_REQUEST_MAX]) {
  const char *name = "";
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    if (verbs[i].verb == verb) name = verbs[i].name;
  (void)snprintf(out, CONTROL_REQUEST_MAX, "{\"verb\":\"%s\"}\n", name);
}

// The address of the socket. A path that is too long for sockaddr_un is reached through its folder's descriptor (*folder, else -1).
static bool address_of(const char *path, struct sockaddr_un *address, int *folder, struct error *e) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  *folder = -1;
  if (strlen(path) < sizeof address->sun_path) {
    strcpy(address->sun_path, path);
    return true;
  }
  const char *slash = strrchr(path, '/');
  char *parent = memory_text_n(path, slash ? (size_t)(slash - path) : 0);
  *folder = slash ? open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
  free(parent);
  if (*folder < 0) {
    error_set(e, ERROR_ENVIRONMENT, "not-running", "no weir is running there: %s: %s", path, strerror(slash ? errno : ENAMETOOLONG));
    return false;
  }
  int length = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", *folder, slash + 1);
  if (length > 0 && (size_t)length < sizeof address->sun_path) return true;
  close(*folder);
  error_set(e, ERROR_ENVIRONMENT, "not-running", "the name of the control socket is too long: %s", path);
  return false;
}

static int connect_to(const char *path, struct error *e) {
  struct sockaddr_un address;
  int folder;
  if (!address_of(path, &address, &folder, e)) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool connected = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
  int problem = errno;
  if (folder >= 0) close(folder);
  if (connected) return fd;
  if (fd >= 0) close(fd);
  if (problem == ENOENT || problem == ECONNREFUSED || problem == ENOTDIR)
    error_set(e, ERROR_ENVIRONMENT, "not-running", "no weir is running there: %s: %s", path, strerror(problem));
  else
    error_set(e, ERROR_ENVIRONMENT, "control", "connecting to %s: %s", path, strerror(problem));
  return -1;
}

// Waits for `events` until the deadline.
static bool wait_for(int fd, short events, uint64_t deadline, struct error *e) {
  for (;;) {
    uint64_t now = clock_monotonic_ns();
    int millis = now >= deadline ? 0 : (int)((deadline - now) / 1000000) + 1;
    struct pollfd wanted = {.fd = fd, .events = events};
    int ready = poll(&wanted, 1, millis);
    if (ready > 0) return true;
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) {
      error_set(e, ERROR_ENVIRONMENT, "control", "waiting for the running instance: %s", strerror(errno));
    } else {
      error_set(e, ERROR_ENVIRONMENT, "timeout", "the running instance gave no whole answer within %d seconds", ASK_SECONDS);
    }
    return false;
  }
}

static bool send_request(int fd, enum control_verb verb, uint64_t deadline, struct error *e) {
  char request[CONTROL_REQUEST_MAX];
  control_print(verb, request);
  size_t length = strlen(request), sent = 0;
  while (sent < length) {
    if (!wait_for(fd, POLLOUT, deadline, e)) return false;
    ssize_t n = send(fd, request + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      sent += (size_t)n;
    } else if (errno != EINTR && errno != EAGAIN) {
      error_set(e, ERROR_ENVIRONMENT, "control", "asking the running instance: %s", strerror(errno));
      return false;
    }
  }
  return true;
}

static bool read_answer(int fd, struct buffer *answer, uint64_t deadline, struct error *e) {
  size_t before = answer->length;
  for (;;) {
    if (!wait_for(fd, POLLIN, deadline, e)) return false;
    buffer_reserve(answer, READ_PIECE);
    ssize_t n = recv(fd, answer->at + answer->length, READ_PIECE, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) {
      error_set(e, ERROR_ENVIRONMENT, "control", "reading the answer of the running instance: %s", strerror(errno));
      return false;
    }
    if (n == 0) break;
    answer->length += (size_t)n;
    if (answer->length - before > ANSWER_MOST) {
      error_set(e, ERROR_ENVIRONMENT, "too-large", "the answer of the running instance is over %d MiB", ANSWER_MOST >> 20);
      return false;
    }
  }
  if (answer->length > before) return true;
  error_set(e, ERROR_ENVIRONMENT, "control", "the running instance closed the connection without an answer");
  return false;
}

bool control_ask(const char *socket_path, enum control_verb verb, struct buffer *answer, struct error *e) {
  int fd = connect_to(socket_path, e);
  if (fd < 0) return false;
  uint64_t deadline = clock_monotonic_ns() + ASK_SECONDS * (uint64_t)1000000000;
  bool done = send_request(fd, verb, deadline, e) && read_answer(fd, answer, deadline, e);
  close(fd);
  return done;
}
