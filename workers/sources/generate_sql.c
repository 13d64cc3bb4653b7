// Finds where a FROM would stand: in front of the first WHERE, GROUP, HAVING, WINDOW, ORDER, LIMIT, UNION, EXCEPT or INTERSECT outside of
// parentheses, quotes and comments, else at the end.
#include "workers/sources/generate_sql.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "proto/buffer.h"
#include "proto/error.h"

// Steps over a quoted piece that begins at `at`; a doubled quote needs no care, it begins the next piece.
static const char *quote_end(const char *at) {
  char close = *at == '[' ? ']' : *at;
  const char *end = strchr(at + 1, close);
  return end ? end + 1 : at + strlen(at);
}

static const char *comment_end(const char *at) {
  const char *end = *at == '-' ? strchr(at, '\n') : strstr(at + 2, "*/");
  if (!end) return at + strlen(at);
  return *at == '-' ? end : end + 2;
}

static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' || (c & 0x80);
}

static size_t word_length(const char *at) {
  size_t length = 0;
  while (is_word(at[length])) length++;
  return length;
}

static bool is_one_of(const char *at, size_t length, const char *const *words) {
  for (; *words; words++)
    if (strlen(*words) == length && strncasecmp(at, *words, length) == 0) return true;
  return false;
}

// The next word outside of parentheses, quotes and comments; NULL at the end. *end: where the text of the statement ends so far.
static const char *next_word(const char **at, size_t *length, const char **end, int *depth) {
  while (**at) {
    const char *here = *at;
    *length = word_length(here);
    if (strchr("'\"`[", *here))
      *at = quote_end(here);
    else if (strncmp(here, "--", 2) == 0 || strncmp(here, "/*", 2) == 0)
      *at = comment_end(here);
    else
      *at = here + (*length > 0 ? *length : 1);
    bool comment = strncmp(here, "--", 2) == 0 || strncmp(here, "/*", 2) == 0;
    if (!comment && !strchr(" \t\r\n;", *here)) *end = *at;
    if (*here == '(') ++*depth;
    if (*here == ')') --*depth;
    if (*length > 0 && *depth == 0) return here;
  }
  return NULL;
}

char *generate_sql(const char *sql) {
  static const char *const from[] = {"FROM", NULL};
  static const char *const behind[] = {"WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT", NULL};
  const char *at = sql, *end = sql, *place = NULL;
  size_t length;
  int depth = 0;
  for (const char *word; (word = next_word(&at, &length, &end, &depth));) {
    if (is_one_of(word, length, from)) return memory_text(sql);
    if (!place && is_one_of(word, length, behind)) place = word;
  }
  if (!place) place = end;
  struct buffer out = {0};
  buffer_add(&out, sql, (size_t)(place - sql));
  buffer_text(&out, " FROM " GENERATE_INPUT " ");
  buffer_text(&out, place);
  char *text = memory_text(buffer_cstring(&out));
  buffer_free(&out);
  return text;
}
