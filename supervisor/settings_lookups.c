// The rows of lookups. Order is the order of docs/reference.md.
#include "supervisor/settings_tables.h"

static const struct setting lookup_rows[] = {
    {.name = "type", .type = SETTING_NAME, .flags = SETTING_REQUIRED, .help = "Kind of the lookup."},
    {.name = "when", .type = SETTING_TEXT, .flags = SETTING_EMPTY, .help = "Leaves the lookup out where this is empty."},
    {.name = "key",
     .type = SETTING_TEXTS,
     .flags = SETTING_REQUIRED,
     .help = "Column, or list of columns, by which rows are found: an index. It need not be unique, and is never null."},
    {.name = "columns",
     .type = SETTING_COLUMNS,
     .flags = SETTING_REQUIRED,
     .help =
         "Columns that SQL may read, with their types; a name is a field of a row, also a path. A value that does not fit makes the load "
         "fail."},
    {.name = "every",
     .type = SETTING_DURATION,
     .least = 100,
     .most = 366 * (int64_t)DAY,
     .otherwise = "1h",
     .help = "Time from the start of one load to the start of the next; after a failed one the next comes sooner."},
    {.name = "max_bytes",
     .type = SETTING_SIZE,
     .least = 64 * KIB,
     .most = 64 * GIB,
     .otherwise = "64MiB",
     .help = "Largest table; a larger one is a failed load, and the old one stays in use."},
    {.name = "required",
     .type = SETTING_BOOL,
     .otherwise = "true",
     .help = "Without any table yet: true: records wait until one could be loaded; false: they wait for the first try, and when that fails "
             "they find an empty table until one can be loaded."},
};

static const struct setting lookup_http_rows[] = {
    {.name = "url",
     .type = SETTING_URL,
     .flags = SETTING_REQUIRED | SETTING_FLOWS | SETTING_SECRET,
     .help = "Address that is asked: http:// or https://."},
    {.name = "records",
     .type = SETTING_FIELD,
     .flags = SETTING_FLOWS | SETTING_EMPTY,
     .otherwise = "",
     .help = "Where the rows are in the answer; empty: the answer is a list of rows. An absent path is a failed load."},
    {.name = "query", .type = SETTING_TEXT_MAP, .flags = SETTING_FLOWS, .help = "Query parameters of the request."},
    {.name = "method",
     .type = SETTING_CHOICE,
     .choices = "GET|POST|PUT",
     .otherwise = "GET",
     .flags = SETTING_FLOWS,
     .help = "Method of the request."},
    {.name = "body", .type = SETTING_TEXT, .flags = SETTING_FLOWS | SETTING_SECRET, .help = "Body of the request."},
    {.name = "headers", .type = SETTING_TEXT_MAP, .flags = SETTING_SECRET, .help = "Headers of the request."},
    {.name = "auth",
     .type = SETTING_GROUP,
     .group = &settings_auth,
     .flags = SETTING_SECRET,
     .help = "How weir identifies itself: basic or bearer."},
    {.name = "user_agent", .type = SETTING_TEXT, .help = "User-Agent header; without it weir and its version."},
    {.name = "timeout",
     .type = SETTING_DURATION,
     .least = 100,
     .most = HOUR,
     .otherwise = "30s",
     .help = "Time for the request, from connecting to the last byte."},
    {.name = "connect_timeout", .type = SETTING_DURATION, .least = 100, .most = HOUR, .otherwise = "10s", .help = "Time for connecting."},
    {.name = "max_body",
     .type = SETTING_SIZE,
     .least = KIB,
     .most = GIB,
     .otherwise = "64MiB",
     .help = "Largest answer, unpacked; a larger one is a failed load."},
    {.name = "tls_verify",
     .type = SETTING_CHOICE,
     .choices = "true|insecure",
     .otherwise = "true",
     .help = "Whether the server's certificate is verified; `insecure` switches that off."},
    {.name = "ca_file", .type = SETTING_PATH, .help = "Certificates to trust instead of the system's."},
};

static const struct setting lookup_file_rows[] = {
    {.name = "path", .type = SETTING_PATH, .flags = SETTING_REQUIRED | SETTING_FLOWS, .help = "The file; it is read anew at each load."},
    {.name = "format",
     .type = SETTING_CHOICE,
     .choices = "ndjson|json|msgpack",
     .otherwise = "ndjson",
     .flags = SETTING_FLOWS,
     .help = "ndjson: one JSON object a line; json: one document with rows in it; msgpack: maps one after the other."},
    {.name = "records",
     .type = SETTING_FIELD,
     .flags = SETTING_FLOWS | SETTING_EMPTY,
     .otherwise = "",
     .help = "With `format: json`: where the rows are; empty: the document is a list of rows."},
    {.name = "max_document",
     .type = SETTING_SIZE,
     .least = KIB,
     .most = GIB,
     .otherwise = "64MiB",
     .help = "With `format: json`: largest file, because it is parsed as a whole."},
};

static const struct setting lookup_sqlite_rows[] = {
    {.name = "url", .type = SETTING_URL, .flags = SETTING_REQUIRED | SETTING_FLOWS, .help = "Database: sqlite:PATH. It is only read."},
    {.name = "sql", .type = SETTING_SQL, .flags = SETTING_REQUIRED | SETTING_FLOWS, .help = "One SELECT, in the words of that database."},
};

static const struct setting lookup_postgres_rows[] = {
    {.name = "url",
     .type = SETTING_URL,
     .flags = SETTING_REQUIRED | SETTING_FLOWS | SETTING_SECRET,
     .help = "Database: postgresql://USER:PASSWORD@HOST:PORT/NAME, where @ and / in user or password are written %40 and %2F. The "
             "transaction is read only."},
    {.name = "sql", .type = SETTING_SQL, .flags = SETTING_REQUIRED | SETTING_FLOWS, .help = "One SELECT, in the words of that database."},
    {.name = "connect_timeout", .type = SETTING_DURATION, .least = 100, .most = HOUR, .otherwise = "10s", .help = "Time for connecting."},
    {.name = "statement_timeout",
     .type = SETTING_DURATION,
     .least = 100,
     .most = HOUR,
     .otherwise = "60s",
     .help = "Time for one statement: 1,000 rows are fetched by each."},
};

const struct setting_table settings_lookups = {
    .place = SETTINGS_LOOKUP,
    ROWS(lookup_rows),
    .help =
        "A table that SQL joins by its name, loaded anew on an interval and replaced as a whole. While a load fails the old table stays in "
        "use. A record that finds no row gets null where the SQL says LEFT JOIN, and gives no row where it says JOIN; neither is a dead "
        "letter."};
const struct setting_table settings_lookup_http = {
    .place = SETTINGS_LOOKUP,
    .kind = "http",
    ROWS(lookup_http_rows),
    .help = "An answer of an HTTP API.",
    .example = "categories:\n  type: http\n  url: https://eonet.gsfc.nasa.gov/api/v3/categories\n  records: categories\n  key: id\n"
               "  columns: {id: text, title: text, description: text}\n  every: 24h\n"};
const struct setting_table settings_lookup_file = {.place = SETTINGS_LOOKUP,
                                                   .kind = "file",
                                                   ROWS(lookup_file_rows),
                                                   .help = "A file.",
                                                   .example = "countries:\n  type: file\n  path: countries.ndjson\n  key: code\n"
                                                              "  columns: {code: text, name: text, area: double}\n"};
const struct setting_table settings_lookup_sqlite = {
    .place = SETTINGS_LOOKUP,
    .kind = "sqlite",
    ROWS(lookup_sqlite_rows),
    .help = "Rows of a SQLite database.",
    .example = "people:\n  type: sqlite\n  url: sqlite:people.db\n  sql: SELECT code, name FROM people\n  key: code\n"
               "  columns: {code: text, name: text}\n"};
const struct setting_table settings_lookup_postgres = {.place = SETTINGS_LOOKUP,
                                                       .kind = "postgres",
                                                       ROWS(lookup_postgres_rows),
                                                       .help = "Rows of a PostgreSQL database.",
                                                       .example =
                                                           "customers:\n  type: postgres\n  url: postgresql://weir@localhost/shop\n  "
                                                           "sql: SELECT id, name FROM customers WHERE active\n  key: id\n"
                                                           "  columns: {id: bigint, name: text}\n  every: 5m\n"};
