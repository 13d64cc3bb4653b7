// The chain of a retry: a source for the dead letters of one node, and everything that stands behind that node, as the plan has it.
//
//   letters of a transform or a sink:  retry:NODE -> NODE -> what reads it        of a source:  retry:NODE -> what reads NODE
//
// A topic that is written and read has letters of two kinds: what the reader could not read, in the sinks behind it, and what the writer
// could not write, in its own store. So retries have keys: the node's name, and `to:NAME` for what such a topic is to be written.
//
// Called by retry.c and the verb. The nodes and chains that the plan has are neither changed nor moved: lanes point at them.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "supervisor/plan.h"

#define RETRY_TO "to:"

// The key for letters of that node in the store of that sink; owned by the caller.
char *plan_retry_key(const struct plan_node *node, const struct plan_node *sink);
// Makes room for one such chain for each key of the plan. Before anybody points into the plan.
void plan_retry_reserve(struct plan *plan);
// The chain for that key, made when it is not there yet; NULL when nothing in the plan runs that node, or there is no room.
const struct plan_chain *plan_retry_chain(struct plan *plan, const char *key);
// Whether that sink stands behind that node, or is it.
bool plan_retry_reaches(const struct plan *plan, const char *node, const char *sink);
