// What a check of a table sink says about columns, whatever the database: shared by the checks of the two targets.
//
// Called by table_sink.c (without a connection) and check_sqlite.c, check_postgres.c (with one). A check changes nothing anywhere.
#pragma once
#include "workers/sinks/table.h"
#include "workers/sinks/table_settings.h"
#include "workers/workers.h"

// The columns that the sink's input is known to have, with the types of the sink's own `columns:`. False: a finding says why.
bool check_known_columns(struct check *c, struct table *t);
// Compares what comes with the columns of a table that is there.
void check_columns(struct check *c, const struct table_settings *s, const struct table *input, const struct table *there);

void check_sqlite(struct check *c, const struct table_settings *s, struct table *input);
void check_postgres(struct check *c, const struct table_settings *s, struct table *input);
// The statement that a run would use, as a note.
void check_sqlite_create(struct check *c, const struct table_settings *s, const struct table *input);
void check_postgres_create(struct check *c, const struct table_settings *s, const struct table *input);
