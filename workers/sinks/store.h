// What store.c needs of a database: one way to run a statement, and the few words in which the two differ.
//
// Called by store.c, which holds everything that SQLite and PostgreSQL do alike; implemented by store_sqlite.c, store_postgres.c and
// store_kafka.c.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "workers/common/stores.h"

// Which of weir's tables a statement is about: they may lie in different files.
enum store_table { STORE_POSITIONS, STORE_LETTERS };

// One row: texts by column, NULL for null; valid during the call. False: no more rows are wanted.
typedef bool store_row(void *context, const char *const *columns);

struct store_database {
  // Runs one statement with parameters $1..$n, in the order of their numbers. *changed may be NULL.
  bool (*run)(struct store *s, enum store_table table, const char *sql, const char *const *params, size_t count, store_row *row,
              void *context, uint64_t *changed, struct error *e);
  // False: there is no such table (e not set), or e.
  bool (*has)(struct store *s, enum store_table table, struct error *e);
  bool (*begin)(struct store *s, struct error *e);
  bool (*commit)(struct store *s, struct error *e);
  void (*close)(struct store *s);     // frees everything but the common part
  const char *hex;                    // "hex(data)": bytes as hexadecimal digits
  const char *message_sql;            // a row where table $1, the letters', has its column `message`: those of earlier versions have not
  const char *time_open, *time_close; // around a timestamp: as ISO-8601 text
};

// Every store begins with this.
struct store {
  const struct store_database *database;
  char *pipeline, *sink;
  char *tables[2]; // quoted names by enum store_table
};

// What to SELECT for the message of a letter: `name`, or NULL as long as no sink has given the table that column.
bool store_message(struct store *s, const char *name, const char **sql, struct error *e);
// Bytes out of hexadecimal digits; what stands in `out` goes.
void store_unhex(const char *text, struct buffer *out);

struct store *store_sqlite_open(const struct store_place *place, const char *positions, const char *letters, struct error *e);
struct store *store_postgres_open(const struct store_place *place, struct error *e);
struct store *store_kafka_open(const struct store_place *place, struct error *e);

// One statement in a SQLite database, and whether it has the table (NULL: it has not); as in struct store_database.
struct sqlite;
bool store_sqlite_run(struct sqlite *db, const char *sql, const char *const *params, size_t count, store_row *row, void *context,
                      uint64_t *changed, struct error *e);
bool store_sqlite_has(struct sqlite *db, enum store_table table, struct error *e);
