// The version of weir: `weir version` prints it, and HTTP servers read it.
#pragma once

#define WEIR_VERSION "0.1.0"
