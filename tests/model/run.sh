#!/bin/sh
# Checks the ring's protocol exhaustively (make model). See README.md beside this file.
#
# Each whole model must pass without an error and completely, in several sizes which together reach every statement; each broken one must fail,
# which proves that the model can. Exit code 0 when all did as they must.
set -u
here=$(cd "$(dirname "$0")" && pwd)
CC=${CC:-cc}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
wrong=0

# build MODEL FLAGS...: makes $work/pan.
build() {
  model=$1
  shift
  cp "$here/$model" "$work/$model" &&
    (cd "$work" && spin "$@" -a "$model" >spin.out 2>&1 && $CC -O1 -w -DSAFETY -DCOLLAPSE -DMEMLIM=6000 -o pan pan.c) || {
    echo "model: $model $*: does not build" >&2
    cat "$work/spin.out" >&2
    exit 1
  }
}

# Statements of MODEL that no size so far has reached; the ends of processes that serve for ever do not count.
unreached() {
  grep -E '^[[:space:]].*\.pml:[0-9]+, state' "$work/pan.out" | grep -v '"-end-"' | sort -u >"$work/now"
  if [ -f "$work/$1.unreached" ]; then
    comm -12 "$work/$1.unreached" "$work/now" >"$work/both"
    mv "$work/both" "$work/$1.unreached"
  else
    mv "$work/now" "$work/$1.unreached"
  fi
}

# whole MODEL FLAGS...: must pass.
whole() {
  build "$@"
  "$work/pan" -m1000000 >"$work/pan.out" 2>&1
  states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$work/pan.out")
  unreached "$1"
  if ! grep -q 'errors: 0$' "$work/pan.out" || grep -Eq 'Search not completed|max search depth too small' "$work/pan.out"; then
    echo "model: $*: FAILED"
    grep -E 'pan:|errors:|not completed' "$work/pan.out"
    wrong=$((wrong + 1))
  else
    echo "model: $*: holds in all $states states"
  fi
}

# reached MODEL: the sizes together must have reached everything.
reached() {
  [ -s "$work/$1.unreached" ] || return 0
  echo "model: $1: FAILED: never reached:"
  cat "$work/$1.unreached"
  wrong=$((wrong + 1))
}

# broken MODEL FLAGS...: must fail.
broken() {
  build "$@"
  "$work/pan" -m1000000 >"$work/pan.out" 2>&1
  if grep -q '^pan:1: \(invalid end state\|assertion violated\)' "$work/pan.out"; then
    echo "model: $*: fails, as it must: $(sed -n 's/^pan:1: //p' "$work/pan.out")"
  else
    echo "model: $*: FAILED: the broken rule was not noticed"
    wrong=$((wrong + 1))
  fi
}

whole ring.pml -DINPUTS=4 -DKILLS_WRITER=1 -DKILLS_READER=1
whole ring.pml -DINPUTS=3 -DKILLS_WRITER=2 -DKILLS_READER=2
reached ring.pml
whole readers.pml -DRECORDS=3 -DKILLS_WRITER=1
whole readers.pml -DRECORDS=3 -DKILLS_READER=1
reached readers.pml

for rule in CLEAR_AFTER_LOOK RELEASE_ONLY TAIL_BEFORE_DATA HALF_GROUPS RELEASE_UNREAD NO_SPACE_BELL NO_DATA_BELL GREEDY_SPACE; do
  broken ring.pml -DKILLS_WRITER=0 -DKILLS_READER=0 -D$rule
done
for rule in NO_RING_FOR_THE_DEAD ONE_NOTE_SLOT NOTE_AFTER_TAIL NO_NOTE; do
  broken ring.pml -D$rule
done
for rule in FASTEST_HEAD RING_FIRST_ONLY NO_SPACE_BELL LOOK_BEFORE_ANNOUNCE; do
  broken readers.pml -DRECORDS=4 -D$rule
done
broken readers.pml -DKILLS_WRITER=1 -DNO_RING_FOR_THE_DEAD
broken readers.pml -DKILLS_READER=1 -DNO_RING_FOR_THE_DEAD

[ "$wrong" -eq 0 ] || {
  echo "model: $wrong of the checks failed" >&2
  exit 1
}
