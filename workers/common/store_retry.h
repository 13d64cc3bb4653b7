// Dead letters on their way back: the journal `retry:NODE` of a sink's store.
//
// Called by the verb that marks letters and by the retry source, which reads them; implemented in workers/sinks/store_retry.c.
//
// A letter whose `retry` is set is none any more: it is a record of stream `retry:NODE`, and that number is its position. Both are one
// column of one row, so marking is one transaction, and nothing is ever in both places or in none. Table weir_retry beside weir_dead holds,
// for each (pipeline, node, sink), the identity of that stream and the highest number given out: numbers are never given twice, though the
// rows are deleted when all sinks have them.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "workers/common/stores.h"

enum { STORE_RETRY_ID = 33 };

// Makes records of the stream out of letters of one node that the filter takes, oldest first, in one transaction. Letters whose original
// was cut stay: what is missing cannot be made again. `filter->node` is not looked at. After an error the store must be closed.
bool store_retry_mark(struct store *s, const char *node, const struct store_filter *filter, uint64_t *marked, struct error *e);

struct store_retry {
  bool found; // something was marked once
  char id[STORE_RETRY_ID];
  uint64_t last; // the highest number given out
};
bool store_retry_look(struct store *s, const char *node, struct store_retry *stream, struct error *e);

struct store_retried {
  uint64_t number;
  int64_t again;                                        // which row of the record; -1: all
  const char *first, *format, *reason, *code, *message; // valid during the call
  const uint8_t *data;
  size_t length;
};
typedef void store_retried_told(void *context, const struct store_retried *letter);
// The first `most` records behind `after`, in order.
bool store_retry_read(struct store *s, const char *node, uint64_t after, unsigned most, store_retried_told *tell, void *context,
                      struct error *e);
// Every sink has the records up to `upto`: they go.
bool store_retry_done(struct store *s, const char *node, uint64_t upto, struct error *e);
