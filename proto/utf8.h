// UTF-8 as RFC 3629 has it: no overlong form, no surrogate, nothing above U+10FFFF.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Offset of the first byte that does not begin or continue a character rightly (of the character's first byte); `length` when all is well.
size_t utf8_check(const uint8_t *text, size_t length);
// Puts '?' in place of each byte that is none of a character.
void utf8_mend(uint8_t *text, size_t length);
// Bytes of the character at `text` (1..4), 0 when it is broken or cut off.
size_t utf8_step(const uint8_t *text, size_t length);
// The code point of the character at `at`, which has `step` bytes (1..4).
uint32_t utf8_code(const uint8_t *at, size_t step);
// Control characters of both sets, line and paragraph separators, and the marks that turn the direction of text: what could change how the
// text around it looks.
bool utf8_is_unfit(uint32_t code);
