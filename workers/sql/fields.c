// Fields: see fields.h.
//
// Invariant: no byte at or behind a record's end is read, whatever the record holds; a key is guessed only where two whole words can be
// loaded.
#include "workers/sql/fields.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/hash.h"
#include "proto/limits.h"

// Splits "a\.b[0].c" into its first key, unescaped, and the rest ("[0].c"). A path that begins with "[" has no first key.
static char *split_first_key(const char *name, const char **rest) {
  char *key = memory_get(strlen(name) + 1), *to = key;
  const char *at = name;
  while (*at != '\0' && *at != '.' && *at != '[') {
    if (*at == '\\' && at[1] != '\0') at++;
    *to++ = *at++;
  }
  *rest = *at == '.' ? at + 1 : at;
  return key;
}

static int32_t key_find(const struct field_names *names, const uint8_t *key, uint32_t length) {
  if (names->key_count == 0) return FIELD_NONE;
  for (uint32_t bucket = (uint32_t)hash_bytes(key, length, 0);; bucket++) {
    int32_t found = names->buckets[bucket & names->bucket_mask];
    if (found == FIELD_NONE) return FIELD_NONE;
    const struct field_key *k = &names->keys[found];
    if (k->length == length && memcmp(k->text, key, length) == 0) return found;
  }
}

static void bucket_put(struct field_names *names, int32_t slot) {
  const struct field_key *key = &names->keys[slot];
  uint32_t bucket = (uint32_t)hash_bytes(key->text, key->length, 0);
  while (names->buckets[bucket & names->bucket_mask] != FIELD_NONE) bucket++;
  names->buckets[bucket & names->bucket_mask] = slot;
}

// Keeps at least half of the buckets free. True: all keys have been put into new ones.
static bool buckets_grow(struct field_names *names) {
  uint32_t room = names->buckets ? names->bucket_mask + 1 : 0;
  if (names->key_count * 2 < room) return false;
  room = room ? room * 2 : 16;
  names->buckets = memory_resize(names->buckets, room * sizeof *names->buckets);
  names->bucket_mask = room - 1;
  for (uint32_t i = 0; i < room; i++) names->buckets[i] = FIELD_NONE;
  for (size_t i = 0; i < names->key_count; i++) bucket_put(names, (int32_t)i);
  return true;
}

// Takes the text over.
static int32_t key_add(struct field_names *names, char *text) {
  uint32_t length = (uint32_t)strlen(text);
  int32_t found = key_find(names, (const uint8_t *)text, length);
  if (found != FIELD_NONE) {
    free(text);
    return found;
  }
  names->keys = memory_resize(names->keys, (names->key_count + 1) * sizeof *names->keys);
  names->keys[names->key_count] = (struct field_key){.text = text, .length = length};
  names->key_count++;
  if (!buckets_grow(names)) bucket_put(names, (int32_t)names->key_count - 1);
  return (int32_t)names->key_count - 1;
}

bool field_names_add(struct field_names *names, const char *name, const char *path, struct error *e) {
  struct msgpack_path *whole = msgpack_path_new(path, e);
  if (!whole) return false;
  struct field_column column = {.name = memory_text(name), .slot = FIELD_NONE, .path = whole};
  if (path[0] != '[') {
    const char *rest;
    column.slot = key_add(names, split_first_key(path, &rest));
    msgpack_path_free(whole);
    // The rest of a path that is well formed is well formed, so only the end of the text gives no path.
    column.path = *rest ? msgpack_path_new(rest, e) : NULL;
  }
  names->columns = memory_resize(names->columns, (names->count + 1) * sizeof *names->columns);
  names->columns[names->count++] = column;
  return true;
}

int field_names_find(const struct field_names *names, const char *name) {
  for (size_t i = 0; i < names->count; i++)
    if (strcasecmp(names->columns[i].name, name) == 0) return (int)i;
  return -1;
}

void field_names_free(struct field_names *names) {
  for (size_t i = 0; i < names->count; i++) {
    free(names->columns[i].name);
    msgpack_path_free(names->columns[i].path);
  }
  for (size_t i = 0; i < names->key_count; i++) free(names->keys[i].text);
  free(names->columns);
  free(names->keys);
  free(names->buckets);
  *names = (struct field_names){0};
}

void field_index_open(struct field_index *index, const struct field_names *names) {
  memset(index, 0, sizeof *index);
  index->names = names;
  for (size_t i = 0; i <= FIELD_PREDICTED; i++) msgpack_guess_none(&index->guess[i]);
  index->slots = memory_get(names->key_count * sizeof *index->slots);
}

void field_index_close(struct field_index *index) {
  free(index->slots);
  index->slots = NULL;
}

// The slow way for one key: decodes it, looks it up, and guesses it for the next record. A key that is no text names no field.
static bool key_read(struct field_index *index, const uint8_t **at, const uint8_t *end, uint32_t ordinal, int32_t *slot) {
  const uint8_t *start = *at;
  struct msgpack_value key;
  if (!msgpack_read(at, end, &key)) return false;
  if (key.type != MSGPACK_TEXT) {
    *at = start;
    *slot = FIELD_NONE;
    return msgpack_skip(at, end);
  }
  *slot = key_find(index->names, key.bytes, key.length);
  if (ordinal < FIELD_PREDICTED) msgpack_guess_set(&index->guess[ordinal], start, (size_t)(*at - start), *slot);
  return true;
}

// True when guess number `ordinal` is the key at `at`, which is then stepped over.
static inline bool key_guess(const struct field_index *index, const uint8_t **at, const uint8_t *end, uint32_t ordinal, int32_t *slot) {
  const struct msgpack_guess *guess = &index->guess[ordinal < FIELD_PREDICTED ? ordinal : FIELD_PREDICTED];
  if (!msgpack_guess_fits(guess, *at, end)) return false;
  *at += guess->size;
  *slot = guess->slot;
  return true;
}

static bool map_index(struct field_index *index, const uint8_t *at, const uint8_t *end, uint32_t pairs) {
  struct field_span *slots = index->slots;
  uint32_t ordinal = 0;
  for (uint32_t i = 0; i < pairs; i++, ordinal++) {
    int32_t slot;
    if (!key_guess(index, &at, end, ordinal, &slot)) {
      // A field that the last record had may be missing here: then the guesses go on behind it.
      if (key_guess(index, &at, end, ordinal + 1, &slot))
        ordinal++;
      else if (!key_read(index, &at, end, ordinal, &slot))
        return false;
    }
    const uint8_t *value = at;
    if (!msgpack_skip_plain(&at, end)) return false;
    if (slot != FIELD_NONE) slots[slot] = (struct field_span){.at = value, .end = at};
  }
  return at == end;
}

bool field_index_set(struct field_index *index, const uint8_t *at, const uint8_t *end) {
  index->whole = (struct field_span){.at = at, .end = end};
  for (size_t i = 0; i < index->names->key_count; i++) index->slots[i].at = NULL;
  const uint8_t *first = at;
  struct msgpack_value head;
  if (!msgpack_read(&first, end, &head)) return false;
  if (head.type == MSGPACK_MAP) return map_index(index, first, end, head.length);
  return msgpack_skip(&at, end) && at == end;
}
