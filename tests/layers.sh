#!/bin/sh
# Checks which folder may include what (docs: README of each folder). Reads every #include of the sources; needs no compiler.
#
# Prints each line that breaks a rule and ends with "N passed, N failed, 0 skipped", one rule a check. `make layers` runs it.
set -u
cd "$(dirname "$0")/.."
passed=0 failed=0
includes=$(mktemp)
trap 'rm -f "$includes"' EXIT

# One line per include: FILE:LINE HEADER. Quoted and angled ones alike.
find shm proto workers supervisor -name '*.[ch]' -o -name '*.cc' -path 'proto/*' | sort |
  xargs grep -nHE '^[[:space:]]*#[[:space:]]*include' |
  sed -E 's/^([^:]+:[0-9]+):[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]([^>"]+)[>"].*/\1 \2/' >"$includes"
[ -s "$includes" ] || { echo "no sources found"; exit 1; }

# rule NAME FILES-REGEX HEADERS-REGEX [EXCEPT-REGEX]: no file matching FILES includes a header matching HEADERS, but lines ("FILE:N HEADER")
# matching EXCEPT.
rule() {
  broken=$(awk -v files="$2" -v headers="$3" '{ split($1, at, ":"); if (at[1] ~ files && $2 ~ headers) print }' "$includes")
  [ -z "${4:-}" ] || broken=$(printf '%s\n' "$broken" | grep -vE "$4")
  if [ -n "$broken" ]; then
    failed=$((failed + 1))
    printf '%s\n' "$broken" | sed "s/^/layers: $1: /"
  else
    passed=$((passed + 1))
  fi
}

rule "shm knows no other folder"              '^shm/'        '^(proto|workers|supervisor)/'
rule "proto knows no other folder"            '^proto/'      '^(shm|workers|supervisor)/'
rule "nobody includes supervisor"             '^(shm|proto|workers)/' '^supervisor/'
rule "supervisor knows workers by their list" '^supervisor/' '^workers/' ' workers/(workers\.h|common/worker\.h)$'
rule "atomics only in shm"                    '^(proto|workers|supervisor)/' '^stdatomic\.h$'

# A worker never includes another worker: a folder of workers sees its own, the common part and the clients.
rule "sources include no other worker" '^workers/sources/' '^workers/(sinks|sql)/' '^workers/sources/generate[a-z_]*\.[ch]:[0-9]+ workers/sql/engine\.h$'
rule "sinks include no other worker"   '^workers/sinks/'   '^workers/(sources|sql)/'
rule "sql includes no other worker"    '^workers/sql/'     '^workers/(sources|sinks)/'
rule "common includes no worker"       '^workers/common/'  '^workers/(sources|sinks|sql)/'
rule "clients include no worker"       '^workers/clients/' '^workers/(sources|sinks|sql)/'

# One client file per edge library. `workers/sql` is the engine itself and talks to SQLite directly.
rule "sqlite3.h in one client and in sql" '.' '^sqlite3\.h$'   '^workers/(clients/sqlite|sql/[a-z_]+)\.[ch]:'
rule "libpq in one client"                '.' '^(postgresql/)?(libpq-fe|libpq/.*|pg_config.*|server/.*)\.h$' '^workers/clients/postgres[a-z_]*\.[ch]:'
rule "curl in one client"                 '.' '^curl/'         '^workers/clients/(http|curl)[a-z_]*\.[ch]:'
rule "librdkafka in one client"            '.' '^librdkafka/' '^workers/clients/kafka[a-z_]*\.[ch]:'
# Who speaks to brokers is the topic reader and the topic writer, with their checks and stores; versions.c tells which library is loaded.
rule "Kafka's client for topics only" '.' '^workers/clients/kafka' \
  '^workers/(clients/kafka|sinks/(kafka_|store_kafka|target_kafka|topic_)|sources/topic_)[a-z_]*\.[ch]:|^workers/clients/versions\.c:[0-9]+ workers/clients/kafka\.h$'
rule "libyaml in one file"                '.' '^yaml\.h$'      '^supervisor/(config_)?yaml[a-z_]*\.[ch]:'
rule "simdjson in the one shim"           '.' '^simdjson'      '^proto/json_simdjson\.cc:'
rule "msgpack-c only in tests"            '.' '^msgpack\.h'

# Includes are written from the root of the repository, and name files that exist.
lost=$(awk '$2 ~ /\// { print $1, $2 }' "$includes" | while read -r at header; do
  case $header in
  shm/* | proto/* | workers/* | supervisor/*) [ -f "$header" ] || echo "layers: no such header: $at $header" ;;
  esac
done)
near=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"[^/"]+"' shm proto workers supervisor | sed 's/^/layers: not from the root: /')
for broken in "$lost" "$near"; do
  if [ -n "$broken" ]; then
    failed=$((failed + 1))
    printf '%s\n' "$broken"
  else
    passed=$((passed + 1))
  fi
done

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
