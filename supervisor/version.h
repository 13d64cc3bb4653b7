// `weir version`: which weir, and on which libraries.
#pragma once
#include <stdbool.h>

#include "proto/buffer.h"

#define WEIR_VERSION "0.1.0"

void version_print(bool json, struct buffer *out);
