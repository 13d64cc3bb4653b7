// What the prepared program allows: may one run take many records (the batch form), what is refused, and which columns nobody needs to
// decode. Only inside workers/sql/.
//
// Invariant behind all of it: the SELECT means one run per record. The batch form is taken only when the program proves that it gives the
// same rows in the same order.
#pragma once
#include "workers/sql/engine_parts.h"

// Judges engine->statement: sets engine->batch and engine->form, the use of each column, and what each output column is copied from
// (output->columns must be there, in the statement's order). False: the SQL is refused, `why` says why.
bool sql_plan_judge(struct sql_engine *engine, struct buffer *why);
