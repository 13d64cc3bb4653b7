// Addresses of targets.
#include "workers/sinks/url.h"

#include <stdlib.h>
#include <string.h>

static bool starts(const char *text, const char *with) {
  return strncmp(text, with, strlen(with)) == 0;
}

char *url_sqlite_path(const char *url) {
  const char *path = url + strlen("sqlite:");
  if (starts(path, "//")) path += 2; // sqlite:///var/x.db is /var/x.db
  return memory_text(path);
}

bool url_scheme_find(const char *url, enum url_scheme *scheme, struct error *e) {
  if (starts(url, "postgresql://") || starts(url, "postgres://")) {
    *scheme = URL_POSTGRES;
    return true;
  }
  if (starts(url, "sqlite:")) {
    *scheme = URL_SQLITE;
    char *path = url_sqlite_path(url);
    bool memory = path[0] == '\0' || strcmp(path, ":memory:") == 0;
    free(path);
    if (memory) error_set(e, ERROR_CONFIG, "url", "sqlite: needs the path of a file, as in sqlite:events.db");
    return !memory;
  }
  // Only the scheme is shown: the rest may hold a password.
  size_t length = strcspn(url, ":/@");
  if (starts(url, "redshift:") || starts(url, "cassandra:"))
    error_set(e, ERROR_CONFIG, "url", "%.*s: targets are not available yet; sqlite: and postgresql: are", (int)length, url);
  else
    error_set(e, ERROR_CONFIG, "url", "no target has the address scheme \"%.*s\"; known are sqlite:PATH and postgresql://...",
              length < 40 ? (int)length : 40, url);
  return false;
}
