// The record: a fixed header, then one msgpack map, in one ring payload. Written in place by workers, read in place by the next. Behind the
// map of a row lies what it carries of the message that it came from (message_tail.h), where it came from one.
//
// Origin of a record = (stream, position, part). Each stage numbers the parts anew over all rows it makes of one input, dead ones included,
// from 0; the last one carries RECORD_LAST. A turn whose last input gave no row ends with a progress mark for it.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum record_kind {
  RECORD_DATA = 1,     // body: the msgpack map
  RECORD_DEAD = 2,     // body: a map as in dead.h; flows on untouched to a sink behind its node
  RECORD_PROGRESS = 3, // no body: the stream is finished up to and including `position`
  RECORD_STREAM = 4,   // no body: the stream table has changed (a new stream, or a start was resolved): sinks look at it
  RECORD_BARRIER = 5,  // no body: sinks commit what they hold at once; `position` numbers it
  RECORD_END = 6,      // no body: end of the run; everybody finishes
};

enum record_flag {
  RECORD_LAST = 1,  // last part of its input
  RECORD_RETRY = 2, // re-entered from a dead letter: only part number `code` of what it gives at the node is passed on
  // RECORD_DATA only: a tombstone of a topic. The body holds the key alone (its fields, or `_key`); what is known by that key is to go. A
  // stage passes the flag on to every row that it makes of the record.
  RECORD_DELETE = 4,
};

// In `code`: not one row of the record, but all.
#define RECORD_PART_ALL UINT32_MAX

struct record_header {
  uint8_t kind;  // enum record_kind
  uint8_t flags; // enum record_flag
  union {
    uint16_t node;    // RECORD_DEAD: index of the node at which it died (the plan's numbering)
    uint16_t message; // RECORD_DATA: bytes behind the body, of the message that it came from; 0: none
  };
  uint32_t stream;   // handle in the lane's stream table
  uint64_t position; // rises along the stream
  uint32_t part;
  uint32_t code;    // RECORD_RETRY: the part wanted; RECORD_DEAD: the part to ask for when it is retried (RECORD_PART_ALL: all)
  uint64_t witness; // the source's check value for "the bytes before the position behind this input" (workers/streams.h)
  int64_t time;     // event or arrival time, microseconds UTC: what now() gives
};
_Static_assert(sizeof(struct record_header) == 40, "the header is part of the format");

// True when a payload of `length` bytes holds a header with known kind and flags; *body and *body_end frame the msgpack (not checked). What
// is carried of a message lies at *body_end.
bool record_read(const uint8_t *payload, uint32_t length, struct record_header *header, const uint8_t **body, const uint8_t **body_end);
// Writes the header at the start of a reservation; the body goes behind it.
void record_write(uint8_t *payload, const struct record_header *header);
