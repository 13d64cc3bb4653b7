#!/bin/sh
# Breaks one rule at a time and shows that the suite notices. A rule without a mutant that dies is not proven.
#
#   tests/mutants/run.sh              all mutants
#   tests/mutants/run.sh NAME...      these
#   tests/mutants/run.sh --short      those marked "Short: yes" (for make test)
#
# A mutant is tests/mutants/NAME.patch: lines "Rule:", "Killer:" and "Short:", then a patch against the sources. The killer is a shell command
# of the suite, run in a copy of the tree that is built with the patch, with WEIR naming the program (built with crash points). It must
# succeed without the patch and fail with it. Last line: "N passed, N failed, 0 skipped".
set -u
cd "$(dirname "$0")/../.."
root=$PWD
work=${MUTANTS_BUILD:-$root/build/mutants}
tree=$work/tree
log=$work/log
mkdir -p "$tree"
passed=0 failed=0

field() { sed -n "s/^$1: *//p" "$2" | head -n 1; }

copy_sources() {
  # Only files that differ are touched, so that a build after a mutant is a small one. Files that are gone go.
  git ls-files -co --exclude-standard >"$work/files"
  (cd "$tree" && find . -type f -not -path './build/*' -not -name weir | sed 's|^\./||') | sort >"$work/there"
  sort "$work/files" | comm -13 - "$work/there" | while read -r old; do rm -f "$tree/$old"; done
  while read -r file; do
    [ -f "$file" ] || continue
    cmp -s "$file" "$tree/$file" && continue
    mkdir -p "$tree/$(dirname "$file")"
    cp "$file" "$tree/$file"
  done <"$work/files"
}

build() { make -s -C "$tree" -j"$(nproc)" BUILD=build V=crash build/crash/weir >"$log" 2>&1; }

kill_with() {
  (cd "$tree" && WEIR=$tree/build/crash/weir CRASH_WEIR=$tree/build/crash/weir PYTHONDONTWRITEBYTECODE=1 TESTS_NEVER=10 timeout 900 sh -c "$1") >"$log" 2>&1
}

# The killer on the sources as they are, once for each command: what fails anyway kills nothing.
healthy() {
  key=$(printf '%s' "$1" | cksum | tr ' ' '-')
  [ ! -f "$work/healthy-$key" ] || return 0
  kill_with "$1" && touch "$work/healthy-$key"
}

names=
short=no
for word in "$@"; do
  if [ "$word" = --short ]; then short=yes; else names="$names $word"; fi
done
[ -n "$names" ] || names=$(cd tests/mutants && ls ./*.patch | sed 's|^\./||; s|\.patch$||')

rm -f "$work"/healthy-*
copy_sources
build || { cat "$log"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
for name in $names; do
  patch=$root/tests/mutants/$name.patch
  [ -f "$patch" ] || { echo "no such mutant: $name"; failed=$((failed + 1)); continue; }
  [ $short = no ] || [ "$(field Short "$patch")" = yes ] || continue
  killer=$(field Killer "$patch")
  copy_sources
  if ! build || ! healthy "$killer"; then
    failed=$((failed + 1))
    echo "UNUSABLE $name: its killer fails without the mutant"
    tail -n 20 "$log"
    continue
  fi
  if ! patch -s -p1 -d "$tree" <"$patch" >"$log" 2>&1 || ! build; then
    failed=$((failed + 1))
    echo "UNUSABLE $name: the patch does not apply or does not build"
    tail -n 20 "$log"
  elif kill_with "$killer"; then
    failed=$((failed + 1))
    echo "SURVIVED $name: $(field Rule "$patch")"
  else
    passed=$((passed + 1))
    echo "killed   $name: $(grep -E 'FAILED|failed|lost|doubled' "$log" | tail -n 1 | cut -c1-160)"
  fi
  find "$tree" \( -name '*.orig' -o -name '*.rej' \) -not -path '*/build/*' -exec rm -f {} +
done
copy_sources
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
