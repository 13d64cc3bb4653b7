#!/bin/sh
# Runs pipelines/eonet.yaml; called by `make run` after the build.
#
# Where the API does not answer within 3 seconds, the simulator of this repository is started in its place and asked every two seconds, so
# that there is something to watch. Every setting of the pipeline file can be given in the environment: EONET_URL, EONET_EVERY, DATABASE_URL.
# Arguments go to `weir run` (for instance --once). The simulator is stopped at the end, by its process id.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-/usr/bin/python3}
url=${EONET_URL:-https://eonet.gsfc.nasa.gov/api/v3/events}
simulator='' folder=''

end() {
  [ -z "$simulator" ] || kill "$simulator" 2>/dev/null || true
  [ -z "$folder" ] || rm -rf "$folder"
}
trap end EXIT
trap : INT TERM # weir gets the signal too, drains and ends; then this script goes on behind it

reachable() {
  timeout 3 "$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=3).read(1)' "$url?limit=1" >/dev/null 2>&1
}

if ! reachable; then
  folder=$(mktemp -d)
  # The same port at every run: another address would be another source, and weir would ask before it mixed the two in one table.
  "$python" pipelines/simulators/eonet.py --port "${SIMULATOR_PORT:-8640}" --dirty 15 >"$folder/address" &
  simulator=$!
  while [ ! -s "$folder/address" ]; do
    kill -0 "$simulator" # ends the script, with the simulator's own message, if it could not start
    sleep 0.05
  done
  echo "$url does not answer within 3 seconds: running on the simulator, $(cat "$folder/address") (a day of its world a minute)"
  EONET_URL=$(cat "$folder/address")
  EONET_EVERY=${EONET_EVERY:-2s}
  export EONET_URL EONET_EVERY
fi

echo "Stop with Ctrl-C. Meanwhile, in another terminal:"
case ${DATABASE_URL:-sqlite:eonet.db} in
sqlite:*)
  file=${DATABASE_URL:-sqlite:eonet.db}
  echo "  sqlite3 ${file#sqlite:} 'SELECT category, count(*), max(observed_at) FROM events GROUP BY category'"
  ;;
*) echo "  psql \"\$DATABASE_URL\" -c 'SELECT category, count(*), max(observed_at) FROM events GROUP BY category'" ;;
esac
echo "  ./weir status pipelines/eonet.yaml          # what each process does"
echo "  ./weir dlq list pipelines/eonet.yaml        # what was not fit to be stored, and why"
echo "  kill -9 any of its processes, and count again"
./weir run pipelines/eonet.yaml "$@"
