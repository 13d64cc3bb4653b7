// What target_kafka.c and kafka_fence.c share. Included by them only.
#pragma once
#include "workers/clients/sqlite.h"
#include "workers/sinks/kafka_refused.h"
#include "workers/sinks/kafka_writer.h"
#include "workers/sinks/sqlite_dead.h"
#include "workers/sinks/target.h"

// Somebody else's sign of life, as this process has watched it: clocks of two machines may differ by more than the patience.
struct kafka_watched {
  char *owner;
  int64_t seen_ms;
  uint64_t since_ns; // monotonic: since when it is this one
};

struct kafka_target {
  struct target base;
  struct topic_settings settings;
  struct kafka_key *key; // of `key_sql`; NULL: without
  struct kafka_topics topics;
  int32_t partition;                // of weir_positions
  struct kafka_positions positions; // as of the last read, and what we have written since
  struct kafka_admin *admin;        // reads what was committed
  struct kafka_writer *writers;     // one for the lane; of a shared chain one for each stream that was attached
  size_t writer_count;
  char **fenced; // ids that are none of ours, ended in this life of the process
  size_t fenced_count;
  struct kafka_watched watched;
  struct kafka_refused refused; // rows of the batch in hand
  bool opened, held;            // held: this process has had the fence before
  struct sqlite *letters;       // the state folder's store; NULL: letters go to a topic
  struct sqlite_dead dead;
};

static inline bool kafka_is_shared(const struct kafka_target *t) {
  return t->base.setup.shared;
}
struct kafka_writer_setup kafka_setup_of(const struct kafka_target *t);
struct kafka_admin *kafka_admin_of(struct kafka_target *t, enum kafka_view view, struct error *e);

// ---- kafka_fence.c

// Transactional ids; owned by the caller.
char *kafka_id_of_lane(const struct target_setup *setup);
char *kafka_id_of_stream(const struct target_setup *setup, const char *source, const char *partition);
// Before anything is fenced, from positions that were read with all that is not committed yet: ERROR_OUTAGE "owned" while another instance
// is alive, ERROR_FENCED when it has taken over from us.
bool kafka_look_at_owner(struct kafka_target *t, struct error *e);
// The lane's own id is ours from now on, and says so.
bool kafka_sign(struct kafka_target *t, const char *owner, struct error *e);
// Reads the positions, and ends all transactional ids recorded there that another shape of this sink has used (another number of lanes,
// shared or not): none of them can commit any more when this returns.
bool kafka_read_fenced(struct kafka_target *t, struct error *e);
// A writer was fenced: sets `lost` on its streams (NULL: all) when another owner has them, and e to what it means: ERROR_FENCED,
// ERROR_REWIND (positions were set), ERROR_OUTAGE (the brokers ended a transaction that took too long). Returns false.
bool kafka_see_why(struct kafka_target *t, const struct kafka_writer *w, struct target_streams *streams, struct error *e);
