// Named character references of HTML, for unescape_html().
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The character that the name at `text` (behind the "&") stands for; *used is the number of bytes of the name, its ";" included. 0: none.
uint32_t html_entity_find(const char *text, size_t length, size_t *used);
