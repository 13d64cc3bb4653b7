// What the files with rows of settings (settings_table.c, settings_lookups.c) share. Nobody else includes this.
#pragma once
#include "supervisor/settings.h"

#define ROWS(array) .settings = (array), .count = sizeof(array) / sizeof *(array)

// Ranges of durations are milliseconds, of sizes bytes.
enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
#define YEARS_10 ((int64_t)3650 * DAY)
#define KIB      ((int64_t)1 << 10)
#define MIB      ((int64_t)1 << 20)
#define GIB      ((int64_t)1 << 30)

// The setting `auth` of whatever asks over HTTP.
extern const struct setting_table settings_auth;
extern const struct setting_table settings_lookups, settings_lookup_http, settings_lookup_file, settings_lookup_sqlite,
    settings_lookup_postgres;
