#!/bin/sh
# Runs the unit tests built in folder $1 (all, or the one named $2); prints each failing program's output and a closing line
# "N passed, N failed, N skipped" that counts single test functions. Exit 1 when one failed.
set -u
folder=$1 one=${2:-}
passed=0 failed=0 skipped=0
for program in "$folder"/tests/unit/test_*; do
  [ -f "$program" ] && [ -x "$program" ] || continue
  name=$(basename "$program")
  case $name in *.*) continue ;; esac
  [ -z "$one" ] || [ "$one" = "$name" ] || continue
  log=$(mktemp)
  CMOCKA_MESSAGE_OUTPUT=STDOUT timeout 300 "$program" >"$log" 2>&1
  code=$?
  ok=$(grep -c '^\[       OK \]' "$log")
  bad=$(grep -c '^\[  FAILED  \] [^0-9]' "$log")
  skip=$(grep -c '^\[  SKIPPED \] [^0-9]' "$log")
  [ "$bad" -gt 0 ] && bad=$((bad / 2 > 0 ? bad / 2 : 1))
  if [ $code -ne 0 ]; then
    [ "$bad" -gt 0 ] || bad=1
    echo "---- $name: exit $code"
    cat "$log"
  fi
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
  rm -f "$log"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
