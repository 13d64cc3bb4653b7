// Preparing SQL whose tables have no fixed columns. Only inside workers/sql/.
#pragma once
#include "workers/sql/engine_parts.h"

// Prepares spec->sql: engine->statement, the input that it reads, the columns that it names. False: a problem is added.
bool sql_discover(struct sql_engine *engine, const struct sql_spec *spec, struct sql_problems *problems);

// Adds a problem. `suggestion` may be NULL.
void sql_problem_add(struct sql_problems *problems, bool warning, const char *setting, long offset, const char *suggestion,
                     const char *format, ...) __attribute__((format(printf, 6, 7)));
// The name of `count` that is nearest to `name`, when it is near enough to be meant; NULL otherwise.
const char *sql_nearest(const char *name, const char *const *names, size_t count);
