#!/bin/sh
# All measurements, one after the other: ring, JSON, SQL stage, then whole pipelines. $1 is the folder of the build.
# Figures mean something only beside others of the same run: see bench/README.md.
set -eu
folder=$1
for name in ring_bench json_bench sql_bench; do
  [ -x "$folder/bench/$name" ] || continue
  echo "== $name"
  "$folder/bench/$name"
done
echo "== pipelines"
/usr/bin/python3 bench/pipelines.py
