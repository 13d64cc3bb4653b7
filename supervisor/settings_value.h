// Texts of the pipeline file as typed values. Durations and times are read by proto/clock.h, as
// the workers read them. No function here knows a setting or a place; settings.c calls them and makes the messages.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool value_int(const char *text, int64_t *value);         // decimal digits with an optional sign; nothing else
bool value_is_whole(const char *text);                    // the same, also one that no 64 bits hold
bool value_bool(const char *text, bool *value);           // true, false
bool value_ratio(const char *text, double *value);        // 50%, 0.5
bool value_size(const char *text, int64_t *bytes);        // 4096, 64KiB, 10MB
bool value_choice(const char *text, const char *choices); // choices: "all|changed"
bool value_name(const char *text);                        // a letter, digit or _, then also - and .; at most 63
bool value_node_name(const char *text);                   // a letter or _, then also digits and -; at most 63
// "1h30m", "2MiB": the shortest way to write it, into `out`.
void value_duration_text(int64_t milliseconds, char out[32]);
void value_size_text(int64_t bytes, char out[32]);
// What was probably meant by a text that is none: "5 minutes" is 5m, "1.5GiB" is 1536MiB. False: nobody knows.
enum { VALUE_TEXT = 32 };
bool value_duration_near(const char *text, char out[VALUE_TEXT]);
bool value_size_near(const char *text, char out[VALUE_TEXT]);
