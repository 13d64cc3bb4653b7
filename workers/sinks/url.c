// Addresses of targets.
#include "workers/sinks/url.h"

#include <stdlib.h>
#include <string.h>

enum { SCHEME_SHOWN = 20 };

static bool starts(const char *text, const char *with) {
  return strncmp(text, with, strlen(with)) == 0;
}

char *url_sqlite_path(const char *url) {
  const char *path = url + strlen("sqlite:");
  if (starts(path, "//")) path += 2; // sqlite:///var/x.db is /var/x.db
  return memory_text(path);
}

// Bytes of "mysql" in "mysql://...", 0: it does not begin as an address does.
static size_t scheme_length(const char *url) {
  size_t length = url[0] >= 'a' && url[0] <= 'z' ? strspn(url, "abcdefghijklmnopqrstuvwxyz0123456789+.-") : 0;
  return length <= SCHEME_SHOWN && starts(url + length, "://") ? length : 0;
}

// Only a scheme is shown: the rest may hold a password, and where there is none that is all of it.
static void refuse(const char *url, struct error *e) {
  size_t length = scheme_length(url);
  if (starts(url, "redshift:") || starts(url, "cassandra:"))
    error_set(e, ERROR_CONFIG, "url", "%.*s: targets are not available yet; sqlite: and postgresql: are", (int)strcspn(url, ":"), url);
  else if (length > 0)
    error_set(e, ERROR_CONFIG, "url", "no target has the address scheme \"%.*s\"; known are sqlite:PATH and postgresql://...", (int)length,
              url);
  else
    error_set(e, ERROR_CONFIG, "url",
              "this is no address of a target: it begins with postgresql://, as in postgresql://USER:PASSWORD@HOST:PORT/NAME, or it is "
              "sqlite:PATH");
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
  refuse(url, e);
  return false;
}
