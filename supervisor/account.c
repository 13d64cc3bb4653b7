// See account.h for the manual page.
#include "supervisor/account.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "supervisor/instance.h"
#include "supervisor/say.h"
#include "supervisor/status.h"
#include "supervisor/tally.h"

static bool account_holds(struct instance *i) {
  struct tally *tallies = tally_take(i);
  bool holds = true;
  for (size_t n = 0; n < tally_count(i->plan); n++) {
    if (tally_holds(&tallies[n])) continue;
    struct log_line l;
    const uint64_t *c = tallies[n].counters;
    say_begin(i, &l, LOG_LEVEL_ERROR, "the account of a node does not add up", NULL);
    log_text(&l, "node", tallies[n].node->name);
    log_uint(&l, "in", c[COUNT_IN]);
    log_uint(&l, "with_rows", c[COUNT_WITH_ROWS]);
    log_uint(&l, "filtered", c[COUNT_FILTERED]);
    log_uint(&l, "dead_records", c[COUNT_DEAD_RECORDS]);
    log_uint(&l, "rows_made", c[COUNT_ROWS_MADE]);
    log_uint(&l, "out", c[COUNT_OUT]);
    log_uint(&l, "dead", c[COUNT_DEAD_ROWS]);
    log_uint(&l, "superseded", c[COUNT_SUPERSEDED]);
    log_uint(&l, "late", c[COUNT_LATE]);
    log_end(&l);
    holds = false;
  }
  free(tallies);
  return holds;
}

bool account_print(struct instance *i) {
  struct buffer json = {0}, table = {0};
  // Of workers that were killed for good the last numbers may be half written.
  bool rests = i->stop.phase != STOP_KILLING && !i->stop.culprit;
  bool holds = !rests || account_holds(i), shown = true;
  status_account_json(i, &json);
  const struct buffer *out = &json;
  if (!i->options.json) {
    shown = status_table(&json, &table);
    out = &table;
  }
  shown = shown && fwrite(out->at, 1, out->length, stdout) == out->length && fflush(stdout) == 0;
  buffer_free(&json);
  buffer_free(&table);
  return holds && shown;
}
