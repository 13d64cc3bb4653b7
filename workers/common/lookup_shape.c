// See lookup_shape.h.
#include "workers/common/lookup_shape.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/limits.h"

const char *lookup_function(enum column_type type) {
  switch (type) {
  case COLUMN_BOOLEAN: return "weir_boolean";
  case COLUMN_TIMESTAMP: return "weir_timestamp";
  case COLUMN_JSON: return "weir_json";
  case COLUMN_ANY:
  case COLUMN_TEXT:
  case COLUMN_INT:
  case COLUMN_BIGINT:
  case COLUMN_DOUBLE:
  case COLUMN_DATE:
  case COLUMN_BYTES: return NULL;
  }
  return NULL;
}

static const char *storage(enum column_type type) {
  switch (type) {
  case COLUMN_INT:
  case COLUMN_BIGINT:
  case COLUMN_BOOLEAN:
  case COLUMN_TIMESTAMP: return "INTEGER";
  case COLUMN_DOUBLE: return "REAL";
  case COLUMN_TEXT:
  case COLUMN_DATE:
  case COLUMN_JSON: return "TEXT";
  case COLUMN_ANY:
  case COLUMN_BYTES: return "BLOB";
  }
  return "BLOB";
}

size_t lookup_column_find(const struct lookup_shape *shape, const char *name) {
  size_t i = 0;
  while (i < shape->column_count && strcasecmp(shape->columns[i].name, name) != 0) i++;
  return i;
}

bool lookup_shape_generates(const struct lookup_shape *shape) {
  for (size_t i = 0; i < shape->column_count; i++)
    if (shape->columns[i].generated) return true;
  return false;
}

// ---- reading the settings

// The error's code names the setting, cut where a name is long.
static bool refuse(struct error *e, const char *setting, const char *name, const char *why) {
  error_set(e, ERROR_CONFIG, setting, "%.255s: %s", name, why);
  return false;
}

static bool column_load(struct lookup_shape *shape, char *name, struct job_value value, struct error *e) {
  char *type = job_value_text(value);
  struct lookup_column *column = &shape->columns[shape->column_count];
  *column = (struct lookup_column){.name = name};
  bool good = false;
  if (strlen(name) == 0 || strlen(name) > LIMIT_NAME || name[0] == LOOKUP_HIDDEN)
    refuse(e, "columns", name, "this cannot be the name of a column");
  else if (lookup_column_find(shape, name) < shape->column_count)
    refuse(e, "columns", name, "SQL does not tell upper from lower case, and another column has this name");
  else if (!column_rule_parse(type ? type : "", &column->rule))
    refuse(e, "columns", name, "its type is none of text, int, bigint, double, boolean, timestamp, date, json and bytes");
  else
    good = true;
  shape->column_count++;
  free(type);
  return good;
}

static bool columns_load(struct lookup_shape *shape, struct job_value map, struct error *e) {
  struct job_walk walk = job_walk_start(map);
  struct job_value value;
  char *name;
  bool good = true;
  if (!walk.map || walk.left == 0 || walk.left > LOOKUP_COLUMNS_MOST) {
    error_set(e, ERROR_CONFIG, "columns", "a lookup has 1 to %d columns", LOOKUP_COLUMNS_MOST);
    return false;
  }
  shape->columns = memory_get(walk.left * sizeof *shape->columns);
  while (good && job_walk_next(&walk, &name, &value)) good = column_load(shape, name, value, e);
  return good;
}

// A name, or a list of names, as one more index.
static bool index_load(struct lookup_shape *shape, struct job_value names, const char *setting, struct error *e) {
  struct lookup_index *index = &shape->indexes[shape->index_count++];
  struct job_walk walk = job_walk_start(names);
  struct job_value value;
  *index = (struct lookup_index){.columns = memory_get((shape->column_count + 1) * sizeof *index->columns)};
  while (job_walk_next(&walk, NULL, &value)) {
    char *name = job_value_text(value);
    size_t column = lookup_column_find(shape, name ? name : "");
    bool good = column < shape->column_count && index->count < shape->column_count;
    if (!good) refuse(e, setting, name ? name : "", "`columns` has no such column");
    free(name);
    if (!good) return false;
    index->columns[index->count++] = column;
  }
  if (index->count > 0) return true;
  error_set(e, ERROR_CONFIG, setting, "no column is named");
  return false;
}

static bool key_load(struct lookup_shape *shape, struct job_value settings, struct error *e) {
  if (!index_load(shape, job_get(settings, "key"), "key", e)) return false;
  const struct lookup_index *key = &shape->indexes[0];
  for (size_t i = 0; i < key->count; i++) {
    struct lookup_column *column = &shape->columns[key->columns[i]];
    if (column->rule.type == COLUMN_JSON) return refuse(e, "key", column->name, "json cannot be a key");
    // A row without a key could never be found: it is a sign of an answer that is something else.
    column->rule.not_null = true;
  }
  return true;
}

static bool indexes_load(struct lookup_shape *shape, struct job_value settings, struct error *e) {
  struct job_walk walk = job_walk_start(job_get(settings, "indexes"));
  struct job_value one;
  while (shape->index_count <= LOOKUP_INDEXES_MOST && job_walk_next(&walk, NULL, &one)) {
    if (!index_load(shape, one, "indexes", e)) return false;
    if (lookup_index_possible(shape, &shape->indexes[shape->index_count - 1])) continue;
    error_set(e, ERROR_CONFIG, "indexes", "a column that is generated cannot be indexed");
    return false;
  }
  return true;
}

// Columns of the key hold plain values; the others are generated where their type has a kind of its own.
static void generated_mark(struct lookup_shape *shape) {
  const struct lookup_index *key = &shape->indexes[0];
  for (size_t c = 0; c < shape->column_count; c++) {
    bool of_key = false;
    for (size_t k = 0; k < key->count; k++) of_key |= key->columns[k] == c;
    shape->columns[c].generated = !of_key && lookup_function(shape->columns[c].rule.type);
  }
}

bool lookup_index_possible(const struct lookup_shape *shape, const struct lookup_index *index) {
  for (size_t k = 0; k < index->count; k++)
    if (shape->columns[index->columns[k]].generated) return false;
  return true;
}

bool lookup_shape_load(struct lookup_shape *shape, const char *name, struct job_value settings, struct error *e) {
  *shape = (struct lookup_shape){.name = memory_text(name)};
  shape->indexes = memory_get((LOOKUP_INDEXES_MOST + 1) * sizeof *shape->indexes);
  if (!columns_load(shape, job_get(settings, "columns"), e) || !key_load(shape, settings, e)) return false;
  generated_mark(shape);
  return indexes_load(shape, settings, e);
}

void lookup_shape_free(struct lookup_shape *shape) {
  for (size_t i = 0; i < shape->column_count; i++) free(shape->columns[i].name);
  for (size_t i = 0; i < shape->index_count; i++) free(shape->indexes[i].columns);
  free(shape->columns);
  free(shape->indexes);
  free(shape->name);
  *shape = (struct lookup_shape){0};
}

// ---- SQL

static void add_name(struct buffer *out, const char *prefix, const char *name) {
  buffer_byte(out, '"');
  buffer_text(out, prefix);
  for (; *name; name++) {
    if (*name == '"') buffer_byte(out, '"');
    buffer_byte(out, (uint8_t)*name);
  }
  buffer_byte(out, '"');
}

// "schema"."prefix name"
static void add_object(struct buffer *out, const char *schema, const char *prefix, const char *name) {
  if (schema) {
    add_name(out, "", schema);
    buffer_byte(out, '.');
  }
  add_name(out, prefix, name);
}

static const char hidden[] = {LOOKUP_HIDDEN, '\0'};

void lookup_table_sql(const struct lookup_shape *shape, const char *schema, struct buffer *out) {
  buffer_text(out, "CREATE TABLE ");
  add_object(out, schema, "", shape->name);
  buffer_text(out, "(\"" LOOKUP_STAR "\"");
  for (size_t i = 0; i < shape->column_count; i++) {
    const struct lookup_column *c = &shape->columns[i];
    const char *type = storage(c->rule.type);
    buffer_byte(out, ',');
    add_name(out, c->generated ? hidden : "", c->name);
    buffer_print(out, " %s", type);
    if (!c->generated) continue;
    buffer_byte(out, ',');
    add_name(out, "", c->name);
    buffer_print(out, " %s AS (%s(", type, lookup_function(c->rule.type));
    add_name(out, hidden, c->name);
    buffer_text(out, ")) VIRTUAL");
  }
  buffer_byte(out, ')');
}

void lookup_insert_sql(const struct lookup_shape *shape, struct buffer *out) {
  buffer_text(out, "INSERT INTO ");
  add_object(out, NULL, "", shape->name);
  for (size_t i = 0; i < shape->column_count; i++) {
    buffer_byte(out, i ? ',' : '(');
    add_name(out, shape->columns[i].generated ? hidden : "", shape->columns[i].name);
  }
  for (size_t i = 0; i < shape->column_count; i++) buffer_print(out, "%s?%zu", i ? "," : ") VALUES(", i + 1);
  buffer_byte(out, ')');
}

void lookup_indexes_sql(const struct lookup_shape *shape, const char *schema, struct buffer *out) {
  for (size_t i = 0; i < shape->index_count; i++) {
    char *prefix = memory_print("index %zu of ", i);
    buffer_text(out, i ? ";CREATE INDEX " : "CREATE INDEX ");
    add_object(out, schema, prefix, shape->name);
    free(prefix);
    buffer_text(out, " ON ");
    add_name(out, "", shape->name);
    for (size_t k = 0; k < shape->indexes[i].count; k++) {
      buffer_byte(out, k ? ',' : '(');
      add_name(out, "", shape->columns[shape->indexes[i].columns[k]].name);
    }
    buffer_byte(out, ')');
  }
}

// ---- files

char *lookup_folder(const char *state) {
  return memory_print("%s/lookups", state);
}

char *lookup_path(const char *state, const char *name, uint64_t generation) {
  return memory_print("%s/lookups/%s.%" PRIu64 ".db", state, name, generation);
}
