// Finds pieces of a JSON text: where a value ends, where a path leads. Only for texts that a parser has accepted: nothing is checked, but
// no byte behind `end` is read. Called by json.c, for the text of a record that was refused.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct msgpack_path;
struct json_parser;

// Behind white space.
const char *json_piece_begin(const char *at, const char *end);
// Behind the value that begins at `at`.
const char *json_piece_end(const char *at, const char *end);
// The first element of the array at `at` (its closing bracket when it is empty).
const char *json_piece_first(const char *at, const char *end);
// The element behind the one that begins at `at` (or the closing bracket).
const char *json_piece_next(const char *at, const char *end);
// Where the value begins that `path` (NULL: the document) names, as msgpack_path_start finds it in the document's msgpack: of a key that
// repeats the last value counts. NULL: absent. Keys with escapes are read by `keys`, whose last document is lost.
const char *json_piece_find(const char *at, const char *end, const struct msgpack_path *path, struct json_parser *keys);
