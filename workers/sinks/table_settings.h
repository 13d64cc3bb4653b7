// The settings of a table sink that both databases use alike.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/job.h"

struct target_setup;

struct table_settings {
  char *url, *table;
  bool upsert, create, evolve, deletes;
  bool go_on_when_emptied;
  struct job_value key;
};

void table_settings_read(struct table_settings *s, struct job_value settings);
void table_settings_free(struct table_settings *s);
// ERROR_OPERATOR with the choices: rows were stored, and now the table is empty.
void table_emptied(const struct target_setup *setup, const char *table, uint64_t rows, struct error *e);
