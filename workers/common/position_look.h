// What a source can say of its positions while it does not run: whether a run could go on at one, and what lies between two of them. Asked
// by `weir positions set` through the list of kinds (workers.h), answered beside the source itself; nothing is changed by it.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/job.h"

enum position_goal { POSITION_AT, POSITION_EARLIEST, POSITION_LATEST };

struct position_ask {
  const char *state, *source;       // the state folder; the name of the node
  struct job_value settings;        // of the node
  const char *partition, *identity; // as a sink has them; identity "": whatever comes
  int64_t from;                     // where the sink is now
  enum position_goal goal;
  int64_t at; // POSITION_AT: where it is to be
};

enum { POSITION_WHY = 300 };
struct position_answer {
  int64_t to;           // what the goal means
  bool counted;         // what follows is known; else `why` says why not
  int64_t records;      // that lie between `from` and `to`
  const char *what;     // static: "records of the journal"
  int64_t first, until; // arrival of the first and the last of them, microseconds; 0: not known
  char why[POSITION_WHY];
};

// False: no run could go on there, or the goal cannot be told (e says which positions would do).
typedef bool position_looker(const struct position_ask *ask, struct position_answer *answer, struct error *e);
