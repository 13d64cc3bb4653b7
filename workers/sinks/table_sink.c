// The table sink: chooses the target by the address and lets the core run it.
#include "workers/sinks/table_sink.h"

#include <stdlib.h>

#include "workers/sinks/sink.h"
#include "workers/sinks/url.h"

static const struct target_kind *const kinds[] = {[URL_SQLITE] = &target_sqlite, [URL_POSTGRES] = &target_postgres};

int table_sink_run(struct worker *w) {
  struct error e = {0};
  enum url_scheme scheme;
  char *url = job_text(w->settings, "url", "");
  bool known = url_scheme_find(url, &scheme, &e);
  free(url);
  return known ? sink_run(w, kinds[scheme]) : worker_fail(w, &e);
}
