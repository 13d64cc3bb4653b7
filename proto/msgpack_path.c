// Paths into a record: "a.b[0].c", compiled once by the SQL stage, the HTTP source and the JSON documents, walked for each record.
#include <stdlib.h>

#include "proto/error.h"
#include "proto/limits.h"
#include "proto/msgpack.h"

struct step {
  bool by_index;
  uint32_t index;
  uint32_t key, key_length; // into keys
};

struct msgpack_path {
  uint32_t count;
  struct step steps[LIMIT_DEPTH];
  char keys[LIMIT_PATH]; // the keys' bytes, escapes resolved
};

struct parser {
  const char *text, *at;
  struct msgpack_path *path;
  uint32_t used; // of path->keys; never more than the text's length
};

static bool fail(const struct parser *p, struct error *e, const char *what) {
  error_set(e, ERROR_CONFIG, "path", "%s at character %zu of the path \"%s\"", what, (size_t)(p->at - p->text) + 1, p->text);
  return false;
}

static void add_byte(struct parser *p, char byte) {
  p->path->keys[p->used++] = byte;
}

// A key up to "." or "[" or the end.
static bool parse_plain_key(struct parser *p, struct step *step, struct error *e) {
  step->key = p->used;
  while (*p->at != '\0' && *p->at != '.' && *p->at != '[') {
    if (*p->at == '\\' && *++p->at == '\0') return fail(p, e, "nothing behind the backslash");
    add_byte(p, *p->at++);
  }
  step->key_length = p->used - step->key;
  return step->key_length > 0 || fail(p, e, "a name is missing");
}

static bool parse_quoted_key(struct parser *p, struct step *step, struct error *e) {
  step->key = p->used;
  for (p->at++; *p->at != '"'; p->at++) {
    if (*p->at == '\\') p->at++;
    if (*p->at == '\0') return fail(p, e, "the quote is not closed");
    add_byte(p, *p->at);
  }
  p->at++;
  step->key_length = p->used - step->key;
  return true;
}

static bool parse_index(struct parser *p, struct step *step, struct error *e) {
  uint64_t index = 0;
  if (*p->at < '0' || *p->at > '9') return fail(p, e, "a number or a quoted name is expected behind \"[\"");
  for (; *p->at >= '0' && *p->at <= '9'; p->at++) {
    index = index * 10 + (uint64_t)(*p->at - '0');
    if (index > UINT32_MAX) return fail(p, e, "the index is too large");
  }
  step->by_index = true;
  step->index = (uint32_t)index;
  return true;
}

static bool parse_bracket(struct parser *p, struct step *step, struct error *e) {
  p->at++;
  if (*p->at == '"' ? !parse_quoted_key(p, step, e) : !parse_index(p, step, e)) return false;
  if (*p->at != ']') return fail(p, e, "\"]\" is missing");
  p->at++;
  return true;
}

static bool parse_steps(struct parser *p, struct error *e) {
  do {
    bool first = p->path->count == 0;
    if (p->path->count == LIMIT_DEPTH) return fail(p, e, "too many steps");
    struct step *step = &p->path->steps[p->path->count];
    if (*p->at == '[') {
      if (!parse_bracket(p, step, e)) return false;
    } else {
      if (!first && *p->at++ != '.') return fail(p, e, "\".\" or \"[\" is expected");
      if (!parse_plain_key(p, step, e)) return false;
    }
    p->path->count++;
  } while (*p->at != '\0');
  return true;
}

struct msgpack_path *msgpack_path_new(const char *text, struct error *e) {
  if (strnlen(text, LIMIT_PATH) == LIMIT_PATH) {
    error_set(e, ERROR_CONFIG, "path", "a path is longer than %d bytes", LIMIT_PATH - 1);
    return NULL;
  }
  struct parser p = {.text = text, .at = text, .path = memory_get(sizeof *p.path)};
  if (parse_steps(&p, e)) return p.path;
  msgpack_path_free(p.path);
  return NULL;
}

void msgpack_path_free(struct msgpack_path *path) {
  free(path);
}

// The first byte of element `index` of the array at `at`.
static bool start_of_index(const uint8_t *at, const uint8_t *end, uint32_t index, const uint8_t **start) {
  struct msgpack_value head;
  if (!msgpack_read(&at, end, &head) || head.type != MSGPACK_ARRAY || index >= head.length) return false;
  for (uint32_t i = 0; i < index; i++)
    if (!msgpack_skip_deep(&at, end, MSGPACK_DEPTH_MOST)) return false;
  *start = at;
  return true;
}

static bool find_index(const uint8_t *at, const uint8_t *end, uint32_t index, const uint8_t **found, const uint8_t **found_end) {
  if (!start_of_index(at, end, index, &at)) return false;
  *found = at;
  if (!msgpack_skip_deep(&at, end, MSGPACK_DEPTH_MOST)) return false;
  *found_end = at;
  return true;
}

bool msgpack_path_find(const struct msgpack_path *path, const uint8_t *at, const uint8_t *end, const uint8_t **found,
                       const uint8_t **found_end) {
  for (uint32_t i = 0; i < path->count; i++) {
    const struct step *step = &path->steps[i];
    bool there = step->by_index ? find_index(at, end, step->index, &at, &end)
                                : msgpack_find(at, end, path->keys + step->key, step->key_length, &at, &end);
    if (!there) return false;
  }
  *found = at;
  *found_end = end;
  return true;
}

// The first byte of the first value with that key.
static bool start_of_key(const uint8_t *at, const uint8_t *end, const char *key, uint32_t key_length, const uint8_t **start) {
  struct msgpack_value head, name;
  if (!msgpack_read(&at, end, &head) || head.type != MSGPACK_MAP) return false;
  for (uint32_t i = 0; i < head.length; i++) {
    if (!msgpack_read(&at, end, &name) || name.type != MSGPACK_TEXT) return false;
    if (name.length == key_length && memcmp(name.bytes, key, key_length) == 0) {
      *start = at;
      return true;
    }
    if (!msgpack_skip_deep(&at, end, MSGPACK_DEPTH_MOST)) return false;
  }
  return false;
}

bool msgpack_path_start(const struct msgpack_path *path, const uint8_t *at, const uint8_t *end, const uint8_t **start) {
  for (uint32_t i = 0; i < path->count; i++) {
    const struct step *step = &path->steps[i];
    bool there =
        step->by_index ? start_of_index(at, end, step->index, &at) : start_of_key(at, end, path->keys + step->key, step->key_length, &at);
    if (!there) return false;
  }
  *start = at;
  return true;
}

uint32_t msgpack_path_steps(const struct msgpack_path *path) {
  return path->count;
}

bool msgpack_path_step(const struct msgpack_path *path, uint32_t step, const char **key, uint32_t *number) {
  const struct step *s = &path->steps[step];
  *key = path->keys + s->key;
  *number = s->by_index ? s->index : s->key_length;
  return !s->by_index;
}
