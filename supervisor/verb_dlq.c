// `weir dlq`: the dead letters of a pipeline, wherever its sinks keep them.
//
// NAME          dlq_verb - list, show, export, retry, drop
// DESCRIPTION   The sinks' stores are asked one after the other. A letter's id is the same whenever it dies again; its beginning is enough.
// DIAGNOSTICS   As verb_stores.h; `show` of an unknown id is exit 1; --node with a name that neither the file nor a letter has is exit 2.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/dead_message.h"
#include "proto/msgpack.h"
#include "proto/utf8.h"
#include "supervisor/json_text.h"
#include "supervisor/terminal.h"
#include "supervisor/verb_retry.h"
#include "supervisor/verb_stores.h"

enum { LIMIT_DEFAULT = 1000, NODE_MOST = 24, CODE_MOST = 16, PARTITION_MOST = 200, SHOWN_MOST = 60 };

enum form { FORM_TABLE, FORM_JSON, FORM_LINES, FORM_WHOLE };

struct listing {
  struct store_filter filter;
  enum form form;
  struct json_text json;
  struct buffer out;
  uint64_t count;
};

// ---- one letter

// The original: as JSON where it is a record, as text where it is text, else as hexadecimal digits.
static void put_data(struct json_text *j, const struct store_letter *l) {
  struct buffer text = {0};
  const uint8_t *at = l->data;
  bool packed = strcmp(l->format, "msgpack") == 0 || strcmp(l->format, "tombstone") == 0;
  bool record = packed && !l->cut && msgpack_valid(l->data, l->data + l->length);
  if (record && msgpack_to_json(&at, l->data + l->length, &text))
    json_text_raw(j, "record", buffer_cstring(&text));
  else if (!memchr(l->data, 0, l->length) && utf8_check(l->data, l->length) == l->length) {
    buffer_add(&text, l->data, l->length);
    json_text_string(j, "data", buffer_cstring(&text));
  } else {
    for (size_t i = 0; i < l->length; i++) buffer_print(&text, "%02x", l->data[i]);
    json_text_string(j, "data_hex", buffer_cstring(&text));
  }
  buffer_free(&text);
}

static void put_origin(struct json_text *j, const struct store_letter *l) {
  json_text_open(j, "origin", '{');
  json_text_string(j, "source", l->source);
  json_text_string(j, "partition", l->partition);
  json_text_int(j, "position", l->position);
  json_text_int(j, "part", l->part);
  json_text_close(j, '}');
}

// Key and headers of what was a message. A database may hold anything, and only JSON may go out as it is.
static void put_message(struct json_text *j, const struct store_letter *l) {
  struct dead_message m;
  if (!*l->message) return;
  if (dead_message_read(&m, l->message, strlen(l->message)) && !strchr(l->message, '\n'))
    json_text_raw(j, "message", l->message);
  else
    json_text_string(j, "message", l->message);
  dead_message_free(&m);
}

static void put_letter(struct json_text *j, const struct store_letter *l, bool whole) {
  json_text_open(j, NULL, '{');
  json_text_string(j, "id", l->id);
  json_text_string(j, "node", l->node);
  json_text_string(j, "reason", l->reason);
  json_text_string(j, "code", l->code);
  put_origin(j, l);
  json_text_string(j, "first", l->first);
  json_text_string(j, "last", l->last);
  json_text_string(j, "sink", l->sink);
  if (*l->column) json_text_string(j, "column", l->column);
  if (*l->constraint) json_text_string(j, "constraint", l->constraint);
  if (whole) {
    json_text_string(j, "format", l->format);
    json_text_bool(j, "cut", l->cut);
    put_message(j, l);
    put_data(j, l);
  }
  json_text_close(j, '}');
}

static void put_row(struct buffer *out, const struct store_letter *l) {
  buffer_print(out, "%.12s  ", l->id);
  terminal_put(out, l->node, NODE_MOST);
  buffer_text(out, "  ");
  terminal_put(out, *l->code ? l->code : "-", CODE_MOST);
  buffer_text(out, "  ");
  terminal_put(out, l->source, SHOWN_MOST);
  buffer_byte(out, ':');
  terminal_put(out, l->partition, PARTITION_MOST);
  buffer_print(out, "@%" PRId64 ".%" PRId64 "  %s  ", l->position, l->part, l->last);
  terminal_put(out, l->reason, SHOWN_MOST);
  buffer_byte(out, '\n');
}

static bool tell_letter(void *context, const struct store_letter *l) {
  struct listing *listing = context;
  listing->count++;
  switch (listing->form) {
  case FORM_TABLE: put_row(&listing->out, l); break;
  case FORM_JSON: put_letter(&listing->json, l, false); break;
  case FORM_LINES:
  case FORM_WHOLE:
    listing->json.has_before = false;
    put_letter(&listing->json, l, true);
    buffer_byte(&listing->out, '\n');
    break;
  }
  // What is ready goes out: an export may be larger than memory.
  if (listing->form != FORM_JSON && listing->out.length > 1 << 16) {
    fwrite(listing->out.at, 1, listing->out.length, stdout);
    buffer_clear(&listing->out);
  }
  if (ferror(stdout)) return false; // nobody takes it any more
  return listing->filter.limit == 0 || (int64_t)listing->count < listing->filter.limit;
}

// ---- sub-verbs

static bool list_store(void *context, const struct plan *plan, const struct plan_node *sink, struct store *store, struct error *e) {
  struct listing *listing = context;
  (void)plan, (void)sink;
  if (listing->filter.limit > 0 && (int64_t)listing->count >= listing->filter.limit) return true;
  bool data = listing->form == FORM_LINES || listing->form == FORM_WHOLE;
  return store_letters(store, &listing->filter, data, tell_letter, listing, e);
}

static int list(const struct plan *plan, struct listing *listing) {
  listing->json = (struct json_text){.out = &listing->out, .pretty = listing->form == FORM_WHOLE || listing->form == FORM_JSON};
  if (listing->form == FORM_JSON) json_text_open(&listing->json, NULL, '[');
  int code = stores_each(plan, NULL, list_store, listing);
  if (listing->form == FORM_JSON) {
    json_text_close(&listing->json, ']');
    buffer_byte(&listing->out, '\n');
  }
  bool printed = fwrite(listing->out.at ? listing->out.at : (const uint8_t *)"", 1, listing->out.length, stdout) == listing->out.length;
  buffer_free(&listing->out);
  if (listing->form == FORM_TABLE && code == VERB_OK)
    fprintf(stderr, "%" PRIu64 " dead letter%s%s\n", listing->count, listing->count == 1 ? "" : "s",
            listing->filter.limit > 0 && (int64_t)listing->count >= listing->filter.limit ? ", there may be more (--limit)" : "");
  return printed && fflush(stdout) == 0 && !ferror(stdout) ? code : VERB_FAILED;
}

static bool drop_store(void *context, const struct plan *plan, const struct plan_node *sink, struct store *store, struct error *e) {
  struct listing *listing = context;
  struct store_filter left = listing->filter;
  uint64_t dropped = 0;
  (void)plan, (void)sink;
  // The limit is for all stores together.
  if (left.limit > 0 && (left.limit -= (int64_t)listing->count) <= 0) return true;
  if (!store_drop(store, &left, &dropped, e)) return false;
  listing->count += dropped;
  return true;
}

static int drop(const struct plan *plan, struct listing *listing, bool yes) {
  if (!yes && !confirm("Dead letters that are dropped are gone.")) return VERB_USAGE;
  int code = stores_each(plan, NULL, drop_store, listing);
  if (listing->form == FORM_JSON)
    printf("{\"dropped\": %" PRIu64 "}\n", listing->count);
  else
    printf("%" PRIu64 " dead letter%s dropped\n", listing->count, listing->count == 1 ? "" : "s");
  return code;
}

// ---- the command line

struct said {
  const char *since, *limit;
  bool all, yes;
};

// "2025-11-08", or how long ago: "2h".
static bool read_since(const char *text, char out[CLOCK_TEXT]) {
  int64_t micros, millis;
  if (clock_duration(text, strlen(text), &millis))
    micros = clock_micros() - millis * 1000;
  else if (!clock_parse(text, strlen(text), &micros)) {
    fprintf(stderr, "weir dlq: --since is a time (2025-11-08T12:00:00Z) or how long ago (2h), not \"%.64s\"\n", text);
    return false;
  }
  clock_print(micros, out);
  return true;
}

static bool read_limit(const char *text, int64_t *limit) {
  char *stop;
  *limit = strtoll(text, &stop, 10);
  if (*text && *stop == '\0' && *limit > 0) return true;
  fprintf(stderr, "weir dlq: --limit is a number from 1, not \"%.64s\"\n", text);
  return false;
}

static int act(const struct plan *plan, const char *sub, struct listing *listing, const struct said *words) {
  stores_tell_of_topics(plan);
  if (strcmp(sub, "list") == 0) {
    if (listing->filter.limit == 0) listing->filter.limit = LIMIT_DEFAULT;
    return list(plan, listing);
  }
  if (strcmp(sub, "export") == 0) {
    listing->form = FORM_LINES;
    return list(plan, listing);
  }
  if (strcmp(sub, "show") == 0) {
    if (!listing->filter.id) {
      fprintf(stderr, "weir dlq show: which one? Give its id, or the beginning of it\n");
      return VERB_USAGE;
    }
    listing->form = FORM_WHOLE;
    int code = list(plan, listing);
    if (code == VERB_OK && listing->count == 0) fprintf(stderr, "weir dlq show: there is no dead letter %.64s\n", listing->filter.id);
    return code == VERB_OK && listing->count == 0 ? VERB_FAILED : code;
  }
  if (strcmp(sub, "retry") == 0) return retry_verb(plan, &listing->filter, listing->form == FORM_JSON);
  const struct store_filter *f = &listing->filter;
  if (!words->all && !f->id && !f->node && !f->code && !f->since) {
    fprintf(stderr, "weir dlq %s: which ones? Give an id, --node, --code, --since, or --all\n", sub);
    return VERB_USAGE;
  }
  return drop(plan, listing, words->yes);
}

// ---- a node that there is not

static bool tell_any(void *context, const struct store_letter *l) {
  (void)l;
  *(bool *)context = true;
  return false;
}

static bool store_has_any(void *context, const struct plan *plan, const struct plan_node *sink, struct store *store, struct error *e) {
  struct listing *listing = context;
  struct store_filter one = {.node = listing->filter.node, .limit = 1};
  bool any = false;
  (void)plan, (void)sink;
  if (!store_letters(store, &one, false, tell_any, &any, e)) return false;
  listing->count += any;
  return true;
}

static bool may_have_letters(const struct plan_node *node) {
  return node->section != PLAN_LOOKUP && !node->copies;
}

static void tell_nodes(const struct plan *plan, const char *name) {
  const char *comma = " ";
  fprintf(stderr, "weir: the pipeline %s has no node \"%.200s\"; its nodes are", plan->pipeline, name);
  for (size_t i = 0; i < plan->node_count; i++) {
    if (!may_have_letters(&plan->nodes[i])) continue;
    fprintf(stderr, "%s%s", comma, plan->nodes[i].name);
    comma = ", ";
  }
  fputc('\n', stderr);
}

// A node that is gone from the file may have left letters behind: only one without any is a slip of the pen.
static int check_node(const struct plan *plan, const char *name) {
  for (size_t i = 0; i < plan->node_count; i++)
    if (may_have_letters(&plan->nodes[i]) && strcmp(plan->nodes[i].name, name) == 0) return VERB_OK;
  struct listing any = {.filter = {.node = name}};
  int code = stores_each(plan, NULL, store_has_any, &any);
  if (code != VERB_OK || any.count > 0) return code;
  tell_nodes(plan, name);
  return VERB_USAGE;
}

static bool is_sub_verb(const char *word) {
  static const char *const subs[] = {"list", "show", "export", "retry", "drop"};
  for (size_t i = 0; i < sizeof subs / sizeof *subs; i++)
    if (strcmp(subs[i], word) == 0) return true;
  fprintf(stderr, "weir dlq: \"%.64s\" is none of list, show, export, retry, drop\n", word);
  return false;
}

int dlq_verb(const struct plan *plan, int argc, char **argv, bool json) {
  struct listing listing = {.form = json ? FORM_JSON : FORM_TABLE};
  struct said words = {0};
  char since[CLOCK_TEXT];
  const struct word_option options[] = {{"node", &listing.filter.node, NULL},
                                        {"code", &listing.filter.code, NULL},
                                        {"since", &words.since, NULL},
                                        {"limit", &words.limit, NULL},
                                        {"all", NULL, &words.all},
                                        {"yes", NULL, &words.yes},
                                        {0}};
  int count;
  if (argc < 1 || !is_sub_verb(argv[0])) return VERB_USAGE;
  if (!words_parse("dlq", argc - 1, argv + 1, options, &listing.filter.id, 1, &count)) return VERB_USAGE;
  if (words.since && !read_since(words.since, since)) return VERB_USAGE;
  if (words.since) listing.filter.since = since;
  if (words.limit && !read_limit(words.limit, &listing.filter.limit)) return VERB_USAGE;
  int code = listing.filter.node ? check_node(plan, listing.filter.node) : VERB_OK;
  return code == VERB_OK ? act(plan, argv[0], &listing, &words) : code;
}
