// The list of workers: every kind that a pipeline file can name, its main function, and what `weir check` asks of it.
// The supervisor knows workers only through this list.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "proto/job.h"
#include "workers/common/lookup_words.h"
#include "workers/common/pending.h"
#include "workers/common/position_look.h"
#include "workers/common/store_retry.h"
#include "workers/common/stores.h"
#include "workers/common/worker.h"

enum worker_role { WORKER_PRODUCER, WORKER_TRANSFORMER, WORKER_SINKER, WORKER_LOOKUP };

// One remark of a check. `setting` names the setting of the node ("sql", "columns.lon", "key.id": in a list), `offset` a byte in its text
// (-1: the whole), so that the caller can point at file:line:col.
enum check_level { CHECK_ERROR, CHECK_WARNING, CHECK_NOTE };
struct check_finding {
  enum check_level level;
  char *setting;
  long offset;
  char *text;
  char *suggestion; // NULL: none
};

struct check_column {
  char *name;
  char *type; // as in columns:, "" when unknown
  bool not_null;
  char *origin; // the column of the node's input that it is, unchanged; NULL: made by the node, or not known
};

// A lookup as a transformer's check sees it.
struct check_lookup {
  const char *name;
  struct job_value settings;
};
// Columns by which a transformer wants to find rows of a lookup beside its key.
struct check_index {
  size_t lookup;
  char **columns;
  size_t count;
};

struct check {
  // given
  const char *pipeline, *node;
  struct job_value settings;
  const char *const *inputs;
  size_t input_count; // names that the node may read (all sources, topics and transforms but itself)
  const struct check_lookup *lookups;
  size_t lookup_count; // that a transformer may join
  const struct check_column *columns;
  size_t column_count; // what the node's input gives, when it is known (sinks: key must be among them)
  bool columns_known;
  bool connect;      // --connect: try the target too; creates nothing
  bool once;         // for a run that must come to its end by itself (--once)
  const char *state; // state folder
  // answered (owned by the check; check_free)
  struct check_finding *findings;
  size_t finding_count;
  bool *reads; // per input: true when the SQL reads it (transformers)
  bool *joins; // per lookup: true when the SQL joins it (transformers)
  struct check_index *indexes;
  size_t index_count;
  struct check_column *output;
  size_t output_count;
  bool output_known;
  int64_t partitions; // of the topic, where --connect found it; 0: not known
  char *form;         // "batch" or "one by one: ORDER BY" for `weir check` and `weir graph`
};
void check_find(struct check *c, enum check_level level, const char *setting, long offset, const char *suggestion, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
void check_indexes_free(struct check_index *indexes, size_t count);
void check_free(struct check *c);

struct worker_kind {
  const char *name;
  enum worker_role role;
  worker_main *run;
  void (*check)(struct check *c); // NULL: the settings table says it all
  store_opener *store;            // sinks: where positions and dead letters are, for the verbs
  position_looker *look;          // producers: what lies between two of their positions; NULL: it cannot be told
  // Sinks: the path of the file that this worker, and it alone, writes; owned by the caller. NULL: its target takes several writers.
  char *(*writes)(struct job_value settings, unsigned lane, unsigned lanes);
};

extern const struct worker_kind worker_kinds[];
extern const size_t worker_kind_count;
// "producer", "transformer", "sinker", "lookup", as the job spells them.
const char *worker_role_name(enum worker_role role);
bool worker_role_find(const char *name, enum worker_role *role);
const struct worker_kind *worker_kind_find(enum worker_role role, const char *name);

// What the supervisor must know to make a lane's shared memory: words for each stream in a sink's feedback, and in the source's words.
extern const uint32_t worker_feedback_words, worker_stream_words;
// Tells the libraries that workers stand on, with the versions that are loaded.
typedef void worker_library_told(void *context, const char *name, const char *version);
void worker_libraries(worker_library_told *tell, void *context);
