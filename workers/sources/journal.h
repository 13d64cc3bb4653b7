// The journal: what makes a source replayable that answers each question only once. A poll's new records go in here, durable, before they
// flow; sinks that come back, or are new, or were emptied are served from here.
//
// Called by: the HTTP source, tests. One process at a time (the state folder's lock sees to that). The file is made with mode 0600; WAL,
// synchronous=FULL: what journal_commit has returned true for survives power loss.
//
// Tables (format 1):
//   meta     one row: format, identity (random, made with the file), next (the position that the next record gets: a counter of its own,
//            because max(position) would be given out twice after the last row has gone), trimmed (highest position ever removed, of those
//            that no later one replaces), polls, unchanged, bytes (totals over the journal's life: the account is a difference of two)
//   records  position, kind (data or dead), arrival, newest, body. newest=1: the last record of its key, which stays as long as its key
//   seen     key, hash and position of its newest record, when it was last in an answer
//   requests what a request answers to next time: etag, modified, cursor
//
// Invariant: within one poll nothing is visible before journal_commit; records, totals, seen hashes, ETag and cursor of a poll are
// committed together or not at all.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"

enum { JOURNAL_FORMAT = 1, JOURNAL_IDENTITY = 48 };

struct journal;

enum journal_kind { JOURNAL_DATA = 1, JOURNAL_DEAD = 2 };

struct journal_record {
  uint64_t position;
  enum journal_kind kind;
  int64_t arrival;     // microseconds
  const uint8_t *body; // data: a msgpack map; dead: as in proto/dead.h
  size_t length;
};

struct journal_totals {
  uint64_t next, trimmed, polls, unchanged, bytes;
};

// Opens the journal, or makes it. NULL: e. A file of another format, or none of ours: ERROR_OPERATOR.
struct journal *journal_open(const char *path, struct error *e);
void journal_close(struct journal *j); // NULL is allowed; an open transaction is rolled back
// The fingerprint of the settings with which it is filled. *is: these, or nothing was given out yet, or it is not known.
bool journal_is_of(struct journal *j, const char *fingerprint, bool *is, struct error *e);
bool journal_sign(struct journal *j, const char *fingerprint, struct error *e);
const char *journal_identity(const struct journal *j); // "journal:..."
// As of the last commit, and with what the open transaction has added.
const struct journal_totals *journal_totals(const struct journal *j);
// False when the file is no longer where it was: what is written now would be lost.
bool journal_in_place(struct journal *j);

bool journal_begin(struct journal *j, struct error *e);
bool journal_commit(struct journal *j, struct error *e);
void journal_rollback(struct journal *j); // does nothing without a transaction
bool journal_in_transaction(const struct journal *j);

// Inside a transaction.
// Adds a record. With a key: only when it differs from the last one of its key (else it counts as unchanged), and it becomes its newest.
bool journal_add(struct journal *j, const struct journal_record *record, const void *key, size_t key_length, struct error *e);
void journal_polled(struct journal *j, uint64_t bytes, bool complete); // adds to the totals; complete: a whole poll
// Drops keys that no answer has held since `before`, and lets their newest records go with the others.
bool journal_forget(struct journal *j, int64_t before, struct error *e);

// What is remembered of a request, by a hash that names it. Texts are owned by the state; NULL: none.
struct journal_request {
  char *etag, *modified, *cursor;
};
void journal_request_free(struct journal_request *request);
bool journal_request_get(struct journal *j, uint64_t hash, struct journal_request *request, struct error *e);
bool journal_request_set(struct journal *j, uint64_t hash, const struct journal_request *request, struct error *e);

// Outside of a transaction.
// Gives the records behind `position`, in order, until `visit` says false or there are no more.
typedef bool journal_visit(void *context, const struct journal_record *record);
bool journal_read(struct journal *j, uint64_t position, journal_visit *visit, void *context, struct error *e);
// Removes what is durable everywhere (position <= upto) and arrived before `before`, but the newest record of each key.
bool journal_trim(struct journal *j, uint64_t upto, int64_t before, struct error *e);
// The position in front of the first record that arrived at or after `micros`.
bool journal_before(struct journal *j, int64_t micros, uint64_t *position, struct error *e);
