#!/bin/sh
# Runs a pipeline of this folder, on the real API or, where that does not answer within 3 seconds, on its simulator; `make run` and
# `make run-users` call it after the build.
#
#   pipelines/run.sh eonet|users [arguments of `weir run`, for instance --once]
#
# The simulator is asked every two seconds, so that there is something to watch, and stopped at the end, by its process id. Every variable of
# the pipeline file can be given in the environment; WEIR names another program than ./weir.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-/usr/bin/python3}
name=${1:-}
case $name in
eonet)
  url=${EONET_URL:-https://eonet.gsfc.nasa.gov/api/v3/events} probe=limit=1 port=8640 options='--dirty 15'
  note=' (a day of its world a minute)'
  case $url in *\?*) probe="&$probe" ;; *) probe="?$probe" ;; esac
  query='SELECT category, count(*), max(observed_at) FROM events GROUP BY category'
  ;;
users)
  url=${USERS_URL:-https://randomuser.me/api/1.4/} probe='' port=8641 options='' note=''
  query='SELECT first_name, last_name, address FROM created_users ORDER BY date_added DESC LIMIT 5'
  ;;
*)
  echo "usage: pipelines/run.sh eonet|users [arguments of weir run]" >&2
  exit 2
  ;;
esac
shift
simulator='' folder=''

end() {
  [ -z "$simulator" ] || kill "$simulator" 2>/dev/null || true
  [ -z "$folder" ] || rm -rf "$folder"
}
trap end EXIT
trap : INT TERM # weir gets the signal too, drains and ends; then this script goes on behind it

reachable() {
  timeout 3 "$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=3).read(1)' "$url$probe" >/dev/null 2>&1
}

if ! reachable; then
  folder=$(mktemp -d)
  # The same port at every run: another address would be another source, and weir would ask before it mixed the two in one table.
  # shellcheck disable=SC2086
  "$python" "pipelines/simulators/$name.py" --port "${SIMULATOR_PORT:-$port}" $options >"$folder/address" &
  simulator=$!
  while [ ! -s "$folder/address" ]; do
    if ! kill -0 "$simulator" 2>/dev/null; then # it has said why it could not start
      echo "the simulator did not start; SIMULATOR_PORT=N chooses another port" >&2
      exit 3
    fi
    sleep 0.05
  done
  address=$(cat "$folder/address")
  echo "$url does not answer within 3 seconds: running on the simulator, $address$note"
  case $name in
  eonet) export EONET_URL="$address" EONET_EVERY="${EONET_EVERY:-2s}" ;;
  users) export USERS_URL="$address" USERS_EVERY="${USERS_EVERY:-2s}" ;;
  esac
fi

# The pipeline file takes the page beside that of the events; behind a query it would only be more of the query.
case $name:${EONET_URL:-} in
eonet:*\?*) export EONET_CATEGORIES_URL="${EONET_CATEGORIES_URL:-${EONET_URL%%\?*}/../categories}" ;;
esac

echo "Stop with Ctrl-C. Meanwhile, in another terminal:"
target=${DATABASE_URL:-sqlite:$name.db}
case $target in
sqlite:*) echo "  sqlite3 ${target#sqlite:} '$query'" ;;
*) echo "  psql \"\$DATABASE_URL\" -c '$query'" ;;
esac
echo "  ./weir status pipelines/$name.yaml          # what each process does"
echo "  ./weir dlq list pipelines/$name.yaml        # what was not fit to be stored, and why"
echo "  kill -9 any of its processes, and count again"
"${WEIR:-./weir}" run "pipelines/$name.yaml" "$@"
