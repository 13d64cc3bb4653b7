// The SELECT of a generate source may leave out its FROM: there is only one thing to read from. Called by generate_source.c.
#pragma once

#define GENERATE_INPUT "numbers"

// The SQL with "FROM numbers" put where it belongs, or as it is when it has a FROM of its own. Owned by the caller.
char *generate_sql(const char *sql);
