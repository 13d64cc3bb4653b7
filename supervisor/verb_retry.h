// `weir dlq retry`: marks dead letters, then has them sent again.
//
// NAME          retry_verb - flag, mark, send
// DESCRIPTION   For each node whose letters fit the filter the flag is raised (retry_flag.h), then the letters are marked in one
// transaction of
//               each store. A running instance is asked to send them; without one this process takes the state folder and sends them
//               itself, as --once does, nothing else.
// DIAGNOSTICS   Exit codes as `weir run --once`; 1 too when a store cannot be reached (what is marked is sent all the same). Letters whose
//               node the file no longer has, or whose sink no longer stands behind it, stay dead letters, and it says so.
#pragma once
#include <stdbool.h>

#include "supervisor/plan.h"

int retry_verb(const struct plan *plan, const struct store_filter *filter, bool json);
