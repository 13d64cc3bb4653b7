#!/bin/sh
# Everything that CI runs; `make test` calls it. Each step prints a line "N passed, N failed, N skipped"; the very last line is their sum.
#
#   tests/run_all.sh              all steps, in three rows side by side (one computes, the others mostly wait)
#   tests/run_all.sh e2e layers   only these, one after the other (the names are those of the functions below)
#
# Nothing is asserted about time. Every step is run even when one before it failed.
set -u
cd "$(dirname "$0")/.."
first_row="layers clang_clean format reference units units_asan units_crash ring_tsan ring_steps fuzz e2e_asan"
second_row="crash mutants container"
third_row="e2e"
python=${PYTHON:-/usr/bin/python3}
build=${BUILD:-build}
tallies=$(mktemp -d)
trap 'rm -rf "$tallies" "$tallies".verdicts-*' EXIT
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0:abort_on_error=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
export PYTHONDONTWRITEBYTECODE=1
# Under `make test` this script is no sub-make: each make below sets its own number of jobs.
unset MAKEFLAGS MFLAGS MAKELEVEL

# Compiles; what the compiler was called for is told only when it fails.
make_quietly() {
  told=$(make -s BUILD="$build" "$@" 2>&1) || { printf '%s\n' "$told"; return 1; }
}

# One command that either works or does not.
one() {
  if told=$("$@" 2>&1); then
    echo "1 passed, 0 failed, 0 skipped"
  else
    printf '%s\n0 passed, 1 failed, 0 skipped\n' "$told"
  fi
}

# A test is a client of Kafka and PostgreSQL, and the libraries that make it one can abort its process (once seen: in the middle of reading
# from a cluster). No weir runs in that process, so no test gets a verdict from it: the stack is told, and those that have none yet are run by
# another process. Three deaths, or an end by any other signal, are a failure.
pytest() {
  verdicts="$tallies.verdicts-$(date +%s%N)"
  : >"$verdicts"
  for try in 1 2 3; do
    WEIR_VERDICTS=$verdicts PYTHONPATH=tests "$python" -m pytest -q -p no:cacheprovider -p support.verdicts -rfEs "$@"
    status=$?
    case $status in
    132 | 134 | 135 | 136 | 139) echo "the process of the tests died by signal $((status - 128)): tests without a verdict are run by another one" ;;
    *) break ;;
    esac
  done
  [ $status -eq 5 ] && [ $try -gt 1 ] && status=0 # there was none without a verdict
  [ $status -le 1 ] || echo "failed pytest ended with $status" >>"$verdicts"
  awk '{ n[$1]++ } END { printf "%d passed, %d failed, %d skipped\n", n["passed"], n["failed"], n["skipped"] }' "$verdicts"
  rm -f "$verdicts"
}

layers() { tests/layers.sh; }
# The other compiler has a word too; it reads, it does not build.
clang_clean() {
  one sh -c 'git ls-files "shm/*.c" "proto/*.c" "workers/*.c" "supervisor/*.c" | xargs -P2 -n8 clang -fsyntax-only -std=c17 -Wall -Wextra \
    -Werror -Wshadow -Wconversion -D_GNU_SOURCE -I. -I/usr/include/postgresql'
}
format() { one sh -c 'git ls-files "*.c" "*.h" "*.cc" | xargs clang-format --dry-run -Werror'; }
reference() {
  one sh -c './weir reference | diff - docs/reference.md && ./weir reference --schema | diff - docs/pipeline.schema.json'
}
units() { make -s BUILD="$build" unit 2>&1 | grep -vE '^  [A-Z]+ +[^ ]+$'; }
units_asan() { make -s BUILD="$build" V=asan unit 2>&1 | grep -vE '^  [A-Z]+ +[^ ]+$'; }
# The steps of the sinks' commits have names in the crash build only: there a sink dies at each of them.
units_crash() {
  for source in tests/unit/test_sink_*.c; do
    test=$(basename "$source" .c)
    make_quietly V=crash "$build/crash/tests/unit/$test" && tests/run_units.sh "$build/crash" "$test"
  done
}
ring_tsan() {
  for source in tests/unit/test_ring*.c; do
    test=$(basename "$source" .c)
    make_quietly V=tsan "$build/tsan/tests/unit/$test" && tests/run_units.sh "$build/tsan" "$test"
  done
}
ring_steps() { make_quietly V=crash "$build/crash/tests/crash/ring_step" && one "$build/crash/tests/crash/ring_step"; }
fuzz() { make_quietly fuzz-build && tests/fuzz/run.sh "$build/fuzz" "${FUZZ_SECONDS:-4}"; }
e2e() { pytest tests/e2e --ignore tests/e2e/test_container.py; }
container() { pytest tests/e2e/test_container.py; }
# The program built with AddressSanitizer and UBSan; without the tests of what the tests stand on.
e2e_asan() {
  make_quietly V=asan "$build/asan/weir" && WEIR="$PWD/$build/asan/weir" pytest tests/e2e --ignore tests/e2e/test_container.py \
    --ignore tests/e2e/test_kafka_server.py --ignore tests/e2e/test_tcp_proxy.py
}
crash() { make_quietly V=crash "$build/crash/weir" && CRASH_WEIR="$PWD/$build/crash/weir" tests/crash/all.sh short; }
mutants() { tests/mutants/run.sh --short; }

# Adds up the closing lines of a step: "N passed", "N failed", "N errors", "N skipped". A step without any is a failure.
tally() {
  grep -E '(^|[ ,])[0-9]+ (passed|failed|skipped|errors?)([ ,]|$)' "$2" | tail -n "$3" | grep -oE '[0-9]+ (passed|failed|skipped|error)' |
    awk -v step="$1" '{ n[$2] += $1; any = 1 } END { if (!any) { print step " gave no result" > "/dev/stderr"; n["failed"] = 1 }
      print n["passed"] + 0, n["failed"] + n["error"], n["skipped"] + 0 }' >>"$tallies/$1"
}

run_steps() {
  for step in "$@"; do
    began=$(date +%s)
    "$step" >"$tallies/out-$step" 2>&1
    lines=1
    [ "$step" != ring_tsan ] || lines=$(ls tests/unit/test_ring*.c | wc -l)
    [ "$step" != units_crash ] || lines=$(ls tests/unit/test_sink_*.c | wc -l)
    tally "$step" "$tallies/out-$step" "$lines"
    printf '== %s (%s s)\n' "$step" $(($(date +%s) - began)) | cat - "$tallies/out-$step" # in one piece, whatever the other row prints
    if tail -n 1 "$tallies/$step" | grep -q ' 0 [0-9]*$'; then rm -f "$tallies/out-$step"; else mv "$tallies/out-$step" "$tallies/failed-$step"; fi
  done
}

# The ends of what the failed steps printed, once more: whoever sees only the end of a long log still sees what failed.
failures() {
  for told in "$tallies"/failed-*; do
    [ -e "$told" ] || continue
    printf '== failed: %s\n' "${told##*/failed-}"
    tail -n 40 "$told"
    rm -f "$told"
  done
}

make_quietly weir || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
if [ $# -gt 0 ]; then
  run_steps "$@"
else
  # What several rows need is built before they part: two compilers must not write one object.
  make_quietly V=crash crash-build
  make_quietly V=asan "$build/asan/weir"
  # shellcheck disable=SC2086
  run_steps $second_row &
  # shellcheck disable=SC2086
  run_steps $third_row &
  # shellcheck disable=SC2086
  run_steps $first_row
  wait
fi
failures
cat "$tallies"/* | awk '{ p += $1; f += $2; s += $3 } END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 }'
