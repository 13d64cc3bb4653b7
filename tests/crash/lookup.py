#!/usr/bin/python3
"""Kills the worker of a lookup, or a transformer that joins it, at each named crash point on the way of a new table.

    tests/crash/lookup.py                              every point
    tests/crash/lookup.py --point lookup.renamed --times 3

A file is read line by line while the table that is joined is replaced again and again; its rows carry the number of their version. Whoever
dies when: afterwards each line is there once, with a version that was there at some time, versions never go back, and the last one is
reached. Needs the build that has the points, as points.py does. A point that nobody reaches is a failure.
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

from support import instance, targets  # noqa: E402
from support.waiting import eventually  # noqa: E402

ROUNDS, LINES = 12, 40
PIPELINE = """
pipeline: joined
sources:
  lines: {type: file, path: in.ndjson, follow: true, poll: 2ms}
lookups:
  versions: {type: file, path: versions.json, format: json, key: name, columns: {name: text, version: bigint, at: timestamp}, every: 100ms}
transforms:
  named: {sql: "SELECT l.n, v.version FROM lines l LEFT JOIN versions v ON v.name = l.name", columns: {n: bigint not null, version: bigint}}
sinks:
  out: {from: named, type: table, url: "sqlite:out.db", table: t, commit_every: 5ms}
"""


class Failure(Exception):
    pass


def points():
    """The points of the lookups, each with who passes it."""
    found = {}
    for at, _, files in os.walk(os.path.join(instance.ROOT, "workers")):
        for name in files:
            if name.endswith(".c"):
                with open(os.path.join(at, name)) as file:
                    for point in re.findall(r'CRASH_POINT\("(lookup\.[a-z_]+)"\)', file.read()):
                        found[point] = "lookup/versions" if os.path.basename(at) == "lookups" else "transformer/named"
    return found


class Place:
    def __init__(self, program):
        self.program = program
        self.folder = tempfile.mkdtemp(prefix="weir-lookup-")
        self.target = targets.SqliteTarget(os.path.join(self.folder, "out.db"))
        self.fed = 0
        for name, text in (("p.yaml", PIPELINE), ("in.ndjson", "")):
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(text)

    def version(self, number):
        """A new table, put in the place of the old one as a whole."""
        rows = [{"name": "a", "version": number, "at": "2025-01-01"}] + [{"name": "other %d" % n} for n in range(200)]
        path = os.path.join(self.folder, "versions.json")
        with open(path + ".new", "w") as file:
            json.dump(rows, file)
        os.rename(path + ".new", path)

    def feed(self, how_many):
        with open(os.path.join(self.folder, "in.ndjson"), "a") as file:
            for _ in range(how_many):
                self.fed += 1
                file.write('{"n": %d, "name": "a"}\n' % self.fed)

    def rows(self):
        return self.target.query("SELECT n, version FROM t ORDER BY n") if "t" in self.target.tables() else []

    def play(self, order):
        """One life of the pipeline; what it said."""
        self.version(1)
        running = instance.Instance("p.yaml", cwd=self.folder, env={"WEIR_CRASH": order}, program=self.program)
        try:
            for number in range(1, ROUNDS + 1):
                self.version(number)
                self.feed(LINES)

                def taken():
                    if not running.alive:
                        raise Failure(repr(running.result()))
                    self.feed(1)
                    rows = self.rows()
                    return rows and rows[-1][1] == number
                eventually("version %d" % number, taken)
            eventually("all lines", lambda: len(self.rows()) >= self.fed)
            done = running.stop()
            if done.code != 0:
                raise Failure(repr(done))
            return done.err
        finally:
            running.close()

    def audit(self):
        rows = self.rows()
        if [n for n, _ in rows] != list(range(1, self.fed + 1)):
            raise Failure("lost or doubled: %d lines became %d rows" % (self.fed, len(rows)))
        versions = [version for _, version in rows]
        if None in versions or versions != sorted(versions) or versions[-1] != ROUNDS:
            raise Failure("versions: %r" % versions)

    def close(self, keep=False):
        if keep:
            print("kept: " + self.folder, flush=True)
        else:
            shutil.rmtree(self.folder)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--point", action="append", help="only this one (may be repeated)")
    parser.add_argument("--times", default="1,2,5", help="at which passing, a list (default %(default)s)")
    options = parser.parse_args(arguments)
    program = os.path.abspath(os.environ.get("WEIR") or os.path.join(instance.ROOT, "build", "crash", "weir"))
    hits, failures = {}, 0
    for point, who in sorted(points().items()):
        if options.point and point not in options.point:
            continue
        hits[point] = 0
        for times in map(int, options.times.split(",")):
            place = Place(program)
            try:
                said = place.play("%s:%d:%s" % (point, times, who))
                place.audit()
            except (Failure, TimeoutError, subprocess.TimeoutExpired) as failure:
                failures += 1
                print("FAILED %s %d: %s" % (point, times, failure), flush=True)
                place.close(keep=True)
                continue
            hits[point] += any("SIGKILL" in line and "role=" + who.split("/")[0] in line and "why=" not in line for line in said.splitlines())
            place.close()
    missed = [point for point, count in hits.items() if count == 0]
    print(json.dumps({"points": len(hits), "deaths": sum(hits.values()), "failures": failures, "never_reached": missed}))
    return 1 if failures or missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
