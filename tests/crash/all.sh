#!/bin/sh
# The crash suite: all.sh short (minutes, for CI) or all.sh full (hours). Each line of the suite is one check; the last line of the output is
# "N passed, N failed, N skipped" (skipped: what ends with 77, because no broker or no network namespace can be had here). Needs ./weir (or
# $WEIR), and the build with crash points at $CRASH_WEIR or build/crash/weir.
set -u
cd "$(dirname "$0")"
python=${PYTHON:-/usr/bin/python3}
crash_weir=${CRASH_WEIR:-../../build/crash/weir}
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

check() {
  echo "crash: $*"
  "$python" "$@" >"$log" 2>&1
  case $? in
  0)
    passed=$((passed + 1))
    tail -n 1 "$log"
    ;;
  77)
    skipped=$((skipped + 1))
    tail -n 1 "$log"
    ;;
  *)
    failed=$((failed + 1))
    cat "$log"
    ;;
  esac
}

# The scenarios named, each on the route named: only ROUTE SCENARIO...
only() {
  route=$1
  shift
  check outages_kafka.py --times 3 --route "$route" $(for name in "$@"; do printf -- '--only %s ' "$name"; done)
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
  check outages.py --times 3 --no-topics
  # With a real broker. Each check starts one of its own.
  for role in producer sinker; do
    check run.py --route topic-postgres --role $role --kills 8 --rows 10000
    check run.py --route topic-topic --role $role --kills 4 --rows 5000
  done
  check run.py --route http-topic --role sinker --kills 4 --rows 3000 --paced
  check run.py --route file-topic --role tree --kills 3 --rows 10000 --kafka 3.9
  only topic-postgres broker_killed
  only file-topic commit_orphaned zombie_before_its_commit taken_over_at_work
  only topic-topic fewer_lanes member_frozen foreign_transaction
  WEIR=$crash_weir check points.py --times 1 --narrow --route file-topic
  check network.py --away 12 --rate 500
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
  for route in topic-postgres topic-topic http-topic file-topic; do
    for role in producer transformer sinker; do
      check run.py --route $route --role $role --kills 500 --rows 200000 --longest 0.2 --paced
      check run.py --route $route --role $role --kills 100 --rows 100000 --kafka 3.9
    done
    check run.py --route $route --role tree --kills 50 --rows 50000 --longest 0.4
  done
  for role in producer transformer sinker; do
    check run.py --route topic-postgres --role $role --kills 100 --rows 200000 --assign group --lanes 2 --paced
    check run.py --route topic-topic --role $role --kills 100 --rows 200000 --lanes 2 --paced
  done
  for version in 4.1 3.9; do
    check outages_kafka.py --minutes --times 30 --kafka $version
    check network.py --kafka $version
    check network.py --kafka $version --to topic
  done
  WEIR=$crash_weir check points.py
  WEIR=$crash_weir check retry.py
  WEIR=$crash_weir check letters.py
  WEIR=$crash_weir check lookup.py
  for seed in 1 2 3; do
    check outages.py --seed $seed
  done
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
