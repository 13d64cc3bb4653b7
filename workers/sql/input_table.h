// The input stream as a virtual table, and each(x). Only inside workers/sql/.
#pragma once
#include "workers/sql/engine_parts.h"

// Registers the input under its name, or again after a column has been added; no statement may be prepared then. SQLite's code.
int sql_input_declare(struct sql_engine *engine, const char *name);
int sql_each_declare(struct sql_engine *engine);
// The path, from the element, that a column of each() means: "value[0]" is "[0]", "value.a" and "a" are "a".
const char *sql_each_path(const char *name);
// Frees the cursors that were kept.
void sql_input_free(struct sql_engine *engine);
void sql_each_free(struct sql_engine *engine);

// "CREATE TABLE x(...)" of our tables: `fixed` (may be ""), the star column, then the names. Owned by the caller.
char *sql_table_declaration(const char *fixed, const struct field_names *names, const char *tail);

// How the values of each column are given, now that it is known what the plan uses them for; again whenever that changes.
void sql_input_bind(struct sql_engine *engine);
// Takes the next record for the present run: asks `next`, indexes it. 1: there is one, 0: none, -1: it is broken (engine->failure says
// how).
int sql_record_take(struct sql_engine *engine);

// The element of each() number `each` of this run, as an output column wants it; NULL: null.
const struct field_span *sql_each_copy(struct sql_engine *engine, unsigned each, size_t column);
// True when `value` is JSON text that a column of the input table has given: then span is what it was made of.
bool sql_input_recognise(const struct sql_engine *engine, const void *text, struct field_span *span);
