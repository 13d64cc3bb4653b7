// The chain of a retry: a source for the dead letters of one node, and everything that stands behind that node, as the plan has it.
//
//   letters of a transform or a sink:  retry:NODE -> NODE -> what reads it        of a source:  retry:NODE -> what reads NODE
//
// Called by retry.c. The nodes and chains that the plan has are neither changed nor moved: lanes point at them.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "supervisor/plan.h"

// Makes room for one such chain for each node of the plan. Before anybody points into the plan.
void plan_retry_reserve(struct plan *plan);
// The chain for that node, made when it is not there yet; NULL when nothing in the plan runs that node, or there is no room.
const struct plan_chain *plan_retry_chain(struct plan *plan, const char *node);
// Whether that sink stands behind that node, or is it.
bool plan_retry_reaches(const struct plan *plan, const char *node, const char *sink);
