// What the commands say to a running instance: one line of JSON each way over the unix socket <state>/control, mode 0600.
// Requests: {"verb":"status"} {"verb":"stop"} {"verb":"reload"} {"verb":"retry"}. Answers: one JSON object and end of file; {"error":"..."}
// when refused.
#pragma once
#include <stdbool.h>
#include <stddef.h>
struct buffer;
struct error;

enum control_verb { CONTROL_UNKNOWN, CONTROL_STATUS, CONTROL_STOP, CONTROL_RELOAD, CONTROL_RETRY };
enum { CONTROL_REQUEST_MAX = 256 };

enum control_verb control_parse(const char *line, size_t length);
void control_print(enum control_verb verb, char out[CONTROL_REQUEST_MAX]);
// Connects, asks, reads the whole answer (at most 16 MiB, 10 s). ERROR_ENVIRONMENT code "not-running" when nobody listens.
bool control_ask(const char *socket_path, enum control_verb verb, struct buffer *answer, struct error *e);
