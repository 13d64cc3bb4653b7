// Walks the file's bytes of one value. See config_place.h for the idea.
#include "supervisor/config_place.h"

#include <string.h>

struct walk {
  const char *at, *end;
  int line, column;
};

static void step(struct walk *w) {
  bool line_ends = *w->at++ == '\n';
  if (line_ends) {
    w->line++;
    w->column = 1;
  } else if (w->at == w->end || (*w->at & 0xc0) != 0x80) {
    w->column++; // that was the last byte of a character
  }
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// To the first byte of line and column.
static struct walk walk_start(const struct config_source *source, int line, int column) {
  struct walk w = {.at = source->text, .end = source->text + source->length, .line = 1, .column = 1};
  while (w.at < w.end && (w.line < line || (w.line == line && w.column < column))) step(&w);
  return w;
}

static void skip_line(struct walk *w) {
  while (w->at < w->end && *w->at != '\n') step(w);
  if (w->at < w->end) step(w);
}

// Steps over one character as it is written in `style`; true when it stands for one that is no blank.
static bool step_character(struct walk *w, enum config_style style) {
  char c = *w->at;
  size_t bytes = 1;
  bool visible = !is_blank(c);
  size_t left = (size_t)(w->end - w->at);
  if (style == CONFIG_SINGLE && c == '\'' && left > 1 && w->at[1] == '\'') bytes = 2;
  if (style == CONFIG_DOUBLE && c == '\\' && left > 1) {
    char escape = w->at[1];
    bytes = escape == 'x' ? 4 : escape == 'u' ? 6 : escape == 'U' ? 10 : 2;
    visible = !is_blank(escape) && strchr("nrtN_LP", escape) == NULL;
  }
  while (bytes-- > 0 && w->at < w->end) step(w);
  while (w->at < w->end && (*w->at & 0xc0) == 0x80) step(w);
  return visible;
}

void config_place_written(const struct config_source *source, const struct config_node *node, size_t offset, int *line, int *column) {
  struct walk w = walk_start(source, node->line, node->column);
  if (node->style == CONFIG_BLOCK) skip_line(&w);
  if ((node->style == CONFIG_SINGLE || node->style == CONFIG_DOUBLE) && w.at < w.end) step(&w);
  size_t wanted = 0;
  for (size_t i = 0; i < offset && i < node->written_length; i++)
    wanted += !is_blank(node->written[i]) && (node->written[i] & 0xc0) != 0x80;
  while (w.at < w.end && wanted > 0) wanted -= step_character(&w, node->style);
  // The wanted character itself, when it is no blank: over the blanks before it (indentation, folding).
  if (offset < node->written_length && !is_blank(node->written[offset]))
    while (w.at < w.end && is_blank(*w.at)) step(&w);
  *line = w.line;
  *column = w.column;
}

void config_place_value(const struct config_source *source, const struct config_node *node, size_t offset, int *line, int *column) {
  size_t written = offset;
  for (size_t i = 0; i < node->span_count; i++) {
    const struct config_span *s = &node->spans[i];
    if (offset < s->value) break;
    // Inside what a ${...} gave: the ${...} itself.
    written = offset < s->value_end ? s->written : s->written_end + (offset - s->value_end);
  }
  config_place_written(source, node, written, line, column);
}
