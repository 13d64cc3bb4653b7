// Columns of the target and the way from a record's fields to them.
//
// The hot path is table_map: records of one stage have their fields in one order, so the column of the n-th field is guessed from the
// record before and only compared; the hash is asked when the guess fails.
#include "workers/sinks/table.h"

#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/hash.h"
#include "proto/limits.h"
#include "proto/log.h"
#include "proto/msgpack.h"

static const char *const type_names[] = {
    [COLUMN_TEXT] = "text",           [COLUMN_SMALLINT] = "smallint", [COLUMN_INT] = "int",         [COLUMN_BIGINT] = "bigint",
    [COLUMN_REAL] = "real",           [COLUMN_DOUBLE] = "double",     [COLUMN_NUMERIC] = "numeric", [COLUMN_BOOLEAN] = "boolean",
    [COLUMN_TIMESTAMP] = "timestamp", [COLUMN_DATE] = "date",         [COLUMN_JSON] = "json",       [COLUMN_BYTES] = "bytes",
    [COLUMN_UUID] = "uuid",           [COLUMN_ANY] = "any",           [COLUMN_OTHER] = "other",
};

const char *column_type_name(enum column_type type) {
  return type_names[type];
}

bool column_type_find(const char *name, enum column_type *type) {
  static const enum column_type language[] = {COLUMN_TEXT,    COLUMN_INT,       COLUMN_BIGINT, COLUMN_DOUBLE, COLUMN_NUMERIC,
                                              COLUMN_BOOLEAN, COLUMN_TIMESTAMP, COLUMN_DATE,   COLUMN_JSON,   COLUMN_BYTES};
  for (size_t i = 0; i < sizeof language / sizeof language[0]; i++)
    if (strcmp(name, type_names[language[i]]) == 0) {
      *type = language[i];
      return true;
    }
  return false;
}

static void read_without(struct table *t, struct job_value names) {
  struct job_walk walk = job_walk_start(names);
  struct job_value value;
  t->without = memory_resize(t->without, (walk.left + 1) * sizeof *t->without);
  while (job_walk_next(&walk, NULL, &value)) {
    char *name = job_value_text(value);
    if (name) t->without[t->without_count++] = name;
  }
}

void table_expect(struct table *t, struct job_value settings) {
  struct job_walk walk = job_walk_start(job_get(settings, "input_columns"));
  struct job_value value;
  read_without(t, job_get(settings, "without"));
  if (!job_bool(settings, "input_columns_sure", false)) return;
  while (job_walk_next(&walk, NULL, &value)) t->expected++;
}

bool table_leaves_out(const struct table *t, const char *name, size_t length) {
  for (size_t i = 0; i < t->without_count; i++)
    if (strlen(t->without[i]) == length && memcmp(t->without[i], name, length) == 0) return true;
  return false;
}

void table_clear(struct table *t) {
  t->looked = false;
  for (size_t i = 0; i < t->count; i++) {
    free(t->columns[i].name);
    free(t->columns[i].cast);
  }
  t->count = 0;
  if (t->slots) memset(t->slots, 0, t->slot_count * sizeof *t->slots);
  // Guesses point at columns that may be gone.
  for (size_t i = 0; i < t->order_room; i++) msgpack_guess_none(&t->order[i]);
}

void table_free(struct table *t) {
  table_clear(t);
  for (size_t i = 0; i < t->told_count; i++) free(t->told[i]);
  free(t->told);
  for (size_t i = 0; i < t->without_count; i++) free(t->without[i]);
  free(t->without);
  free(t->columns);
  free(t->slots);
  free(t->order);
  *t = (struct table){0};
}

static void slot_put(struct table *t, size_t column) {
  const char *name = t->columns[column].name;
  size_t slot = hash_bytes(name, strlen(name), 0) & (t->slot_count - 1);
  while (t->slots[slot]) slot = (slot + 1) & (t->slot_count - 1);
  t->slots[slot] = (int32_t)column + 1;
}

struct column *table_add(struct table *t, const char *name, enum column_type type) {
  if (t->count == t->room) {
    t->room = t->room ? t->room * 2 : 16;
    t->columns = memory_resize(t->columns, t->room * sizeof *t->columns);
    // Half of the slots stay empty, so that a search for an absent name ends soon.
    free(t->slots);
    t->slot_count = t->room * 2;
    t->slots = memory_get(t->slot_count * sizeof *t->slots);
    for (size_t i = 0; i < t->count; i++) slot_put(t, i);
  }
  t->columns[t->count] = (struct column){.name = memory_text(name), .length = strlen(name), .type = type};
  slot_put(t, t->count);
  return &t->columns[t->count++];
}

static bool name_is(const struct column *c, const char *name, size_t length) {
  return c->length == length && memcmp(c->name, name, length) == 0;
}

int32_t table_find(const struct table *t, const char *name, size_t length) {
  if (t->count == 0) return TABLE_NO_COLUMN;
  size_t slot = hash_bytes(name, length, 0) & (t->slot_count - 1);
  for (; t->slots[slot]; slot = (slot + 1) & (t->slot_count - 1))
    if (name_is(&t->columns[t->slots[slot] - 1], name, length)) return t->slots[slot] - 1;
  return TABLE_NO_COLUMN;
}

// Adds or redefines a column. `type` "" means that nobody knows it.
static bool put_known(struct table *t, const char *name, const char *type_name, bool not_null, struct error *e) {
  enum column_type type = COLUMN_TEXT;
  if (table_leaves_out(t, name, strlen(name))) return true;
  if (name[0] == '\0' || strlen(name) > LIMIT_NAME || (type_name[0] != '\0' && !column_type_find(type_name, &type))) {
    error_set(e, ERROR_CONFIG, "columns", "column \"%.*s\" cannot have the type \"%s\"", LIMIT_NAME, name, type_name);
    return false;
  }
  int32_t found = table_find(t, name, strlen(name));
  if (found == TABLE_NO_COLUMN && t->count == LIMIT_FIELDS) {
    error_set(e, ERROR_CONFIG, "columns", "more than %d columns", LIMIT_FIELDS);
    return false;
  }
  struct column *column = found == TABLE_NO_COLUMN ? table_add(t, name, type) : &t->columns[found];
  column->type = type;
  column->guessed = type_name[0] == '\0';
  column->not_null = not_null;
  column->used = true;
  return true;
}

static bool put_input_column(struct table *t, struct job_value description, struct error *e) {
  char *name = job_text(description, "name", ""), *type = job_text(description, "type", "");
  bool ok = put_known(t, name, type, job_bool(description, "not_null", false), e);
  free(name);
  free(type);
  return ok;
}

// "double not null", as `columns:` spells it.
static bool put_own_column(struct table *t, const char *name, struct job_value value, struct error *e) {
  char *text = job_value_text(value);
  if (!text) text = memory_text("");
  size_t length = strcspn(text, " ");
  bool not_null = strcasestr(text + length, "not null") != NULL;
  text[length] = '\0';
  bool ok = put_known(t, name, text, not_null, e);
  free(text);
  return ok;
}

int table_add_known_columns(struct table *t, struct job_value settings, struct error *e) {
  struct job_walk walk = job_walk_start(job_get(settings, "input_columns"));
  struct job_value value;
  while (job_walk_next(&walk, NULL, &value))
    if (!put_input_column(t, value, e)) return -1;
  walk = job_walk_start(job_get(settings, "columns"));
  char *name;
  while (job_walk_next(&walk, &name, &value)) {
    bool ok = put_own_column(t, name, value, e);
    free(name);
    if (!ok) return -1;
  }
  return (int)t->count;
}

void table_guess(struct column *column, const uint8_t *at, const uint8_t *end) {
  struct msgpack_value value;
  if (!column->guessed || !msgpack_read(&at, end, &value) || value.type == MSGPACK_NIL) return;
  bool number = value.type == MSGPACK_INT || value.type == MSGPACK_UINT || value.type == MSGPACK_DOUBLE;
  column->type = number ? COLUMN_DOUBLE : COLUMN_TEXT;
  column->guessed = false;
}

bool table_mark_key(struct table *t, struct job_value key, struct error *e) {
  // A column of the table that `without:` names is left to the database, too.
  for (size_t i = 0; i < t->count && t->without_count > 0; i++)
    if (table_leaves_out(t, t->columns[i].name, t->columns[i].length)) t->columns[i].generated = true;
  struct job_walk walk = job_walk_start(key);
  struct job_value element;
  unsigned place = 0;
  while (job_walk_next(&walk, NULL, &element)) {
    char *name = job_value_text(element);
    int32_t column = name ? table_find(t, name, strlen(name)) : TABLE_NO_COLUMN;
    if (column == TABLE_NO_COLUMN) {
      error_set(e, ERROR_OPERATOR, "key", "the table has no column \"%s\", which `key:` names", name ? name : "");
      free(name);
      return false;
    }
    t->columns[column].key = ++place;
    t->columns[column].used = true;
    free(name);
  }
  return true;
}

const struct column *table_key_column(const struct table *t, unsigned place) {
  for (size_t i = 0; i < t->count; i++)
    if (t->columns[i].key == place) return &t->columns[i];
  return NULL;
}

void table_key_refuse(const char *quoted, const char *key, const char *index, bool view, struct error *e) {
  if (view)
    error_set(e, ERROR_OPERATOR, "no-unique-index", "%s is a view, and an upsert needs a table with a unique index on (%s): name the table",
              quoted, key);
  else
    error_set(e, ERROR_OPERATOR, "no-unique-index",
              "table %s has no unique index on exactly the columns of `key:`, so an upsert cannot find its row; this makes it: "
              "CREATE UNIQUE INDEX %sON %s (%s);",
              quoted, index, quoted, key);
}

char *table_key_json(const struct table *t) {
  struct buffer names = {0}, packed = {0};
  const struct column *column;
  unsigned count = 0;
  while (table_key_column(t, count + 1)) count++;
  buffer_reserve(&packed, (size_t)count * (LIMIT_NAME + 8) + 8);
  struct msgpack_writer w = {.at = packed.at, .end = packed.at + packed.room};
  msgpack_write_array(&w, count);
  for (unsigned place = 1; (column = table_key_column(t, place)); place++) msgpack_write_text(&w, column->name, (uint32_t)column->length);
  const uint8_t *at = packed.at;
  if (w.overflow || !msgpack_to_json(&at, w.at, &names)) buffer_clear(&names);
  char *text = memory_text(buffer_cstring(&names));
  buffer_free(&packed);
  buffer_free(&names);
  return text;
}

bool table_is_settled(const struct table *t) {
  // A column that none of them has, such as one that the database fills, stays unused.
  if (t->looked) return true;
  for (size_t i = 0; i < t->count; i++)
    if (!t->columns[i].used && !t->columns[i].generated) return false;
  return true;
}

// The column of the n-th field, whose key is stepped over: by the order of the last record or by the hash. False: the key is no text.
static inline bool field_column(struct table *t, size_t n, const uint8_t **at, const uint8_t *end, int32_t *column) {
  struct msgpack_guess *guess = &t->order[n];
  struct msgpack_value key;
  if (__builtin_expect(msgpack_guess_fits(guess, *at, end), 1)) {
    *at += guess->size;
    *column = guess->slot;
    return true;
  }
  const uint8_t *start = *at;
  if (!msgpack_read(at, end, &key) || key.type != MSGPACK_TEXT) return false;
  *column = table_find(t, (const char *)key.bytes, key.length);
  msgpack_guess_set(guess, start, (size_t)(*at - start), *column);
  return true;
}

// A field without a column, whose key stands at `at`: told, unless it is left out on purpose.
static void tell_unknown(const struct table *t, table_unknown *unknown, void *context, const uint8_t *at, const uint8_t *value,
                         const uint8_t *end) {
  struct msgpack_value key;
  if (!unknown || !msgpack_read(&at, value, &key)) return;
  const char *name = (const char *)key.bytes;
  if (t->without_count > 0 && table_leaves_out(t, name, key.length)) return;
  unknown(context, name, key.length, value, end);
}

static void order_reserve(struct table *t, size_t fields) {
  if (fields <= t->order_room) return;
  t->order = memory_resize(t->order, fields * sizeof *t->order);
  for (size_t i = t->order_room; i < fields; i++) msgpack_guess_none(&t->order[i]);
  t->order_room = fields;
}

bool table_map(struct table *t, const uint8_t *body, const uint8_t *end, struct row_field *fields, table_unknown *unknown, void *context) {
  if (t->count > 0) memset(fields, 0, t->count * sizeof *fields);
  struct msgpack_value map, key;
  if (!msgpack_read(&body, end, &map) || map.type != MSGPACK_MAP || map.length > (size_t)(end - body)) return false;
  uint32_t named = map.length < LIMIT_FIELDS ? map.length : LIMIT_FIELDS;
  order_reserve(t, named);
  for (uint32_t i = 0; i < named; i++) {
    const uint8_t *start = body;
    int32_t column;
    if (!field_column(t, i, &body, end, &column)) return false;
    const uint8_t *at = body;
    if (!msgpack_skip_plain(&body, end)) return false;
    if (column == TABLE_NO_COLUMN) tell_unknown(t, unknown, context, start, at, body);
    if (column == TABLE_NO_COLUMN || t->columns[column].generated) continue;
    t->columns[column].used = true;
    fields[column] = (struct row_field){at, body};
  }
  for (uint32_t i = named; i < map.length; i++)
    if (!msgpack_read(&body, end, &key) || key.type != MSGPACK_TEXT || !msgpack_skip(&body, end)) return false;
  return body == end;
}

void table_ignore(struct table *t, const char *name, uint32_t length) {
  t->ignored++;
  for (size_t i = 0; i < t->told_count; i++)
    if (strlen(t->told[i]) == strnlen(name, length) && strncmp(t->told[i], name, length) == 0) return;
  if (t->told_count == TABLE_TOLD_MAX) return;
  t->told = memory_resize(t->told, (t->told_count + 1) * sizeof *t->told);
  t->told[t->told_count++] = memory_text_n(name, length);
  struct log_line line;
  log_begin(&line, LOG_LEVEL_WARN, "field has no column, it is ignored; `evolve: add` would add one");
  log_text_n(&line, "field", name, length);
  log_text(&line, "table", t->label);
  log_end(&line);
}

void table_tell_ignored(const struct table *t) {
  if (t->ignored == 0) return;
  struct log_line line;
  log_begin(&line, LOG_LEVEL_INFO, "fields without a column were ignored");
  log_uint(&line, "count", t->ignored);
  log_uint(&line, "names", t->told_count);
  log_text(&line, "table", t->label);
  log_end(&line);
}
