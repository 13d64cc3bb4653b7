// The fixed header in front of each record's msgpack. Copied in and out, because a payload in a ring has no alignment that C could rely on.
#include "proto/record.h"

#include <string.h>

bool record_read(const uint8_t *payload, uint32_t length, struct record_header *header, const uint8_t **body, const uint8_t **body_end) {
  if (length < sizeof *header) return false;
  struct record_header read;
  memcpy(&read, payload, sizeof read);
  if (read.kind < RECORD_DATA || read.kind > RECORD_END) return false;
  if ((read.flags & ~(unsigned)(RECORD_LAST | RECORD_RETRY | RECORD_DELETE)) != 0) return false;
  uint32_t behind = read.kind == RECORD_DATA ? read.message : 0;
  if (behind > length - sizeof read) return false;
  *header = read;
  *body = payload + sizeof read;
  *body_end = payload + length - behind;
  return true;
}

void record_write(uint8_t *payload, const struct record_header *header) {
  memcpy(payload, header, sizeof *header);
}
