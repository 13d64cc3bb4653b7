// What store_kafka.c and store_kafka_write.c share. Included by them only.
#pragma once
#include "workers/clients/kafka_admin.h"
#include "workers/clients/sqlite.h"
#include "workers/sinks/kafka_positions.h"
#include "workers/sinks/store.h"
#include "workers/sinks/topic_settings.h"

struct kafka_statement {
  char *sql;
  char **params;
  size_t count;
};

struct kafka_store {
  struct store base;
  struct topic_settings settings;
  struct kafka_admin *admin;
  int32_t partitions;              // of weir_positions; 0: there is no such topic
  struct kafka_positions loaded;   // of all pipelines, as the topic had them
  struct sqlite *memory;           // the same as table weir_positions, for the statements of store.c; id = index in loaded + 1
  struct sqlite *letters;          // the state folder's; NULL: there are none
  struct kafka_statement *changes; // of the transaction, to be done again on what is found behind the fence
  size_t change_count;
  bool in_transaction;
};

// Reads all positions anew and makes the table of them.
bool kafka_store_load(struct kafka_store *s, struct error *e);
// Does the changes of the transaction on what is there now, and writes the result.
bool kafka_store_write(struct kafka_store *s, struct error *e);
void kafka_store_forget(struct kafka_store *s);
