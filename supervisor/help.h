// `weir help`: the verbs, and each verb with its options and examples, from the tables of the command line.
#pragma once
#include "proto/buffer.h"

void help_print(struct buffer *out);
// False: there is no such verb; then `out` says so.
bool help_print_verb(const char *verb, struct buffer *out);
