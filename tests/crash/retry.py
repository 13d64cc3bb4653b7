#!/usr/bin/python3
"""Kills `weir dlq retry`, or a worker of its lane, at each named crash point that lies on its way, and counts the target.

    tests/crash/retry.py                               every point, every process, every target
    tests/crash/retry.py --point retry.before_delete --target postgres

Rows die at a check; the check is mended; the letters are sent again. Whoever dies when: afterwards each row is there once, no letter is left
and no flag stands. Needs the build that has the points, as points.py does. A point of the retry's own that nobody reaches is a failure.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import instance, postgres, targets  # noqa: E402

COMMAND = "command"
WORKERS = ["producer/retry:flat", "transformer/flat", "sinker/out"]
INPUTS = 120
PIPELINE = """
pipeline: again
sources:
  src: {type: file, path: in.ndjson}
transforms:
  flat:
    sql: SELECT s.n, x."v" AS v FROM src s, each(s.parts) x
    columns: {n: bigint not null, v: bigint not null}
    checks: {ok: "%s"}
sinks:
  out: {from: flat, %s}
dead_letters: {stop_above: 1}
"""
VALUES = [10 * n + part for n in range(1, INPUTS + 1) for part in range(3)]


class Failure(Exception):
    pass


def own_points():
    found = set()
    for at, _, files in os.walk(instance.ROOT):
        for name in files:
            if name.endswith(".c") and os.path.relpath(at, instance.ROOT).split(os.sep)[0] in ("workers", "supervisor"):
                with open(os.path.join(at, name)) as file:
                    found.update(re.findall(r'CRASH_POINT\("(retry\.[a-z_]+)"\)', file.read()))
    return found


# Of the others, those that the workers of such a lane pass.
SHARED = {"producer/retry:flat": ["source.after_append", "source.announced", "source.start_resolved", "source.all_ready", "source.before_group_end",
                                  "source.before_publish", "source.after_publish", "source.end_published"],
          "transformer/flat": ["sql.input_done", "sql.ended", "ring.tail_stored"],
          "sinker/out": ["sink.after_answer", "sink.before_start", "sink.after_start", "sink.before_commit", "sink.after_commit", "sink.after_account",
                         "sink.after_feedback", "sink.after_release", "sink.before_control_release", "sink.after_control_release"]}


class Place:
    """A folder in which rows have died, to be copied for each try; or a database in which they die anew each time."""

    def __init__(self, kind, server, program):
        self.kind, self.server, self.program = kind, server, program
        self.folder = tempfile.mkdtemp(prefix="weir-retry-")
        self.count = 0

    def begin(self):
        shutil.rmtree(self.folder)
        os.mkdir(self.folder)
        self.count += 1
        if self.kind == "postgres":
            self.target = targets.PostgresTarget(self.server, "retry%d" % self.count)
        else:
            self.target = targets.SqliteTarget(os.path.join(self.folder, "out.db"))
        with open(os.path.join(self.folder, "in.ndjson"), "w") as file:
            for n in range(1, INPUTS + 1):
                file.write(json.dumps({"n": n, "parts": [{"v": 10 * n + part} for part in range(3)]}) + "\n")
        self.write("v % 7 <> 0")
        self.must(self.weir("run", "p.yaml", "--once"))
        self.write("true")

    def write(self, check):
        sink = "type: file, path: out.ndjson" if self.kind == "file" else 'type: table, url: "%s", table: t, mode: append, rows: 7' % self.target.url
        with open(os.path.join(self.folder, "p.yaml"), "w") as file:
            file.write(PIPELINE % (check, sink))

    def weir(self, *words, env=None):
        return instance.weir(*words, cwd=self.folder, env=env, program=self.program)

    def must(self, result):
        if result.code != 0:
            raise Failure(repr(result))

    def stored(self):
        if self.kind != "file":
            return sorted(v for (v,) in self.target.query("SELECT v FROM t"))
        rows = []
        for name in ("out.ndjson", "out.retry-flat.ndjson"):
            rows += [row["v"] for row in targets.FileTarget(os.path.join(self.folder, name), self.folder).lines()]
        return sorted(rows)

    def left(self):
        store = targets.SqliteTarget(os.path.join(self.folder, ".weir", "again", "dead.db")) if self.kind == "file" else self.target
        flags = [name for name in os.listdir(os.path.join(self.folder, ".weir", "again")) if name.startswith("retry-")]
        return store.query("SELECT count(*) FROM weir_dead")[0][0], flags

    def audit(self):
        stored = self.stored()
        if stored != VALUES:
            raise Failure("lost %r, doubled %r" % (sorted(set(VALUES) - set(stored)), [v for v in set(stored) if stored.count(v) > 1]))
        if self.left() != (0, []):
            raise Failure("left behind: %r" % (self.left(),))

    def close(self, keep=False):
        if keep:
            print("kept: " + self.folder, flush=True)
        else:
            shutil.rmtree(self.folder)


def try_point(place, point, times, who):
    """One retry with one death. True when the point was passed that often."""
    place.begin()
    order = "%s:%d" % (point, times) if who == COMMAND else "%s:%d:%s" % (point, times, who)
    result = place.weir("dlq", "retry", "p.yaml", env={"WEIR_CRASH": order})
    died = result.code == -9 if who == COMMAND else "cause=SIGKILL" in result.err
    if who == COMMAND and died:
        # What was marked goes out with the next run, the rest with the next retry.
        place.must(place.weir("run", "p.yaml", "--once", "--take-over"))
        place.must(place.weir("dlq", "retry", "p.yaml"))
    else:
        place.must(result)
    place.audit()
    return died


def cases(chosen):
    for point in sorted(own_points()):
        for who in (COMMAND, WORKERS[0]):
            if not chosen or point in chosen:
                yield point, who
    for who, points in SHARED.items():
        for point in points:
            if not chosen or point in chosen:
                yield point, who


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--point", action="append", help="only this one (may be repeated)")
    parser.add_argument("--target", action="append", choices=["sqlite", "postgres", "file"])
    parser.add_argument("--times", default="1,2,5", help="at which passing, a list (default %(default)s)")
    options = parser.parse_args(arguments)
    program = os.environ.get("WEIR") or os.path.join(instance.ROOT, "build", "crash", "weir")
    kinds = options.target or ["sqlite", "postgres", "file"]
    server = postgres.Postgres() if "postgres" in kinds else None
    hits, failures = {}, 0
    try:
        for kind in kinds:
            place = Place(kind, server, os.path.abspath(program))
            for point, who in cases(options.point):
                hits.setdefault(point, 0)
                for times in map(int, options.times.split(",")):
                    try:
                        hit = try_point(place, point, times, who)
                    except (Failure, TimeoutError, subprocess.TimeoutExpired) as failure:
                        failures += 1
                        print("FAILED %s %s %d %s: %s" % (kind, point, times, who, failure), flush=True)
                        place.close(keep=True)
                        place = Place(kind, server, os.path.abspath(program))
                        break
                    hits[point] += hit
                    if not hit:
                        break
            place.close()
    finally:
        if server:
            server.close()
    missed = [point for point, count in hits.items() if count == 0]
    print(json.dumps({"points": len(hits), "deaths": sum(hits.values()), "failures": failures, "never_reached": missed}))
    return 1 if failures or missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
