// Fields: finds the values of named columns in a msgpack value. A column's name is a path ("id", "categories[0].id"); names are declared
// once, then each record is indexed in one pass over its keys.
//
// Called by: the virtual tables (input_table.c, each_table.c) and the output side (rows.c), which copies plain columns as bytes.
//
// The pass is cheap because records of one stream look alike: the keys of the last record predict those of the next, in order, and a
// prediction is checked by comparing two words. What is not predicted is looked up by hash.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/msgpack.h"
#include "proto/msgpack_guess.h"

enum { FIELD_NONE = -1 };

// One value inside a record.
struct field_span {
  const uint8_t *at, *end;
};

struct field_column {
  char *name;
  int32_t slot;              // the first step's key, an index in keys; FIELD_NONE: the path starts at the value itself
  struct msgpack_path *path; // the steps behind the first; NULL: none
};

struct field_key {
  char *text;
  uint32_t length;
};

// The names, fixed once the statement is prepared.
struct field_names {
  struct field_column *columns;
  size_t count;
  struct field_key *keys;
  size_t key_count;
  int32_t *buckets; // open addressing by hash of the key: index in keys, FIELD_NONE: free
  uint32_t bucket_mask;
};

enum { FIELD_PREDICTED = 64 }; // keys of a record that are guessed

// The values of one record, by key.
struct field_index {
  const struct field_names *names;
  struct field_span *slots;                        // key_count of them
  struct field_span whole, found;                  // found: what a path led to last
  struct msgpack_guess guess[FIELD_PREDICTED + 1]; // the last one stays none
};

// Adds a column `name` whose values are found by `path`. False: that is not a path (e set), nothing is added.
bool field_names_add(struct field_names *names, const char *name, const char *path, struct error *e);
// Position of a column, ASCII letters compared without case as SQLite does; -1: absent.
int field_names_find(const struct field_names *names, const char *name);
void field_names_free(struct field_names *names);

// Binds an index to names that will not change any more.
void field_index_open(struct field_index *index, const struct field_names *names);
void field_index_close(struct field_index *index);
// Indexes one value. A map gives its keys (the last one wins where a key repeats), any other value none. False: it is broken.
bool field_index_set(struct field_index *index, const uint8_t *at, const uint8_t *end);
// The value of a column in the value indexed last; NULL when absent. Valid until the next call with this index.
static inline const struct field_span *field_index_get(struct field_index *index, size_t column) {
  const struct field_column *c = &index->names->columns[column];
  const struct field_span *span = c->slot == FIELD_NONE ? &index->whole : &index->slots[c->slot];
  if (!span->at) return NULL;
  if (!c->path) return span;
  return msgpack_path_find(c->path, span->at, span->end, &index->found.at, &index->found.end) ? &index->found : NULL;
}
