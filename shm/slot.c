// The slot: making, mapping, and the words and texts in it. See slot.h for who writes what.
#include "shm/slot.h"

#include <errno.h>
#include <sys/mman.h>

#include "shm/sealed.h"

_Static_assert(sizeof(struct slot_worker_page) <= 4096, "the worker's page is one page");

enum { SLOT_TEXT_TRIES = 8 };

const char *slot_state_name(enum slot_state state) {
  switch (state) {
  case SLOT_STARTING: return "starting";
  case SLOT_RUNNING: return "running";
  case SLOT_IDLE: return "idle";
  case SLOT_WAITING: return "waiting";
  case SLOT_BLOCKED: return "blocked";
  case SLOT_STOPPED: return "stopped";
  case SLOT_FAILED: return "failed";
  }
  return "unknown"; // the word lies in shared memory: it may be anything
}

int slot_create(void) {
  return sealed_create("weir-slot", 2 * sealed_page());
}

int slot_attach(struct slot *s, int memfd, bool supervisor) {
  *s = (struct slot){0};
  uint64_t bytes = 0;
  int rc = sealed_size(memfd, &bytes);
  if (rc != 0) return rc;
  if (bytes != 2 * sealed_page()) return -EBADMSG;
  void *command = NULL;
  rc = sealed_map(memfd, 0, sealed_page(), supervisor, &command);
  if (rc != 0) return rc;
  void *page = NULL;
  rc = sealed_map(memfd, sealed_page(), sealed_page(), !supervisor, &page);
  if (rc != 0) {
    munmap(command, sealed_page());
    return rc;
  }
  s->command_page = command;
  s->page = page;
  return 0;
}

void slot_detach(struct slot *s) {
  if (s->command_page != NULL) munmap(s->command_page, sealed_page());
  if (s->page != NULL) munmap(s->page, sealed_page());
  *s = (struct slot){0};
}

void slot_command_set(struct slot *s, enum slot_command command) {
  atomic_store_explicit(&s->command_page->command, (uint32_t)command, memory_order_release); // pairs with slot_command_get
}

enum slot_command slot_command_get(const struct slot *s) {
  uint32_t command = atomic_load_explicit(&s->command_page->command, memory_order_acquire); // pairs with slot_command_set
  switch (command) {
  case SLOT_STOP: return SLOT_STOP;
  case SLOT_FINISH: return SLOT_FINISH;
  default: return SLOT_RUN; // the word lies in shared memory: it may be anything
  }
}

void slot_state_set(struct slot *s, enum slot_state state) {
  atomic_store_explicit(&s->page->state, (uint32_t)state, memory_order_relaxed);
}

// Writes a text under the version word: odd first, so that a reader that meets a changed byte also meets a changed version.
static void slot_text_set(struct slot *s, _Atomic char *to, const char *text) {
  uint32_t version = atomic_load_explicit(&s->page->version, memory_order_relaxed); // only this process writes it
  atomic_store_explicit(&s->page->version, version + 1, memory_order_relaxed);
  size_t i = 0;
  // Each byte is a release store: whoever loads it (slot_text_get) sees the odd version as well.
  for (; i < SLOT_TEXT - 1 && text[i] != '\0'; i++) atomic_store_explicit(&to[i], text[i], memory_order_release);
  atomic_store_explicit(&to[i], '\0', memory_order_release);
  atomic_store_explicit(&s->page->version, version + 2, memory_order_release); // pairs with the first load in slot_text_get
}

void slot_doing_set(struct slot *s, const char *text) {
  slot_text_set(s, s->page->doing, text);
}

void slot_error_set(struct slot *s, const char *text) {
  slot_text_set(s, s->page->error, text);
}

static void slot_text_get(const struct slot *s, const _Atomic char *from, char *out) {
  for (int try = 0; try < SLOT_TEXT_TRIES; try++) {
    uint32_t before = atomic_load_explicit(&s->page->version, memory_order_acquire); // pairs with the last store in slot_text_set
    size_t i = 0;
    for (; i < SLOT_TEXT - 1; i++) {
      char c = atomic_load_explicit(&from[i], memory_order_acquire); // pairs with the byte's store in slot_text_set
      if (c == '\0') break;
      out[i] = ((unsigned char)c < 0x20 || c == 0x7f) ? ' ' : c;
    }
    out[i] = '\0';
    uint32_t after = atomic_load_explicit(&s->page->version, memory_order_relaxed);
    if (before == after && before % 2 == 0) return;
  }
}

void slot_doing_get(const struct slot *s, char *out) {
  slot_text_get(s, s->page->doing, out);
}

void slot_error_get(const struct slot *s, char *out) {
  slot_text_get(s, s->page->error, out);
}

void slot_worker_begin(struct slot *s) {
  struct slot_worker_page *p = s->page;
  atomic_store_explicit(&p->hand_stream, 0, memory_order_relaxed);
  atomic_store_explicit(&p->hand_position, 0, memory_order_relaxed);
  atomic_store_explicit(&p->deadline_ns, 0, memory_order_relaxed);
  atomic_store_explicit(&p->state, SLOT_STARTING, memory_order_relaxed);
  // A predecessor killed in the middle of a text left the version odd: readers would never find it at rest.
  uint32_t version = atomic_load_explicit(&p->version, memory_order_relaxed);
  atomic_store_explicit(&p->version, version + version % 2, memory_order_relaxed);
  atomic_store_explicit(&p->did_work, 0, memory_order_release); // pairs with the supervisor's acquire load on reap
}
