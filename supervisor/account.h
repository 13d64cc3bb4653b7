// The account at the end of a run: what each node took, made, and passed on, and whether it adds up.
//
// NAME          account - the last words of --once
// DESCRIPTION   On standard output: a table, or with --json the object of status_account_json on one line. Both invariants of each node
//               are checked (tally.h), unless workers were killed for good: then nothing is at rest.
// DIAGNOSTICS   A node whose numbers do not add up is an error of ours: one log line names it, and the run ends with 1.
#pragma once
#include <stdbool.h>

struct instance;

// False: it does not add up, or cannot be printed.
bool account_print(struct instance *i);
