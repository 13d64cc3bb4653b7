#!/bin/sh
# Everything that CI runs; `make test` calls it. Each step prints a line "N passed, N failed, N skipped"; the very last line is their sum.
#
#   tests/run_all.sh              all steps
#   tests/run_all.sh e2e layers   only these (the names are those of the functions below)
#
# Nothing is asserted about time. Every step is run even when one before it failed.
set -u
cd "$(dirname "$0")/.."
python=${PYTHON:-/usr/bin/python3}
jobs=$(nproc)
build=${BUILD:-build}
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0:abort_on_error=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
export PYTHONDONTWRITEBYTECODE=1

make_quietly() {
  make -s -j"$jobs" BUILD="$build" "$@" >"$log" 2>&1 || { cat "$log"; return 1; }
}

# One command that either works or does not.
one() {
  if "$@" >"$log" 2>&1; then echo "1 passed, 0 failed, 0 skipped"; else cat "$log"; echo "0 passed, 1 failed, 0 skipped"; fi
}

pytest() {
  "$python" -m pytest -q -p no:cacheprovider -rfEs "$@"
  status=$?
  [ $status -eq 0 ] || [ $status -eq 1 ] || echo "pytest ended with $status: 1 failed"
}

layers() { tests/layers.sh; }
# The other compiler has a word too; it reads, it does not build.
clang_clean() {
  one sh -c "git ls-files 'shm/*.c' 'proto/*.c' 'workers/*.c' 'supervisor/*.c' | xargs -P$jobs -n8 clang -fsyntax-only -std=c17 -Wall -Wextra \
    -Werror -Wshadow -Wconversion -D_GNU_SOURCE -I. -I/usr/include/postgresql"
}
format() { one sh -c "git ls-files '*.c' '*.h' '*.cc' | xargs clang-format --dry-run -Werror"; }
reference() {
  one sh -c './weir reference | diff - docs/reference.md && ./weir reference --schema | diff - docs/pipeline.schema.json'
}
units() { make -s -j"$jobs" BUILD="$build" unit; }
units_asan() { make -s -j"$jobs" BUILD="$build" V=asan unit; }
# The steps of the sinks' commits are named in the crash build only.
units_crash() {
  for source in tests/unit/test_sink_*.c; do
    sink=$(basename "$source" .c)
    make_quietly V=crash "$build/crash/tests/unit/$sink" && tests/run_units.sh "$build/crash" "$sink"
  done
}
ring_tsan() {
  for source in tests/unit/test_ring*.c; do
    ring=$(basename "$source" .c)
    make_quietly V=tsan "$build/tsan/tests/unit/$ring" && tests/run_units.sh "$build/tsan" "$ring"
  done
}
ring_steps() { make_quietly V=crash crash-build && one "$build/crash/tests/crash/ring_step"; }
fuzz() { make_quietly fuzz-build && tests/fuzz/run.sh "$build/fuzz" "${FUZZ_SECONDS:-4}"; }
e2e() { pytest tests/e2e; }
# The program built with AddressSanitizer and UBSan; containers and measurements need no second look.
e2e_asan() { make_quietly V=asan "$build/asan/weir" && WEIR="$build/asan/weir" pytest tests/e2e --ignore tests/e2e/test_container.py; }
crash() { make_quietly V=crash crash-build && CRASH_WEIR="$PWD/$build/crash/weir" tests/crash/all.sh short; }
mutants() { tests/mutants/run.sh --short; }

# Adds up the closing lines of a step: "N passed", "N failed", "N errors", "N skipped". A step without any is a failure.
count() {
  sum() { grep -oE "[0-9]+ ($1)" "$2" | awk '{ n += $1 } END { print n + 0 }'; }
  lines=$(mktemp)
  grep -E '(^|[ ,])[0-9]+ (passed|failed|skipped|errors?)([ ,]|$)' "$1" | tail -n "$2" >"$lines"
  p=$(sum passed "$lines") f=$(sum 'failed|error' "$lines") s=$(sum skipped "$lines")
  rm -f "$lines"
  [ $((p + f + s)) -gt 0 ] || { f=1; echo "$name gave no result"; }
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

steps=${*:-layers clang_clean format reference units units_asan units_crash ring_tsan ring_steps fuzz e2e e2e_asan crash mutants}
make_quietly weir || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
out=$(mktemp)
for name in $steps; do
  echo "== $name"
  began=$(date +%s)
  "$name" >"$out" 2>&1 || true
  cat "$out"
  closing=1 # lines that close a part of the step
  [ "$name" != ring_tsan ] || closing=$(ls tests/unit/test_ring*.c | wc -l)
  [ "$name" != units_crash ] || closing=$(ls tests/unit/test_sink_*.c | wc -l)
  count "$out" "$closing"
  echo "   ($name: $(($(date +%s) - began)) s)"
done
rm -f "$out"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
