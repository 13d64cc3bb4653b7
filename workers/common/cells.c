// Casts: what each kind of value becomes in each type of column. A cast either keeps what the value says or fails; nothing is rounded, cut
// or guessed, because a wrong number in a table is worse than a dead letter.
//
//            text             int, bigint       double            boolean          timestamp        date             json    bytes
// null       null everywhere, unless "not null"
// text       as it is         all digits        a number          true, no, 1 ...  ISO 8601, HTTP   ISO 8601, HTTP   parsed  its UTF-8
// integer    digits           in range          nearest           0 and 1          microseconds     microseconds     as is   -
// double     shortest digits  when whole        as it is          -                -                -                as is   -
// boolean    true, false      1, 0              -                 as it is         -                -                as is   -
// timestamp  ISO 8601         -                 -                 -                as it is         its day          as is   -
// nested     JSON text        -                 -                 -                -                -                as is   -
// bytes      -                -                 -                 -                -                -                -       as it is
//
// An integer in a timestamp column is microseconds, because that is what a timestamp is inside SQL.
#include "workers/common/cells.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/clock.h"
#include "proto/error.h"
#include "proto/utf8.h"

enum { SHOWN = 60 };       // bytes of a value that a reason quotes
enum { DATE_LENGTH = 10 }; // "2025-11-08"
static const int64_t DAY = 86400000000;

static const char *const type_names[] = {
    [COLUMN_ANY] = "",
    [COLUMN_TEXT] = "text",
    [COLUMN_INT] = "int",
    [COLUMN_BIGINT] = "bigint",
    [COLUMN_DOUBLE] = "double",
    [COLUMN_BOOLEAN] = "boolean",
    [COLUMN_TIMESTAMP] = "timestamp",
    [COLUMN_DATE] = "date",
    [COLUMN_JSON] = "json",
    [COLUMN_BYTES] = "bytes",
};

const char *cell_type_name(enum column_type type) {
  return type_names[type];
}

static size_t word_length(const char *text) {
  return strcspn(text, " \t\r\n");
}

static const char *skip_blanks(const char *text) {
  return text + strspn(text, " \t\r\n");
}

static bool word_is(const char **text, const char *word) {
  size_t length = word_length(*text);
  if (length != strlen(word) || strncasecmp(*text, word, length) != 0) return false;
  *text = skip_blanks(*text + length);
  return true;
}

bool column_rule_parse(const char *text, struct column_rule *rule) {
  *rule = (struct column_rule){0};
  text = skip_blanks(text);
  for (enum column_type type = COLUMN_TEXT; type <= COLUMN_BYTES && rule->type == COLUMN_ANY; type++)
    if (word_is(&text, type_names[type])) rule->type = type;
  if (rule->type == COLUMN_ANY) return false;
  if (*text == '\0') return true;
  rule->not_null = true;
  return word_is(&text, "not") && word_is(&text, "null") && *text == '\0';
}

void cell_tools_free(struct cell_tools *tools) {
  if (tools->json) json_parser_free(tools->json);
  buffer_free(&tools->text);
  buffer_free(&tools->msgpack);
  *tools = (struct cell_tools){0};
}

bool cell_parse_json(struct cell_tools *tools, const uint8_t *text, size_t length, const uint8_t **at, const uint8_t **end) {
  static const uint8_t padding[JSON_PADDING];
  struct buffer padded = {0};
  struct error e = {0};
  if (!tools->json) tools->json = json_parser_new();
  buffer_add(&padded, text, length);
  buffer_add(&padded, padding, sizeof padding);
  buffer_clear(&tools->msgpack);
  bool parsed = json_to_msgpack(tools->json, (const char *)padded.at, length, &tools->msgpack, &e);
  buffer_free(&padded);
  if (!parsed) return false;
  *at = tools->msgpack.at;
  *end = tools->msgpack.at + tools->msgpack.length;
  return true;
}

bool cell_of(const uint8_t *at, const uint8_t *end, struct cell *cell) {
  cell->raw = at;
  cell->raw_end = end;
  return msgpack_read(&at, end, &cell->value);
}

void cell_write(const struct cell *cell, struct msgpack_writer *w) {
  if (cell->raw) {
    msgpack_write_raw(w, cell->raw, (size_t)(cell->raw_end - cell->raw));
    return;
  }
  const struct msgpack_value *v = &cell->value;
  switch (v->type) {
  case MSGPACK_NIL: msgpack_write_nil(w); return;
  case MSGPACK_BOOL: msgpack_write_bool(w, v->boolean); return;
  case MSGPACK_INT: msgpack_write_int(w, v->i); return;
  case MSGPACK_UINT: msgpack_write_uint(w, v->u); return;
  case MSGPACK_DOUBLE: msgpack_write_double(w, v->d); return;
  case MSGPACK_TEXT: msgpack_write_text(w, (const char *)v->bytes, v->length); return;
  case MSGPACK_BYTES: msgpack_write_bytes(w, v->bytes, v->length); return;
  case MSGPACK_TIMESTAMP: msgpack_write_timestamp(w, v->micros); return;
  // These exist as msgpack only, so raw is set.
  case MSGPACK_ARRAY:
  case MSGPACK_MAP:
  case MSGPACK_EXT: msgpack_write_nil(w); return;
  }
}

static void cell_become_text(struct cell *cell, const uint8_t *text, size_t length) {
  *cell = (struct cell){.value = {.type = MSGPACK_TEXT, .length = (uint32_t)length, .bytes = text}};
}

static void cell_become_int(struct cell *cell, int64_t i) {
  *cell = (struct cell){.value = {.type = MSGPACK_INT, .i = i}};
}

// The cell as JSON text in tools->text; a text's own bytes without quotes.
static void cell_print(struct cell_tools *tools, const struct cell *cell) {
  buffer_clear(&tools->text);
  if (cell->value.type == MSGPACK_TEXT) {
    buffer_add(&tools->text, cell->value.bytes, cell->value.length);
    return;
  }
  if (cell->value.type == MSGPACK_TIMESTAMP) {
    char text[CLOCK_TEXT];
    buffer_add(&tools->text, text, clock_print(cell->value.micros, text));
    return;
  }
  uint8_t small[16];
  struct msgpack_writer w = {.at = small, .end = small + sizeof small};
  const uint8_t *at = cell->raw, *end = cell->raw_end;
  if (!at) {
    cell_write(cell, &w);
    at = small;
    end = w.at;
  }
  // A value that was read once cannot be broken; one nested too deep shows as far as it was printed.
  (void)msgpack_to_json(&at, end, &tools->text);
}

// A terminated copy of a short text; false: it is longer than any number or date.
enum { SHORT_TEXT = 400 };
static bool short_text(const struct cell *cell, char out[SHORT_TEXT]) {
  if (cell->value.type != MSGPACK_TEXT || cell->value.length >= SHORT_TEXT) return false;
  memcpy(out, cell->value.bytes, cell->value.length);
  out[cell->value.length] = '\0';
  return strlen(out) == cell->value.length;
}

static bool text_to_int(const struct cell *cell, int64_t *i) {
  char text[SHORT_TEXT], *end;
  if (!short_text(cell, text)) return false;
  const char *digits = text + (text[0] == '-' || text[0] == '+');
  if (digits[0] == '\0' || digits[strspn(digits, "0123456789")] != '\0') return false;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  *i = value;
  return errno == 0 && *end == '\0';
}

static bool text_to_double(const struct cell *cell, double *d) {
  char text[SHORT_TEXT], *end;
  if (!short_text(cell, text)) return false;
  // strtod also takes blanks in front, "inf", "nan" and hexadecimal numbers; the program never leaves the C locale.
  if (text[0] == '\0' || text[strspn(text, "+-.0123456789eE")] != '\0') return false;
  *d = strtod(text, &end);
  return end != text && *end == '\0' && isfinite(*d);
}

static bool to_int(struct cell *cell, int64_t least, int64_t most) {
  int64_t i;
  const struct msgpack_value *v = &cell->value;
  if (v->type == MSGPACK_INT) {
    i = v->i;
  } else if (v->type == MSGPACK_BOOL) {
    i = v->boolean;
  } else if (v->type == MSGPACK_DOUBLE) {
    // The bounds are exact as doubles; 2^63 itself does not fit.
    if (!(v->d >= -9223372036854775808.0 && v->d < 9223372036854775808.0) || v->d != floor(v->d)) return false;
    i = (int64_t)v->d;
  } else if (!text_to_int(cell, &i)) {
    return false;
  }
  if (i < least || i > most) return false;
  if (v->type != MSGPACK_INT) cell_become_int(cell, i);
  return true;
}

static bool to_double(struct cell *cell) {
  double d;
  const struct msgpack_value *v = &cell->value;
  if (v->type == MSGPACK_DOUBLE) return true;
  if (v->type == MSGPACK_INT)
    d = (double)v->i;
  else if (v->type == MSGPACK_UINT)
    d = (double)v->u;
  else if (!text_to_double(cell, &d))
    return false;
  *cell = (struct cell){.value = {.type = MSGPACK_DOUBLE, .d = d}};
  return true;
}

static bool to_boolean(struct cell *cell) {
  static const char *const words[][2] = {{"false", "true"}, {"f", "t"}, {"no", "yes"}, {"n", "y"}, {"off", "on"}, {"0", "1"}};
  int found = -1;
  char text[SHORT_TEXT];
  if (cell->value.type == MSGPACK_BOOL) return true;
  if (cell->value.type == MSGPACK_INT && (cell->value.i == 0 || cell->value.i == 1)) found = (int)cell->value.i;
  if (short_text(cell, text))
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
      for (int side = 0; side < 2; side++)
        if (strcasecmp(text, words[i][side]) == 0) found = side;
  if (found < 0) return false;
  *cell = (struct cell){.value = {.type = MSGPACK_BOOL, .boolean = found}};
  return true;
}

static bool to_timestamp(struct cell *cell) {
  int64_t micros;
  const struct msgpack_value *v = &cell->value;
  if (v->type == MSGPACK_TIMESTAMP) return true;
  if (v->type == MSGPACK_INT)
    micros = v->i;
  else if (v->type != MSGPACK_TEXT || !clock_parse((const char *)v->bytes, v->length, &micros))
    return false;
  *cell = (struct cell){.value = {.type = MSGPACK_TIMESTAMP, .micros = micros}};
  return true;
}

static bool to_date(struct cell_tools *tools, struct cell *cell) {
  if (!to_timestamp(cell)) return false;
  int64_t micros = cell->value.micros, day = micros - ((micros % DAY) + DAY) % DAY;
  char text[CLOCK_TEXT];
  if (clock_print(day, text) < DATE_LENGTH) return false;
  buffer_clear(&tools->text);
  buffer_add(&tools->text, text, DATE_LENGTH);
  cell_become_text(cell, tools->text.at, DATE_LENGTH);
  return true;
}

static bool to_text(struct cell_tools *tools, struct cell *cell) {
  if (cell->value.type == MSGPACK_TEXT) return true;
  if (cell->value.type == MSGPACK_BYTES || cell->value.type == MSGPACK_EXT) return false;
  cell_print(tools, cell);
  cell_become_text(cell, tools->text.at, tools->text.length);
  return true;
}

static bool to_json(struct cell_tools *tools, struct cell *cell) {
  if (cell->value.type == MSGPACK_BYTES || cell->value.type == MSGPACK_EXT) return false;
  if (cell->value.type != MSGPACK_TEXT) return true;
  const uint8_t *at, *end;
  return cell_parse_json(tools, cell->value.bytes, cell->value.length, &at, &end) && cell_of(at, end, cell);
}

static bool to_bytes(struct cell *cell) {
  if (cell->value.type == MSGPACK_BYTES) return true;
  if (cell->value.type != MSGPACK_TEXT) return false;
  cell->value.type = MSGPACK_BYTES;
  cell->raw = NULL;
  return true;
}

static bool cast(struct cell_tools *tools, enum column_type type, struct cell *cell) {
  switch (type) {
  case COLUMN_ANY: return true;
  case COLUMN_TEXT: return to_text(tools, cell);
  case COLUMN_INT: return to_int(cell, INT32_MIN, INT32_MAX);
  case COLUMN_BIGINT: return to_int(cell, INT64_MIN, INT64_MAX);
  case COLUMN_DOUBLE: return to_double(cell);
  case COLUMN_BOOLEAN: return to_boolean(cell);
  case COLUMN_TIMESTAMP: return to_timestamp(cell);
  case COLUMN_DATE: return to_date(tools, cell);
  case COLUMN_JSON: return to_json(tools, cell);
  case COLUMN_BYTES: return to_bytes(cell);
  }
  return false;
}

// "'abc' is not a double": at most SHOWN bytes of the value, cut between characters.
static void say_misfit(struct cell_tools *tools, const struct cell *cell, enum column_type type, char *why, size_t room) {
  bool vowel = type == COLUMN_INT;
  const char *quote = cell->value.type == MSGPACK_TEXT ? "'" : "";
  if (cell->value.type == MSGPACK_EXT || cell->value.type == MSGPACK_BYTES) {
    snprintf(why, room, "%u bytes are not a %s", cell->value.length, cell_type_name(type));
    return;
  }
  cell_print(tools, cell);
  size_t shown = tools->text.length;
  bool cut = shown > SHOWN;
  if (cut) {
    shown = SHOWN;
    while (shown > 0 && (tools->text.at[shown] & 0xc0) == 0x80) shown--;
  }
  const char *text = tools->text.length ? (const char *)tools->text.at : "";
  snprintf(why, room, "%s%.*s%s%s is not %s %s", quote, (int)shown, text, cut ? "..." : "", quote, vowel ? "an" : "a",
           cell_type_name(type));
}

bool cell_cast(struct cell_tools *tools, const struct column_rule *rule, struct cell *cell, char *why, size_t room) {
  if (cell->value.type == MSGPACK_NIL) {
    if (!rule->not_null) return true;
    snprintf(why, room, "null is not allowed");
    return false;
  }
  if (__builtin_expect(cast(tools, rule->type, cell), 1)) return true;
  say_misfit(tools, cell, rule->type, why, room);
  return false;
}
