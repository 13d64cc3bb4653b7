#!/bin/sh
# Breaks one rule at a time and shows that the suite notices. A rule without a mutant that dies is not proven.
#
#   tests/mutants/run.sh              all mutants
#   tests/mutants/run.sh NAME...      these
#   tests/mutants/run.sh --short      those marked "Short: yes" (for make test)
#
# A mutant is tests/mutants/NAME.patch; README.md says what stands in it. Everything happens in copies of the tree below build/mutants (or
# MUTANTS_BUILD), three at a time for each core (or MUTANTS_JOBS), because most of them wait most of the time: base is the tree as it is, built with crash points, and each
# mutant is a copy of it in which only the changed files are compiled anew. First every killer runs in base: what fails anyway kills
# nothing. Then each must fail in its mutant, and by the very test that the patch names: neither a build that breaks, nor a hang, nor another
# failure counts. Last line: "N passed, N failed, 0 skipped".
set -u
cd "$(dirname "$0")/../.."
root=$PWD
work=${MUTANTS_BUILD:-$root/build/mutants}
base=$work/base
patches=$root/tests/mutants
unset MAKEFLAGS MAKELEVEL MFLAGS 2>/dev/null
export PYTHONDONTWRITEBYTECODE=1
export TESTS_NEVER=10 # what never comes is not waited for long: a mutant often hangs

field() { sed -n "s/^$1: *//p; /^--- /q" "$patches/$2.patch" | head -n 1; }

# One file name for each killer, so that mutants with the same one share its first run.
healthy_mark() { printf '%s/healthy/%s' "$work" "$(field Killer "$1" | cksum | tr ' ' '-')"; }

build() { make -s -C "$1" BUILD=build V=crash $2; }

# What has to be built for a killer: the program, and the tests that it names.
program_of() {
  case $(field Killer "$1") in
  "unit "*) field Killer "$1" | awk '{ print "build/crash/tests/unit/" $2 }' ;;
  *) field Killer "$1" | grep -oE 'build/crash/[a-z_/]+' ;;
  esac
}

# Runs the killer of mutant $1 in tree $2; ends what it leaves behind.
run_killer() {
  killer=$(field Killer "$1")
  case $killer in
  "unit "*)
    set -- "$1" "$2" $killer
    killer="UNIT_TEST=$5 CMOCKA_MESSAGE_OUTPUT=STDOUT build/crash/tests/unit/$4"
    ;;
  esac
  (cd "$2" && WEIR=$2/build/crash/weir CRASH_WEIR=$2/build/crash/weir exec timeout 300 sh -c "$killer") &
  pid=$!
  wait $pid
  code=$?
  kill -s KILL -- -$pid 2>/dev/null # timeout made a group of its own; dash knows no -KILL in front of --
  return $code
}

# The line of the output that shows the failure of the named test.
failure_of() {
  case $(field Killer "$1") in
  "unit "*) grep -o -m 1 -F "[  FAILED  ] $(field Killer "$1" | cut -d ' ' -f 3)" "$2" ;;
  *) grep -m 1 -E -- "$(field Fails "$1")" "$2" ;;
  esac
}

is_sound() {
  [ -n "$(field Rule "$1")" ] && [ -n "$(field Killer "$1")" ] || return 1
  case $(field Killer "$1") in
  "unit "*" "*) ;;
  "unit "*) return 1 ;;
  *) [ -n "$(field Fails "$1")" ] ;;
  esac
}

# tell MUTANT VERDICT TEXT [LOG]: one line, and the end of the log when something is wrong.
tell() {
  line=$(printf '%-9s %s: %s' "$2" "$1" "$3")
  [ -z "${4:-}" ] || line=$(printf '%s\n' "$line"; tail -n 15 "$4" | cut -c1-300 | sed 's/^/    /')
  printf '%s\n' "$line"
  echo "$2" >"$work/verdict/$1"
}

# The first run of a killer, in base.
check_healthy() {
  log=$work/log/$1.healthy
  run_killer "$1" "$base" >"$log" 2>&1 || return
  case $(field Killer "$1") in
  "unit "*) grep -qF "[       OK ] $(field Killer "$1" | cut -d ' ' -f 3)" "$log" || return ;;
  esac
  : >"$(healthy_mark "$1")"
}

try_mutant() {
  name=$1 tree=$work/slot-$SLOT log=$work/log/$1
  began=$(date +%s)
  [ -f "$(healthy_mark "$name")" ] || {
    tell "$name" UNUSABLE "its killer fails without the mutant" "$(ls -t "$work"/log/*.healthy | while read -r one; do
      [ "$(field Killer "$(basename "$one" .healthy)")" != "$(field Killer "$name")" ] || { echo "$one"; break; }; done)"
    return
  }
  rm -rf "$tree" && cp -a "$base" "$tree"
  if ! patch -s -p1 -d "$tree" <"$patches/$name.patch" >"$log" 2>&1; then
    tell "$name" UNUSABLE "the patch does not apply" "$log"
  elif ! build "$tree" "build/crash/weir $(program_of "$name")" >"$log" 2>&1; then
    tell "$name" UNUSABLE "it does not build" "$log"
  else
    run_killer "$name" "$tree" >"$log" 2>&1
    code=$? failure=$(failure_of "$name" "$log") took=$(($(date +%s) - began))
    if [ $code -eq 0 ]; then
      tell "$name" SURVIVED "$(field Rule "$name")"
    elif [ $code -eq 124 ] || [ $code -eq 137 ]; then
      tell "$name" UNUSABLE "its killer hangs" "$log"
    elif [ -z "$failure" ]; then
      tell "$name" UNUSABLE "its killer ended with $code, but not by the failure that the patch names" "$log"
    else
      tell "$name" killed "$(printf '%s' "$failure" | cut -c1-140) ($took s)"
    fi
  fi
}

case ${1:-} in
--check) check_healthy "$2"; exit 0 ;;
--try) try_mutant "$2"; exit 0 ;;
esac

copy_sources() {
  # Only files that differ are touched, so that the next build is a small one. Files that are gone go.
  git ls-files -co --exclude-standard | sort >"$work/files"
  (cd "$base" && find . -type f -not -path './build/*' | sed 's|^\./||') | sort >"$work/there"
  comm -13 "$work/files" "$work/there" | while read -r old; do rm -f "$base/$old"; done
  while read -r file; do
    [ -f "$file" ] || continue
    cmp -s "$file" "$base/$file" && continue
    mkdir -p "$base/$(dirname "$file")"
    cp "$file" "$base/$file"
  done <"$work/files"
}

in_parallel() { xargs -r -n 1 -P "${MUTANTS_JOBS:-$((3 * $(nproc)))}" --process-slot-var=SLOT "$patches/run.sh" "$1"; }

names= short=no
for word in "$@"; do
  if [ "$word" = --short ]; then short=yes; else names="$names $word"; fi
done
[ -n "$names" ] || names=$(cd "$patches" && ls | sed -n 's|\.patch$||p')

rm -rf "$work/verdict" "$work/healthy" "$work/log"
mkdir -p "$base" "$work/verdict" "$work/healthy" "$work/log"
chosen= programs=
for name in $names; do
  if [ ! -f "$patches/$name.patch" ]; then
    tell "$name" UNUSABLE "there is no such mutant"
  elif ! is_sound "$name"; then
    tell "$name" UNUSABLE "the patch lacks a line: Rule, Killer (of a unit: program and test), Fails (of a command)"
  elif [ $short = no ] || [ "$(field Short "$name")" = yes ]; then
    chosen="$chosen $name"
    programs="$programs $(program_of "$name")"
  fi
done
copy_sources
programs=$(printf '%s\n' $programs | sort -u)
build "$base" "build/crash/weir $(echo $programs)" >"$work/log/base" 2>&1 || { cat "$work/log/base"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
for name in $chosen; do echo "$(healthy_mark "$name") $name"; done | sort -u -k 1,1 | cut -d ' ' -f 2 | in_parallel --check
printf '%s\n' $chosen | in_parallel --try
rm -rf "$work"/slot-*
passed=$(cat "$work"/verdict/* 2>/dev/null | grep -c '^killed$')
failed=$(cat "$work"/verdict/* 2>/dev/null | grep -vc '^killed$')
for name in $chosen; do [ -f "$work/verdict/$name" ] || { echo "$name gave no verdict"; failed=$((failed + 1)); }; done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
