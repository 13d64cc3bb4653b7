// `weir version`: which weir, and on which libraries.
#pragma once
#include <stdbool.h>

#include "proto/buffer.h"

void version_print(bool json, struct buffer *out);
