// The list of workers, and the small helpers that checks share. A new kind is one line here and its rows in the settings table.
#include "workers/workers.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/clients/versions.h"
#include "workers/common/feedback.h"
#include "workers/common/journal_look.h"
#include "workers/common/streams.h"
#include "workers/lookups/lookup_worker.h"
#include "workers/sinks/file_sink.h"
#include "workers/sinks/table_sink.h"
#include "workers/sinks/topic_sink.h"
#include "workers/sources/file_source.h"
#include "workers/sources/generate_source.h"
#include "workers/sources/http_source.h"
#include "workers/sources/letters_source.h"
#include "workers/sources/retry_source.h"
#include "workers/sources/topic_source.h"
#include "workers/sql/sql_stage.h"

const struct worker_kind worker_kinds[] = {
    {.name = "file", .role = WORKER_PRODUCER, .run = file_source_run, .check = file_source_check, .look = file_position_look},
    {.name = "generate",
     .role = WORKER_PRODUCER,
     .run = generate_source_run,
     .check = generate_source_check,
     .look = generate_position_look},
    {.name = "http", .role = WORKER_PRODUCER, .run = http_source_run, .check = http_source_check, .look = journal_position_look},
    {.name = "letters", .role = WORKER_PRODUCER, .run = letters_source_run},
    {.name = "retry", .role = WORKER_PRODUCER, .run = retry_source_run},
    {.name = "topic", .role = WORKER_PRODUCER, .run = topic_source_run, .check = topic_source_check, .look = topic_position_look},
    {.name = "sql", .role = WORKER_TRANSFORMER, .run = sql_stage_run, .check = sql_stage_check},
    {.name = "table", .role = WORKER_SINKER, .run = table_sink_run, .check = table_sink_check, .store = table_store_open},
    {.name = "file",
     .role = WORKER_SINKER,
     .run = file_sink_run,
     .check = file_sink_check,
     .store = file_store_open,
     .writes = file_sink_writes},
    {.name = "topic", .role = WORKER_SINKER, .run = topic_sink_run, .check = topic_sink_check, .store = topic_store_open},
    {.name = "http", .role = WORKER_LOOKUP, .run = lookup_worker_run, .check = lookup_http_check},
    {.name = "file", .role = WORKER_LOOKUP, .run = lookup_worker_run, .check = lookup_file_check},
    {.name = "sqlite", .role = WORKER_LOOKUP, .run = lookup_worker_run, .check = lookup_sqlite_check},
    {.name = "postgres", .role = WORKER_LOOKUP, .run = lookup_worker_run, .check = lookup_postgres_check},
};
const size_t worker_kind_count = sizeof worker_kinds / sizeof *worker_kinds;

const uint32_t worker_feedback_words = FEEDBACK_WORDS, worker_stream_words = STREAM_WORDS;

void worker_libraries(worker_library_told *tell, void *context) {
  clients_versions(tell, context);
}

const struct worker_kind *worker_kind_find(enum worker_role role, const char *name) {
  for (size_t i = 0; i < worker_kind_count; i++)
    if (worker_kinds[i].role == role && strcmp(worker_kinds[i].name, name) == 0) return &worker_kinds[i];
  return NULL;
}

static const char *const role_names[] = {
    [WORKER_PRODUCER] = "producer", [WORKER_TRANSFORMER] = "transformer", [WORKER_SINKER] = "sinker", [WORKER_LOOKUP] = "lookup"};

const char *worker_role_name(enum worker_role role) {
  return role_names[role];
}

bool worker_role_find(const char *name, enum worker_role *role) {
  for (size_t i = 0; i < sizeof role_names / sizeof *role_names; i++) {
    if (strcmp(role_names[i], name) != 0) continue;
    *role = (enum worker_role)i;
    return true;
  }
  return false;
}

void check_find(struct check *c, enum check_level level, const char *setting, long offset, const char *suggestion, const char *format,
                ...) {
  char *text = NULL;
  va_list list;
  va_start(list, format);
  // A note may hold a whole CREATE TABLE: its length is not bounded by what an error's text may have.
  if (vasprintf(&text, format, list) < 0) text = memory_text(format);
  va_end(list);
  c->findings = memory_resize(c->findings, (c->finding_count + 1) * sizeof *c->findings);
  c->findings[c->finding_count++] = (struct check_finding){.level = level,
                                                           .setting = memory_text(setting),
                                                           .offset = offset,
                                                           .text = text,
                                                           .suggestion = suggestion ? memory_text(suggestion) : NULL};
}

void check_indexes_free(struct check_index *indexes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    for (size_t k = 0; k < indexes[i].count; k++) free(indexes[i].columns[k]);
    free(indexes[i].columns);
  }
  free(indexes);
}

void check_free(struct check *c) {
  for (size_t i = 0; i < c->finding_count; i++) {
    free(c->findings[i].setting);
    free(c->findings[i].text);
    free(c->findings[i].suggestion);
  }
  for (size_t i = 0; i < c->output_count; i++) {
    free(c->output[i].name);
    free(c->output[i].type);
    free(c->output[i].origin);
  }
  check_indexes_free(c->indexes, c->index_count);
  free(c->joins);
  free(c->findings);
  free(c->output);
  free(c->reads);
  free(c->form);
}
