// The strict scanner: one pass, byte by byte, no recursion. See json_scan.h for who needs it.
//
// Invariant: nothing is read at or behind `end`, so it needs no padding.
#include "proto/json_scan.h"

#include <stdint.h>
#include <string.h>

#include "proto/utf8.h"

struct scan {
  const uint8_t *start, *at, *end;
  struct json_flaw *flaw;
};

static bool flaw_at(struct scan *s, const uint8_t *place, const char *what) {
  s->flaw->offset = (size_t)(place - s->start);
  s->flaw->what = what;
  return false;
}

static int peek(const struct scan *s) {
  return s->at < s->end ? *s->at : -1;
}

static bool is_digit(int c) {
  return c >= '0' && c <= '9';
}

static void skip_space(struct scan *s) {
  while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) s->at++;
}

static bool scan_hex4(struct scan *s, unsigned *code) {
  *code = 0;
  for (int i = 0; i < 4; i++, s->at++) {
    int c = peek(s);
    int low = c | 0x20;
    if (is_digit(c)) {
      *code = *code << 4 | (unsigned)(c - '0');
    } else if (c >= 0 && low >= 'a' && low <= 'f') {
      *code = *code << 4 | (unsigned)(low - 'a' + 10);
    } else {
      return flaw_at(s, s->at, "four hexadecimal digits are expected");
    }
  }
  return true;
}

// Behind the backslash of an escape that begins at `place`.
static bool scan_escape(struct scan *s, const uint8_t *place) {
  int c = peek(s);
  unsigned code;
  if (c < 0) return flaw_at(s, s->at, "the string is not closed");
  s->at++;
  if (c != 'u') return (c != 0 && strchr("\"\\/bfnrt", c)) || flaw_at(s, place, "there is no such escape");
  if (!scan_hex4(s, &code)) return false;
  if (code < 0xd800 || code > 0xdfff) return true;
  if (code >= 0xdc00 || peek(s) != '\\') return flaw_at(s, place, "half of a surrogate pair");
  s->at++;
  if (peek(s) != 'u') return flaw_at(s, place, "half of a surrogate pair");
  s->at++;
  if (!scan_hex4(s, &code)) return false;
  return (code >= 0xdc00 && code <= 0xdfff) || flaw_at(s, place, "half of a surrogate pair");
}

static bool scan_string(struct scan *s) {
  for (s->at++; s->at < s->end;) {
    const uint8_t *place = s->at;
    uint8_t c = *place;
    if (c == '"') {
      s->at++;
      return true;
    }
    if (c == '\\') {
      s->at++;
      if (!scan_escape(s, place)) return false;
    } else if (c < 0x20) {
      return flaw_at(s, place, "a control character in a string must be escaped");
    } else {
      size_t step = utf8_step(place, (size_t)(s->end - place));
      if (step == 0) return flaw_at(s, place, "this is not UTF-8");
      s->at += step;
    }
  }
  return flaw_at(s, s->end, "the string is not closed");
}

static bool scan_digits(struct scan *s) {
  if (!is_digit(peek(s))) return flaw_at(s, s->at, "a digit is expected");
  while (is_digit(peek(s))) s->at++;
  return true;
}

static bool scan_number(struct scan *s) {
  if (peek(s) == '-') s->at++;
  bool zero = peek(s) == '0';
  const uint8_t *first = s->at;
  if (!scan_digits(s)) return false;
  if (zero && s->at - first > 1) return flaw_at(s, first + 1, "a number must not begin with 0");
  if (peek(s) == '.') {
    s->at++;
    if (!scan_digits(s)) return false;
  }
  if (peek(s) == 'e' || peek(s) == 'E') {
    s->at++;
    if (peek(s) == '+' || peek(s) == '-') s->at++;
    return scan_digits(s);
  }
  return true;
}

static bool scan_word(struct scan *s, const char *word) {
  for (; *word != '\0'; word++, s->at++)
    if (peek(s) != *word) return flaw_at(s, s->at, "a value is expected");
  return true;
}

static bool scan_scalar(struct scan *s) {
  int c = peek(s);
  if (c < 0) return flaw_at(s, s->at, "the document ends too early");
  if (c == '"') return scan_string(s);
  if (c == '-' || is_digit(c)) return scan_number(s);
  if (c == 't') return scan_word(s, "true");
  if (c == 'f') return scan_word(s, "false");
  if (c == 'n') return scan_word(s, "null");
  if (c >= 0x80 && utf8_step(s->at, (size_t)(s->end - s->at)) == 0) return flaw_at(s, s->at, "this is not UTF-8");
  return flaw_at(s, s->at, "a value is expected");
}

// A key and its colon.
static bool scan_key(struct scan *s) {
  skip_space(s);
  if (peek(s) != '"') return flaw_at(s, s->at, s->at == s->end ? "the document ends too early" : "a name in quotes is expected");
  if (!scan_string(s)) return false;
  skip_space(s);
  if (peek(s) != ':') return flaw_at(s, s->at, s->at == s->end ? "the document ends too early" : "\":\" is expected");
  s->at++;
  return true;
}

// The open containers, innermost last.
struct nesting {
  bool object[JSON_SCAN_DEPTH_MOST];
  unsigned level, most;
};

// Behind a value: closes what ends here, and eats a comma. *more: another value follows (its key has been read).
static bool scan_behind(struct scan *s, struct nesting *nesting, bool *more) {
  *more = false;
  while (nesting->level > 0) {
    bool object = nesting->object[nesting->level - 1];
    skip_space(s);
    int c = peek(s);
    if (c == ',') {
      s->at++;
      *more = true;
      return !object || scan_key(s);
    }
    if (c != (object ? '}' : ']')) {
      if (c < 0) return flaw_at(s, s->at, "the document ends too early");
      return flaw_at(s, s->at, object ? "\",\" or \"}\" is expected" : "\",\" or \"]\" is expected");
    }
    s->at++;
    nesting->level--;
  }
  return true;
}

// Opens the container at the cursor. *empty: it is closed again already.
static bool scan_open(struct scan *s, struct nesting *nesting, bool *empty) {
  bool object = *s->at == '{';
  if (nesting->level == nesting->most) {
    s->flaw->too_deep = true;
    return flaw_at(s, s->at, "nested too deep");
  }
  s->at++;
  skip_space(s);
  *empty = peek(s) == (object ? '}' : ']');
  if (*empty) {
    s->at++;
    return true;
  }
  nesting->object[nesting->level++] = object;
  return !object || scan_key(s);
}

static bool scan_values(struct scan *s, struct nesting *nesting) {
  bool more = true;
  while (more) {
    skip_space(s);
    int c = peek(s);
    bool complete = true;
    if (c == '{' || c == '[' ? !scan_open(s, nesting, &complete) : !scan_scalar(s)) return false;
    if (complete && !scan_behind(s, nesting, &more)) return false;
  }
  return true;
}

bool json_scan(const char *text, size_t length, unsigned depth, struct json_flaw *flaw) {
  const uint8_t *start = (const uint8_t *)text;
  struct scan s = {.start = start, .at = start, .end = start + length, .flaw = flaw};
  struct nesting nesting = {.most = depth < JSON_SCAN_DEPTH_MOST ? depth : JSON_SCAN_DEPTH_MOST};
  *flaw = (struct json_flaw){0};
  if (length >= 3 && memcmp(start, "\xef\xbb\xbf", 3) == 0) s.at += 3;
  if (!scan_values(&s, &nesting)) return false;
  skip_space(&s);
  return s.at == s.end || flaw_at(&s, s.at, "something stands behind the document");
}
