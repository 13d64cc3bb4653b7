// The rows. Order is the order of docs/reference.md. Ranges of durations are milliseconds, of sizes bytes.
#include "supervisor/settings.h"

#include "proto/limits.h"

#define ROWS(array) .settings = (array), .count = sizeof(array) / sizeof *(array)

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
#define YEARS_10   ((int64_t)3650 * DAY)
#define KIB        ((int64_t)1 << 10)
#define MIB        ((int64_t)1 << 20)
#define GIB        ((int64_t)1 << 30)
#define RING_LEAST (64 * KIB)

static const struct setting kafka_rows[] = {
    {.name = "brokers",
     .type = SETTING_TEXT,
     .flags = SETTING_EMPTY,
     .otherwise = "",
     .help = "Brokers as host:port, separated by commas; empty: no Kafka, topics hand records on."},
};
static const struct setting_table kafka_group = {.place = SETTINGS_GROUP, ROWS(kafka_rows)};

static const struct setting dead_rows[] = {
    {.name = "topic", .type = SETTING_TEXT, .help = "Kafka topic that gets a copy of every dead letter; without brokers no copy is made."},
    {.name = "stop_above",
     .type = SETTING_RATIO,
     .flags = SETTING_LIVE,
     .otherwise = "50%",
     .help = "A node stops when more than this share of its last 1,000 records became dead letters."},
    {.name = "max_bytes",
     .type = SETTING_SIZE,
     .least = MIB,
     .most = 1024 * GIB,
     .otherwise = "1GiB",
     .help = "Size of the dead-letter store; a full one pushes back, it never drops."},
};
static const struct setting_table dead_group = {.place = SETTINGS_GROUP, ROWS(dead_rows)};

static const struct setting top_rows[] = {
    {.name = "weir", .type = SETTING_CHOICE, .otherwise = "1", .choices = "1", .help = "Version of this language."},
    {.name = "pipeline",
     .type = SETTING_NAME,
     .help = "Name under which positions are kept; without it the name of the file. A pipeline that is renamed starts anew."},
    {.name = "sources", .type = SETTING_SECTION, .flags = SETTING_REQUIRED, .help = "Where records come from, by name."},
    {.name = "transforms", .type = SETTING_SECTION, .help = "SQL over streams, by name."},
    {.name = "topics", .type = SETTING_SECTION, .help = "Kafka topics, by name."},
    {.name = "lookups", .type = SETTING_SECTION, .help = "Tables that SQL may join, by name. Not available yet."},
    {.name = "sinks", .type = SETTING_SECTION, .flags = SETTING_REQUIRED, .help = "Where records go, by name."},
    {.name = "kafka", .type = SETTING_GROUP, .flags = SETTING_FILLED, .group = &kafka_group, .help = "The Kafka cluster of all topics."},
    {.name = "dead_letters",
     .type = SETTING_GROUP,
     .flags = SETTING_FILLED,
     .group = &dead_group,
     .help = "What happens to records that fail."},
    {.name = "ring",
     .type = SETTING_RING,
     .least = RING_LEAST,
     .most = GIB,
     .help = "Size of each ring between two workers; without it 2MiB, and 8MiB before a sink that appends to PostgreSQL."},
    {.name = "drain_timeout",
     .type = SETTING_DURATION,
     .least = 0,
     .most = HOUR,
     .otherwise = "30s",
     .flags = SETTING_LIVE,
     .help = "How long a stop waits for the rings to drain before it ends the workers; nothing is lost, the rest comes again."},
};

static const struct setting source_rows[] = {
    {.name = "type", .type = SETTING_NAME, .flags = SETTING_REQUIRED, .help = "Kind of the source."},
    {.name = "when", .type = SETTING_TEXT, .flags = SETTING_EMPTY, .help = "Leaves the source out where this is empty, as in ${NAME:-}."},
    {.name = "lanes",
     .type = SETTING_LANES,
     .least = 1,
     .most = LIMIT_LANES,
     .otherwise = "auto",
     .help = "Copies of the chain behind this source; auto: one per core, at most one per partition."},
    {.name = "ring", .type = SETTING_RING, .least = RING_LEAST, .most = GIB, .help = "Size of the ring behind this source."},
};

static const struct setting transform_rows[] = {
    {.name = "type", .type = SETTING_NAME, .otherwise = "sql", .help = "Kind of the transform."},
    {.name = "when", .type = SETTING_TEXT, .flags = SETTING_EMPTY, .help = "Leaves the transform out where this is empty."},
    {.name = "ring", .type = SETTING_RING, .least = RING_LEAST, .most = GIB, .help = "Size of the ring behind this transform."},
};

static const struct setting sink_rows[] = {
    {.name = "type", .type = SETTING_NAME, .flags = SETTING_REQUIRED, .help = "Kind of the sink."},
    {.name = "from", .type = SETTING_NODES, .flags = SETTING_REQUIRED, .help = "Node, or list of nodes, that the sink reads."},
    {.name = "when", .type = SETTING_TEXT, .flags = SETTING_EMPTY, .help = "Leaves the sink out where this is empty."},
};

static const struct setting create_rows[] = {
    {.name = "partitions", .type = SETTING_INT, .least = 1, .most = 100000, .help = "Partitions of a topic that weir creates."},
    {.name = "replication", .type = SETTING_INT, .least = 1, .most = 100, .help = "Replicas of a topic that weir creates."},
    {.name = "config", .type = SETTING_TEXT_MAP, .help = "Further settings of a topic that weir creates."},
};
static const struct setting_table create_group = {.place = SETTINGS_GROUP, ROWS(create_rows)};

static const struct setting topic_rows[] = {
    {.name = "from", .type = SETTING_NODES, .help = "Node, or list of nodes, whose records are written to the topic."},
    {.name = "when", .type = SETTING_TEXT, .flags = SETTING_EMPTY, .help = "Leaves the topic out where this is empty."},
    {.name = "topic", .type = SETTING_TEXT, .help = "Name at the brokers; without it the name here."},
    {.name = "key", .type = SETTING_FIELD, .help = "Field that becomes the message's key."},
    {.name = "format", .type = SETTING_CHOICE, .choices = "json|msgpack", .help = "How records are written and read."},
    {.name = "group", .type = SETTING_TEXT, .help = "Consumer group."},
    {.name = "start", .type = SETTING_START, .help = "Where reading begins without a stored position."},
    {.name = "assign", .type = SETTING_CHOICE, .choices = "static|group", .help = "Who deals out the partitions."},
    {.name = "create", .type = SETTING_GROUP, .group = &create_group, .help = "How an absent topic is created."},
};

static const struct setting auth_rows[] = {
    {.name = "basic", .type = SETTING_TEXT, .flags = SETTING_SECRET | SETTING_ONE_OF, .help = "user:password, best from ${file:PATH}."},
    {.name = "bearer", .type = SETTING_TEXT, .flags = SETTING_SECRET | SETTING_ONE_OF, .help = "Token, best from ${file:PATH}."},
};
static const struct setting_table auth_group = {.place = SETTINGS_GROUP, ROWS(auth_rows)};

static const struct setting pagination_rows[] = {
    {.name = "next",
     .type = SETTING_FIELD,
     .flags = SETTING_ONE_OF,
     .help = "Field of the answer that holds the address of the next page."},
    {.name = "page", .type = SETTING_TEXT, .flags = SETTING_ONE_OF, .help = "Query parameter that takes the number of the page."},
    {.name = "start", .type = SETTING_INT, .least = 0, .most = 1000000, .otherwise = "1", .help = "Number of the first page."},
    {.name = "size",
     .type = SETTING_INT,
     .least = 1,
     .most = 1000000,
     .help = "Records of a full page: a shorter one is the last. Without it an empty page ends the poll."},
    {.name = "cursor",
     .type = SETTING_FIELD,
     .flags = SETTING_ONE_OF,
     .help = "Field of the answer that holds the cursor of the next page."},
    {.name = "param", .type = SETTING_TEXT, .otherwise = "cursor", .help = "Query parameter that takes the cursor."},
    {.name = "most",
     .type = SETTING_INT,
     .least = 1,
     .most = 1000000,
     .otherwise = "1000",
     .help = "Pages of one poll; more are a failed poll, since a server may answer in circles."},
};
static const struct setting_table pagination_group = {.place = SETTINGS_GROUP, ROWS(pagination_rows)};

static const struct setting http_rows[] = {
    {.name = "url",
     .type = SETTING_URL,
     .flags = SETTING_REQUIRED | SETTING_FLOWS | SETTING_SECRET,
     .help = "Address that is polled: http:// or https://."},
    {.name = "every",
     .type = SETTING_DURATION,
     .least = 100,
     .most = 366 * (int64_t)DAY,
     .otherwise = "5m",
     .flags = SETTING_LIVE,
     .help = "Time from the start of one poll to the start of the next."},
    {.name = "records",
     .type = SETTING_FIELD,
     .flags = SETTING_FLOWS | SETTING_EMPTY,
     .otherwise = "",
     .help =
         "Where the records are in the answer; empty: the answer is a list of records, or one record. An absent path is a failed poll."},
    {.name = "key", .type = SETTING_FIELD, .flags = SETTING_FLOWS, .help = "Field that identifies a record; needed by `emit: changed`."},
    {.name = "emit",
     .type = SETTING_CHOICE,
     .choices = "all|changed",
     .otherwise = "all",
     .flags = SETTING_FLOWS,
     .help = "all: every record of every poll; changed: only records that are new or differ from the last one with their key."},
    {.name = "requests",
     .type = SETTING_MAPS,
     .flags = SETTING_FLOWS,
     .help = "Query parameters of several requests; one poll is all of them."},
    {.name = "query", .type = SETTING_TEXT_MAP, .flags = SETTING_FLOWS, .help = "Query parameters of every request."},
    {.name = "method",
     .type = SETTING_CHOICE,
     .choices = "GET|POST|PUT",
     .otherwise = "GET",
     .flags = SETTING_FLOWS,
     .help = "Method of the requests."},
    {.name = "body", .type = SETTING_TEXT, .flags = SETTING_FLOWS | SETTING_SECRET, .help = "Body of the requests."},
    {.name = "headers", .type = SETTING_TEXT_MAP, .flags = SETTING_SECRET, .help = "Headers of the requests."},
    {.name = "auth",
     .type = SETTING_GROUP,
     .group = &auth_group,
     .flags = SETTING_SECRET,
     .help = "How weir identifies itself: basic or bearer."},
    {.name = "user_agent", .type = SETTING_TEXT, .help = "User-Agent header; without it weir and its version."},
    {.name = "pagination",
     .type = SETTING_GROUP,
     .group = &pagination_group,
     .help = "How an answer of several pages is read: next, page or cursor."},
    {.name = "timeout",
     .type = SETTING_DURATION,
     .least = 100,
     .most = HOUR,
     .otherwise = "30s",
     .help = "Time for one request, from connecting to the last byte."},
    {.name = "connect_timeout", .type = SETTING_DURATION, .least = 100, .most = HOUR, .otherwise = "10s", .help = "Time for connecting."},
    {.name = "retries",
     .type = SETTING_INT,
     .least = 0,
     .most = 100,
     .otherwise = "3",
     .help = "Further tries of a failed request before the poll has failed."},
    {.name = "max_body",
     .type = SETTING_SIZE,
     .least = KIB,
     .most = GIB,
     .otherwise = "64MiB",
     .help = "Largest answer, unpacked; a larger one is a failed poll."},
    {.name = "tls_verify",
     .type = SETTING_CHOICE,
     .choices = "true|insecure",
     .otherwise = "true",
     .help = "Whether the server's certificate is verified; `insecure` switches that off."},
    {.name = "ca_file", .type = SETTING_PATH, .help = "Certificates to trust instead of the system's."},
    {.name = "keep",
     .type = SETTING_DURATION,
     .least = 0,
     .most = YEARS_10,
     .otherwise = "24h",
     .help = "How long records stay in the journal after every sink has them."},
    {.name = "forget",
     .type = SETTING_DURATION,
     .least = HOUR,
     .most = YEARS_10,
     .otherwise = "90d",
     .help = "With `emit: changed`: a key that was not seen for this long counts as new again."},
    {.name = "start", .type = SETTING_START, .otherwise = "earliest", .help = "Where a sink without a position begins in the journal."},
};

static const struct setting file_source_rows[] = {
    {.name = "path",
     .type = SETTING_TEXTS,
     .flags = SETTING_REQUIRED | SETTING_FLOWS,
     .help = "Path, pattern (`data/*.ndjson`) or list of them; each file is a partition. `-` is standard input."},
    {.name = "format",
     .type = SETTING_CHOICE,
     .choices = "ndjson|json|msgpack",
     .otherwise = "ndjson",
     .flags = SETTING_FLOWS,
     .help = "ndjson: one JSON document a line; json: one document with records in it; msgpack: values one after the other."},
    {.name = "records",
     .type = SETTING_FIELD,
     .flags = SETTING_FLOWS | SETTING_EMPTY,
     .otherwise = "",
     .help = "With `format: json`: where the records are; empty: the document is a list of records, or one record."},
    {.name = "follow", .type = SETTING_BOOL, .otherwise = "false", .help = "Wait for what is appended, and for new files that match."},
    {.name = "start", .type = SETTING_START, .otherwise = "earliest", .help = "Where a sink without a position begins."},
    {.name = "poll",
     .type = SETTING_DURATION,
     .least = 1,
     .most = HOUR,
     .otherwise = "200ms",
     .flags = SETTING_LIVE,
     .help = "With `follow`: time between two looks at the files."},
    {.name = "max_record",
     .type = SETTING_SIZE,
     .least = KIB,
     .most = LIMIT_RECORD,
     .otherwise = "16MiB",
     .help = "Longest line or value; a longer one becomes a dead letter."},
};

static const struct setting generate_rows[] = {
    {.name = "sql",
     .type = SETTING_SQL,
     .flags = SETTING_REQUIRED | SETTING_FLOWS,
     .help = "SELECT over `n` (number of the row in its partition, from 1), `partition` and `seed`, without FROM: SELECT n AS id, "
             "hash(n, seed) AS r. The same n gives the same row, so random() is refused."},
    {.name = "count", .type = SETTING_INT, .least = 0, .most = INT64_MAX, .otherwise = "0", .help = "Rows of each partition; 0: endless."},
    {.name = "rate",
     .type = SETTING_INT,
     .least = 0,
     .most = 1000000000,
     .otherwise = "0",
     .help = "Rows a second over all partitions; 0: as fast as they can be taken."},
    {.name = "seed",
     .type = SETTING_INT,
     .least = INT64_MIN,
     .most = INT64_MAX,
     .otherwise = "1",
     .flags = SETTING_FLOWS,
     .help = "The same seed gives the same rows."},
    {.name = "partitions",
     .type = SETTING_INT,
     .least = 1,
     .most = LIMIT_STREAMS,
     .otherwise = "1",
     .flags = SETTING_FLOWS,
     .help = "Number of streams."},
};

static const struct setting sql_rows[] = {
    {.name = "sql", .type = SETTING_SQL, .flags = SETTING_REQUIRED, .help = "One SELECT, run on each record of the nodes that it names."},
    {.name = "columns",
     .type = SETTING_COLUMNS,
     .help = "Names, order and types of what goes on, as `id: text not null`; a failed cast is a dead letter."},
    {.name = "checks",
     .type = SETTING_SQL_MAP,
     .help = "Conditions on the columns; a row that fails one becomes a dead letter with the name as its reason."},
    {.name = "timeout",
     .type = SETTING_DURATION,
     .least = 1,
     .most = HOUR,
     .otherwise = "1s",
     .help = "Computing time of one record; one that takes longer becomes a dead letter."},
    {.name = "memory",
     .type = SETTING_SIZE,
     .least = MIB,
     .most = 64 * GIB,
     .otherwise = "64MiB",
     .help = "Memory of the SQL engine; a record that needs more becomes a dead letter."},
};

static const struct setting table_rows[] = {
    {.name = "url",
     .type = SETTING_URL,
     .flags = SETTING_REQUIRED | SETTING_SECRET,
     .help = "Database: sqlite:PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME."},
    {.name = "table", .type = SETTING_TEXT, .flags = SETTING_REQUIRED, .help = "Table, also as schema.table."},
    {.name = "mode",
     .type = SETTING_CHOICE,
     .choices = "append|upsert",
     .otherwise = "append",
     .help = "append: every row is inserted; upsert: a row replaces the one with its key."},
    {.name = "key", .type = SETTING_TEXTS, .help = "Columns that identify a row; needed by `mode: upsert`."},
    {.name = "columns", .type = SETTING_COLUMNS, .help = "Types of columns that weir creates, where the transform does not say."},
    {.name = "create", .type = SETTING_BOOL, .otherwise = "true", .help = "Create the table where it is absent."},
    {.name = "evolve",
     .type = SETTING_CHOICE,
     .choices = "none|add",
     .otherwise = "none",
     .help = "add: a new field becomes a new nullable column; none: it is counted and told once."},
    {.name = "emptied",
     .type = SETTING_CHOICE,
     .choices = "stop|go_on",
     .otherwise = "stop",
     .help = "A table that is empty though rows were stored in it: stop and spell the choices out, or go_on where rows are taken out on "
             "purpose."},
    {.name = "rows",
     .type = SETTING_INT,
     .least = 1,
     .most = 1000000,
     .otherwise = "10000",
     .flags = SETTING_LIVE,
     .help = "Rows of a transaction at most."},
    {.name = "bytes",
     .type = SETTING_SIZE,
     .least = KIB,
     .most = GIB,
     .otherwise = "4MiB",
     .flags = SETTING_LIVE,
     .help = "Bytes of a transaction at most."},
    {.name = "commit_every",
     .type = SETTING_DURATION,
     .least = 0,
     .most = HOUR,
     .otherwise = "100ms",
     .flags = SETTING_LIVE,
     .help = "A row waits at most this long for its transaction to fill; an idle sink commits at once."},
    {.name = "connect_timeout", .type = SETTING_DURATION, .least = 100, .most = HOUR, .otherwise = "10s", .help = "Time for connecting."},
    {.name = "statement_timeout",
     .type = SETTING_DURATION,
     .least = 100,
     .most = HOUR,
     .otherwise = "60s",
     .help = "Time for one statement; over it counts as an outage."},
};

static const struct setting file_sink_rows[] = {
    {.name = "path",
     .type = SETTING_PATH,
     .flags = SETTING_REQUIRED,
     .help = "File that rows are appended to; with several lanes the lane's number stands before the ending."},
    {.name = "format", .type = SETTING_CHOICE, .choices = "ndjson", .otherwise = "ndjson", .help = "ndjson: one JSON object a line."},
};

static const struct setting_table top = {.place = SETTINGS_TOP, ROWS(top_rows), .help = "The outermost names of a pipeline file."};
static const struct setting_table sources = {.place = SETTINGS_SOURCE, ROWS(source_rows), .help = "What every source may have."};
static const struct setting_table http = {.place = SETTINGS_SOURCE,
                                          .kind = "http",
                                          ROWS(http_rows),
                                          .help = "Polls an HTTP API and keeps what it answered in a journal until every sink has it.",
                                          .example = "events:\n  type: http\n  url: https://eonet.gsfc.nasa.gov/api/v3/events\n  every: "
                                                     "5m\n  records: events\n  key: id\n  emit: changed\n"};
static const struct setting_table file_source = {.place = SETTINGS_SOURCE,
                                                 .kind = "file",
                                                 ROWS(file_source_rows),
                                                 .help = "Reads files, or standard input.",
                                                 .example = "lines:\n  type: file\n  path: data/*.ndjson\n"};
static const struct setting_table generate = {.place = SETTINGS_SOURCE,
                                              .kind = "generate",
                                              ROWS(generate_rows),
                                              .help = "Makes rows from an SQL expression, the same ones at every run.",
                                              .example =
                                                  "numbers:\n  type: generate\n  sql: SELECT n AS id, n * n AS square\n  count: 1000\n"};
static const struct setting_table transforms = {
    .place = SETTINGS_TRANSFORM, ROWS(transform_rows), .help = "What every transform may have."};
static const struct setting_table sql = {
    .place = SETTINGS_TRANSFORM,
    .kind = "sql",
    ROWS(sql_rows),
    .help = "A SELECT over each record of its input.",
    .example =
        "cleaned:\n  sql: SELECT id, upper(name) AS name FROM lines WHERE id > 0\n  columns:\n    id: bigint not null\n    name: text\n"};
static const struct setting_table topics = {
    .place = SETTINGS_TOPIC,
    ROWS(topic_rows),
    .help = "A Kafka topic. Without brokers one with `from` hands records on, and the other settings have no effect. "
            "This build has no Kafka client yet, so brokers are an error where there is a topic."};
static const struct setting_table lookups = {.place = SETTINGS_LOOKUP, .help = "Tables that SQL may join. Not available yet."};
static const struct setting_table sinks = {.place = SETTINGS_SINK, ROWS(sink_rows), .help = "What every sink may have."};
static const struct setting_table table_sink = {
    .place = SETTINGS_SINK,
    .kind = "table",
    ROWS(table_rows),
    .help = "A table of a database; rows and positions in one transaction.",
    .example =
        "people:\n  from: cleaned\n  type: table\n  url: ${DATABASE_URL:-sqlite:people.db}\n  table: people\n  mode: upsert\n  key: id\n"};
static const struct setting_table file_sink = {.place = SETTINGS_SINK,
                                               .kind = "file",
                                               ROWS(file_sink_rows),
                                               .help = "A file that grows.",
                                               .example = "copy:\n  from: cleaned\n  type: file\n  path: out.ndjson\n"};

const struct setting_table *const settings_tables[] = {&top, &sources, &http,    &file_source, &generate,   &transforms,
                                                       &sql, &topics,  &lookups, &sinks,       &table_sink, &file_sink};
const size_t settings_table_count = sizeof settings_tables / sizeof *settings_tables;

const char *const settings_column_types[] = {"text", "int", "bigint", "double", "boolean", "timestamp", "date", "json", "bytes"};
const size_t settings_column_type_count = sizeof settings_column_types / sizeof *settings_column_types;
