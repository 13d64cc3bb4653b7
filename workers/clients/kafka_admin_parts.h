// What kafka_admin.c and kafka_partition.c share. Included by them only.
#pragma once
#include "workers/clients/kafka_admin.h"
#include "workers/clients/kafka_parts.h"

struct kafka_admin {
  rd_kafka_t *rk;
  struct kafka_admin_setup setup;
};

// Waiting for something, in slices of about a second, with a tick in each.
struct kafka_admin_wait {
  struct kafka_admin *admin;
  const char *what;
  uint64_t began_ns;
};
void kafka_admin_wait_begin(struct kafka_admin_wait *w, struct kafka_admin *a, const char *what);
// False: it has taken too long, e is ERROR_OUTAGE.
bool kafka_admin_wait_on(struct kafka_admin_wait *w, struct error *e);
