// `checks:`: conditions over the output columns, after their casts. Only inside workers/sql/.
#pragma once
#include "workers/sql/engine_parts.h"

// Prepares them all. False: at least one problem is added.
bool sql_checks_open(struct sql_engine *engine, const struct sql_spec *spec, struct sql_problems *problems);
// The row written last. GOOD, or BAD with the first check that is false (null passes, as in a CHECK of a table).
enum sql_row sql_checks_row(struct sql_engine *engine, struct sql_failure *failure);
