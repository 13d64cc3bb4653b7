// See version.h. Each library says its own version where its header is included; here they are put together.
#include "supervisor/version.h"

#include <event2/event.h>
#include <gnu/libc-version.h>

#include "proto/json_shim.h"
#include "proto/version.h"
#include "supervisor/config_yaml.h"
#include "supervisor/json_text.h"
#include "workers/workers.h"

struct printer {
  struct buffer *out;
  struct json_text *json; // NULL: lines
};

static void library_print(void *context, const char *name, const char *version) {
  const struct printer *p = context;
  if (p->json)
    json_text_string(p->json, name, version);
  else
    buffer_print(p->out, "  %-10s %s\n", name, version);
}

void version_print(bool json, struct buffer *out) {
  struct json_text text = {.out = out};
  struct printer p = {.out = out, .json = json ? &text : NULL};
  if (json) {
    json_text_open(&text, NULL, '{');
    json_text_string(&text, "weir", WEIR_VERSION);
    json_text_open(&text, "libraries", '{');
  } else {
    buffer_print(out, "weir %s\n", WEIR_VERSION);
  }
  worker_libraries(library_print, &p);
  library_print(&p, "simdjson", json_shim_version());
  library_print(&p, "libyaml", config_yaml_version());
  library_print(&p, "libevent", event_get_version());
  library_print(&p, "glibc", gnu_get_libc_version());
  if (!json) return;
  json_text_close(&text, '}');
  json_text_close(&text, '}');
  buffer_byte(out, '\n');
}
