// `weir check`: everything that can be said about a pipeline file without running it; with --connect about its targets too.
//
// Exit codes: 0 good; 2 the file is at fault; 3 the file is good but a target cannot be used as it is (--connect); 1 the answer could not
// be printed. Errors go to standard error with file:line:col, the answer to standard output; with --json both are one object on standard
// output.
#pragma once
#include <stdbool.h>

struct plan_options;

int check_verb(const struct plan_options *options, bool json, bool colour);
