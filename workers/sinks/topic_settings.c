// Reads the settings of a topic that is written.
#include "workers/sinks/topic_settings.h"

#include <stdlib.h>
#include <string.h>

enum { TRANSACTION_MS = 15000 };

static void read_names(struct topic_names *names, struct job_value list) {
  struct job_walk walk = job_walk_start(list);
  struct job_value value;
  while (job_walk_next(&walk, NULL, &value)) {
    char *name = job_value_text(value);
    if (!name) continue;
    names->at = memory_resize(names->at, (names->count + 1) * sizeof *names->at);
    names->at[names->count++] = name;
  }
}

static void read_headers(struct topic_settings *s, struct job_value map) {
  struct job_walk walk = job_walk_start(map);
  struct job_value value;
  char *name;
  while (job_walk_next(&walk, &name, &value)) {
    char *column = job_value_text(value);
    s->headers = memory_resize(s->headers, (s->header_count + 1) * sizeof *s->headers);
    s->headers[s->header_count++] = (struct topic_header){.name = name, .column = column ? column : memory_text("")};
  }
}

static bool read_format(struct job_value settings, const char *key, const char *otherwise, enum topic_format *format, struct error *e) {
  static const char *const names[] = {
      [TOPIC_JSON] = "json", [TOPIC_MSGPACK] = "msgpack", [TOPIC_STRING] = "string", [TOPIC_BYTES] = "bytes"};
  char *text = job_text(settings, key, otherwise);
  bool found = false;
  for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++) {
    found = strcmp(text, names[i]) == 0;
    if (found) *format = (enum topic_format)i;
  }
  if (!found) error_set(e, ERROR_CONFIG, key, "`%s` is json, msgpack, string or bytes, not `%s`", key, text);
  free(text);
  return found;
}

static char *text_or_null(struct job_value settings, const char *key) {
  char *text = job_text(settings, key, NULL);
  if (text && text[0] != '\0') return text;
  free(text);
  return NULL;
}

bool topic_settings_read(struct topic_settings *s, struct job_value settings, struct error *e) {
  char *delivery = job_text(settings, "delivery", "exactly_once");
  struct job_value create = job_get(settings, "create");
  *s = (struct topic_settings){.topic = job_text(settings, "topic", ""),
                               .dead_topic = text_or_null(settings, "dead_topic"),
                               .key_sql = text_or_null(settings, "key_sql"),
                               .message = text_or_null(settings, "message"),
                               .compression = job_text(settings, "compression", "lz4"),
                               .exactly_once = strcmp(delivery, "at_least_once") != 0,
                               .transaction_ms = (unsigned)job_int(settings, "transaction_timeout", TRANSACTION_MS),
                               .partitions = (int)job_int(create, "partitions", -1),
                               .replication = (int)job_int(create, "replication", -1),
                               .create_config = job_get(create, "config"),
                               .kafka = job_get(settings, "kafka")};
  free(delivery);
  read_names(&s->key, job_get(settings, "key"));
  read_names(&s->value, job_get(settings, "value"));
  read_headers(s, job_get(settings, "headers"));
  bool good = read_format(settings, "format", "json", &s->format, e) && read_format(settings, "key_format", "string", &s->key_format, e);
  if (good && s->topic[0] == '\0') {
    error_set(e, ERROR_CONFIG, "topic", "`topic` must name a topic");
    good = false;
  }
  if (good && s->key_format == TOPIC_BYTES && s->key.count > 1) {
    error_set(e, ERROR_CONFIG, "key", "a key of bytes is one column, not %zu", s->key.count);
    good = false;
  }
  if (good && (s->format == TOPIC_STRING || s->format == TOPIC_BYTES) && s->value.count > 1) {
    error_set(e, ERROR_CONFIG, "value", "a value that is a string or bytes is one column, not %zu", s->value.count);
    good = false;
  }
  if (!good) topic_settings_free(s);
  return good;
}

static void free_names(struct topic_names *names) {
  for (size_t i = 0; i < names->count; i++) free(names->at[i]);
  free(names->at);
}

void topic_settings_free(struct topic_settings *s) {
  free(s->topic);
  free(s->dead_topic);
  free(s->key_sql);
  free(s->message);
  free(s->compression);
  free_names(&s->key);
  free_names(&s->value);
  for (size_t i = 0; i < s->header_count; i++) {
    free(s->headers[i].name);
    free(s->headers[i].column);
  }
  free(s->headers);
  *s = (struct topic_settings){0};
}
