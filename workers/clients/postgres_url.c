// The address of a PostgreSQL server, judged without asking anybody.
//
// A password with an @ or a / in it ends early for libpq, and what is left over becomes the host, the port or the database: those are told
// in messages. So an address is refused here before any part of it is told. Values are never told, and no words of libpq's that hold some.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "proto/memory.h"
#include "workers/clients/postgres_parts.h"

enum { NAME_SHOWN = 40 };

static bool refuse(struct error *e, const char *why) {
  error_set(e, ERROR_CONFIG, "url", "the address of the database cannot be read: %s", why);
  return false;
}

static const char *behind_scheme(const char *url) {
  static const char *const schemes[] = {"postgresql://", "postgres://"};
  for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
    if (strncmp(url, schemes[i], strlen(schemes[i])) == 0) return url + strlen(schemes[i]);
  return NULL;
}

// libpq takes what stands before the first @ for user and password, unless there is a / before it.
static const char *behind_login(const char *rest) {
  const char *end = rest + strcspn(rest, "@/");
  return *end == '@' ? end + 1 : rest;
}

// A second @, or one behind the /, shows that something else was meant for user and password than libpq takes.
static bool check_login(const char *url, struct error *e) {
  const char *rest = behind_scheme(url);
  if (!rest) return refuse(e, "it begins with postgresql://, as in postgresql://USER:PASSWORD@HOST:PORT/NAME");
  if (!strchr(behind_login(rest), '@')) return true;
  return refuse(e, "an @ stands where host, port, name or parameters are expected: characters like @ and / in user or password are written "
                   "%40, %2F, and so is every other @ but the one in front of the host");
}

// ---- parameters: ?NAME=VALUE&...

static bool is_known(const PQconninfoOption *known, const char *name, size_t length) {
  for (; known->keyword; known++)
    if (strlen(known->keyword) == length && strncmp(known->keyword, name, length) == 0) return true;
  return length == 3 && strncmp(name, "ssl", 3) == 0; // ssl=true, as other clients have it
}

static bool is_name(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (!isalnum((unsigned char)text[i]) && text[i] != '_') return false;
  return length > 0 && length <= NAME_SHOWN;
}

static bool check_name(const PQconninfoOption *known, const char *name, size_t length, struct error *e) {
  if (is_known(known, name, length)) return true;
  if (!is_name(name, length) || name[length] != '=')
    return refuse(e, "behind the ? it has parameters as NAME=VALUE, with an & between them");
  char *why = memory_print("it has a parameter `%.*s`, which libpq does not know", (int)length, name);
  refuse(e, why);
  free(why);
  return false;
}

static bool check_names(const char *url, struct error *e) {
  PQconninfoOption *known = PQconninfoParse("", NULL);
  if (!known) memory_exhausted(0); // an empty text has no mistakes
  const char *at = strchr(behind_login(behind_scheme(url)), '?');
  bool good = true;
  while (at && good) {
    size_t length = strcspn(++at, "=&");
    if (*at == '\0') break; // nothing behind the last ? or &
    good = check_name(known, at, length, e);
    at = strchr(at + length, '&');
  }
  PQconninfoFree(known);
  return good;
}

struct choice {
  const char *parameter, *values; // values: "one, two, three"
};
static const struct choice choices[] = {
    {"sslmode", "disable, allow, prefer, require, verify-ca, verify-full"},
    {"channel_binding", "disable, prefer, require"},
    {"gssencmode", "disable, prefer, require"},
    {"target_session_attrs", "any, read-write, read-only, primary, standby, prefer-standby"},
};
static const char *const numbers[] = {"connect_timeout",     "keepalives",       "keepalives_idle",
                                      "keepalives_interval", "keepalives_count", "tcp_user_timeout"};

static bool is_one_of(const char *values, const char *value) {
  size_t length = strlen(value);
  for (const char *at = values; (at = strstr(at, value)); at++)
    if ((at == values || at[-1] == ' ') && (at[length] == ',' || at[length] == '\0')) return true;
  return false;
}

static bool is_number(const char *text) {
  if (*text == '-') text++; // "no limit", for some
  return strspn(text, "0123456789") == strlen(text) && strlen(text) < 10;
}

// One port for all hosts, or one for each of them; an empty one is 5432.
static bool are_ports(const char *text) {
  char *list = memory_text(text), *rest = list, *one;
  bool good = true;
  while ((one = strsep(&rest, ","))) {
    long port = one[0] ? strtol(one, NULL, 10) : 5432;
    good = good && one[0] != '-' && is_number(one) && port >= 1 && port <= 65535;
  }
  free(list);
  return good;
}

// What libpq would find out only when it connects. An empty value is none to it.
static bool check_value(const char *name, const char *value, struct error *e) {
  char *why = NULL;
  for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
    if (strcmp(name, choices[i].parameter) == 0 && !is_one_of(choices[i].values, value))
      why = memory_print("its parameter `%s` is one of %s", name, choices[i].values);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (strcmp(name, numbers[i]) == 0 && !is_number(value)) why = memory_print("its parameter `%s` is a whole number", name);
  if (strcmp(name, "port") == 0 && !are_ports(value)) why = memory_text("its port is a number from 1 to 65535");
  if (!why) return true;
  refuse(e, why);
  free(why);
  return false;
}

// libpq repeats the part that it does not understand behind its words.
static void refuse_as_libpq(const char *problem, struct error *e) {
  const char *end = problem ? strstr(problem, ": \"") : NULL;
  char *words = end ? memory_text_n(problem, (size_t)(end - problem)) : memory_text("it is no URI");
  char *why = memory_print("%s; use postgresql://USER:PASSWORD@HOST:PORT/NAME, with %% in user or password written %%25", words);
  refuse(e, why);
  free(why);
  free(words);
}

PQconninfoOption *postgres_url_parse(const char *url, struct error *e) {
  char *problem = NULL;
  if (!check_login(url, e) || !check_names(url, e)) return NULL;
  PQconninfoOption *parsed = PQconninfoParse(url, &problem);
  if (!parsed) refuse_as_libpq(problem, e);
  PQfreemem(problem);
  for (const PQconninfoOption *o = parsed; o && o->keyword; o++) {
    if (!o->val || o->val[0] == '\0' || check_value(o->keyword, o->val, e)) continue;
    PQconninfoFree(parsed);
    return NULL;
  }
  return parsed;
}

bool postgres_url_check(const char *url, struct error *e) {
  PQconninfoOption *parsed = postgres_url_parse(url, e);
  PQconninfoFree(parsed);
  return parsed != NULL;
}
