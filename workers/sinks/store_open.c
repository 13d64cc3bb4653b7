// Which store a sink has.
#include <stdlib.h>

#include "workers/sinks/file_sink.h"
#include "workers/sinks/store.h"
#include "workers/sinks/table_sink.h"
#include "workers/sinks/topic_sink.h"
#include "workers/sinks/url.h"

struct store *table_store_open(const struct store_place *place, struct error *e) {
  enum url_scheme scheme;
  struct store *s = NULL;
  char *url = job_text(place->settings, "url", "");
  if (url_scheme_find(url, &scheme, e) && scheme == URL_POSTGRES)
    s = store_postgres_open(place, e);
  else if (!error_is_set(e)) {
    char *path = url_sqlite_path(url);
    s = store_sqlite_open(place, path, path, e);
    free(path);
  }
  free(url);
  return s;
}

struct store *file_store_open(const struct store_place *place, struct error *e) {
  char *positions = memory_print("%s/sinks.db", place->state), *letters = memory_print("%s/dead.db", place->state);
  struct store *s = store_sqlite_open(place, positions, letters, e);
  free(positions);
  free(letters);
  return s;
}

struct store *topic_store_open(const struct store_place *place, struct error *e) {
  return store_kafka_open(place, e);
}
