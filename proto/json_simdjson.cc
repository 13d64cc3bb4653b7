// JSON to msgpack: simdjson finds where each token begins (with the widest instructions that the machine has, chosen at run time) and
// checks UTF-8 and the ends of strings; the walk below goes over those places once and writes msgpack as it goes. There is no tree in
// between.
//
// The one C++ file of the project; the C side is json.c. Nothing here throws: simdjson is asked through its error codes, memory comes from
// realloc, and a lack of it ends the process as everywhere. Invariants
//   The text has JSON_PADDING readable bytes behind it, of any value. Positions beyond the last token read as the text's length (simdjson
//   puts sentinels there), so a walk that runs over the end meets a byte of the padding at most three times before it fails, and one that
//   ends anywhere but exactly behind the last token is refused. The target has room for `most` bytes (json_shim_index), so no write is
//   checked; copies may run up to COPY_SLACK bytes over their end.
#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "proto/json_shim.h"
#include "proto/memory.h"
extern "C" {
#include "proto/msgpack.h"
}

namespace {

using indexer = simdjson::internal::dom_parser_implementation;

// Inlined wherever it stands: a call would cost as much as the work.
#define HOT __attribute__((always_inline)) inline

constexpr size_t COPY_SLACK = 64;
constexpr size_t SMALLEST_CAPACITY = 4096;
constexpr uint32_t FEW_KEYS = 32;

// Where a key was written, and a hash of its text.
struct key_place {
  uint32_t hash;
  uint32_t at;
};

// Memory that grows and is kept.
template <typename T> struct store {
  T *at = nullptr;
  size_t room = 0;
  void need(size_t count) {
    if (count <= room) return;
    size_t wanted = std::max(count, room * 2);
    void *bigger = std::realloc(static_cast<void *>(at), wanted * sizeof(T));
    if (!bigger) memory_exhausted(wanted * sizeof(T));
    at = static_cast<T *>(bigger);
    room = wanted;
  }
  void release() {
    std::free(static_cast<void *>(at));
    at = nullptr;
    room = 0;
  }
};

} // namespace

struct json_shim {
  std::unique_ptr<indexer> index;
  const uint8_t *text;
  size_t length;
  store<key_place> keys; // of all open objects, outermost first
  store<uint64_t> order; // for objects with many keys
  store<uint32_t> from;  // which entry goes where, when keys repeat
  store<uint8_t> bytes;  // entries on their way, and a scalar that is a whole document
};

namespace {

struct walk {
  json_shim *shim;
  const uint8_t *text;
  const uint32_t *at; // the next token's place; only between containers, within one it lives in a register
  uint8_t *base;      // of the output
  key_place *keys;    // one behind the last key noted
  uint64_t odd;
  bool too_deep;
};

inline bool is_space(uint8_t c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// What may follow a number or a word: white space, a comma, a bracket of any kind. A quote may not: simdjson gives a string that follows a
// scalar without a gap no place of its own.
inline bool ends_scalar(uint8_t c) {
  return c == ',' || c == '}' || c == ']' || is_space(c) || c == ':' || c == '{' || c == '[';
}

inline uint64_t load64(const uint8_t *at) {
  uint64_t v;
  std::memcpy(&v, at, sizeof v);
  return v;
}

// Copies 16 bytes; bit i of the result says that byte i is a backslash.
#ifdef __SSE2__
inline uint32_t copy16(uint8_t *to, const uint8_t *from) {
  __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from));
  _mm_storeu_si128(reinterpret_cast<__m128i *>(to), v);
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
}
#else
inline uint32_t copy16(uint8_t *to, const uint8_t *from) {
  uint32_t bits = 0;
  for (uint32_t i = 0; i < 16; i++) {
    to[i] = from[i];
    bits |= static_cast<uint32_t>(from[i] == '\\') << i;
  }
  return bits;
}
#endif

inline int hex_digit(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Four hexadecimal digits, -1 when they are none. The closing quote stops it before the end of the text.
int hex4(const uint8_t *at) {
  int code = 0;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(at[i]);
    if (digit < 0) return -1;
    code = code << 4 | digit;
  }
  return code;
}

uint8_t *put_character(uint8_t *to, uint32_t code) {
  if (code < 0x80) {
    *to++ = static_cast<uint8_t>(code);
    return to;
  }
  if (code < 0x800) {
    *to++ = static_cast<uint8_t>(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      *to++ = static_cast<uint8_t>(0xe0 | code >> 12);
    } else {
      *to++ = static_cast<uint8_t>(0xf0 | code >> 18);
      *to++ = static_cast<uint8_t>(0x80 | (code >> 12 & 0x3f));
    }
    *to++ = static_cast<uint8_t>(0x80 | (code >> 6 & 0x3f));
  }
  *to++ = static_cast<uint8_t>(0x80 | (code & 0x3f));
  return to;
}

// \uXXXX, with its second half where it is one of a pair; *from stands behind the 'u'.
uint8_t *unescape_code(const uint8_t **from, uint8_t *to) {
  int code = hex4(*from);
  if (code < 0 || (code >= 0xdc00 && code <= 0xdfff)) return nullptr;
  *from += 4;
  if (code < 0xd800 || code > 0xdfff) return put_character(to, static_cast<uint32_t>(code));
  if ((*from)[0] != '\\' || (*from)[1] != 'u') return nullptr;
  int low = hex4(*from + 2);
  if (low < 0xdc00 || low > 0xdfff) return nullptr;
  *from += 6;
  return put_character(to, 0x10000 + (static_cast<uint32_t>(code - 0xd800) << 10) + static_cast<uint32_t>(low - 0xdc00));
}

// Resolves the escapes of [from, end) at `to`; returns the end there, nullptr when one is wrong.
uint8_t *unescape(const uint8_t *from, const uint8_t *end, uint8_t *to) {
  while (from < end) {
    auto *slash = static_cast<const uint8_t *>(std::memchr(from, '\\', static_cast<size_t>(end - from)));
    const uint8_t *stop = slash ? slash : end;
    std::memcpy(to, from, static_cast<size_t>(stop - from));
    to += stop - from;
    if (!slash) break;
    from = slash + 2;
    switch (slash[1]) {
    case '"': *to++ = '"'; break;
    case '\\': *to++ = '\\'; break;
    case '/': *to++ = '/'; break;
    case 'b': *to++ = '\b'; break;
    case 'f': *to++ = '\f'; break;
    case 'n': *to++ = '\n'; break;
    case 'r': *to++ = '\r'; break;
    case 't': *to++ = '\t'; break;
    case 'u':
      to = unescape_code(&from, to);
      if (!to) return nullptr;
      break;
    default: return nullptr;
    }
  }
  return to;
}

// A string with a backslash somewhere. Its head is written for the length before, and again where the true length needs a shorter one.
__attribute__((noinline)) uint8_t *put_escaped(const uint8_t *from, const uint8_t *end, uint8_t *out) {
  uint8_t *body = msgpack_put_text_head(out, static_cast<uint32_t>(end - from));
  uint8_t *stop = unescape(from, end, body);
  if (!stop) return nullptr;
  auto length = static_cast<uint32_t>(stop - body);
  uint8_t *place = msgpack_put_text_head(out, length);
  if (place != body) std::memmove(place, body, length);
  return place + length;
}

inline uint8_t *put_long(const uint8_t *from, size_t length, uint8_t *out) {
  uint8_t *body = msgpack_put_text_head(out, static_cast<uint32_t>(length));
  uint32_t slashes = 0;
  for (size_t i = 0; i < length; i += 16) slashes |= copy16(body + i, from + i);
  // The last copy may have gone over the end, so what it saw is looked at again.
  if (__builtin_expect(slashes != 0, 0) && std::memchr(from, '\\', length)) return put_escaped(from, from + length, out);
  return body + length;
}

// The string whose opening quote stands at `quote`, with the next token at `next`.
HOT uint8_t *put_string(const uint8_t *quote, const uint8_t *next, uint8_t *out) {
  const uint8_t *from = quote + 1, *close = next - 1;
  if (__builtin_expect(*close != '"', 0)) {
    while (is_space(*close)) close--;
    if (*close != '"') return nullptr;
  }
  if (__builtin_expect(close < from, 0)) return nullptr;
  auto length = static_cast<size_t>(close - from);
  if (length > 31) return put_long(from, length, out);
  *out = static_cast<uint8_t>(MSGPACK_B_FIXTEXT | length);
  uint32_t slashes = copy16(out + 1, from);
  slashes |= copy16(out + 17, from + 16) << 16;
  if (__builtin_expect((slashes & ((uint32_t(1) << length) - 1)) != 0, 0)) return put_escaped(from, close, out);
  return out + 1 + length;
}

// A number that fits no kind of number stays text, as it stands.
__attribute__((noinline)) uint8_t *put_odd(walk &w, const uint8_t *from, const uint8_t *end, uint8_t *out) {
  w.odd++;
  auto length = static_cast<size_t>(end - from);
  out = msgpack_put_text_head(out, static_cast<uint32_t>(length));
  std::memcpy(out, from, length);
  return out + length;
}

// Digits at *at onto *value, which wraps silently: who calls counts them. Eight at a time: the digits of a word are shifted to its end, so
// that leading zeros fill it, and then added up in pairs, fours and eights.
HOT bool eat_digits(const uint8_t **at, uint64_t *value) {
  static const uint64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
  const uint8_t *p = *at;
  uint64_t sum = *value;
  for (;;) {
    uint64_t word = le64toh(load64(p)) ^ 0x3030303030303030u;
    // The high bit of each byte that is no digit; bytes behind the first of those may be wrong.
    uint64_t others = ((word + 0x7676767676767676u) | word) & 0x8080808080808080u;
    auto count = others ? static_cast<unsigned>(__builtin_ctzll(others)) / 8 : 8;
    if (count == 0) break;
    word <<= 8 * (8 - count);
    word = word * 10 + (word >> 8);
    word = ((word & 0x000000ff000000ffu) * 0x000f424000000064u + (word >> 16 & 0x000000ff000000ffu) * 0x0000271000000001u) >> 32;
    sum = sum * powers[count] + word;
    p += count;
    if (count < 8) break;
  }
  bool some = p != *at;
  *at = p;
  *value = sum;
  return some;
}

// The digits of an exponent; above 10 digits they stand for "very large", which is beyond any number of digits that a text can have.
inline bool eat_exponent(const uint8_t **at, int64_t *value) {
  const uint8_t *first = *at;
  uint64_t digits = 0;
  if (!eat_digits(at, &digits)) return false;
  while (*first == '0') first++;
  *value = *at - first > 10 ? 9999999999 : static_cast<int64_t>(digits);
  return true;
}

// The decimal exponent of a number's first digit that is not 0: whether it is far above or far below what a double holds.
int64_t magnitude(const uint8_t *digits, int64_t exponent) {
  const uint8_t *p = digits;
  int64_t point = 0, first = 0;
  bool behind_point = false, found = false;
  for (; *p == '.' || (*p >= '0' && *p <= '9'); p++) {
    if (*p == '.') {
      behind_point = true;
      continue;
    }
    if (!found && *p != '0') {
      found = true;
      first = p - digits;
    }
    if (!behind_point) point = p - digits + 1;
  }
  return (first < point ? point - 1 - first : point - first) + exponent;
}

// A real number that one operation does not give: all digits, rounded right. Too small for a double is 0; too large stays text.
__attribute__((noinline)) uint8_t *put_exact(walk &w, const uint8_t *start, const uint8_t *end, int64_t exponent, uint8_t *out) {
  double value;
  auto text = reinterpret_cast<const char *>(start), text_end = reinterpret_cast<const char *>(end);
  if (std::from_chars(text, text_end, value).ec == std::errc{}) return msgpack_put_double(out, value);
  bool minus = *start == '-';
  if (magnitude(start + minus, exponent) > 0) return put_odd(w, start, end, out);
  return msgpack_put_double(out, minus ? -0.0 : 0.0);
}

// A number with a fraction or an exponent; `p` stands behind its whole part, whose digits are in `mantissa`.
HOT uint8_t *put_real(walk &w, const uint8_t *start, const uint8_t *digits, const uint8_t *p, uint64_t mantissa, uint8_t *out) {
  static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  auto count = static_cast<size_t>(p - digits);
  int64_t exponent = 0, written = 0;
  if (*p == '.') {
    const uint8_t *fraction = ++p;
    if (!eat_digits(&p, &mantissa)) return nullptr;
    exponent = fraction - p;
    count += static_cast<size_t>(p - fraction);
  }
  if ((*p | 0x20) == 'e') {
    p++;
    bool down = *p == '-';
    if (*p == '-' || *p == '+') p++;
    if (!eat_exponent(&p, &written)) return nullptr;
    if (down) written = -written;
    exponent += written;
  }
  if (!ends_scalar(*p)) return nullptr;
  // Up to 19 digits cannot have wrapped; whole numbers up to 2^53 and powers up to 10^22 are exact, so one operation rounds once.
  if (count > 19 || mantissa > uint64_t(1) << 53 || exponent < -22 || exponent > 22) return put_exact(w, start, p, written, out);
  auto value = static_cast<double>(mantissa);
  value = exponent < 0 ? value / powers[-exponent] : value * powers[exponent];
  return msgpack_put_double(out, *start == '-' ? -value : value);
}

HOT uint8_t *put_number(walk &w, const uint8_t *start, uint8_t *out) {
  const uint8_t *digits = start + (*start == '-'), *p = digits;
  uint64_t value = 0;
  if (!eat_digits(&p, &value) || (*digits == '0' && p - digits > 1)) return nullptr;
  if (*p == '.' || (*p | 0x20) == 'e') return put_real(w, start, digits, p, value, out);
  if (!ends_scalar(*p)) return nullptr;
  auto count = p - digits;
  // 20 digits fit when they begin with 1 and have not wrapped around 2^64.
  if (count > 20 || (count == 20 && (*digits != '1' || value < 10000000000000000000u))) return put_odd(w, start, p, out);
  if (digits == start) return msgpack_put_uint(out, value);
  if (value > uint64_t(1) << 63) return put_odd(w, start, p, out);
  return msgpack_put_int(out, static_cast<int64_t>(0 - value));
}

HOT uint8_t *put_word(const uint8_t *at, const char *word, size_t length, uint8_t code, uint8_t *out) {
  if (std::memcmp(at, word, length) != 0 || !ends_scalar(at[length])) return nullptr;
  *out = code;
  return out + 1;
}

HOT uint8_t *put_scalar(walk &w, const uint8_t *at, const uint8_t *next, uint8_t *out) {
  uint8_t c = *at;
  if (c == '"') return put_string(at, next, out);
  if (c <= '9') return put_number(w, at, out);
  if (c == 't') return put_word(at, "true", 4, MSGPACK_B_TRUE, out);
  if (c == 'f') return put_word(at, "false", 5, MSGPACK_B_FALSE, out);
  return put_word(at, "null", 4, MSGPACK_B_NIL, out);
}

// The first and the last eight bytes of a key and its length decide; enough to tell the fields of one record apart.
HOT uint64_t key_hash(const uint8_t *key, size_t length) {
  uint64_t first = load64(key), last = 0;
  if (length < 8)
    first &= (uint64_t(1) << 8 * length) - 1;
  else
    last = load64(key + length - 8);
  // The product's upper bits depend on all bits below them.
  return (first ^ (last << 29 | last >> 35) ^ uint64_t(length) << 56) * 0x9E3779B97F4A7C15u;
}

// The text of a key that has been written: behind a head of 1, 2, 3 or 5 bytes.
inline void key_text(const uint8_t *at, const uint8_t **text, uint32_t *length) {
  switch (*at) {
  case MSGPACK_B_TEXT8:
    *length = at[1];
    *text = at + 2;
    break;
  case MSGPACK_B_TEXT16:
    *length = msgpack_load16(at + 1);
    *text = at + 3;
    break;
  case MSGPACK_B_TEXT32:
    *length = msgpack_load32(at + 1);
    *text = at + 5;
    break;
  default: *length = static_cast<uint32_t>(*at - MSGPACK_B_FIXTEXT); *text = at + 1;
  }
}

int compare_keys(const uint8_t *a, const uint8_t *b) {
  const uint8_t *text_a, *text_b;
  uint32_t length_a, length_b;
  key_text(a, &text_a, &length_a);
  key_text(b, &text_b, &length_b);
  if (length_a != length_b) return length_a < length_b ? -1 : 1;
  return std::memcmp(text_a, text_b, length_a);
}

constexpr uint32_t GONE = UINT32_MAX;

// An object's entries in `from`: entry i is written where from[i] says, or dropped (GONE). A key that comes again sends its newest entry to
// the first one's place.
bool find_few(const walk &w, const key_place *keys, uint32_t count, uint32_t *from) {
  bool repeats = false;
  for (uint32_t i = 1; i < count; i++) {
    for (uint32_t j = 0; j < i; j++) {
      if (keys[i].hash != keys[j].hash || from[j] == GONE || compare_keys(w.base + keys[i].at, w.base + keys[j].at) != 0) continue;
      from[j] = i;
      from[i] = GONE;
      repeats = true;
      break;
    }
  }
  return repeats;
}

// The same for many: sorted by hash, then, among equal ones, by text and place. Sorting bounds the work whatever keys somebody chooses.
bool find_many(walk &w, const key_place *keys, uint32_t count, uint32_t *from) {
  store<uint64_t> &order = w.shim->order;
  order.need(count);
  for (uint32_t i = 0; i < count; i++) order.at[i] = static_cast<uint64_t>(keys[i].hash) << 32 | i;
  std::sort(order.at, order.at + count);
  bool repeats = false;
  for (uint32_t i = 0, end; i < count; i = end) {
    for (end = i + 1; end < count && order.at[end] >> 32 == order.at[i] >> 32;) end++;
    if (end - i == 1) continue;
    std::sort(order.at + i, order.at + end, [&](uint64_t a, uint64_t b) {
      int sign = compare_keys(w.base + keys[uint32_t(a)].at, w.base + keys[uint32_t(b)].at);
      return sign != 0 ? sign < 0 : uint32_t(a) < uint32_t(b);
    });
    auto first = uint32_t(order.at[i]);
    for (uint32_t j = i + 1; j < end; j++) {
      auto entry = uint32_t(order.at[j]);
      if (compare_keys(w.base + keys[first].at, w.base + keys[entry].at) != 0) {
        first = entry;
        continue;
      }
      from[first] = entry;
      from[entry] = GONE;
      repeats = true;
    }
  }
  return repeats;
}

// Leaves of each key the last entry, at the place of the first. Returns the new end of the object.
__attribute__((noinline)) uint8_t *drop_repeats(walk &w, const key_place *keys, uint32_t *count, uint8_t *out) {
  store<uint32_t> &from = w.shim->from;
  from.need(*count);
  for (uint32_t i = 0; i < *count; i++) from.at[i] = i;
  bool repeats = *count <= FEW_KEYS ? find_few(w, keys, *count, from.at) : find_many(w, keys, *count, from.at);
  if (!repeats) return out;
  uint8_t *start = w.base + keys[0].at;
  store<uint8_t> &bytes = w.shim->bytes;
  bytes.need(static_cast<size_t>(out - start));
  size_t used = 0;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < *count; i++) {
    uint32_t entry = from.at[i];
    if (entry == GONE) continue;
    const uint8_t *at = w.base + keys[entry].at;
    const uint8_t *end = entry + 1 < *count ? w.base + keys[entry + 1].at : out;
    std::memcpy(bytes.at + used, at, static_cast<size_t>(end - at));
    used += static_cast<size_t>(end - at);
    kept++;
  }
  std::memcpy(start, bytes.at, used);
  *count = kept;
  return start + used;
}

// The count goes into the one byte left for it, or, from 16 on, the elements make room for a longer head.
inline uint8_t *close_container(uint8_t *head, uint8_t *out, uint32_t count, uint8_t fix, uint8_t first16) {
  if (__builtin_expect(count > 15, 0)) {
    size_t more = count <= UINT16_MAX ? 2 : 4;
    std::memmove(head + 1 + more, head + 1, static_cast<size_t>(out - head - 1));
    out += more;
  }
  msgpack_put_count(head, count, fix, first16);
  return out;
}

uint8_t *put_object(walk &w, const uint32_t *at, uint8_t *out, unsigned depth);
uint8_t *put_array(walk &w, const uint32_t *at, uint8_t *out, unsigned depth);

// The container whose bracket is the token at `at`. Leaves w.at behind its end.
inline uint8_t *put_container(walk &w, const uint32_t *at, uint8_t *out, unsigned depth) {
  if (depth == 0) {
    w.too_deep = true;
    return nullptr;
  }
  return w.text[*at] == '{' ? put_object(w, at + 1, out, depth - 1) : put_array(w, at + 1, out, depth - 1);
}

inline bool is_open(uint8_t c) {
  return c == '{' || c == '[';
}

// Which keys an open object has: 256 bits, one set for each. Only where a bit is met again the hashes are compared.
struct key_filter {
  uint64_t bits[4] = {0, 0, 0, 0};
  bool repeats = false;

  HOT void add(uint64_t hash, const key_place *first, const key_place *keys) {
    uint64_t &word = bits[hash >> 62], bit = uint64_t(1) << (hash >> 56 & 63);
    if (__builtin_expect((word & bit) != 0, 0)) look(static_cast<uint32_t>(hash >> 24), first, keys);
    word |= bit;
  }

  // With many keys a bit says nothing any more; drop_repeats sorts them then.
  void look(uint32_t hash, const key_place *first, const key_place *keys) {
    if (keys - first >= FEW_KEYS) repeats = true;
    for (; first < keys && !repeats; first++) repeats = first->hash == hash;
  }
};

// The hash of the key that was written from `key` to `out`: from there, because escapes are resolved there.
HOT uint64_t hash_written(const uint8_t *key, const uint8_t *out) {
  auto length = static_cast<size_t>(out - key) - 1;
  if (__builtin_expect(length < 32, 1)) return key_hash(key + 1, length);
  const uint8_t *text;
  uint32_t exact;
  key_text(key, &text, &exact);
  return key_hash(text, exact);
}

uint8_t *put_object(walk &w, const uint32_t *at, uint8_t *out, unsigned depth) {
  const uint8_t *text = w.text;
  uint8_t *head = out++;
  key_place *const first = w.keys;
  key_place *keys = first;
  key_filter filter;
  if (text[*at] == '}') {
    *head = MSGPACK_B_FIXMAP;
    w.at = at + 1;
    return out;
  }
  for (;;) {
    const uint8_t *quote = text + *at;
    if (*quote != '"') return nullptr;
    uint8_t *key = out;
    out = put_string(quote, text + at[1], out);
    if (!out || text[at[1]] != ':') return nullptr;
    uint64_t hash = hash_written(key, out);
    filter.add(hash, first, keys);
    *keys++ = key_place{static_cast<uint32_t>(hash >> 24), static_cast<uint32_t>(key - w.base)};
    at += 2;
    if (is_open(text[*at])) {
      w.keys = keys;
      out = put_container(w, at, out, depth);
      at = w.at;
    } else {
      out = put_scalar(w, text + at[0], text + at[1], out);
      at++;
    }
    if (!out) return nullptr;
    uint8_t c = text[*at++];
    if (c == '}') break;
    if (c != ',') return nullptr;
  }
  auto count = static_cast<uint32_t>(keys - first);
  if (filter.repeats) out = drop_repeats(w, first, &count, out);
  w.keys = first;
  w.at = at;
  return close_container(head, out, count, MSGPACK_B_FIXMAP, MSGPACK_B_MAP16);
}

uint8_t *put_array(walk &w, const uint32_t *at, uint8_t *out, unsigned depth) {
  const uint8_t *text = w.text;
  uint8_t *head = out++;
  uint32_t count = 0;
  if (text[*at] == ']') {
    *head = MSGPACK_B_FIXARRAY;
    w.at = at + 1;
    return out;
  }
  for (;;) {
    if (is_open(text[*at])) {
      out = put_container(w, at, out, depth);
      at = w.at;
    } else {
      out = put_scalar(w, text + at[0], text + at[1], out);
      at++;
    }
    if (!out) return nullptr;
    count++;
    uint8_t c = text[*at++];
    if (c == ']') break;
    if (c != ',') return nullptr;
  }
  w.at = at;
  return close_container(head, out, count, MSGPACK_B_FIXARRAY, MSGPACK_B_ARRAY16);
}

// A document that is one scalar. A number or word may end where the text ends, so it is read from a copy with white space behind it.
uint8_t *put_root_scalar(walk &w, const uint8_t *at, const uint8_t *end, uint8_t *out) {
  if (*at == '"') return put_string(at, end, out);
  auto length = static_cast<size_t>(end - at);
  store<uint8_t> &bytes = w.shim->bytes;
  bytes.need(length + COPY_SLACK);
  std::memcpy(bytes.at, at, length);
  std::memset(bytes.at + length, ' ', COPY_SLACK);
  return put_scalar(w, bytes.at, bytes.at + length, out);
}

} // namespace

json_shim *json_shim_new() {
  void *memory = std::malloc(sizeof(json_shim));
  if (!memory) memory_exhausted(sizeof(json_shim));
  return new (memory) json_shim{};
}

void json_shim_free(json_shim *s) {
  if (!s) return;
  s->keys.release();
  s->order.release();
  s->from.release();
  s->bytes.release();
  s->~json_shim();
  std::free(static_cast<void *>(s));
}

bool json_shim_index(json_shim *s, const char *text, size_t length, size_t *most) {
  if (length > JSON_SHIM_LONGEST) return false;
  if (!s->index || s->index->capacity() < length) {
    size_t capacity = std::max(length + length / 4, SMALLEST_CAPACITY);
    s->index.reset();
    // The depth is for simdjson's own second half, which is not used.
    auto problem = simdjson::get_active_implementation()->create_dom_parser_implementation(capacity, 1, s->index);
    if (problem != simdjson::SUCCESS) memory_exhausted(capacity * sizeof(uint32_t));
  }
  s->text = reinterpret_cast<const uint8_t *>(text);
  s->length = length;
  if (s->index->stage1(s->text, length, simdjson::stage1_mode::regular) != simdjson::SUCCESS) return false;
  // What grows at all grows most as a short double ("1.5," to 9 bytes): 5 bytes more for two tokens, 9/4 of the text.
  size_t tokens = s->index->n_structural_indexes;
  *most = std::min(length + tokens * 5 / 2, length / 4 * 9 + 9) + 2 * COPY_SLACK;
  return true;
}

json_shim_result json_shim_convert(json_shim *s, uint8_t *out, unsigned depth, size_t *written, uint64_t *odd) {
  const uint32_t *first = s->index->structural_indexes.get();
  size_t tokens = s->index->n_structural_indexes;
  if (tokens == 0) return JSON_SHIM_BROKEN;
  s->keys.need(tokens / 2 + 1);
  walk w{s, s->text, first + 1, out, s->keys.at, 0, false};
  uint8_t open = s->text[first[0]], last = s->text[first[tokens - 1]];
  uint8_t *end = nullptr;
  if (is_open(open)) {
    if (last == (open == '{' ? '}' : ']')) end = put_container(w, first, out, depth);
  } else {
    end = put_root_scalar(w, s->text + first[0], s->text + s->length, out);
  }
  if (w.too_deep) return JSON_SHIM_TOO_DEEP;
  if (!end || w.at != first + tokens) return JSON_SHIM_BROKEN;
  *written = static_cast<size_t>(end - out);
  *odd += w.odd;
  return JSON_SHIM_DONE;
}

size_t json_shim_memory(const json_shim *s) {
  size_t indexes = s->index ? s->index->capacity() * sizeof(uint32_t) : 0;
  return indexes + s->keys.room * sizeof(key_place) + s->order.room * sizeof(uint64_t) + s->from.room * sizeof(uint32_t) + s->bytes.room;
}

size_t json_shim_print_double(double value, char out[JSON_DOUBLE_TEXT]) {
  double size = std::fabs(value);
  // As people write numbers: plain digits up to 16 places, an exponent beyond.
  bool plain = size == 0 || (size >= 1e-5 && size < 1e16);
  auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  char *end = std::to_chars(out, out + JSON_DOUBLE_TEXT - 2, value, format).ptr;
  if (plain && !std::memchr(out, '.', static_cast<size_t>(end - out))) {
    *end++ = '.';
    *end++ = '0';
  }
  return static_cast<size_t>(end - out);
}

const char *json_shim_version(void) {
  static const char version[] = {static_cast<char>('0' + simdjson::SIMDJSON_VERSION_MAJOR),    '.',
                                 static_cast<char>('0' + simdjson::SIMDJSON_VERSION_MINOR),    '.',
                                 static_cast<char>('0' + simdjson::SIMDJSON_VERSION_REVISION), '\0'};
  return version;
}
