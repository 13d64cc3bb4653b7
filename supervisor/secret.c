// Marks first, stars then: see secret.h. What is marked errs to the safe side, since a star too many hides only a word.
#include "supervisor/secret.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "supervisor/config_place.h"
#include "supervisor/plan_report.h"

// A text with a mark for each of its bytes. `mask` has a byte more.
struct marks {
  const char *text;
  size_t length;
  char *mask;
};

static struct marks marks_start(const char *text) {
  size_t length = strlen(text);
  return (struct marks){.text = text, .length = length, .mask = memory_get(length + 1)};
}

static void mark(struct marks *m, const char *from, const char *to) {
  if (to > from) memset(m->mask + (from - m->text), 1, (size_t)(to - from));
}

static void unmark(struct marks *m, const char *from, const char *to) {
  memset(m->mask + (from - m->text), 0, (size_t)(to - from));
}

// The brace that closes the ${ at `dollar`, or the end of the text.
static const char *close_of(const char *dollar) {
  unsigned open = 0;
  const char *at = dollar;
  for (; *at; at++) {
    if (at[0] == '$' && at[1] == '{')
      open++;
    else if (*at == '}' && --open == 0)
      break;
  }
  return at;
}

// ${NAME} and ${file:PATH} are no secrets; a default is.
static void unmark_names(struct marks *m) {
  const char *at = m->text;
  while ((at = strstr(at, "${"))) {
    const char *close = close_of(at), *otherwise = strstr(at, ":-");
    if (!*close) return;
    unmark(m, at, otherwise && otherwise < close ? otherwise + 2 : close);
    unmark(m, close, close + 1);
    at = otherwise && otherwise < close ? otherwise + 2 : close;
  }
}

// ---- addresses

static const char *last_at(const char *from, const char *to) {
  return memrchr(from, '@', (size_t)(to - from));
}

// What stands behind "//": the password of user:password@host, as far as the last @, since people forget that an @ or a / inside of it is
// written %40 or %2F. `alone`: a name in front of the @ is a token.
static void mark_login(struct marks *m, const char *from, const char *to, bool alone) {
  const char *at = last_at(from, to), *colon = at ? memchr(from, ':', (size_t)(at - from)) : NULL;
  if (colon)
    mark(m, colon + 1, at);
  else if (at && alone && from + strcspn(from, "/?#") > at)
    mark(m, from, at);
}

// "//user:password", where the host was forgotten: no number is no port.
static void mark_port(struct marks *m, const char *from, const char *to) {
  const char *colon = from + strcspn(from, ":/?#[");
  if (*colon != ':' || colon >= to) return;
  const char *end = colon + 1 + strspn(colon + 1, "0123456789");
  if (end < to && !strchr(",/?#", *end)) mark(m, colon + 1, to);
}

// The values of parameters; those of a database are known by their names (mark_named).
static void mark_parameters(struct marks *m, const char *from, const char *to) {
  const char *at = memchr(from, '?', (size_t)(to - from));
  while (at && (at = memchr(at, '=', (size_t)(to - at)))) {
    const char *end = at + strcspn(at, "&#");
    mark(m, at + 1, end < to ? end : to);
    at++;
  }
}

// One address; `alone`: nothing but it lies between the two. Without a scheme all of it is suspect: it may be a login that lacks one, or
// the words of a connection string.
static void mark_address(struct marks *m, const char *from, const char *to, bool alone) {
  const char *slashes = memmem(from, (size_t)(to - from), "://", 3), *scheme = slashes, *at = last_at(from, to);
  if (strncmp(from, "sqlite:", strlen("sqlite:")) == 0) return;
  while (scheme && scheme > from && isalnum((unsigned char)scheme[-1])) scheme--;
  if (scheme < slashes) {
    bool http = alone && strncasecmp(scheme, "http", 4) == 0;
    mark_login(m, slashes + 3, to, http);
    if (!at) mark_port(m, slashes + 3, to);
    if (http) mark_parameters(m, slashes + 3, to);
  } else if (memchr(from, '=', (size_t)(to - from))) {
    mark(m, from, to);
  } else if (at) {
    mark(m, from, at);
  }
}

// ---- lines of which nothing is known

// Where a value that begins at `at` ends: at its quote, or without one with the line.
static const char *value_end(const char *at, char quote) {
  if (quote != '"' && quote != '\'') return at + strlen(at);
  while (*at && *at != quote) at += *at == '\\' && at[1] ? 2 : 1;
  return at;
}

static void mark_logins(struct marks *m) {
  for (const char *p = strstr(m->text, "//"); p; p = strstr(p + 2, "//")) {
    const char *scheme = p;
    while (scheme > m->text && (isalnum((unsigned char)scheme[-1]) || strchr("+.-:", scheme[-1]))) scheme--;
    mark_login(m, p + 2, value_end(p + 2, scheme > m->text ? scheme[-1] : ' '), false);
  }
}

// What people call a secret.
static const char *const names[] = {"password",      "passwd",  "secret", "token",   "bearer", "basic",
                                    "authorization", "api_key", "apikey", "key.pem", "api-key"};

static bool is_telling(const char *name) {
  for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
    if (strcasestr(name, names[i])) return true;
  return false;
}

// What follows a telling name and `:` (to the end of the line) or `=` (in a query).
static void mark_named(struct marks *m) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    for (const char *p = strcasestr(m->text, names[i]); p; p = strcasestr(p + 1, names[i])) {
      const char *at = p + strlen(names[i]);
      while (isalnum((unsigned char)*at) || *at == '_' || *at == '-') at++;
      at += strspn(at, "\"' \t");
      if (*at != ':' && *at != '=') continue;
      const char *ends = *at == '=' ? "& \"'" : "";
      at++;
      at += strspn(at, " \t\"'");
      mark(m, at, at + (*ends ? strcspn(at, ends) : strlen(at)));
    }
  }
}

// `url: ...` and `brokers: ...`, wherever they stand in the line.
static void mark_addresses(struct marks *m) {
  static const char *const places[] = {"url", "brokers"};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    for (const char *p = strstr(m->text, places[i]); p; p = strstr(p + 1, places[i])) {
      const char *at = p + strlen(places[i]);
      at += strspn(at, "\"' \t");
      if (*at != ':') continue;
      at++;
      at += strspn(at, " \t");
      bool quoted = *at == '"' || *at == '\'';
      mark_address(m, at + quoted, value_end(at + quoted, quoted ? *at : ' '), quoted);
    }
  }
}

void secret_mask(const char *line, char *mask) {
  struct marks m = {.text = line, .length = strlen(line), .mask = mask};
  mark_logins(&m);
  mark_named(&m);
  mark_addresses(&m);
  unmark_names(&m);
}

// ---- stars

void secret_apply(char *line, const char *mask) {
  char *to = line;
  for (const char *p = line; *p; p++, mask++) {
    bool goes_on = ((unsigned char)*p & 0xc0) == 0x80;
    if (!*mask)
      *to++ = *p;
    else if (!goes_on)
      *to++ = '*';
  }
  *to = '\0';
}

void secret_hide(char *line) {
  struct marks m = marks_start(line);
  secret_mask(line, m.mask);
  secret_apply(line, m.mask);
  free(m.mask);
}

void secret_hide_address(char *url) {
  struct marks m = marks_start(url);
  mark_address(&m, url, url + m.length, true);
  mark_named(&m);
  secret_apply(url, m.mask);
  free(m.mask);
}

void secret_mask_columns(const char *line, char *mask, int from, int to) {
  int column = 0;
  for (; *line; line++, mask++) {
    column += ((unsigned char)*line & 0xc0) != 0x80;
    if (column >= from && column < to) *mask = 1;
  }
}

// ---- values

static void cover_text(const struct config_source *source, const struct config_node *value, enum secret_form form,
                       struct plan_report *report) {
  struct marks m = marks_start(value->written);
  if (form == SECRET_WHOLE) mark(&m, m.text, m.text + m.length);
  if (form == SECRET_ADDRESS) mark_address(&m, m.text, m.text + m.length, true);
  if (form == SECRET_ADDRESS) mark_named(&m);
  unmark_names(&m);
  for (size_t i = 0; i < m.length;) {
    size_t end = i;
    while (m.mask[end]) end++;
    struct plan_cover c;
    if (end > i) {
      config_place_written(source, value, i, &c.line, &c.column);
      config_place_written(source, value, end - 1, &c.last_line, &c.last_column);
      plan_report_cover(report, &c);
    }
    i = end + 1;
  }
  free(m.mask);
}

void secret_cover(const struct config_source *source, const struct config_node *value, enum secret_form form, struct plan_report *report) {
  if (value->kind == CONFIG_TEXT && value->line > 0 && value->written) cover_text(source, value, form, report);
  for (size_t i = 0; i < value->count; i++) {
    const struct config_entry *one = &value->entries[i];
    secret_cover(source, &one->value, is_telling(one->key) ? SECRET_WHOLE : form, report);
  }
}
