// See progress.h for the manual page.
#include "supervisor/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/clock.h"
#include "supervisor/instance.h"
#include "supervisor/lane.h"
#include "supervisor/say.h"
#include "supervisor/tally.h"

#define LOG_EVERY_NS UINT64_C(10000000000)
enum { LINE_MOST = 256, WIDTH_OTHERWISE = 80 };

void progress_open(struct instance *i) {
  const char *terminal = getenv("TERM");
  uint64_t now = clock_monotonic_ns();
  bool dumb = !terminal || strcmp(terminal, "dumb") == 0;
  i->progress = (struct progress){.terminal = isatty(STDERR_FILENO) == 1 && !dumb && !i->options.log_json,
                                  .colour = i->options.colour,
                                  .next_ns = now + LOG_EVERY_NS,
                                  .seen_ns = now,
                                  .logged_ns = now};
}

static void put(const char *text, size_t length) {
  if (write(STDERR_FILENO, text, length) < 0) return; // the terminal is gone
}

void progress_hide(struct progress *p) {
  if (!p->shown) return;
  p->shown = false;
  put("\r\033[K", 4);
}

static double rate(uint64_t now, uint64_t before, uint64_t ns) {
  return ns == 0 || now < before ? 0 : (double)(now - before) * 1e9 / (double)ns;
}

// The node that holds the others up, worth a word in the line.
static const char *slowest(const struct instance *i, const char **state) {
  for (size_t l = 0; l < i->lane_count; l++) {
    for (size_t s = i->lanes[l].seat_count; s > 0; s--) {
      const struct seat *seat = &i->lanes[l].seats[s - 1];
      struct slot_words words;
      slot_words_get(&seat->slot, &words);
      if (seat->pid == 0 || !seat_is_sink(seat) || words.state != SLOT_WAITING) continue;
      *state = slot_state_name(words.state);
      return seat->node->name;
    }
  }
  return NULL;
}

static void line_draw(struct instance *i, uint64_t in, uint64_t stored, uint64_t dead, uint64_t passed_ns) {
  struct progress *p = &i->progress;
  char line[LINE_MOST];
  const char *state = "", *waits = slowest(i, &state);
  const char *bold = p->colour ? "\033[1m" : "", *plain = p->colour ? "\033[0m" : "";
  int length = snprintf(line, sizeof line, "\r\033[K%s%.60s%s  in %" PRIu64 " (%.0f/s)  stored %" PRIu64 " (%.0f/s)", bold,
                        i->plan->pipeline, plain, in, rate(in, p->in, passed_ns), stored, rate(stored, p->stored, passed_ns));
  if (dead > 0 && length > 0 && length < LINE_MOST)
    length += snprintf(line + length, (size_t)(LINE_MOST - length), "  dead letters %" PRIu64, dead);
  if (waits && length > 0 && length < LINE_MOST)
    length += snprintf(line + length, (size_t)(LINE_MOST - length), "  %.60s is %s", waits, state);
  struct winsize size;
  int width = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : WIDTH_OTHERWISE;
  int most = width - 1 + 4 + (int)(strlen(bold) + strlen(plain)); // what moves the cursor takes no column
  if (length >= LINE_MOST) length = LINE_MOST - 1;
  put(line, (size_t)(length > most ? most : length));
  p->shown = true;
}

static void line_log(struct instance *i, uint64_t in, uint64_t stored, uint64_t dead, uint64_t now_ns) {
  struct progress *p = &i->progress;
  struct log_line l;
  if (in == p->logged_in && stored == p->logged_stored) return;
  say_begin(i, &l, LOG_LEVEL_INFO, "progress", NULL);
  log_uint(&l, "in", in);
  log_uint(&l, "stored", stored);
  log_uint(&l, "dead", dead);
  log_uint(&l, "in_per_s", (uint64_t)rate(in, p->logged_in, now_ns - p->logged_ns));
  log_uint(&l, "stored_per_s", (uint64_t)rate(stored, p->logged_stored, now_ns - p->logged_ns));
  log_end(&l);
  p->logged_in = in;
  p->logged_stored = stored;
}

void progress_step(struct instance *i, uint64_t now_ns) {
  struct progress *p = &i->progress;
  bool logs = !p->terminal && now_ns >= p->next_ns;
  if (!p->terminal && !logs) return;
  uint64_t in, stored, dead;
  struct tally *tallies = tally_take(i);
  tally_ends(i->plan, tallies, &in, &stored, &dead);
  free(tallies);
  if (p->terminal) {
    line_draw(i, in, stored, dead, now_ns - p->seen_ns);
    p->seen_ns = now_ns;
    p->in = in;
    p->stored = stored;
    return;
  }
  line_log(i, in, stored, dead, now_ns);
  p->next_ns = now_ns + LOG_EVERY_NS;
  p->logged_ns = now_ns;
}
