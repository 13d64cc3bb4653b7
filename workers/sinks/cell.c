// Values into columns, one small function per column type.
#include "workers/sinks/cell.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/clock.h"
#include "proto/msgpack.h"

enum { DIGITS_MAX = 400, MICROS_PER_SECOND = 1000000 };
static const int64_t micros_per_day = (int64_t)86400 * MICROS_PER_SECOND;

static const char *value_name(const struct msgpack_value *v) {
  switch (v->type) {
  case MSGPACK_NIL: return "null";
  case MSGPACK_BOOL: return "a boolean";
  case MSGPACK_INT:
  case MSGPACK_UINT: return "an integer";
  case MSGPACK_DOUBLE: return "a number";
  case MSGPACK_TEXT: return "text";
  case MSGPACK_BYTES: return "bytes";
  case MSGPACK_ARRAY: return "an array";
  case MSGPACK_MAP: return "a map";
  case MSGPACK_TIMESTAMP: return "a timestamp";
  case MSGPACK_EXT: return "an extension value";
  }
  return "an unknown value";
}

// The reason shows a text value itself (data is not secret to whoever reads the dead letters), shortened.
static bool cannot(const struct msgpack_value *v, enum column_type type, struct error *e) {
  if (v->type == MSGPACK_TEXT)
    error_set(e, ERROR_DATA, "cast", "text \"%.*s\" is not a valid %s", v->length < 60 ? (int)v->length : 60, (const char *)v->bytes,
              column_type_name(type));
  else
    error_set(e, ERROR_DATA, "cast", "%s does not fit into a %s column", value_name(v), column_type_name(type));
  return false;
}

static bool out_of_range(enum column_type type, struct error *e) {
  error_set(e, ERROR_DATA, "range", "number out of range for a %s column", column_type_name(type));
  return false;
}

static void set_text(struct cell *cell, const uint8_t *bytes, size_t length) {
  *cell = (struct cell){.kind = CELL_TEXT, .length = length, .bytes = bytes};
}

// The value's JSON spelling without the quotes around times and bytes: what a text column shows of it.
static bool spell(const struct msgpack_value *v, const uint8_t *at, const uint8_t *end, struct buffer *scratch, struct cell *cell,
                  struct error *e) {
  buffer_clear(scratch);
  if (!msgpack_to_json(&at, end, scratch)) {
    error_set(e, ERROR_DATA, "msgpack", "broken value");
    return false;
  }
  bool quoted = v->type == MSGPACK_TIMESTAMP || v->type == MSGPACK_BYTES || v->type == MSGPACK_EXT;
  if (quoted && scratch->length >= 2 && scratch->at[0] == '"')
    set_text(cell, scratch->at + 1, scratch->length - 2);
  else
    set_text(cell, scratch->at, scratch->length);
  return true;
}

// A short text as a C string; false when it is too long to be a number or holds a NUL.
static bool short_text(const struct msgpack_value *v, char out[DIGITS_MAX]) {
  if (v->length == 0 || v->length >= DIGITS_MAX || memchr(v->bytes, 0, v->length)) return false;
  memcpy(out, v->bytes, v->length);
  out[v->length] = '\0';
  return true;
}

static bool text_int(const struct msgpack_value *v, int64_t *value, bool *overflow) {
  char digits[DIGITS_MAX], *stop;
  if (!short_text(v, digits) || isspace((unsigned char)digits[0])) return false;
  errno = 0;
  *value = strtoll(digits, &stop, 10);
  *overflow = errno == ERANGE;
  return stop != digits && *stop == '\0';
}

// Decimal spellings only: strtod alone would also take hexadecimal and leading blanks.
static bool text_double(const struct msgpack_value *v, double *value) {
  char digits[DIGITS_MAX], *stop;
  if (!short_text(v, digits) || isspace((unsigned char)digits[0]) || strpbrk(digits, "xX(")) return false;
  *value = strtod(digits, &stop);
  return stop != digits && *stop == '\0';
}

static bool to_int(enum column_type type, const struct msgpack_value *v, struct cell *cell, struct error *e) {
  int64_t value = 0;
  bool overflow = false;
  if (v->type == MSGPACK_INT)
    value = v->i;
  else if (v->type == MSGPACK_BOOL)
    value = v->boolean;
  else if (v->type == MSGPACK_UINT)
    overflow = true;
  else if (v->type == MSGPACK_DOUBLE) {
    if (!(v->d == trunc(v->d))) return cannot(v, type, e); // NaN too
    overflow = !(v->d >= -0x1p63 && v->d < 0x1p63);
    if (!overflow) value = (int64_t)v->d;
  } else if (v->type != MSGPACK_TEXT || !text_int(v, &value, &overflow))
    return cannot(v, type, e);
  if (type == COLUMN_INT) overflow = overflow || value != (int32_t)value;
  if (type == COLUMN_SMALLINT) overflow = overflow || value != (int16_t)value;
  if (overflow) return out_of_range(type, e);
  *cell = (struct cell){.kind = CELL_INT, .i = value};
  return true;
}

// True when an integer is the very number that the double holds. 2^63 and 2^64 themselves are no values of the integer types.
static bool is_exact(const struct msgpack_value *v, double value) {
  if (v->type == MSGPACK_INT) return value < 0x1p63 && (int64_t)value == v->i;
  if (v->type == MSGPACK_UINT) return value < 0x1p64 && (uint64_t)value == v->u;
  return true;
}

static bool to_double(enum column_type type, const struct msgpack_value *v, struct cell *cell, struct error *e) {
  double value = 0;
  if (v->type == MSGPACK_DOUBLE)
    value = v->d;
  else if (v->type == MSGPACK_INT)
    value = (double)v->i;
  else if (v->type == MSGPACK_UINT)
    value = (double)v->u;
  else if (v->type != MSGPACK_TEXT || !text_double(v, &value))
    return cannot(v, type, e);
  // Two large integers would become one double, and an upsert would take them for one key.
  if (!is_exact(v, value)) return out_of_range(type, e);
  if (type == COLUMN_REAL && isfinite(value) && isinf((float)value)) return out_of_range(type, e);
  *cell = (struct cell){.kind = CELL_DOUBLE, .d = value};
  return true;
}

static bool to_numeric(const struct msgpack_value *v, const uint8_t *at, const uint8_t *end, struct buffer *scratch, struct cell *cell,
                       struct error *e) {
  double ignored;
  if (v->type == MSGPACK_TEXT) {
    if (!text_double(v, &ignored)) return cannot(v, COLUMN_NUMERIC, e);
    set_text(cell, v->bytes, v->length);
    return true;
  }
  bool number = v->type == MSGPACK_INT || v->type == MSGPACK_UINT || (v->type == MSGPACK_DOUBLE && isfinite(v->d));
  return number ? spell(v, at, end, scratch, cell, e) : cannot(v, COLUMN_NUMERIC, e);
}

static bool to_boolean(const struct msgpack_value *v, struct cell *cell, struct error *e) {
  static const char *const words[][2] = {{"false", "true"}, {"f", "t"}, {"no", "yes"}, {"n", "y"}, {"off", "on"}, {"0", "1"}};
  *cell = (struct cell){.kind = CELL_BOOL};
  if (v->type == MSGPACK_BOOL) {
    cell->boolean = v->boolean;
    return true;
  }
  if (v->type == MSGPACK_INT && (v->i == 0 || v->i == 1)) {
    cell->boolean = v->i == 1;
    return true;
  }
  char text[DIGITS_MAX];
  if (v->type != MSGPACK_TEXT || !short_text(v, text)) return cannot(v, COLUMN_BOOLEAN, e);
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    for (int truth = 0; truth < 2; truth++)
      if (strcasecmp(text, words[i][truth]) == 0) {
        cell->boolean = truth == 1;
        return true;
      }
  return cannot(v, COLUMN_BOOLEAN, e);
}

static bool to_time(enum column_type type, const struct msgpack_value *v, struct cell *cell, struct error *e) {
  int64_t micros = 0;
  if (v->type == MSGPACK_TIMESTAMP)
    micros = v->micros;
  else if (v->type != MSGPACK_TEXT || !clock_parse((const char *)v->bytes, v->length, &micros))
    return cannot(v, type, e);
  *cell = (struct cell){.kind = CELL_TIME, .i = micros};
  if (type == COLUMN_DATE) {
    int64_t day = micros / micros_per_day - (micros % micros_per_day < 0);
    *cell = (struct cell){.kind = CELL_DAY, .i = day};
  }
  return true;
}

static bool to_bytes(const struct msgpack_value *v, struct cell *cell, struct error *e) {
  if (v->type != MSGPACK_BYTES && v->type != MSGPACK_TEXT) return cannot(v, COLUMN_BYTES, e);
  *cell = (struct cell){.kind = CELL_BYTES, .length = v->length, .bytes = v->bytes};
  return true;
}

static int hex_digit(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// 32 hex digits with dashes anywhere between bytes and optional braces, as PostgreSQL reads them.
static bool to_uuid(const struct msgpack_value *v, struct buffer *scratch, struct cell *cell, struct error *e) {
  if (v->type == MSGPACK_BYTES && v->length == 16) return to_bytes(v, cell, e);
  if (v->type != MSGPACK_TEXT) return cannot(v, COLUMN_UUID, e);
  const uint8_t *at = v->bytes, *end = at + v->length;
  if (v->length >= 2 && at[0] == '{' && end[-1] == '}') at++, end--;
  buffer_clear(scratch);
  while (at < end && scratch->length < 16) {
    if (*at == '-' && scratch->length > 0) at++;
    if (end - at < 2 || hex_digit(at[0]) < 0 || hex_digit(at[1]) < 0) return cannot(v, COLUMN_UUID, e);
    buffer_byte(scratch, (uint8_t)(hex_digit(at[0]) << 4 | hex_digit(at[1])));
    at += 2;
  }
  if (at != end || scratch->length != 16) return cannot(v, COLUMN_UUID, e);
  *cell = (struct cell){.kind = CELL_BYTES, .length = 16, .bytes = scratch->at};
  return true;
}

// A nested value is spelt as JSON; text is taken for JSON already, as the stages give nested values.
static bool to_text(enum column_type type, const struct msgpack_value *v, const uint8_t *at, const uint8_t *end, struct buffer *scratch,
                    struct cell *cell, struct error *e) {
  if (v->type == MSGPACK_TEXT) {
    set_text(cell, v->bytes, v->length);
    return true;
  }
  if (type != COLUMN_JSON) return spell(v, at, end, scratch, cell, e);
  buffer_clear(scratch);
  if (!msgpack_to_json(&at, end, scratch)) {
    error_set(e, ERROR_DATA, "msgpack", "broken value");
    return false;
  }
  set_text(cell, scratch->at, scratch->length);
  return true;
}

static bool to_any(const struct msgpack_value *v, const uint8_t *at, const uint8_t *end, struct buffer *scratch, struct cell *cell,
                   struct error *e) {
  if (v->type == MSGPACK_BYTES) return to_bytes(v, cell, e);
  if (v->type == MSGPACK_INT || v->type == MSGPACK_BOOL) return to_int(COLUMN_BIGINT, v, cell, e);
  if (v->type == MSGPACK_DOUBLE) return to_double(COLUMN_DOUBLE, v, cell, e);
  return to_text(COLUMN_TEXT, v, at, end, scratch, cell, e);
}

bool cell_convert(enum column_type type, const uint8_t *at, const uint8_t *end, struct buffer *scratch, struct cell *cell,
                  struct error *e) {
  *cell = (struct cell){.kind = CELL_NULL};
  if (!at) return true;
  const uint8_t *head = at;
  struct msgpack_value v;
  if (!msgpack_read(&head, end, &v)) {
    error_set(e, ERROR_DATA, "msgpack", "broken value");
    return false;
  }
  if (v.type == MSGPACK_NIL) return true;
  switch (type) {
  case COLUMN_TEXT:
  case COLUMN_JSON:
  case COLUMN_OTHER: return to_text(type, &v, at, end, scratch, cell, e);
  case COLUMN_SMALLINT:
  case COLUMN_INT:
  case COLUMN_BIGINT: return to_int(type, &v, cell, e);
  case COLUMN_REAL:
  case COLUMN_DOUBLE: return to_double(type, &v, cell, e);
  case COLUMN_NUMERIC: return to_numeric(&v, at, end, scratch, cell, e);
  case COLUMN_BOOLEAN: return to_boolean(&v, cell, e);
  case COLUMN_TIMESTAMP:
  case COLUMN_DATE: return to_time(type, &v, cell, e);
  case COLUMN_BYTES: return to_bytes(&v, cell, e);
  case COLUMN_UUID: return to_uuid(&v, scratch, cell, e);
  case COLUMN_ANY: return to_any(&v, at, end, scratch, cell, e);
  }
  error_set(e, ERROR_FAULT, "", "column type %d", (int)type);
  return false;
}
