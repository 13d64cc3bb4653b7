#!/bin/sh
# Runs each fuzz target of folder $1 for $2 seconds (only $3 when given) on its corpus; a crash leaves its input in $1 and fails.
# Findings that should be kept are copied into tests/fuzz/corpus/NAME by hand. Last line: "N passed, N failed, 0 skipped".
set -u
folder=$1 seconds=$2 one=${3:-}
passed=0 failed=0
for program in "$folder"/fuzz_*; do
  [ -f "$program" ] && [ -x "$program" ] || continue
  name=$(basename "$program")
  [ -z "$one" ] || [ "$one" = "$name" ] || continue
  corpus=$folder/corpus-$name
  mkdir -p "$corpus"
  seeds=tests/fuzz/corpus/${name#fuzz_}
  [ -d "$seeds" ] || seeds=
  # New inputs go to the build folder, never into the seeds.
  # shellcheck disable=SC2086
  if "$program" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
      -artifact_prefix="$folder/$name-" "$corpus" $seeds >"$folder/$name.log" 2>&1; then
    passed=$((passed + 1))
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$folder/$name.log") inputs"
  else
    failed=$((failed + 1))
    echo "---- $name failed; its input lies in $folder"
    tail -40 "$folder/$name.log"
  fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
