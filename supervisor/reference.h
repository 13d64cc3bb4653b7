// docs/reference.md and docs/pipeline.schema.json out of the settings table, by `weir reference` and `weir reference --schema`
// (`make reference`). A test compares both with what stands in the repository.
#pragma once
#include <stdbool.h>

#include "proto/buffer.h"

void reference_print(struct buffer *out);
void reference_print_schema(struct buffer *out);
// Exit codes: 0; 1 it could not be printed.
int reference_verb(bool schema);
