// Lookups inside the engine: files of the lookup workers attached to the connection, each under a schema of its own; SQL finds their tables
// by name, because nothing else is called so. Only inside workers/sql/.
//
// A lookup is attached when the SQL names it for the first time. Its file is immutable: nothing is locked, nothing is written beside it,
// and its pages are read through a mapping that all transformers share.
#pragma once
#include "workers/sql/engine_parts.h"

enum { SQL_LOOKUPS_MOST = 8 }; // of one statement; SQLite attaches ten
#define SQL_LOOKUPS "lookups"  // the setting that a problem with a file names

void sql_lookups_open(struct sql_engine *engine, const struct sql_spec *spec);
void sql_lookups_free(struct sql_engine *engine);
// By the name of its table; NULL: no lookup is called so.
struct attached_lookup *sql_lookup_find(struct sql_engine *engine, const char *name);
// The same, of those that are attached.
const struct attached_lookup *sql_lookup_of(const struct sql_engine *engine, const char *table);
bool sql_lookups_attached(const struct sql_engine *engine);
// The SQL reads a column of an attached lookup.
void sql_lookup_note(struct sql_engine *engine, const char *table, const char *column);

// False: ERROR_CONFIG, or ERROR_OUTAGE when it is the file.
bool sql_lookup_attach(struct sql_engine *engine, struct attached_lookup *l, struct error *e);
// A newer file beside the old one; then the old one goes. False of the first: nothing has changed.
bool sql_lookup_attach_next(struct sql_engine *engine, struct attached_lookup *l, const char *path, struct error *e);
bool sql_lookup_detach_old(struct sql_engine *engine, struct attached_lookup *l, struct error *e);

// Adds the problem of a column that neither the stream's nor a lookup's table has.
void sql_lookups_report_column(struct sql_engine *engine, struct sql_problems *problems, long offset, const char *name,
                               const char *message);
// Which output columns are plain columns of a lookup, so that their types are known. Only for a plan that streams: of a compound SELECT,
// SQLite tells where the values of its first part come from.
void sql_lookups_types(struct sql_engine *engine);
// Reads off the plan which indexes SQLite would build for each run (lookup_plan.c).
void sql_lookups_plan(struct sql_engine *engine);
void sql_lookups_forget_wants(struct sql_engine *engine);
