// The test build's side of shm/crash_point.h. The environment is read once, at the first point passed.
#include "shm/crash_point.h"

#ifdef WEIR_CRASH_POINTS
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct crash_order {
  bool known;         // the environment has been read
  char name[128];     // "" when nobody is to be killed here
  unsigned long left; // times to pass the point until the kill
};

static struct crash_order order;

// A worker that came after another's death lives, and so does everybody whom the third part does not name.
static bool crash_order_is_mine(const char *worker) {
  const char *generation = getenv("WEIR_GENERATION");
  if (generation != NULL && strcmp(generation, "0") != 0) return false;
  const char *self = getenv("WEIR_WORKER");
  return worker == NULL || (self != NULL && strcmp(worker, self) == 0);
}

static void crash_order_read(void) {
  order.known = true;
  const char *text = getenv("WEIR_CRASH");
  if (text == NULL) return;
  const char *colon = strchr(text, ':');
  if (colon == NULL || (size_t)(colon - text) >= sizeof order.name) return;
  char *end = NULL;
  order.left = strtoul(colon + 1, &end, 10);
  if (end == colon + 1 || order.left == 0 || !crash_order_is_mine(*end == ':' ? end + 1 : NULL)) return;
  memcpy(order.name, text, (size_t)(colon - text));
}

void crash_point(const char *name) {
  if (!order.known) crash_order_read();
  if (order.name[0] == '\0' || strcmp(order.name, name) != 0) return;
  if (--order.left == 0) kill(getpid(), SIGKILL);
}
#endif
