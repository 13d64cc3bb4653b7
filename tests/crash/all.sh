#!/bin/sh
# The crash suite: all.sh short (minutes, for CI) or all.sh full (hours). Each line of the suite is one check; the last line of the output is
# "N passed, N failed, 0 skipped". Needs ./weir (or $WEIR), and the build with crash points at $CRASH_WEIR or build/crash/weir.
set -u
cd "$(dirname "$0")"
python=${PYTHON:-/usr/bin/python3}
crash_weir=${CRASH_WEIR:-../../build/crash/weir}
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

check() {
  echo "crash: $*"
  if "$python" "$@" >"$log" 2>&1; then
    passed=$((passed + 1))
    tail -n 1 "$log"
  else
    failed=$((failed + 1))
    cat "$log"
  fi
}

if [ "${1:-full}" = short ]; then
  for route in file-sqlite file-postgres; do
    for role in producer transformer sinker; do
      check run.py --route $route --role $role --kills 15 --rows 20000 --longest 0.04
    done
    check run.py --route $route --role tree --kills 8 --rows 20000 --longest 0.04
  done
  check run.py --route file-postgres --role sinker --kills 10 --rows 10000 --paced
  check run.py --route file-file --role sinker --kills 10 --rows 20000
  check run.py --route http-sqlite --role producer --kills 10 --rows 5000 --paced
  check run.py --route file-postgres --role transformer --kills 10 --rows 20000 --lanes 2
  WEIR=$crash_weir check points.py --times 1,3 --route file-sqlite --route file-file --route http-postgres --route trim-sqlite
  WEIR=$crash_weir check retry.py --times 1
  WEIR=$crash_weir check lookup.py --times 1
  check outages.py --times 3
else
  for route in file-sqlite file-postgres; do
    for role in producer transformer sinker; do
      check run.py --route $route --role $role --kills 1000 --rows 500000 --longest 0.2
      check run.py --route $route --role $role --kills 1000 --rows 500000 --longest 0.2 --paced
    done
    check run.py --route $route --role tree --kills 50 --rows 500000 --longest 0.1
  done
  for route in http-sqlite http-postgres; do
    for role in producer transformer sinker; do
      check run.py --route $route --role $role --kills 200 --rows 100000 --paced
    done
    check run.py --route $route --role tree --kills 50 --rows 20000
  done
  check run.py --route file-postgres --role sinker --kills 300 --rows 500000 --lanes 2
  for role in producer transformer sinker tree; do
    check run.py --route file-file --role $role --kills 50 --rows 200000
  done
  WEIR=$crash_weir check points.py
  WEIR=$crash_weir check retry.py
  WEIR=$crash_weir check letters.py
  WEIR=$crash_weir check lookup.py
  for seed in 1 2 3; do
    check outages.py --seed $seed
  done
fi
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
