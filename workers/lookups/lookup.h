// A lookup worker: keeps a table of other people's data as a file that the transformers join by its name.
//
// What its files share:
//
//     lookup_worker.c    the loop: what is there already, when to load again, publishing     lookup_http.c       an answer of an API
//     lookup_build.c     rows into a new file                                                lookup_files.c      a file
//     lookup_store.c     the files: names, what is good, what goes                           lookup_sqlite.c     a SELECT there
//     lookup_check.c     `weir check`                                                        lookup_postgres.c   the same
//
// A file is built under a name of its own, made durable, renamed, and only then told by its generation (workers/common/lookup_words.h);
// from then on nobody writes to it. So a worker that dies at any instruction leaves the old table in use.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "proto/json.h"
#include "proto/msgpack.h"
#include "workers/clients/sqlite.h"
#include "workers/common/lookup_shape.h"
#include "workers/common/worker.h"

// ---- building a file

struct lookup_build {
  const struct lookup_shape *shape;
  struct sqlite *db;
  struct sqlite_query *insert;
  struct msgpack_path **paths; // by column: its name as a path into the record
  struct cell_tools *tools;    // by column: what a cast gave lives until the row is stored
  struct buffer *texts;        // by column: the same for JSON
  uint64_t rows, max_bytes;
  uint64_t content;            // hash of all values so far: the same rows in the same order give the same
  bool (*turn)(void *context); // called now and then; false: a stop was asked
  void *context;
};

// Begins a table in the file at `path` (":memory:" for a check). False: e; lookup_build_free in every case.
bool lookup_build_open(struct lookup_build *b, const struct lookup_shape *shape, const char *path, uint64_t max_bytes, struct error *e);
// One row: a msgpack map. False: e is ERROR_DATA and names row and column, "too-large" when max_bytes is reached; or e is not set: stop.
bool lookup_build_row(struct lookup_build *b, const uint8_t *at, const uint8_t *end, struct error *e);
// Indexes, and the table is whole. Its size.
bool lookup_build_end(struct lookup_build *b, uint64_t *bytes, struct error *e);
void lookup_build_free(struct lookup_build *b);

// The functions that generated columns call, for a connection that only makes or checks a file.
bool lookup_functions_declare(struct sqlite *db, struct error *e);

// ---- the files of a lookup

// What stands in a file beside its rows.
struct lookup_note {
  uint64_t fingerprint; // of the settings that decide what is in it, and of its shape
  uint64_t content;     // of its rows, as lookup_build says
  uint64_t rows, bytes;
  int64_t loaded;        // microseconds UTC
  char *etag, *modified; // for the next question; owned, NULL: none
};
void lookup_note_free(struct lookup_note *note);
bool lookup_note_write(struct sqlite *db, const struct lookup_note *note, struct error *e);

// The newest good file of that fingerprint; 0: there is none. *highest is the highest number of any file, good or not. What was left half
// built is removed.
bool lookup_store_find(const char *state, const char *name, uint64_t fingerprint, uint64_t *generation, uint64_t *highest,
                       struct lookup_note *note, struct error *e);
// The name under which the next file is built; owned by the caller.
char *lookup_store_building(const char *state, const char *name);
// Makes it durable and gives it its name.
bool lookup_store_finish(const char *state, const char *name, const char *building, uint64_t generation, struct error *e);
// Removes all files with a lower number. What cannot be removed is told and stays.
void lookup_store_clean(const char *state, const char *name, uint64_t generation);

// ---- loading: one function for each kind

enum lookup_outcome { LOOKUP_LOAD_FAILED, LOOKUP_LOAD_STOPPED, LOOKUP_LOAD_SAME, LOOKUP_LOAD_DONE };

struct lookup_load {
  struct job_value settings;
  struct lookup_build *build;
  char *etag, *modified;       // of the table in use, replaced by those of the new one (SAME: left as they are); owned
  char *line;                  // what protects the connection, for a check; owned, NULL: there is none
  uint64_t retry_after_ms;     // the server wants to be left alone; 0: it did not say
  bool (*turn)(void *context); // called at least once a second; false: a stop was asked
  void (*busy)(void *context, unsigned seconds, const char *doing); // before a call that may block
  void *context;
};

typedef enum lookup_outcome lookup_loader(struct lookup_load *l, struct error *e);
lookup_loader lookup_http_load, lookup_file_load, lookup_sqlite_load, lookup_postgres_load;
// NULL: there is no such kind.
lookup_loader *lookup_loader_find(const char *kind);
// Everything that can be said without loading. False: e is ERROR_CONFIG, its code the setting.
bool lookup_http_look(struct job_value settings, struct error *e);

// The columns that a SELECT gives include all of the shape's: a misspelt name would be null in every row. False: e.
bool lookup_columns_there(const struct lookup_shape *shape, const void *query, int columns,
                          const char *(*name_of)(const void *query, int column), struct error *e);
// All records of an open document (json_records_open) into the build.
enum lookup_outcome lookup_take_records(struct lookup_load *l, struct json_parser *json, struct error *e);
