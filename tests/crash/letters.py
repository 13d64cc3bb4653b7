#!/usr/bin/python3
"""Kills the source that copies dead letters into a topic, and the writer of that topic, at each named crash point on their way; counts the topic.

    tests/crash/letters.py                               every point, every target
    tests/crash/letters.py --point letters.after_number_commit --target postgres

Half of the rows die at a check, into a table's or a file's store; the topic of dead letters must have each of them once. Needs the build that
has the points, as points.py does. A point that nobody reaches is a failure.
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

from route import Failure, Servers  # noqa: E402
from support import instance, targets  # noqa: E402

ROWS = 400
PIPELINE = """
pipeline: %(own)s
kafka: {brokers: "%(brokers)s"}
sources:
  numbers: {type: generate, sql: "SELECT n AS id", count: %(rows)d}
transforms:
  even: {sql: SELECT id FROM numbers, columns: {id: bigint not null}, checks: {even: id %% 2 = 0}}
sinks:
  out: {from: even, %(sink)s}
dead_letters: {topic: %(own)s, stop_above: 100%%}
"""
# Of the others, those that these two pass.
SHARED = {"producer/letters:out": ["source.after_append", "source.announced", "source.start_resolved", "source.all_ready", "source.before_group_end",
                                   "source.before_publish", "source.after_publish", "source.end_published"],
          "sinker/dead_letters:%(own)s": ["sink.after_answer", "sink.before_start", "sink.after_start", "sink.before_commit", "sink.after_commit",
                                          "sink.after_account", "sink.after_feedback", "sink.after_release"]}


def own_points():
    found = set()
    for folder in ("workers", "supervisor"):
        for at, _, files in os.walk(os.path.join(instance.ROOT, folder)):
            for name in files:
                if name.endswith(".c"):
                    with open(os.path.join(at, name)) as file:
                        found.update(re.findall(r'CRASH_POINT\("(letters\.[a-z_]+)"\)', file.read()))
    return found


def cases(chosen):
    every = [(point, "producer/letters:out") for point in sorted(own_points())]
    every += [(point, who) for who, points in SHARED.items() for point in points]
    return [(point, who) for point, who in every if not chosen or point in chosen]


class Place:
    def __init__(self, kind, servers, program):
        self.kind, self.servers, self.program, self.count = kind, servers, program, 0
        self.folder = tempfile.mkdtemp(prefix="weir-letters-")

    def begin(self):
        shutil.rmtree(self.folder)
        os.mkdir(self.folder)
        self.count += 1
        self.own = "letters-%s-%d-%d" % (self.kind, os.getpid(), self.count)
        if self.kind == "postgres":
            sink = 'type: table, table: t, url: "%s"' % targets.PostgresTarget(self.servers.postgres, "letters%d" % self.count).url
        elif self.kind == "sqlite":
            sink = 'type: table, table: t, url: "sqlite:%s"' % os.path.join(self.folder, "out.db")
        else:
            sink = "type: file, path: out.ndjson"
        with open(os.path.join(self.folder, "p.yaml"), "w") as file:
            file.write(PIPELINE % {"own": self.own, "brokers": self.servers.kafka.servers, "rows": ROWS, "sink": sink})

    def audit(self):
        copied = sorted(json.loads(record.value)["id"] for record in self.servers.kafka.read(self.own))
        wanted = list(range(1, ROWS + 1, 2))
        if copied != wanted:
            raise Failure("lost %r, doubled %r" % (sorted(set(wanted) - set(copied)), [n for n in set(copied) if copied.count(n) > 1]))

    def try_point(self, point, times, who):
        """One run with one death. True when the point was passed that often."""
        self.begin()
        order = "%s:%d:%s" % (point, times, who % {"own": self.own})
        result = instance.weir("run", "p.yaml", "--once", cwd=self.folder, env={"WEIR_CRASH": order}, program=self.program)
        if result.code != 0:
            raise Failure(repr(result))
        self.audit()
        return "cause=SIGKILL" in result.err

    def close(self, keep=False):
        if keep:
            print("kept: " + self.folder, flush=True)
        else:
            shutil.rmtree(self.folder)


def try_all(place, options, hits):
    """How many failed."""
    failures = 0
    for point, who in cases(options.point):
        hits.setdefault(point, 0)
        for times in map(int, options.times.split(",")):
            try:
                hit = place.try_point(point, times, who)
            except (Failure, TimeoutError, subprocess.TimeoutExpired) as failure:
                failures += 1
                print("FAILED %s %s %d %s: %s" % (place.kind, point, times, who, failure), flush=True)
                break
            hits[point] += hit
            if not hit:
                break
    place.close(keep=failures > 0)
    return failures


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--point", action="append", help="only this one (may be repeated)")
    parser.add_argument("--target", action="append", choices=["sqlite", "postgres", "file"])
    parser.add_argument("--times", default="1,2,5", help="at which passing, a list (default %(default)s)")
    options = parser.parse_args(arguments)
    program = os.path.abspath(os.environ.get("WEIR") or os.path.join(instance.ROOT, "build", "crash", "weir"))
    servers, hits, failures = Servers(), {}, 0
    try:
        for kind in options.target or ["sqlite", "postgres", "file"]:
            failures += try_all(Place(kind, servers, program), options, hits)
    finally:
        servers.close()
    missed = [point for point, count in hits.items() if count == 0]
    print(json.dumps({"points": len(hits), "deaths": sum(hits.values()), "failures": failures, "never_reached": missed}))
    return 1 if failures or missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
