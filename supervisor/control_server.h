// The control socket: what the commands ask a running instance.
//
// NAME          control_server - STATE/control, mode 0600
// DESCRIPTION   One request line each way (proto/control.h). `status` is answered at once; `stop` says yes and begins the end; `reload`
//               is answered when the file has been checked. At most CONTROL_CLIENTS at a time, each with CONTROL_SECONDS to ask and to
//               take its answer: a client that hangs costs nothing.
// DIAGNOSTICS   ERROR_ENVIRONMENT when the socket cannot be made. Clients that break off are forgotten in silence.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "proto/error.h"

struct buffer;
struct control_client;
struct event;
struct instance;

enum { CONTROL_CLIENTS = 16, CONTROL_SECONDS = 10 };

struct control_server {
  int fd;
  struct event *event;
  struct control_client *clients[CONTROL_CLIENTS];
};

bool control_server_open(struct instance *i, struct error *e);
// Closes all connections and takes the socket away.
void control_server_close(struct instance *i);
// Answers a client that was told to wait (reload); it is gone afterwards. `client` NULL: nobody asked.
void control_answer(struct control_client *client, const struct buffer *text);
// {"error": TEXT}
void control_refuse(struct control_client *client, const char *text);
