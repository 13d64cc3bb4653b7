// The body of a dead letter: written by the worker at which an input died, read by the sink behind it that stores it, and by `weir dlq`.
//
// Invariant: what dead_write writes fits into dead_size bytes, whatever the texts hold.
#include "proto/dead.h"

#include <string.h>

#include "proto/limits.h"
#include "proto/utf8.h"

enum { FIELDS = 7, HEAD = 5 };

static uint32_t text_length(const char *text) {
  return text ? (uint32_t)strlen(text) : 0;
}

// A text may come from a server in any encoding; it is stored as UTF-8, with '?' for each byte that is none, so that every target takes it.
static void write_pair(struct msgpack_writer *w, const char *key, const char *text) {
  uint32_t length = text_length(text);
  msgpack_write_cstring(w, key);
  msgpack_write_text(w, text ? text : "", length);
  if (w->overflow) return;
  utf8_mend(w->at - length, length);
}

uint32_t dead_size(const struct dead_letter *d) {
  static const char keys[] = "node"
                             "reason"
                             "code"
                             "format"
                             "data"
                             "cut"
                             "detail"
                             "column"
                             "constraint"
                             "message";
  uint32_t data = d->data_length > LIMIT_DEAD_DATA ? LIMIT_DEAD_DATA : d->data_length;
  // Two maps, ten keys and as many values, each with the longest head there is.
  uint32_t heads = HEAD * (2 + 10 + 10);
  return (uint32_t)sizeof keys + heads + data + text_length(d->node) + text_length(d->reason) + text_length(d->code) +
         text_length(d->format) + text_length(d->column) + text_length(d->constraint) + text_length(d->message);
}

void dead_write(struct msgpack_writer *w, const struct dead_letter *d, uint32_t data_room) {
  uint32_t most = data_room < LIMIT_DEAD_DATA ? data_room : LIMIT_DEAD_DATA;
  uint32_t length = d->data_length < most ? d->data_length : most;
  msgpack_write_map(w, FIELDS);
  write_pair(w, "node", d->node);
  write_pair(w, "reason", d->reason);
  write_pair(w, "code", d->code);
  write_pair(w, "format", d->format);
  msgpack_write_cstring(w, "data");
  msgpack_write_bytes(w, d->data, length);
  msgpack_write_cstring(w, "cut");
  msgpack_write_bool(w, d->cut || length < d->data_length);
  msgpack_write_cstring(w, "detail");
  msgpack_write_map(w, 3);
  write_pair(w, "column", d->column);
  write_pair(w, "constraint", d->constraint);
  write_pair(w, "message", d->message);
}

// One field whose value is a text or bytes. Absent: "" of length 0. False: present, but of another kind.
static bool read_field(const uint8_t *map, const uint8_t *end, const char *key, enum msgpack_type type, const uint8_t **bytes,
                       uint32_t *length) {
  const uint8_t *at, *at_end;
  *bytes = (const uint8_t *)"";
  *length = 0;
  if (!msgpack_find(map, end, key, strlen(key), &at, &at_end)) return true;
  struct msgpack_value value;
  if (!msgpack_read(&at, at_end, &value) || value.type != type) return false;
  *bytes = value.bytes;
  *length = value.length;
  return true;
}

static bool read_text(const uint8_t *map, const uint8_t *end, const char *key, const char **text, uint32_t *length) {
  const uint8_t *bytes;
  if (!read_field(map, end, key, MSGPACK_TEXT, &bytes, length)) return false;
  *text = (const char *)bytes;
  return true;
}

bool dead_read(const uint8_t *at, const uint8_t *end, struct dead_letter *d) {
  *d = (struct dead_letter){.column = "", .constraint = "", .message = ""};
  const uint8_t *whole = at, *head = at;
  if (!msgpack_skip(&whole, end) || whole != end) return false;
  struct msgpack_value value;
  if (!msgpack_read(&head, end, &value) || value.type != MSGPACK_MAP) return false;
  if (!read_text(at, end, "node", &d->node, &d->node_length) || !read_text(at, end, "reason", &d->reason, &d->reason_length) ||
      !read_text(at, end, "code", &d->code, &d->code_length) || !read_text(at, end, "format", &d->format, &d->format_length) ||
      !read_field(at, end, "data", MSGPACK_BYTES, &d->data, &d->data_length))
    return false;
  const uint8_t *found, *found_end;
  if (msgpack_find(at, end, "cut", 3, &found, &found_end)) {
    if (!msgpack_read(&found, found_end, &value) || value.type != MSGPACK_BOOL) return false;
    d->cut = value.boolean;
  }
  if (!msgpack_find(at, end, "detail", 6, &found, &found_end)) return true;
  return read_text(found, found_end, "column", &d->column, &d->column_length) &&
         read_text(found, found_end, "constraint", &d->constraint, &d->constraint_length) &&
         read_text(found, found_end, "message", &d->message, &d->message_length);
}
