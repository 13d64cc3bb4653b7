// The body of a RECORD_DEAD: why an input or a row did not go on, and its original bytes.
// Map: node text, reason text, code text, data bytes (at most LIMIT_DEAD_DATA), cut bool (true when data was longer), format text
// ("msgpack": data is the node's input record; "tombstone": the same, of a record that deletes; "raw": bytes as the source read them),
// detail map (constraint, column, message texts; message: what it was in its topic, dead_message.h).
#pragma once
#include "proto/msgpack.h"
#include <stdbool.h>
#include <stdint.h>

struct dead_letter {
  const char *node, *reason, *code, *format, *column, *constraint, *message; // NULL prints as ""
  // After dead_read, whose texts are not terminated.
  uint32_t node_length, reason_length, code_length, format_length, column_length, constraint_length, message_length;
  const uint8_t *data;
  uint32_t data_length;
  bool cut;
};
// Upper bound of the encoded size, for the reservation.
uint32_t dead_size(const struct dead_letter *d);
// Encodes (texts are NUL-terminated here; lengths are ignored). Cuts data at LIMIT_DEAD_DATA, or at `data_room` when that is less.
void dead_write(struct msgpack_writer *w, const struct dead_letter *d, uint32_t data_room);
bool dead_read(const uint8_t *at, const uint8_t *end, struct dead_letter *d);
