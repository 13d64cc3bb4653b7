// The job: what a worker is told at its start, one msgpack map in a memfd that the supervisor seals and passes as descriptor JOB_FD.
//
// Map: role text ("producer", "transformer", "sinker"), kind text ("http", "file", "sql", "table", ...), pipeline, node, source (name of
// the lane's source), edge (node names from the source to this one's parent, joined by ">": the input edge of design.md), input (the name
// by which its SQL reads it, nil: the last one of the edge), node_index uint, lane, lanes, generation uint, state (folder), log_json bool,
// careful bool, set_aside array [stream, position] or nil, once bool, take_over bool, fed bool (other workers of this run write what the
// lane's source reads: with `once` it waits for SLOT_FINISH), shared bool (other instances may take streams of this lane over), fingerprint
// text (of the source's settings that decide what flows), dead_nodes array of uint (indexes of the nodes whose dead letters this sink
// stores), nodes array of text (names by index), lookups array of maps (of a transformer, for each lookup that its SQL joins: name text,
// words int, a descriptor, settings map), fds map of ints (see workers/worker.h), file text (the pipeline file as the command line named
// it), state_option text (what --state said, nil: nothing), sinks array of text (names of the lane's sinks), settings map: the node's own
// settings by name, typed and with defaults filled in by the settings table. Durations are integers in milliseconds, sizes integers in
// bytes. Lists are arrays, free-form maps (headers, columns) maps in the file's order.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
enum { JOB_FD = 3 };

struct job {
  const uint8_t *at, *end; // the whole map; lives as long as the process
};

// A place in the job: a map, array or scalar. `at` NULL: absent.
struct job_value {
  const uint8_t *at, *end;
};

bool job_load(int fd, struct job *job, struct error *e);
struct job_value job_root(const struct job *job);
struct job_value job_get(struct job_value map, const char *key); // absent when not there or nil
bool job_has(struct job_value v);
// The copies returned by job_text are owned by the caller; `otherwise` may be NULL and is copied too.
char *job_text(struct job_value map, const char *key, const char *otherwise);
int64_t job_int(struct job_value map, const char *key, int64_t otherwise);
double job_double(struct job_value map, const char *key, double otherwise);
bool job_bool(struct job_value map, const char *key, bool otherwise);
// Walks an array or map: start with *at = v.at-internal NULL cursor. True while there is another element.
struct job_walk {
  const uint8_t *at, *end;
  uint32_t left;
  bool map;
};
struct job_walk job_walk_start(struct job_value v);
bool job_walk_next(struct job_walk *walk, char **key /* maps: owned by the caller; may be NULL */, struct job_value *value);
char *job_value_text(struct job_value v); // owned copy; numbers and booleans as text; NULL when nil
int64_t job_value_int(struct job_value v, int64_t otherwise);
