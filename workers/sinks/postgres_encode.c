// Cells in PostgreSQL's binary form.
#include "workers/sinks/postgres_encode.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// Types by their oid, which are fixed in every PostgreSQL (pg_type.dat).
enum {
  OID_BOOL = 16,
  OID_BYTEA = 17,
  OID_NAME = 19,
  OID_INT8 = 20,
  OID_INT2 = 21,
  OID_INT4 = 23,
  OID_TEXT = 25,
  OID_JSON = 114,
  OID_FLOAT4 = 700,
  OID_FLOAT8 = 701,
  OID_BPCHAR = 1042,
  OID_VARCHAR = 1043,
  OID_DATE = 1082,
  OID_TIMESTAMP = 1114,
  OID_TIMESTAMPTZ = 1184,
  OID_NUMERIC = 1700,
  OID_UUID = 2950,
  OID_JSONB = 3802,
};

struct known_type {
  uint32_t oid, element, array; // element: what a parameter carries; an array of varchar is sent as one of text
  enum column_type type;
};

static const struct known_type known_types[] = {
    {OID_BOOL, OID_BOOL, 1000, COLUMN_BOOLEAN},
    {OID_BYTEA, OID_BYTEA, 1001, COLUMN_BYTES},
    {OID_INT8, OID_INT8, 1016, COLUMN_BIGINT},
    {OID_INT2, OID_INT2, 1005, COLUMN_SMALLINT},
    {OID_INT4, OID_INT4, 1007, COLUMN_INT},
    {OID_TEXT, OID_TEXT, 1009, COLUMN_TEXT},
    {OID_VARCHAR, OID_TEXT, 1009, COLUMN_TEXT},
    {OID_BPCHAR, OID_TEXT, 1009, COLUMN_TEXT},
    {OID_NAME, OID_TEXT, 1009, COLUMN_TEXT},
    {OID_JSON, OID_JSON, 199, COLUMN_JSON},
    {OID_JSONB, OID_JSONB, 3807, COLUMN_JSON},
    {OID_FLOAT4, OID_FLOAT4, 1021, COLUMN_REAL},
    {OID_FLOAT8, OID_FLOAT8, 1022, COLUMN_DOUBLE},
    {OID_NUMERIC, OID_NUMERIC, 1231, COLUMN_NUMERIC},
    {OID_DATE, OID_DATE, 1182, COLUMN_DATE},
    {OID_TIMESTAMP, OID_TIMESTAMP, 1115, COLUMN_TIMESTAMP},
    {OID_TIMESTAMPTZ, OID_TIMESTAMPTZ, 1185, COLUMN_TIMESTAMP},
    {OID_UUID, OID_UUID, 2951, COLUMN_UUID},
};

static const struct known_type *known(uint32_t oid) {
  for (size_t i = 0; i < sizeof known_types / sizeof known_types[0]; i++)
    if (known_types[i].oid == oid) return &known_types[i];
  return NULL;
}

enum column_type postgres_type_of(uint32_t oid) {
  const struct known_type *type = known(oid);
  return type ? type->type : COLUMN_OTHER;
}

uint32_t postgres_element_oid(const struct column *c) {
  const struct known_type *type = known(c->oid);
  return type ? type->element : OID_TEXT;
}

uint32_t postgres_array_oid(const struct column *c) {
  const struct known_type *type = known(c->oid);
  return type ? type->array : 1009;
}

// Numbers have several spellings, times may be declared with fewer digits than they are sent with, and what the server reads from text is
// its own affair (citext).
bool postgres_is_exact(const struct column *c) {
  static const uint32_t exact[] = {OID_BOOL, OID_BYTEA, OID_INT8, OID_INT2, OID_INT4, OID_TEXT, OID_VARCHAR, OID_DATE, OID_UUID};
  for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++)
    if (exact[i] == c->oid) return true;
  return false;
}

// ---- numbers

static void store16(uint8_t *at, uint16_t value) {
  value = htobe16(value);
  memcpy(at, &value, sizeof value);
}

static void store32(uint8_t *at, uint32_t value) {
  value = htobe32(value);
  memcpy(at, &value, sizeof value);
}

static void store64(uint8_t *at, uint64_t value) {
  value = htobe64(value);
  memcpy(at, &value, sizeof value);
}

void postgres_encode_u16(struct buffer *out, uint16_t value) {
  store16(buffer_take(out, sizeof value), value);
}

void postgres_encode_u32(struct buffer *out, uint32_t value) {
  store32(buffer_take(out, sizeof value), value);
}

// A field: its length, and room for as many bytes.
static uint8_t *field_take(struct buffer *out, uint32_t length) {
  uint8_t *at = buffer_take(out, sizeof length + length);
  store32(at, length);
  return at + sizeof length;
}

static void field_int(struct buffer *out, uint32_t bytes, int64_t value) {
  uint8_t *at = field_take(out, bytes);
  if (bytes == 2)
    store16(at, (uint16_t)value);
  else if (bytes == 4)
    store32(at, (uint32_t)value);
  else
    store64(at, (uint64_t)value);
}

static void field_double(struct buffer *out, double value, bool single) {
  uint64_t wide;
  uint32_t narrow;
  float f = (float)value;
  memcpy(&wide, &value, sizeof wide);
  memcpy(&narrow, &f, sizeof narrow);
  if (single)
    field_int(out, 4, (int64_t)narrow);
  else
    field_int(out, 8, (int64_t)wide);
}

// ---- numeric: digits in base 10,000, `weight` the power of 10,000 of the first, `scale` decimal places shown

enum { NUMERIC_DIGITS_MOST = 1000, NUMERIC_NEGATIVE = 0x4000, NUMERIC_NAN = 0xC000 };

struct decimal {
  char digits[NUMERIC_DIGITS_MOST + 8]; // without the point
  int count;                            // of digits
  int point;                            // digits before the point; may be negative or beyond count
  int scale;                            // digits behind the point, as written
  bool negative;
};

static bool too_long(struct error *e) {
  error_set(e, ERROR_DATA, "range", "a number with more than %d digits", NUMERIC_DIGITS_MOST);
  return false;
}

// "-12.50e3": the cell has been checked to be a decimal number.
static bool decimal_read(const char *text, size_t length, struct decimal *d, struct error *e) {
  *d = (struct decimal){0};
  size_t i = 0;
  bool seen_point = false;
  if (i < length && (text[i] == '-' || text[i] == '+')) d->negative = text[i++] == '-';
  for (; i < length && (text[i] == '.' || (text[i] >= '0' && text[i] <= '9')); i++) {
    if (text[i] == '.') {
      seen_point = true;
      continue;
    }
    if (d->count == NUMERIC_DIGITS_MOST) return too_long(e);
    d->digits[d->count++] = (char)(text[i] - '0');
    if (!seen_point)
      d->point++;
    else
      d->scale++;
  }
  long exponent = 0;
  if (i + 1 < length && (text[i] == 'e' || text[i] == 'E')) {
    char digits[16] = "";
    if (length - i - 1 >= sizeof digits) return too_long(e);
    memcpy(digits, text + i + 1, length - i - 1);
    exponent = strtol(digits, NULL, 10);
  }
  if (exponent > NUMERIC_DIGITS_MOST || exponent < -NUMERIC_DIGITS_MOST) return too_long(e);
  d->point += (int)exponent;
  d->scale -= (int)exponent;
  if (d->scale < 0) d->scale = 0;
  return true;
}

static int decimal_digit(const struct decimal *d, int index) {
  return index >= 0 && index < d->count ? d->digits[index] : 0;
}

// Leading zeros are dropped, so that the first group of four is not empty.
static void decimal_trim(struct decimal *d) {
  int zeros = 0;
  while (zeros < d->count && d->digits[zeros] == 0) zeros++;
  memmove(d->digits, d->digits + zeros, (size_t)(d->count - zeros));
  d->count -= zeros;
  d->point -= zeros;
  while (d->count > 0 && d->digits[d->count - 1] == 0) d->count--;
  if (d->count == 0) d->point = 0;
}

static void encode_decimal(struct buffer *out, struct decimal *d) {
  decimal_trim(d);
  // Groups of four digits, counted from the point: the first group holds the digits before index `first + 4`.
  int groups_before = d->point > 0 ? (d->point + 3) / 4 : -(-d->point / 4);
  int first = d->point - groups_before * 4; // index of the first digit of the first group, 0 or less
  int groups = d->count == 0 ? 0 : (d->count - first + 3) / 4;
  postgres_encode_u32(out, (uint32_t)(8 + 2 * groups));
  postgres_encode_u16(out, (uint16_t)groups);
  postgres_encode_u16(out, (uint16_t)(d->count == 0 ? 0 : groups_before - 1));
  postgres_encode_u16(out, d->negative && d->count > 0 ? NUMERIC_NEGATIVE : 0);
  postgres_encode_u16(out, (uint16_t)d->scale);
  for (int g = 0; g < groups; g++) {
    int value = 0;
    for (int k = 0; k < 4; k++) value = value * 10 + decimal_digit(d, first + g * 4 + k);
    postgres_encode_u16(out, (uint16_t)value);
  }
}

static bool field_numeric(struct buffer *out, const struct cell *cell, struct error *e) {
  const char *text = (const char *)cell->bytes;
  size_t sign = cell->length > 0 && (text[0] == '-' || text[0] == '+');
  if (cell->length == 3 + sign && strncasecmp(text + sign, "nan", 3) == 0) {
    postgres_encode_u32(out, 8);
    postgres_encode_u32(out, 0);
    postgres_encode_u16(out, NUMERIC_NAN);
    postgres_encode_u16(out, 0);
    return true;
  }
  if (cell->length > sign && (text[sign] == 'i' || text[sign] == 'I')) {
    error_set(e, ERROR_DATA, "range", "a numeric column holds no infinity");
    return false;
  }
  struct decimal d;
  if (!decimal_read(text, cell->length, &d, e)) return false;
  encode_decimal(out, &d);
  return true;
}

// ---- the rest

static bool field_bytes(struct buffer *out, const struct cell *cell) {
  uint8_t *at = field_take(out, (uint32_t)cell->length);
  if (cell->length > 0) memcpy(at, cell->bytes, cell->length);
  return true;
}

static bool field_text(struct buffer *out, const struct column *c, const struct cell *cell, struct error *e) {
  if (memchr(cell->bytes, 0, cell->length)) {
    error_set(e, ERROR_DATA, "22021", "PostgreSQL cannot store text with a NUL character");
    return false;
  }
  if (c->oid != OID_JSONB) return field_bytes(out, cell);
  postgres_encode_u32(out, (uint32_t)cell->length + 1);
  buffer_byte(out, 1); // version of jsonb's external form
  buffer_add(out, cell->bytes, cell->length);
  return true;
}

bool postgres_encode(struct buffer *out, const struct column *c, const struct cell *cell, struct error *e) {
  static const int64_t to_2000_micros = 946684800000000, to_2000_days = 10957;
  switch (cell->kind) {
  case CELL_NULL: postgres_encode_u32(out, UINT32_MAX); return true;
  case CELL_BOOL:
    postgres_encode_u32(out, 1);
    buffer_byte(out, cell->boolean);
    return true;
  case CELL_INT: field_int(out, c->type == COLUMN_SMALLINT ? 2 : c->type == COLUMN_INT ? 4 : 8, cell->i); return true;
  case CELL_DOUBLE: field_double(out, cell->d, c->type == COLUMN_REAL); return true;
  case CELL_TIME: field_int(out, 8, cell->i - to_2000_micros); return true;
  case CELL_DAY: field_int(out, 4, cell->i - to_2000_days); return true;
  case CELL_BYTES: return field_bytes(out, cell);
  case CELL_TEXT: return c->type == COLUMN_NUMERIC ? field_numeric(out, cell, e) : field_text(out, c, cell, e);
  }
  error_set(e, ERROR_FAULT, "", "cell kind %d", (int)cell->kind);
  return false;
}

void postgres_encode_array_head(struct buffer *out, const struct column *c, uint32_t count) {
  postgres_encode_u32(out, 1); // dimensions
  postgres_encode_u32(out, 1); // may hold nulls
  postgres_encode_u32(out, postgres_element_oid(c));
  postgres_encode_u32(out, count);
  postgres_encode_u32(out, 1); // indexes start at 1
}
