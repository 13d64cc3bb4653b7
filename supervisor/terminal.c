// See terminal.h.
#include "supervisor/terminal.h"

#include <stdint.h>
#include <string.h>

#include "proto/utf8.h"

void terminal_put(struct buffer *out, const char *text, size_t most) {
  const uint8_t *at = (const uint8_t *)text, *end = at + strlen(text), *cut = (size_t)(end - at) > most ? at + most : end;
  while (at < cut) {
    size_t step = utf8_step(at, (size_t)(end - at));
    if (step > 0 && at + step > cut) break;
    if (step > 0 && !utf8_is_unfit(utf8_code(at, step)))
      buffer_add(out, at, step);
    else
      buffer_byte(out, '?');
    at += step > 0 ? step : 1;
  }
  if (at < end) buffer_text(out, "...");
}

char *terminal_text(const char *text) {
  struct buffer out = {0};
  terminal_put(&out, text, SIZE_MAX);
  buffer_cstring(&out);
  return (char *)out.at;
}
