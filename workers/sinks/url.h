// Addresses of targets: which database a URL means, said without its secrets.
#pragma once
#include <stdbool.h>

#include "proto/error.h"

enum url_scheme { URL_SQLITE, URL_POSTGRES };

// "sqlite:PATH" (also sqlite:///absolute) or "postgresql://...". False: ERROR_CONFIG, with what is known.
bool url_scheme_find(const char *url, enum url_scheme *scheme, struct error *e);
// The path in a sqlite: URL; owned by the caller.
char *url_sqlite_path(const char *url);
