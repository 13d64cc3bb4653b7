// Settings of a table sink.
#include "workers/sinks/table_settings.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "workers/common/choices.h"
#include "workers/sinks/target.h"

static bool is(struct job_value settings, const char *name, const char *value) {
  char *text = job_text(settings, name, "");
  bool same = strcmp(text, value) == 0;
  free(text);
  return same;
}

void table_settings_read(struct table_settings *s, struct job_value settings) {
  *s = (struct table_settings){.url = job_text(settings, "url", ""),
                               .table = job_text(settings, "table", ""),
                               .upsert = is(settings, "mode", "upsert"),
                               .create = job_bool(settings, "create", true),
                               .deletes = is(settings, "delete", "tombstones"),
                               .evolve = is(settings, "evolve", "add"),
                               .go_on_when_emptied = is(settings, "emptied", "go_on"),
                               .key = job_get(settings, "key")};
}

void table_settings_free(struct table_settings *s) {
  free(s->url);
  free(s->table);
  *s = (struct table_settings){0};
}

void table_emptied(const struct target_setup *setup, const char *table, uint64_t rows, struct error *e) {
  char *set = choice_positions(setup->job, setup->sink);
  error_set(e, ERROR_OPERATOR, "emptied",
            "table %s is empty, but %" PRIu64
            " rows were stored in it. Nothing was changed. Choices: `%s --to earliest` (fill it again with "
            "all that the source still has), or `emptied: go_on` in the sink (its rows are taken out on purpose)",
            table, rows, set);
  free(set);
}
