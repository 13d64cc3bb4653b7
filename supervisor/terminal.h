// Texts of others on a terminal: names of files, what workers and targets say, what stands in dead letters. None of them may move the
// cursor or change what was printed before. Called by the verbs and tables that print for people; log lines (proto/log.c) escape by
// themselves.
#pragma once
#include <stddef.h>

#include "proto/buffer.h"

// The text with `?` for every character that does not belong on a terminal and every byte that is no UTF-8. What is longer than `most`
// bytes is cut between two characters, with `...` behind it.
void terminal_put(struct buffer *out, const char *text, size_t most);
// The whole text; owned by the caller.
char *terminal_text(const char *text);
