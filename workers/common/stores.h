// Stores: what the verbs `weir positions` and `weir dlq` ask of the places where sinks keep positions and dead letters. Each sink has one:
// the database of a table, or the state folder.
//
// Called by the supervisor's verbs, through workers.h; implemented by the sinks (workers/sinks/store*.c). A store is opened in the process
// of the command, beside a running instance or without one; nothing is made by opening it.
//
// Changing a position raises the epoch, so that a running sink notices: it goes back to what is stored (WORKER_EXIT_REWIND).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/job.h"

struct store_place {
  const char *pipeline, *sink, *state;
  struct job_value settings;
};

struct store;
// NULL: e. A database that has none of weir's tables yet is an empty store.
typedef struct store *store_opener(const struct store_place *place, struct error *e);
void store_close(struct store *s); // NULL is allowed

// All or nothing: what is done between begin and commit. Without them each call stands for itself.
bool store_begin(struct store *s, struct error *e);
bool store_commit(struct store *s, struct error *e);

// ---- positions

struct store_position {
  const char *edge, *source, *partition, *identity, *owner, *seen; // valid during the call
  bool has_position;                                               // false: forgotten
  int64_t position, start, rows, superseded, dead;
};
typedef void store_position_told(void *context, const struct store_position *position);
// The positions of this sink, by source and partition. NULL in source or partition: any.
bool store_positions(struct store *s, const char *source, const char *partition, store_position_told *tell, void *context, struct error *e);
// Sets the position; NULL forgets it. The next stream of this name is taken whatever its identity. *changed: how many streams there were.
bool store_set(struct store *s, const char *source, const char *partition, const int64_t *position, uint64_t *changed, struct error *e);

// Old and new name of one part of the key; NULL `was`: that part stays.
struct store_rename {
  const char *pipeline_was, *sink_was; // become those of the place
  const char *source_was, *source_is;  // also at the beginning of edges
  const char *edge_was, *edge_is;
};
// Positions and dead letters. Refused (ERROR_OPERATOR) when there are positions under the new name already.
bool store_rename(struct store *s, const struct store_rename *names, uint64_t *changed, struct error *e);

// ---- dead letters

struct store_filter {
  const char *id, *node, *code; // NULL: any; of the id the beginning is enough
  const char *since;            // ISO time: died last at or after it; NULL: any
  int64_t limit;                // 0: none
};
struct store_letter {
  const char *id, *node, *sink, *source, *partition, *reason, *code, *column, *constraint, *format, *first, *last,
      *message; // valid during the call
  int64_t position, part;
  bool cut;
  const uint8_t *data;
  size_t length;
};
typedef bool store_letter_told(void *context, const struct store_letter *letter); // false: enough
// The dead letters that this sink has stored, oldest first. Without `data` when it is not wanted.
bool store_letters(struct store *s, const struct store_filter *filter, bool data, store_letter_told *tell, void *context, struct error *e);
bool store_drop(struct store *s, const struct store_filter *filter, uint64_t *dropped, struct error *e);
