// Every limit on hostile input, in one place. Whatever is over one of them becomes a dead letter (a record) or a configuration error.
#pragma once

enum {
  LIMIT_DEPTH = 64,        // nesting of maps and arrays in a record, a JSON document or a msgpack value
  LIMIT_RECORD = 16 << 20, // bytes of one record's msgpack, whatever the ring allows beyond
  LIMIT_FIELDS = 4096,     // fields of one map that weir looks at by name (columns of a stage or a table)
  LIMIT_NAME = 255,        // bytes of a node, column, table or pipeline name
  LIMIT_PATH = 1024,       // bytes of a "a.b[0].c" path
  LIMIT_CONFIG = 4 << 20,  // bytes of a pipeline file
  LIMIT_STREAMS = 1024,    // partitions of one source in one lane
  LIMIT_LANES = 64,
  LIMIT_DEAD_MESSAGE = 64 << 10, // bytes of key and headers in a dead letter; longer ones are left out, and a reader's letter says "cut"
  LIMIT_DEAD_DATA = 1 << 20,     // bytes of an original kept in a dead letter; longer ones are cut and say so
};
