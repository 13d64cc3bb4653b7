// Dead letters in the log: counted by kind, told at intervals.
#include "workers/sinks/letter_log.h"

#include <stdio.h>
#include <string.h>

#include "proto/log.h"

// A text of a letter, which has a length and no end.
struct piece {
  const char *text;
  size_t length;
};

static struct piece piece_of(const char *text) {
  return (struct piece){text ? text : "", text ? strlen(text) : 0};
}

static void put(char *to, struct piece from) {
  size_t length = from.length < LETTER_LOG_TEXT ? from.length : LETTER_LOG_TEXT - 1;
  memcpy(to, from.text, length);
  to[length] = '\0';
}

static bool same(const char *have, struct piece piece) {
  char cut[LETTER_LOG_TEXT];
  put(cut, piece);
  return strcmp(have, cut) == 0;
}

// What tells one kind of death from another.
struct death {
  struct piece node, code, column, constraint, check;
};

// The reason of a check is its name, and behind a colon what SQLite says, which may quote.
static struct piece check_name(struct piece code, struct piece reason) {
  if (code.length != strlen("check") || memcmp(code.text, "check", code.length) != 0) return piece_of("");
  const char *colon = memchr(reason.text, ':', reason.length);
  return (struct piece){reason.text, colon ? (size_t)(colon - reason.text) : reason.length};
}

static bool death_of(const char *sink, const struct batch *b, const struct batch_row *row, struct death *d) {
  if (row->state == ROW_DEAD && !row->is_letter) {
    const struct batch_letter *l = &b->letters[row->letter];
    *d = (struct death){piece_of(sink), piece_of(l->code), piece_of(l->column), piece_of(l->constraint), piece_of("")};
    return true;
  }
  if (!row->is_letter || row->state != ROW_LIVE) return false;
  struct dead_letter l;
  if (!dead_read(row->body, row->end, &l)) {
    *d = (struct death){piece_of(sink), piece_of("msgpack"), piece_of(""), piece_of(""), piece_of("")};
    return true;
  }
  struct piece code = {l.code, l.code_length}, reason = {l.reason, l.reason_length};
  *d = (struct death){
      {l.node, l.node_length}, code, {l.column, l.column_length}, {l.constraint, l.constraint_length}, check_name(code, reason)};
  return true;
}

static struct letter_kind *kind_of(struct letter_log *log, const struct death *d) {
  for (unsigned i = 0; i < log->used; i++) {
    struct letter_kind *k = &log->kinds[i];
    if (same(k->node, d->node) && same(k->code, d->code) && same(k->column, d->column) && same(k->constraint, d->constraint) &&
        same(k->check, d->check))
      return k;
  }
  if (log->used == LETTER_LOG_KINDS) return NULL;
  struct letter_kind *k = &log->kinds[log->used++];
  *k = (struct letter_kind){0};
  put(k->node, d->node);
  put(k->code, d->code);
  put(k->column, d->column);
  put(k->constraint, d->constraint);
  put(k->check, d->check);
  return k;
}

void letter_log_batch(struct letter_log *log, const char *sink, const struct batch *b, const struct target_streams *streams) {
  for (size_t i = 0; i < b->count; i++) {
    const struct batch_row *row = &b->rows[i];
    struct death d;
    if (!death_of(sink, b, row, &d)) continue;
    struct letter_kind *k = kind_of(log, &d);
    if (!k) {
      log->others++;
      continue;
    }
    if (k->count++ > 0) continue;
    const struct stream *stream = streams->at[row->stream].stream;
    put(k->source, piece_of(stream->source));
    put(k->partition, piece_of(stream->partition));
    k->position = row->position;
  }
}

static bool is_due(uint64_t told_ns, uint64_t now_ns) {
  return told_ns == 0 || now_ns - told_ns >= LETTER_LOG_SECONDS * UINT64_C(1000000000);
}

static void not_empty(struct log_line *l, const char *key, const char *value) {
  log_text(l, key, value[0] ? value : NULL);
}

static void tell(const struct letter_log *log, const struct letter_kind *k) {
  struct log_line l;
  log_begin(&l, LOG_LEVEL_WARN, "dead letters");
  log_uint(&l, "count", k->count);
  log_text(&l, "node", k->node);
  log_text(&l, "code", k->code);
  not_empty(&l, "check", k->check);
  not_empty(&l, "column", k->column);
  not_empty(&l, "constraint", k->constraint);
  log_text(&l, "source", k->source);
  not_empty(&l, "partition", k->partition);
  log_uint(&l, "first", k->position);
  log_text(&l, "topic", log->topic);
  log_text(&l, "next",
           log->topic ? "written to that topic, with the reasons; the others go on"
                      : "stored, the others go on; weir dlq list tells the reasons");
  log_end(&l);
}

void letter_log_tell(struct letter_log *log, uint64_t now_ns, bool all) {
  for (unsigned i = 0; i < log->used; i++) {
    struct letter_kind *k = &log->kinds[i];
    if (k->count == 0 || (!all && !is_due(k->told_ns, now_ns))) continue;
    tell(log, k);
    k->count = 0;
    k->told_ns = now_ns;
  }
  if (log->others == 0 || (!all && !is_due(log->others_told_ns, now_ns))) return;
  struct log_line l;
  log_begin(&l, LOG_LEVEL_WARN, "dead letters of further kinds");
  log_uint(&l, "count", log->others);
  log_end(&l);
  log->others = 0;
  log->others_told_ns = now_ns;
}
