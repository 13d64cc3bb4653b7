// JSON to msgpack as values: random documents against msgpack-c, the way back, damage, fixed memory, documents with many records.
//
// The generator writes each value twice, as JSON text and through msgpack-c's packer; what the parser makes must be the packer's bytes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/error.h"
#include "proto/json.h"
#include "proto/json_scan.h"
#include "proto/limits.h"
#include "proto/msgpack.h"

static struct json_parser *parser;

static int parser_start(void **state) {
  (void)state;
  parser = json_parser_new();
  return 0;
}

static int parser_end(void **state) {
  (void)state;
  json_parser_free(parser);
  return 0;
}

static uint64_t random_state;

static uint64_t random_next(void) {
  random_state += 0x9E3779B97F4A7C15u;
  uint64_t z = random_state;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

static unsigned below(unsigned bound) {
  return (unsigned)(random_next() % bound);
}

static bool convert(const char *text, size_t length, struct buffer *out, struct error *e) {
  char *copy = memory_get(length + JSON_PADDING);
  memset(copy, '0' + (int)(length % 10), length + JSON_PADDING);
  memcpy(copy, text, length);
  bool done = json_to_msgpack(parser, copy, length, out, e);
  free(copy);
  return done;
}

// --- the generator ---

static void put_space(struct buffer *text) {
  static const char kinds[] = " \t\n\r";
  for (unsigned n = below(8) == 0 ? below(12) : 0; n > 0; n--) buffer_byte(text, (uint8_t)kinds[below(4)]);
}

static uint32_t random_code(void) {
  switch (below(6)) {
  case 0: return below(0x20);
  case 1: return 0x80 + below(0x780);
  case 2: return 0x800 + below(0xd000);
  case 3: return 0x10000 + below(0x100000);
  default: return 0x20 + below(0x5f);
  }
}

static size_t encode(uint32_t code, char out[4]) {
  size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
  out[0] = (char)(first[length] | code);
  return length;
}

static void put_escaped(struct buffer *text, uint32_t code) {
  static const char named[] = "\"\\/\b\f\n\r\t", letters[] = "\"\\/bfnrt";
  const char *name = code != 0 && code < 0x80 ? strchr(named, (int)code) : NULL;
  if (name && below(2)) {
    buffer_byte(text, '\\');
    buffer_byte(text, (uint8_t)letters[name - named]);
  } else if (code >= 0x10000) {
    buffer_print(text, below(2) ? "\\u%04x\\u%04x" : "\\u%04X\\u%04X", 0xd800 + ((code - 0x10000) >> 10),
                 0xdc00 + ((code - 0x10000) & 0x3ff));
  } else {
    buffer_print(text, below(2) ? "\\u%04x" : "\\u%04X", code);
  }
}

// A string as JSON text; its bytes go to `plain`.
static void put_string(struct buffer *text, struct buffer *plain, unsigned characters, bool ascii) {
  buffer_byte(text, '"');
  unsigned escapes = below(3) == 0 ? 3 : 40;
  for (; characters > 0; characters--) {
    uint32_t code = ascii ? 'a' + below(26) : random_code();
    char bytes[4];
    size_t length = encode(code, bytes);
    buffer_add(plain, bytes, length);
    if (code < 0x20 || code == '"' || code == '\\' || below(escapes) == 0)
      put_escaped(text, code);
    else
      buffer_add(text, bytes, length);
  }
  buffer_byte(text, '"');
}

static void make_string(struct buffer *text, msgpack_packer *packer) {
  struct buffer plain = {0};
  static const unsigned sizes[] = {0, 3, 15, 16, 17, 31, 32, 33, 60, 300};
  put_string(text, &plain, sizes[below(10)] + below(3), below(2));
  msgpack_pack_str(packer, plain.length);
  msgpack_pack_str_body(packer, plain.at, plain.length);
  buffer_free(&plain);
}

static void make_number(struct buffer *text, msgpack_packer *packer) {
  uint64_t bits = random_next() >> below(64);
  if (below(2)) {
    bool minus = below(2) && bits <= (uint64_t)1 << 63;
    buffer_print(text, minus ? "-%llu" : "%llu", (unsigned long long)bits);
    if (minus)
      msgpack_pack_int64(packer, (int64_t)(0 - bits));
    else
      msgpack_pack_uint64(packer, bits);
    return;
  }
  double value;
  char digits[512];
  if (below(2)) {
    bits = random_next();
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value)) value = 1.5;
    snprintf(digits, sizeof digits, below(2) ? "%.17e" : "%.25e", value);
  } else {
    value = (double)(int32_t)bits / (double)(1 + below(1000));
    snprintf(digits, sizeof digits, "%.*f", 1 + (int)below(20), value);
  }
  buffer_text(text, digits);
  msgpack_pack_double(packer, strtod(digits, NULL));
}

static void make_value(struct buffer *text, msgpack_packer *packer, unsigned depth);

static void make_array(struct buffer *text, msgpack_packer *packer, unsigned depth) {
  unsigned count = below(6) == 0 ? 14 + below(6) : below(5);
  buffer_byte(text, '[');
  msgpack_pack_array(packer, count);
  for (unsigned i = 0; i < count; i++) {
    if (i > 0) buffer_byte(text, ',');
    make_value(text, packer, depth - 1);
  }
  put_space(text);
  buffer_byte(text, ']');
}

static bool same_bytes(const struct buffer *a, const struct buffer *b) {
  return a->length == b->length && (a->length == 0 || memcmp(a->at, b->at, a->length) == 0);
}

// Keys come from a small set, so that they repeat: the last value stands at the place of the first.
enum { ENTRIES_MOST = 120 };

static void make_object(struct buffer *text, msgpack_packer *packer, unsigned depth) {
  struct {
    struct buffer key;
    msgpack_sbuffer value;
  } entries[ENTRIES_MOST];
  unsigned written = below(12) == 0 ? below(ENTRIES_MOST) : below(9), kept = 0, different = 1 + below(2 * written + 2);
  buffer_byte(text, '{');
  for (unsigned i = 0; i < written; i++) {
    struct buffer key = {0};
    msgpack_sbuffer value;
    msgpack_packer inner;
    if (i > 0) buffer_byte(text, ',');
    put_space(text);
    // The generator is wound back to make the same key again; where its escapes come from does not matter to the key.
    uint64_t keep = random_state;
    random_state = 1000 + (keep >> 3) % different;
    put_string(text, &key, below(40), true);
    random_state = keep + 1;
    put_space(text);
    buffer_byte(text, ':');
    msgpack_sbuffer_init(&value);
    msgpack_packer_init(&inner, &value, msgpack_sbuffer_write);
    make_value(text, &inner, depth - 1);
    unsigned place = 0;
    while (place < kept && !same_bytes(&entries[place].key, &key)) place++;
    if (place == kept) {
      entries[kept++].key = key;
    } else {
      buffer_free(&key);
      msgpack_sbuffer_destroy(&entries[place].value);
    }
    entries[place].value = value;
  }
  put_space(text);
  buffer_byte(text, '}');
  msgpack_pack_map(packer, kept);
  for (unsigned i = 0; i < kept; i++) {
    msgpack_pack_str(packer, entries[i].key.length);
    msgpack_pack_str_body(packer, entries[i].key.at, entries[i].key.length);
    packer->callback(packer->data, entries[i].value.data, entries[i].value.size);
    buffer_free(&entries[i].key);
    msgpack_sbuffer_destroy(&entries[i].value);
  }
}

static void make_value(struct buffer *text, msgpack_packer *packer, unsigned depth) {
  put_space(text);
  switch (below(depth > 0 ? 9 : 6)) {
  case 0: buffer_text(text, "null"), msgpack_pack_nil(packer); break;
  case 1: buffer_text(text, "true"), msgpack_pack_true(packer); break;
  case 2: buffer_text(text, "false"), msgpack_pack_false(packer); break;
  case 3: make_number(text, packer); break;
  case 4:
  case 5: make_string(text, packer); break;
  case 6: make_array(text, packer, depth); break;
  default: make_object(text, packer, depth); break;
  }
  put_space(text);
}

// --- the tests ---

static void random_documents_agree_with_the_oracle(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 3000; seed++) {
    struct buffer text = {0}, out = {0};
    struct error e = {0};
    msgpack_sbuffer expected;
    msgpack_packer packer;
    random_state = seed << 20;
    msgpack_sbuffer_init(&expected);
    msgpack_packer_init(&packer, &expected, msgpack_sbuffer_write);
    make_value(&text, &packer, 1 + below(5));
    if (!convert((char *)text.at, text.length, &out, &e)) fail_msg("seed %d: %s", (int)seed, e.text);
    if (out.length != expected.size || memcmp(out.at, expected.data, expected.size) != 0)
      fail_msg("seed %d differs: %s", (int)seed, buffer_cstring(&text));
    assert_true(msgpack_valid(out.at, out.at + out.length));
    msgpack_sbuffer_destroy(&expected);
    buffer_free(&text);
    buffer_free(&out);
  }
}

static void the_way_back_gives_the_same(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 1500; seed++) {
    struct buffer text = {0}, first = {0}, second = {0}, json = {0};
    struct error e = {0};
    msgpack_sbuffer ignored;
    msgpack_packer packer;
    random_state = 77 + (seed << 20);
    msgpack_sbuffer_init(&ignored);
    msgpack_packer_init(&packer, &ignored, msgpack_sbuffer_write);
    make_value(&text, &packer, 4);
    assert_true(convert((char *)text.at, text.length, &first, &e));
    const uint8_t *at = first.at;
    assert_true(msgpack_to_json(&at, first.at + first.length, &json));
    assert_true(convert((char *)json.at, json.length, &second, &e));
    assert_int_equal(first.length, second.length);
    assert_memory_equal(first.at, second.at, first.length);
    msgpack_sbuffer_destroy(&ignored);
    buffer_free(&text);
    buffer_free(&first);
    buffer_free(&second);
    buffer_free(&json);
  }
}

// Damaged at random, a document is taken or refused by both readers alike, and what is taken is sound.
static void damage_is_judged_alike(void **state) {
  (void)state;
  static const char often[] = "\"\\{}[]:,0123456789.eE+-tfn \n\x80\xff\xc3u";
  unsigned taken = 0, refused = 0;
  for (uint64_t seed = 0; seed < 12000; seed++) {
    struct buffer text = {0}, out = {0};
    struct error e = {0};
    struct json_flaw flaw;
    msgpack_sbuffer ignored;
    msgpack_packer packer;
    random_state = 1234567 + (seed << 20);
    msgpack_sbuffer_init(&ignored);
    msgpack_packer_init(&packer, &ignored, msgpack_sbuffer_write);
    make_value(&text, &packer, 3);
    for (unsigned n = 1 + below(3); n > 0 && text.length > 0; n--) {
      size_t at = random_next() % text.length;
      if (below(4) == 0)
        text.length = at;
      else
        text.at[at] = (uint8_t)often[below(sizeof often - 1)];
    }
    bool expected = json_scan((char *)text.at, text.length, LIMIT_DEPTH, &flaw);
    if (convert((char *)text.at, text.length, &out, &e) != expected) fail_msg("seed %d: %s", (int)seed, buffer_cstring(&text));
    if (expected) assert_true(msgpack_valid(out.at, out.at + out.length));
    taken += expected;
    refused += !expected;
    msgpack_sbuffer_destroy(&ignored);
    buffer_free(&text);
    buffer_free(&out);
  }
  assert_true(taken > 1000 && refused > 1000);
}

// Every length around the copy steps, with an escape at every place, or none.
static void strings_of_every_length(void **state) {
  (void)state;
  for (size_t length = 0; length <= 70; length++) {
    for (size_t escape = 0; escape <= length; escape++) {
      struct buffer text = {0}, out = {0};
      struct error e = {0};
      char plain[80];
      buffer_text(&text, "[\"");
      for (size_t i = 0; i < length; i++) {
        plain[i] = i == escape ? '\\' : (char)('a' + i % 26);
        if (i == escape) buffer_byte(&text, '\\');
        buffer_byte(&text, (uint8_t)plain[i]);
      }
      buffer_text(&text, "\",\"\\\\\"]");
      assert_true(convert((char *)text.at, text.length, &out, &e));
      const uint8_t *at = out.at + 1;
      struct msgpack_value v;
      assert_true(msgpack_read(&at, out.at + out.length, &v));
      assert_int_equal(v.length, length);
      assert_memory_equal(v.bytes, plain, length);
      buffer_free(&text);
      buffer_free(&out);
    }
  }
}

static void odd_numbers_are_counted(void **state) {
  (void)state;
  static const char text[] = "[1e999,1,-99999999999999999999,2.5,123456789012345678901234567890]";
  uint64_t before = json_parser_odd_numbers(parser);
  struct buffer out = {0};
  struct error e = {0};
  assert_true(convert(text, sizeof text - 1, &out, &e));
  assert_int_equal(json_parser_odd_numbers(parser) - before, 3);
  // A refused document counts nothing.
  assert_false(convert("[1e999", 6, &out, &e));
  assert_int_equal(json_parser_odd_numbers(parser) - before, 3);
  buffer_free(&out);
}

static void fixed_memory_is_kept_to(void **state) {
  (void)state;
  static const char text[] = "{\"id\":12345,\"name\":\"abc\",\"list\":[1,2.5,null],\"id\":9}";
  struct buffer whole = {0};
  struct error e = {0};
  char *copy = memory_get(sizeof text - 1 + JSON_PADDING);
  memcpy(copy, text, sizeof text - 1);
  assert_true(json_to_msgpack(parser, copy, sizeof text - 1, &whole, &e));
  for (size_t room = 0; room < 1000; room += room < 100 ? 1 : 100) {
    uint8_t *memory = memory_get(room);
    struct msgpack_writer w = {memory, memory + room, false};
    error_clear(&e);
    bool done = json_to_msgpack_at(parser, copy, sizeof text - 1, &w, &e);
    assert_int_equal(done, room >= whole.length);
    if (done) {
      assert_int_equal(w.at - memory, whole.length);
      assert_memory_equal(memory, whole.at, whole.length);
    } else {
      assert_ptr_equal(w.at, memory);
      assert_int_equal(e.class, ERROR_DATA);
      assert_string_equal(e.code, "too-large");
    }
    free(memory);
  }
  struct msgpack_writer w = {whole.at, whole.at + whole.length, true};
  assert_false(json_to_msgpack_at(parser, copy, sizeof text - 1, &w, &e));
  copy[0] = '[';
  w.overflow = false;
  assert_false(json_to_msgpack_at(parser, copy, sizeof text - 1, &w, &e));
  assert_string_equal(e.code, "json");
  free(copy);
  buffer_free(&whole);
}

static void large_records_are_refused(void **state) {
  (void)state;
  for (int over = 0; over < 2; over++) {
    size_t length = LIMIT_RECORD - 5 + (size_t)over + 2;
    char *text = memory_get(length + JSON_PADDING);
    memset(text, 'x', length);
    text[0] = text[length - 1] = '"';
    struct buffer out = {0};
    struct error e = {0};
    assert_int_equal(json_to_msgpack(parser, text, length, &out, &e), over == 0);
    assert_int_equal(out.length, over ? 0 : LIMIT_RECORD);
    if (over) assert_string_equal(e.code, "too-large");
    free(text);
    buffer_free(&out);
  }
  json_parser_trim(parser);
}

// Many keys, of which all, some or none repeat; also keys that the short hash cannot tell apart.
static void many_keys(void **state) {
  (void)state;
  for (unsigned kind = 0; kind < 3; kind++) {
    unsigned written = 20000, different = kind == 0 ? written : kind == 1 ? 700 : 1;
    unsigned *newest = memory_get(different * sizeof *newest);
    for (unsigned i = 0; i < written; i++) newest[i * 11 % different] = i;
    struct buffer text = {0}, out = {0};
    struct error e = {0};
    buffer_byte(&text, '{');
    for (unsigned i = 0; i < written; i++) buffer_print(&text, "%s\"first---%06u---last----\":%u", i ? "," : "", i * 11 % different, i);
    buffer_byte(&text, '}');
    assert_true(convert((char *)text.at, text.length, &out, &e));
    const uint8_t *at = out.at;
    struct msgpack_value v;
    assert_true(msgpack_read(&at, out.at + out.length, &v));
    assert_int_equal(v.length, different);
    for (unsigned i = 0; i < different; i++) {
      char key[64];
      unsigned number = i * 11 % different;
      snprintf(key, sizeof key, "first---%06u---last----", number);
      assert_true(msgpack_read(&at, out.at + out.length, &v));
      assert_int_equal(v.length, strlen(key));
      assert_memory_equal(v.bytes, key, v.length);
      assert_true(msgpack_read(&at, out.at + out.length, &v));
      assert_int_equal(v.i, newest[number]);
    }
    assert_ptr_equal(at, out.at + out.length);
    free(newest);
    buffer_free(&text);
    buffer_free(&out);
  }
}

static bool open_records(const char *text, const char *path, char **copy, struct error *e) {
  size_t length = strlen(text);
  *copy = memory_get(length + JSON_PADDING);
  memcpy(*copy, text, length);
  return json_records_open(parser, *copy, length, path, e);
}

// The text of the record just given or refused is that very record: read alone it says the same.
static void check_text(const struct buffer *record, bool refused) {
  struct json_parser *other = json_parser_new();
  struct buffer again = {0};
  struct error e = {0};
  size_t length;
  const char *text = json_record_text(parser, &length);
  assert_int_equal(json_to_msgpack(other, text, length, &again, &e), !refused);
  assert_int_equal(again.length, record->length);
  if (!refused) assert_memory_equal(again.at, record->at, again.length);
  json_parser_free(other);
  buffer_free(&again);
}

// The records at `path`, as JSON joined by ";", or the error's code in angle brackets.
static void check_records(const char *text, const char *path, const char *expected) {
  struct buffer out = {0}, json = {0};
  struct error e = {0};
  char *copy;
  if (!open_records(text, path, &copy, &e)) {
    buffer_print(&json, "<%s>", e.code);
  } else {
    int more;
    while ((more = json_records_next(parser, &out, &e)) != 0) {
      const uint8_t *at = out.at;
      if (json.length > 0) buffer_byte(&json, ';');
      if (more < 0)
        buffer_print(&json, "<%s>", e.code);
      else
        assert_true(msgpack_to_json(&at, out.at + out.length, &json));
      check_text(&out, more < 0);
      buffer_clear(&out);
    }
  }
  assert_string_equal(buffer_cstring(&json), expected);
  json_records_close(parser);
  assert_int_equal(json_records_next(parser, &out, &e), 0);
  free(copy);
  buffer_free(&out);
  buffer_free(&json);
}

static void records_one_by_one(void **state) {
  (void)state;
  check_records("{\"events\":[{\"a\":1},{\"a\":2}],\"x\":1}", "events", "{\"a\":1};{\"a\":2}");
  check_records("{\"data\":{\"items\":[1,\"two\",[3]]}}", "data.items", "1;\"two\";[3]");
  check_records("{\"pages\":[{\"items\":[1]},{\"items\":[2]}]}", "pages[1].items", "2");
  check_records("[{\"a\":1},{\"a\":2}]", "", "{\"a\":1};{\"a\":2}");
  check_records("{\"a\":1}", "", "{\"a\":1}");
  check_records("{\"one\":{\"a\":1}}", "one", "{\"a\":1}");
  check_records("{\"events\":[]}", "events", "");
  check_records("[]", "", "");
  check_records("{\"events\":[1],\"events\":[2]}", "events", "2");
  check_records("\xef\xbb\xbf \t[ 1 ,\n\"a,]\\\"\" , {\"x\" : [ {} , [ ] ] } ,-1.5e3\n] ", "", "1;\"a,]\\\"\";{\"x\":[{},[]]};-1500.0");
  check_records("{\"a\":{\"e\\u0076\":[0]},\"x\":[\"]\"],\"\\u0061\":{\"\\\\\":1,\"e\\u0076\":[1,2]}}", "a.ev", "1;2");
  check_records("[[],[{\"a\":5},6]]", "[1]", "{\"a\":5};6");
  check_records("[[1],[2,[3,4]]]", "[1][1]", "3;4");
  check_records("{\"event\":[]}", "events", "<no-records>");
  check_records("{\"events\":null}", "events", "<no-records>");
  check_records("{\"events\":\"x\"}", "events", "<no-records>");
  check_records("5", "", "<no-records>");
  check_records("[1]", "events", "<no-records>");
  check_records("{\"events\":[{\"a\":1},{\"a\":2}", "events", "<json>");
  check_records("{\"events\":[{\"a\":1},{\"a\":2}]}x", "events", "<json>");
  check_records("", "events", "<json>");
  check_records("{\"events\":[1]}", "events[", "<path>");
}

// One record that is too deep does not take the others with it.
static void a_deep_record_is_passed_over(void **state) {
  (void)state;
  for (unsigned depth = LIMIT_DEPTH - 1; depth <= LIMIT_DEPTH + 1; depth++) {
    struct buffer text = {0}, expected = {0};
    buffer_text(&text, "{\"r\":[1,");
    for (unsigned i = 0; i < depth; i++) buffer_byte(&text, '[');
    for (unsigned i = 0; i < depth; i++) buffer_byte(&text, ']');
    buffer_text(&text, ",2]}");
    if (depth <= LIMIT_DEPTH)
      buffer_print(&expected, "1;%.*s;2", (int)(2 * depth), (char *)text.at + 8);
    else
      buffer_text(&expected, "1;<too-deep>;2");
    check_records(buffer_cstring(&text), "r", buffer_cstring(&expected));
    buffer_free(&text);
    buffer_free(&expected);
  }
  struct buffer text = {0};
  for (int i = 0; i < 5000; i++) buffer_byte(&text, '[');
  check_records(buffer_cstring(&text), "", "<too-deep>");
  buffer_free(&text);
}

static void a_large_record_is_passed_over(void **state) {
  (void)state;
  struct buffer text = {0};
  struct error e = {0};
  buffer_text(&text, "[1,\"");
  buffer_reserve(&text, LIMIT_RECORD + 100);
  memset(text.at + text.length, 'x', LIMIT_RECORD);
  text.length += LIMIT_RECORD;
  buffer_text(&text, "\",2]");
  char *copy;
  struct buffer out = {0};
  assert_true(open_records(buffer_cstring(&text), "", &copy, &e));
  assert_int_equal(json_records_next(parser, &out, &e), 1);
  assert_int_equal(json_records_next(parser, &out, &e), -1);
  assert_string_equal(e.code, "too-large");
  size_t piece;
  const char *refused = json_record_text(parser, &piece);
  assert_ptr_equal(refused, copy + strlen("[1,"));
  assert_int_equal(piece, LIMIT_RECORD + 2);
  assert_int_equal(json_records_next(parser, &out, &e), 1);
  assert_int_equal(json_records_next(parser, &out, &e), 0);
  assert_int_equal(out.length, 2);
  json_records_close(parser);
  free(copy);
  buffer_free(&text);
  buffer_free(&out);
}

static void other_values_of_the_document(void **state) {
  (void)state;
  struct buffer out = {0}, json = {0};
  struct error e = {0};
  char *copy;
  assert_true(open_records("{\"next\":{\"url\":\"/p2\"},\"items\":[1,2],\"more\":null}", "items", &copy, &e));
  assert_int_equal(json_records_next(parser, &out, &e), 1);
  buffer_clear(&out);
  assert_true(json_document_value(parser, "next.url", &out));
  assert_true(json_document_value(parser, "more", &out));
  assert_false(json_document_value(parser, "last", &out));
  assert_false(json_document_value(parser, "next..url", &out));
  assert_true(json_document_value(parser, "items", &out));
  assert_memory_equal(out.at, "\xa3/p2\xc0\x92\1\2", 8);
  buffer_clear(&out);
  assert_true(json_document_value(parser, "", &out));
  assert_int_equal(out.at[0], 0x83);
  // Asking did not disturb the records.
  buffer_clear(&out);
  assert_int_equal(json_records_next(parser, &out, &e), 1);
  assert_int_equal(out.at[0], 2);
  json_records_close(parser);
  assert_false(json_document_value(parser, "next.url", &out));
  assert_false(json_document_value(parser, "", &out));
  free(copy);
  buffer_free(&out);
  buffer_free(&json);
}

static void a_parser_is_used_again_after_trim(void **state) {
  (void)state;
  struct json_parser *own = json_parser_new();
  struct error e = {0};
  for (int turn = 0; turn < 3; turn++) {
    size_t length = turn == 1 ? 10 : 3000000;
    char *text = memory_get(length + JSON_PADDING);
    memset(text, ' ', length);
    memcpy(text, "[1e999,{}]", 10);
    struct buffer out = {0};
    assert_true(json_to_msgpack(own, text, length, &out, &e));
    assert_true(json_records_open(own, text, length, "", &e));
    json_parser_trim(own); // in the middle of a document: nothing of it may go
    assert_int_equal(json_records_next(own, &out, &e), 1);
    json_records_close(own);
    json_parser_trim(own);
    free(text);
    buffer_free(&out);
  }
  assert_int_equal(json_parser_odd_numbers(own), 6);
  json_parser_free(own);
  json_parser_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_documents_agree_with_the_oracle),
      cmocka_unit_test(the_way_back_gives_the_same),
      cmocka_unit_test(damage_is_judged_alike),
      cmocka_unit_test(strings_of_every_length),
      cmocka_unit_test(odd_numbers_are_counted),
      cmocka_unit_test(fixed_memory_is_kept_to),
      cmocka_unit_test(large_records_are_refused),
      cmocka_unit_test(many_keys),
      cmocka_unit_test(records_one_by_one),
      cmocka_unit_test(a_deep_record_is_passed_over),
      cmocka_unit_test(a_large_record_is_passed_over),
      cmocka_unit_test(other_values_of_the_document),
      cmocka_unit_test(a_parser_is_used_again_after_trim),
  };
  return cmocka_run_group_tests(tests, parser_start, parser_end);
}
